#include "weights/shared.h"

#include <atomic>

#include "base/convert.h"
#include "base/fail.h"
#include "base/threads.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::message_of;
using test::Random;

constexpr size_t kMegabyte = size_t{1} << 20;

// Counts what is read of it; fails as often as it is told to.
class Counted final : public Weight {
 public:
  explicit Counted(WeightPtr inner)
      : Weight(inner->dtype(), inner->shape()), inner_(std::move(inner)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    count(block);
    inner_->read(block, out);
  }
  void read_floats(const Block& block, std::span<float> out) const override {
    count(block);
    inner_->read_floats(block, out);
  }

  mutable std::atomic<size_t> values = 0;
  mutable std::atomic<int> failures = 0;

 private:
  void count(const Block& block) const {
    if (failures > 0) {
      --failures;
      fail(ErrorCode::kIo, "no more");
    }
    values += block.elements();
  }

  WeightPtr inner_;
};

std::shared_ptr<Counted> counted(const Shape& shape, DType dtype, uint32_t seed) {
  const auto count = static_cast<size_t>(shape[0] * shape[1]);
  return std::make_shared<Counted>(cast(float_constant(shape, Random(seed).numbers(count)), dtype));
}

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
      const auto lent = shared->lend(block).value();
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
  weight->values = 0;
  const WeightPtr turned = transpose(shared);
  const WeightPtr half = cast(shared, DType::kF16);
  parallel_for(8, 4, [&](size_t index, unsigned /*worker*/) {
    all_bytes(index % 2 == 0 ? *turned : *half);
    EXPECT_EQ(all_bytes(*shared), expected);
  });
  EXPECT_EQ(weight->values, 600'000U);
  EXPECT_EQ(reads.values_read(), 600'000U);
  reads.clear();
  EXPECT_EQ(all_bytes(*shared), expected);
  EXPECT_EQ(weight->values, 1'200'000U);
}

TEST(SharedReads, StaysBelowItsBound) {
  const auto large = counted({4000, 600}, DType::kF32, 4);  // 9.6 MB
  SharedReads reads(2 * kMegabyte);
  const WeightPtr shared = reads.share(large);
  EXPECT_FALSE(shared->lends(shared->values()));
  const WeightPtr part = reads.share(counted({400, 600}, DType::kF32, 5));
  EXPECT_TRUE(part->lends(part->values()));
  const WeightPtr joined = transpose(concat_rows({part, part, part}));  // more than stays
  EXPECT_FALSE(joined->lends(joined->values()));
  EXPECT_EQ(all_bytes(*shared), all_bytes(*large));
  large->values = 0;
  std::vector<float> row(600);
  shared->read_floats({0, 1, 0, 600}, row);  // out long ago
  EXPECT_GT(large->values, 0U);
}

TEST(SharedReads, LeavesAloneWhatIsNotWorthIt) {
  SharedReads reads;
  const WeightPtr small = zeros(DType::kF32, {10, 10});
  const WeightPtr integers = zeros(DType::kI8, {1000, 1000});
  const WeightPtr wide = zeros(DType::kF32, {2, 1 << 20});
  const WeightPtr turned = transpose(zeros(DType::kF32, {1000, 1000}));
  for (const WeightPtr& weight : {small, integers, wide, turned}) {
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
