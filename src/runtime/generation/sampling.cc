#include "runtime/generation/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "base/fail.h"
#include "base/simd.h"

namespace lorapress {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 16;

// NaN where any score is one, else the largest.
LORAPRESS_SIMD float largest_score(const float* scores, size_t count) {
  float best[kLanes];
  bool bad[kLanes] = {};
  std::fill(best, best + kLanes, kForbidden);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float score = scores[i + lane];
      best[lane] = score > best[lane] ? score : best[lane];
      bad[lane] |= score != score;
    }
  }
  for (; i < count; ++i) {
    best[0] = scores[i] > best[0] ? scores[i] : best[0];
    bad[0] |= scores[i] != scores[i];
  }
  const bool any_bad = std::find(bad, bad + kLanes, true) != bad + kLanes;
  return any_bad ? std::numeric_limits<float>::quiet_NaN() : *std::max_element(best, best + kLanes);
}

// exp(x) for -87 <= x <= 0, within two units of the last place: the polynomial of Cephes' expf
// (Moshier 1992), without branches, so that loops over it become vector code.
inline float exp_of_negative(float x) {
  const auto twos = static_cast<int32_t>(x * 1.44269504F - 0.5F);
  const auto whole = static_cast<float>(twos);
  const float r = x - whole * 0.693359375F - whole * -2.12194440e-4F;
  float y = 1.9875691500e-4F;
  y = y * r + 1.3981999507e-3F;
  y = y * r + 8.3334519073e-3F;
  y = y * r + 4.1665795894e-2F;
  y = y * r + 1.6666665459e-1F;
  y = y * r + 5.0000001201e-1F;
  y = y * r * r + r + 1.0F;
  return y * std::bit_cast<float>((twos + 127) << 23);
}

// sum(exp(scores - largest)); terms below exp(-87) count as exp(-87), 1.6e-38. A block is long
// enough that the compiler vectorizes its loops and does not unroll them, and the bound has a
// loop of its own, which would otherwise become a branch.
LORAPRESS_SIMD double sum_of_exp(const float* scores, size_t count, float largest) {
  constexpr size_t kBlock = 16 * kLanes;
  constexpr float kLeast = -87.0F;
  double sums[kLanes] = {};
  float powers[kBlock];
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (size_t j = 0; j < kBlock; ++j) {
      const float below = scores[i + j] - largest;
      powers[j] = below < kLeast ? kLeast : below;
    }
    for (size_t j = 0; j < kBlock; ++j) {
      powers[j] = exp_of_negative(powers[j]);
    }
    for (size_t j = 0; j < kBlock; j += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        sums[lane] += static_cast<double>(powers[j + lane]);
      }
    }
  }
  for (; i < count; ++i) {
    sums[0] += static_cast<double>(exp_of_negative(std::max(scores[i] - largest, kLeast)));
  }
  double sum = 0.0;
  for (const double lane : sums) {
    sum += lane;
  }
  return sum;
}

float checked_largest(std::span<const float> scores) {
  const float largest = largest_score(scores.data(), scores.size());
  if (largest == kForbidden) {
    fail(ErrorCode::kRuntime,
         "no token is left to choose: all logits are minus infinity, or the rules forbid every "
         "token");
  }
  if (!std::isfinite(largest)) {
    fail(ErrorCode::kRuntime,
         "the decoder gave logits that are not finite; are the weights intact?");
  }
  return largest;
}

// The ids from the highest score down, the higher id first among equal ones: a heap, since few are
// taken.
class DescendingScores {
 public:
  explicit DescendingScores(std::span<const float> scores) : scores_(scores) {
    for (size_t id = 0; id < scores.size(); ++id) {
      if (scores[id] != kForbidden) {
        heap_.push_back(id);
      }
    }
    std::ranges::make_heap(heap_, lower());
  }
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  size_t next() {
    std::ranges::pop_heap(heap_, lower());
    const size_t id = heap_.back();
    heap_.pop_back();
    return id;
  }

 private:
  struct Lower {
    std::span<const float> scores;
    bool operator()(size_t a, size_t b) const {
      return scores[a] < scores[b] || (scores[a] == scores[b] && a < b);
    }
  };
  [[nodiscard]] Lower lower() const { return {scores_}; }

  std::span<const float> scores_;
  std::vector<size_t> heap_;
};

// Scores below the k-th highest are out; scores equal to it stay (TopKLogitsWarper).
void keep_top_k(int64_t top_k, std::span<float> scores) {
  const size_t kept = std::min(static_cast<size_t>(top_k), scores.size());
  std::vector<float> sorted(scores.begin(), scores.end());
  const auto nth = sorted.begin() + static_cast<std::ptrdiff_t>(kept - 1);
  std::ranges::nth_element(sorted, nth, std::greater<>());
  const float least = *nth;
  for (float& score : scores) {
    score = score < least ? kForbidden : score;
  }
}

// From the lowest probability up, tokens are out while their sum is at most 1 - top_p
// (TopPLogitsWarper); seen from the top: a token stays while the sum above it is below top_p, and
// the first always.
void keep_top_p(double top_p, std::span<float> scores) {
  const double largest = checked_largest(scores);
  double sum = 0.0;
  for (const float score : scores) {
    sum += std::exp(static_cast<double>(score) - largest);
  }
  std::vector<float> kept(scores.size(), kForbidden);
  DescendingScores order(scores);
  double above = 0.0;
  do {
    const size_t id = order.next();
    kept[id] = scores[id];
    above += std::exp(static_cast<double>(scores[id]) - largest) / sum;
  } while (!order.empty() && above < top_p);
  std::ranges::copy(kept, scores.begin());
}

// The last tokens of every n-gram so far that begins with the n - 1 latest tokens.
void forbid_ngrams(int64_t size, std::span<const int64_t> generated, std::span<float> scores) {
  const auto n = static_cast<size_t>(size);
  if (generated.size() < n) {
    return;
  }
  const auto latest = generated.last(n - 1);
  for (size_t i = 0; i + n <= generated.size(); ++i) {
    const auto last = static_cast<size_t>(generated[i + n - 1]);
    if (last < scores.size() && std::ranges::equal(generated.subspan(i, n - 1), latest)) {
      scores[last] = kForbidden;
    }
  }
}

// Once per token, however often it came. In float32, as torch computes it.
void penalise(double penalty, std::span<const int64_t> generated, std::span<float> scores) {
  std::vector<int64_t> seen(generated.begin(), generated.end());
  std::ranges::sort(seen);
  seen.erase(std::ranges::unique(seen).begin(), seen.end());
  const auto factor = static_cast<float>(penalty);
  for (const int64_t id : seen) {
    if (static_cast<size_t>(id) < scores.size()) {
      float& score = scores[static_cast<size_t>(id)];
      score = score < 0.0F ? score * factor : score / factor;
    }
  }
}

void forbid(std::span<const int64_t> ids, std::span<float> scores) {
  for (const int64_t id : ids) {
    scores[static_cast<size_t>(id)] = kForbidden;
  }
}

// The last token of every word whose others are the latest tokens (NoBadWordsLogitsProcessor).
void forbid_words(std::span<const std::vector<int64_t>> words,
                  std::span<const int64_t> generated,
                  std::span<float> scores) {
  for (const std::vector<int64_t>& word : words) {
    const auto before = std::span(word).first(word.size() - 1);
    if (before.size() <= generated.size() &&
        std::ranges::equal(before, generated.last(before.size()))) {
      scores[static_cast<size_t>(word.back())] = kForbidden;
    }
  }
}

// Forbids all other tokens (ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor).
void force(std::span<const int64_t> ids, std::span<float> scores) {
  std::ranges::fill(scores, kForbidden);
  for (const int64_t id : ids) {
    scores[static_cast<size_t>(id)] = 0.0F;
  }
}

}  // namespace

int64_t argmax(std::span<const float> scores) {
  const float largest = checked_largest(scores);
  return std::ranges::find(scores, largest) - scores.begin();
}

void log_softmax(std::span<float> scores) {
  const float largest = checked_largest(scores);
  const auto log_sum =
      static_cast<float>(std::log(sum_of_exp(scores.data(), scores.size(), largest)));
  for (float& score : scores) {
    score = score - largest - log_sum;
  }
}

void apply_rules(const TokenRules& rules,
                 std::span<const int64_t> generated,
                 std::span<float> scores) {
  const bool looks_back = rules.repetition_penalty != 1.0 || rules.no_repeat_ngram_size > 0 ||
                          !rules.bad_words_ids.empty();
  std::vector<int64_t> joined;
  if (looks_back && !rules.before.empty()) {
    joined = rules.before;
    joined.insert(joined.end(), generated.begin(), generated.end());
  }
  const std::span<const int64_t> seen = joined.empty() ? generated : joined;
  if (rules.repetition_penalty != 1.0) {
    penalise(rules.repetition_penalty, seen, scores);
  }
  if (rules.no_repeat_ngram_size > 0) {
    forbid_ngrams(rules.no_repeat_ngram_size, seen, scores);
  }
  forbid_words(rules.bad_words_ids, seen, scores);
  const int64_t length = std::ssize(generated);
  const int64_t before = std::ssize(rules.before);
  if (length < rules.min_new_tokens) {
    forbid(rules.eos_token_ids, scores);
  }
  // generate(inputs_embeds=...) begins with no ids, so that the first "begin" token is the second; behind
  // a prompt of several ids there is none (ForcedBOSTokenLogitsProcessor: a length of 1).
  if (rules.forced_bos_token_id && before + length == 1) {
    force({&*rules.forced_bos_token_id, 1}, scores);
  }
  if (!rules.forced_eos_token_ids.empty() && length == rules.max_new_tokens - 1) {
    force(rules.forced_eos_token_ids, scores);
  }
  forbid(rules.suppress_tokens, scores);
  if (length == (rules.forced_bos_token_id && before <= 1 ? 1 : 0)) {
    forbid(rules.begin_suppress_tokens, scores);
  }
}

int64_t likeliest(const TokenRules& rules,
                  std::span<const int64_t> generated,
                  std::span<const float> logits) {
  std::vector<float> scores(logits.begin(), logits.end());
  apply_rules(rules, generated, scores);
  return argmax(scores);
}

void apply_filters(const SamplingFilters& filters, std::span<float> scores) {
  if (filters.temperature != 1.0) {
    const auto temperature = static_cast<float>(filters.temperature);
    for (float& score : scores) {
      score /= temperature;
    }
  }
  if (filters.top_k > 0) {
    keep_top_k(filters.top_k, scores);
  }
  if (filters.top_p < 1.0) {
    keep_top_p(filters.top_p, scores);
  }
}

double RandomNumbers::next() {
  const auto high = static_cast<double>(engine_() >> 5);
  const auto low = static_cast<double>(engine_() >> 6);
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

int64_t sample(std::span<const float> scores, double uniform) {
  const double largest = checked_largest(scores);
  double sum = 0.0;
  for (const float score : scores) {
    if (score != kForbidden) {
      sum += std::exp(static_cast<double>(score) - largest);
    }
  }
  const double wanted = uniform * sum;
  double so_far = 0.0;
  size_t last = 0;
  for (size_t id = 0; id < scores.size(); ++id) {
    if (scores[id] == kForbidden) {
      continue;
    }
    last = id;
    so_far += std::exp(static_cast<double>(scores[id]) - largest);
    if (so_far > wanted) {
      break;
    }
  }
  return static_cast<int64_t>(last);
}

}  // namespace lorapress
