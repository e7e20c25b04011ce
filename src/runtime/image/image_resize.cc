// Pillow's two-pass resampling (its Resample.c, 8 bits per channel), bit for bit: coefficients in
// double, rounded to 22 fractional bits; sums in int32; each pass clipped to 8 bits.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/fail.h"
#include "base/simd.h"
#include "runtime/image/image.h"

namespace lorapress {
namespace {

constexpr int kPrecisionBits = 22;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);
constexpr size_t kTapStep = 8;            // taps per iteration of the inner loop
constexpr int64_t kMaxWeights = 1 << 27;  // half a gigabyte

// A vector type of the compiler, which otherwise does not keep the sums in registers.
using Ints = int32_t __attribute__((vector_size(32)));

struct Filter {
  Resample name;
  std::string_view text;
  double support;
  double (*weight)(double distance);
};

double bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double bicubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) {
    return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1;
  }
  return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * kA : 0.0;
}

// sinc(x) sinc(x / 3), Pillow's lanczos_filter().
double lanczos(double x) {
  constexpr double kPi = 3.14159265358979323846;  // M_PI
  const auto sinc = [](double t) { return t == 0.0 ? 1.0 : std::sin(t * kPi) / (t * kPi); };
  return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

constexpr std::array kFilters = {Filter{Resample::kBilinear, "bilinear", 1.0, bilinear},
                                 Filter{Resample::kBicubic, "bicubic", 2.0, bicubic},
                                 Filter{Resample::kLanczos, "lanczos", 3.0, lanczos}};

// Which inputs make up each output along one axis. Every output has `taps` weights, the last zero.
struct Axis {
  std::vector<int64_t> first;
  std::vector<int64_t> count;
  std::vector<int32_t> weights;
  size_t taps = 0;
};

int32_t to_fixed(double weight) {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<int32_t>(scaled + (weight < 0 ? -0.5 : 0.5));
}

Image blank_image(int64_t width, int64_t height) {
  return {width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3))};
}

Axis plan_axis(int64_t in_size, int64_t out_size, const Filter& filter) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter.support * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  axis.taps =
      (static_cast<size_t>(std::ceil(support)) * 2 + 1 + kTapStep - 1) / kTapStep * kTapStep;
  if (static_cast<int64_t>(axis.taps) * 3 > kMaxWeights / out_size) {
    fail(ErrorCode::kUnsupported,
         "an image cannot be resized from {} to {} pixels along one side",
         in_size,
         out_size);
  }
  axis.weights.resize(axis.taps * static_cast<size_t>(out_size));
  std::vector<double> weights(axis.taps);
  for (int64_t out = 0; out < out_size; ++out) {
    const double center = (static_cast<double>(out) + 0.5) * scale;
    const auto begin = static_cast<int64_t>(std::floor(center - support + 0.5));
    const auto end = static_cast<int64_t>(std::floor(center + support + 0.5));
    const int64_t first = std::max(begin, int64_t{0});
    const int64_t count = std::min(end, in_size) - first;
    double sum = 0.0;
    for (int64_t tap = 0; tap < count; ++tap) {
      const double weight =
          filter.weight((static_cast<double>(tap + first) - center + 0.5) * inverse);
      weights[static_cast<size_t>(tap)] = weight;
      sum += weight;
    }
    int32_t* target = axis.weights.data() + static_cast<size_t>(out) * axis.taps;
    for (int64_t tap = 0; tap < count; ++tap) {
      const double weight = weights[static_cast<size_t>(tap)];
      target[tap] = to_fixed(sum != 0.0 ? weight / sum : weight);
    }
    axis.first.push_back(first);
    axis.count.push_back(count);
  }
  return axis;
}

inline uint8_t clip(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

LORAPRESS_SIMD void widen(const uint8_t* __restrict in, int32_t* __restrict out, size_t count) {
  constexpr size_t kTile = 32;
  size_t at = 0;
  for (; at + kTile <= count; at += kTile) {
    for (size_t i = 0; i < kTile; ++i) {
      out[at + i] = in[at + i];
    }
  }
  for (; at < count; ++at) {
    out[at] = in[at];
  }
}

inline void add_product(const int32_t* values, const int32_t* weights, Ints& sum) {
  Ints value;
  Ints weight;
  std::memcpy(&value, values, sizeof(value));
  std::memcpy(&weight, weights, sizeof(weight));
  sum += value * weight;
}

// `weights` holds every weight three times, so that colours need not be taken apart: lane i of the
// sums belongs to channel i % 3. Integers add up alike in any order. `firsts` and `columns` are those
// of the axis, without its vectors: clang does not emit what clones call inline of a library.
LORAPRESS_SIMD void resample_row(const int32_t* __restrict row,
                                 const int64_t* __restrict firsts,
                                 size_t columns,
                                 size_t lanes,
                                 const int32_t* __restrict weights,
                                 uint8_t* __restrict out) {
  for (size_t column = 0; column < columns; ++column) {
    const int32_t* in = row + firsts[column] * 3;
    Ints sum0{};
    Ints sum1{};
    Ints sum2{};
    for (size_t at = 0; at < lanes; at += 3 * kTapStep) {
      add_product(in + at, weights + at, sum0);
      add_product(in + at + kTapStep, weights + at + kTapStep, sum1);
      add_product(in + at + 2 * kTapStep, weights + at + 2 * kTapStep, sum2);
    }
    weights += lanes;
    int32_t sums[3 * kTapStep];
    std::memcpy(sums, &sum0, sizeof(sum0));
    std::memcpy(sums + kTapStep, &sum1, sizeof(sum1));
    std::memcpy(sums + 2 * kTapStep, &sum2, sizeof(sum2));
    for (size_t channel = 0; channel < 3; ++channel) {
      int32_t total = kHalf;
      for (size_t lane = channel; lane < 3 * kTapStep; lane += 3) {
        total += sums[lane];
      }
      *out++ = clip(total);
    }
  }
}

Image resample_columns(const Image& image, int64_t width, const Filter& filter) {
  Image out = blank_image(width, image.height);
  const Axis axis = plan_axis(image.width, width, filter);
  std::vector<int32_t> weights;
  weights.reserve(axis.weights.size() * 3);
  for (const int32_t weight : axis.weights) {
    weights.insert(weights.end(), 3, weight);
  }
  const auto row_size = static_cast<size_t>(image.width) * 3;
  std::vector<int32_t> row(row_size + axis.taps * 3);  // zero weights may lie behind the edge
  for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
    widen(image.rgb.data() + y * row_size, row.data(), row_size);
    resample_row(row.data(),
                 axis.first.data(),
                 axis.first.size(),
                 axis.taps * 3,
                 weights.data(),
                 out.rgb.data() + y * static_cast<size_t>(width) * 3);
  }
  return out;
}

// One output row from `count` input rows.
LORAPRESS_SIMD void blend_rows(const uint8_t* __restrict rows,
                               const int32_t* __restrict weights,
                               size_t count,
                               size_t row_bytes,
                               uint8_t* __restrict out) {
  constexpr size_t kTile = 64;
  size_t left = 0;
  for (; left + kTile <= row_bytes; left += kTile) {
    int32_t sum[kTile];
    std::fill_n(sum, kTile, kHalf);
    for (size_t y = 0; y < count; ++y) {
      const uint8_t* in = rows + y * row_bytes + left;
      for (size_t lane = 0; lane < kTile; ++lane) {
        sum[lane] += in[lane] * weights[y];
      }
    }
    for (size_t lane = 0; lane < kTile; ++lane) {
      out[left + lane] = clip(sum[lane]);
    }
  }
  for (; left < row_bytes; ++left) {
    int32_t sum = kHalf;
    for (size_t y = 0; y < count; ++y) {
      sum += rows[y * row_bytes + left] * weights[y];
    }
    out[left] = clip(sum);
  }
}

Image resample_rows(const Image& image, int64_t height, const Filter& filter) {
  Image out = blank_image(image.width, height);
  const Axis axis = plan_axis(image.height, height, filter);
  const auto row_size = static_cast<size_t>(image.width) * 3;
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
    blend_rows(image.rgb.data() + static_cast<size_t>(axis.first[y]) * row_size,
               axis.weights.data() + y * axis.taps,
               static_cast<size_t>(axis.count[y]),
               row_size,
               out.rgb.data() + y * row_size);
  }
  return out;
}

}  // namespace

Resample parse_resample(std::string_view name, std::string_view where) {
  for (const Filter& filter : kFilters) {
    if (filter.text == name) {
      return filter.name;
    }
  }
  fail(ErrorCode::kUnsupported,
       "{}: resample \"{}\" is not supported (bilinear, bicubic, lanczos)",
       where,
       name);
}

Image resize(const Image& image, int64_t width, int64_t height, Resample resample) {
  if (width < 1 || height < 1 || width > kMaxImagePixels / height) {
    fail(ErrorCode::kInvalidArgument,
         "cannot resize an image to {} x {} pixels, expected 1 to {}",
         width,
         height,
         kMaxImagePixels);
  }
  const Filter& filter = *std::ranges::find(kFilters, resample, &Filter::name);
  if (width == image.width) {
    return height == image.height ? image : resample_rows(image, height, filter);
  }
  if (height == image.height) {
    return resample_columns(image, width, filter);
  }
  // Each pass rounds and clips, so their order shows in the result. Pillow 13 takes the rows first
  // when the height shrinks by more than twice what the width does; before 13 it seldom did.
  // Either way the image in between is no larger than both ends.
  const int64_t lost_rows = image.height - height;
  const bool rows_first = lost_rows > 0 && lost_rows > (image.width - width) * 2;
  return rows_first ? resample_columns(resample_rows(image, height, filter), width, filter)
                    : resample_rows(resample_columns(image, width, filter), height, filter);
}

Image center_crop(Image image, int64_t width, int64_t height) {
  if (width > image.width || height > image.height) {
    fail(ErrorCode::kInvalidArgument,
         "cannot cut {} x {} out of an image of {} x {}",
         width,
         height,
         image.width,
         image.height);
  }
  if (width == image.width && height == image.height) {
    return image;
  }
  Image out = blank_image(width, height);
  const int64_t left = (image.width - width) / 2;
  const int64_t top = (image.height - height) / 2;
  for (int64_t y = 0; y < height; ++y) {
    const auto from = image.rgb.begin() + ((top + y) * image.width + left) * 3;
    std::copy_n(from, width * 3, out.rgb.begin() + y * width * 3);
  }
  return out;
}

std::vector<float> normalise(const Image& image,
                             double rescale_factor,
                             std::span<const float, 3> mean,
                             std::span<const float, 3> std) {
  const auto pixels = static_cast<size_t>(image.width * image.height);
  std::vector<float> out(pixels * 3);
  for (size_t channel = 0; channel < 3; ++channel) {
    std::array<float, 256> table{};
    for (size_t value = 0; value < table.size(); ++value) {
      const auto rescaled = static_cast<float>(static_cast<double>(value) * rescale_factor);
      table[value] = (rescaled - mean[channel]) / std[channel];
    }
    float* plane = out.data() + channel * pixels;
    for (size_t pixel = 0; pixel < pixels; ++pixel) {
      plane[pixel] = table[image.rgb[pixel * 3 + channel]];
    }
  }
  return out;
}

}  // namespace lorapress
