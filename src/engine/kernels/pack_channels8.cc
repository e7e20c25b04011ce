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

int largest_integer(const PackedLinear& linear, int64_t tile) {
  const std::byte* bytes = tile_at(linear, tile);
  const int64_t count = padded_inputs(linear.spec.inputs) * kTile;
  int largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = most(largest, static_cast<int>(bytes[i]));
  }
  return largest;
}

void add_to_tile(const PackedLinear& linear, int64_t tile, const int* added) {
  for (int64_t input = 0; input < linear.spec.inputs; ++input) {
    for (int64_t output = 0; output < kTile; ++output) {
      std::byte* byte = byte_at(linear, (tile * kTile) + output, input);
      *byte = static_cast<std::byte>(static_cast<int>(*byte) + added[output]);
    }
  }
  for (int64_t output = 0; output < kTile; ++output) {
    channel_zeros(linear, tile)[output] += added[output];
  }
}

// Weights of 0..128 into 0..127, where a channel does not have both ends. True if all channels do.
bool fits_seven_bits(const PackedLinear& linear) {
  for (int64_t tile = 0; tile < tiles(linear.spec); ++tile) {
    int low[kTile];
    int high[kTile] = {};
    for (int& value : low) {
      value = 255;
    }
    for (int64_t i = 0; i < linear.spec.inputs * kTile; ++i) {
      const int64_t output = i % kTile;
      const int value = static_cast<int>(*byte_at(linear, (tile * kTile) + output, i / kTile));
      low[output] = least(low[output], value);
      high[output] = most(high[output], value);
    }
    int added[kTile] = {};
    bool any = false;
    for (int64_t output = 0; output < kTile; ++output) {
      if (high[output] > 127) {
        if (low[output] == 0) {
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

// Puts a value that stands for one output, or for all of them.
template <typename Put>
void put_channels(const LinearSpec& spec, bool one, int64_t index, const Put& put) {
  for (int64_t output = one ? 0 : index; output < (one ? spec.outputs : index + 1); ++output) {
    put(output / kTile, output % kTile);
  }
}

}  // namespace

void pack_integers(const PackedLinear& linear, const Piece& piece) {
  const int64_t shift = linear.spec.signed_weights ? kNarrowOffset : 0;
  const bool outputs_first = linear.spec.order == WeightOrder::kOutputsFirst;
  for_each_run(linear.spec,
               1,
               piece,
               [&](int64_t output, int64_t input, int64_t count, const std::byte* from) {
                 for (int64_t i = 0; i < count; ++i) {
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
    largest = most(largest, largest_integer(linear, tile));
  }
  linear.narrow = largest <= 128;
  if (linear.spec.signed_weights) {
    int added[kTile];
    for (int& value : added) {
      value = static_cast<int>(linear.narrow ? 0 : 128 - kNarrowOffset);
    }
    for (int64_t tile = 0; tile < count; ++tile) {
      for (int64_t output = 0; output < kTile; ++output) {
        channel_zeros(linear, tile)[output] += static_cast<int32_t>(kNarrowOffset);
      }
      if (!linear.narrow) {
        add_to_tile(linear, tile, added);
      }
    }
  }
  const bool by_bytes = products == Products::k8 ||
                        (products == Products::kPairs8 && linear.narrow) ||
                        (products == Products::kPairs7 && linear.narrow && fits_seven_bits(linear));
  linear.form = by_bytes ? RowForm::kRows8 : RowForm::kRows16;
}

}  // namespace lorapress::kernels
