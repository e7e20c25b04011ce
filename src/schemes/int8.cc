#include "schemes/int8.h"

#include <map>

#include "graph/write.h"
#include "quant/int8_weight.h"
#include "rewrite/emit_product.h"
#include "rewrite/patchify.h"
#include "rewrite/products.h"
#include "schemes/outcome.h"

namespace lorapress {
namespace {

// One quantized weight and its new tensors.
struct Table {
  ConstantMatrix matrix;    // before the pass
  bool transposed = false;  // stored [in, out] though it was [out, in]: a lookup's rows are columns
  std::string bytes;        // names of the new weights
  std::string scales;       // float32 [out] or scalar
  [[nodiscard]] Channels channels() const {  // the axis of the float weight's output channels
    return matrix.rows_are_outputs ? Channels::kRows : Channels::kColumns;
  }
};

struct Quantized {
  std::string bytes;
  std::string scale;
  std::string zero_point;
};

constexpr int64_t kFirstOpset = 11;  // of DynamicQuantizeLinear
const Attributes kToFloat{{"to", int64_t{dtype_row(DType::kF32).onnx}}};

class Int8Pass {
 public:
  Int8Pass(Model& model, const SchemeContext& context, DType dtype)
      : rewriter_(model), context_(context), dtype_(dtype) {}

  void run() {
    ConstantMatrices matrices(rewriter_, context_.options);
    for (const auto& [name, matrix] : matrices.uses()) {
      Table table;
      table.matrix = matrix;
      if (keeps_whole(name, table, matrices)) {
        tables_.emplace(name, std::move(table));
      }
    }
    note_outcome(context_, "8 bit", matrices, tables_);
    if (tables_.empty()) {
      return;
    }
    quantize_tables();
    rewriter_.rewrite([&](const onnx::NodeProto& node, NodeList& made) {
      const auto use = matrix_use(rewriter_, node);
      const auto table = use ? tables_.find(use->weight) : tables_.end();
      if (table == tables_.end()) {
        return false;
      }
      use->kind == MatrixUse::Kind::kLookup ? look_up(node, table->second, made)
                                            : multiply(node, table->second, made);
      return true;
    });
    rewriter_.drop_unused_weights();
  }

 private:
  // True if 8-bit reads replace all reads of the weight, so that it is stored once.
  [[nodiscard]] static bool keeps_whole(const std::string& name,
                                        const Table& table,
                                        ConstantMatrices& matrices) {
    const ConstantMatrix& matrix = table.matrix;
    const Weight& weight = *matrix.weight;
    const auto channels = static_cast<uint64_t>(
        weight.shape().at(matrix.rows_are_outputs ? 0 : 1));  // each with a float32 scale
    const bool smaller = weight.values() + 4 * channels < weight.bytes();
    if (!smaller) {
      matrices.add_reason(name, "8 bit and scales would not make it smaller");
    }
    const bool ranks_needed = matrix.products != 0;  // to transpose what is looked up
    if (ranks_needed && matrix.unranked_indices) {
      matrices.add_reason(name, "looked up by indices of unknown rank");
    }
    return matrix.replaceable && !(ranks_needed && matrix.unranked_indices) &&
           4 * weight.values() >= kSmallTensor && smaller;
  }

  void quantize_tables() {
    std::vector<ScanRequest> requests;
    for (const auto& [name, table] : tables_) {
      requests.push_back({name,
                          table.matrix.weight,
                          context_.options.per_channel ? table.channels() : Channels::kAll});
    }
    const auto magnitudes = scan_magnitudes(requests, context_.threads, context_.scans);
    size_t index = 0;
    for (auto& [name, table] : tables_) {
      require_finite(requests[index], magnitudes[index]);
      std::vector<float> scales = int8_scales(magnitudes[index], int8_steps(dtype_));
      const Channels channels = requests[index].channels;
      ++index;
      const Shape shape =
          context_.options.per_channel ? Shape{static_cast<int64_t>(scales.size())} : Shape{};
      table.scales = rewriter_.add_weight(name + "_scale", float_constant(shape, scales));
      WeightPtr bytes =
          quantize_int8(name, table.matrix.weight, channels, std::move(scales), dtype_);
      table.transposed = table.matrix.products != 0 && table.matrix.rows_are_outputs;
      if (table.transposed) {
        bytes = transpose(std::move(bytes));
      }
      table.bytes = rewriter_.add_weight(name + "_quantized", std::move(bytes));
    }
    if (dtype_ == DType::kU8) {
      zero_point_ = rewriter_.add_weight(
          "/passes/uint8/128",
          constant_weight(DType::kU8, {}, {static_cast<std::byte>(kUint8ZeroPoint)}));
    }
  }

  // One DynamicQuantizeLinear for all products of an activation.
  const Quantized& quantized(const std::string& activation, bool half, NodeList& made) {
    const auto [at, added] = activations_.try_emplace({rewriter_.scope(), activation});
    if (added) {
      const std::string base = activation + "/DynamicQuantizeLinear";
      const std::string floats = as_float(activation, half, made);
      at->second = {rewriter_.unique(activation + "_quantized"),
                    rewriter_.unique(activation + "_scale"),
                    rewriter_.unique(activation + "_zero_point")};
      made.push_back(make_node("DynamicQuantizeLinear",
                               rewriter_.unique(base),
                               {floats},
                               {at->second.bytes, at->second.scale, at->second.zero_point}));
    }
    return at->second;
  }

  // Emits a node with one output and returns its name.
  std::string emit(NodeList& made,
                   std::string_view type,
                   const std::string& name,
                   const std::vector<std::string>& inputs,
                   const Attributes& attributes = {}) {
    const std::string node = rewriter_.unique(name);
    const std::string output = rewriter_.unique(name + "_output_0");
    made.push_back(make_node(type, node, inputs, {output}, attributes));
    return output;
  }

  // A float16 value as float32, once in a scope.
  std::string as_float(const std::string& name, bool half, NodeList& made) {
    if (!half) {
      return name;
    }
    std::string& found = floats_[{rewriter_.scope(), name}];
    if (found.empty()) {
      found = emit(made, "Cast", name + "/float32", {name}, kToFloat);
    }
    return found;
  }

  [[nodiscard]] static bool is_half(const Table& table) {
    return table.matrix.weight->dtype() == DType::kF16;
  }

  //  x ── DynamicQuantizeLinear ─┬─ MatMulInteger(weight) ── Cast ─┐
  //                              └─ scale ── Mul(weight scale) ─── Mul ── (alpha, bias) ── y
  // The order of the inputs is the one that ONNX Runtime fuses to MatMulIntegerToFloat and
  // DynamicQuantizeMatMul (core/optimizer/matmul_integer_to_float.cc). For opsets before
  // DynamicQuantizeLinear one node of com.microsoft does the same. In a float16 model these nodes
  // compute in float32, between casts.
  void multiply(const onnx::NodeProto& node, const Table& table, NodeList& made) {
    emit_product(
        rewriter_,
        node,
        DType::kF32,
        [&](const std::string& output) {
          rewriter_.opset() < kFirstOpset ? multiply_fused(node, table, output, made)
                                          : multiply(node, table, output, made);
        },
        made);
  }

  void multiply_fused(const onnx::NodeProto& node,
                      const Table& table,
                      const std::string& output,
                      NodeList& made) {
    std::vector<std::string> inputs{
        as_float(node.input(0), is_half(table), made), table.bytes, table.scales};
    if (dtype_ == DType::kU8) {
      inputs.push_back(zero_point_);
    }
    made.push_back(
        make_node("DynamicQuantizeMatMul", node.name(), inputs, {output}, {}, kMicrosoftDomain));
    rewriter_.require_opset(std::string(kMicrosoftDomain), 1);
  }

  void multiply(const onnx::NodeProto& node,
                const Table& table,
                const std::string& output,
                NodeList& made) {
    const std::string& name = node.name().empty() ? node.output(0) : node.name();
    const Quantized x = quantized(node.input(0), is_half(table), made);
    std::vector<std::string> inputs{x.bytes, table.bytes, x.zero_point};
    if (dtype_ == DType::kU8) {
      inputs.push_back(zero_point_);
    }
    const std::string sums = emit(made, "MatMulInteger", name + "/MatMulInteger", inputs);
    const std::string floats = emit(made, "Cast", name + "/Cast", {sums}, kToFloat);
    const std::string scale = emit(made, "Mul", name + "/Mul_scales", {x.scale, table.scales});
    made.push_back(make_node("Mul", rewriter_.unique(name + "/Mul"), {floats, scale}, {output}));
  }

  //  table [vocab, hidden] ── Gather(ids) ── Cast ── (Sub 128) ── Mul(scale of each row) ── (Cast) ── y
  // A table that a product reads, too, is stored as [hidden, vocab]:
  //  ── Gather(ids, axis 1) [hidden, ids…] ── Transpose [ids…, hidden] ── Cast ── …
  void look_up(const onnx::NodeProto& node, const Table& table, NodeList& made) {
    const std::string& name = node.name().empty() ? node.output(0) : node.name();
    const std::string& ids = node.input(1);
    std::string rows = emit(made,
                            "Gather",
                            name + "/Gather",
                            {table.bytes, ids},
                            {{"axis", int64_t{table.transposed ? 1 : 0}}});
    if (table.transposed) {
      std::vector<int64_t> perm;
      for (size_t axis = 0; axis < rewriter_.type(ids)->type.dims.size(); ++axis) {
        perm.push_back(static_cast<int64_t>(axis) + 1);
      }
      perm.push_back(0);
      rows = emit(made, "Transpose", name + "/Transpose", {rows}, {{"perm", perm}});
    }
    rows = emit(made, "Cast", name + "/Cast", {rows}, kToFloat);
    if (dtype_ == DType::kU8) {
      rows = emit(made,
                  "Sub",
                  name + "/Sub",
                  {rows, rewriter_.scalar(static_cast<float>(kUint8ZeroPoint))});
    }
    std::string scale = table.scales;
    if (context_.options.per_channel) {
      const std::string column =
          emit(made, "Reshape", name + "/Reshape_scales", {scale, rewriter_.integers({-1, 1})});
      scale = emit(made, "Gather", name + "/Gather_scales", {column, ids}, {{"axis", int64_t{0}}});
    }
    const bool half = is_half(table);
    const std::string values = half ? rewriter_.unique(name + "/float32") : node.output(0);
    made.push_back(make_node("Mul", rewriter_.unique(name + "/Mul"), {rows, scale}, {values}));
    if (half) {
      made.push_back(make_node("Cast",
                               rewriter_.unique(name + "/Cast_result"),
                               {values},
                               {node.output(0)},
                               {{"to", int64_t{dtype_row(DType::kF16).onnx}}}));
    }
  }

  Rewriter rewriter_;
  const SchemeContext& context_;
  DType dtype_;
  std::map<std::string, Table> tables_;  // by the name of the float weight, in a fixed order
  std::map<std::pair<int, std::string>, Quantized> activations_;
  std::map<std::pair<int, std::string>, std::string> floats_;  // of float16 activations
  std::string zero_point_;
};

void to_int8(Model& model, const SchemeContext& context, DType dtype) {
  convolutions_to_products(model);
  expand_products(model, context.options);
  Int8Pass(model, context, dtype).run();
}

}  // namespace

void apply_int8(Model& model, const SchemeContext& context) {
  to_int8(model, context, DType::kI8);
}

void apply_uint8(Model& model, const SchemeContext& context) {
  to_int8(model, context, DType::kU8);
}

}  // namespace lorapress
