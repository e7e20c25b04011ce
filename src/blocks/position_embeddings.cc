#include "blocks/position_embeddings.h"

#include <cmath>

#include "blocks/shapes.h"

namespace lorapress {

//  first = past + offset;  table ── Slice [first : first + sequence] ── y
Value learned_positions(const Builder& b,
                        const std::string& scope,
                        const Value& table,
                        int64_t offset,
                        const Value& embeddings,
                        const Value& past_key) {
  Graph& graph = b.graph;
  const Value past = length_of(b, scope + "/past_length", past_key, 2);
  const Value sequence = length_of(b, scope + "/sequence_length", embeddings, 1);
  const Value first =
      offset == 0 ? past : graph.op("Add", scope + "/first", {past, graph.integers({offset})});
  const Value end = graph.op("Add", scope + "/end", {first, sequence});
  return graph.op("Slice", scope + "/Slice", {table, first, end, graph.integers({0})});
}

//  seen = ids != padding;  position = (CumSum(seen) + past) * seen + padding
//  position ── Cast ── Unsqueeze ── Mul(frequencies) ─┬─ Sin ─ Concat ── Mul(seen) ── y
//                                                    └─ Cos ──┘
// In float32 as torch computes them: frequencies[i] = exp(-i log(10000) / (hidden / 2 - 1)).
Value sinusoidal_positions(const Builder& b,
                           const std::string& scope,
                           int64_t hidden,
                           int64_t padding,
                           const Value& ids,
                           const Value& past_key) {
  Graph& graph = b.graph;
  const int64_t half = hidden / 2;
  const auto step = static_cast<float>(-(std::log(10000.0) / static_cast<double>(half - 1)));
  std::vector<float> frequencies;
  for (int64_t i = 0; i < half; ++i) {
    frequencies.push_back(std::exp(static_cast<float>(i) * step));
  }
  const auto unsqueeze = [&](const std::string& name, const Value& x) {
    return graph.op("Unsqueeze", scope + name, {x, graph.integers({2})});
  };
  const Value pads = graph.op("Equal", scope + "/Equal", {ids, graph.integer(padding)});
  const Value seen =
      to_dtype(b, scope + "/seen", graph.op("Not", scope + "/Not", {pads}), DType::kI64);
  const Value past = length_of(b, scope + "/past_length", past_key, 2);
  const Value counted = graph.op("CumSum", scope + "/CumSum", {seen, graph.integer(1)});
  const Value behind = graph.op("Add", scope + "/Add_past", {counted, past});
  const Value kept = graph.op("Mul", scope + "/Mul_seen", {behind, seen});
  const Value ahead = graph.op("Add", scope + "/Add_padding", {kept, graph.integer(padding)});
  const Value column = unsqueeze("/column", to_dtype(b, scope + "/positions", ahead, DType::kF32));
  const Value factors =
      graph.initializer(scope + ".frequencies", float_constant({half}, frequencies));
  const Value angles = graph.op("Mul", scope + "/Mul_angles", {column, factors});
  const Value waves = graph.op(
      "Concat",
      scope + "/Concat",
      {graph.op("Sin", scope + "/Sin", {angles}), graph.op("Cos", scope + "/Cos", {angles})},
      {{"axis", int64_t{2}}});
  const Value mask = unsqueeze("/mask", to_dtype(b, scope + "/seen_float", seen, DType::kF32));
  return graph.op("Mul", scope + "/Mul_mask", {waves, mask});
}

}  // namespace lorapress
