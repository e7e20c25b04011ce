#include "blocks/pillow_resize.h"

#include "blocks/shapes.h"

namespace lorapress {
namespace {

// Emits float64 arithmetic under one scope with running numbers. Double, because the sums of 8-bit
// levels and 22-bit weights are exact in it, as Pillow's integers are.
class Arithmetic {
 public:
  Arithmetic(const Builder& b, std::string scope) : graph_(b.graph), scope_(std::move(scope)) {}

  Value constant(double value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    return graph_.initializer(next("constant"),
                              constant_weight(DType::kF64, {}, {bytes.begin(), bytes.end()}));
  }
  Value op(std::string_view type, const Value& a, const Value& b) {
    return graph_.op(type, next(type), {a, b});
  }
  Value op(std::string_view type, const Value& a, double b) { return op(type, a, constant(b)); }
  Value op(std::string_view type, const Value& a) { return graph_.op(type, next(type), {a}); }
  Value where(const Value& condition, const Value& then, const Value& otherwise) {
    return graph_.op("Where", next("Where"), {condition, then, otherwise});
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
Value filter_of(Arithmetic& m, const Value& t, ResizeFilter filter) {
  if (filter == ResizeFilter::kBilinear) {
    return m.op("Max", m.op("Sub", m.constant(1.0), t), 0.0);
  }
  const Value squared = m.op("Mul", t, t);
  // (1.5 t - 2.5) t^2 + 1 below 1, (((t - 5) t + 8) t - 4) * -0.5 below 2
  const Value near = m.op("Add", m.op("Mul", m.op("Sub", m.op("Mul", t, 1.5), 2.5), squared), 1.0);
  const Value inner = m.op("Add", m.op("Mul", m.op("Sub", t, 5.0), t), 8.0);
  const Value far = m.op("Mul", m.op("Sub", m.op("Mul", inner, t), 4.0), -0.5);
  // One after another: arguments have no order among compilers, nodes in a file do.
  const Value zero = m.constant(0.0);
  const Value below_two = m.op("Less", t, 2.0);
  const Value outer = m.where(below_two, far, zero);
  const Value below_one = m.op("Less", t, 1.0);
  return m.where(below_one, near, outer);
}

//  Output pixel i of `to` lies at (i + 1/2) * from / to, input pixel j at j + 1/2; their distance
//  in widths of the filter, which grows with the reduction, is
//
//    t = |(2 j + 1) to - (2 i + 1) from| / (2 max(from, to))
//
//  exactly: the numerator is an int64. Pillow (Resample.c, precompute_coeffs) sums over the pixels
//  whose t is inside the filter's support; outside the filter is 0, so the dense matrix is the
//  same. Its weights are rounded to 22 fractional bits (normalize_coeffs_8bpc).
//
//  from ── numerators ── t ── filter ── / sums ── round ── float64 [from, to], or [to, from]
//
// The form [to, from] multiplies columns from the left. Transposing the image instead fails: ONNX
// Runtime 1.22 fuses a Transpose into a MatMul that it implements for float32 only.
Value resize_matrix(const Builder& b,
                    const std::string& scope,
                    const Value& from,  // int64 [1]
                    int64_t to,
                    ResizeFilter filter,
                    bool transposed) {
  Graph& graph = b.graph;
  const Value one = graph.integer(1);
  const auto centres = [&](const std::string& name, const Value& count) {
    const Value range = graph.op("Range", scope + name, {graph.integer(0), count, one});
    const Value doubled = graph.op("Mul", scope + name + "_doubled", {range, graph.integer(2)});
    return graph.op("Add", scope + name + "_centres", {doubled, one});
  };
  const Value from_scalar = graph.op("Squeeze", scope + "/from", {from, graph.integers({0})});
  const Value inputs = graph.op(
      "Mul", scope + "/inputs_scaled", {centres("/inputs", from_scalar), graph.integer(to)});
  const Value outputs =
      graph.op("Mul", scope + "/outputs_scaled", {centres("/outputs", graph.integer(to)), from});
  const Value column = graph.op(
      "Unsqueeze", scope + "/column", {transposed ? outputs : inputs, graph.integers({1})});
  const Value numerator =  // its sign does not matter
      graph.op("Sub", scope + "/numerator", {column, transposed ? inputs : outputs});
  const Value larger = graph.op("Max", scope + "/larger", {from, graph.integers({to})});
  const Value width = graph.op("Mul", scope + "/width", {larger, graph.integer(2)});
  Arithmetic m(b, scope + "/weights");
  const Value distance = m.op("Div",
                              to_dtype(b, scope + "/numerator_float", numerator, DType::kF64),
                              to_dtype(b, scope + "/width_float", width, DType::kF64));
  const Value weights = filter_of(m, m.op("Abs", distance), filter);
  const Value sums = graph.op("ReduceSum",
                              scope + "/sums",
                              {weights, graph.integers({transposed ? 1 : 0})},
                              {{"keepdims", int64_t{1}}});
  constexpr double kFixedPoint = 1 << 22;
  const Value fixed = m.op("Mul", m.op("Div", weights, sums), kFixedPoint);
  return m.op("Div", m.op("Floor", m.op("Add", fixed, 0.5)), kFixedPoint);
}

// Rounds to integer levels after each pass, as clip8 of Resample.c: halves are rounded up.
Value round_levels(const Builder& b, const std::string& scope, const Value& x) {
  Arithmetic m(b, scope);
  const Value whole = m.op("Floor", m.op("Add", x, 0.5));
  return m.op("Min", m.op("Max", whole, 0.0), 255.0);
}

struct Passes {
  Value levels;  // float64 [3, height, width]
  Value across;  // [width, to_width]
  Value down;    // [to_height, height]
};

// One order of the passes, as a branch of If.
//  columns first: levels ── MatMul(., across) ── round ── MatMul(down, .) ── round
//  rows first:    levels ── MatMul(down, .) ── round ── MatMul(., across) ── round
BodyPtr resize_branch(const Builder& b,
                      const std::string& scope,
                      const Passes& passes,
                      bool rows_first) {
  return b.graph.body(scope, {}, [&](const std::vector<Value>& /*inputs*/) {
    const auto pass = [&](const Value& x, bool rows) {
      const std::string name = scope + (rows ? "/down" : "/across");
      const std::vector<Value> factors =
          rows ? std::vector<Value>{passes.down, x} : std::vector<Value>{x, passes.across};
      return round_levels(b, name + "_round", b.graph.op("MatMul", name, factors));
    };
    return std::vector<Value>{pass(pass(passes.levels, rows_first), !rows_first)};
  });
}

}  // namespace

// Each pass rounds, so the order of the passes matters. Pillow 13 resizes the height first when it
// shrinks by more than twice as much as the width:
//
//  image ── float64 [3, h, w] ── If(h - to_h > max(0, 2 (w - to_w))) ── float32
Value pillow_resize(const Builder& b,
                    const std::string& scope,
                    const Value& image,
                    int64_t to_height,
                    int64_t to_width,
                    ResizeFilter filter) {
  Graph& graph = b.graph;
  const Value height = length_of(b, scope + "/height", image, 0);
  const Value width = length_of(b, scope + "/width", image, 1);
  const Value planes =
      graph.op("Transpose", scope + "/planes", {image}, {{"perm", std::vector<int64_t>{2, 0, 1}}});
  const Passes passes{to_dtype(b, scope + "/levels", planes, DType::kF64),
                      resize_matrix(b, scope + "/columns", width, to_width, filter, false),
                      resize_matrix(b, scope + "/rows", height, to_height, filter, true)};
  const Value lost_rows =
      graph.op("Sub", scope + "/lost_rows", {height, graph.integers({to_height})});
  const Value lost_columns =
      graph.op("Sub", scope + "/lost_columns", {width, graph.integers({to_width})});
  const Value twice = graph.op("Mul", scope + "/twice", {lost_columns, graph.integers({2})});
  const Value least = graph.op("Max", scope + "/least", {twice, graph.integers({0})});
  const Value more = graph.op("Greater", scope + "/more", {lost_rows, least});
  const Value rows_first = graph.op("Squeeze", scope + "/rows_first", {more, graph.integers({0})});
  const Value whole =
      graph.op("If",
               scope + "/If",
               {rows_first},
               {{"then_branch", resize_branch(b, scope + "/rows_first_branch", passes, true)},
                {"else_branch", resize_branch(b, scope + "/columns_first_branch", passes, false)}});
  return to_dtype(b, scope + "/resized", whole, DType::kF32);
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
