// Lookups in tables:
//
//   float32, float16   ids ── Gather(W)                                                                ── y
//   8 bit              ids ── Gather(W, axis 1) ── Transpose ── Cast ── (Sub(zero)) ── Mul(Gather(scales, ids)) ── y
//   4 bit              ids ── Gather(W) ── Cast = x ─┬─ Floor(x / 16) = high ────────┐
//                                                    └─ x - 16 high = low ── Concat ─┴─ Reshape ── Sub(8)
//                            ── Mul(Gather(scales, ids)) ── Reshape ── y
//
// where a product reads W with the same scales, become rows of the packed weight: the table is stored once. Tables of
// float16 are packed also where no product reads them, since every other form of them would be of float32.
#include "engine/fuse_list.h"
#include "engine/patterns.h"

namespace lorapress::engine {
namespace {

using kernels::WeightKind;

class Lookups : Patterns {
 public:
  Lookups(Program& program, const Sources& sources, Steps& steps, std::vector<int>& readers)
      : Patterns(program, sources, steps, readers) {}

  void run() {
    for_each([&](Node& node) {
      if (is(node, "Gather")) {
        find_floats(node);
      } else if (is(node, "Mul")) {
        find_channels(node);
      } else if (is(node, "Reshape")) {
        find_blocks(node);
      }
    });
  }

 private:
  // A Gather of constant rows or columns that these ids name; null otherwise.
  [[nodiscard]] const Node* rows_of(Slot slot, int64_t axis, Slot ids = kNoSlot) const {
    const Node* rows = maker(slot, "Gather");
    return rows != nullptr && is_constant(rows->inputs[0]) && rows->attributes[0].integer == axis &&
                   (ids == kNoSlot || rows->inputs[1] == ids)
               ? rows
               : nullptr;
  }
  [[nodiscard]] const Weight* packed(Slot weights, WeightKind kind) const {
    for (const std::shared_ptr<Weight>& weight : program_.weights) {
      if (weight->source.weights == weights && weight->source.spec.kind == kind) {
        return weight.get();
      }
    }
    return nullptr;
  }

  // Whether `rows` looks up, for each of the ids, the scales that the product has.
  [[nodiscard]] bool has_scales(Slot rows, Slot ids, const Weight& weight) {
    const Node* gather = rows_of(rows, 0, ids);
    const Slot slot = gather == nullptr ? rows : gather->inputs[0];
    if (!is_constant(slot) || (gather == nullptr) != weight.source.spec.one_scale) {
      return false;
    }
    const Tensor& found = constant(program_, sources_, slot);
    const Tensor& wanted = constant(program_, sources_, weight.source.scales);
    return found.type() == Type::kF32 && wanted.type() == Type::kF32 &&
           found.bytes() == wanted.bytes() &&
           (gather == nullptr || found.dims()[0] == weight.source.spec.outputs) &&
           std::memcmp(found.data(), wanted.data(), wanted.bytes()) == 0;
  }

  void find_floats(Node& node) {
    const Slot table = node.inputs[0];
    if (!is_constant(table) || !value(table).stored || value(table).type != Type::kF32 ||
        value(table).stored->dims.rank() != 2 || node.attributes[0].integer != 0) {
      return;
    }
    const bool half = value(table).stored->type == static_cast<int32_t>(OnnxType::kFloat16);
    LinearSource source;
    source.weights = table;
    source.spec.kind = half ? WeightKind::kFloat16 : WeightKind::kFloat32;
    source.spec.order = kernels::WeightOrder::kOutputsFirst;
    source.spec.outputs = value(table).stored->dims[0];
    source.spec.inputs = value(table).stored->dims[1];
    const Weight* weight = packed(table, source.spec.kind);
    if (!fits(program_, source) || (weight == nullptr && !half) ||
        (weight != nullptr && !(weight->source == source))) {
      return;
    }
    replace(node, *add_weight(program_, source), node.inputs[1]);
  }

  void find_channels(Node& node) {
    const Node* centered = maker(node.inputs[0], "Sub");
    const Node* cast = maker(centered == nullptr ? node.inputs[0] : centered->inputs[0], "Cast");
    const Node* turned = cast == nullptr ? nullptr : maker(cast->inputs[0], "Transpose");
    const Node* rows = turned == nullptr ? nullptr : rows_of(turned->inputs[0], 1);
    const Weight* weight =
        rows == nullptr ? nullptr : packed(rows->inputs[0], WeightKind::kChannels8);
    if (weight == nullptr || weight->source.spec.order != kernels::WeightOrder::kInputsFirst ||
        !has_scales(node.inputs[1], rows->inputs[1], *weight)) {
      return;
    }
    const std::vector<int64_t>& perm = turned->attributes[0].integers;
    for (size_t i = 0; i < perm.size(); ++i) {
      if (perm[i] != static_cast<int64_t>((i + 1) % perm.size())) {
        return;
      }
    }
    const Slot zero = weight->source.zero_points;
    if (perm.empty() || (zero == kNoSlot) != (centered == nullptr)) {
      return;
    }
    if (zero != kNoSlot) {
      const Tensor& point = constant(program_, sources_, zero);
      const float number = point.type() == Type::kU8 ? static_cast<float>(*point.as<uint8_t>())
                                                     : static_cast<float>(*point.as<int8_t>());
      if (point.count() != 1 || !is_number(centered->inputs[1], number)) {
        return;
      }
    }
    replace(node, *weight, rows->inputs[1]);
  }

  void find_blocks(Node& node) {
    const Node* values = maker(node.inputs[0], "Mul");
    const Node* centered = values == nullptr ? nullptr : maker(values->inputs[0], "Sub", 8.0F);
    const Node* integers = centered == nullptr ? nullptr : maker(centered->inputs[0], "Reshape");
    const Node* pairs = integers == nullptr ? nullptr : maker(integers->inputs[0], "Concat");
    if (pairs == nullptr || pairs->inputs.size() != 2) {
      return;
    }
    const Node* first = maker(pairs->inputs[0], "Unsqueeze");
    const Node* second = maker(pairs->inputs[1], "Unsqueeze");
    const Node* low = first == nullptr ? nullptr : maker(first->inputs[0], "Sub");
    const Node* high = second == nullptr ? nullptr : maker(second->inputs[0], "Floor");
    const Node* above = low == nullptr ? nullptr : maker(low->inputs[1], "Mul", 16.0F);
    const Node* part = high == nullptr ? nullptr : maker(high->inputs[0], "Mul", 1.0F / 16);
    if (above == nullptr || part == nullptr || above->inputs[0] != high->outputs[0] ||
        part->inputs[0] != low->inputs[0]) {
      return;
    }
    const Node* cast = maker(low->inputs[0], "Cast");
    const Node* rows = cast == nullptr ? nullptr : rows_of(cast->inputs[0], 0);
    const Weight* weight =
        rows == nullptr ? nullptr : packed(rows->inputs[0], WeightKind::kBlocks4);
    if (weight == nullptr || weight->source.zero_points != kNoSlot ||
        !has_scales(values->inputs[1], rows->inputs[1], *weight) ||
        !is_row(node, weight->source.spec.inputs) ||
        !is_row(*integers, weight->source.spec.block_size) ||
        !is_last_axis(*pairs, *first, *second)) {
      return;
    }
    replace(node, *weight, rows->inputs[1]);
  }

  // A Reshape whose last dimension is this one.
  [[nodiscard]] bool is_row(const Node& reshape, int64_t width) {
    if (!is_constant(reshape.inputs[1])) {
      return false;
    }
    const Tensor& shape = constant(program_, sources_, reshape.inputs[1]);
    return shape.count() > 0 && shape.integers()[shape.count() - 1] == width;
  }
  // The halves stand beside each other on a new last axis.
  [[nodiscard]] bool is_last_axis(const Node& pairs, const Node& first, const Node& second) {
    const auto axis = [&](const Node& unsqueeze) {
      const Tensor& axes = constant(program_, sources_, unsqueeze.inputs[1]);
      return axes.count() == 1 ? *axes.integers() : int64_t{-2};
    };
    return is_constant(first.inputs[1]) && is_constant(second.inputs[1]) &&
           axis(first) == pairs.attributes[0].integer && axis(second) == axis(first);
  }

  void replace(Node& node, const Weight& weight, Slot ids) {
    auto table = std::make_shared<Linear>();
    table->weight = &weight;
    Node made = node_of(kLookupRow, node, {ids});
    made.linear = table.get();
    program_.linears.push_back(std::move(table));
    exchange(node, std::move(made));
  }
};

}  // namespace

void fuse_lookups(Program& program,
                  const Sources& sources,
                  Steps& steps,
                  std::vector<int>& readers) {
  Lookups(program, sources, steps, readers).run();
}

}  // namespace lorapress::engine
