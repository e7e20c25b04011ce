// The first parameter of every block: the graph to emit into and the operator dialect.
#ifndef LORAPRESS_BLOCKS_BUILDER_H_
#define LORAPRESS_BLOCKS_BUILDER_H_

#include <string>

#include "lorapress/export_options.h"

#include "graph/graph.h"

namespace lorapress {

// Blocks are free functions: typed parameters in, Values out. `scope` is the address under which a
// block names its nodes, e.g. "/decoder/layers.0/mlp".
struct Builder {
  Graph& graph;
  OpDialect ops = OpDialect::kOrt;

  [[nodiscard]] bool fused() const { return ops == OpDialect::kOrt; }
  // A weight in the graph's compute dtype (float32), under the given tensor name.
  Value weight(const std::string& name, WeightPtr value) const {
    return graph.initializer(name, cast(std::move(value), DType::kF32));
  }
};

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_BUILDER_H_
