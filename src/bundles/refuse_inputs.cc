#include "bundles/refuse_inputs.h"

#include "blocks/shapes.h"

namespace lorapress {
namespace {

//  accepted ── Where(0, too large) ──┐
//  x ── Unsqueeze [1, ...] ── Gather(axis 0) ── x
Value pass_if(const Builder& b, const std::string& name, const Value& x, const Value& accepted) {
  Graph& graph = b.graph;
  const Value index =
      graph.op("Where", name + "/Where", {accepted, graph.integer(0), graph.integer(INT32_MAX)});
  const Value one = graph.op("Unsqueeze", name + "/Unsqueeze", {x, graph.integers({0})});
  return graph.op("Gather", name, {one, index}, {{"axis", int64_t{0}}});
}

}  // namespace

//  attention_mask ── ReduceMin ── Equal(1)
Value refuse_padding(const Builder& b, const Value& x, const Value& attention_mask) {
  Graph& graph = b.graph;
  const std::string name = "/prompts_of_one_batch_must_have_one_length";
  const Value least =
      graph.op("ReduceMin", name + "/ReduceMin", {attention_mask}, {{"keepdims", int64_t{0}}});
  return pass_if(b, name, x, graph.op("Equal", name + "/Equal", {least, graph.integer(1)}));
}

//  past length P, sequence length S ── Range(P, P + S) ── Equal(position_ids) ── all
Value refuse_other_positions(const Builder& b,
                             const Value& x,
                             const Value& position_ids,
                             const Value& past) {
  Graph& graph = b.graph;
  const std::string name = "/position_ids_must_count_up_from_the_past";
  const auto scalar = [&](const std::string& what, const Value& of, int64_t axis) {
    const Value length = length_of(b, name + what, of, axis);
    return graph.op("Squeeze", name + what + "/Squeeze", {length, graph.integers({0})});
  };
  const Value first = scalar("/past_length", past, 2);
  const Value end =
      graph.op("Add", name + "/Add", {first, scalar("/sequence_length", position_ids, 1)});
  const Value usual = graph.op("Range", name + "/Range", {first, end, graph.integer(1)});
  const Value equal = graph.op("Equal", name + "/Equal", {position_ids, usual});
  return pass_if(b, name, x, all_of(b, name + "/all", equal));
}

}  // namespace lorapress
