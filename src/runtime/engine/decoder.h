// The interface between generation and engines. Above it: the start token, greedy choice,
// sampling, beams, text. Below it, in a folder of each engine: its library, its files, its caches.
// web/src/engine/engine_api.ts is the same interface in the browser, with the same verbs; its level is that of
// CTranslate2's layers::Decoder, which the search strategies there drive in the same way.
//
//   decoder.encode(pixels)             once for each image
//   decoder.start(size)                rows that are still empty
//     sequences.prefill(image, ids)    once for each image
//     sequences.logits(row)            generation chooses a token from them ...
//     sequences.step(parents, tokens)  ... which every row gets; and again
//
// Failures of an engine are kRuntime and name the file, unless a function says otherwise.
#ifndef LORAPRESS_RUNTIME_ENGINE_DECODER_H_
#define LORAPRESS_RUNTIME_ENGINE_DECODER_H_

#include <cstdint>
#include <memory>
#include <span>

namespace lorapress {

// The image tokens of one image, in whatever form and place the engine keeps them.
class EncodedImage {
 public:
  virtual ~EncodedImage() = default;
};

// How many rows grow together and how long they may become. An engine may allocate for all of them at once.
struct SequencesSize {
  int64_t images = 1;      // at least 1
  int64_t beams = 1;       // rows of each image, at least 1
  int64_t prefix = 0;      // positions of image and prompt
  int64_t new_tokens = 0;  // positions behind them, at most
};

// Rows that grow together by one token a step: `beams` rows for each image, so row
// image * beams + beam. One thread at a time.
class Sequences {
 public:
  virtual ~Sequences() = default;

  // Runs the decoder's first call of one image and lets all rows of the image begin with it. `ids`
  // are the model's start token, in whose place the image stands, and then the prompt's tokens; of a
  // model that sees no image they are the prompt's. The engine adds none.
  // REQUIRES: the decoder that made the rows encoded the image; `ids` and the image take
  // size.prefix positions; each image once, before the first step().
  virtual void prefill(int64_t image,
                       const EncodedImage& encoded,
                       std::span<const int64_t> ids) = 0;

  // Row i becomes what row parents[i] was, and then tokens[i]: rows may repeat, vanish and change
  // places, within their image.
  // REQUIRES: as many parents and tokens as rows; all images have begun; fewer than new_tokens
  // steps before.
  virtual void step(std::span<const int64_t> parents, std::span<const int64_t> tokens) = 0;

  // float32 [vocab_size] for the token that comes next in this row. The memory is the sequences';
  // the caller may write over it. Valid until the next step().
  [[nodiscard]] virtual std::span<float> logits(int64_t row) = 0;
};

// One loaded model. Several threads may call it at once.
class Decoder {
 public:
  virtual ~Decoder() = default;

  // pixel_values, float32 [3, height, width], as the model's preprocessing makes them. REQUIRES:
  // exactly that many values; none for a model that sees no image, whose encoded "image" is empty.
  [[nodiscard]] virtual std::unique_ptr<EncodedImage> encode(
      std::span<const float> pixel_values) const = 0;

  // Rows without content. Throws kInvalidArgument for a size that no memory holds. REQUIRES: the
  // decoder outlives them.
  [[nodiscard]] virtual std::unique_ptr<Sequences> start(const SequencesSize& size) const = 0;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ENGINE_DECODER_H_
