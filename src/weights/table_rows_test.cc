#include "weights/table_rows.h"

#include <gtest/gtest.h>

#include "base/convert.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::Random;

// Values row * 10 + column.
WeightPtr counted(int64_t rows, int64_t cols, float offset = 0.0F) {
  std::vector<float> values;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      values.push_back(static_cast<float>(row * 10 + col) + offset);
    }
  }
  return float_constant({rows, cols}, values);
}

// `weight` in a file of its own at `offset`.
WeightPtr on_disk(const std::filesystem::path& path, const Weight& weight, size_t offset) {
  std::string bytes(offset + weight.bytes(), '\0');
  read_bytes(weight, 0, std::as_writable_bytes(std::span(bytes)).subspan(offset));
  write_text(path, bytes);
  return file_weight(
      weight.dtype(), weight.shape(), {std::make_shared<const InputFile>(path), offset});
}

TEST(ReplaceRows, TakesTheGivenRowsAndTheBasesOthers) {
  const WeightPtr table = replace_rows(counted(5, 3), counted(2, 3, 100.0F), {4, 1});
  EXPECT_EQ(table->shape(), (Shape{5, 3}));
  EXPECT_EQ(read_all_float32(*table),
            (std::vector<float>{0, 1, 2, 110, 111, 112, 20, 21, 22, 30, 31, 32, 100, 101, 102}));
  std::vector<float> part(4);
  table->read_floats({3, 2, 1, 2}, part);
  EXPECT_EQ(part, (std::vector<float>{31, 32, 101, 102}));
}

TEST(ReplaceRows, AddsRowsBehindTheBase) {
  const WeightPtr table = replace_rows(counted(2, 2), counted(3, 2, 100.0F), {3, 0, 2});
  EXPECT_EQ(table->shape(), (Shape{4, 2}));
  EXPECT_EQ(read_all_float32(*table), (std::vector<float>{110, 111, 10, 11, 120, 121, 100, 101}));
  std::vector<float> behind(2);
  table->read_floats({3, 1, 0, 2}, behind);
  EXPECT_EQ(behind, (std::vector<float>{100, 101}));
  const std::string text =
      message_of(ErrorCode::kMismatch, [] { replace_rows(counted(2, 2), counted(1, 2), {3}); });
  EXPECT_TRUE(contains(text, "row 2 is not given")) << text;
}

TEST(ReplaceRows, RoundsToTheBasesDtypeInBytesAlone) {
  const WeightPtr rows = float_constant({1, 2}, std::vector<float>{1.001F, -2.0F});
  const WeightPtr table = replace_rows(cast(counted(2, 2), DType::kBF16), rows, {1});
  EXPECT_EQ(table->dtype(), DType::kBF16);
  EXPECT_EQ(read_all_float32(*table), (std::vector<float>{0, 1, 1.001F, -2}));
  std::vector<std::byte> bytes(table->bytes());
  read_bytes(*table, 0, bytes);
  std::vector<float> stored(4);
  to_float32(DType::kBF16, bytes, stored);
  EXPECT_EQ(stored, (std::vector<float>{0, 1, 1, -2}));
}

TEST(ReplaceRows, RefusesWhatDoesNotFit) {
  const auto refused =
      [](const WeightPtr& base, const WeightPtr& rows, const std::vector<int64_t>& indices) {
        return message_of(ErrorCode::kMismatch, [&] { replace_rows(base, rows, indices); });
      };
  EXPECT_TRUE(contains(refused(counted(3, 2), counted(2, 2), {1}), "1 token indices"));
  EXPECT_TRUE(contains(refused(counted(3, 2), counted(1, 3), {1}), "do not fit"));
  EXPECT_TRUE(contains(refused(counted(3, 2), counted(2, 2), {1, 1}), "twice"));
  EXPECT_TRUE(contains(refused(counted(3, 2), counted(1, 2), {-1}), "negative"));
  EXPECT_TRUE(contains(refused(zeros(DType::kI64, {3, 2}), counted(1, 2), {1}), "floats"));
  EXPECT_TRUE(contains(refused(counted(3, 2), zeros(DType::kI32, {1, 2}), {1}), "floats"));
}

TEST(SameValues, ComparesShapeDtypeAndEveryValue) {
  const test::TempFolder folder;
  Random random(3);
  const int64_t rows = 700;  // of 2 kB: more than one piece
  std::vector<float> values = random.numbers(static_cast<size_t>(rows) * 512);
  const WeightPtr one = float_constant({rows, 512}, values);
  EXPECT_TRUE(same_values(*one, *one));
  EXPECT_TRUE(same_values(*one, *float_constant({rows, 512}, values)));
  const WeightPtr filed = on_disk(folder / "a", *one, 8);
  EXPECT_TRUE(same_values(*filed, *on_disk(folder / "b", *one, 4)));
  EXPECT_TRUE(same_values(*filed, *one));
  EXPECT_FALSE(same_values(*one, *float_constant({512, rows}, values)));
  EXPECT_FALSE(same_values(*one, *cast(one, DType::kF16)));
  for (const size_t at : {size_t{0}, values.size() / 2, values.size() - 1}) {
    const float before = values[at];
    values[at] += 0.5F;
    const WeightPtr other = float_constant({rows, 512}, values);
    EXPECT_FALSE(same_values(*one, *other)) << at;
    EXPECT_FALSE(same_values(*filed, *on_disk(folder / ("c" + std::to_string(at)), *other, 0)));
    values[at] = before;
  }
}

// Values that differ before they are rounded would differ in a float32 export.
TEST(SameValues, LooksBehindTheRounding) {
  const WeightPtr base = cast(counted(2, 2), DType::kBF16);
  const std::vector<float> almost{0.0001F, 1.0F};
  const WeightPtr left = replace_rows(base, float_constant({1, 2}, almost), {0});
  EXPECT_TRUE(same_values(*left, *replace_rows(base, float_constant({1, 2}, almost), {0})));
  EXPECT_FALSE(same_values(*left, *base));
}

TEST(SameValues, ReadsNothingWhereThePlaceIsOne) {
  const test::TempFolder folder;
  const WeightPtr filed = on_disk(folder / "a", *counted(4, 4), 0);
  const std::optional<Extent> place = filed->extent();
  std::filesystem::resize_file(folder / "a", 1);  // a read would throw
  EXPECT_TRUE(same_values(*filed, *file_weight(DType::kF32, {4, 4}, *place)));
  EXPECT_TRUE(same_values(*zeros(DType::kF32, {0, 4}), *zeros(DType::kF32, {0, 4})));
  EXPECT_TRUE(same_values(*zeros(DType::kI64, {2, 3}), *zeros(DType::kI64, {2, 3})));
}

}  // namespace
}  // namespace lorapress
