#include <algorithm>
#include <functional>
#include <limits>

#include "base/fail.h"
#include "blocks/shapes.h"
#include "blocks/token_rules.h"

namespace lorapress {
namespace {

// Scores that change: index int64 [rows, n] and whether it counts, bool [rows, n], n at least 1. Where it does not,
// the index may be anything.
struct Changes {
  Value index;
  Value counts;
};

class Rules {
 public:
  Rules(const Builder& b, const std::string& scope, const HistoryRules& rules, int64_t vocab)
      : b_(b), graph_(b.graph), scope_(scope), rules_(rules), vocab_(vocab) {}

  //  scores ── Squeeze [rows, vocab] ── penalty ── forbidden ── Unsqueeze
  Value apply(const Value& scores, const Value& ids) {
    const Value axis = graph_.integers({1});
    const Value seen = padded(ids);
    Value ruled = graph_.op("Squeeze", name("scores"), {scores, axis});
    if (rules_.repetition_penalty != 1.0) {
      ruled = change(
          "repetition", ruled, {seen, in_vocabulary("repetition/seen", seen)}, [&](const Value& x) {
            return penalised(x);
          });
    }
    std::vector<Changes> forbidden;
    if (rules_.no_repeat_ngram_size > 0) {
      forbidden.push_back(repeated_ngrams(seen));
    }
    if (!rules_.bad_words.empty()) {
      forbidden.push_back(bad_words(seen));
    }
    if (!forbidden.empty()) {
      const Value never = graph_.scalar(-std::numeric_limits<float>::infinity());
      ruled =
          change("forbidden", ruled, joined(forbidden), [&](const Value& /*x*/) { return never; });
    }
    return graph_.op("Unsqueeze", name("ruled_scores"), {ruled, axis});
  }

 private:
  [[nodiscard]] std::string name(const std::string& what) const { return scope_ + "/" + what; }

  [[nodiscard]] int64_t longest_word() const {
    size_t most = 1;
    for (const std::vector<int64_t>& word : rules_.bad_words) {
      most = std::max(most, word.size());
    }
    return static_cast<int64_t>(most);
  }

  // Behind as many -1 as the rules look back, so that nothing is shorter.
  Value padded(const Value& ids) {
    rows_ = length_of(b_, name("rows"), ids, 0);
    const int64_t pad = std::max(rules_.no_repeat_ngram_size, longest_word());
    const Value none =
        filled(b_, name("no_ids"), graph_.integer(-1), {rows_, graph_.integers({pad})});
    return graph_.op("Concat", name("seen"), {none, ids}, {{"axis", int64_t{1}}});
  }

  Value in_vocabulary(const std::string& what, const Value& ids) {
    const Value below = graph_.op("Less", name(what + "/below"), {ids, graph_.integer(vocab_)});
    const Value above = graph_.op("Greater", name(what + "/above"), {ids, graph_.integer(-1)});
    return graph_.op("And", name(what), {above, below});
  }

  // score < 0 ? score * penalty : score / penalty
  Value penalised(const Value& x) {
    const Value factor = graph_.scalar(static_cast<float>(rules_.repetition_penalty));
    const Value less = graph_.op("Less", name("repetition/negative"), {x, graph_.scalar(0.0F)});
    const Value times = graph_.op("Mul", name("repetition/times"), {x, factor});
    const Value over = graph_.op("Div", name("repetition/over"), {x, factor});
    return graph_.op("Where", name("repetition/penalised"), {less, times, over});
  }

  // ids[:, begin : end] of the seen tokens, int64 [1] each
  Value cut(const std::string& what, const Value& ids, const Value& begin, const Value& end) {
    return graph_.op("Slice", name(what), {ids, begin, end, graph_.integers({1})});
  }
  // The token `back` places from the end, [rows, 1]; 1 is the last.
  Value latest(const std::string& what, const Value& ids, int64_t back) {
    const int64_t end = back == 1 ? INT32_MAX : 1 - back;
    return cut(what, ids, graph_.integers({-back}), graph_.integers({end}));
  }

  Value all(const std::string& what, const Value& so_far, const Value& also) {
    return so_far.present() ? graph_.op("And", name(what), {so_far, also}) : also;
  }

  //  n-grams begin at 0 ... t - n. One that begins with the n - 1 latest tokens forbids its last:
  //  ids[:, k : k + t - n + 1] ── Equal(latest k) ── And, over k < n - 1
  //  ids[:, n - 1 :] ── the tokens that are forbidden
  Changes repeated_ngrams(const Value& ids) {
    const int64_t n = rules_.no_repeat_ngram_size;
    const std::string scope = "ngrams";
    const Value length = length_of(b_, name(scope + "/seen_length"), ids, 1);
    const Value count =
        graph_.op("Sub", name(scope + "/count"), {length, graph_.integers({n - 1})});
    const Value last =
        cut(scope + "/last", ids, graph_.integers({n - 1}), graph_.integers({INT32_MAX}));
    Value match = in_vocabulary(scope + "/known", last);
    for (int64_t k = 0; k < n - 1; ++k) {
      const std::string at = scope + "/" + std::to_string(k);
      const Value end = graph_.op("Add", name(at + "/end"), {count, graph_.integers({k})});
      const Value tokens = cut(at + "/tokens", ids, graph_.integers({k}), end);
      const Value equal =
          graph_.op("Equal", name(at + "/Equal"), {tokens, latest(at + "/latest", ids, n - 1 - k)});
      match = all(at + "/And", match, equal);
    }
    return {last, match};
  }

  Value table(const std::string& what, const std::vector<int64_t>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return graph_.initializer(
        name(what),
        constant_weight(
            DType::kI64, {1, static_cast<int64_t>(values.size())}, {bytes.begin(), bytes.end()}));
  }

  //  words [1, words]: the last token, and the token `back` places before it, or any where the word is shorter
  //  latest(back) [rows, 1] ── Equal(token before) ── Or(any) ── And, over back
  Changes bad_words(const Value& ids) {
    const std::string scope = "bad_words";
    std::vector<int64_t> last;
    for (const std::vector<int64_t>& word : rules_.bad_words) {
      last.push_back(word.back());
    }
    const int64_t count = std::ssize(last);
    const Value shape = graph_.op("Concat",
                                  name(scope + "/shape"),
                                  {rows_, graph_.integers({count})},
                                  {{"axis", int64_t{0}}});
    Value match;
    for (size_t back = 1; std::cmp_less(back, longest_word()); ++back) {
      const std::string at = scope + "/" + std::to_string(back);
      std::vector<int64_t> before;
      std::vector<std::byte> any;
      for (const std::vector<int64_t>& word : rules_.bad_words) {
        const bool shorter = word.size() <= back;
        before.push_back(shorter ? 0 : word[word.size() - 1 - back]);
        any.push_back(std::byte{shorter});
      }
      const Value equal = graph_.op(
          "Equal",
          name(at + "/Equal"),
          {latest(at + "/latest", ids, static_cast<int64_t>(back)), table(at + "/token", before)});
      const Value wild = graph_.initializer(
          name(at + "/any"), constant_weight(DType::kBool, {1, count}, std::move(any)));
      match = all(at + "/And", match, graph_.op("Or", name(at + "/Or"), {equal, wild}));
    }
    if (!match.present()) {
      match = graph_.op("Expand", name(scope + "/always"), {graph_.boolean(true), shape});
    }
    return {graph_.op("Expand", name(scope + "/last"), {table(scope + "/last_token", last), shape}),
            match};
  }

  Changes joined(const std::vector<Changes>& parts) {
    if (parts.size() == 1) {
      return parts[0];
    }
    return {graph_.op("Concat",
                      name("joined/index"),
                      {parts[0].index, parts[1].index},
                      {{"axis", int64_t{1}}}),
            graph_.op("Concat",
                      name("joined/counts"),
                      {parts[0].counts, parts[1].counts},
                      {{"axis", int64_t{1}}})};
  }

  // One pass over the scores. An index that does not count writes what the first one that counts writes, so that
  // equal indices write equal values; where none counts, all write score 0 back.
  //
  //  index ── Where(counts, ., 0) ┬─ GatherElements(scores) ── new ─┐
  //                               └─ first that counts ── Where ── ScatterElements(scores) ──
  Value change(const std::string& what,
               const Value& scores,
               const Changes& changes,
               const std::function<Value(const Value&)>& changed) {
    const auto node = [&](std::string_view type,
                          const char* part,
                          const std::vector<Value>& inputs,
                          Attributes attributes = {}) {
      return graph_.op(type, name(what + "/" + part), inputs, std::move(attributes));
    };
    const auto gather = [&](const char* part, const Value& from, const Value& at) {
      return node("GatherElements", part, {from, at}, {{"axis", int64_t{1}}});
    };
    const Value known = node("Where", "known", {changes.counts, changes.index, graph_.integer(0)});
    const Value now = gather("now", scores, known);
    const Value next = node("Where", "next", {changes.counts, changed(now), now});
    const Value first = node("ArgMax",
                             "first",
                             {to_dtype(b_, name(what + "/number"), changes.counts, DType::kI32)},
                             {{"axis", int64_t{1}}, {"keepdims", int64_t{1}}});
    const Value index =
        node("Where", "index", {changes.counts, known, gather("first_index", known, first)});
    const Value value =
        node("Where", "value", {changes.counts, next, gather("first_value", next, first)});
    return node(
        "ScatterElements", "ScatterElements", {scores, index, value}, {{"axis", int64_t{1}}});
  }

  const Builder& b_;
  Graph& graph_;
  std::string scope_;
  const HistoryRules& rules_;
  int64_t vocab_;
  Value rows_;  // int64 [1]
};

}  // namespace

Value apply_history_rules(const Builder& b,
                          const std::string& scope,
                          const HistoryRules& rules,
                          const Value& scores,
                          const Value& ids) {
  const bool any =
      rules.repetition_penalty != 1.0 || rules.no_repeat_ngram_size > 0 || !rules.bad_words.empty();
  const auto too_long = [](const std::vector<int64_t>& word) {
    return std::ssize(word) > kMostComparedTokens;
  };
  if (rules.no_repeat_ngram_size > kMostComparedTokens ||
      std::ranges::any_of(rules.bad_words, too_long)) {
    fail(ErrorCode::kUnsupported,
         "no_repeat_ngram_size and words of bad_words_ids above {} tokens cannot lie in a graph",
         kMostComparedTokens);
  }
  return any ? Rules(b, scope, rules, scores.dim(2).value).apply(scores, ids) : scores;
}

}  // namespace lorapress
