// Products with constant weights, packed once, and what is fused behind them.
#ifndef LORAPRESS_ENGINE_LINEAR_H_
#define LORAPRESS_ENGINE_LINEAR_H_

#include <optional>

#include "engine/kernels/kernels.h"
#include "engine/program.h"

namespace lorapress::engine {

// A weight in the graph: where its tensors are, and their form. Slots are kNoSlot where there is no such
// tensor.
struct LinearSource {
  kernels::LinearSpec spec;
  Slot weights = kNoSlot;
  Slot scales = kNoSlot;
  Slot zero_points = kNoSlot;
  bool operator==(const LinearSource&) const = default;
};

// A constant matrix, packed once for all products and lookups that read it.
struct Weight {
  LinearSource source;
  kernels::PackedLinear packed;
  Tensor memory;
};

// y = epilogue(x W^T + bias, other): what a node of the operator Linear computes. Its inputs are x, then the
// bias if there is one, then `other` if the epilogue reads one.
// Of the operator Lookup: the table, whose rows its input names.
struct Linear {
  const Weight* weight = nullptr;
  bool biased = false;
  kernels::Epilogue epilogue = kernels::Epilogue::kNone;
  [[nodiscard]] bool reads_other() const {
    return epilogue == kernels::Epilogue::kAdd || epilogue == kernels::Epilogue::kMultiply;
  }
};

// Whether the tensors of a source have the sizes that its spec says, so that it can be packed.
bool fits(const Program& program, const LinearSource& source);

// The weight of a source, without its numbers until pack_weights. REQUIRES: fits().
const Weight* add_weight(Program& program, const LinearSource& source);

// Packs all weights of the program, piece by piece from the files, each byte read once.
void pack_weights(Program& program, const Sources& sources, Workers& workers);

extern const OpRow kLinearRow;
extern const OpRow kAttentionRow;
extern const OpRow kLookupRow;
extern const OpRow kRmsNormRow;
extern const OpRow kRotaryRow;

// Replaces patterns of nodes by few kernels (docs/engine.md draws them).
void fuse(Program& program, const Sources& sources, Workers& workers);

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_LINEAR_H_
