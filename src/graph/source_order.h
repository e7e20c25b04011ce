// One order of the initializers for all dtypes of a graph, whatever order the passes left: files
// that are written together then read the same weights at the same time.
#ifndef LORAPRESS_GRAPH_SOURCE_ORDER_H_
#define LORAPRESS_GRAPH_SOURCE_ORDER_H_

#include <unordered_map>

#include "graph/model.h"

namespace lorapress {

class SourceOrder {
 public:
  // The order of the model's own initializers.
  explicit SourceOrder(const Model& model);
  // Sorts the initializers of a model that passes made from the original one by their sources
  // (root_of). An initializer that derives from none of the listed sources keeps its place after
  // its predecessor.
  void apply(Model& model) const;

 private:
  std::unordered_map<const Weight*, size_t> ranks_;
};

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_SOURCE_ORDER_H_
