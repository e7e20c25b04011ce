// A view [n, k] -> [k, n] that transposes while it is read; made by transpose() of weight.h.
#ifndef LORAPRESS_WEIGHTS_TRANSPOSED_H_
#define LORAPRESS_WEIGHTS_TRANSPOSED_H_

#include "weights/weight.h"

namespace lorapress {

class TransposedWeight final : public Weight {
 public:
  explicit TransposedWeight(WeightPtr source);

  // Reads and transposes strips of source rows, each small enough for the second-level cache.
  void read(const Block& block, std::span<std::byte> out) const override;
  // The source's own read_floats(), so that a merged weight is not rounded on the way.
  void read_floats(const Block& block, std::span<float> out) const override;

  [[nodiscard]] bool row_wise() const override { return false; }
  // transpose(cast(source)): the cast is applied inside the transposition, where it reads whole
  // rows.
  [[nodiscard]] WeightPtr in_dtype(DType to) const override;

 protected:
  [[nodiscard]] bool same_parameters(const Weight& /*other*/) const override { return true; }
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_TRANSPOSED_H_
