// A weight that counts what is read of it.
#ifndef LORAPRESS_TESTS_CC_COUNTED_WEIGHT_H_
#define LORAPRESS_TESTS_CC_COUNTED_WEIGHT_H_

#include <atomic>
#include <memory>
#include <utility>

#include "base/fail.h"
#include "test_util.h"
#include "weights/weight.h"

namespace lorapress::test {

// Fails as often as it is told to.
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

  mutable std::atomic<size_t> values_read = 0;
  mutable std::atomic<int> failures = 0;

 private:
  void count(const Block& block) const {
    if (failures > 0) {
      --failures;
      fail(ErrorCode::kIo, "no more");
    }
    values_read += block.elements();
  }

  WeightPtr inner_;
};

inline std::shared_ptr<Counted> counted(const Shape& shape, DType dtype, uint32_t seed) {
  const auto count = static_cast<size_t>(shape[0] * shape[1]);
  return std::make_shared<Counted>(cast(float_constant(shape, Random(seed).numbers(count)), dtype));
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_COUNTED_WEIGHT_H_
