// Products of the scalar set.
#include <cmath>
#include <cstring>

#include "engine/kernels/layout.h"
#include "engine/kernels/math.h"
#include "engine/kernels/sets.h"

namespace lorapress::kernels {
namespace {

// ---- rows of integers --------------------------------------------------------------------------

constexpr uint32_t kLargestFinite = 0x7F7FFFFFU;
constexpr float kSmallestScaled = 0x1p-100F;

struct Quantizer {
  float factor;
  float scale;
};

// From the bits of the largest |x|, which order as integers and put NaN last.
Quantizer quantizer(uint32_t largest_bits) {
  const float largest = from_bits(largest_bits);
  if (largest_bits > kLargestFinite) {
    return {0.0F, __builtin_nanf("")};
  }
  return largest < kSmallestScaled ? Quantizer{0.0F, 0.0F}
                                   : Quantizer{127.0F / largest, largest / 127.0F};
}

int quantized(float x, Quantizer by) {
  return by.factor == 0.0F ? 0 : static_cast<int>(std::nearbyint(x * by.factor));
}

uint32_t largest_bits(const float* x, int64_t count) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = most(largest, bits(abs(x[i])));
  }
  return largest;
}

// Where input k of the `in_group`th row of `group` rows lies among the group's values.
void put_value(const RowsView& view, const QuantizedRows& rows, int64_t row, int64_t k, int value) {
  const int64_t group = group_rows(row - (row % kGroup), rows.rows);
  const int64_t first = row - (row % group);
  std::byte* values = view.values + (first * view.values_row);
  const int64_t at = (((k / 4 * group) + (row - first)) * 4);
  if (value_bytes(rows.form) == 1) {
    values[at + (k % 4)] = static_cast<std::byte>(value);
    return;
  }
  constexpr int64_t kOrder[4] = {0, 2, 1, 3};
  const auto wide = static_cast<int16_t>(value);
  std::memcpy(values + ((at + kOrder[k % 4]) * 2), &wide, 2);
}

void quantize_row(const float* x, const QuantizedRows& rows, int64_t row) {
  const RowsView view = view_rows(rows);
  const int64_t padded = padded_inputs(rows.inputs);
  if (!has_blocks(rows.form)) {
    const Quantizer by = quantizer(largest_bits(x, rows.inputs));
    int32_t sum = 0;
    for (int64_t k = 0; k < padded; ++k) {
      const int value = k < rows.inputs ? quantized(x[k], by) : 0;
      put_value(view, rows, row, k, value);
      sum += value;
    }
    view.scales[row] = by.scale;
    view.sums[row] = sum;
    return;
  }
  const int64_t group = group_rows(row - (row % kGroup), rows.rows);
  const int64_t first = row - (row % group);
  for (int64_t b = 0; b < view.blocks; ++b) {
    const int64_t end = least((b + 1) * kBlock, rows.inputs);
    const Quantizer by = quantizer(largest_bits(x + (b * kBlock), end - (b * kBlock)));
    int sums[2] = {};
    for (int64_t k = b * kBlock; k < (b + 1) * kBlock; ++k) {
      const int value = k < end ? quantized(x[k], by) : 0;
      put_value(view, rows, row, k, value);
      sums[k % 4 / 2] += value;
    }
    const int64_t at = (first * view.blocks) + (b * group) + (row - first);
    view.scales[at] = by.scale;
    for (int64_t i = 0; i < 2; ++i) {
      view.starts[(at * 2) + i] = static_cast<int16_t>(-8 * sums[i]);
    }
    view.totals[at] = (-8 * (sums[0] + sums[1])) + kFloatBits;
  }
}

int value_at(const RowsView& view, const QuantizedRows& rows, int64_t row, int64_t k) {
  const int64_t group = group_rows(row - (row % kGroup), rows.rows);
  const int64_t first = row - (row % group);
  const std::byte* values = view.values + (first * view.values_row);
  const int64_t at = (((k / 4 * group) + (row - first)) * 4);
  if (value_bytes(rows.form) == 1) {
    return static_cast<int8_t>(values[at + (k % 4)]);
  }
  constexpr int64_t kOrder[4] = {0, 2, 1, 3};
  int16_t wide = 0;
  std::memcpy(&wide, values + ((at + kOrder[k % 4]) * 2), 2);
  return wide;
}

// ---- products ------------------------------------------------------------------------------------

template <typename Number>
Number read(const std::byte* from) {
  Number value{};
  std::memcpy(&value, from, sizeof value);
  return value;
}

// A weight of 4 bits as stored: 0..15.
int nibble(const std::byte* block, int64_t output, int64_t k) {
  const int value = static_cast<int>(block[(k / 8 * kTileFloats) + (output * 4) + (k % 4)]);
  return k % 8 < 4 ? value & 15 : value >> 4;
}
int zero4(const LinearSpec& spec, const std::byte* block, int64_t output) {
  return spec.zero_points ? read<int16_t>(block + kNibbleBytes + kTileFloats + (output * 4)) : 8;
}

float product4(const LinearRun& run,
               const RowsView& view,
               int64_t row,
               const std::byte* tile,
               int64_t output) {
  const LinearSpec& spec = run.linear->spec;
  const int64_t group = group_rows(row - (row % kGroup), run.quantized.rows);
  const int64_t first = row - (row % group);
  float sum = 0;
  for (int64_t b = 0; b < view.blocks; ++b) {
    const std::byte* block = tile + (b * block_bytes(spec));
    const int zero = zero4(spec, block, output);
    int integers = 0;
    for (int64_t k = 0; k < kBlock; ++k) {
      integers +=
          (nibble(block, output, k) - zero) * value_at(view, run.quantized, row, (b * kBlock) + k);
    }
    const float row_scale = view.scales[(first * view.blocks) + (b * group) + (row - first)];
    const float scale = read<float>(block + kNibbleBytes + (output * 4));
    sum += (static_cast<float>(integers) * row_scale) * scale;
  }
  return sum;
}

float product8(const LinearRun& run,
               const RowsView& view,
               int64_t row,
               const std::byte* tile,
               int64_t output) {
  const int64_t padded = padded_inputs(run.linear->spec.inputs);
  const std::byte* channels = tile + (padded * kTile) + (output * 4);
  const auto zero = read<int32_t>(channels + kTileFloats);
  int64_t sum = 0;
  for (int64_t k = 0; k < padded; ++k) {
    const int weight = static_cast<int>(tile[(k / 4 * kTileFloats) + (output * 4) + (k % 4)]);
    sum += int64_t{weight - zero} * value_at(view, run.quantized, row, k);
  }
  return static_cast<float>(sum) * (view.scales[row] * read<float>(channels));
}

float weight_at(WeightKind kind, const std::byte* tile, int64_t output, int64_t k) {
  return kind == WeightKind::kFloat32
             ? read<float>(tile + (((k * kTile) + output) * 4))
             : half_to_float(read<uint16_t>(tile + (((k * kTile) + output) * 2)));
}

float product_float(const LinearRun& run, int64_t row, const std::byte* tile, int64_t output) {
  const LinearSpec& spec = run.linear->spec;
  const float* x = run.x + (row * run.x_stride);
  float sum = 0;
  for (int64_t k = 0; k < spec.inputs; ++k) {
    sum += x[k] * weight_at(packed_kind(spec), tile, output, k);
  }
  return sum;
}

}  // namespace

void scalar_quantize(
    const float* x, int64_t x_stride, const QuantizedRows& rows, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row) {
    quantize_row(x + (row * x_stride), rows, row);
  }
}

void scalar_run_linear(const LinearRun& run) {
  const LinearSpec& spec = run.linear->spec;
  const WeightKind kind = packed_kind(spec);
  const bool integers = kind == WeightKind::kBlocks4 || kind == WeightKind::kChannels8;
  const RowsView view = integers ? view_rows(run.quantized) : RowsView{};
  const int64_t last = least(run.last_tile * kTile, spec.outputs);
  for (int64_t n = run.first_tile * kTile; n < last; ++n) {
    const std::byte* tile = tile_at(*run.linear, n / kTile);
    for (int64_t row = 0; row < run.rows; ++row) {
      float y = kind == WeightKind::kBlocks4     ? product4(run, view, row, tile, n % kTile)
                : kind == WeightKind::kChannels8 ? product8(run, view, row, tile, n % kTile)
                                                 : product_float(run, row, tile, n % kTile);
      if (run.bias != nullptr) {
        y += run.bias[n];
      }
      const float other = run.other == nullptr ? 0.0F : run.other[(row * run.other_stride) + n];
      run.y[(row * run.y_stride) + n] = apply(run.epilogue, y, other);
    }
  }
}

void scalar_gather(
    const PackedLinear& table, const int64_t* ids, int64_t count, float* y, int64_t y_stride) {
  const LinearSpec& spec = table.spec;
  const WeightKind kind = packed_kind(spec);
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* tile = tile_at(table, ids[i] / kTile);
    const int64_t output = ids[i] % kTile;
    float* row = y + (i * y_stride);
    for (int64_t k = 0; k < spec.inputs; ++k) {
      if (kind == WeightKind::kBlocks4) {
        const std::byte* block = tile + (k / kBlock * block_bytes(spec));
        const int value = nibble(block, output, k % kBlock) - zero4(spec, block, output);
        row[k] = static_cast<float>(value) * read<float>(block + kNibbleBytes + (output * 4));
      } else if (kind == WeightKind::kChannels8) {
        const std::byte* channels = tile + (padded_inputs(spec.inputs) * kTile) + (output * 4);
        const int value = static_cast<int>(tile[(k / 4 * kTileFloats) + (output * 4) + (k % 4)]);
        row[k] = static_cast<float>(value - read<int32_t>(channels + kTileFloats)) *
                 read<float>(channels);
      } else {
        row[k] = weight_at(kind, tile, output, k);
      }
    }
  }
}

}  // namespace lorapress::kernels
