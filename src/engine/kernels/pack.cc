#include "engine/kernels/pack.h"

namespace lorapress::kernels {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 48;

bool is_power_of_two(int64_t value) {
  return (value & (value - 1)) == 0;
}

// A tile of rows [16][inputs], as [inputs][16].
template <typename Number>
void put_rows(const PackedLinear& linear, int64_t tile, const std::byte* bytes) {
  const int64_t inputs = linear.spec.inputs;
  const int64_t row_bytes = inputs * static_cast<int64_t>(sizeof(Number));
  std::byte* to = tile_at(linear, tile);
  int64_t input = 0;
  if constexpr (sizeof(Number) == 4) {
    for (; input + 4 <= inputs; input += 4) {
      for (int64_t output = 0; output < kTile; output += 4) {
        Words4 rows[4];
        for (int64_t i = 0; i < 4; ++i) {
          rows[i] = load16<Words4>(bytes + ((output + i) * row_bytes) + (input * 4));
        }
        transpose4(rows);
        for (int64_t i = 0; i < 4; ++i) {
          store16(to + ((((input + i) * kTile) + output) * 4), rows[i]);
        }
      }
    }
  }
  for (; input < inputs; ++input) {
    Number column[kTile];
    for (int64_t output = 0; output < kTile; ++output) {
      std::memcpy(&column[output],
                  bytes + (output * row_bytes) + (input * static_cast<int64_t>(sizeof(Number))),
                  sizeof(Number));
    }
    std::memcpy(to + (input * static_cast<int64_t>(sizeof column)), column, sizeof column);
  }
}

// Whole rows [rows][outputs] from input `first` on.
template <typename Number>
void put_columns(const PackedLinear& linear, int64_t first, int64_t rows, const std::byte* bytes) {
  constexpr auto kElement = static_cast<int64_t>(sizeof(Number));
  const int64_t width = linear.spec.outputs;
  for (int64_t tile = 0; tile * kTile < width; ++tile) {
    const int64_t count = least(kTile, width - (tile * kTile));
    std::byte* to = tile_at(linear, tile) + (first * kTile * kElement);
    const std::byte* from = bytes + (tile * kTile * kElement);
    for (int64_t row = 0; row < rows; ++row) {
      if (count == kTile) {
        std::memcpy(to, from, kTile * sizeof(Number));
      } else {
        std::memcpy(to, from, static_cast<size_t>(count) * sizeof(Number));
      }
      to += kTile * kElement;
      from += width * kElement;
    }
  }
}

template <typename Number>
void pack_floats(const PackedLinear& linear, const Piece& whole) {
  constexpr auto kElement = static_cast<int64_t>(sizeof(Number));
  const LinearSpec& spec = linear.spec;
  const bool outputs_first = spec.order == WeightOrder::kOutputsFirst;
  Piece piece = whole;
  if (outputs_first) {
    piece =
        take_tiles(spec, spec.inputs * kElement, piece, [&](int64_t tile, const std::byte* bytes) {
          put_rows<Number>(linear, tile, bytes);
        });
  } else if (const int64_t row = spec.outputs * kElement;
             static_cast<int64_t>(piece.offset) % row == 0) {
    const int64_t rows = static_cast<int64_t>(piece.size) / row;
    put_columns<Number>(linear, static_cast<int64_t>(piece.offset) / row, rows, piece.bytes);
    const auto done = static_cast<size_t>(rows * row);
    piece = {piece.offset + done, piece.bytes + done, piece.size - done};
  }
  for_each_run(spec,
               kElement,
               piece,
               [&](int64_t output, int64_t input, int64_t count, const std::byte* from) {
                 for (int64_t i = 0; i < count; ++i) {
                   const int64_t at = outputs_first ? output : output + i;
                   const int64_t row = outputs_first ? input + i : input;
                   std::memcpy(
                       tile_at(linear, at / kTile) + (((row * kTile) + (at % kTile)) * kElement),
                       from + (i * kElement),
                       sizeof(Number));
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

size_t packing_step(const LinearSpec& spec, WeightPart part) {
  const bool by_tiles =
      spec.kind == WeightKind::kBlocks4 ||
      (spec.kind != WeightKind::kChannels8 && spec.order == WeightOrder::kOutputsFirst);
  const auto whole = static_cast<int64_t>(part_bytes(spec, part));
  if (part != WeightPart::kWeights && spec.kind == WeightKind::kChannels8) {
    return static_cast<size_t>(round_up(whole, 4));
  }
  int64_t step = by_tiles ? whole / spec.outputs * kTile : whole / spec.inputs * 4;
  return static_cast<size_t>(round_up(step, 4));
}

PackedLinear start_packing(const LinearSpec& spec, std::byte* data) {
  // Pieces write every byte of tiles that have no padding.
  const bool four = spec.kind == WeightKind::kBlocks4;  // whose files have whole blocks
  if (spec.outputs % kTile != 0 || (!four && spec.inputs % kBlock != 0) || is_small_block(spec)) {
    std::memset(data, 0, packed_bytes(spec));
  } else if (spec.kind == WeightKind::kChannels8) {
    for (int64_t tile = 0; tile < tiles(spec); ++tile) {
      std::memset(data + (tile * tile_bytes(spec)) + (spec.inputs * kTile),
                  0,
                  static_cast<size_t>(2 * kTileFloats));
    }
  }
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
  const int64_t bytes = values + (has_blocks(form) ? padded / kBlock * rows * 12 : rows * 8);
  return static_cast<size_t>(round_up(bytes, static_cast<int64_t>(kAlignment)));
}

size_t linear_scratch_bytes(const LinearSpec& spec) {
  return static_cast<size_t>(padded_inputs(spec.inputs) * kTileFloats);
}

void tile_keys(const float* keys, int64_t head_dim, float* to) {
  for (int64_t d = 0; d < head_dim; ++d) {
    for (int64_t j = 0; j < kTile; ++j) {
      *to++ = keys[(j * head_dim) + d];
    }
  }
}

size_t attention_scratch_bytes(int64_t keys, int64_t head_dim) {
  constexpr int64_t kRows = 8;  // at least those that a set computes together
  const int64_t floats = round_up(keys, kTile) * (kRows + head_dim);
  return static_cast<size_t>(round_up(floats * 4, static_cast<int64_t>(kAlignment)));
}

}  // namespace lorapress::kernels
