// An ONNX graph while it is authored. Weights stay lazy: an initializer is a name and a Weight.
// Node names are addresses (/decoder/layers.0/mlp/up_proj/MatMul) and are never parsed back.
#ifndef LORAPRESS_GRAPH_GRAPH_H_
#define LORAPRESS_GRAPH_GRAPH_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/ops.h"
#include "graph/value.h"
#include "weights/weight.h"

namespace lorapress {

struct GraphNode {
  const OpRow* op;
  std::string name;
  std::vector<int> inputs;   // value ids, -1 for an absent optional input
  std::vector<int> outputs;  // -1 for an output that is left out
  Attributes attributes;
};

// The body of a Loop or a branch of If: nodes in a scope of their own, authored through the
// enclosing Graph. The nodes may read the Graph's values by name; weights and constants that the
// body creates belong to the main graph, so that nothing is stored twice. Value ids are those of
// the Graph.
struct Body {
  std::string name;
  std::vector<GraphNode> nodes;
  std::vector<int> inputs;
  std::vector<int> outputs;
  std::vector<TensorType> input_types;
  std::vector<TensorType> output_types;
};

class Graph {
 public:
  using Node = GraphNode;
  struct Initializer {
    int value;
    WeightPtr weight;
  };

  // opset: 17 to 23; throws kUnsupported for any other.
  Graph(std::string name, int opset);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] int opset() const { return opset_; }

  // Every name may be used once; a second use throws.
  Value input(const std::string& name, DType dtype, Dims dims);
  // The same with a value for callers that feed none; a runtime lists these inputs apart, so clients in
  // JavaScript cannot feed them.
  Value optional_input(const std::string& name, Dims dims, WeightPtr usual);
  Value initializer(const std::string& name, WeightPtr weight);
  // Gives the value its public name and declares it an output; `dims` replace those that the type
  // rules could not infer.
  void output(const Value& value, const std::string& name, Dims dims);

  // Constants, named by their content and stored once.
  Value integers(const std::vector<int64_t>& values);  // int64 [n]
  Value integer(int64_t value);                        // int64 scalar
  Value scalar(float value);                           // float32 scalar
  Value boolean(bool value);                           // bool scalar

  // Emits one node. op() returns its first output, ops() the outputs at the indices `wanted`
  // (ascending); the outputs between those are left out, as optional outputs may be.
  Value op(std::string_view type,
           const std::string& name,
           const std::vector<Value>& inputs,
           Attributes attributes = {});
  std::vector<Value> ops(std::string_view type,
                         const std::string& name,
                         const std::vector<Value>& inputs,
                         Attributes attributes,
                         const std::vector<size_t>& wanted);

  // A body: `author` is given the inputs (named <name>/<input name>) and returns the outputs, which
  // must be made inside the body. Nodes that `author` emits go into the body; bodies may be nested.
  struct BodyInput {
    std::string name;
    DType dtype;
    Dims dims;
  };
  BodyPtr body(const std::string& name,
               const std::vector<BodyInput>& inputs,
               const std::function<std::vector<Value>(const std::vector<Value>&)>& author);

  // Emits a Loop and returns all of its outputs; ONNX requires every carried value as an output,
  // used or not.
  std::vector<Value> loop(const std::string& name, const std::vector<Value>& inputs, BodyPtr body);

  // For writers, checkers and passes.
  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  [[nodiscard]] const std::vector<Initializer>& initializers() const { return initializers_; }
  [[nodiscard]] const std::vector<int>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<int>& outputs() const { return outputs_; }
  [[nodiscard]] const std::string& value_name(int id) const {
    return values_[static_cast<size_t>(id)].name;
  }
  [[nodiscard]] const TensorType& value_type(int id) const {
    return values_[static_cast<size_t>(id)].type;
  }
  [[nodiscard]] bool uses_microsoft_domain() const;

 private:
  struct Named {
    std::string name;
    TensorType type;
    int scope;  // 0: the main graph
  };
  struct Scope {
    int id;
    std::vector<Node>* nodes;
  };
  class OpenScope;
  [[nodiscard]] bool visible(const Value& value) const;
  Value add_value(std::string name, TensorType type);
  Value constant(const std::string& name, DType dtype, Shape shape, std::vector<std::byte> bytes);

  std::string name_;
  int opset_;
  std::vector<Named> values_;
  std::vector<Node> nodes_;
  std::vector<Scope> scopes_;  // bodies under construction, the innermost last
  int last_scope_ = 0;
  std::vector<Initializer> initializers_;
  std::vector<int> inputs_;
  std::vector<int> outputs_;
  std::set<std::string> names_;
  std::map<std::string, Value> constants_;
  std::unordered_map<int, std::vector<int64_t>> integer_content_;
};

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_GRAPH_H_
