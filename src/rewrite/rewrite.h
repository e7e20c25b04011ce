// The tool of every pass: replaces a model's nodes one by one, in the main graph and in subgraphs,
// in their order, so that the result stays topologically sorted.
#ifndef LORAPRESS_REWRITE_REWRITE_H_
#define LORAPRESS_REWRITE_REWRITE_H_

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "lorapress/quantize.h"

#include "graph/model.h"

namespace lorapress {

using NodeList = std::vector<onnx::NodeProto>;

// Empty names stand for absent optional inputs and outputs.
onnx::NodeProto make_node(std::string_view op_type,
                          const std::string& name,
                          const std::vector<std::string>& inputs,
                          const std::vector<std::string>& outputs,
                          const Attributes& attributes = {},
                          std::string_view domain = "");

// The attribute's value or the fallback; a wrong type counts as absent.
int64_t integer_attribute(const onnx::NodeProto& node, std::string_view name, int64_t fallback);
float float_attribute(const onnx::NodeProto& node, std::string_view name, float fallback);

// Declares the type of a value that a pass made, for later passes.
void declare_value(Model& model, const std::string& name, const TensorType& type);

// Whether the user excluded the node or the weight of this name.
bool excluded(const SchemeOptions& options, const std::string& name);

// True if a node of the main graph or of a subgraph has this operator.
bool has_operator(const Model& model, std::string_view op_type);

class Rewriter {
 public:
  explicit Rewriter(Model& model);

  [[nodiscard]] Model& model() { return model_; }
  [[nodiscard]] int64_t opset() const { return opset_of(model_.proto, ""); }

  // Visits every node of the main graph and of all subgraphs. `visit` appends what replaces the
  // node to the list and returns true, or returns false to keep the node. Nodes added here are not
  // visited again. The body of a subgraph is rewritten before the node that holds it is visited.
  using Visit = std::function<bool(const onnx::NodeProto& node, NodeList& replacement)>;
  void rewrite(const Visit& visit);
  // During rewrite(): a number for the graph that holds the node being visited. What a visit adds
  // can be read by later nodes of the same scope.
  [[nodiscard]] int scope() const { return scope_; }
  // Visits every node without changing the model.
  void for_each_node(const std::function<void(const onnx::NodeProto& node)>& visit) const;

  // The lazy weight of this name. Null where there is none, and for the default of an input, which
  // is not a constant.
  [[nodiscard]] WeightPtr weight(const std::string& name) const;
  // The same, including the defaults of inputs.
  [[nodiscard]] WeightPtr any_weight(const std::string& name) const;
  // True if the name is an input of the main graph with an initializer as its default.
  [[nodiscard]] bool has_default(const std::string& name) const;
  // The type of a value, as declared, inferred or given by a weight; empty where unknown.
  [[nodiscard]] std::optional<DeclaredType> type(const std::string& name) const;
  void set_type(const std::string& name, const TensorType& type);
  // Inputs of nodes that read the value, plus 1 if it is an output of the main graph or of a
  // subgraph; as the model was when the Rewriter was made or refresh() was called.
  [[nodiscard]] size_t uses(const std::string& name) const;
  [[nodiscard]] bool is_graph_output(const std::string& name) const;
  void refresh();

  // A name that is not used in the model: `base`, or `base` with a number appended.
  std::string unique(const std::string& base);
  // Declares the weight in the main graph under unique(base) and returns the name.
  std::string add_weight(const std::string& base, WeightPtr weight);
  // Replaces the weight of an existing name.
  void replace_weight(const std::string& name, WeightPtr weight);
  // Small constants, made once per content.
  std::string scalar(float value);
  std::string integer(int64_t value);                        // int64 scalar
  std::string integers(const std::vector<int64_t>& values);  // int64 [n]

  // Nodes in the form of the graph's opset: before opset 13 axes and sizes are attributes, before
  // opset 10 also bounds.
  onnx::NodeProto unsqueeze(const std::string& name,
                            const std::string& input,
                            const std::string& output,
                            const std::vector<int64_t>& axes);
  onnx::NodeProto split(const std::string& name,
                        const std::string& input,
                        const std::vector<std::string>& outputs,
                        int64_t axis,
                        const std::vector<int64_t>& sizes);
  onnx::NodeProto slice(const std::string& name,
                        const std::string& input,
                        const std::string& output,
                        int64_t begin,
                        int64_t end,
                        int64_t axis);

  // Imports the domain at this version; a newer import is kept.
  void require_opset(const std::string& domain, int64_t version);
  // Removes the declarations and weights that no node reads any more. Call it once at the end of a
  // pass.
  void drop_unused_weights();

 private:
  std::string constant(const std::string& name,
                       DType dtype,
                       Shape shape,
                       std::vector<std::byte> bytes);
  void rewrite_graph(onnx::GraphProto& graph, const Visit& visit);

  Model& model_;
  int scope_ = 0;
  int scopes_ = 0;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, size_t> uses_;
  std::unordered_set<std::string> outputs_;
  std::unordered_set<std::string> inputs_;  // of the main graph
  std::unordered_map<std::string, DeclaredType> types_;
  std::unordered_map<std::string, std::string> constants_;
};

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_REWRITE_H_
