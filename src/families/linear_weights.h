// The tensors of a torch Linear, and of transformers' Conv1D, in the form that blocks take.
#ifndef LORAPRESS_FAMILIES_LINEAR_WEIGHTS_H_
#define LORAPRESS_FAMILIES_LINEAR_WEIGHTS_H_

#include "blocks/linear.h"
#include "checkpoint/checkpoint.h"

namespace lorapress {

// NAME.weight [out, in] and, where `biased`, NAME.bias [out].
inline LinearWeights take_linear(WeightTaker& weights,
                                 const std::string& name,
                                 int64_t out_features,
                                 int64_t in_features,
                                 bool biased) {
  return {name,
          weights.take(name + ".weight", {out_features, in_features}),
          biased ? weights.take(name + ".bias", {out_features}) : nullptr};
}

// The same of a Conv1D, whose weight is stored [in, out].
inline LinearWeights take_conv1d(WeightTaker& weights,
                                 const std::string& name,
                                 int64_t out_features,
                                 int64_t in_features) {
  return {name,
          transpose(weights.take(name + ".weight", {in_features, out_features})),
          weights.take(name + ".bias", {out_features})};
}

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_LINEAR_WEIGHTS_H_
