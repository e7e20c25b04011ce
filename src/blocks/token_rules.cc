#include "blocks/token_rules.h"

#include <limits>

#include "blocks/shapes.h"

namespace lorapress {
namespace {

// bool [vocab]: set at the ids.
Value mask_of(const Builder& b,
              const std::string& name,
              const std::vector<int64_t>& ids,
              int64_t vocab) {
  std::vector<std::byte> mask(static_cast<size_t>(vocab), std::byte{0});
  for (const int64_t id : ids) {
    mask.at(static_cast<size_t>(id)) = std::byte{1};
  }
  return b.graph.initializer(name, constant_weight(DType::kBool, {vocab}, std::move(mask)));
}

Value never(const Builder& b) {
  return b.graph.scalar(-std::numeric_limits<float>::infinity());
}

// scores, but minus infinity where `mask` (bool, broadcast) is set
Value forbid(const Builder& b, const std::string& name, const Value& mask, const Value& scores) {
  return b.graph.op("Where", name, {mask, never(b), scores});
}

// In iteration `at` only the ids may come, with score 0.
Value force(const Builder& b,
            const std::string& scope,
            const std::vector<int64_t>& ids,
            const Value& iteration,
            const Value& at,
            const Value& scores) {
  Graph& graph = b.graph;
  const Value now = graph.op("Equal", scope + "/now", {iteration, at});
  const Value mask = mask_of(b, scope + "/ids", ids, scores.dim(2).value);
  const Value forced = graph.op("Where", scope + "/forced", {mask, graph.scalar(0.0F), never(b)});
  return graph.op("Where", scope, {now, forced, scores});
}

}  // namespace

Value apply_rules(const Builder& b,
                  const std::string& scope,
                  const LoopRules& rules,
                  const Value& scores,
                  const Value& ids,
                  const Value& iteration,
                  const Value& max_new_tokens) {
  Graph& graph = b.graph;
  const int64_t vocab = scores.dim(2).value;
  Value ruled = apply_history_rules(b, scope, rules.history, scores, ids);
  if (rules.min_new_tokens > 0) {
    const Value early = graph.op(
        "Less", scope + "/too_short/early", {iteration, graph.integer(rules.min_new_tokens)});
    const Value mask = mask_of(b, scope + "/ends", rules.ends, vocab);
    ruled = forbid(
        b, scope + "/forbid_ends", graph.op("And", scope + "/too_short", {mask, early}), ruled);
  }
  if (rules.forced_second) {
    ruled = force(
        b, scope + "/force_second", {*rules.forced_second}, iteration, graph.integer(1), ruled);
  }
  if (!rules.forced_last.empty()) {
    const Value last =
        graph.op("Sub", scope + "/last_iteration", {max_new_tokens, graph.integer(1)});
    ruled = force(b, scope + "/force_last", rules.forced_last, iteration, last, ruled);
  }
  if (!rules.forbidden.empty()) {
    ruled = forbid(
        b, scope + "/forbid", mask_of(b, scope + "/forbidden", rules.forbidden, vocab), ruled);
  }
  if (!rules.forbidden_first.empty()) {
    const Value first = graph.op(
        "Equal", scope + "/at_first/now", {iteration, graph.integer(rules.forced_second ? 1 : 0)});
    const Value mask = mask_of(b, scope + "/forbidden_first", rules.forbidden_first, vocab);
    ruled = forbid(
        b, scope + "/forbid_first", graph.op("And", scope + "/at_first", {mask, first}), ruled);
  }
  return ruled;
}

}  // namespace lorapress
