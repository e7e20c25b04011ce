#include "blocks/patch_embed.h"

#include "blocks/shapes.h"

namespace lorapress {
namespace {

// The tokens once per image: [count, hidden] -> [batch, count, hidden].
Value repeated(const Builder& b,
               const std::string& name,
               const TokenWeights& tokens,
               const Value& rows) {
  const Value one = b.graph.integers({1});
  const Value batch = length_of(b, name + "_batch", rows, 0);
  const Shape& shape = tokens.weight->shape();
  const Value weight = b.weight(tokens.name, reshape(tokens.weight, {1, shape.at(0), shape.at(1)}));
  return filled(b, name, weight, {batch, one, one});
}

Value joined(const Builder& b, const std::string& name, const std::vector<Value>& parts) {
  return b.graph.op("Concat", name, parts, {{"axis", int64_t{1}}});
}

//  x ── Slice [:, :1] ─┐
//  registers ───────── Concat ── y
//  x ── Slice [:, 1:] ─┘
Value with_registers(const Builder& b,
                     const std::string& scope,
                     const Value& x,
                     const TokenWeights& registers) {
  Graph& graph = b.graph;
  const auto slice = [&](const std::string& name, int64_t from, int64_t to) {
    return graph.op("Slice",
                    scope + name,
                    {x, graph.integers({from}), graph.integers({to}), graph.integers({1})});
  };
  return joined(b,
                scope + "/Concat_registers",
                {slice("/class", 0, 1),
                 repeated(b, scope + "/register_tokens", registers, x),
                 slice("/patches", 1, INT32_MAX)});
}

}  // namespace

//  pixels ── Conv(stride = patch) ── Reshape [batch, hidden, tokens] ── Transpose ── (Concat class token) ── Add(positions) ── tokens
Value patch_embed(const Builder& b,
                  const std::string& scope,
                  const Value& pixel_values,
                  const PatchEmbedWeights& weights) {
  Graph& graph = b.graph;
  const int64_t hidden = weights.patch.weight->shape().at(0);
  const std::vector<int64_t> patch{weights.patch_size, weights.patch_size};
  const Value kernel = b.weight(weights.patch.name + ".weight", weights.patch.weight);
  std::vector<Value> inputs{pixel_values, kernel};
  if (weights.patch.bias) {
    inputs.push_back(b.weight(weights.patch.name + ".bias", weights.patch.bias));
  }
  const Value grid =
      graph.op("Conv", scope + "/Conv", inputs, {{"kernel_shape", patch}, {"strides", patch}});
  const Value flat =
      graph.op("Reshape", scope + "/Reshape", {grid, graph.integers({0, hidden, -1})});
  Value tokens = graph.op(
      "Transpose", scope + "/Transpose", {flat}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  if (weights.class_token.weight) {
    tokens = joined(b,
                    scope + "/Concat_class",
                    {repeated(b, scope + "/class_token", weights.class_token, tokens), tokens});
  }
  tokens = graph.op("Add",
                    scope + "/Add_positions",
                    {tokens, b.weight(weights.positions_name, weights.positions)});
  return weights.register_tokens.weight ? with_registers(b, scope, tokens, weights.register_tokens)
                                        : tokens;
}

}  // namespace lorapress
