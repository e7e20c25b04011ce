// Products with constant weights, packed once, and what is fused behind them.
#ifndef LORAPRESS_ENGINE_LINEAR_H_
#define LORAPRESS_ENGINE_LINEAR_H_

#include <optional>

#include "engine/kernels/kernels.h"
#include "engine/program.h"

namespace lorapress::engine {

// y = epilogue(x W^T + bias, other): what a node of the operator Linear computes. Its inputs are x, then the
// bias if there is one, then `other` if the epilogue reads one.
struct Linear {
  kernels::PackedLinear weight;
  Tensor memory;  // of the packed weight
  bool biased = false;
  kernels::Epilogue epilogue = kernels::Epilogue::kNone;
  [[nodiscard]] bool reads_other() const {
    return epilogue == kernels::Epilogue::kAdd || epilogue == kernels::Epilogue::kMultiply;
  }
};

// A weight in the graph: where its tensors are, and their form. Slots are kNoSlot where there is no such
// tensor.
struct LinearSource {
  kernels::LinearSpec spec;
  Slot weights = kNoSlot;
  Slot scales = kNoSlot;
  Slot zero_points = kNoSlot;
};

// Whether the tensors of a source have the sizes that its spec says, so that it can be packed.
bool fits(const Program& program, const LinearSource& source);

// Packs a weight, piece by piece from its file. REQUIRES: fits().
std::unique_ptr<Linear> pack(Program& program, const Sources& sources, const LinearSource& source);

extern const OpRow kLinearRow;
extern const OpRow kRmsNormRow;

// Replaces patterns of nodes by few kernels (docs/engine.md draws them).
void fuse(Program& program, const Sources& sources);

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_LINEAR_H_
