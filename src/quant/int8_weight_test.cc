// tests/goldens/int8 is onnxruntime.quantization's own work (tests/oracle/make_int8.py).
#include "quant/int8_weight.h"

#include <cmath>
#include <set>

#include "checkpoint/safetensors.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::message_of;
using test::Random;

template <typename Integer>
std::vector<int> content(const Weight& weight) {
  std::vector<Integer> stored(weight.bytes());
  read_bytes(weight, 0, std::as_writable_bytes(std::span(stored)));
  return {stored.begin(), stored.end()};
}

std::vector<float> magnitudes(const WeightPtr& weight, Channels channels) {
  const ScanRequest request{"w", weight, channels};
  return scan_magnitudes(std::span(&request, 1), 1)[0];
}

TEST(Int8Weight, RoundsTiesToEven) {
  const WeightPtr weight =
      float_constant({2, 4}, std::vector<float>{127, 0.5F, -1.5F, 2.5F, -254, 1.0F, 3.0F, 4.99F});
  const std::vector<float> scales = int8_scales(magnitudes(weight, Channels::kRows), 127);
  EXPECT_EQ(scales, (std::vector<float>{1, 2}));
  EXPECT_EQ(content<int8_t>(*quantize_int8("w", weight, Channels::kRows, scales, DType::kI8)),
            (std::vector<int>{127, 0, -2, 2, -127, 0, 2, 2}));
  EXPECT_EQ(content<uint8_t>(*quantize_int8("w", weight, Channels::kRows, scales, DType::kU8)),
            (std::vector<int>{255, 128, 126, 130, 1, 128, 130, 130}));
}

TEST(Int8Weight, HasAScaleWithoutValues) {
  EXPECT_EQ(int8_scales({0.0F, 1e-38F, 127.0F}, 127), (std::vector<float>{1, 1, 1}));
}

TEST(Int8Weight, RefusesScalesThatDoNotFit) {
  message_of(ErrorCode::kInvalidArgument, [] {
    quantize_int8("w", zeros(DType::kF32, {2, 3}), Channels::kRows, {1, 1, 1}, DType::kI8);
  });
}

// Every orientation gives the same numbers, and none is further off than half a step.
TEST(Int8Weight, StaysWithinHalfAStep) {
  constexpr int64_t kRows = 65;
  constexpr int64_t kCols = 130;
  const std::vector<float> values = Random(3).numbers(kRows * kCols, 0.1F);
  const WeightPtr weight = float_constant({kRows, kCols}, values);
  for (const Channels channels : {Channels::kAll, Channels::kRows, Channels::kColumns}) {
    const std::vector<float> scales = int8_scales(magnitudes(weight, channels), 127);
    const WeightPtr direct = quantize_int8("w", weight, channels, scales, DType::kI8);
    const std::vector<int> stored = content<int8_t>(*direct);
    for (size_t i = 0; i < stored.size(); ++i) {
      const size_t channel = channels == Channels::kAll    ? 0
                             : channels == Channels::kRows ? i / kCols
                                                           : i % kCols;
      const double scale = scales[channel];
      EXPECT_LE(std::fabs(values[i] - scale * stored[i]), scale * 0.5000001);
      EXPECT_LE(std::abs(stored[i]), 127);
    }
    // The same weight as the transposition of a file's [out, in].
    const WeightPtr source = float_constant({kCols, kRows}, read_all_float32(*transpose(weight)));
    EXPECT_EQ(content<int8_t>(*quantize_int8("w", transpose(source), channels, scales, DType::kI8)),
              stored);
    std::vector<int> shifted =
        content<uint8_t>(*quantize_int8("w", transpose(source), channels, scales, DType::kU8));
    std::ranges::for_each(shifted, [](int& value) { value -= kUint8ZeroPoint; });
    EXPECT_EQ(shifted, stored);
    // Any part reads as it does in the whole.
    std::vector<std::byte> part(5 * 7);
    direct->read({11, 5, 90, 7}, part);
    for (size_t i = 0; i < part.size(); ++i) {
      EXPECT_EQ(static_cast<int8_t>(part[i]),
                stored[(11 + i / 7) * static_cast<size_t>(kCols) + 90 + i % 7]);
    }
  }
}

TEST(Int8Weight, EqualsOnnxRuntimesQuantizer) {
  const TensorMap golden =
      open_safetensors(test::source_path("tests/goldens/int8/golden.safetensors"));
  std::set<std::string> cases;
  for (const auto& [name, tensor] : golden) {
    cases.insert(name.substr(0, name.find('/')));
  }
  EXPECT_EQ(cases.size(), 5U);
  for (const std::string& name : cases) {
    SCOPED_TRACE(name);
    const WeightPtr& weight = golden.at(name + "/weight");
    for (const auto& [part, steps] : {std::pair("full", int8_steps(DType::kU8)),
                                      std::pair("reduced", int8_steps(DType::kI8))}) {
      SCOPED_TRACE(part);
      const std::vector<float> wanted = read_all_float32(*golden.at(name + "/scale_" + part));
      const Channels channels = wanted.size() == 1 ? Channels::kAll : Channels::kRows;
      const std::vector<float> scales = int8_scales(magnitudes(weight, channels), steps);
      EXPECT_EQ(scales, wanted);
      EXPECT_EQ(content<int8_t>(*quantize_int8("w", weight, channels, scales, DType::kI8)),
                content<int8_t>(*golden.at(name + "/quantized_" + part)));
    }
  }
}

}  // namespace
}  // namespace lorapress
