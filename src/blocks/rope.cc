#include "blocks/rope.h"

#include <cmath>

namespace lorapress {
RopeTables rope_tables(const Builder& b,
                       const std::string& name,
                       std::span<const float> frequencies,
                       int64_t positions) {
  std::vector<float> cos(static_cast<size_t>(positions) * frequencies.size());
  std::vector<float> sin(cos.size());
  for (size_t position = 0; position < static_cast<size_t>(positions); ++position) {
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const float angle = static_cast<float>(position) * frequencies[i];
      cos[position * frequencies.size() + i] = std::cos(angle);
      sin[position * frequencies.size() + i] = std::sin(angle);
    }
  }
  const Shape shape{positions, std::ssize(frequencies)};
  return {b.graph.initializer(name + ".cos_cache", float_constant(shape, cos)),
          b.graph.initializer(name + ".sin_cache", float_constant(shape, sin))};
}

RopeTables rope_rows(const Builder& b,
                     const std::string& scope,
                     const RopeTables& tables,
                     const Value& first,
                     const Value& end) {
  const auto rows = [&](const Value& table, const char* name) {
    const Value cut =
        b.graph.op("Slice", scope + "/" + name, {table, first, end, b.graph.integers({0})});
    return b.graph.op("Unsqueeze", scope + "/" + name + "_heads", {cut, b.graph.integers({1})});
  };
  return {rows(tables.cos, "cos"), rows(tables.sin, "sin")};
}

//  x ── Split ─┬─ x1 ─ x1*cos - x2*sin ─┐
//              └─ x2 ─ x2*cos + x1*sin ─┴─ Concat ── y
Value rotate(const Builder& b, const std::string& scope, const Value& x, const RopeTables& rows) {
  Graph& graph = b.graph;
  const int64_t half = x.dim(3).value / 2;
  const std::vector<Value> halves = graph.ops(
      "Split", scope + "/Split", {x, graph.integers({half, half})}, {{"axis", int64_t{3}}}, {0, 1});
  const auto times = [&](const char* name, const Value& a, const Value& factor) {
    return graph.op("Mul", scope + "/" + name, {a, factor});
  };
  const Value left =
      graph.op("Sub",
               scope + "/Sub",
               {times("Mul_1", halves[0], rows.cos), times("Mul_2", halves[1], rows.sin)});
  const Value right =
      graph.op("Add",
               scope + "/Add",
               {times("Mul_3", halves[1], rows.cos), times("Mul_4", halves[0], rows.sin)});
  return graph.op("Concat", scope + "/Concat", {left, right}, {{"axis", int64_t{3}}});
}

}  // namespace lorapress
