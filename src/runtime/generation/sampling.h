// From the logits of one position to the next token: the rules, filters and draws of transformers'
// generate(), on plain vectors. docs/generation.md says the same in words, for other runtimes.
#ifndef LORAPRESS_RUNTIME_GENERATION_SAMPLING_H_
#define LORAPRESS_RUNTIME_GENERATION_SAMPLING_H_

#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

namespace lorapress {

// What forbids or discourages tokens, in the order in which it is applied, which is that of
// GenerationMixin._get_logits_processor. Logits for greedy search and sampling, log-probabilities
// for beams. Token ids are inside the vocabulary.
struct TokenRules {
  // A prompt whose ids count as generated, as in generate(input_ids=...): that of a placeholder folder or
  // of a decoder alone. Here ids may lie outside the vocabulary (the image token's). Empty: none.
  std::vector<int64_t> before = {};
  double repetition_penalty = 1.0;  // above 0; 1 is off
  int64_t no_repeat_ngram_size = 0;
  std::vector<std::vector<int64_t>> bad_words_ids = {};  // none empty, none a lone end token
  int64_t min_new_tokens = 0;                            // no end token before
  std::vector<int64_t> eos_token_ids = {};
  std::optional<int64_t> forced_bos_token_id = {};  // the only token allowed behind one id
  std::vector<int64_t> forced_eos_token_ids = {};   // the only tokens allowed as the last
  int64_t max_new_tokens = 0;
  std::vector<int64_t> suppress_tokens = {};
  // Not as the first generated token, or behind the one that forced_bos_token_id forces.
  std::vector<int64_t> begin_suppress_tokens = {};
};

// What sampling leaves to choose from, in the order in which it is applied.
struct SamplingFilters {
  double temperature = 1.0;  // above 0
  int64_t top_k = 0;         // 0 is off
  double top_p = 1.0;        // above 0; 1 is off
};

// The largest score's index, the first of equal ones. Throws kRuntime when a score is not a number
// or all are infinite.
int64_t argmax(std::span<const float> scores);

// scores - log(sum(exp(scores))), in place. Throws as argmax().
void log_softmax(std::span<float> scores);

// `generated` are the new tokens so far, without rules.before. A forbidden token's score is
// minus infinity.
void apply_rules(const TokenRules& rules,
                 std::span<const int64_t> generated,
                 std::span<float> scores);
// The index of the largest score after the rules.
int64_t likeliest(const TokenRules& rules,
                  std::span<const int64_t> generated,
                  std::span<const float> logits);
void apply_filters(const SamplingFilters& filters, std::span<float> scores);

// Uniform numbers in [0, 1) with 53 bits, the same on every machine: genrand_res53() of the
// Mersenne Twister MT19937 after init_genrand(seed) (Matsumoto and Nishimura 2002), which numpy has
// as RandomState(seed).random_sample().
class RandomNumbers {
 public:
  explicit RandomNumbers(uint32_t seed) : engine_(seed) {}
  double next();

 private:
  std::mt19937 engine_;
};

// The first token, in order of the ids, at which the sum of the probabilities so far exceeds
// `uniform` times their whole sum; probabilities are exp(score - largest score) in double. Throws
// kRuntime when no token is left.
int64_t sample(std::span<const float> scores, double uniform);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GENERATION_SAMPLING_H_
