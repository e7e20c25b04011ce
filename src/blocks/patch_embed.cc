#include "blocks/patch_embed.h"

namespace lorapress {

//  pixels ── Conv(stride = patch) ── Reshape [batch, hidden, tokens] ── Transpose ── Add(positions) ── tokens
Value patch_embed(const Builder& b,
                  const std::string& scope,
                  const Value& pixel_values,
                  const PatchEmbedWeights& weights,
                  const Value& position_ids) {
  Graph& graph = b.graph;
  const int64_t hidden = weights.patch.weight->shape().at(0);
  const std::vector<int64_t> patch{weights.patch_size, weights.patch_size};
  const Value kernel = b.weight(weights.patch.name + ".weight", weights.patch.weight);
  const Value bias = b.weight(weights.patch.name + ".bias", weights.patch.bias);
  const Value grid = graph.op("Conv",
                              scope + "/Conv",
                              {pixel_values, kernel, bias},
                              {{"kernel_shape", patch}, {"strides", patch}});
  const Value flat =
      graph.op("Reshape", scope + "/Reshape", {grid, graph.integers({0, hidden, -1})});
  const Value tokens = graph.op(
      "Transpose", scope + "/Transpose", {flat}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  Value positions = b.weight(weights.positions_name, weights.positions);
  if (position_ids.present()) {
    positions = graph.op(
        "Gather", scope + "/positions", {positions, position_ids}, {{"axis", int64_t{0}}});
  }
  return graph.op("Add", scope + "/Add_positions", {tokens, positions});
}

}  // namespace lorapress
