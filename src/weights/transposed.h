// [n, k] -> [k, n] while it is read. weight.h's transpose() makes one.
#ifndef LORAPRESS_WEIGHTS_TRANSPOSED_H_
#define LORAPRESS_WEIGHTS_TRANSPOSED_H_

#include "weights/weight.h"

namespace lorapress {

class TransposedWeight final : public Weight {
 public:
  explicit TransposedWeight(WeightPtr source);

  // Strip by strip of source rows, each small enough for the second-level cache.
  void read(const Block& block, std::span<std::byte> out) const override;

  [[nodiscard]] bool row_wise() const override { return false; }
  [[nodiscard]] const Weight* source() const override { return source_.get(); }
  [[nodiscard]] const WeightPtr& turned() const { return source_; }

 private:
  WeightPtr source_;
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_TRANSPOSED_H_
