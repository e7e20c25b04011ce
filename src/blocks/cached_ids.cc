#include "blocks/cached_ids.h"

#include "blocks/shapes.h"

namespace lorapress {
namespace {

constexpr int64_t kPartSize = 2048;  // float16 holds whole numbers up to it

//  part [batch, positions] ── Cast ── Unsqueeze ── Expand [batch, kv_heads, positions, head_dim]
Value as_cache(const Builder& b, const std::string& scope, const Value& part, const Value& past) {
  Graph& graph = b.graph;
  const Value number = to_dtype(b, scope + "/Cast", part, DType::kF32);
  const Value column =
      graph.op("Unsqueeze", scope + "/Unsqueeze", {number, graph.integers({1, 3})});
  return graph.op("Expand",
                  scope + "/Expand",
                  {column, graph.integers({1, past.dim(1).value, 1, past.dim(3).value})});
}

//  cache ── Slice [batch, 1, length, 1] ── Squeeze ── Cast
Value from_cache(const Builder& b, const std::string& scope, const Value& cache) {
  Graph& graph = b.graph;
  const Value one =
      graph.op("Slice",
               scope + "/Slice",
               {cache, graph.integers({0, 0}), graph.integers({1, 1}), graph.integers({1, 3})});
  const Value flat = graph.op("Squeeze", scope + "/Squeeze", {one, graph.integers({1, 3})});
  return to_dtype(b, scope + "/Cast", flat, DType::kI64);
}

// [..., begin : end] of the last of three axes
Value columns(
    const Builder& b, const std::string& name, const Value& x, int64_t begin, int64_t end) {
  Graph& graph = b.graph;
  return graph.op(
      "Slice", name, {x, graph.integers({begin}), graph.integers({end}), graph.integers({2})});
}

}  // namespace

//  ids ┬─ Div(2048) ── Cast ── Unsqueeze ─┐
//      └─ Mod(2048) ── Cast ── Unsqueeze ─┴─ Concat(embeddings first) [batch, positions, width + 2]
Value with_id_columns(const Builder& b,
                      const std::string& scope,
                      const Value& embeddings,
                      const Value& ids) {
  Graph& graph = b.graph;
  const auto column = [&](const char* type) {
    const std::string at = scope + "/" + type;
    const Value part = graph.op(type, at, {ids, graph.integer(kPartSize)});
    const Value number = to_dtype(b, at + "/Cast", part, DType::kF32);
    return graph.op("Unsqueeze", at + "/Unsqueeze", {number, graph.integers({2})});
  };
  const Value high = column("Div");
  return graph.op(
      "Concat", scope + "/Concat", {embeddings, high, column("Mod")}, {{"axis", int64_t{2}}});
}

//  marked ┬─ Slice [:, :, : width] ── embeddings
//         ├─ Slice [:, :, width : width + 1] ── Squeeze ── Cast ── Mul(2048) ─┐
//         └─ Slice [:, :, width + 1 :] ── Squeeze ── Cast ──────────────────── Add ── ids
MarkedEmbeddings split_id_columns(const Builder& b,
                                  const std::string& scope,
                                  const Value& marked,
                                  int64_t width) {
  Graph& graph = b.graph;
  const auto part = [&](const std::string& at, int64_t column) {
    const Value one = columns(b, at + "/Slice", marked, column, column + 1);
    const Value flat = graph.op("Squeeze", at + "/Squeeze", {one, graph.integers({2})});
    return to_dtype(b, at + "/Cast", flat, DType::kI64);
  };
  const Value high =
      graph.op("Mul", scope + "/Mul", {part(scope + "/high", width), graph.integer(kPartSize)});
  return {columns(b, scope + "/embeddings", marked, 0, width),
          graph.op("Add", scope + "/Add", {high, part(scope + "/low", width + 1)})};
}

//  ids ┬─ Div(2048) ── as_cache ── Concat(past key) ──── present key ── from_cache ── Mul(2048) ─┐
//      └─ Mod(2048) ── as_cache ── Concat(past value) ── present value ── from_cache ──────────── Add ── all ids
// An id below 0 is -1 and 0, which is -2048 again.
CachedIds cached_ids(const Builder& b,
                     const std::string& scope,
                     const KeyValue& past_ids,
                     const Value& ids) {
  Graph& graph = b.graph;
  const Value size = graph.integer(kPartSize);
  const Value none = graph.op("Less", scope + "/none", {ids, graph.integer(0)});
  const Value quotient = graph.op("Div", scope + "/Div", {ids, size});
  const Value high = graph.op("Where", scope + "/high", {none, graph.integer(-1), quotient});
  const Value rest = graph.op("Mod", scope + "/Mod", {ids, size});
  const Value low = graph.op("Where", scope + "/low", {none, graph.integer(0), rest});
  const auto extend = [&](const std::string& name, const Value& past, const Value& part) {
    return graph.op("Concat",
                    scope + "/" + name,
                    {past, as_cache(b, scope + "/" + name, part, past)},
                    {{"axis", int64_t{2}}});
  };
  CachedIds made;
  made.present = {extend("key", past_ids.key, high), extend("value", past_ids.value, low)};
  const Value scaled = graph.op(
      "Mul", scope + "/Mul", {from_cache(b, scope + "/high_parts", made.present.key), size});
  made.ids = graph.op(
      "Add", scope + "/Add", {scaled, from_cache(b, scope + "/low_parts", made.present.value)});
  return made;
}

}  // namespace lorapress
