// An engine without ONNX Runtime below the seam of runtime/engine: verify's float32 forward over the
// whole of each row, again for every token. It holds its callers to the seam's contract.
#ifndef LORAPRESS_TESTS_CC_REFERENCE_ENGINE_H_
#define LORAPRESS_TESTS_CC_REFERENCE_ENGINE_H_

#include <memory>
#include <stdexcept>
#include <vector>

#include "runtime/engine/decoder.h"
#include "runtime/engine/slots.h"
#include "verify/reference.h"

namespace lorapress::test {

inline void require_of_caller(bool kept, const char* what) {
  if (!kept) {
    throw std::logic_error(what);
  }
}

struct ReferenceImageTokens : EncodedImage {
  explicit ReferenceImageTokens(Rows rows) : tokens(std::move(rows)) {}
  Rows tokens;
};

class ReferenceSequences : public Sequences {
 public:
  ReferenceSequences(const ReferenceModel& model, const SequencesSize& size)
      : model_(model),
        size_(size),
        slots_(size.images, size.beams),
        images_(static_cast<size_t>(size.images)),
        text_(static_cast<size_t>(size.images * size.beams)),
        logits_(text_.size()) {}

  void prefill(int64_t image, const EncodedImage& encoded, std::span<const int64_t> ids) override {
    const auto& tokens = static_cast<const ReferenceImageTokens&>(encoded).tokens;
    Rows& own = images_.at(static_cast<size_t>(image));
    require_of_caller(own.rows == 0 && steps_ == 0, "each image begins once, before the steps");
    require_of_caller(tokens.rows + std::ssize(ids) - 1 == size_.prefix,
                      "image and prompt as said");
    own = tokens;
    const Rows logits = model_.logits({own}, {{ids.begin() + 1, ids.end()}}, true).at(0);
    for (int64_t row = image * size_.beams; row < (image + 1) * size_.beams; ++row) {
      text_[slot(row)].assign(ids.begin() + 1, ids.end());
      logits_[slot(row)] = last_of(logits);
    }
  }

  void step(std::span<const int64_t> parents, std::span<const int64_t> tokens) override {
    require_of_caller(parents.size() == text_.size() && tokens.size() == text_.size(), "all rows");
    require_of_caller(++steps_ <= size_.new_tokens, "no more steps than were asked for");
    for (const SlotTable::Copy& copy : slots_.branch(parents)) {
      text_[static_cast<size_t>(copy.to)] = text_[static_cast<size_t>(copy.from)];
    }
    std::vector<Rows> prefixes;
    for (size_t row = 0; row < tokens.size(); ++row) {
      text_[slot(static_cast<int64_t>(row))].push_back(tokens[row]);
      prefixes.push_back(images_.at(row / static_cast<size_t>(size_.beams)));
      require_of_caller(prefixes.back().rows > 0, "all images begin before the first step");
    }
    const std::vector<Rows> all =
        model_.logits(prefixes, text_, true);  // a slot stays in its image
    for (size_t i = 0; i < all.size(); ++i) {
      logits_[i] = last_of(all[i]);
    }
  }

  [[nodiscard]] std::span<float> logits(int64_t row) override { return logits_.at(slot(row)); }

 private:
  [[nodiscard]] size_t slot(int64_t row) const { return static_cast<size_t>(slots_.slot(row)); }
  static std::vector<float> last_of(const Rows& logits) {
    const auto row = logits.row(logits.rows - 1);
    return {row.begin(), row.end()};
  }

  const ReferenceModel& model_;
  SequencesSize size_;
  SlotTable slots_;
  std::vector<Rows> images_;
  std::vector<std::vector<int64_t>> text_;  // of each slot: the prompt and what was fed
  std::vector<std::vector<float>> logits_;
  int64_t steps_ = 0;
};

class ReferenceEngine : public Decoder {
 public:
  explicit ReferenceEngine(const Checkpoint& checkpoint)
      : model_(checkpoint, {.threads = 1, .on_layer = {}}) {}

  [[nodiscard]] std::unique_ptr<EncodedImage> encode(
      std::span<const float> pixel_values) const override {
    return std::make_unique<ReferenceImageTokens>(
        model_.encode({{pixel_values.begin(), pixel_values.end()}}).at(0));
  }
  [[nodiscard]] std::unique_ptr<Sequences> start(const SequencesSize& size) const override {
    return std::make_unique<ReferenceSequences>(model_, size);
  }

 private:
  ReferenceModel model_;
};

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_REFERENCE_ENGINE_H_
