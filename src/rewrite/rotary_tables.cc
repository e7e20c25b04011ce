#include "rewrite/rotary_tables.h"

#include <cmath>
#include <map>
#include <numbers>

#include "rewrite/rewrite.h"

namespace lorapress {
namespace {

struct TablePair {
  std::string cosines;
  std::string sines;
  auto operator<=>(const TablePair&) const = default;
};

// The node's inputs that are tables; empty names where it has none.
TablePair tables_of(const onnx::NodeProto& node) {
  const bool attention = node.op_type() == "GroupQueryAttention";
  const int first = attention ? 7 : 2;
  if (node.domain() != kMicrosoftDomain || node.input_size() <= first + 1 ||
      (!attention && node.op_type() != "RotaryEmbedding")) {
    return {};
  }
  return {node.input(first), node.input(first + 1)};
}

// Radians per position, or nothing for tables that are not plain rotations. Row 1 holds the
// frequencies themselves; later rows, many full turns of the angle later, refine them.
std::optional<std::vector<float>> frequencies_of(const Weight& cosines, const Weight& sines) {
  const Shape& shape = cosines.shape();
  constexpr int64_t kMostPositions = 1 << 15;
  const bool floats = dtype_row(cosines.dtype()).is_float && cosines.dtype() == sines.dtype();
  if (shape.size() != 2 || shape != sines.shape() || shape[0] < 2 || shape[0] > kMostPositions ||
      shape[1] > 512 || !floats) {
    return std::nullopt;
  }
  const std::vector<float> cos = read_all_float32(cosines);
  const std::vector<float> sin = read_all_float32(sines);
  const auto width = static_cast<size_t>(shape[1]);
  const size_t positions = cos.size() / width;
  std::vector<float> frequencies(width);
  const auto angle = [&](size_t position, size_t i) {
    const size_t at = position * width + i;
    return std::atan2(static_cast<double>(sin[at]), static_cast<double>(cos[at]));
  };
  for (size_t i = 0; i < width; ++i) {
    double frequency = angle(1, i);
    for (size_t position = 2; position < positions; position = std::min(position * 2, positions)) {
      // A few full turns at a time, so that the number of whole turns is certain.
      const double guess = frequency * static_cast<double>(position);
      const double turns = std::round((guess - angle(position, i)) / (2 * std::numbers::pi));
      frequency =
          (angle(position, i) + turns * 2 * std::numbers::pi) / static_cast<double>(position);
    }
    frequencies[i] = static_cast<float>(frequency);
  }
  const float tolerance = cosines.dtype() == DType::kF32 ? 2e-4F : 1e-3F;
  for (size_t at = 0; at < cos.size(); ++at) {
    const float turned = static_cast<float>(at / width) * frequencies[at % width];
    if (!(std::fabs(std::cos(turned) - cos[at]) <= tolerance) ||
        !(std::fabs(std::sin(turned) - sin[at]) <= tolerance)) {
      return std::nullopt;
    }
  }
  return frequencies;
}

class RotaryPass {
 public:
  explicit RotaryPass(Model& model) : graph_(model) {
    std::map<TablePair, size_t> readers;
    graph_.for_each_node([&](const onnx::NodeProto& node) {
      const TablePair pair = tables_of(node);
      if (graph_.weight(pair.cosines) && graph_.weight(pair.sines)) {
        ++readers[pair];
      }
    });
    for (const auto& [pair, count] : readers) {
      const WeightPtr cosines = graph_.weight(pair.cosines);
      auto frequencies = frequencies_of(*cosines, *graph_.weight(pair.sines));
      if (frequencies && graph_.uses(pair.cosines) == count && graph_.uses(pair.sines) == count) {
        found_[pair] = {std::move(*frequencies), cosines->dtype(), cosines->shape()};
      }
    }
  }

  void run() {
    if (found_.empty()) {
      return;
    }
    graph_.rewrite([&](const onnx::NodeProto& node, NodeList& nodes) {
      const TablePair pair = tables_of(node);
      const auto found = found_.find(pair);
      if (found == found_.end()) {
        return false;
      }
      const auto [made, is_new] = made_.try_emplace({pair, graph_.scope()});
      if (is_new) {
        made->second = emit(pair, found->second, nodes);
      }
      const int first = node.op_type() == "GroupQueryAttention" ? 7 : 2;
      onnx::NodeProto changed = node;
      changed.set_input(first, made->second.cosines);
      changed.set_input(first + 1, made->second.sines);
      nodes.push_back(std::move(changed));
      return true;
    });
    graph_.drop_unused_weights();
  }

 private:
  struct Table {
    std::vector<float> frequencies;
    DType dtype;
    Shape shape;
  };

  TablePair emit(const TablePair& pair, const Table& table, NodeList& nodes) {
    const int64_t positions = table.shape[0];
    const auto add = [&](std::string_view op,
                         const std::string& name,
                         const std::vector<std::string>& inputs,
                         const TensorType& type,
                         const Attributes& attributes = {}) {
      std::string value = graph_.unique(pair.cosines + "/" + name);
      declare_value(graph_.model(), value, type);
      nodes.push_back(make_node(op, value, inputs, {value}, attributes));
      return value;
    };
    const Attributes to_float{{"to", int64_t{dtype_row(DType::kF32).onnx}}};
    const Attributes to_dtype{{"to", int64_t{dtype_row(table.dtype).onnx}}};
    const Dims dims{positions, table.shape[1]};
    const std::string range = add("Range",
                                  "positions",
                                  {graph_.integer(0), graph_.integer(positions), graph_.integer(1)},
                                  {DType::kI64, {positions}});
    const std::string floats =
        add("Cast", "float_positions", {range}, {DType::kF32, {positions}}, to_float);
    const std::string column =
        add("Unsqueeze", "column", {floats, graph_.integers({1})}, {DType::kF32, {positions, 1}});
    const std::string frequencies = graph_.add_weight(
        pair.cosines + "/frequencies", float_constant({table.shape[1]}, table.frequencies));
    const std::string angles = add("Mul", "angles", {column, frequencies}, {DType::kF32, dims});
    TablePair made{add("Cos", "Cos", {angles}, {DType::kF32, dims}),
                   add("Sin", "Sin", {angles}, {DType::kF32, dims})};
    if (table.dtype != DType::kF32) {
      made = {add("Cast", "cosines", {made.cosines}, {table.dtype, dims}, to_dtype),
              add("Cast", "sines", {made.sines}, {table.dtype, dims}, to_dtype)};
    }
    return made;
  }

  Rewriter graph_;
  std::map<TablePair, Table> found_;
  std::map<std::pair<TablePair, int>, TablePair> made_;
};

}  // namespace

void compute_rotary_tables(Model& model) {
  constexpr int64_t kFirstOpset = 13;  // of the nodes that it emits
  if (opset_of(model.proto, "") >= kFirstOpset) {
    RotaryPass(model).run();
  }
}

}  // namespace lorapress
