// Normalisations, alone and with the residual addition before them.
#ifndef LORAPRESS_BLOCKS_NORM_H_
#define LORAPRESS_BLOCKS_NORM_H_

#include <string>

#include "blocks/builder.h"

namespace lorapress {

struct NormWeights {
  std::string name;  // of the module
  WeightPtr weight;  // [hidden]
  WeightPtr bias;    // [hidden]; null for RMSNorm, and for a LayerNorm without
  double eps = 1e-6;
};

// The hidden states after a residual addition, and normalised for the next sublayer.
struct Residual {
  Value normalized;
  Value sum;
};

// x [batch, sequence, hidden]. RMSNorm (Zhang & Sennrich 2019) as transformers LlamaRMSNorm:
// x / sqrt(mean(x^2) + eps) * weight.
Value rms_norm(const Builder& b, const std::string& scope, const Value& x, const NormWeights& norm);
Residual skip_rms_norm(const Builder& b,
                       const std::string& scope,
                       const Value& x,
                       const Value& added,
                       const NormWeights& norm);

Value layer_norm(const Builder& b,
                 const std::string& scope,
                 const Value& x,
                 const NormWeights& norm);
Residual skip_layer_norm(const Builder& b,
                         const std::string& scope,
                         const Value& x,
                         const Value& added,
                         const NormWeights& norm);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_NORM_H_
