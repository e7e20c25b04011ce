#include "rewrite/patchify.h"

#include <unordered_map>
#include <unordered_set>

#include "rewrite/float16_ops.h"
#include "rewrite/rewrite.h"

namespace lorapress {
namespace {

using Node = onnx::NodeProto;

std::vector<int64_t> integers_attribute(const Node& node,
                                        std::string_view name,
                                        std::vector<int64_t> fallback) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) {
      return {attribute.ints().begin(), attribute.ints().end()};
    }
  }
  return fallback;
}

bool is_operator(const Node& node, std::string_view op) {
  return is_standard(node) && node.op_type() == op;
}

bool has_attribute(const Node& node, std::string_view name, std::string_view text) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) {
      return attribute.s() == text;
    }
  }
  return true;
}

struct PatchConv {
  WeightPtr kernel;  // [hidden, channels, height, width]
  Dim batch;
  int64_t rows;     // patches of the image
  int64_t columns;  // patches of the image
};

std::optional<PatchConv> patch_conv(const Rewriter& graph, const Node& node) {
  if (!is_operator(node, "Conv") || node.input_size() < 2) {
    return std::nullopt;
  }
  const WeightPtr kernel = graph.weight(node.input(1));
  const auto image = graph.type(node.input(0));
  if (!kernel || kernel->shape().size() != 4 || !image || image->type.dims.size() != 4 ||
      (kernel->dtype() != DType::kF32 && kernel->dtype() != DType::kF16)) {
    return std::nullopt;
  }
  const Shape& shape = kernel->shape();
  const std::vector<int64_t> size{shape[2], shape[3]};
  const bool plain =
      integers_attribute(node, "strides", {1, 1}) == size &&
      integers_attribute(node, "pads", {0, 0, 0, 0}) == std::vector<int64_t>(4) &&
      integers_attribute(node, "dilations", {1, 1}) == std::vector<int64_t>(2, 1) &&
      integer_attribute(node, "group", 1) == 1 &&
      (has_attribute(node, "auto_pad", "NOTSET") || has_attribute(node, "auto_pad", "VALID"));
  const Dims& dims = image->type.dims;
  if (!plain || dims[1] != Dim(shape[1]) || size[0] <= 0 || size[1] <= 0 || dims[2].value <= 0 ||
      dims[3].value <= 0 || dims[2].value % size[0] != 0 || dims[3].value % size[1] != 0) {
    return std::nullopt;
  }
  return PatchConv{kernel, dims[0], dims[2].value / size[0], dims[3].value / size[1]};
}

// The nodes that convert the feature map to tokens: Reshape [batch, hidden, tokens] and Transpose.
struct Tail {
  std::string reshaped;
  std::string tokens;
};

class Patchifier {
 public:
  explicit Patchifier(Model& model) : graph_(model) {
    graph_.for_each_node([&](const Node& node) {
      for (const std::string& input : node.input()) {
        readers_[input] = node;
      }
    });
  }

  void run() {
    graph_.rewrite([&](const Node& node, NodeList& nodes) {
      if (node.output_size() == 1 && folded_.contains(node.output(0))) {
        return true;
      }
      const auto conv = patch_conv(graph_, node);
      if (conv) {
        replace(node, *conv, nodes);
      }
      return conv.has_value();
    });
    graph_.drop_unused_weights();
  }

 private:
  // The only reader of a value, if it is this operator.
  const Node* only_reader(const std::string& value, std::string_view op) const {
    const auto found = readers_.find(value);
    const bool fits = found != readers_.end() && graph_.uses(value) == 1 &&
                      !graph_.is_graph_output(value) && is_operator(found->second, op);
    return fits ? &found->second : nullptr;
  }

  std::optional<Tail> tail(const std::string& map, int64_t hidden, int64_t tokens) const {
    const Node* reshape = only_reader(map, "Reshape");
    const WeightPtr shape = reshape == nullptr ? nullptr : graph_.weight(reshape->input(1));
    if (!shape || shape->dtype() != DType::kI64 || shape->shape() != Shape{3}) {
      return std::nullopt;
    }
    int64_t to[3];
    read_bytes(*shape, 0, std::as_writable_bytes(std::span(to)));
    const Node* transpose = only_reader(reshape->output(0), "Transpose");
    if (to[0] != 0 || to[1] != hidden || (to[2] != -1 && to[2] != tokens) || transpose == nullptr ||
        integers_attribute(*transpose, "perm", {}) != std::vector<int64_t>{0, 2, 1}) {
      return std::nullopt;
    }
    return Tail{reshape->output(0), transpose->output(0)};
  }

  //  image [batch, C, R h, S w] ── Reshape [batch, C, R, h, S, w] ── Transpose [batch, R, S, C, h, w]
  //    ── Reshape [batch, R S, C h w] ── MatMul(kernel^T) ── (Add bias) ── tokens [batch, R S, hidden]
  //    ── Transpose ── Reshape [batch, hidden, R, S]
  // The last two are left out where the graph only undoes them.
  void replace(const Node& node, const PatchConv& conv, NodeList& nodes) {
    const Shape& kernel = conv.kernel->shape();
    const int64_t hidden = kernel[0];
    const int64_t inputs = conv.kernel->cols();
    const int64_t tokens = conv.rows * conv.columns;
    const DType dtype = conv.kernel->dtype();
    const std::string name = node.name().empty() ? node.output(0) : node.name();
    const auto emit = [&](std::string_view op,
                          const std::string& suffix,
                          const std::vector<std::string>& from,
                          const Dims& dims,
                          const Attributes& attributes = {}) {
      std::string value = graph_.unique(name + "/" + suffix);
      declare_value(graph_.model(), value, {dtype, dims});
      nodes.push_back(make_node(op, value, from, {value}, attributes));
      return value;
    };
    const std::string cut =
        emit("Reshape",
             "cut",
             {node.input(0),
              graph_.integers({0, kernel[1], conv.rows, kernel[2], conv.columns, kernel[3]})},
             {conv.batch, kernel[1], conv.rows, kernel[2], conv.columns, kernel[3]});
    const std::string ordered =
        emit("Transpose",
             "patches",
             {cut},
             {conv.batch, conv.rows, conv.columns, kernel[1], kernel[2], kernel[3]},
             {{"perm", std::vector<int64_t>{0, 2, 4, 1, 3, 5}}});
    const std::string flat = emit("Reshape",
                                  "flat",
                                  {ordered, graph_.integers({0, tokens, inputs})},
                                  {conv.batch, tokens, inputs});
    const std::string matrix = graph_.add_weight(node.input(1) + "_matrix",
                                                 transpose(reshape(conv.kernel, {hidden, inputs})));
    const Dims token_dims{conv.batch, tokens, hidden};
    std::string product = emit("MatMul", "MatMul", {flat, matrix}, token_dims);
    if (node.input_size() > 2 && !node.input(2).empty()) {
      product = emit("Add", "Add", {product, node.input(2)}, token_dims);
    }
    if (const auto behind = tail(node.output(0), hidden, tokens)) {
      nodes.back().set_output(0, behind->tokens);
      folded_.insert(behind->reshaped);
      folded_.insert(behind->tokens);
      return;
    }
    const std::string transposed = emit("Transpose",
                                        "channels_first",
                                        {product},
                                        {conv.batch, hidden, tokens},
                                        {{"perm", std::vector<int64_t>{0, 2, 1}}});
    nodes.push_back(make_node("Reshape",
                              graph_.unique(name + "/map"),
                              {transposed, graph_.integers({0, hidden, conv.rows, conv.columns})},
                              {node.output(0)}));
  }

  Rewriter graph_;
  std::unordered_map<std::string, Node> readers_;
  std::unordered_set<std::string> folded_;
};

}  // namespace

void convolutions_to_products(Model& model) {
  if (has_operator(model, "Conv")) {
    Patchifier(model).run();
  }
}

}  // namespace lorapress
