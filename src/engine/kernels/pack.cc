#include "engine/kernels/pack.h"

namespace lorapress::kernels {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 48;

bool is_power_of_two(int64_t value) {
  return (value & (value - 1)) == 0;
}

template <typename Number>
void pack_floats(const PackedLinear& linear, const Piece& piece) {
  const auto element = static_cast<int64_t>(sizeof(Number));
  const auto place = [&](int64_t output, int64_t input) {
    return tile_at(linear, output / kTile) + (((input * kTile) + (output % kTile)) * element);
  };
  const bool outputs_first = linear.spec.order == WeightOrder::kOutputsFirst;
  for_each_run(linear.spec,
               element,
               piece,
               [&](int64_t output, int64_t input, int64_t count, const std::byte* from) {
                 if (outputs_first) {
                   std::byte* to = place(output, input);
                   for (int64_t i = 0; i < count; ++i) {
                     std::memcpy(to + (i * kTile * element), from + (i * element), sizeof(Number));
                   }
                   return;
                 }
                 for (int64_t i = 0; i < count;) {  // a row of a tile at once
                   const int64_t part = least(kTile - ((output + i) % kTile), count - i);
                   std::memcpy(place(output + i, input),
                               from + (i * element),
                               static_cast<size_t>(part * element));
                   i += part;
                 }
               });
}

}  // namespace

int64_t tiles(const LinearSpec& spec) {
  return (spec.outputs + kTile - 1) / kTile;
}

bool can_pack(const LinearSpec& spec) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (spec.inputs < 1 || spec.outputs < 1 || spec.inputs > kMost || spec.outputs > kMost ||
      spec.inputs * spec.outputs > kMostBytes / 8) {
    return false;
  }
  switch (spec.kind) {
    case WeightKind::kBlocks4:
      return spec.block_size >= kSmallBlock && spec.block_size <= 256 &&
             is_power_of_two(spec.block_size);
    case WeightKind::kChannels8:
      return spec.inputs <= kMostInputs8 && !spec.half_scales;
    case WeightKind::kFloat32:
    case WeightKind::kFloat16:
      break;
  }
  return !spec.zero_points;
}

size_t packed_bytes(const LinearSpec& spec) {
  int64_t bytes = tiles(spec) * tile_bytes(spec);
  if (is_small_block(spec)) {
    bytes += tiles(spec) * kTile * blocks_of(spec) * (4 + (spec.zero_points ? 1 : 0));
  }
  return static_cast<size_t>(round_up(bytes, static_cast<int64_t>(kAlignment)));
}

size_t part_bytes(const LinearSpec& spec, WeightPart part) {
  const bool four = spec.kind == WeightKind::kBlocks4;
  const bool eight = spec.kind == WeightKind::kChannels8;
  int64_t bytes = 0;
  switch (part) {
    case WeightPart::kWeights:
      bytes = four ? spec.outputs * blocks_of(spec) * spec.block_size / 2
                   : spec.outputs * spec.inputs *
                         (eight                               ? 1
                          : spec.kind == WeightKind::kFloat16 ? 2
                                                              : 4);
      break;
    case WeightPart::kScales:
      bytes = four    ? spec.outputs * blocks_of(spec) * (spec.half_scales ? 2 : 4)
              : eight ? (spec.one_scale ? 1 : spec.outputs) * 4
                      : 0;
      break;
    case WeightPart::kZeroPoints:
      bytes = !spec.zero_points ? 0
              : four            ? spec.outputs * ((blocks_of(spec) + 1) / 2)
              : eight           ? (spec.one_zero_point ? 1 : spec.outputs)
                                : 0;
      break;
  }
  return static_cast<size_t>(bytes);
}

PackedLinear start_packing(const LinearSpec& spec, std::byte* data) {
  std::memset(data, 0, packed_bytes(spec));
  PackedLinear linear;
  linear.spec = spec;
  linear.data = data;
  return linear;
}

void pack_bytes(const PackedLinear& linear,
                WeightPart part,
                size_t offset,
                const std::byte* bytes,
                size_t size) {
  using Pack = void (*)(const PackedLinear&, const Piece&);
  constexpr Pack kPacks[4][3] = {
      // by WeightKind and WeightPart
      {pack_nibbles, pack_scales4, pack_zeros4},
      {pack_integers, pack_scales8, pack_zeros8},
      {pack_floats<float>, nullptr, nullptr},
      {pack_floats<uint16_t>, nullptr, nullptr},
  };
  if (size > 0) {
    kPacks[static_cast<size_t>(linear.spec.kind)][static_cast<size_t>(part)](linear,
                                                                             {offset, bytes, size});
  }
}

void finish_packing(PackedLinear& linear, const KernelSet& set) {
  switch (packed_kind(linear.spec)) {
    case WeightKind::kBlocks4:
      linear.form = set.products == Products::k16 ? RowForm::kBlocks16 : RowForm::kBlocks8;
      return;
    case WeightKind::kChannels8:
      finish_integers(linear, set.products);
      return;
    case WeightKind::kFloat32:
    case WeightKind::kFloat16:
      break;
  }
  linear.form = RowForm::kFloats;
  if (is_small_block(linear.spec)) {
    finish_small_blocks(linear);
  }
}

size_t quantized_bytes(RowForm form, int64_t rows, int64_t inputs) {
  if (form == RowForm::kFloats) {
    return 0;
  }
  const int64_t padded = padded_inputs(inputs);
  const int64_t values =
      round_up(padded * value_bytes(form) * rows, static_cast<int64_t>(kAlignment));
  const int64_t bytes = values + ((has_blocks(form) ? padded / kBlock : 1) * rows * 8);
  return static_cast<size_t>(round_up(bytes, static_cast<int64_t>(kAlignment)));
}

size_t linear_scratch_bytes(const LinearSpec& spec) {
  return static_cast<size_t>(padded_inputs(spec.inputs) * kTileFloats);
}

size_t attention_scratch_bytes(int64_t keys, int64_t head_dim) {
  constexpr int64_t kRows = 8;  // at least those that a set computes together
  const int64_t floats = round_up(keys, kTile) * (kRows + head_dim);
  return static_cast<size_t>(round_up(floats * 4, static_cast<int64_t>(kAlignment)));
}

}  // namespace lorapress::kernels
