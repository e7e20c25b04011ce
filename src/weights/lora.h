// Merged adapters as lazy weights. Formulas follow PEFT, src/peft/tuners/lora/layer.py and dora.py:
//   LoRA (Hu et al. 2021)     W' = W + s * B A
//   rsLoRA (Kalajdzievski 2023)  s = alpha / sqrt(r) instead of alpha / r
//   DoRA (Liu et al. 2024)    W' = m * V / ||V||_row,  V = W + s * B A
//   KaSA (Wang et al. 2024)   W' = W + s * B diag(d) A
#ifndef LORAPRESS_WEIGHTS_LORA_H_
#define LORAPRESS_WEIGHTS_LORA_H_

#include "weights/weight.h"

namespace lorapress {

struct LoraDelta {
  WeightPtr a;              // [r, in_features]
  WeightPtr b;              // [out_features, r]
  double scaling = 1.0;     // alpha / r or alpha / sqrt(r), times the adapter's weight
  WeightPtr magnitude;      // DoRA only: [out_features]
  bool transposed = false;  // the base is stored [in, out] (Conv1D, embeddings), so the delta is
                            // (B A)^T
  WeightPtr diagonal = nullptr;  // KaSA only: [r], the delta is B diag(diagonal) A
};

// W' is computed in float32 and rounded once to the dtype of `base`; where merges are nested, after
// the last one. PEFT rounds twice for float16 and bfloat16 (each delta, then each sum); for
// float32, PEFT's result differs only in the order of sums. Throws kMismatch where the shapes do
// not fit.
//
// `unmerged` is the weight before any adapter: the norm of DoRA is taken over it plus this
// adapter's delta, whatever was merged into `base` before (PEFT, tuners/lora/variants.py,
// merge_unsafe).
WeightPtr merge_lora(WeightPtr base, LoraDelta delta, WeightPtr unmerged = nullptr);

// base + scaling * addend, for biases trained beside LoRA; computed in float32 and rounded to the
// dtype of `base`. Throws kMismatch where the shapes differ.
WeightPtr add_scaled(WeightPtr base, WeightPtr addend, double scaling);

// A block-diagonal factor of which only the diagonal blocks are stored, one below the other: [n, k
// / blocks] -> [n, k], zero outside the blocks (PEFT, variants.py, BlockDiagonalLinear). Throws
// kMismatch where `stored` is not of rank 2 or `blocks` does not divide n.
WeightPtr block_diagonal(WeightPtr stored, int64_t blocks);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_LORA_H_
