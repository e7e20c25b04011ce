// Base weights that an adapter's initialization changed before training (PiSSA, OLoRA, KaSA): the
// change is computed again, as PEFT does when it loads the adapter.
#ifndef LORAPRESS_WEIGHTS_RESIDUAL_H_
#define LORAPRESS_WEIGHTS_RESIDUAL_H_

#include <string>

#include "weights/weight.h"

namespace lorapress {

// A part of rank r of a matrix W. No part depends on the signs of singular vectors or on the order
// of equal singular values, so every SVD or QR gives the same part.
enum class MatrixPart {
  kLargest,       // sum of s_i u_i v_i^T over the r largest singular values  (PiSSA, pissa_init)
  kSmallest,      // over the r smallest                  (KaSA, variants.py, _truncate_base_weight)
  kFirstColumns,  // Q[:, :r] R[:r]: W projected on its first r columns        (OLoRA, olora_init)
};

struct Change {
  MatrixPart part = MatrixPart::kLargest;
  int64_t rank = 1;
  double scale = 1.0;  // factor of the part; 1 except for OLoRA
  std::string where;   // adapter and tensor, for messages
};

// base - scale * part(base), rounded to the dtype of `base` as PEFT stores it. The part is computed
// in float64 on the first read; its two factors, [n, r] and [r, k], stay in memory as float32.
// Throws kUnsupported unless `base` is a float matrix [n, k], kMismatch where the rank is too large
// for it. Reading throws kUnsupported where W does not determine the part: equal singular values on
// both sides of the cut, linearly dependent columns, or numbers that are not finite.
WeightPtr without_part(WeightPtr base, Change change);

// base + (to - from), computed in float32 and rounded to the dtype of `base`: the change `from` ->
// `to` applied to a base into which other adapters were merged before.
WeightPtr moved_by(WeightPtr base, WeightPtr from, WeightPtr to);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_RESIDUAL_H_
