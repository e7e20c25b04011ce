#include "blocks/pillow_resize.h"

#include "blocks/shapes.h"

namespace lorapress {
namespace {

// Emits elementwise float arithmetic under one scope with running numbers.
class Arithmetic {
 public:
  Arithmetic(const Builder& b, std::string scope) : graph_(b.graph), scope_(std::move(scope)) {}

  Value op(std::string_view type, const Value& a, const Value& b) {
    return graph_.op(type, next(type), {a, b});
  }
  Value op(std::string_view type, const Value& a, float b) { return op(type, a, graph_.scalar(b)); }
  Value op(std::string_view type, const Value& a) { return graph_.op(type, next(type), {a}); }
  Value where(const Value& condition, const Value& then, const Value& otherwise) {
    return graph_.op("Where", next("Where"), {condition, then, otherwise});
  }
  Value where(const Value& condition, const Value& then, float otherwise) {
    return where(condition, then, graph_.scalar(otherwise));
  }

 private:
  std::string next(std::string_view type) {
    return scope_ + "/" + std::string(type) + "_" + std::to_string(count_++);
  }
  Graph& graph_;
  std::string scope_;
  int count_ = 0;
};

// Pillow's Resample.c, bicubic_filter (a = -0.5) and bilinear_filter, of |t|.
Value filter_of(const Builder& b, const std::string& scope, const Value& t, ResizeFilter filter) {
  Arithmetic m(b, scope);
  if (filter == ResizeFilter::kBilinear) {
    const Value down = m.op("Sub", b.graph.scalar(1.0F), t);
    return m.op("Max", down, 0.0F);
  }
  const Value squared = m.op("Mul", t, t);
  // (1.5 t - 2.5) t^2 + 1 below 1, (((t - 5) t + 8) t - 4) * -0.5 below 2
  const Value near =
      m.op("Add", m.op("Mul", m.op("Sub", m.op("Mul", t, 1.5F), 2.5F), squared), 1.0F);
  const Value inner = m.op("Add", m.op("Mul", m.op("Sub", t, 5.0F), t), 8.0F);
  const Value far = m.op("Mul", m.op("Sub", m.op("Mul", inner, t), 4.0F), -0.5F);
  return m.where(m.op("Less", t, 1.0F), near, m.where(m.op("Less", t, 2.0F), far, 0.0F));
}

//  Output pixel i of `to` lies at (i + 1/2) * from / to, input pixel j at j + 1/2; their distance
//  in widths of the filter, which grows with the reduction, is
//
//    t = |(2 j + 1) to - (2 i + 1) from| / (2 max(from, to))
//
//  exactly: the numerator is an int64. Pillow (Resample.c, precompute_coeffs) sums over the pixels
//  whose t is inside the filter's support; outside the filter is 0, so the dense matrix is the
//  same.
//
//  from ── numerators ── t ── filter ── / row sums ── [from, to]
Value resize_matrix(const Builder& b,
                    const std::string& scope,
                    const Value& from,  // int64 [1]
                    int64_t to,
                    ResizeFilter filter) {
  Graph& graph = b.graph;
  const Value one = graph.integer(1);
  const auto centres = [&](const std::string& name, const Value& count) {
    const Value range = graph.op("Range", scope + name, {graph.integer(0), count, one});
    const Value doubled = graph.op("Mul", scope + name + "_doubled", {range, graph.integer(2)});
    return graph.op("Add", scope + name + "_centres", {doubled, one});
  };
  const Value from_scalar = graph.op("Squeeze", scope + "/from", {from, graph.integers({0})});
  const Value rows = graph.op(
      "Mul", scope + "/inputs_scaled", {centres("/inputs", from_scalar), graph.integer(to)});
  const Value row_column =
      graph.op("Unsqueeze", scope + "/input_column", {rows, graph.integers({1})});
  const Value columns =
      graph.op("Mul", scope + "/outputs_scaled", {centres("/outputs", graph.integer(to)), from});
  const Value numerator = graph.op("Sub", scope + "/numerator", {row_column, columns});
  const Value larger = graph.op("Max", scope + "/larger", {from, graph.integers({to})});
  const Value width = graph.op("Mul", scope + "/width", {larger, graph.integer(2)});
  const Value distance = graph.op("Div",
                                  scope + "/distance",
                                  {to_dtype(b, scope + "/numerator_float", numerator, DType::kF32),
                                   to_dtype(b, scope + "/width_float", width, DType::kF32)});
  const Value weights =
      filter_of(b, scope + "/filter", graph.op("Abs", scope + "/t", {distance}), filter);
  const Value sums = graph.op(
      "ReduceSum", scope + "/sums", {weights, graph.integers({0})}, {{"keepdims", int64_t{1}}});
  // In steps of 2^-22, as normalize_coeffs_8bpc: where a sum ends in one half, this decides.
  constexpr float kSteps = 4194304.0F;
  Arithmetic m(b, scope + "/steps");
  const Value steps =
      m.op("Add", m.op("Mul", graph.op("Div", scope + "/share", {weights, sums}), kSteps), 0.5F);
  return m.op("Mul", m.op("Floor", steps), 1.0F / kSteps);
}

// Whole levels between the passes, as clip8 of Resample.c: halves go up.
Value round_levels(const Builder& b, const std::string& scope, const Value& x) {
  Graph& graph = b.graph;
  const Value shifted = graph.op("Add", scope + "/Add_half", {x, graph.scalar(0.5F)});
  const Value whole = graph.op("Floor", scope + "/Floor", {shifted});
  return graph.op("Clip", scope + "/Clip", {whole, graph.scalar(0.0F), graph.scalar(255.0F)});
}

//  x [3, a, b] ── MatMul(matrix [b, c]) ── round ── turn ── [3, c, a]
Value resize_last(const Builder& b, const std::string& scope, const Value& x, const Value& matrix) {
  const Value product = b.graph.op("MatMul", scope + "/MatMul", {x, matrix});
  return b.graph.op("Transpose",
                    scope + "/turn",
                    {round_levels(b, scope + "/round", product)},
                    {{"perm", std::vector<int64_t>{0, 2, 1}}});
}

// Each pass rounds and clips, so their order shows. Pillow 13 takes the rows first when the height
// shrinks by more than twice what the width does: 0 < lost rows and 2 * lost columns < lost rows.
Value rows_go_first(const Builder& b,
                    const std::string& scope,
                    const Value& height,
                    const Value& width,
                    int64_t to_height,
                    int64_t to_width) {
  Graph& graph = b.graph;
  const Value rows = graph.op("Sub", scope + "/lost_rows", {height, graph.integers({to_height})});
  const Value columns =
      graph.op("Sub", scope + "/lost_columns", {width, graph.integers({to_width})});
  const Value twice = graph.op("Mul", scope + "/twice", {columns, graph.integers({2})});
  const Value shrinks = graph.op("Less", scope + "/shrinks", {graph.integers({0}), rows});
  const Value more = graph.op("Less", scope + "/more", {twice, rows});
  return graph.op("And", scope + "/And", {shrinks, more});
}

}  // namespace

//  image ── float ── [3, h, w] ─┬─ columns ── rows ──────────────────────┐
//                               └─ turn ── rows ── columns ── turn ─── Where(order) ── [3, H, W]
Value pillow_resize(const Builder& b,
                    const std::string& scope,
                    const Value& image,
                    int64_t to_height,
                    int64_t to_width,
                    ResizeFilter filter) {
  Graph& graph = b.graph;
  const Attributes swap{{"perm", std::vector<int64_t>{0, 2, 1}}};
  const Value height = length_of(b, scope + "/height", image, 0);
  const Value width = length_of(b, scope + "/width", image, 1);
  const Value planes =
      graph.op("Transpose", scope + "/planes", {image}, {{"perm", std::vector<int64_t>{2, 0, 1}}});
  const Value levels = to_dtype(b, scope + "/levels", planes, DType::kF32);
  const Value columns = resize_matrix(b, scope + "/columns", width, to_width, filter);
  const Value rows = resize_matrix(b, scope + "/rows", height, to_height, filter);
  const Value columns_first = resize_last(
      b, scope + "/then_rows", resize_last(b, scope + "/columns_first", levels, columns), rows);
  const Value turned = graph.op("Transpose", scope + "/turn", {levels}, swap);
  const Value rows_first = resize_last(
      b, scope + "/then_columns", resize_last(b, scope + "/rows_first", turned, rows), columns);
  const Value turned_back = graph.op("Transpose", scope + "/turn_back", {rows_first}, swap);
  const Value order = rows_go_first(b, scope + "/order", height, width, to_height, to_width);
  return graph.op("Where", scope + "/Where", {order, turned_back, columns_first});
}

Value normalise_levels(const Builder& b,
                       const std::string& scope,
                       const Value& levels,
                       double rescale_factor,
                       const std::array<double, 3>& mean,
                       const std::array<double, 3>& std) {
  Graph& graph = b.graph;
  const auto per_channel = [&](const std::string& name, const std::array<double, 3>& values) {
    const std::vector<float> floats(values.begin(), values.end());
    return graph.initializer(scope + "/" + name, float_constant({3, 1, 1}, floats));
  };
  const Value scaled = graph.op(
      "Mul", scope + "/rescale", {levels, graph.scalar(static_cast<float>(rescale_factor))});
  const Value centred = graph.op("Sub", scope + "/centre", {scaled, per_channel("mean", mean)});
  const Value normal = graph.op("Div", scope + "/scale", {centred, per_channel("std", std)});
  return graph.op("Unsqueeze", scope + "/batch", {normal, graph.integers({0})});
}

}  // namespace lorapress
