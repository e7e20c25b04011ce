// Applies adapters to the tensors of a base.
#ifndef LORAPRESS_CHECKPOINT_APPLY_ADAPTERS_H_
#define LORAPRESS_CHECKPOINT_APPLY_ADAPTERS_H_

#include <vector>

#include "checkpoint/adapter.h"
#include "checkpoint/embedding_tables.h"

namespace lorapress {

// Applies the adapters in order: first the whole tensors of all adapters, then their LoRA deltas
// and biases, then the rows of single tokens. REQUIRES: tables.end_base(). Throws kMismatch for
// tensors that the base does not have, kUnsupported where two adapters replace one tensor.
void apply_adapters(std::vector<Adapter> adapters, Checkpoint& checkpoint, EmbeddingTables& tables);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_APPLY_ADAPTERS_H_
