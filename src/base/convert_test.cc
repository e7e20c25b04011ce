// Against a reference that is written with doubles, where every step is exact.
#include "base/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "test_util.h"

namespace lorapress {
namespace {

// A 16-bit float format.
struct Format {
  DType dtype;
  int mantissa_bits;
  int max_exponent;  // of the largest finite value
};
constexpr Format kHalf{DType::kF16, 10, 15};
constexpr Format kBfloat{DType::kBF16, 7, 127};

double value_of(const Format& format, uint16_t bits) {
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const int exponent = (bits & 0x7fff) >> format.mantissa_bits;
  const int bias = format.max_exponent;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 2 * bias + 1) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) {
    return sign * std::ldexp(mantissa, 1 - bias - format.mantissa_bits);
  }
  return sign *
         std::ldexp(mantissa + (1 << format.mantissa_bits), exponent - bias - format.mantissa_bits);
}

// The nearest value of the format, ties to even.
double rounded(const Format& format, float value) {
  const double exact = std::fabs(static_cast<double>(value));
  if (!std::isfinite(exact) || exact == 0.0) {
    return value;
  }
  const int exponent = std::max(std::ilogb(exact), 1 - format.max_exponent);
  const double unit = std::ldexp(1.0, exponent - format.mantissa_bits);
  const double nearest = std::nearbyint(exact / unit) * unit;
  const bool overflow = nearest >= std::ldexp(1.0, format.max_exponent + 1);
  return std::copysign(overflow ? std::numeric_limits<double>::infinity() : nearest, value);
}

std::vector<uint16_t> stored(const Format& format, const std::vector<float>& values) {
  std::vector<uint16_t> bits(values.size());
  from_float32(format.dtype, values, std::as_writable_bytes(std::span(bits)));
  return bits;
}

std::vector<uint16_t> all_bits() {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) {
    bits[i] = static_cast<uint16_t>(i);
  }
  return bits;
}

void expect_all_values(const Format& format) {
  const std::vector<uint16_t> bits = all_bits();
  std::vector<float> values(bits.size());
  to_float32(format.dtype, std::as_bytes(std::span(bits)), values);
  const std::vector<uint16_t> back = stored(format, values);
  for (size_t i = 0; i < bits.size(); ++i) {
    const double expected = value_of(format, bits[i]);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(values[i])) << i;
      EXPECT_TRUE(std::isnan(value_of(format, back[i]))) << i;
      EXPECT_EQ(std::signbit(values[i]), (bits[i] & 0x8000) != 0) << i;
      EXPECT_EQ(back[i] & 0x8000, bits[i] & 0x8000) << i;
      continue;
    }
    EXPECT_EQ(static_cast<double>(values[i]), expected) << i;
    EXPECT_EQ(std::signbit(values[i]), std::signbit(expected)) << i;
    EXPECT_EQ(back[i], bits[i]);
  }
}

TEST(Convert, EveryHalfGoesThereAndBack) {
  expect_all_values(kHalf);
}

TEST(Convert, EveryBfloatGoesThereAndBack) {
  expect_all_values(kBfloat);
}

// Every tie between neighbours, and the floats next to it on both sides.
std::vector<float> ties(const Format& format) {
  std::vector<float> values;
  const double top = std::ldexp(1.0, format.max_exponent + 1);
  for (int bits = 0; bits < 0x7fff; ++bits) {
    const double low = value_of(format, static_cast<uint16_t>(bits));
    const double next = value_of(format, static_cast<uint16_t>(bits + 1));
    if (!std::isfinite(low)) {
      break;
    }
    const auto tie = static_cast<float>((low + (std::isfinite(next) ? next : top)) / 2);
    for (const float value : {std::nextafter(tie, 0.0F), tie, std::nextafter(tie, INFINITY)}) {
      values.push_back(value);
      values.push_back(-value);
    }
  }
  return values;
}

void expect_rounding(const Format& format, const std::vector<float>& values) {
  const std::vector<uint16_t> bits = stored(format, values);
  for (size_t i = 0; i < values.size(); ++i) {
    const double got = value_of(format, bits[i]);
    ASSERT_EQ(got, rounded(format, values[i])) << "from " << values[i];
    ASSERT_EQ(std::signbit(got), std::signbit(values[i])) << "from " << values[i];
  }
}

TEST(Convert, RoundsTiesToEven) {
  for (const Format& format : {kHalf, kBfloat}) {
    const std::vector<float> values = ties(format);
    EXPECT_GT(values.size(), 100'000U);
    expect_rounding(format, values);
  }
}

TEST(Convert, RoundsAnyFloat) {
  test::Random random(7);
  std::vector<float> values;
  while (values.size() < 300'000) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random.below(int64_t{1} << 32)));
    if (!std::isnan(value)) {
      values.push_back(value);
    }
  }
  for (const float edge : {0.0F,
                           -0.0F,
                           INFINITY,
                           -INFINITY,
                           std::numeric_limits<float>::max(),
                           std::numeric_limits<float>::min(),
                           std::numeric_limits<float>::denorm_min(),
                           65504.0F,
                           65519.996F,
                           65520.0F,
                           5.9604645e-8F,
                           2.9802322e-8F,
                           2.9802326e-8F}) {
    values.push_back(edge);
  }
  expect_rounding(kHalf, values);
  expect_rounding(kBfloat, values);
}

TEST(Convert, KeepsNan) {
  std::vector<float> values;
  for (const uint32_t bits :
       {0x7fc00000U, 0xffc00000U, 0x7f800001U, 0x7f80ffffU, 0xff800001U, 0x7fffffffU}) {
    values.push_back(std::bit_cast<float>(bits));
  }
  for (const Format& format : {kHalf, kBfloat}) {
    for (const uint16_t bits : stored(format, values)) {
      EXPECT_TRUE(std::isnan(value_of(format, bits))) << bits;
    }
  }
}

// The loops are vectorised: every remainder and every alignment has to work.
TEST(Convert, TakesAnyLengthAndAlignment) {
  test::Random random(8);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64}) {
    for (size_t count = 0; count < 70; ++count) {
      const std::vector<float> values = random.numbers(count, 100.0F);
      const size_t bytes = count * dtype_size(dtype);
      std::vector<std::byte> even(bytes);
      std::vector<std::byte> odd(bytes + 2, std::byte{0xa5});
      from_float32(dtype, values, even);
      from_float32(dtype, values, std::span(odd).subspan(1, bytes));
      EXPECT_TRUE(std::equal(even.begin(), even.end(), odd.begin() + 1));
      EXPECT_EQ(odd.front(), std::byte{0xa5});
      EXPECT_EQ(odd.back(), std::byte{0xa5});
      std::vector<float> from_even(count);
      std::vector<float> from_odd(count);
      to_float32(dtype, even, from_even);
      to_float32(dtype, std::span(odd).subspan(1, bytes), from_odd);
      EXPECT_EQ(from_even, from_odd);
      if (dtype_size(dtype) >= 4) {
        EXPECT_EQ(from_even, values);
      }
    }
  }
}

TEST(Convert, RoundsDoublesOnce) {
  const std::vector<double> values{
      1.0 + 0x1p-24, 1.0 + 0x1.8p-23, 1e300, -1e-300, 0.1, std::nan("")};
  std::vector<float> floats(values.size());
  to_float32(DType::kF64, std::as_bytes(std::span(values)), floats);
  EXPECT_EQ(floats[0], 1.0F);
  EXPECT_EQ(floats[1], 1.0F + 0x1p-22F);
  EXPECT_EQ(floats[2], INFINITY);
  EXPECT_EQ(floats[3], 0.0F);
  EXPECT_TRUE(std::signbit(floats[3]));
  EXPECT_EQ(floats[4], 0.1F);
  EXPECT_TRUE(std::isnan(floats[5]));
}

TEST(Convert, RefusesIntegers) {
  std::vector<std::byte> bytes(8);
  std::vector<float> one(1);
  for (const DTypeRow& row : kDTypes) {
    if (!row.is_float) {
      test::message_of(ErrorCode::kUnsupported, [&] { to_float32(row.dtype, bytes, one); });
      test::message_of(ErrorCode::kUnsupported, [&] { from_float32(row.dtype, one, bytes); });
    }
  }
}

}  // namespace
}  // namespace lorapress
