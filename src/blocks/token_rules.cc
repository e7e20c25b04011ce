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

//  zeros [rows, vocab] ── ScatterElements(ids, ones) ── seen ── Where(seen, ., scores)
//  scores ── Less(0) ── Where(scores * penalty, scores / penalty) ─┘
Value penalise(const Builder& b,
               const std::string& scope,
               double penalty,
               const Value& scores,
               const Value& ids) {
  Graph& graph = b.graph;
  const int64_t vocab = scores.dim(2).value;
  const Value rows = length_of(b, scope + "/rows", ids, 0);
  const Value nothing =
      filled(b, scope + "/nothing", graph.scalar(0.0F), {rows, graph.integers({vocab})});
  const Value shape = graph.op("Shape", scope + "/ids_shape", {ids});
  const Value ones = graph.op("Expand", scope + "/ones", {graph.scalar(1.0F), shape});
  const Value marks =
      graph.op("ScatterElements", scope + "/marks", {nothing, ids, ones}, {{"axis", int64_t{1}}});
  const Value seen =
      graph.op("Unsqueeze",
               scope + "/seen",
               {to_dtype(b, scope + "/seen_tokens", marks, DType::kBool), graph.integers({1})});
  const Value factor = graph.scalar(static_cast<float>(penalty));
  const Value less = graph.op("Less", scope + "/negative", {scores, graph.scalar(0.0F)});
  const Value times = graph.op("Mul", scope + "/times", {scores, factor});
  const Value over = graph.op("Div", scope + "/over", {scores, factor});
  const Value penalised = graph.op("Where", scope + "/penalised", {less, times, over});
  return graph.op("Where", scope + "/penalty", {seen, penalised, scores});
}

// bool [vocab]: `mask` while the iteration is below `end`.
Value until(const Builder& b,
            const std::string& scope,
            const Value& mask,
            const Value& iteration,
            int64_t end) {
  const Value early = b.graph.op("Less", scope + "/early", {iteration, b.graph.integer(end)});
  return b.graph.op("And", scope, {mask, early});
}

}  // namespace

Value apply_rules(const Builder& b,
                  const std::string& scope,
                  const LoopRules& rules,
                  const Value& scores,
                  const Value& ids,
                  const Value& iteration) {
  Graph& graph = b.graph;
  const int64_t vocab = scores.dim(2).value;
  Value ruled = scores;
  if (rules.repetition_penalty != 1.0) {
    ruled = penalise(b, scope + "/repetition", rules.repetition_penalty, ruled, ids);
  }
  std::vector<Value> masks;
  if (!rules.forbidden.empty()) {
    masks.push_back(mask_of(b, scope + "/forbidden", rules.forbidden, vocab));
  }
  if (!rules.forbidden_first.empty()) {
    const Value mask = mask_of(b, scope + "/forbidden_first", rules.forbidden_first, vocab);
    masks.push_back(until(b, scope + "/at_first", mask, iteration, 1));
  }
  if (rules.min_new_tokens > 0) {
    const Value mask = mask_of(b, scope + "/ends", rules.ends, vocab);
    masks.push_back(until(b, scope + "/too_short", mask, iteration, rules.min_new_tokens));
  }
  for (size_t i = 0; i < masks.size(); ++i) {
    const std::string name = scope + "/forbid." + std::to_string(i);
    const Value out = graph.scalar(-std::numeric_limits<float>::infinity());
    ruled = graph.op("Where", name, {masks[i], out, ruled});
  }
  return ruled;
}

}  // namespace lorapress
