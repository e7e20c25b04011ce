// Which nodes of a model compute in float16, and the type in which each float32 value is then made.
#ifndef LORAPRESS_SCHEMES_FLOAT16_PLAN_H_
#define LORAPRESS_SCHEMES_FLOAT16_PLAN_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "rewrite/rewrite.h"
#include "schemes/float16_constants.h"

namespace lorapress {

// How a float32 value of the old graph is made in the new one, and what follows from it for the
// node that reads it.
enum class Flow {
  kNone,       // not a float32 tensor: integers, sequences, absent inputs
  kHalf,       // made in float16
  kFloat,      // made in float32 by a node that stays; its readers may be float16
  kStatistic,  // float32: powers, sums, roots and exponentials, which exceed float16's range
  kIndex,      // float32: arithmetic on integers such as positions, exact there up to 2^24
  kConstant,   // float32: made of small constants alone
};

enum class Mode {
  kHalf,   // floats in and out are float16
  kFloat,  // floats in and out stay float32
  kAny,    // accepts either type (Shape, Cast, …)
};

// Rules, node by node in order:
//  - Operators without a float16 form (Range, Resize, …; the block list of
//    onnxruntime.transformers.float16) and those of unknown domains stay.
//  - Pow, reductions, Sqrt, Exp and the like stay: x^2 passes 65504 from |x| = 256 on. So do the
//    simple nodes behind them as long as nothing else joins, and the Add, Sub, Mul or Div that
//    joins a statistic with other values: a decomposed RMSNorm or LayerNorm is float32 up to its
//    weight.
//  - Floats made from integers stay float32 as far as simple nodes go: rotary angles, masks.
//  - What only small constants enter stays; it is cast once.
//  - So do the sum of scores and a mask that was made of fed values, and its softmax.
//  - So does what an eps below float16's numbers enters, as far as simple nodes go.
//  - Bodies of If, Loop and Scan take and give float16.
//  - Everything else is float16.
class Float16Plan {
 public:
  // True for nodes that stay float32 whatever their operator: excluded nodes, and nodes that read a
  // weight beyond float16's range.
  using Stays = std::function<bool(const onnx::NodeProto&)>;
  Float16Plan(const onnx::GraphProto& graph,
              const Rewriter& rewriter,
              const HalfConstants& constants,
              const Stays& stays);

  // The modes of the nodes, in the order in which Rewriter::rewrite() visits them.
  [[nodiscard]] const std::vector<Mode>& modes() const { return modes_; }
  // Not for weights.
  [[nodiscard]] Flow flow(const std::string& name) const;

  struct Readers {
    size_t half = 0;
    size_t single = 0;
  };
  [[nodiscard]] Readers readers(const std::string& weight) const;
  // The float outputs of bodies, which all become float16.
  [[nodiscard]] const std::unordered_set<std::string>& body_outputs() const {
    return body_outputs_;
  }

 private:
  void walk(const onnx::GraphProto& graph, bool is_body);
  void enter_body(const onnx::NodeProto& holder, const onnx::GraphProto& body);
  void decide(const onnx::NodeProto& node);
  // The kinds of inputs of a node.
  struct Inputs {
    bool half = false;
    bool single = false;  // other float32 values
    bool statistic = false;
    bool index = false;
    bool large_weight = false;  // above kSmallTensor
    bool any_float = false;
    [[nodiscard]] bool wholly_special() const { return !half && !single && (statistic || index); }
    [[nodiscard]] bool constant() const {  // small ones alone
      return !half && !single && !statistic && !index && !large_weight;
    }
    [[nodiscard]] Flow flow_or_index(Flow mixed) const;
    [[nodiscard]] Flow special() const;
  };
  [[nodiscard]] Inputs inputs_of(const onnx::NodeProto& node) const;
  [[nodiscard]] Mode mode_of(const onnx::NodeProto& node, Flow* out) const;
  // How the values of a node that stays float32 are made; nothing for one that becomes float16.
  [[nodiscard]] std::optional<Flow> stays_float(const onnx::NodeProto& node,
                                                const Inputs& in) const;
  [[nodiscard]] Mode cast_mode(const onnx::NodeProto& node, Flow* out) const;
  [[nodiscard]] bool is_float_weight(const std::string& name) const;
  [[nodiscard]] bool gives_float(const onnx::NodeProto& node, int output) const;
  [[nodiscard]] bool makes_tiny(const onnx::NodeProto& node) const;
  [[nodiscard]] bool is_tiny(const std::string& name) const;
  [[nodiscard]] bool joins_mask(const onnx::NodeProto& node) const;
  [[nodiscard]] bool guards(const onnx::NodeProto& node) const;

  const Rewriter& rewriter_;
  const HalfConstants& constants_;
  const Stays& stays_;
  std::unordered_map<std::string, Flow> flows_;
  std::unordered_map<std::string, Readers> readers_;
  std::unordered_set<std::string> body_outputs_;
  std::unordered_set<std::string> tiny_;  // values made of constants that vanish in float16
  std::vector<Mode> modes_;
};

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_FLOAT16_PLAN_H_
