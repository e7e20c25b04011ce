#include "blocks/position_embeddings.h"

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

}  // namespace lorapress
