#include "quant/nbits.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <thread>

#include "counted_weight.h"
#include "golden_util.h"
#include "quant/bnb4.h"
#include "quant/error_feedback.h"
#include "quant/quantized_weight.h"
#include "test_util.h"
#include "weights/group.h"
#include "weights/stream.h"

namespace lorapress {
namespace {

using test::bytes_of;
using test::contains;
using test::counted;
using test::message_of;
using test::Random;
using test::TempFolder;

WeightPtr random_matrix(uint32_t seed, int64_t rows, int64_t columns) {
  return float_constant({rows, columns},
                        Random(seed).numbers(static_cast<size_t>(rows * columns), 0.1F));
}

std::string bytes_of_range(const Weight& weight, uint64_t offset, size_t count) {
  std::string bytes(count, '\0');
  read_bytes(weight, offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

// The tensors of onnxruntime's own quantizers (tests/oracle/make_nbits.py), byte by byte. Where a
// block passes the end of a row, onnxruntime leaves zeros in `packed`, and ours hold the zero
// point.
TEST(NBits, AreTheTensorsOfOnnxRuntime) {
  const TensorMap goldens =
      open_safetensors(test::source_path("tests/goldens/nbits/nbits.safetensors"));
  size_t compared = 0;
  for (const auto& [key, matrix] : goldens) {
    if (!key.ends_with("/matrix")) {
      continue;
    }
    const std::string stem = key.substr(0, key.size() - 7);
    const int64_t block_size = std::stoll(stem.substr(stem.find('/') + 1));
    for (const bool symmetric : {true, false}) {
      const std::string kind = stem + (symmetric ? "/symmetric" : "/asymmetric");
      const NBitsWeights made =
          quantize_nbits(key, matrix, {.block_size = block_size, .symmetric = symmetric}, {});
      EXPECT_EQ(made.packed->shape(), goldens.at(kind + "/packed")->shape()) << kind;
      EXPECT_EQ(bytes_of(*made.scales), bytes_of(*goldens.at(kind + "/scales"))) << kind;
      EXPECT_EQ(made.zero_points == nullptr, symmetric);
      if (!symmetric) {
        EXPECT_EQ(bytes_of(*made.zero_points), bytes_of(*goldens.at(kind + "/zero_points")));
      }
      const std::string ours = bytes_of(*made.packed);
      const std::string theirs = bytes_of(*goldens.at(kind + "/packed"));
      const size_t pitch = static_cast<size_t>(made.packed->cols());
      const size_t used = static_cast<size_t>(matrix->cols()) / 2;
      for (size_t i = 0; i < ours.size(); ++i) {
        if (i % pitch < used) {
          EXPECT_EQ(ours[i], theirs[i]) << kind << " byte " << i;
        } else if (symmetric) {
          EXPECT_EQ(ours[i], '\x88') << kind << " byte " << i;
        }
      }
      ++compared;
    }
    const Bnb4Weights bnb4 = quantize_bnb4(key, matrix, block_size);
    EXPECT_EQ(bytes_of(*bnb4.packed), bytes_of(*goldens.at(stem + "/bnb4/packed"))) << stem;
    EXPECT_EQ(bytes_of(*bnb4.absmax), bytes_of(*goldens.at(stem + "/bnb4/absmax"))) << stem;
  }
  EXPECT_EQ(compared, 8U);
}

// Whatever is asked for first, in whatever pieces, by however many threads: the bytes are the same.
TEST(NBits, GiveTheSameBytesInPieces) {
  for (const bool transposed : {false, true}) {
    for (const int64_t columns : {96, 101}) {
      const WeightPtr matrix =
          transposed ? transpose(random_matrix(3, columns, 70)) : random_matrix(3, 70, columns);
      for (const Rounding rounding : {Rounding::kNearest, Rounding::kSearch}) {
        const NBitsFormat format{32, false, rounding};
        const NBitsWeights whole = quantize_nbits("w", matrix, format, {});
        const std::string scales = bytes_of(*whole.scales);  // before `packed` was read
        const std::string packed = bytes_of(*whole.packed);
        const std::string zeros = bytes_of(*whole.zero_points);
        EXPECT_EQ(bytes_of(*whole.scales), scales);
        const NBitsWeights made = quantize_nbits("w", matrix, format, {});
        const std::vector<std::pair<WeightPtr, const std::string*>> parts{
            {made.packed, &packed}, {made.scales, &scales}, {made.zero_points, &zeros}};
        std::vector<std::thread> threads;
        std::atomic<int> wrong = 0;
        for (uint32_t seed = 1; seed <= 3; ++seed) {
          threads.emplace_back([&, seed] {
            Random random(seed);
            for (int i = 0; i < 60; ++i) {
              const auto& [weight, expected] = parts[static_cast<size_t>(random.below(3))];
              const auto size = static_cast<int64_t>(expected->size());
              const int64_t begin = random.below(size);
              const int64_t count = random.between(1, size - begin);
              wrong +=
                  bytes_of_range(
                      *weight, static_cast<uint64_t>(begin), static_cast<size_t>(count)) !=
                          expected->substr(static_cast<size_t>(begin), static_cast<size_t>(count))
                      ? 1
                      : 0;
            }
          });
        }
        for (std::thread& thread : threads) {
          thread.join();
        }
        EXPECT_EQ(wrong, 0) << transposed << columns;
      }
    }
  }
}

std::vector<WeightPtr> tensors_of(const WeightPtr& matrix, const NBitsFormat& format) {
  const NBitsWeights made = quantize_nbits("w", matrix, format, {});
  return {made.packed, cast(made.scales, format.scale_dtype), made.zero_points};
}

std::vector<WeightPtr> tensors_of(const WeightPtr& matrix) {
  const Bnb4Weights made = quantize_bnb4("w", matrix, 32);
  return {made.packed, made.absmax};
}

// What was read before, by whom and how often, changes nothing of what is read.
TEST(NBits, GiveTheSameInAnyOrder) {
  const WeightPtr matrix = random_matrix(7, 40, 72);
  const NBitsFormat format{.symmetric = false, .scale_dtype = DType::kF16};
  const auto alone = [&](size_t i) { return bytes_of(*tensors_of(matrix, format)[i]); };
  for (const std::vector<size_t>& order :
       {std::vector<size_t>{1, 1, 2, 0, 1, 2}, {2, 0, 0, 1, 2, 2, 1}, {0, 1, 2, 0, 1, 2}}) {
    const std::vector<WeightPtr> made = tensors_of(matrix, format);
    for (const size_t i : order) {
      EXPECT_EQ(bytes_of(*made[i]), alone(i)) << i;
    }
  }
}

// A file holds the integers of a whole matrix before its scales; both are found in one pass.
TEST(NBits, AreFoundOnceByAWriter) {
  const auto matrix = counted({600, 320}, DType::kF32, 8);
  for (const unsigned threads : {1U, 2U}) {
    for (const auto& made : {tensors_of(matrix, {}),
                             tensors_of(transpose(matrix), {.symmetric = false}),
                             tensors_of(matrix, {.symmetric = false, .scale_dtype = DType::kF16}),
                             tensors_of(matrix)}) {
      const TempFolder folder;
      FilePlan plan(folder / "file");
      plan.literal("head");
      std::string wanted = "head";
      for (const WeightPtr& weight : made) {
        if (weight) {
          wanted += bytes_of(*weight);
          plan.weight(weight);
        }
      }
      bytes_of(*made[1]);  // somebody who looks at scales changes nothing
      matrix->values_read = 0;
      write_files({plan}, {.hash = false, .threads = threads, .progress = {}});
      EXPECT_EQ(matrix->values_read, matrix->values());
      EXPECT_EQ(read_text(folder / "file"), wanted);
    }
  }
}

TEST(NBits, AreFoundAgainWhereAWriterCannotKeepThem) {
  const auto matrix = counted({64, 96}, DType::kF32, 8);
  for (const size_t bytes : {size_t{0}, size_t{1} << 20}) {
    const std::vector<WeightPtr> made = tensors_of(matrix, {.symmetric = false});
    GroupCache memory(bytes);
    for (const WeightPtr& weight : made) {
      memory.add(*weight);
    }
    matrix->values_read = 0;
    for (const WeightPtr& weight : made) {
      std::string read(weight->bytes(), ' ');
      memory.read(*weight, 0, std::as_writable_bytes(std::span(read)));
      const size_t values = matrix->values_read;
      EXPECT_EQ(read, bytes_of(*weight));
      matrix->values_read = values;
    }
    EXPECT_EQ(matrix->values_read, matrix->values() * (bytes == 0 ? 3 : 1));
  }
}

TEST(NBits, AreTheSameWhereMatrixAndFormatAre) {
  const auto matrix = counted({64, 96}, DType::kF32, 8);
  const NBitsFormat format{.symmetric = false, .scale_dtype = DType::kF16};
  NBitsFormat other = format;
  other.block_size = 16;
  const std::vector<WeightPtr> made = tensors_of(matrix, format);
  const std::vector<WeightPtr> again = tensors_of(matrix, format);
  for (size_t i = 0; i < made.size(); ++i) {
    EXPECT_TRUE(made[i]->same_as(*again[i]));
    EXPECT_FALSE(made[i]->same_as(*tensors_of(matrix, other)[i]));
    EXPECT_FALSE(made[i]->same_as(*tensors_of(random_matrix(8, 64, 96), format)[i]));
    EXPECT_FALSE(made[i]->same_as(*made[(i + 1) % 3]));
    EXPECT_EQ(&root_of(*made[i]), matrix.get());
  }
  EXPECT_EQ(made[1]->values_dtype(), DType::kF16);
  EXPECT_EQ(quantize_nbits("w", matrix, format, {}).scales->values_dtype(), DType::kF16);
  EXPECT_EQ(matrix->values_read, 0U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(tensors_of(matrix)[i]->same_as(*tensors_of(matrix)[i]));
    EXPECT_EQ(&root_of(*tensors_of(matrix)[i]), matrix.get());
  }
}

TEST(NBits, ChooseIntegersForScalesAsTheyAreStored) {
  const WeightPtr matrix = random_matrix(4, 8, 64);
  const NBitsFormat format{.scale_dtype = DType::kF16};
  const NBitsWeights made = quantize_nbits("w", matrix, format, {});
  EXPECT_EQ(made.scales->dtype(), DType::kF32);
  const std::vector<float> scales = read_all_float32(*made.scales);
  EXPECT_EQ(scales, read_all_float32(*cast(made.scales, DType::kF16)));
  const std::string packed = bytes_of(*made.packed);
  const std::vector<float> values = read_all_float32(*matrix);
  for (size_t i = 0; i < values.size(); ++i) {
    const float scale = scales[i / 32];
    const int byte = static_cast<uint8_t>(packed[i / 2]);
    const int integer = (i % 2 == 0 ? byte & 15 : byte >> 4) - 8;
    const float at_end = integer == 7 ? 1.0F : 0.501F;  // 8 is cut to 7
    EXPECT_LE(std::fabs(values[i] / scale - static_cast<float>(integer)), at_end) << i;
  }
}

TEST(NBits, RefuseWhatFourBitsCannotHold) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> values(128, 1.0F);
    values[77] = bad;
    const WeightPtr matrix = float_constant({2, 64}, values);
    for (const Rounding rounding : {Rounding::kNearest, Rounding::kSearch}) {
      const NBitsWeights made = quantize_nbits("model.w", matrix, {.rounding = rounding}, {});
      for (const WeightPtr& weight : {made.packed, made.scales}) {
        const std::string text = message_of(ErrorCode::kInvalidFile, [&] { bytes_of(*weight); });
        EXPECT_TRUE(contains(text, "tensor model.w") && contains(text, "NaN")) << text;
      }
    }
    const Bnb4Weights bnb4 = quantize_bnb4("model.w", matrix, 32);
    EXPECT_TRUE(contains(message_of(ErrorCode::kInvalidFile, [&] { bytes_of(*bnb4.packed); }),
                         "tensor model.w"));
  }
  const WeightPtr huge = float_constant({1, 32}, std::vector<float>(32, 1e6F));
  EXPECT_NO_THROW(bytes_of(*quantize_nbits("w", huge, {}, {}).packed));
  const NBitsWeights half = quantize_nbits("w", huge, {.scale_dtype = DType::kF16}, {});
  const std::string text = message_of(ErrorCode::kInvalidFile, [&] { bytes_of(*half.packed); });
  EXPECT_TRUE(contains(text, "float16")) << text;
}

// What is learned from inputs that never go together and whose squares sum to `importance`.
std::shared_ptr<const ErrorFeedback> apart(const std::vector<float>& importance) {
  const TempFolder folder;
  InputMoments moments(importance.size());
  for (size_t i = 0; i < importance.size(); ++i) {
    std::vector<float> input(importance.size());
    input[i] = std::sqrt(importance[i]);
    moments.add(input);
  }
  return ErrorFeedback::of(moments, std::make_shared<ScratchFile>(folder.path()));
}

TEST(NBits, RefuseStatisticsOfAnotherShape) {
  const WeightPtr matrix = random_matrix(1, 4, 64);
  message_of(ErrorCode::kMismatch,
             [&] { quantize_nbits("w", matrix, {}, apart(std::vector<float>(63, 1.0F))); });
}

// Channels that matter get the smaller error, at the cost of the others.
TEST(NBits, WeighErrorsByStatistics) {
  const int64_t columns = 64;
  const WeightPtr matrix = random_matrix(8, 200, columns);
  std::vector<float> importance(static_cast<size_t>(columns), 0.1F);
  for (size_t i = 0; i < importance.size(); i += 4) {
    importance[i] = 10.0F;
  }
  const auto errors = [&](std::shared_ptr<const ErrorFeedback> by) {
    const NBitsWeights made =
        quantize_nbits("w", matrix, {.rounding = Rounding::kSearch}, std::move(by));
    const auto& packed = dynamic_cast<const QuantizedWeight&>(*made.packed);
    EXPECT_EQ(packed.original_name(), "w");
    std::vector<float> original(static_cast<size_t>(200 * columns));
    std::vector<float> restored(original.size());
    packed.restore(0, 200, original, restored);
    EXPECT_EQ(original, read_all_float32(*matrix));
    std::pair<double, double> sums;
    for (size_t i = 0; i < original.size(); ++i) {
      const double error = static_cast<double>(original[i]) - static_cast<double>(restored[i]);
      (i % 4 == 0 ? sums.first : sums.second) += error * error;
    }
    return sums;
  };
  const auto [plain, plain_rest] = errors({});
  const auto [weighted, weighted_rest] = errors(apart(importance));
  EXPECT_LT(weighted, plain * 0.8);
  EXPECT_GT(weighted_rest, plain_rest);
}

}  // namespace
}  // namespace lorapress
