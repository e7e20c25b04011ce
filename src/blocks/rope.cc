#include "blocks/rope.h"

namespace lorapress {

Rope rope(const Builder& b,
          const std::string& name,
          std::span<const float> frequencies,
          int64_t positions,
          float scaling) {
  const std::vector<float> values(frequencies.begin(), frequencies.end());
  const Shape shape{std::ssize(values)};
  return {b.graph.initializer(name + ".frequencies", float_constant(shape, values)),
          positions,
          scaling};
}

//  Range(first, end)
RopeTables rope_tables(const Builder& b,
                       const std::string& scope,
                       const Rope& rope,
                       const Value& first,
                       const Value& end) {
  return rope_tables(
      b, scope, rope, b.graph.op("Range", scope + "/Range", {first, end, b.graph.integer(1)}));
}

//  positions ── Cast ── Unsqueeze ── Mul(frequencies) ── Cos and Sin ── (Mul(scaling))
// In float32, as in transformers' LlamaRotaryEmbedding.forward.
RopeTables rope_tables(const Builder& b,
                       const std::string& scope,
                       const Rope& rope,
                       const Value& positions) {
  Graph& graph = b.graph;
  const Attributes to_float{{"to", int64_t{dtype_row(DType::kF32).onnx}}};
  const Value numbers = graph.op("Cast", scope + "/Cast", {positions}, to_float);
  const auto axis = static_cast<int64_t>(positions.rank());
  const Value column =
      graph.op("Unsqueeze", scope + "/Unsqueeze", {numbers, graph.integers({axis})});
  const Value angles = graph.op("Mul", scope + "/Mul", {column, rope.frequencies});
  const RopeTables tables{graph.op("Cos", scope + "/Cos", {angles}),
                          graph.op("Sin", scope + "/Sin", {angles})};
  if (rope.scaling == 1.0F) {
    return tables;
  }
  const auto scaled = [&](const char* name, const Value& table) {
    return graph.op("Mul", scope + name, {table, graph.scalar(rope.scaling)});
  };
  return {scaled("/cos_scaled", tables.cos), scaled("/sin_scaled", tables.sin)};
}

RopeTables for_heads(const Builder& b, const std::string& scope, const RopeTables& tables) {
  const Value axis = b.graph.integers({static_cast<int64_t>(tables.cos.rank()) - 1});
  return {b.graph.op("Unsqueeze", scope + "/cos_heads", {tables.cos, axis}),
          b.graph.op("Unsqueeze", scope + "/sin_heads", {tables.sin, axis})};
}

//  x ── Split ─┬─ x1 ─ x1*cos - x2*sin ─┐
//              ├─ x2 ─ x2*cos + x1*sin ─┼─ Concat ── y
//              └─ (rest) ───────────────┘
Value rotate(const Builder& b, const std::string& scope, const Value& x, const RopeTables& tables) {
  Graph& graph = b.graph;
  const int64_t half = tables.cos.dim(tables.cos.rank() - 1).value;
  std::vector<int64_t> widths{half, half};
  std::vector<size_t> wanted{0, 1};
  if (const int64_t rest = x.dim(3).value - 2 * half; rest > 0) {
    widths.push_back(rest);
    wanted.push_back(2);
  }
  const std::vector<Value> halves = graph.ops(
      "Split", scope + "/Split", {x, graph.integers(widths)}, {{"axis", int64_t{3}}}, wanted);
  const auto times = [&](const char* name, const Value& a, const Value& factor) {
    return graph.op("Mul", scope + "/" + name, {a, factor});
  };
  const Value left =
      graph.op("Sub",
               scope + "/Sub",
               {times("Mul_1", halves[0], tables.cos), times("Mul_2", halves[1], tables.sin)});
  const Value right =
      graph.op("Add",
               scope + "/Add",
               {times("Mul_3", halves[1], tables.cos), times("Mul_4", halves[0], tables.sin)});
  std::vector<Value> parts{left, right};
  parts.insert(parts.end(), halves.begin() + 2, halves.end());
  return graph.op("Concat", scope + "/Concat", parts, {{"axis", int64_t{3}}});
}

}  // namespace lorapress
