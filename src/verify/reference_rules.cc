#include "verify/reference_rules.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "base/fail.h"

namespace lorapress {

ReferenceRules::ReferenceRules(const GenerationSettings& settings,
                               std::span<const std::string> inside,
                               const std::vector<int64_t>& eos_token_ids) {
  for (const std::string& rule : inside) {
    if (rule == "repetition_penalty") {
      penalty_ = settings.repetition_penalty.value_or(1.0);
    } else if (rule == "no_repeat_ngram_size") {
      ngram_ = static_cast<size_t>(settings.no_repeat_ngram_size.value_or(0));
    } else if (rule == "bad_words_ids") {
      bad_words_ = settings.bad_words_ids.value_or(std::vector<std::vector<int64_t>>());
      // A lone end token stays allowed.
      std::erase_if(bad_words_, [&](const std::vector<int64_t>& word) {
        return word.size() == 1 && std::ranges::count(eos_token_ids, word[0]) != 0;
      });
    } else {
      fail(ErrorCode::kUnsupported, "rules_in_graph has {}, which verify does not know", rule);
    }
    any_ = true;
  }
}

std::vector<int64_t> ReferenceRules::forbidden(std::span<const int64_t> ids) const {
  std::vector<int64_t> out;
  if (ngram_ > 0 && ids.size() + 1 >= ngram_) {
    // _get_ngrams(): what followed each group of n - 1 ids.
    std::multimap<std::vector<int64_t>, int64_t> followed;
    for (size_t end = ngram_; end <= ids.size(); ++end) {
      const auto ngram = ids.first(end).last(ngram_);
      followed.emplace(std::vector<int64_t>(ngram.begin(), ngram.end() - 1), ngram.back());
    }
    const auto latest = ids.last(ngram_ - 1);
    const auto [first, last] =
        followed.equal_range(std::vector<int64_t>(latest.begin(), latest.end()));
    std::for_each(first, last, [&](const auto& entry) { out.push_back(entry.second); });
  }
  for (const std::vector<int64_t>& word : bad_words_) {
    const auto before = std::span(word).first(word.size() - 1);
    if (before.size() <= ids.size() && std::ranges::equal(before, ids.last(before.size()))) {
      out.push_back(word.back());
    }
  }
  return out;
}

void ReferenceRules::penalise(std::span<const int64_t> ids, std::span<float> logits) const {
  for (const int64_t id : std::set<int64_t>(ids.begin(), ids.end())) {
    if (id >= 0 && id < std::ssize(logits)) {
      float& logit = logits[static_cast<size_t>(id)];
      const auto value = static_cast<double>(logit);
      logit = static_cast<float>(value < 0.0 ? value * penalty_ : value / penalty_);
    }
  }
}

void ReferenceRules::apply(std::span<const int64_t> ids, std::span<float> logits) const {
  penalise(ids, logits);
  for (const int64_t id : forbidden(ids)) {
    if (id >= 0 && id < std::ssize(logits)) {
      logits[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
    }
  }
}

AllowedLogits allowed_logits(std::span<const float> wanted, std::span<const float> found) {
  constexpr float kForbidden = -std::numeric_limits<float>::infinity();
  AllowedLogits allowed;
  for (size_t token = 0; token < wanted.size(); ++token) {
    const bool out = wanted[token] == kForbidden;
    if (out != (found[token] == kForbidden)) {
      allowed.fault = fmt::format(
          "the decoder {} the token {}, which its rules {}: rules_in_graph is not what its graph does",
          out ? "allows" : "forbids",
          token,
          out ? "forbid" : "allow");
    } else if (!out) {
      allowed.wanted.push_back(wanted[token]);
      allowed.found.push_back(found[token]);
    }
  }
  return allowed;
}

}  // namespace lorapress
