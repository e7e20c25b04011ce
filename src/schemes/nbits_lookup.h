// Looks up rows of a table that is stored as 4-bit blocks, with standard operators.
#ifndef LORAPRESS_SCHEMES_NBITS_LOOKUP_H_
#define LORAPRESS_SCHEMES_NBITS_LOOKUP_H_

#include <string>

#include "rewrite/rewrite.h"

namespace lorapress {

// The tensors of one matrix [rows, columns] by their names in the model.
struct NBitsTensors {
  std::string packed;
  std::string scales;
  std::string zero_points;  // empty: all 8
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t blocks = 0;  // per row
  int64_t block_size = 0;
  DType dtype = DType::kF32;  // of scales and restored values
};

// Replaces a Gather of whole rows by a Gather of packed rows and nodes that unpack them. REQUIRES:
// the rank of the node's indices is known.
void emit_lookup(Rewriter& graph,
                 const onnx::NodeProto& gather,
                 const NBitsTensors& table,
                 NodeList& nodes);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_NBITS_LOOKUP_H_
