#include "rewrite/products.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "graph/write.h"
#include "rewrite/float16_ops.h"

namespace lorapress {
namespace {

using Node = onnx::NodeProto;

// Inputs of Attention, onnxruntime/docs/ContribOperators.md.
enum AttentionInput { kInput, kWeights, kBias, kMask, kPast, kAttentionBias, kPastLength };

bool has_input(const Node& node, int index) {
  return index < node.input_size() && !node.input(index).empty();
}

bool is_fused(const Node& node, std::string_view op) {
  return node.domain() == kMicrosoftDomain && node.op_type() == op;
}

bool multiplies(const Node& node) {
  return node.input_size() >= 2 &&
         ((is_standard(node) && node.op_type() == "MatMul") || is_fused(node, "FusedMatMul"));
}

std::optional<size_t> rank_of(const Rewriter& graph, const std::string& name) {
  const auto type = graph.type(name);
  return type && type->has_shape ? std::optional(type->type.dims.size()) : std::nullopt;
}

// The numbers of columns of queries, keys and values; empty where they do not fit.
std::vector<int64_t> attention_parts(const Node& node, int64_t columns) {
  std::vector<int64_t> parts(3, columns / 3);
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == "qkv_hidden_sizes") {
      parts.assign(attribute.ints().begin(), attribute.ints().end());
    }
  }
  int64_t sum = 0;
  bool good = parts.size() == 3;
  for (const int64_t part : parts) {
    good = good && part > 0 && !__builtin_add_overflow(sum, part, &sum);
  }
  return good && sum == columns ? parts : std::vector<int64_t>();
}

// MultiHeadAttention accepts the same masks except for one with start positions, [2 * batch].
bool fits_mask(const Rewriter& graph, const Node& node) {
  if (!has_input(node, kMask)) {
    return true;
  }
  const auto mask = graph.type(node.input(kMask));
  const auto input = graph.type(node.input(kInput));
  if (!mask || !mask->has_shape || mask->type.dims.empty()) {
    return false;
  }
  const Dims& dims = mask->type.dims;
  if (dims.size() > 1) {
    return dims.size() < 4;
  }
  const Dim batch = input && !input->type.dims.empty() ? input->type.dims[0] : Dim();
  const bool named = batch.known() || !batch.symbol.empty();
  return named && (dims[0] == batch ||
                   (batch.known() && dims[0].known() && dims[0].value == 3 * batch.value + 2));
}

class Expander {
 public:
  Expander(Model& model, const SchemeOptions& options) : graph_(model), options_(options) {}

  void run() {
    graph_.for_each_node([&](const Node& node) { count(node); });
    std::erase_if(stacked_, [&](const auto& row) { return row.second != graph_.uses(row.first); });
    for (const auto& [name, readers] : stacked_) {
      const WeightPtr weight = graph_.weight(name);
      const Shape& shape = weight->shape();
      ranks_[name] = shape.size();
      graph_.replace_weight(name,
                            reshape(weight, {shape[shape.size() - 2], shape[shape.size() - 1]}));
    }
    graph_.rewrite([&](const Node& node, NodeList& made) {
      if (turns_left(node)) {
        transpose_left(node, made);
        return true;
      }
      if (multiplies(node) && takes(node)) {
        return multiply(node, made);
      }
      if (is_fused(node, "Attention") && takes(node) && attention_obstacle(graph_, node).empty()) {
        attend(node, made);
        return true;
      }
      return false;
    });
  }

 private:
  [[nodiscard]] bool takes(const Node& node) const {
    const WeightPtr weight = node.input_size() < 2 ? nullptr : graph_.weight(node.input(1));
    return weight && dtype_row(weight->dtype()).is_float && weight->bytes() >= kSmallTensor &&
           !excluded(options_, node.name()) && !excluded(options_, node.input(1));
  }

  void count(const Node& node) {
    if (!multiplies(node) || !takes(node)) {
      return;
    }
    const Shape& shape = graph_.weight(node.input(1))->shape();
    const bool single = shape.size() > 2 &&
                        std::all_of(shape.begin(), shape.end() - 2, [](auto n) { return n == 1; });
    const auto rank = rank_of(graph_, node.input(0));
    const bool transposed = integer_attribute(node, "transA", 0) != 0;
    if (single && rank && *rank >= 1 && !transposed) {
      ++stacked_[node.input(1)];
    }
  }

  //  x [..., K] ── MatMul([K, N]) ── (Unsqueeze) ── y
  //  x [K] ── Unsqueeze [1, K] ── MatMul([K, N]) ── (Reshape [N] or Unsqueeze) ── y
  bool multiply(const Node& node, NodeList& made) {
    const auto known = rank_of(graph_, node.input(0));
    const auto stacked = ranks_.find(node.input(1));
    const size_t right = stacked == ranks_.end() ? 2 : stacked->second;
    if (!known || graph_.weight(node.input(1))->shape().size() != 2 ||
        (*known != 1 && *known >= right)) {
      return false;
    }
    const bool vector = *known == 1;
    const std::string& name = node.name().empty() ? node.output(0) : node.name();
    Node product = node;
    if (vector) {
      const std::string row = graph_.unique(name + "/row");
      made.push_back(graph_.unsqueeze(row, node.input(0), row, {0}));
      product.set_input(0, row);
    }
    const size_t rank = vector ? right - 1 : std::max(*known, right);  // of the result
    const size_t from = vector ? 2 : *known;                           // of the product
    const std::string result = rank == from ? node.output(0) : graph_.unique(name + "/product");
    product.set_output(0, result);
    made.push_back(product);
    if (rank < from) {
      made.push_back(make_node("Reshape",
                               graph_.unique(name + "/Reshape"),
                               {result, graph_.integers({-1})},
                               {node.output(0)}));
    } else if (rank > from) {
      std::vector<int64_t> axes(rank - from);
      std::iota(axes.begin(), axes.end(), int64_t{0});
      made.push_back(
          graph_.unsqueeze(graph_.unique(name + "/Unsqueeze"), result, node.output(0), axes));
    }
    return true;
  }

  [[nodiscard]] bool turns_left(const Node& node) const {
    const bool gemm = is_standard(node) && node.op_type() == "Gemm";
    const bool fused = is_fused(node, "FusedMatMul") &&
                       rank_of(graph_, node.input(0)).value_or(0) >= 2 &&
                       integer_attribute(node, "transBatchA", 0) == 0;
    return (gemm || fused) && takes(node) && integer_attribute(node, "transA", 0) != 0;
  }

  //  x [..., K, M] ── Transpose ── Gemm or FusedMatMul ── y
  void transpose_left(const Node& node, NodeList& made) {
    const std::string& name = node.name().empty() ? node.output(0) : node.name();
    const std::string transposed = graph_.unique(name + "/Transpose");
    const bool gemm = node.op_type() == "Gemm";
    std::vector<int64_t> perm(gemm ? 2 : rank_of(graph_, node.input(0)).value());
    std::iota(perm.begin(), perm.end(), int64_t{0});
    std::swap(perm[perm.size() - 2], perm[perm.size() - 1]);
    made.push_back(
        make_node("Transpose", transposed, {node.input(0)}, {transposed}, {{"perm", perm}}));
    Node product = node;
    product.set_input(0, transposed);
    for (auto& attribute : *product.mutable_attribute()) {
      if (attribute.name() == "transA") {
        attribute.set_i(0);
      }
    }
    made.push_back(std::move(product));
  }

  //  x ── MatMul(weights) ── Split ── MultiHeadAttention(bias, mask, past keys, past values) ── y
  //  past [2, ...] ── Gather(0), Gather(1)     present keys, values ── Unsqueeze ── Concat
  void attend(const Node& node, NodeList& made) {
    const std::string& name = node.name().empty() ? node.output(0) : node.name();
    const auto value = [&](const std::string& what) { return graph_.unique(name + "/" + what); };
    const auto input = [&](int index) {
      return has_input(node, index) ? node.input(index) : std::string();
    };
    const WeightPtr weights = graph_.weight(node.input(kWeights));
    const std::string projected = value("projected");
    // The product has the node's name, by which it is excluded and reported.
    made.push_back(
        make_node("MatMul", node.name(), {node.input(kInput), node.input(kWeights)}, {projected}));
    const std::vector<std::string> parts{value("query"), value("key"), value("value")};
    made.push_back(graph_.split(
        value("Split"), projected, parts, 2, attention_parts(node, weights->shape().at(1))));
    std::vector<std::string> inputs = parts;
    for (const int index : {kBias, kMask, kAttentionBias}) {
      inputs.push_back(input(index));
    }
    if (has_input(node, kPast)) {
      for (const int64_t part : {0, 1}) {
        inputs.push_back(value(part == 0 ? "past_key" : "past_value"));
        made.push_back(make_node("Gather",
                                 inputs.back(),
                                 {node.input(kPast), graph_.integer(part)},
                                 {inputs.back()},
                                 {{"axis", int64_t{0}}}));
      }
    }
    std::vector<std::string> outputs{node.output(0)};
    const bool present = node.output_size() > 1 && !node.output(1).empty();
    if (present) {
      outputs.push_back(value("present_key"));
      outputs.push_back(value("present_value"));
    }
    Node attention = make_node(
        "MultiHeadAttention", value("MultiHeadAttention"), inputs, outputs, {}, kMicrosoftDomain);
    for (const auto& attribute : node.attribute()) {
      if (attribute.name() == "num_heads" || attribute.name() == "unidirectional" ||
          attribute.name() == "mask_filter_value" || attribute.name() == "scale") {
        *attention.add_attribute() = attribute;
      }
    }
    made.push_back(std::move(attention));
    if (present) {
      std::vector<std::string> stacked;
      for (size_t i = 1; i < outputs.size(); ++i) {
        stacked.push_back(graph_.unique(outputs[i] + "/Unsqueeze"));
        made.push_back(graph_.unsqueeze(stacked.back(), outputs[i], stacked.back(), {0}));
      }
      made.push_back(
          make_node("Concat", value("present"), stacked, {node.output(1)}, {{"axis", int64_t{0}}}));
    }
  }

  Rewriter graph_;
  const SchemeOptions& options_;
  std::map<std::string, size_t> stacked_;  // readers of weights [1, ..., K, N]
  std::map<std::string, size_t> ranks_;    // original ranks of those weights
};

}  // namespace

std::string attention_obstacle(const Rewriter& graph, const onnx::NodeProto& node) {
  const WeightPtr weights =
      node.input_size() > kWeights ? graph.weight(node.input(kWeights)) : nullptr;
  if (!weights || weights->shape().size() != 2 ||
      attention_parts(node, weights->shape()[1]).empty()) {
    return "an Attention whose weights do not split in three";
  }
  if (graph.uses(node.input(kWeights)) != 1) {
    return "read by more than an Attention";
  }
  if (integer_attribute(node, "do_rotary", 0) != 0 ||
      integer_attribute(node, "past_present_share_buffer", 0) != 0 ||
      has_input(node, kPastLength)) {
    return "an Attention with rotary positions or a shared buffer";
  }
  return fits_mask(graph, node) ? "" : "an Attention with a mask of another kind";
}

void expand_products(Model& model, const SchemeOptions& options) {
  Expander(model, options).run();
}

}  // namespace lorapress
