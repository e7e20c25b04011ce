// A model of an encoder and a decoder with a cache, made of sessions: what belongs between their graphs. The same on
// every host: src/runtime/native puts files and threads behind it, src/engine/module a page.
//
//   decoder.set(part, session)           the parts, in any order; ready() when there are enough
//   decoder.encode(run, pixels)          once for each image
//   Sequences(decoder, ...)              decoder_sequences.h
#ifndef LORAPRESS_ENGINE_DECODER_H_
#define LORAPRESS_ENGINE_DECODER_H_

#include "engine/session.h"

namespace lorapress::engine {

// The numbers of lorapress.json that the graphs have to agree with.
struct DecoderFacts {
  bool images = true;        // false: a decoder alone
  int64_t image_height = 0;  // of an image or a tile
  int64_t image_width = 0;
  int64_t image_tokens = -1;  // positions of an image or a tile; -1: what the encoder gives
  int64_t image_token_id =
      -1;  // the image stands where a prompt has this id; -1: in place of the start token, or nowhere
  bool cross = false;  // the decoder attends to the image, which has no position
  int64_t vocab_size = 0;
  int64_t layers = 0;
  bool ids_in_cache = false;  // a pair behind the layers' holds token ids
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
};

// Features of an image or of its tiles: [positions, width].
struct Image {
  std::vector<float> features;
  int64_t width = 0;
  [[nodiscard]] int64_t positions() const {
    return width == 0 ? 0 : static_cast<int64_t>(features.size()) / width;
  }
};

enum class Part : uint8_t {
  kEncoder,
  kEmbeddings,    // tokens to embeddings, where facts have an image_token_id
  kDecoder,       // all calls, or the later ones
  kFirstDecoder,  // the first call, where another graph does it
};
inline constexpr int kParts = 4;

// Where one tensor of the cache goes in and comes out.
struct CachePort {
  int past = -1;     // inputs of the graph
  int present = -1;  // outputs
  bool in_place = false;
  bool keys = false;     // else values
  bool encoder = false;  // of the encoder's states: written by the first call, only read later
};

// A decoder's graph and where its inputs and outputs are; -1: it has none.
struct DecoderGraph {
  const Session* session = nullptr;
  int ids = -1;  // or embeddings
  int image = -1;
  int mask = -1;
  int logits = -1;
  std::vector<CachePort> cache;
};

// Runs may happen on several threads; parts change on one, while nothing runs.
class Decoder {
 public:
  // REQUIRES: `workers` outlives it.
  Decoder(const DecoderFacts& facts, Workers& workers) : facts_(facts), workers_(&workers) {}

  // Takes a part, in place of the one that it had; null: none. Refuses (kMismatch) a graph that is not that of the
  // facts. `name` stands before what this part refuses: a file's name.
  void set(Part part, std::unique_ptr<Session> session, std::string name);
  [[nodiscard]] bool has(Part part) const { return of(part).session != nullptr; }
  // Whether sequences can begin.
  [[nodiscard]] bool ready() const {
    return has(Part::kDecoder) && (!embeds_apart() || has(Part::kEmbeddings));
  }
  // Bytes of weights.
  [[nodiscard]] size_t bytes() const;

  [[nodiscard]] const DecoderFacts& facts() const { return facts_; }
  [[nodiscard]] bool embeds_apart() const { return facts_.image_token_id >= 0; }
  // Numbers of an image or a tile.
  [[nodiscard]] int64_t pixels() const { return 3 * facts_.image_height * facts_.image_width; }

  // Memory of runs of the encoder. REQUIRES for both: has(kEncoder).
  void prepare_encoder(Run& run) const;
  // One tile after another, so that memory does not grow with their number. REQUIRES: a multiple of pixels().
  [[nodiscard]] Image encode(Run& run, std::span<const float> pixel_values) const;

  // Why a prompt with this image (or none) does not fit; empty if it does.
  [[nodiscard]] std::string misfit(const Image* image, std::span<const int64_t> ids) const;
  // Positions of a prompt with its image.
  [[nodiscard]] int64_t positions(const Image* image, int64_t ids) const;

 private:
  friend class Sequences;
  struct Loaded {
    std::unique_ptr<Session> session;
    std::string name;
  };
  [[nodiscard]] const Loaded& of(Part part) const { return parts_[static_cast<size_t>(part)]; }
  [[nodiscard]] const DecoderGraph& first() const {
    return has(Part::kFirstDecoder) ? first_ : later_;
  }
  void check_encoder(const Session& graph);
  void check_embeddings(const Session& graph) const;
  [[nodiscard]] DecoderGraph check_decoder(const Session& graph) const;
  void add_cache(DecoderGraph& found, int64_t layer, const char* owner, bool encoder) const;
  void run(Part part, Run& run, std::span<const Tensor> feeds, std::span<Tensor> results) const;

  DecoderFacts facts_;
  Workers* workers_;
  Loaded parts_[kParts];
  DecoderGraph first_;
  DecoderGraph later_;
  Dims pixels_dims_;
  int pixels_port_ = -1;
  int mask_port_ = -1;  // the encoder takes tiles and their mask
  int features_ = -1;
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_DECODER_H_
