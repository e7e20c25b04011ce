// Bases that an initialization changed before its adapter was trained, computed again as PEFT does
// when it loads the adapter.
#ifndef LORAPRESS_WEIGHTS_RESIDUAL_H_
#define LORAPRESS_WEIGHTS_RESIDUAL_H_

#include <string>

#include "weights/weight.h"

namespace lorapress {

// A part of a matrix W of the given rank r. None depends on signs or on the order of equal parts,
// so another SVD or QR gives the same part.
enum class MatrixPart {
  kLargest,       // sum of s_i u_i v_i^T over the r largest singular values  (PiSSA, pissa_init)
  kSmallest,      // over the r smallest                  (KaSA, variants.py, _truncate_base_weight)
  kFirstColumns,  // Q[:, :r] R[:r]: W projected on its first r columns        (OLoRA, olora_init)
};

struct Change {
  MatrixPart part = MatrixPart::kLargest;
  int64_t rank = 1;
  double scale = 1.0;  // of the part; 1 but for OLoRA
  std::string where;   // adapter and tensor, for messages
};

// base - scale * part(base), rounded to the dtype of `base` as PEFT stores it. The part is computed
// on the first read, in float64, and its two factors stay. Throws kMismatch where the rank does not
// fit; reading throws kUnsupported where W does not determine the part: equal singular values at
// the rank's end, dependent columns, numbers that are not finite.
WeightPtr without_part(WeightPtr base, Change change);

// base + (to - from), for a base into which other adapters were merged before.
WeightPtr moved_by(WeightPtr base, WeightPtr from, WeightPtr to);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_RESIDUAL_H_
