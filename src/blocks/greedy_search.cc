#include <algorithm>

#include "blocks/generation.h"
#include "blocks/shapes.h"

namespace lorapress {

// Carried: embeddings, ended [batch, 1], ids [batch, so far], cache.
//
//   embeddings, cache ─ step ┬ logits ─ rules ─ ArgMax ─ Where(ended, pad, .) ─┬─ Gather(table) ─ embeddings'
//                            └ cache'                                          ├─ Concat(ids, .) ─ ids'
//                                                                              └─ in eos? Or ended ─ ended'
//   go on while not all(ended')
Value greedy_search(const Builder& b, const std::string& scope, const Generation& generation) {
  Graph& graph = b.graph;
  const Value batch = length_of(b, scope + "/batch_size", generation.prefix, 0);
  const Value one = graph.integers({1});
  const Value none = graph.integers({0});
  std::vector<Value> inputs{generation.max_new_tokens,
                            graph.boolean(true),
                            generation.prefix,
                            filled(b, scope + "/ended", graph.boolean(false), {batch, one}),
                            filled(b, scope + "/ids", graph.integer(0), {batch, none})};
  const std::vector<Value> empty = flatten_cache(generation.empty_past);
  inputs.insert(inputs.end(), empty.begin(), empty.end());

  std::vector<Graph::BodyInput> ports{
      {"iteration", DType::kI64, {}},
      {"condition", DType::kBool, {}},
      {"embeddings", DType::kF32, {Dim(), Dim(), generation.prefix.dim(2)}},
      {"ended", DType::kBool, {Dim(), 1}},
      {"ids", DType::kI64, {Dim(), Dim()}}};
  for (size_t i = 0; i < empty.size(); ++i) {
    const Value& cache = empty[i];
    ports.push_back({"cache." + std::to_string(i),
                     cache.type.dtype,
                     {Dim(), cache.dim(1), Dim(), cache.dim(3)}});
  }
  const BodyPtr body = graph.body(scope + "/body", ports, [&](const std::vector<Value>& values) {
    const Value& ended = values[3];
    const DecoderOutput output =
        generation.step(values[2], pair_cache(std::span(values).subspan(5)));
    const Value scores = apply_rules(b,
                                     scope + "/rules",
                                     generation.rules,
                                     output.logits,
                                     values[4],
                                     values[0],
                                     generation.max_new_tokens);
    const Value best = graph.op(
        "ArgMax", scope + "/ArgMax", {scores}, {{"axis", int64_t{2}}, {"keepdims", int64_t{0}}});
    const Value token =
        graph.op("Where", scope + "/token", {ended, graph.integer(generation.pad_token_id), best});
    const Value at_end = is_one_of(b, scope + "/at_end", token, generation.eos_token_ids);
    const Value now_ended = graph.op("Or", scope + "/now_ended", {ended, at_end});
    const Value go_on =
        graph.op("Not", scope + "/go_on", {all_of(b, scope + "/all_ended", now_ended)});
    const Value next = graph.op(
        "Gather", scope + "/embed_token", {generation.table, token}, {{"axis", int64_t{0}}});
    const Value ids =
        graph.op("Concat", scope + "/append", {values[4], token}, {{"axis", int64_t{1}}});
    std::vector<Value> outputs{go_on, next, now_ended, ids};
    std::ranges::copy(flatten_cache(output.present), std::back_inserter(outputs));
    return outputs;
  });
  return graph.loop(scope + "/Loop", inputs, body)[2];
}

}  // namespace lorapress
