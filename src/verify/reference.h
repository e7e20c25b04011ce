// A second implementation of the model, independent of the blocks that author graphs: a plain float32 forward
// straight from the checkpoint's (lazily merged) weights, written from the modeling files of transformers that
// reference_vision_weights.cc, reference_idefics3.cc, reference_placeholder.h, reference_decoders.cc and
// reference_layer_norm_weights.cc name. It includes nothing of graph/, blocks/ or families/, so that it cannot share a
// mistake with them.
//
// The same forward in double shows how far rounding alone moves the float32 one (docs/verify.md).
//
// Weights are never held: every linear layer reads its weight in blocks of rows while it
// multiplies, for all images of a batch at once. Memory is one layer's activations of the batch,
// the key/value cache of greedy(), and a block of weights per thread.
#ifndef LORAPRESS_VERIFY_REFERENCE_H_
#define LORAPRESS_VERIFY_REFERENCE_H_

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "verify/rows.h"

namespace lorapress {

// The input of a linear layer, before the product. Names are the canonical ones of
// checkpoint/names.h without ".weight":
//   vision_encoder.embeddings.patch_embedding   (the convolution as a product: unfolded patches)
//   vision_encoder.encoder.layers.0.self_attn.q_proj | k_proj | v_proj | out_proj, …mlp.fc1 | fc2
//   projection.projection                       (linear)   projection.projection.0 | .3   (mlp)
//   language_model.model.layers.0.self_attn.q_proj | k_proj | v_proj | o_proj,
//     …mlp.gate_proj | up_proj | down_proj      (Phi-3: qkv_proj, gate_up_proj)
//   language_model.lm_head                      (tied or not; the positions whose logits are wanted)
// and those of other towers and decoders as transformers calls their modules. Keys and values of cross attention are
// computed once for each image, from the image tokens of all images.
struct LinearInput {
  std::string_view name;
  int64_t in_features = 0;
  std::span<const float> rows;  // [positions of all sequences, in_features]
};
// Called from the calling thread. An exception stops the forward and leaves the call.
using LinearInputFn = std::function<void(const LinearInput& input)>;

// How a forward is computed.
enum class Arithmetic {
  kFloat64,  // everything in double, from the float32 weights
  // The least rounding of a float16 file: weights, inputs and outputs of linear layers rounded to
  // float16, the rest in float32.
  kFloat16,
};

// Where an image's features stand in the decoder's input: in place of these image tokens, or without a
// prompt alone.
struct ReferencePrompt {
  std::vector<int64_t> ids;
  int64_t image_token_id = -1;
};

// A pass over images and forced ids, rounded to float32 at its end.
struct ForcedPass {
  std::vector<Rows> prefixes;  // image tokens of each image
  std::vector<Rows> logits;    // row t: what forced[t] is compared with
};

struct ReferenceOptions {
  unsigned threads = 0;  // 0: one per core, at most 4
  // With cross attention a sequence begins with it; a prefix stands in its place.
  int64_t decoder_start_token_id = 0;
  std::function<void()> on_layer;  // after every layer; may throw to cancel
};

// Chooses the next token of an image, by its index, by the logits, which are finite, and the tokens generated
// so far.
using ChooseFn = std::function<int64_t(
    size_t image, std::span<const int64_t> generated, std::span<const float> logits)>;

struct ReferenceCaption {
  std::vector<int64_t> ids;  // the closing end-of-text included
  Rows logits;               // [ids, vocab_size]: the logits by which each id was chosen
};

class ReferenceModel {
 public:
  // Reads no tensor data. REQUIRES: `checkpoint` is a vision-language one, or a decoder alone, whose "images" have no
  // pixels and no tokens. Throws kMismatch where
  // tensors are missing, misshapen or left over.
  explicit ReferenceModel(const Checkpoint& checkpoint, ReferenceOptions options = {});
  ~ReferenceModel();
  ReferenceModel(ReferenceModel&&) noexcept;

  // An empty function removes the listener.
  void on_linear_input(LinearInputFn listener);

  // pixel_values [3, image_size, image_size] of each image, or [tiles, 3, image_size, image_size] -> its
  // image tokens: what the decoder takes in the prompt [tiles * positions, text hidden_size], or what it
  // attends to [tokens, width of the states].
  [[nodiscard]] std::vector<Rows> encode(const std::vector<std::vector<float>>& pixel_values) const;
  // The same of one tile, in double, of whose pixels only those in `seen` [image_size, image_size] are seen.
  // REQUIRES: a tower that takes masks (Idefics3, SmolVLM).
  [[nodiscard]] Rows encode_masked(std::span<const float> pixel_values,
                                   std::span<const uint8_t> seen) const;

  // What the decoder gets before the new tokens: image tokens in the prompts' places, for logits() and
  // greedy(). Throws kMismatch where a prompt has another number of places.
  [[nodiscard]] std::vector<Rows> join(const std::vector<Rows>& image_tokens,
                                       const std::vector<ReferencePrompt>& prompts) const;

  // One pass over image tokens and text. Row t of an answer holds the logits that forced[t] is
  // compared with; with `after_last`, which an empty list of ids requires, a further row holds those
  // after the last id.
  [[nodiscard]] std::vector<Rows> logits(const std::vector<Rows>& prefixes,
                                         const std::vector<std::vector<int64_t>>& forced,
                                         bool after_last = false) const;

  // One token after the other, until one of `eos_token_ids` or `max_new_tokens`: the most probable
  // token, or the one that `choose` returns. Throws kRuntime where logits are not finite.
  [[nodiscard]] std::vector<ReferenceCaption> greedy(const std::vector<Rows>& prefixes,
                                                     int64_t max_new_tokens,
                                                     const std::vector<int64_t>& eos_token_ids,
                                                     const ChooseFn& choose = {}) const;

  // encode(), join() where there are prompts, and logits() in other arithmetic, without calls of the
  // listener.
  [[nodiscard]] ForcedPass forced(const std::vector<std::vector<float>>& pixel_values,
                                  const std::vector<std::vector<int64_t>>& forced,
                                  Arithmetic arithmetic,
                                  const std::vector<ReferencePrompt>& prompts = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_REFERENCE_H_
