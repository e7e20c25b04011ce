#include "blocks/rope.h"

#include <cmath>
#include <numbers>

namespace lorapress {
namespace {

// Long waves are slowed by `factor`, short ones kept, those between blended.
float llama3_frequency(float frequency, const RopeConfig& rope) {
  const auto original = static_cast<float>(rope.original_max_position_embeddings);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto high = static_cast<float>(rope.high_freq_factor);
  const float wavelength = 2.0F * std::numbers::pi_v<float> / frequency;
  const float slowed = frequency / static_cast<float>(rope.factor);
  if (wavelength > original / low) {
    return slowed;
  }
  if (wavelength < original / high) {
    return frequency;
  }
  const float smooth = (original / wavelength - low) / (high - low);
  return (1.0F - smooth) * slowed + smooth * frequency;
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeConfig& rope, int64_t head_dim) {
  std::vector<float> frequencies(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float frequency = 1.0F / std::pow(static_cast<float>(rope.rope_theta), exponent);
    frequencies[i] = rope.rope_type == "linear"   ? frequency / static_cast<float>(rope.factor)
                     : rope.rope_type == "llama3" ? llama3_frequency(frequency, rope)
                                                  : frequency;
  }
  return frequencies;
}

RopeTables rope_tables(const Builder& b, const std::string& name, const TextConfig& config) {
  const std::vector<float> frequencies = inverse_frequencies(config.rope, config.head_dim);
  const auto positions = static_cast<size_t>(config.max_position_embeddings);
  std::vector<float> cos(positions * frequencies.size());
  std::vector<float> sin(cos.size());
  for (size_t position = 0; position < positions; ++position) {
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const float angle = static_cast<float>(position) * frequencies[i];
      cos[position * frequencies.size() + i] = std::cos(angle);
      sin[position * frequencies.size() + i] = std::sin(angle);
    }
  }
  const Shape shape{config.max_position_embeddings, config.head_dim / 2};
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
