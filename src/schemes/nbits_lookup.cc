#include "schemes/nbits_lookup.h"

#include <fmt/format.h>
#include <utility>

#include "schemes/nbits_plan.h"

namespace lorapress {
namespace {

class LookupEmitter {
 public:
  LookupEmitter(Rewriter& graph,
                const onnx::NodeProto& gather,
                const NBitsTensors& table,
                NodeList& nodes)
      : graph_(graph),
        gather_(gather),
        table_(table),
        nodes_(nodes),
        name_(gather.name().empty() ? gather.output(0) : gather.name()),
        ids_(graph.type(gather.input(1)).value().type.dims) {}

  //  packed ── Gather(ids) ── unpack ── Reshape [ids..., blocks, block_size] ── Sub(zero points)
  //    ── Mul(Gather(scales, ids)) ── Reshape [ids..., blocks * block_size] ── (Slice to the columns)
  void run() {
    const int64_t padded = table_.blocks * table_.block_size;
    const std::string bytes =
        rows_of(table_.packed, "packed", DType::kU8, {table_.blocks, table_.block_size / 2});
    const std::string integers =
        unpack(bytes, "packed", {table_.blocks, table_.block_size / 2}, table_.block_size);
    const std::string zero = table_.zero_points.empty() ? number(8.0F) : zero_points();
    const Dims blocks = dims({table_.blocks, table_.block_size});
    const std::string centered = emit("Sub", "centered", {integers, zero}, blocks);
    const std::string scales = rows_of(view(table_.scales, "scales", table_.dtype, table_.blocks),
                                       "scales",
                                       table_.dtype,
                                       {table_.blocks, 1});
    const std::string values = emit("Mul", "values", {centered, scales}, blocks);
    const std::string row_shape = shape({padded});
    if (padded == table_.columns) {
      nodes_.push_back(
          make_node("Reshape", node_name("row"), {values, row_shape}, {gather_.output(0)}));
      return;
    }
    const std::string row = emit("Reshape", "padded", {values, row_shape}, dims({padded}));
    nodes_.push_back(graph_.slice(node_name("row"),
                                  row,
                                  gather_.output(0),
                                  0,
                                  table_.columns,
                                  static_cast<int64_t>(ids_.size())));
  }

 private:
  [[nodiscard]] Dims dims(const std::vector<int64_t>& behind) const {
    Dims all = ids_;
    all.insert(all.end(), behind.begin(), behind.end());
    return all;
  }

  // The indices' dimensions followed by `behind`, for Reshape.
  std::string shape(const std::vector<int64_t>& behind) {
    std::vector<int64_t> all(ids_.size(), 0);
    all.insert(all.end(), behind.begin(), behind.end());
    return graph_.integers(all);
  }

  std::string node_name(const std::string& suffix) { return graph_.unique(name_ + "/" + suffix); }

  std::string emit(std::string_view op,
                   const std::string& suffix,
                   const std::vector<std::string>& inputs,
                   const Dims& type,
                   const Attributes& attributes = {}) {
    return emit_as(table_.dtype, op, suffix, inputs, type, attributes);
  }

  // Node and value share a name, as in graphs that LoraPress authors.
  std::string emit_as(DType dtype,
                      std::string_view op,
                      const std::string& suffix,
                      const std::vector<std::string>& inputs,
                      const Dims& type,
                      const Attributes& attributes = {}) {
    std::string value = node_name(suffix);
    declare_value(graph_.model(), value, {dtype, type});
    nodes_.push_back(make_node(op, value, inputs, {value}, attributes));
    return value;
  }

  std::string number(float value) {
    if (table_.dtype == DType::kF32) {
      return graph_.scalar(value);
    }
    return graph_.add_weight(fmt::format("/passes/{}/{}", dtype_name(table_.dtype), value),
                             cast(float_constant({}, {&value, 1}), table_.dtype));
  }

  // A vector of rows * columns elements as [rows, columns, 1]; runtimes fold this when a session is
  // created.
  std::string view(const std::string& line,
                   const std::string& suffix,
                   DType dtype,
                   int64_t columns) {
    return emit_as(dtype,
                   "Reshape",
                   suffix + "_by_row",
                   {line, graph_.integers({table_.rows, columns, 1})},
                   {table_.rows, columns, 1});
  }

  std::string rows_of(const std::string& rows,
                      const std::string& suffix,
                      DType dtype,
                      const std::vector<int64_t>& behind) {
    return emit_as(dtype,
                   "Gather",
                   suffix + "_rows",
                   {rows, gather_.input(1)},
                   dims(behind),
                   {{"axis", int64_t{0}}});
  }

  //  bytes ── Cast ─┬─ Floor(x / 16): the high half ──────────┐
  //                 └─ x - 16 * Floor(x / 16): the low half ──┴─ side by side on a new last axis
  //    ── Reshape [ids..., behind[0], width]
  // The new last axis interleaves the halves: low, high, low, high.
  std::string unpack(const std::string& bytes,
                     const std::string& suffix,
                     const std::vector<int64_t>& behind,
                     int64_t width) {
    const Dims type = dims(behind);
    const auto add =
        [&](std::string_view op, const std::string& what, const std::vector<std::string>& inputs) {
          return emit(op, suffix + "_" + what, inputs, type);
        };
    const std::string x = emit(
        "Cast", suffix + "_bytes", {bytes}, type, {{"to", int64_t{dtype_row(table_.dtype).onnx}}});
    const std::string high =
        add("Floor", "high", {add("Mul", "sixteenth", {x, number(1.0F / 16)})});
    const std::string low = add("Sub", "low", {x, add("Mul", "above", {high, number(16.0F)})});
    std::vector<std::string> halves;
    for (const std::string& half : {low, high}) {
      Dims column = type;
      column.emplace_back(1);
      const auto axis = static_cast<int64_t>(type.size());
      halves.push_back(node_name(suffix + "_column"));
      declare_value(graph_.model(), halves.back(), {table_.dtype, column});
      nodes_.push_back(graph_.unsqueeze(halves.back(), half, halves.back(), {axis}));
    }
    Dims pair = type;
    pair.emplace_back(2);
    const auto last = static_cast<int64_t>(type.size());
    const std::string pairs = emit("Concat", suffix + "_pairs", halves, pair, {{"axis", last}});
    return emit("Reshape",
                suffix + "_integers",
                {pairs, shape({behind[0], width})},
                dims({behind[0], width}));
  }

  // [ids..., blocks, 1]; an odd number of blocks leaves half a byte at the end of each row.
  std::string zero_points() {
    const int64_t pitch = (table_.blocks + 1) / 2;
    const std::string bytes = rows_of(
        view(table_.zero_points, "zeros", DType::kU8, pitch), "zeros", DType::kU8, {pitch, 1});
    const std::string halves = unpack(bytes, "zeros", {pitch, 1}, 2);
    std::string zeros =
        emit("Reshape", "zeros_column", {halves, shape({2 * pitch, 1})}, dims({2 * pitch, 1}));
    if (table_.blocks % 2 != 0) {
      const std::string all = std::exchange(zeros, node_name("zeros_used"));
      declare_value(graph_.model(), zeros, {table_.dtype, dims({table_.blocks, 1})});
      const auto axis = static_cast<int64_t>(ids_.size());
      nodes_.push_back(graph_.slice(zeros, all, zeros, 0, table_.blocks, axis));
    }
    return zeros;
  }

  Rewriter& graph_;
  const onnx::NodeProto& gather_;
  const NBitsTensors& table_;
  NodeList& nodes_;
  std::string name_;
  Dims ids_;
};

}  // namespace

void emit_lookup(Rewriter& graph,
                 const onnx::NodeProto& gather,
                 const NBitsTensors& table,
                 NodeList& nodes) {
  LookupEmitter(graph, gather, table, nodes).run();
}

}  // namespace lorapress
