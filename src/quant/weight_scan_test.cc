#include "quant/weight_scan.h"

#include <cmath>
#include <limits>

#include "base/convert.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::Random;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> scan(WeightPtr weight, Channels channels) {
  const ScanRequest request{"w", std::move(weight), channels};
  return scan_magnitudes(std::span(&request, 1), 2)[0];
}

TEST(WeightScan, FindsTheLargestMagnitudeOfEveryChannel) {
  const WeightPtr weight = float_constant({2, 3}, std::vector<float>{1, -5, 2, -3, 4, 0});
  EXPECT_EQ(scan(weight, Channels::kAll), (std::vector<float>{5}));
  EXPECT_EQ(scan(weight, Channels::kRows), (std::vector<float>{5, 4}));
  EXPECT_EQ(scan(weight, Channels::kColumns), (std::vector<float>{3, 5, 2}));
  const WeightPtr transposed = transpose(weight);
  EXPECT_EQ(scan(transposed, Channels::kAll), (std::vector<float>{5}));
  EXPECT_EQ(scan(transposed, Channels::kRows), (std::vector<float>{3, 5, 2}));
  EXPECT_EQ(scan(transposed, Channels::kColumns), (std::vector<float>{5, 4}));
}

// Larger than a stripe, in several dtypes, against a plain loop.
TEST(WeightScan, JoinsItsStripes) {
  constexpr int64_t kRows = 700;
  constexpr int64_t kCols = 901;
  const std::vector<float> values = Random(1).numbers(kRows * kCols);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const WeightPtr weight = cast(float_constant({kRows, kCols}, values), dtype);
    const std::vector<float> stored = read_all_float32(*weight);
    std::vector<float> rows(kRows);
    std::vector<float> columns(kCols);
    for (size_t i = 0; i < stored.size(); ++i) {
      rows[i / kCols] = std::max(rows[i / kCols], std::fabs(stored[i]));
      columns[i % kCols] = std::max(columns[i % kCols], std::fabs(stored[i]));
    }
    EXPECT_EQ(scan(weight, Channels::kRows), rows);
    EXPECT_EQ(scan(weight, Channels::kColumns), columns);
    EXPECT_EQ(scan(transpose(weight), Channels::kRows), columns);
    EXPECT_EQ(scan(weight, Channels::kAll)[0], std::ranges::max(rows));
  }
}

// A second dtype of the same model asks again, perhaps for other channels.
TEST(WeightScan, RemembersWhatItScanned) {
  const WeightPtr weight = float_constant({2, 3}, std::vector<float>{1, -5, 2, kNan, 4, 0});
  for (const WeightPtr& each : {weight, transpose(weight)}) {
    ScanMemo memo;
    const auto scan_with = [&](Channels channels) {
      const ScanRequest request{"w", each, channels};
      return scan_magnitudes(std::span(&request, 1), 2, &memo)[0];
    };
    EXPECT_FALSE(memo.find(each, Channels::kAll));
    EXPECT_TRUE(std::isnan(scan_with(Channels::kAll).at(0)));
    const Channels rows_of_file = each == weight ? Channels::kRows : Channels::kColumns;
    const Channels columns_of_file = each == weight ? Channels::kColumns : Channels::kRows;
    const auto known = memo.find(each, rows_of_file);
    ASSERT_TRUE(known);
    EXPECT_EQ(known->at(0), 5.0F);
    EXPECT_TRUE(std::isnan(known->at(1)));
    EXPECT_FALSE(memo.find(each, columns_of_file));
    const std::vector<float> columns = scan_with(columns_of_file);
    EXPECT_TRUE(std::isnan(columns.at(0)));
    EXPECT_EQ(columns.at(1), 5.0F);
    EXPECT_EQ(columns.at(2), 2.0F);
    EXPECT_TRUE(memo.find(each, columns_of_file));
    EXPECT_FALSE(memo.find(zeros(DType::kF32, {2, 3}), Channels::kAll));
  }
}

TEST(WeightScan, TakesEmptyAndScalarWeights) {
  EXPECT_EQ(scan(zeros(DType::kF32, {0, 5}), Channels::kAll), (std::vector<float>{0}));
  EXPECT_EQ(scan(zeros(DType::kF32, {5, 0}), Channels::kRows), std::vector<float>(5));
  EXPECT_EQ(scan(float_constant({}, std::vector<float>{-2}), Channels::kAll),
            (std::vector<float>{2}));
}

TEST(WeightScan, NamesWhatIsNotFinite) {
  for (const float bad : {kNan, -kNan, kInfinity, -kInfinity}) {
    std::vector<float> values(24, 1.0F);
    values[17] = bad;
    const ScanRequest request{"layer.weight", float_constant({2, 3, 4}, values), Channels::kRows};
    const auto magnitudes = scan_magnitudes(std::span(&request, 1), 1)[0];
    const std::string text =
        message_of(ErrorCode::kInvalidFile, [&] { require_finite(request, magnitudes); });
    EXPECT_TRUE(contains(text, "layer.weight")) << text;
    EXPECT_TRUE(contains(text, "[1, 1, 1]")) << text;
  }
  const ScanRequest fine{"w", zeros(DType::kF32, {4}), Channels::kAll};
  EXPECT_NO_THROW(require_finite(fine, std::vector<float>{0.0F}));
}

}  // namespace
}  // namespace lorapress
