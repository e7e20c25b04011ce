// The rules that a decoder applies to its own logits (press with options.rules_in_graph), written down a second time:
// from transformers' generation/logits_process.py, sharing nothing with the nodes that a graph has nor with
// runtime/generation.
#ifndef LORAPRESS_VERIFY_REFERENCE_RULES_H_
#define LORAPRESS_VERIFY_REFERENCE_RULES_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lorapress/generation_settings.h"

namespace lorapress {

class ReferenceRules {
 public:
  // `inside` names the settings that the decoder applies: rules_in_graph of lorapress.json. Throws kUnsupported for
  // another name than the three that are known.
  ReferenceRules(const GenerationSettings& settings,
                 std::span<const std::string> inside,
                 const std::vector<int64_t>& eos_token_ids);

  [[nodiscard]] bool any() const { return any_; }
  // The logits of the token behind `ids`, which become those behind the rules; a forbidden token's is minus infinity.
  // Ids outside of the vocabulary are none that a logit belongs to.
  void apply(std::span<const int64_t> ids, std::span<float> logits) const;

 private:
  // RepetitionPenaltyLogitsProcessor.
  void penalise(std::span<const int64_t> ids, std::span<float> logits) const;
  // NoRepeatNGramLogitsProcessor and NoBadWordsLogitsProcessor: the tokens that may not come next.
  [[nodiscard]] std::vector<int64_t> forbidden(std::span<const int64_t> ids) const;

  bool any_ = false;
  double penalty_ = 1.0;
  size_t ngram_ = 0;  // 0: off
  std::vector<std::vector<int64_t>> bad_words_;
};

// Logits of a position, the reference's and a file's, without those of tokens that are minus infinity in both: these have
// no distance.
struct AllowedLogits {
  std::vector<float> wanted;
  std::vector<float> found;
  std::string fault;  // a token that is forbidden on one side only; else empty
};
AllowedLogits allowed_logits(std::span<const float> wanted, std::span<const float> found);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_REFERENCE_RULES_H_
