#include "rewrite/fold.h"

#include <cstring>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/checked.h"
#include "graph/write.h"
#include "rewrite/rewrite.h"

namespace lorapress {
namespace {

using Integers = std::vector<int64_t>;

std::optional<Integers> integers_of(const onnx::TensorProto& tensor) {
  if (tensor.data_type() != onnx::TensorProto::INT64) {
    return std::nullopt;
  }
  if (!tensor.has_raw_data()) {
    return Integers(tensor.int64_data().begin(), tensor.int64_data().end());
  }
  Integers values(tensor.raw_data().size() / sizeof(int64_t));
  std::memcpy(values.data(), tensor.raw_data().data(), values.size() * sizeof(int64_t));
  return values;
}

const onnx::AttributeProto* attribute(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& found : node.attribute()) {
    if (found.name() == name) {
      return &found;
    }
  }
  return nullptr;
}

class Folder {
 public:
  explicit Folder(Model& model) : model_(model), rewriter_(model) {
    const auto& declared = model.proto.graph().initializer();
    for (int i = 0; i < declared.size(); ++i) {
      declared_[declared[i].name()] = i;
    }
    rewriter_.for_each_node([&](const onnx::NodeProto& node) { examine(node); });
  }

  void run() {
    rewriter_.rewrite(
        [&](const onnx::NodeProto& node, NodeList& made) { return visit(node, made); });
    if (aliases_.empty() && kept_transposes_.empty()) {
      return;  // as in most graphs
    }
    rewriter_.refresh();
    rewriter_.rewrite([&](const onnx::NodeProto& node, NodeList&) {
      const bool leftover = node.op_type() == "Constant" ||
                            (node.output_size() == 1 && kept_transposes_.contains(node.output(0)));
      return leftover && node.output_size() == 1 && rewriter_.uses(node.output(0)) == 0;
    });
    rewriter_.drop_unused_weights();
  }

 private:
  void examine(const onnx::NodeProto& node) {
    if (node.op_type() == "Constant" && node.attribute_size() == 1 && node.output_size() == 1) {
      const onnx::AttributeProto& value = node.attribute(0);
      if (value.has_t()) {
        if (auto integers = integers_of(value.t())) {
          constants_.emplace(node.output(0), std::move(*integers));
        }
      } else if (value.name() == "value_ints") {
        constants_.emplace(node.output(0), Integers(value.ints().begin(), value.ints().end()));
      }
    } else if (is_transpose(node)) {
      ++transposes_[node.input(0)];
    }
  }

  static bool is_transpose(const onnx::NodeProto& node) {
    const auto* perm = attribute(node, "perm");
    return node.op_type() == "Transpose" && node.domain().empty() && node.input_size() == 1 &&
           (perm == nullptr ||
            (perm->ints_size() == 2 && perm->ints(0) == 1 && perm->ints(1) == 0));
  }

  bool visit(const onnx::NodeProto& original, NodeList& made) {
    onnx::NodeProto node = original;
    bool changed = false;
    for (std::string& input : *node.mutable_input()) {
      const auto alias = aliases_.find(input);
      if (alias != aliases_.end()) {
        input = alias->second;
        changed = true;
      }
    }
    if (fold(node, original.input_size() == 0 ? "" : original.input(0)) ||
        multiply_by_shared(node, made)) {
      return true;
    }
    if (changed) {
      made.push_back(std::move(node));
    }
    return changed;
  }

  // True when the node is folded away: its output is now an alias of the weight that it reads.
  bool fold(const onnx::NodeProto& node, const std::string& read) {
    if (!node.domain().empty() || node.input_size() == 0 || node.output_size() != 1 ||
        rewriter_.is_graph_output(node.output(0))) {
      return false;
    }
    const std::string name = node.input(0);
    const WeightPtr weight = rewriter_.weight(name);
    if (!weight) {
      return false;
    }
    if (node.op_type() == "Identity") {
      replace(node, nullptr);
      return true;
    }
    if (is_transpose(node) && weight->shape().size() == 2) {
      return fold_transpose(node, read, weight);
    }
    WeightPtr folded = uses(name) == 1 ? computed(node, weight) : nullptr;
    if (!folded) {
      return false;
    }
    replace(node, std::move(folded));
    return true;
  }

  // Transposes a weight in place when no node reads it untransposed; the other Transposes of the
  // weight are then folded, too.
  bool fold_transpose(const onnx::NodeProto& node,
                      const std::string& read,
                      const WeightPtr& weight) {
    const std::string& name = node.input(0);
    const bool direct = read == name;  // not through a node that was folded
    if (direct && transposed_weights_.contains(name)) {
      replace(node, nullptr);
      return true;
    }
    if (uses(name) != (direct ? transposes_.at(name) : 1)) {
      kept_transposes_.emplace(node.output(0), name);
      return false;
    }
    replace(node, transpose(weight));
    if (direct) {
      transposed_weights_.insert(name);
    }
    return true;
  }

  // Null when no view of the weight can replace the node.
  [[nodiscard]] WeightPtr computed(const onnx::NodeProto& node, const WeightPtr& weight) const {
    if (node.op_type() == "Cast") {
      const auto to = dtype_from_onnx(static_cast<int>(integer_attribute(node, "to", 0)));
      const bool floats = to && dtype_row(*to).is_float && dtype_row(weight->dtype()).is_float;
      return floats ? cast(weight, *to) : nullptr;
    }
    const auto shape = reshaped(node, weight->shape());
    const auto elements = shape ? checked_product(*shape) : std::nullopt;
    return elements && *elements == checked_product(weight->shape()) ? reshape(weight, *shape)
                                                                     : nullptr;
  }

  [[nodiscard]] std::optional<Shape> reshaped(const onnx::NodeProto& node,
                                              const Shape& shape) const {
    auto wanted = node.op_type() == "Reshape" && node.input_size() == 2 ? integers(node.input(1))
                                                                        : std::nullopt;
    if (!wanted) {
      return std::nullopt;
    }
    const bool zero_copies = integer_attribute(node, "allowzero", 0) == 0;
    int64_t known = 1;
    std::optional<size_t> open;
    for (size_t i = 0; i < wanted->size(); ++i) {
      int64_t& dim = (*wanted)[i];
      if (dim == 0 && zero_copies && i < shape.size()) {
        dim = shape[i];
      }
      if (dim == -1 && !open) {
        open = i;
      } else if (dim <= 0 || __builtin_mul_overflow(known, dim, &known)) {
        return std::nullopt;
      }
    }
    if (open) {
      (*wanted)[*open] = checked_product(shape).value_or(0) / known;
    }
    return wanted;
  }

  [[nodiscard]] std::optional<Integers> integers(const std::string& name) const {
    const auto constant = constants_.find(name);
    if (constant != constants_.end()) {
      return constant->second;
    }
    const WeightPtr weight = rewriter_.weight(name);
    if (!weight || weight->dtype() != DType::kI64 || weight->bytes() > kSmallTensor) {
      return std::nullopt;
    }
    Integers values(weight->bytes() / sizeof(int64_t));
    read_bytes(*weight, 0, std::as_writable_bytes(std::span(values)));
    return values;
  }

  // The node's output becomes an alias of the weight that it reads; the weight is replaced by
  // `folded` unless that is null.
  void replace(const onnx::NodeProto& node, WeightPtr folded) {
    const std::string name = node.input(0);
    if (folded) {
      const Shape& shape = folded->shape();
      rewriter_.set_type(name, {folded->dtype(), Dims(shape.begin(), shape.end())});
      *model_.proto.mutable_graph()->mutable_initializer(declared_.at(name)) =
          declare(name, *folded);
      model_.weights[name] = std::move(folded);
    }
    const size_t left = uses(name) - 1;
    uses_[name] = left + uses(node.output(0));
    aliases_[node.output(0)] = name;
  }

  [[nodiscard]] size_t uses(const std::string& name) const {
    const auto found = uses_.find(name);
    return found == uses_.end() ? rewriter_.uses(name) : found->second;
  }

  // For any rank of x, also an unknown one:
  //
  //  x [..., k] -- Reshape [-1, k] -- Gemm(w [n, k], transB) -- Reshape [..., n]
  //     |                                                          |
  //     Shape -- Slice [0:-1] -- Concat [n] ------------------------
  bool multiply_by_shared(const onnx::NodeProto& node, NodeList& made) {
    if (node.op_type() != "MatMul" || !node.domain().empty() || node.input_size() != 2) {
      return false;
    }
    const auto shared = kept_transposes_.find(node.input(1));
    if (shared == kept_transposes_.end()) {
      return false;
    }
    const auto type = rewriter_.type(node.input(0));
    const std::string& x = node.input(0);
    const WeightPtr weight = rewriter_.weight(shared->second);
    const std::string base = node.name().empty() ? node.output(0) : node.name();
    const auto add = [&](std::string_view op,
                         const std::vector<std::string>& inputs,
                         std::string output,
                         const Attributes& attributes = {}) {
      const std::string name = rewriter_.unique(base + "/" + std::string(op));
      output = output.empty() ? rewriter_.unique(name + "_output") : output;
      made.push_back(make_node(op, name, inputs, {output}, attributes));
      return output;
    };
    const auto gemm_inputs = [&](const std::string& left) {
      std::vector<std::string> inputs{left, shared->second};
      constexpr int64_t kOptionalBias = 11;
      if (rewriter_.opset() < kOptionalBias) {
        inputs.push_back(zero(weight->dtype()));
      }
      return inputs;
    };
    const Attributes trans_b{{"transB", int64_t{1}}};
    if (type && type->has_shape && type->type.dims.size() == 2) {
      add("Gemm", gemm_inputs(x), node.output(0), trans_b);
      return true;
    }
    const std::string rows =
        add("Reshape", {x, rewriter_.integers({-1, weight->shape().at(1)})}, "");
    const std::string flat = add("Gemm", gemm_inputs(rows), "", trans_b);
    const std::string all = add("Shape", {x}, "");
    const std::string lead = rewriter_.unique(base + "/Slice_output");
    made.push_back(rewriter_.slice(rewriter_.unique(base + "/Slice"), all, lead, 0, -1, 0));
    const std::string shape = add(
        "Concat", {lead, rewriter_.integers({weight->shape().at(0)})}, "", {{"axis", int64_t{0}}});
    add("Reshape", {flat, shape}, node.output(0));
    return true;
  }

  std::string zero(DType dtype) {
    std::string& name = zeros_[dtype];
    if (name.empty()) {
      name = rewriter_.add_weight("/passes/zero", zeros(dtype, {}));
    }
    return name;
  }

  Model& model_;
  Rewriter rewriter_;
  std::map<DType, std::string> zeros_;
  std::unordered_map<std::string, int> declared_;        // index of an initializer
  std::unordered_map<std::string, Integers> constants_;  // small integers in Constant nodes
  std::unordered_map<std::string, size_t> transposes_;   // Transpose nodes that read a value
  std::unordered_map<std::string, std::string> aliases_;
  std::unordered_map<std::string, size_t> uses_;  // of values whose uses changed
  std::unordered_map<std::string, std::string>
      kept_transposes_;  // Transposes that stay: output -> weight
  std::unordered_set<std::string> transposed_weights_;
};

}  // namespace

void fold_weights(Model& model) {
  Folder(model).run();
}

}  // namespace lorapress
