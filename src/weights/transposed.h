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
  // Casting stays inside of a transposition, so that it sees whole rows.
  [[nodiscard]] WeightPtr in_dtype(DType to) const override;

 protected:
  [[nodiscard]] bool same_parameters(const Weight& /*other*/) const override { return true; }
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_TRANSPOSED_H_
