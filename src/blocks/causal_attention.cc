#include <algorithm>
#include <limits>
#include <set>

#include "blocks/attention.h"
#include "blocks/heads.h"
#include "blocks/shapes.h"

namespace lorapress {
namespace {

//  key positions 0 … total-1 (columns) against query positions past … total-1 (rows, once per group)
//  full:    mask = Where(key <= query, 0, lowest)
//  window:  mask = Where(key <= query and key > query - window, 0, lowest)
//  padding: ... and key is seen; a window counts the tokens of its row
std::map<int64_t, Value> causal_masks(const Builder& b,
                                      const std::string& scope,
                                      const Value& past,
                                      const Value& total,
                                      int64_t group,
                                      const std::set<int64_t>& windows,
                                      const PaddedRows& padded) {
  Graph& graph = b.graph;
  const Value axis = graph.integers({0});
  const auto range = [&](const std::string& name, const Value& from) {
    const Value to = graph.op("Squeeze", name + "_end", {total, axis});
    return graph.op("Range", name, {from, to, graph.integer(1)});
  };
  const auto once_per_group = [&](const std::string& name, const Value& x, int64_t at) {
    const std::vector<Value> all(static_cast<size_t>(group), x);
    return graph.op("Concat", name, all, {{"axis", at}});
  };
  const Value keys = range(scope + "/key_positions", graph.integer(0));
  const Value queries =
      range(scope + "/query_positions", graph.op("Squeeze", scope + "/past", {past, axis}));
  const Value rows = once_per_group(scope + "/group_positions", queries, 0);
  const Value column = graph.op("Unsqueeze", scope + "/query_column", {rows, graph.integers({1})});
  Value seen = graph.op("LessOrEqual", scope + "/LessOrEqual", {keys, column});
  Value row_keys = keys;
  Value row_column = column;
  if (padded.seen.present()) {
    seen = graph.op("And", scope + "/And_seen", {seen, padded.seen});
  }
  if (padded.seen.present() && windows.upper_bound(0) != windows.end()) {
    const Value own = once_per_group(scope + "/row_positions", padded.positions, 1);
    row_keys = padded.key_positions;
    row_column = graph.op("Unsqueeze", scope + "/row_column", {own, graph.integers({1, 3})});
  }
  std::map<int64_t, Value> masks;
  for (const int64_t window : windows) {
    Value visible = seen;
    std::string name = scope;
    if (window != 0) {
      name += "/window_" + std::to_string(window);
      const Value hidden = graph.op("Sub", name + "/Sub", {row_column, graph.integer(window)});
      const Value near = graph.op("Greater", name + "/Greater", {row_keys, hidden});
      visible = graph.op("And", name + "/And", {seen, near});
    }
    masks[window] =
        graph.op("Where",
                 name + "/Where",
                 {visible, graph.scalar(0.0F), graph.scalar(std::numeric_limits<float>::lowest())});
  }
  return masks;
}

// ONNX Runtime's GroupQueryAttention rotates only heads of a multiple of 16 (its check: "head_size
// shall be a multiple of 16"); other widths take the standard nodes in either dialect.
bool fuses_attention(const Builder& b, const CausalHeads& heads) {
  return b.fused() && heads.head_dim % 16 == 0;
}

//  lengths ── Sub(1) ── Cast: the index of each row's last token
void add_fused_lengths(const Builder& b,
                       const std::string& scope,
                       const Value& hidden_states,
                       const Value& total,
                       CausalContext& context) {
  Graph& graph = b.graph;
  const Attributes to_int32{{"to", int64_t{dtype_row(DType::kI32).onnx}}};
  const bool padded = context.rows.lengths.present();
  const Value length = padded ? context.rows.lengths : total;
  Value rows = graph.op("Sub", scope + "/last_position", {length, graph.integers({1})});
  if (!padded) {
    const Value batch = length_of(b, scope + "/batch_size", hidden_states, 0);
    rows = graph.op("Expand", scope + "/Expand", {rows, batch});
  }
  context.seqlens_k = graph.op("Cast", scope + "/seqlens_k", {rows}, to_int32);
  const Value scalar = graph.op("Squeeze", scope + "/total_scalar", {total, graph.integers({0})});
  context.total_length = graph.op("Cast", scope + "/total_sequence_length", {scalar}, to_int32);
}

// q or k [batch, sequence, heads * head_dim] -> [batch, sequence, heads, head_dim], normalised where
// there is a norm and rotated where there are tables.
Value prepared_heads(const Builder& b,
                     const std::string& scope,
                     const std::string& part,
                     const Value& x,
                     int64_t heads,
                     int64_t head_dim,
                     const NormWeights& norm,
                     const RopeTables& tables) {
  Value split = split_heads(b, scope + "/Reshape_" + part, x, heads, head_dim);
  if (norm.weight) {
    split = rms_norm(b, scope + "/" + part + "_norm", split, norm);
  }
  return tables.cos.present() ? rotate(b, scope + "/rotate_" + part, split, tables) : split;
}

//  packed ─────────────────────────────────────────── GroupQueryAttention(past, (rotary tables)) ── y
//  packed ── Split ── q, k ── (norm), (rotate) ──┐
//               └──── v ─────────────────────────┴─── GroupQueryAttention(past, (rotary tables)) ── y
CausalOutput fused_attention(const Builder& b,
                             const std::string& scope,
                             const Value& packed,
                             const AttentionWeights& weights,
                             const KeyValue& past,
                             const CausalContext& context,
                             const CausalLayer& layer) {
  const CausalHeads& heads = context.heads;
  const bool inside = layer.rotated && context.rope.cos.present();
  const bool here = layer.rotated && !inside;
  std::vector<Value> inputs{packed, {}, {}};
  if (here || weights.q_norm.weight) {
    const int64_t width = heads.head_dim;
    inputs = split_qkv(
        b, scope, packed, heads.num_attention_heads * width, heads.num_key_value_heads * width);
    const auto prepare = [&](const char* part, Value& x, int64_t count, const NormWeights& norm) {
      const RopeTables tables = here ? context.call_rope : RopeTables{};
      const Value ready = prepared_heads(b, scope, part, x, count, width, norm, tables);
      const std::string name = scope + "/Reshape_" + part + "_flat";
      x = b.graph.op("Reshape", name, {ready, b.graph.integers({0, 0, count * width})});
    };
    prepare("q", inputs[0], heads.num_attention_heads, weights.q_norm);
    prepare("k", inputs[1], heads.num_key_value_heads, weights.k_norm);
  }
  inputs.insert(inputs.end(), {past.key, past.value, context.seqlens_k, context.total_length});
  if (inside) {
    inputs.insert(inputs.end(), {context.rope.cos, context.rope.sin});
  }
  Attributes attributes{{"num_heads", heads.num_attention_heads},
                        {"kv_num_heads", heads.num_key_value_heads},
                        {"do_rotary", int64_t{inside ? 1 : 0}}};
  if (layer.scale != 0.0) {
    const Attribute scale{"scale", static_cast<float>(layer.scale)};
    attributes.push_back(scale);  // gcc 12 warns of the move of a temporary
  }
  const std::vector<Value> outputs = b.graph.ops("GroupQueryAttention",
                                                 scope + "/GroupQueryAttention",
                                                 inputs,
                                                 std::move(attributes),
                                                 {0, 1, 2});
  return {outputs[0], {outputs[1], outputs[2]}};
}

//  q, k, v ── (norm), (rotate) q and k ── Concat past ── attend ── y
// Query heads of one key head become rows of one matrix: [batch, kv_heads, group * sequence, d], so
// keys and values are never repeated.
CausalOutput standard_attention(const Builder& b,
                                const std::string& scope,
                                const Value& packed,
                                const AttentionWeights& weights,
                                const KeyValue& past,
                                const CausalContext& context,
                                const CausalLayer& layer) {
  Graph& graph = b.graph;
  const int64_t heads = context.heads.num_attention_heads;
  const int64_t kv_heads = context.heads.num_key_value_heads;
  const int64_t width = context.heads.head_dim;
  const std::vector<Value> qkv = split_qkv(b, scope, packed, heads * width, kv_heads * width);
  const RopeTables tables = layer.rotated ? context.call_rope : RopeTables{};
  const Value q = prepared_heads(b, scope, "q", qkv[0], heads, width, weights.q_norm, tables);
  const Value k = prepared_heads(b, scope, "k", qkv[1], kv_heads, width, weights.k_norm, tables);
  const Value v = split_heads(b, scope + "/Reshape_v", qkv[2], kv_heads, width);
  const auto extend = [&](const std::string& name, const Value& before, const Value& now) {
    return graph.op("Concat",
                    scope + "/Concat_" + name,
                    {before, heads_first(b, scope + "/heads_first_" + name, now)},
                    {{"axis", int64_t{2}}});
  };
  const Value present_key = extend("k", past.key, k);
  const Value present_value = extend("v", past.value, v);
  const Value grouped = graph.op(
      "Reshape",
      scope + "/Reshape_group",
      {heads_first(b, scope + "/heads_first_q", q), graph.integers({0, kv_heads, -1, width})});
  const Value attended = attend(b,
                                scope,
                                grouped,
                                present_key,
                                present_value,
                                context.mask.at(layer.window),
                                layer.scale != 0.0 ? layer.scale : usual_scale(width));
  const Value ungrouped = graph.op(
      "Reshape", scope + "/Reshape_ungroup", {attended, graph.integers({0, heads, -1, width})});
  return {join_heads(b, scope, ungrouped, heads * width), {present_key, present_value}};
}

}  // namespace

//  past = Shape(past_key)[2]; sequence = Shape(hidden_states)[1]; total = past + sequence
CausalContext causal_context(const Builder& b,
                             const std::string& scope,
                             const Value& hidden_states,
                             const Value& past_key,
                             const CausalHeads& heads,
                             const Rope& rope,
                             std::span<const CausalLayer> layers,
                             const Value& attention_mask) {
  std::set<int64_t> windows{0};
  if (!layers.empty()) {
    windows.clear();
    std::ranges::transform(layers, std::inserter(windows, windows.end()), &CausalLayer::window);
  }
  const bool masked = attention_mask.present();
  CausalContext context;
  context.heads = heads;
  // Rows that are packed for one layer are packed for all.
  context.fused =
      fuses_attention(b, heads) && windows.contains(0) && !(masked && windows.size() > 1);
  if (context.fused) {
    windows.erase(0);
  }
  Graph& graph = b.graph;
  const Value past = length_of(b, scope + "/past_length", past_key, 2);
  const Value sequence = length_of(b, scope + "/sequence_length", hidden_states, 1);
  const Value total = graph.op("Add", scope + "/total_length", {past, sequence});
  if (masked) {
    context.rows = padded_rows(b, scope + "/rows", attention_mask, sequence, context.fused);
  }
  const bool rotary = rope.frequencies.present();
  const bool whole = rotary && 2 * rope.frequencies.dim(0).value == heads.head_dim;
  if (context.fused) {
    if (whole) {
      const Value end = graph.integer(rope.positions);  // arguments have no order among compilers
      const Value start = graph.integer(0);
      context.rope = rope_tables(b, scope + "/rotary", rope, start, end);
    }
    add_fused_lengths(b, scope, hidden_states, total, context);
  }
  if (rotary && (!windows.empty() || !whole)) {
    const std::string name = scope + (context.fused && whole ? "/call_rotary" : "/rotary");
    const auto scalar = [&](const char* part, const Value& length) {
      return graph.op("Squeeze", name + part, {length, graph.integers({0})});
    };
    const RopeTables tables =
        masked ? rope_tables(b, name, rope, context.rows.positions)
               : rope_tables(b, name, rope, scalar("/first", past), scalar("/end", total));
    context.call_rope = for_heads(b, name, tables);
  }
  if (!windows.empty()) {
    const int64_t group = heads.num_attention_heads / heads.num_key_value_heads;
    context.mask = causal_masks(b, scope + "/mask", past, total, group, windows, context.rows);
  }
  return context;
}

Value call_tokens(const Builder& b,
                  const std::string& name,
                  const Value& x,
                  const CausalContext& context) {
  return context.rows.order.present() ? take_positions(b, name, x, context.rows.order) : x;
}

Value last_token(const Builder& b,
                 const std::string& scope,
                 const Value& x,
                 const CausalContext& context) {
  return context.rows.last.present() ? take_positions(b, scope + "/GatherND", x, context.rows.last)
                                     : last_position(b, scope, x);
}

//  x ── qkv ── GroupQueryAttention(past, (rotary tables)) ── attended, present      (fused)
CausalOutput causal_attention(const Builder& b,
                              const std::string& scope,
                              const Value& x,
                              const AttentionWeights& weights,
                              const KeyValue& past,
                              const CausalContext& context,
                              const CausalLayer& layer) {
  const Value packed = linear(b, scope + "/qkv_proj", x, packed_qkv(weights));
  return context.fused && layer.window == 0
             ? fused_attention(b, scope, packed, weights, past, context, layer)
             : standard_attention(b, scope, packed, weights, past, context, layer);
}

}  // namespace lorapress
