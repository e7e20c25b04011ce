#include "blocks/padded_rows.h"

#include "blocks/shapes.h"

namespace lorapress {
namespace {

// The call's part [batch, sequence] of x [batch, total].
Value newest(const Builder& b, const std::string& scope, const Value& x, const Value& sequence) {
  const Value begin = b.graph.op("Sub", scope + "/begin", {b.graph.integers({0}), sequence});
  return b.graph.op(
      "Slice", scope, {x, begin, b.graph.integers({INT64_MAX}), b.graph.integers({1})});
}

// Tokens of each row, [batch, 1]. A row of padding alone counts one, so that it has a position.
Value count(const Builder& b, const std::string& scope, const Value& mask) {
  const Value sum = b.graph.op("ReduceSum", scope + "/ReduceSum", {mask, b.graph.integers({1})});
  return b.graph.op("Max", scope, {sum, b.graph.integer(1)});
}

// Where the first or the last 1 of each row stands, [batch, 1].
Value find_token(const Builder& b, const std::string& scope, const Value& mask, bool last) {
  const Value numbers = to_dtype(b, scope + "/int32", mask, DType::kI32);
  return b.graph.op("ArgMax",
                    scope,
                    {numbers},
                    {{"axis", int64_t{1}},
                     {"keepdims", int64_t{1}},
                     {"select_last_index", int64_t{last ? 1 : 0}}});
}

}  // namespace

//  new = mask[:, -sequence:]; in the first call that is all of it
//  packed: order = Min(0 … sequence-1 + first token, sequence-1); positions = length - count(new) + 0 …
//  else:   positions = Max(CumSum(mask) - 1, 0)[:, -sequence:]
PaddedRows padded_rows(const Builder& b,
                       const std::string& scope,
                       const Value& mask,
                       const Value& sequence,
                       bool packed) {
  Graph& graph = b.graph;
  const Value columns = graph.integers({1});
  const auto unsqueeze = [&](const char* name, const Value& x, const std::vector<int64_t>& axes) {
    return graph.op("Unsqueeze", scope + name, {x, graph.integers(axes)});
  };
  const Value fresh = newest(b, scope + "/new", mask, sequence);
  const Value length = count(b, scope + "/length", mask);
  PaddedRows rows;
  rows.lengths = graph.op("Squeeze", scope + "/lengths", {length, columns});
  if (!packed) {
    const Value tokens = to_dtype(b, scope + "/tokens", mask, DType::kBool);
    rows.seen = unsqueeze("/seen", tokens, {1, 2});
    const Value sums = graph.op("CumSum", scope + "/CumSum", {mask, graph.integer(1)});
    const Value before = graph.op("Sub", scope + "/before", {sums, graph.integer(1)});
    const Value all = graph.op("Max", scope + "/all_positions", {before, graph.integer(0)});
    rows.key_positions = unsqueeze("/key_positions", all, {1, 2});
    rows.positions = newest(b, scope + "/positions", all, sequence);
    rows.last = unsqueeze("/last", find_token(b, scope + "/last_token", fresh, true), {2});
    return rows;
  }
  const Value end = graph.op("Squeeze", scope + "/sequence", {sequence, graph.integers({0})});
  const Value steps =
      graph.op("Range", scope + "/steps", {graph.integer(0), end, graph.integer(1)});
  const Value first = find_token(b, scope + "/first_token", fresh, false);
  const Value shifted = graph.op("Add", scope + "/shifted", {steps, first});
  const Value most = graph.op("Sub", scope + "/most", {sequence, columns});
  const Value order = graph.op("Min", scope + "/order", {shifted, most});
  const Value added = count(b, scope + "/added", fresh);
  const Value past = graph.op("Sub", scope + "/past", {length, added});
  rows.order = unsqueeze("/order_rows", order, {2});
  rows.positions = graph.op("Add", scope + "/positions", {past, steps});
  const Value last = graph.op("Sub", scope + "/last_token", {added, columns});
  rows.last = unsqueeze("/last", last, {2});
  return rows;
}

//  x ── GatherND(positions), row by row
Value take_positions(const Builder& b,
                     const std::string& name,
                     const Value& x,
                     const Value& positions) {
  return b.graph.op("GatherND", name, {x, positions}, {{"batch_dims", int64_t{1}}});
}

}  // namespace lorapress
