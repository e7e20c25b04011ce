#include "blocks/patch_embed.h"

#include "blocks/shapes.h"

namespace lorapress {
namespace {

//  pixels ── (Slice to whole patches) ── Reshape [batch, channels, rows, patch, columns, patch] ── Transpose
//    ── Reshape [batch, tokens, channels * patch * patch] ── MatMul ── Add ── tokens
// A convolution whose stride is its kernel, as a product: quantizers look for products.
Value embed_patches(const Builder& b,
                    const std::string& scope,
                    const Value& pixel_values,
                    const PatchEmbedWeights& weights) {
  Graph& graph = b.graph;
  const Shape& kernel = weights.patch.weight->shape();  // [hidden, channels, patch, patch]
  const int64_t patch = weights.patch_size;
  const int64_t side = weights.image_size / patch;  // patches
  const int64_t width = kernel.at(1) * patch * patch;
  Value pixels = pixel_values;
  if (side * patch != weights.image_size) {
    pixels = graph.op("Slice",
                      scope + "/Slice",
                      {pixels,
                       graph.integers({0, 0}),
                       graph.integers({side * patch, side * patch}),
                       graph.integers({2, 3})});
  }
  const Value cut = graph.op("Reshape",
                             scope + "/Reshape_cut",
                             {pixels, graph.integers({0, kernel.at(1), side, patch, side, patch})});
  const Value patches = graph.op(
      "Transpose", scope + "/Transpose", {cut}, {{"perm", std::vector<int64_t>{0, 2, 4, 1, 3, 5}}});
  const Value flat = graph.op(
      "Reshape", scope + "/Reshape_flat", {patches, graph.integers({0, side * side, width})});
  return linear(b,
                scope + "/patch_embedding",
                flat,
                {weights.patch.name,
                 reshape(weights.patch.weight, {kernel.at(0), width}),
                 weights.patch.bias});
}

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

//  pixels ── embed_patches ── (Concat class token) ── Add(positions) ── (Concat registers) ── tokens
Value patch_embed(const Builder& b,
                  const std::string& scope,
                  const Value& pixel_values,
                  const PatchEmbedWeights& weights,
                  const Value& position_ids) {
  Value tokens = embed_patches(b, scope, pixel_values, weights);
  if (weights.class_token.weight) {
    tokens = joined(b,
                    scope + "/Concat_class",
                    {repeated(b, scope + "/class_token", weights.class_token, tokens), tokens});
  }
  Value positions = b.weight(weights.positions_name, weights.positions);
  if (position_ids.present()) {
    positions = b.graph.op(
        "Gather", scope + "/positions", {positions, position_ids}, {{"axis", int64_t{0}}});
  }
  tokens = b.graph.op("Add", scope + "/Add_positions", {tokens, positions});
  return weights.register_tokens.weight ? with_registers(b, scope, tokens, weights.register_tokens)
                                        : tokens;
}

}  // namespace lorapress
