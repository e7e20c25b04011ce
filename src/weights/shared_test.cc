#include "weights/shared.h"

#include "base/convert.h"
#include "base/fail.h"
#include "base/threads.h"
#include "counted_weight.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::counted;
using test::message_of;
using test::Random;

constexpr size_t kMegabyte = size_t{1} << 20;

std::vector<std::byte> all_bytes(const Weight& weight) {
  std::vector<std::byte> bytes(weight.bytes());
  read_bytes(weight, 0, bytes);
  return bytes;
}

TEST(SharedReads, GivesTheBlocksOfTheWeight) {
  Random random(1);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto weight = counted({1203, 701}, dtype, 2);  // four slabs, the last one ragged
    SharedReads reads(2 * kMegabyte);
    const WeightPtr shared = reads.share(weight);
    ASSERT_NE(shared, weight);
    EXPECT_EQ(shared->dtype(), dtype);
    EXPECT_EQ(all_bytes(*shared), all_bytes(*weight));
    for (int i = 0; i < 40; ++i) {
      const int64_t row = random.below(1203);
      const int64_t col = random.below(701);
      const Block block{row, random.between(1, 1203 - row), col, random.between(1, 701 - col)};
      std::vector<float> expected(block.elements());
      std::vector<float> found(block.elements());
      weight->read_floats(block, expected);
      shared->read_floats(block, found);
      EXPECT_EQ(found, expected);
      const auto lent = shared->view(block).value();
      ASSERT_GE(lent.rows, 1);
      ASSERT_LE(lent.rows, block.rows);
      for (int64_t r = 0; r < lent.rows; ++r) {
        ASSERT_TRUE(std::equal(lent.data + r * lent.pitch,
                               lent.data + r * lent.pitch + block.cols,
                               expected.begin() + r * block.cols));
      }
    }
  }
}

TEST(SharedReads, ReadsOnceWhatItHolds) {
  const auto weight = counted({1000, 600}, DType::kF32, 3);
  SharedReads reads(4 * kMegabyte);
  const WeightPtr shared = reads.share(weight);
  const std::vector<std::byte> expected = all_bytes(*weight);
  weight->values_read = 0;
  const WeightPtr transposed = transpose(shared);
  const WeightPtr half = cast(shared, DType::kF16);
  parallel_for(8, 4, [&](size_t index, unsigned /*worker*/) {
    all_bytes(index % 2 == 0 ? *transposed : *half);
    EXPECT_EQ(all_bytes(*shared), expected);
  });
  EXPECT_EQ(weight->values_read, 600'000U);
  EXPECT_EQ(reads.values_read(), 600'000U);
  reads.clear();
  EXPECT_EQ(all_bytes(*shared), expected);
  EXPECT_EQ(weight->values_read, 1'200'000U);
}

TEST(SharedReads, StaysBelowItsBound) {
  const auto large = counted({4000, 600}, DType::kF32, 4);  // 9.6 MB
  SharedReads reads(2 * kMegabyte);
  const WeightPtr shared = reads.share(large);
  EXPECT_FALSE(shared->stays_in_memory(shared->values()));
  const WeightPtr part = reads.share(counted({400, 600}, DType::kF32, 5));
  EXPECT_TRUE(part->stays_in_memory(part->values()));
  const WeightPtr joined = transpose(concat_rows({part, part, part}));  // more than stays
  EXPECT_FALSE(joined->stays_in_memory(joined->values()));
  EXPECT_EQ(all_bytes(*shared), all_bytes(*large));
  large->values_read = 0;
  std::vector<float> row(600);
  shared->read_floats({0, 1, 0, 600}, row);  // out long ago
  EXPECT_GT(large->values_read, 0U);
}

TEST(SharedReads, LeavesAloneWhatIsNotWorthIt) {
  SharedReads reads;
  const WeightPtr small = zeros(DType::kF32, {10, 10});
  const WeightPtr integers = zeros(DType::kI8, {1000, 1000});
  const WeightPtr wide = zeros(DType::kF32, {2, 1 << 20});
  const WeightPtr transposed = transpose(zeros(DType::kF32, {1000, 1000}));
  for (const WeightPtr& weight : {small, integers, wide, transposed}) {
    EXPECT_EQ(reads.share(weight), weight);
  }
}

TEST(SharedReads, TriesAgainAfterAnError) {
  const auto weight = counted({300, 300}, DType::kF32, 6);
  SharedReads reads;
  const WeightPtr shared = reads.share(weight);
  weight->failures = 1;
  std::vector<float> values(90'000);
  message_of(ErrorCode::kIo, [&] { shared->read_floats({0, 300, 0, 300}, values); });
  shared->read_floats({0, 300, 0, 300}, values);
  EXPECT_EQ(values, read_all_float32(*weight));
}

TEST(SharedReads, NeverMixesUpWeights) {
  SharedReads reads(2 * kMegabyte);
  for (uint32_t seed = 0; seed < 20; ++seed) {  // addresses are used again
    const auto weight = counted({100, 100}, DType::kF32, seed);
    EXPECT_EQ(all_bytes(*reads.share(weight)), all_bytes(*weight));
  }
}

}  // namespace
}  // namespace lorapress
