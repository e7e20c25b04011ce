// B of MatMulInteger.
#include "engine/kernels/pack.h"

namespace lorapress::kernels {
namespace {

constexpr int64_t kNarrowOffset = 64;  // int8 of 7 bits: -64..64 becomes 0..128

std::byte* byte_at(const PackedLinear& linear, int64_t output, int64_t input) {
  return tile_at(linear, output / kTile) + (input / 4 * kTileFloats) + (output % kTile * 4) +
         (input % 4);
}
float* channel_scales(const PackedLinear& linear, int64_t tile) {
  return reinterpret_cast<float*>(tile_at(linear, tile) +
                                  (padded_inputs(linear.spec.inputs) * kTile));
}
int32_t* channel_zeros(const PackedLinear& linear, int64_t tile) {
  return reinterpret_cast<int32_t*>(channel_scales(linear, tile) + kTile);
}

// The smallest and the largest integer of each output of a tile.
struct Range {
  int low[kTile];
  int high[kTile];
};
Range range_of(const PackedLinear& linear, int64_t tile) {
  const std::byte* bytes = tile_at(linear, tile);
  const int64_t inputs = linear.spec.inputs;
  Bytes16 low[4];
  Bytes16 high[4] = {};
  for (Bytes16& value : low) {
    value = ~high[0];
  }
  for (int64_t k = 0; k < inputs / 4; ++k) {
    for (int64_t part = 0; part < 4; ++part) {
      const auto value = load16<Bytes16>(bytes + (k * kTileFloats) + (part * 16));
      low[part] = value < low[part] ? value : low[part];
      high[part] = value > high[part] ? value : high[part];
    }
  }
  Range range{};
  for (int64_t output = 0; output < kTile; ++output) {
    const int64_t at = output % 4 * 4;
    range.low[output] = 255;
    for (int64_t i = 0; i < 4; ++i) {
      range.low[output] = least<int>(range.low[output], low[output / 4][at + i]);
      range.high[output] = most<int>(range.high[output], high[output / 4][at + i]);
    }
    for (int64_t input = inputs / 4 * 4; input < inputs; ++input) {
      const int value = static_cast<int>(*byte_at(linear, (tile * kTile) + output, input));
      range.low[output] = least(range.low[output], value);
      range.high[output] = most(range.high[output], value);
    }
  }
  return range;
}

void add_to_tile(const PackedLinear& linear, int64_t tile, const int* added) {
  const int64_t inputs = linear.spec.inputs;
  std::byte* bytes = tile_at(linear, tile);
  alignas(16) uint8_t lanes[kTileFloats];
  for (int64_t i = 0; i < kTileFloats; ++i) {
    lanes[i] = static_cast<uint8_t>(added[i / 4]);
  }
  for (int64_t k = 0; k < inputs / 4; ++k) {
    for (int64_t part = 0; part < 4; ++part) {
      std::byte* at = bytes + (k * kTileFloats) + (part * 16);
      store16(at,
              load16<Bytes16>(at) +
                  load16<Bytes16>(reinterpret_cast<const std::byte*>(lanes) + (part * 16)));
    }
  }
  for (int64_t output = 0; output < kTile; ++output) {
    for (int64_t input = inputs / 4 * 4; input < inputs; ++input) {
      std::byte* byte = byte_at(linear, (tile * kTile) + output, input);
      *byte = static_cast<std::byte>(static_cast<int>(*byte) + added[output]);
    }
    channel_zeros(linear, tile)[output] += added[output];
  }
}

// Weights of 0..128 into 0..127, where a channel does not have both ends. True if all channels do.
bool fits_seven_bits(const PackedLinear& linear) {
  for (int64_t tile = 0; tile < tiles(linear.spec); ++tile) {
    const Range range = range_of(linear, tile);
    int added[kTile] = {};
    bool any = false;
    for (int64_t output = 0; output < kTile; ++output) {
      if (range.high[output] > 127) {
        if (range.low[output] == 0) {
          return false;
        }
        added[output] = -1;
        any = true;
      }
    }
    if (any) {
      add_to_tile(linear, tile, added);
    }
  }
  return true;
}

// Whole rows [rows][outputs] from input `first` on, both multiples of 4, into the tiles that they fill.
void put_integer_rows(
    const PackedLinear& linear, int64_t first, int64_t rows, const std::byte* bytes, int shift) {
  const int64_t width = linear.spec.outputs;
  const auto added = static_cast<uint8_t>(shift);
  for (int64_t tile = 0; (tile + 1) * kTile <= width; ++tile) {
    std::byte* to = tile_at(linear, tile) + (first * kTile);
    const std::byte* from = bytes + (tile * kTile);
    for (int64_t row = 0; row < rows; row += 4) {
      const auto a = load16<Bytes16>(from);
      const auto b = load16<Bytes16>(from + width);
      const auto c = load16<Bytes16>(from + (2 * width));
      const auto d = load16<Bytes16>(from + (3 * width));
      from += 4 * width;
      const auto shorts = [](Bytes16 value) { return reinterpret_cast<Shorts8>(value); };
      const Shorts8 pairs[4] = {
          shorts(__builtin_shufflevector(
              a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)),
          shorts(__builtin_shufflevector(
              c, d, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)),
          shorts(__builtin_shufflevector(
              a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)),
          shorts(__builtin_shufflevector(
              c, d, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31))};
      for (int64_t half = 0; half < 2; ++half) {
        const Shorts8 ab = pairs[2 * half];
        const Shorts8 cd = pairs[(2 * half) + 1];
        const Shorts8 low = __builtin_shufflevector(ab, cd, 0, 8, 1, 9, 2, 10, 3, 11);
        const Shorts8 high = __builtin_shufflevector(ab, cd, 4, 12, 5, 13, 6, 14, 7, 15);
        store16(to, reinterpret_cast<Bytes16>(low) + added);
        store16(to + 16, reinterpret_cast<Bytes16>(high) + added);
        to += 32;
      }
    }
  }
}

// Puts a value that stands for one output, or for all of them.
template <typename Put>
void put_channels(const LinearSpec& spec, bool one, int64_t index, const Put& put) {
  for (int64_t output = one ? 0 : index; output < (one ? spec.outputs : index + 1); ++output) {
    put(output / kTile, output % kTile);
  }
}

}  // namespace

void pack_integers(const PackedLinear& linear, const Piece& whole) {
  const int64_t shift = linear.spec.signed_weights ? kNarrowOffset : 0;
  const int64_t width = linear.spec.outputs;
  const bool outputs_first = linear.spec.order == WeightOrder::kOutputsFirst;
  int64_t begin = 0;  // of outputs that are not packed yet
  Piece piece = whole;
  if (!outputs_first && static_cast<int64_t>(whole.offset) % (4 * width) == 0) {
    const int64_t rows = static_cast<int64_t>(whole.size) / (4 * width) * 4;
    const int64_t first = static_cast<int64_t>(whole.offset) / width;
    put_integer_rows(linear, first, rows, whole.bytes, static_cast<int>(shift));
    begin = rows > 0 ? width / kTile * kTile : 0;
    if (begin == width) {
      const auto done = static_cast<size_t>(rows * width);
      piece = {whole.offset + done, whole.bytes + done, whole.size - done};
      begin = 0;
    }
  }
  const int64_t last_row = begin == 0 ? 0
                                      : (static_cast<int64_t>(whole.offset) / width) +
                                            (static_cast<int64_t>(whole.size) / (4 * width) * 4);
  for_each_run(linear.spec,
               1,
               piece,
               [&](int64_t output, int64_t input, int64_t count, const std::byte* from) {
                 for (int64_t i = input < last_row ? begin : 0; i < count; ++i) {
                   std::byte* to = outputs_first ? byte_at(linear, output, input + i)
                                                 : byte_at(linear, output + i, input);
                   *to = static_cast<std::byte>(static_cast<int64_t>(from[i]) + shift);
                 }
               });
}

void pack_scales8(const PackedLinear& linear, const Piece& piece) {
  for (size_t i = 0; i < piece.size / 4; ++i) {
    float scale = 0;
    std::memcpy(&scale, piece.bytes + (i * 4), 4);
    const auto index = static_cast<int64_t>((piece.offset / 4) + i);
    put_channels(linear.spec, linear.spec.one_scale, index, [&](int64_t tile, int64_t output) {
      channel_scales(linear, tile)[output] = scale;
    });
  }
}

void pack_zeros8(const PackedLinear& linear, const Piece& piece) {
  for (size_t i = 0; i < piece.size; ++i) {
    const int value = static_cast<int>(piece.bytes[i]);
    const int zero = linear.spec.signed_weights ? static_cast<int8_t>(value) : value;
    const auto index = static_cast<int64_t>(piece.offset + i);
    put_channels(linear.spec, linear.spec.one_zero_point, index, [&](int64_t tile, int64_t output) {
      channel_zeros(linear, tile)[output] += zero;
    });
  }
}

void finish_integers(PackedLinear& linear, Products products) {
  const int64_t count = tiles(linear.spec);
  int largest = 0;
  for (int64_t tile = 0; tile < count; ++tile) {
    const Range range = range_of(linear, tile);
    for (const int high : range.high) {
      largest = most(largest, high);
    }
  }
  const bool narrow = largest <= 128;
  if (linear.spec.signed_weights) {
    int added[kTile];
    for (int& value : added) {
      value = static_cast<int>(narrow ? 0 : 128 - kNarrowOffset);
    }
    for (int64_t tile = 0; tile < count; ++tile) {
      for (int64_t output = 0; output < kTile; ++output) {
        channel_zeros(linear, tile)[output] += static_cast<int32_t>(kNarrowOffset);
      }
      if (!narrow) {
        add_to_tile(linear, tile, added);
      }
    }
  }
  const bool seven = products == Products::k7 || products == Products::kPairs7;
  const bool by_bytes = products == Products::k8 || (products == Products::kPairs8 && narrow) ||
                        (seven && narrow && fits_seven_bits(linear));
  linear.form = by_bytes ? RowForm::kRows8 : RowForm::kRows16;
}

}  // namespace lorapress::kernels
