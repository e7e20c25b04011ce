// MatMulNBits with 4 bits.
#include "engine/kernels/pack.h"

namespace lorapress::kernels {
namespace {

// ---- what is packed, element by element, where its tile lies -----------------------------------

// Four bytes of MatMulNBits, inputs 8 p to 8 p + 7 two by two, as four bytes with inputs 8 p + i and
// 8 p + 4 + i: nibbles 0 1 2 3 4 5 6 7 become 0 4 1 5 2 6 3 7.
template <typename Word>
Word shuffle_nibbles(Word x) {
  const Word halves = (x & 0xFF0000FFU) | ((x & 0x00FF0000U) >> 8U) | ((x & 0x0000FF00U) << 8U);
  // bytes 01 45 23 67: within each pair of bytes, exchange the inner nibbles
  return (halves & 0xF00FF00FU) | ((halves & 0x00F000F0U) << 4U) | ((halves & 0x0F000F00U) >> 4U);
}

// Rows [16][row_bytes] of a tile.
void put_nibble_tile(const PackedLinear& linear,
                     int64_t tile,
                     const std::byte* bytes,
                     int64_t row_bytes) {
  const int64_t blocks = padded_inputs(linear.spec.inputs) / kBlock;
  std::byte* to = tile_at(linear, tile);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t output = 0; output < kTile; output += 4) {
      Words4 rows[4];
      for (int64_t i = 0; i < 4; ++i) {
        rows[i] =
            shuffle_nibbles(load16<Words4>(bytes + ((output + i) * row_bytes) + (block * 16)));
      }
      transpose4(rows);
      for (int64_t p = 0; p < 4; ++p) {
        store16(to + (p * kTileFloats) + (output * 4), rows[p]);
      }
    }
    to += block_bytes(linear.spec);
  }
}

void put_nibbles(const PackedLinear& linear, const Piece& whole) {
  const LinearSpec& spec = linear.spec;
  const int64_t row_bytes = blocks_of(spec) * spec.block_size / 2;
  const Piece piece = take_tiles(spec, row_bytes, whole, [&](int64_t tile, const std::byte* bytes) {
    put_nibble_tile(linear, tile, bytes, row_bytes);
  });
  const std::byte* bytes = piece.bytes;
  size_t size = piece.size;
  const int64_t kept = padded_inputs(spec.inputs) / 2;  // the file may pad further
  const int64_t stride = block_bytes(spec);
  int64_t output = static_cast<int64_t>(piece.offset) / row_bytes;
  int64_t at = static_cast<int64_t>(piece.offset) % row_bytes;
  while (size > 0) {
    const int64_t count = least(row_bytes - at, static_cast<int64_t>(size));
    std::byte* tile = tile_at(linear, output / kTile) + (output % kTile * 4);
    for (int64_t i = at; i < least(at + count, kept); i += 4) {
      uint32_t word = 0;
      std::memcpy(&word, bytes + (i - at), 4);
      word = shuffle_nibbles(word);
      std::memcpy(tile + (i / 16 * stride) + (i % 16 / 4 * kTileFloats), &word, 4);
    }
    bytes += count;
    size -= static_cast<size_t>(count);
    at = 0;
    ++output;
  }
}

float source_scale(const LinearSpec& spec, const std::byte* bytes, int64_t index) {
  if (spec.half_scales) {
    uint16_t half = 0;
    std::memcpy(&half, bytes + (index * 2), 2);
    return half_to_float(half);
  }
  float scale = 0;
  std::memcpy(&scale, bytes + (index * 4), 4);
  return scale;
}

// Blocks of a tile that one block of the file covers.
struct BlockSpan {
  int64_t first;
  int64_t last;
};
BlockSpan tile_blocks(const LinearSpec& spec, int64_t block) {
  const int64_t per = spec.block_size / kBlock;
  return {block * per, least((block + 1) * per, padded_inputs(spec.inputs) / kBlock)};
}

void put_scale4(const PackedLinear& linear, int64_t output, int64_t block, float scale) {
  std::byte* tile = tile_at(linear, output / kTile) + kNibbleBytes + (output % kTile * 4);
  const BlockSpan span = tile_blocks(linear.spec, block);
  for (int64_t i = span.first; i < span.last; ++i) {
    std::memcpy(tile + (i * block_bytes(linear.spec)), &scale, 4);
  }
}

// Scales [16][blocks] of a tile.
void put_scale_tile(const PackedLinear& linear, int64_t tile, const std::byte* bytes) {
  const LinearSpec& spec = linear.spec;
  const int64_t blocks = blocks_of(spec);
  std::byte* to = tile_at(linear, tile) + kNibbleBytes;
  for (int64_t block = 0; block < blocks; ++block) {
    float scales[kTile];
    for (int64_t output = 0; output < kTile; ++output) {
      scales[output] = source_scale(spec, bytes, (output * blocks) + block);
    }
    const BlockSpan span = tile_blocks(spec, block);
    for (int64_t i = span.first; i < span.last; ++i) {
      std::memcpy(to + (i * block_bytes(spec)), scales, sizeof scales);
    }
  }
}

void put_zero4(const PackedLinear& linear, int64_t output, int64_t block, int zero) {
  const int16_t twice[2] = {static_cast<int16_t>(zero), static_cast<int16_t>(zero)};
  std::byte* tile =
      tile_at(linear, output / kTile) + kNibbleBytes + kTileFloats + (output % kTile * 4);
  const BlockSpan span = tile_blocks(linear.spec, block);
  for (int64_t i = span.first; i < span.last; ++i) {
    std::memcpy(tile + (i * block_bytes(linear.spec)), twice, 4);
  }
}

// ---- blocks of 16, restored to float32 -----------------------------------------------------------

float* small_scales(const PackedLinear& linear) {
  return reinterpret_cast<float*>(tile_at(linear, tiles(linear.spec)));
}
std::byte* small_zeros(const PackedLinear& linear) {
  return reinterpret_cast<std::byte*>(small_scales(linear) +
                                      (tiles(linear.spec) * kTile * blocks_of(linear.spec)));
}
float* float_at(const PackedLinear& linear, int64_t output, int64_t input) {
  return reinterpret_cast<float*>(tile_at(linear, output / kTile)) + (input * kTile) +
         (output % kTile);
}

void put_small_nibbles(const PackedLinear& linear, const Piece& piece) {
  const LinearSpec& spec = linear.spec;
  const int64_t row_bytes = blocks_of(spec) * spec.block_size / 2;
  for (size_t i = 0; i < piece.size; ++i) {
    const auto at = static_cast<int64_t>(piece.offset + i);
    const int value = static_cast<int>(piece.bytes[i]);
    const int64_t input = at % row_bytes * 2;
    if (input < spec.inputs) {
      *float_at(linear, at / row_bytes, input) = static_cast<float>(value & 15);
    }
    if (input + 1 < spec.inputs) {
      *float_at(linear, at / row_bytes, input + 1) = static_cast<float>(value >> 4);
    }
  }
}

}  // namespace

void pack_nibbles(const PackedLinear& linear, const Piece& piece) {
  is_small_block(linear.spec) ? put_small_nibbles(linear, piece) : put_nibbles(linear, piece);
}

void finish_small_blocks(const PackedLinear& linear) {
  const LinearSpec& spec = linear.spec;
  const int64_t blocks = blocks_of(spec);
  for (int64_t output = 0; output < spec.outputs; ++output) {
    for (int64_t input = 0; input < spec.inputs; ++input) {
      const int64_t block = (output * blocks) + (input / spec.block_size);
      const int zero =
          spec.zero_points ? static_cast<int>(small_zeros(linear)[block]) : kDefaultZero4;
      float& value = *float_at(linear, output, input);
      value = (value - static_cast<float>(zero)) * small_scales(linear)[block];
    }
  }
}

void pack_scales4(const PackedLinear& linear, const Piece& whole) {
  const LinearSpec& spec = linear.spec;
  const int64_t element = spec.half_scales ? 2 : 4;
  Piece piece = whole;
  if (!is_small_block(spec)) {
    piece = take_tiles(
        spec, blocks_of(spec) * element, whole, [&](int64_t tile, const std::byte* bytes) {
          put_scale_tile(linear, tile, bytes);
        });
  }
  const int64_t first = static_cast<int64_t>(piece.offset) / element;
  for (int64_t i = 0; i < static_cast<int64_t>(piece.size) / element; ++i) {
    const float scale = source_scale(spec, piece.bytes, i);
    const int64_t index = first + i;
    if (is_small_block(spec)) {
      small_scales(linear)[index] = scale;
    } else {
      put_scale4(linear, index / blocks_of(spec), index % blocks_of(spec), scale);
    }
  }
}

void pack_zeros4(const PackedLinear& linear, const Piece& piece) {
  const LinearSpec& spec = linear.spec;
  const int64_t blocks = blocks_of(spec);
  const int64_t row_bytes = (blocks + 1) / 2;
  for (size_t i = 0; i < piece.size; ++i) {
    const auto at = static_cast<int64_t>(piece.offset + i);
    const int value = static_cast<int>(piece.bytes[i]);
    const int64_t output = at / row_bytes;
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t block = (at % row_bytes * 2) + half;
      const int zero = half == 0 ? value & 15 : value >> 4;
      if (block < blocks && is_small_block(spec)) {
        small_zeros(linear)[(output * blocks) + block] = static_cast<std::byte>(zero);
      } else if (block < blocks) {
        put_zero4(linear, output, block, zero);
      }
    }
  }
}

}  // namespace lorapress::kernels
