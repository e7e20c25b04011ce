// A set of the vector kernels, as this file's instruction set computes them.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_SET_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_SET_H_

#include "engine/kernels/sets.h"
#include "engine/kernels/vec_attention.h"
#include "engine/kernels/vec_linear.h"
#include "engine/kernels/vec_quantize.h"
#include "engine/kernels/vec_rows.h"

namespace lorapress::kernels {

static constexpr KernelSet vec_set(const char* name, bool (*runs_here)()) {
  return {name,
          runs_here,
          kProducts,
          vec_quantize,
          vec_run_linear,
          vec_attention,
          vec_layer_norm,
          vec_rms_norm,
          vec_rotate,
          vec_activate,
          vec_softmax,
          scalar_gather,
          vec_argmax};
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_SET_H_
