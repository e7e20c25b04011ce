// Walks over the graphs that are attributes of nodes: bodies of If, Loop and Scan.
#ifndef LORAPRESS_GRAPH_BODIES_H_
#define LORAPRESS_GRAPH_BODIES_H_

#include <type_traits>

#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// Calls visit(body) for each body of the node itself, not for bodies nested inside.
template <typename Node, typename Visit>
void for_each_body(Node& node, const Visit& visit) {
  for (int i = 0; i < node.attribute_size(); ++i) {
    if constexpr (std::is_const_v<Node>) {
      if (node.attribute(i).has_g()) {
        visit(node.attribute(i).g());
      }
      for (const auto& graph : node.attribute(i).graphs()) {
        visit(graph);
      }
    } else {
      auto* attribute = node.mutable_attribute(i);
      if (attribute->has_g()) {
        visit(*attribute->mutable_g());
      }
      for (auto& graph : *attribute->mutable_graphs()) {
        visit(graph);
      }
    }
  }
}

// Calls visit(graph) for the graph, then for all bodies in the graph at any depth, outer bodies
// first.
template <typename Graph, typename Visit>
void for_each_graph(Graph& graph, const Visit& visit) {
  visit(graph);
  const auto bodies = [&](auto& node) {
    for_each_body(node, [&](auto& body) { for_each_graph(body, visit); });
  };
  if constexpr (std::is_const_v<Graph>) {
    for (const onnx::NodeProto& node : graph.node()) {
      bodies(node);
    }
  } else {
    for (onnx::NodeProto& node : *graph.mutable_node()) {
      bodies(node);
    }
  }
}

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_BODIES_H_
