// Patterns of the nodes that LoraPress writes, each replaced by one kernel:
//
//   x ── MatMul(W), Gemm(W, transB), MatMulNBits(W, scales) ─────────────────────────┐
//   x ── DynamicQuantizeLinear ── MatMulInteger(W) ── Cast ── Mul(Mul(scale, scales)) ┴─ Linear
//
//   Linear ── Add(bias)            its bias
//   Linear ── Gelu, FastGelu, QuickGelu, Relu     its epilogue
//   Linear ── Mul(gate)            its epilogue: gate and up
//   Linear ── Add(residual)        its epilogue
//
//   x ─┬─ Pow(2) ── ReduceMean ── Add(epsilon) ── Sqrt ─┐
//      └──────────────────────────────────────────────── Div ── Mul(weight)       RmsNorm
//
// A pattern stands where its last node stood; what no one reads any more is left out.
#include "engine/fuse_list.h"

#include <algorithm>
#include <cstring>

namespace lorapress::engine {
namespace {

using kernels::Epilogue;
using kernels::WeightKind;
using kernels::WeightOrder;

// Of one list of nodes.
class Fuser {
 public:
  Fuser(Program& program, const Sources& sources, Steps& steps, std::vector<int>& readers)
      : program_(program), sources_(sources), nodes_(steps.nodes), readers_(readers) {}

  void run() {
    makers_.assign(program_.values.size(), -1);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      at_ = i;
      fuse_node();
      for (const Slot slot : nodes_[i].outputs) {
        if (slot != kNoSlot) {
          makers_[static_cast<size_t>(slot)] = static_cast<int32_t>(i);
        }
      }
    }
  }

 private:
  [[nodiscard]] Node& node() { return nodes_[at_]; }
  [[nodiscard]] const Value& value(Slot slot) const {
    return program_.values[static_cast<size_t>(slot)];
  }
  [[nodiscard]] static bool is(const Node& node, const char* op) {
    return std::strcmp(node.row->name, op) == 0;
  }
  [[nodiscard]] bool is_constant(Slot slot) const {
    return slot != kNoSlot && value(slot).is_constant();
  }
  [[nodiscard]] Dims dims_of(Slot slot) const {  // of a constant
    return value(slot).stored ? value(slot).stored->dims : value(slot).constant.dims();
  }
  [[nodiscard]] bool is_half(Slot slot) const {
    return value(slot).stored &&
           value(slot).stored->type == static_cast<int32_t>(OnnxType::kFloat16);
  }
  // The one float of a constant.
  [[nodiscard]] bool scalar(Slot slot, float& found) {
    if (!is_constant(slot) || value(slot).type != Type::kF32 || dims_of(slot).count() != 1) {
      return false;
    }
    found = *constant(program_, sources_, slot).floats();
    return true;
  }

  // The node of this list that makes a value which one node alone reads; null otherwise.
  [[nodiscard]] Node* maker(Slot slot, const char* op, int readers = 1) {
    if (slot == kNoSlot || makers_[static_cast<size_t>(slot)] < 0) {
      return nullptr;
    }
    Node& made = nodes_[static_cast<size_t>(makers_[static_cast<size_t>(slot)])];
    return is(made, op) && readers_[static_cast<size_t>(slot)] == readers ? &made : nullptr;
  }

  void fuse_node() {
    if (is(node(), "MatMul") || is(node(), "Gemm")) {
      fuse_floats();
    } else if (is(node(), "MatMulNBits")) {
      fuse_blocks();
    } else if (is(node(), "Mul")) {
      if (!fuse_channels() && !fuse_gate()) {
        fuse_rms_norm();
      }
    } else if (is(node(), "Add")) {
      fuse_add();
    } else {
      fuse_activation();
    }
  }

  // Node `at_` becomes a product with `source`.
  bool replace(const LinearSource& source, Slot x, Slot bias) {
    if (!fits(program_, source)) {
      return false;
    }
    auto linear = std::make_shared<Linear>();
    linear->weight = add_weight(program_, source);
    linear->biased = bias != kNoSlot;
    Node made;
    made.row = &kLinearRow;
    made.name = node().name;
    made.inputs = {x};
    if (bias != kNoSlot) {
      made.inputs.push_back(bias);
    }
    made.outputs = {node().outputs[0]};
    made.linear = linear.get();
    program_.linears.push_back(std::move(linear));
    exchange(made);
    return true;
  }

  // Node `at_` becomes `made`; counts of readers follow.
  void exchange(Node& made) {
    count(node(), -1);
    count(made, 1);
    std::swap(node(), made);
  }
  void count(const Node& counted, int step) {
    for (const Slot slot : counted.inputs) {
      slot == kNoSlot ? 0 : readers_[static_cast<size_t>(slot)] += step;
    }
  }

  void fuse_floats() {
    const Node& product = node();
    const bool gemm = is(product, "Gemm");
    LinearSource source;
    source.weights = product.inputs[1];
    if (!is_constant(source.weights) || dims_of(source.weights).rank() != 2) {
      return;
    }
    const bool turned = gemm && product.attributes[3].integer != 0;
    const Dims dims = dims_of(source.weights);
    source.spec.kind = is_half(source.weights) ? WeightKind::kFloat16 : WeightKind::kFloat32;
    source.spec.order = turned ? WeightOrder::kOutputsFirst : WeightOrder::kInputsFirst;
    source.spec.inputs = dims[turned ? 1 : 0];
    source.spec.outputs = dims[turned ? 0 : 1];
    const Slot bias = product.inputs.size() > 2 ? product.inputs[2] : kNoSlot;
    if (gemm && (product.attributes[0].number != 1.0F || product.attributes[2].integer != 0 ||
                 (bias != kNoSlot &&
                  (product.attributes[1].number != 1.0F || !is_bias(bias, source.spec.outputs))))) {
      return;
    }
    replace(source, product.inputs[0], bias);
  }

  [[nodiscard]] bool is_bias(Slot slot, int64_t outputs) const {
    return is_constant(slot) && value(slot).type == Type::kF32 && dims_of(slot).rank() <= 1 &&
           dims_of(slot).count() == outputs;
  }

  // Attributes: K, N, bits, block_size.
  void fuse_blocks() {
    const Node& product = node();
    const auto input = [&](size_t i) {
      return i < product.inputs.size() ? product.inputs[i] : kNoSlot;
    };
    LinearSource source;
    source.weights = input(1);
    source.scales = input(2);
    source.zero_points = input(3);
    source.spec.kind = WeightKind::kBlocks4;
    source.spec.inputs = product.attributes[0].integer;
    source.spec.outputs = product.attributes[1].integer;
    source.spec.block_size = product.attributes[3].integer;
    source.spec.zero_points = source.zero_points != kNoSlot;
    const Slot bias = input(5);
    const bool known =
        product.attributes[2].integer == 4 && input(4) == kNoSlot && is_constant(source.weights) &&
        is_constant(source.scales) && value(source.weights).type == Type::kU8 &&
        (!source.spec.zero_points ||
         (is_constant(source.zero_points) && value(source.zero_points).type == Type::kU8)) &&
        (bias == kNoSlot || is_bias(bias, source.spec.outputs));
    if (known) {
      source.spec.half_scales = is_half(source.scales);
      replace(source, product.inputs[0], bias);
    }
  }

  bool fuse_channels() {
    for (const size_t first : {size_t{0}, size_t{1}}) {
      Node* cast = maker(node().inputs[first], "Cast");
      Node* scales = maker(node().inputs[1 - first], "Mul");
      Node* product = cast == nullptr ? nullptr : maker(cast->inputs[0], "MatMulInteger");
      if (product == nullptr || scales == nullptr) {
        continue;
      }
      const Slot quantized = product->inputs[0];
      if (makers_[static_cast<size_t>(quantized)] < 0) {
        continue;
      }
      const Node& quantize = nodes_[static_cast<size_t>(makers_[static_cast<size_t>(quantized)])];
      if (!is(quantize, "DynamicQuantizeLinear") || quantize.outputs.size() != 3) {
        continue;
      }
      const size_t own = scales->inputs[0] == quantize.outputs[1] ? 0 : 1;
      if (product->inputs.size() < 3 || product->inputs[2] != quantize.outputs[2] ||
          scales->inputs[own] != quantize.outputs[1]) {
        continue;
      }
      return replace_channels(*product, scales->inputs[1 - own], quantize.inputs[0]);
    }
    return false;
  }

  bool replace_channels(const Node& product, Slot scales, Slot x) {
    LinearSource source;
    source.weights = product.inputs[1];
    source.scales = scales;
    source.zero_points = product.inputs.size() > 3 ? product.inputs[3] : kNoSlot;
    if (!is_constant(source.weights) || dims_of(source.weights).rank() != 2 ||
        !is_constant(scales) || is_half(scales) || dims_of(scales).rank() > 1 ||
        (source.zero_points != kNoSlot &&
         (!is_constant(source.zero_points) ||
          value(source.zero_points).type != value(source.weights).type))) {
      return false;
    }
    source.spec.kind = WeightKind::kChannels8;
    source.spec.order = WeightOrder::kInputsFirst;
    source.spec.inputs = dims_of(source.weights)[0];
    source.spec.outputs = dims_of(source.weights)[1];
    source.spec.signed_weights = value(source.weights).type == Type::kI8;
    source.spec.one_scale = dims_of(scales).count() == 1;
    source.spec.zero_points = source.zero_points != kNoSlot;
    source.spec.one_zero_point =
        source.spec.zero_points && dims_of(source.zero_points).count() == 1;
    return replace(source, x, kNoSlot);
  }

  // Node `at_`, which reads the output of `product`, becomes the product with another epilogue.
  void take_over(Node& product, Linear& linear, Slot more) {
    Node made = std::move(product);
    if (more != kNoSlot) {
      made.inputs.push_back(more);
    }
    made.outputs = {node().outputs[0]};
    made.name = node().name;
    made.linear = &linear;
    product = Node();
    product.row = &kLinearRow;  // left out at the end: nothing reads it
    count(node(), -1);
    if (more != kNoSlot) {
      ++readers_[static_cast<size_t>(more)];
    }
    node() = std::move(made);
  }

  [[nodiscard]] Linear* linear_of(const Node* product) {
    if (product == nullptr || product->linear == nullptr ||
        product->linear->epilogue != Epilogue::kNone) {
      return nullptr;
    }
    return const_cast<Linear*>(product->linear);  // not shared before the program is ready
  }

  void fuse_add() {
    for (const size_t first : {size_t{0}, size_t{1}}) {
      Node* product = maker(node().inputs[first], "Linear");
      Linear* linear = linear_of(product);
      if (linear == nullptr) {
        continue;
      }
      const Slot other = node().inputs[1 - first];
      if (other == node().inputs[first]) {
        return;
      }
      if (!linear->biased && is_bias(other, linear->weight->source.spec.outputs)) {
        linear->biased = true;
      } else if (!is_constant(other)) {
        linear->epilogue = Epilogue::kAdd;
      } else {
        return;
      }
      take_over(*product, *linear, other);
      return;
    }
  }

  void fuse_activation() {
    Epilogue epilogue = Epilogue::kNone;
    if (is(node(), "Gelu")) {
      epilogue = Epilogue::kGeluErf;
    } else if (is(node(), "FastGelu")) {
      epilogue = Epilogue::kGeluTanh;
    } else if (is(node(), "Relu")) {
      epilogue = Epilogue::kRelu;
    } else if (is(node(), "QuickGelu")) {
      const float alpha = node().attributes[0].number;
      epilogue = alpha == 1.0F     ? Epilogue::kSilu
                 : alpha == 1.702F ? Epilogue::kQuickGelu
                                   : Epilogue::kNone;
    }
    if (epilogue == Epilogue::kNone) {
      return;
    }
    Node* product = maker(node().inputs[0], "Linear");
    if (Linear* linear = linear_of(product); linear != nullptr) {
      linear->epilogue = epilogue;
      take_over(*product, *linear, kNoSlot);
    }
  }

  // up * gate: the later product takes the other's result.
  bool fuse_gate() {
    for (const size_t first : {size_t{1}, size_t{0}}) {
      Node* product = maker(node().inputs[first], "Linear");
      Linear* linear = linear_of(product);
      const Slot other = node().inputs[1 - first];
      if (linear != nullptr && !is_constant(other) && other != node().inputs[first]) {
        linear->epilogue = Epilogue::kMultiply;
        take_over(*product, *linear, other);
        return true;
      }
    }
    return false;
  }

  void fuse_rms_norm() {
    Node* divided = maker(node().inputs[0], "Div");
    Node* root = divided == nullptr ? nullptr : maker(divided->inputs[1], "Sqrt");
    Node* sum = root == nullptr ? nullptr : maker(root->inputs[0], "Add");
    Node* mean = sum == nullptr ? nullptr : maker(sum->inputs[0], "ReduceMean");
    Node* square = mean == nullptr ? nullptr : maker(mean->inputs[0], "Pow");
    const Slot weight = node().inputs[1];
    float power = 0.0F;
    float epsilon = 0.0F;
    if (square == nullptr || square->inputs[0] != divided->inputs[0] ||
        !scalar(square->inputs[1], power) || power != 2.0F || !scalar(sum->inputs[1], epsilon) ||
        !is_constant(weight) || dims_of(weight).rank() != 1 || !is_last_axis(*mean)) {
      return;
    }
    Node made;
    made.row = &kRmsNormRow;
    made.name = node().name;
    made.inputs = {divided->inputs[0], weight};
    made.outputs = node().outputs;
    made.attributes.resize(1);
    made.attributes[0].number = epsilon;
    exchange(made);
  }

  // ReduceMean with keepdims over axis -1.
  [[nodiscard]] bool is_last_axis(const Node& mean) {
    std::vector<int64_t> axes = mean.attributes[1].integers;
    if (mean.inputs.size() > 1 && is_constant(mean.inputs[1])) {
      const Tensor& list = constant(program_, sources_, mean.inputs[1]);
      axes.assign(list.integers(), list.integers() + list.count());
    }
    return mean.attributes[0].integer == 1 && axes == std::vector<int64_t>{-1};
  }

  Program& program_;
  const Sources& sources_;
  std::vector<Node>& nodes_;
  std::vector<int>& readers_;    // of each value, in all lists; outputs count
  std::vector<int32_t> makers_;  // of each value: its node in this list
  size_t at_ = 0;
};

}  // namespace

void fuse_list(Program& program, const Sources& sources, Steps& steps, std::vector<int>& readers) {
  for (Node& node : steps.nodes) {
    for (Steps& body : node.bodies) {
      fuse_list(program, sources, body, readers);
    }
  }
  fuse_compositions(program, sources, steps, readers);
  drop_unread(steps, readers);
  Fuser(program, sources, steps, readers).run();
  drop_unread(steps, readers);
  fuse_lookups(program, sources, steps, readers);
  drop_unread(steps, readers);
}

}  // namespace lorapress::engine
