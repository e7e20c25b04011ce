#include "weights/transposed.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/buffer.h"
#include "base/simd.h"
#include "weights/float_rows.h"

namespace lorapress {
namespace {

// A square of units that fills 16-byte registers; loops over lines are unrolled to stay in them.
template <typename Unit>
struct Square {
  static constexpr size_t kSide = 16 / sizeof(Unit);
  using Line __attribute__((vector_size(16))) = Unit;
  Line lines[kSide];

  void load(const std::byte* from, size_t pitch) {
    LORAPRESS_UNROLL
    for (size_t i = 0; i < kSide; ++i) {
      std::memcpy(&lines[i], from + i * pitch * sizeof(Unit), sizeof(Line));
    }
  }

  void store(std::byte* to, size_t pitch) const {
    LORAPRESS_UNROLL
    for (size_t i = 0; i < kSide; ++i) {
      std::memcpy(to + i * pitch * sizeof(Unit), &lines[i], sizeof(Line));
    }
  }

  // Every round interleaves line i with line i + kSide / 2, a perfect shuffle of the square's
  // units; log2(kSide) of them exchange rows and columns.
  void transpose() {
    LORAPRESS_UNROLL
    for (size_t round = 1; round < kSide; round *= 2) {
      Square next;
      LORAPRESS_UNROLL
      for (size_t i = 0; i < kSide / 2; ++i) {
        interleave(lines[i],
                   lines[i + kSide / 2],
                   next.lines[2 * i],
                   next.lines[2 * i + 1],
                   std::make_index_sequence<kSide>());
      }
      *this = next;
    }
  }

 private:
  template <size_t... I>
  static void interleave(
      const Line& a, const Line& b, Line& low, Line& high, std::index_sequence<I...> /*units*/) {
    low = __builtin_shufflevector(a, b, (I / 2 + I % 2 * kSide)...);
    high = __builtin_shufflevector(a, b, (I / 2 + I % 2 * kSide + kSide / 2)...);
  }
};

// out[c * out_pitch + r] = in[r * in_pitch + c] for r < rows, c < cols; pitches are row lengths in
// units. Square by square where both sides have room, unit by unit at the edges.
template <typename Unit>
void transpose_units(const std::byte* from,
                     size_t in_pitch,
                     std::byte* to,
                     size_t out_pitch,
                     size_t rows,
                     size_t cols) {
  constexpr size_t kSide = Square<Unit>::kSide;
  const size_t whole_rows = rows / kSide * kSide;
  const size_t whole_cols = cols / kSide * kSide;
  for (size_t col = 0; col < whole_cols; col += kSide) {
    for (size_t row = 0; row < whole_rows; row += kSide) {
      Square<Unit> square;
      square.load(from + (row * in_pitch + col) * sizeof(Unit), in_pitch);
      square.transpose();
      square.store(to + (col * out_pitch + row) * sizeof(Unit), out_pitch);
    }
  }
  for (size_t row = 0; row < rows; ++row) {
    for (size_t col = row < whole_rows ? whole_cols : 0; col < cols; ++col) {
      std::memcpy(to + (col * out_pitch + row) * sizeof(Unit),
                  from + (row * in_pitch + col) * sizeof(Unit),
                  sizeof(Unit));
    }
  }
}

// `from` holds the rows of `transposed`, which become columns of `to`.
void transpose_into(size_t size,
                    const std::byte* from,
                    int64_t in_pitch,
                    std::byte* to,
                    int64_t out_pitch,
                    const Block& transposed) {
  const auto call = [&](auto unit) {
    transpose_units<decltype(unit)>(from,
                                    static_cast<size_t>(in_pitch),
                                    to,
                                    static_cast<size_t>(out_pitch),
                                    static_cast<size_t>(transposed.rows),
                                    static_cast<size_t>(transposed.cols));
  };
  switch (size) {
    case 1:
      return call(uint8_t{});
    case 2:
      return call(uint16_t{});
    case 4:
      return call(uint32_t{});
    default:
      return call(uint64_t{});
  }
}

}  // namespace

TransposedWeight::TransposedWeight(WeightPtr source)
    : Weight(source->dtype(), {source->shape().at(1), source->shape().at(0)}, {source}) {}

WeightPtr TransposedWeight::in_dtype(DType to) const {
  return transpose(cast(sources()[0], to));
}

void TransposedWeight::read_floats(const Block& block, std::span<float> out) const {
  if (dtype() == DType::kF32) {
    return read(block, std::as_writable_bytes(out));
  }
  TransposedWeight(cast(sources()[0], DType::kF32)).read(block, std::as_writable_bytes(out));
}

void TransposedWeight::read(const Block& block, std::span<std::byte> out) const {
  const Weight& source = *sources()[0];
  constexpr int64_t kStripBytes = int64_t{256} << 10;
  const auto size = static_cast<int64_t>(dtype_size(dtype()));
  const int64_t strip =
      std::max<int64_t>(16, kStripBytes / std::max<int64_t>(block.rows * size, 1));
  Buffer<std::byte> buffer;
  Buffer<float> floats;
  for (int64_t done = 0; done < block.cols; done += strip) {
    const Block transposed{
        block.col + done, std::min(strip, block.cols - done), block.row, block.rows};
    std::byte* to = out.data() + done * size;
    if (dtype() == DType::kF32) {
      for_float_rows(source, transposed, floats, [&](int64_t first, const FloatRows& rows) {
        transpose_into(sizeof(float),
                       reinterpret_cast<const std::byte*>(rows.data),
                       rows.pitch,
                       to + first * size,
                       block.cols,
                       {0, rows.rows, 0, transposed.cols});
      });
      continue;
    }
    buffer.resize(transposed.elements() * static_cast<size_t>(size));
    source.read(transposed, buffer.span());
    transpose_into(
        static_cast<size_t>(size), buffer.data(), transposed.cols, to, block.cols, transposed);
  }
}

}  // namespace lorapress
