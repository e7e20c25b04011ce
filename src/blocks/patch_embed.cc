#include "blocks/patch_embed.h"

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
  const int64_t rows = pixel_values.dim(2).value / patch;
  const int64_t columns = pixel_values.dim(3).value / patch;
  const int64_t width = kernel.at(1) * patch * patch;
  Value pixels = pixel_values;
  if (rows * patch != pixels.dim(2).value || columns * patch != pixels.dim(3).value) {
    pixels = graph.op("Slice",
                      scope + "/Slice",
                      {pixels,
                       graph.integers({0, 0}),
                       graph.integers({rows * patch, columns * patch}),
                       graph.integers({2, 3})});
  }
  const Value cut =
      graph.op("Reshape",
               scope + "/Reshape_cut",
               {pixels, graph.integers({0, kernel.at(1), rows, patch, columns, patch})});
  const Value patches = graph.op(
      "Transpose", scope + "/Transpose", {cut}, {{"perm", std::vector<int64_t>{0, 2, 4, 1, 3, 5}}});
  const Value flat = graph.op(
      "Reshape", scope + "/Reshape_flat", {patches, graph.integers({0, rows * columns, width})});
  return linear(b,
                scope + "/patch_embedding",
                flat,
                {weights.patch.name,
                 reshape(weights.patch.weight, {kernel.at(0), width}),
                 weights.patch.bias});
}

}  // namespace

//  pixels ── embed_patches ── Add(positions) ── tokens
Value patch_embed(const Builder& b,
                  const std::string& scope,
                  const Value& pixel_values,
                  const PatchEmbedWeights& weights,
                  const Value& position_ids) {
  const Value tokens = embed_patches(b, scope, pixel_values, weights);
  Value positions = b.weight(weights.positions_name, weights.positions);
  if (position_ids.present()) {
    positions = b.graph.op(
        "Gather", scope + "/positions", {positions, position_ids}, {{"axis", int64_t{0}}});
  }
  return b.graph.op("Add", scope + "/Add_positions", {tokens, positions});
}

}  // namespace lorapress
