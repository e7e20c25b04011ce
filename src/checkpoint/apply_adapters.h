// Adapters upon the tensors of a base.
#ifndef LORAPRESS_CHECKPOINT_APPLY_ADAPTERS_H_
#define LORAPRESS_CHECKPOINT_APPLY_ADAPTERS_H_

#include <vector>

#include "checkpoint/adapter.h"
#include "checkpoint/embedding_tables.h"

namespace lorapress {

// In their order: first whole tensors of all adapters, then their LoRA and biases, then rows of
// single tokens. REQUIRES: tables.end_base(). Throws kMismatch for what the base does not have,
// kUnsupported where two adapters replace one tensor.
void apply_adapters(std::vector<Adapter> adapters, Checkpoint& checkpoint, EmbeddingTables& tables);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_APPLY_ADAPTERS_H_
