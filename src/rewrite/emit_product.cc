#include "rewrite/emit_product.h"

#include <cmath>

namespace lorapress {
namespace {

// True if the factor is 0 or inside float16's normal range, where only its last bits are rounded.
bool fits_half(float value) {
  const float size = std::fabs(value);
  return size == 0.0F || (size >= 0x1p-14F && size <= 65504.0F);
}

class ProductEmitter {
 public:
  ProductEmitter(Rewriter& graph, const onnx::NodeProto& node, DType made, NodeList& nodes)
      : graph_(graph),
        node_(node),
        made_(made),
        alpha_(float_attribute(node, "alpha", 1.0F)),
        beta_(float_attribute(node, "beta", 1.0F)),
        wanted_(graph.weight(node.input(1))->dtype()),
        inner_(fits_half(alpha_) && fits_half(beta_) ? made : DType::kF32),
        name_(node.name().empty() ? node.output(0) : node.name()),
        left_(graph.type(node.input(0))),
        nodes_(nodes) {}

  void run(const std::function<void(const std::string& output)>& product) {
    const bool biased = node_.input_size() > 2 && !node_.input(2).empty() && beta_ != 0.0F;
    steps_left_ = (inner_ != made_ ? 1 : 0) + (alpha_ != 1.0F ? 1 : 0) + (biased ? 1 : 0) +
                  (wanted_ != inner_ ? 1 : 0);
    std::string last = steps_left_ == 0 ? node_.output(0) : value("/product", made_);
    product(last);
    if (inner_ != made_) {
      last = step("Cast", "/Cast_product", "/wide", inner_, {last}, to(inner_));
    }
    if (alpha_ != 1.0F) {
      last = step("Mul", "/Mul_alpha", "/scaled", inner_, {last, factor(alpha_)});
    }
    if (biased) {
      const std::string c = bias();
      last = step("Add", "/Add", "/sum", inner_, {last, c});
    }
    if (wanted_ != inner_) {
      step("Cast", "/Cast_result", "", wanted_, {last}, to(wanted_));
    }
  }

 private:
  static Attributes to(DType dtype) { return {{"to", int64_t{dtype_row(dtype).onnx}}}; }

  std::string factor(float number) {
    return inner_ == DType::kF32
               ? graph_.scalar(number)
               : graph_.add_weight(name_ + "/factor",
                                   cast(float_constant({}, {&number, 1}), inner_));
  }

  std::string value(const std::string& suffix, DType dtype) {
    std::string made = graph_.unique(name_ + suffix);
    const bool gemm = node_.op_type() == "Gemm";
    if (gemm || (left_ && left_->has_shape)) {
      declare_value(graph_.model(), made, {dtype, Dims(gemm ? 2 : left_->type.dims.size())});
    }
    return made;
  }

  // The last step produces the node's own output.
  std::string step(std::string_view op,
                   const std::string& node_suffix,
                   const std::string& suffix,
                   DType dtype,
                   const std::vector<std::string>& inputs,
                   const Attributes& attributes = {}) {
    std::string output = --steps_left_ == 0 ? node_.output(0) : value(suffix, dtype);
    nodes_.push_back(
        make_node(op, graph_.unique(name_ + node_suffix), inputs, {output}, attributes));
    return output;
  }

  // beta * C, which has at most as many dimensions as the product.
  std::string bias() {
    std::string last = node_.input(2);
    const auto add = [&](std::string_view op,
                         const std::string& suffix,
                         const std::vector<std::string>& inputs,
                         const Attributes& attributes) {
      last = graph_.unique(name_ + suffix);
      nodes_.push_back(
          make_node(op, graph_.unique(name_ + suffix + "_node"), inputs, {last}, attributes));
    };
    if (wanted_ != inner_) {
      add("Cast", "/wide_bias", {last}, to(inner_));
    }
    if (beta_ != 1.0F) {
      add("Mul", "/bias", {last, factor(beta_)}, {});
    }
    return last;
  }

  Rewriter& graph_;
  const onnx::NodeProto& node_;
  DType made_;  // the type of the product
  float alpha_;
  float beta_;
  DType wanted_;  // of the result
  DType inner_;   // in which factors and C are applied
  std::string name_;
  std::optional<DeclaredType> left_;
  NodeList& nodes_;
  int steps_left_ = 0;
};

}  // namespace

void emit_product(Rewriter& graph,
                  const onnx::NodeProto& node,
                  DType made,
                  const std::function<void(const std::string&)>& product,
                  NodeList& nodes) {
  ProductEmitter(graph, node, made, nodes).run(product);
}

}  // namespace lorapress
