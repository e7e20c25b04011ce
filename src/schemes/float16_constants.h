// Constants that float16 cannot hold as they are: which there are, and what is written for them.
#ifndef LORAPRESS_SCHEMES_FLOAT16_CONSTANTS_H_
#define LORAPRESS_SCHEMES_FLOAT16_CONSTANTS_H_

#include <string>
#include <unordered_set>

#include "rewrite/rewrite.h"

namespace lorapress {

inline constexpr float kLargestHalf = 65504.0F;
inline constexpr float kSmallestHalf = 0x1p-24F;  // 5.96e-8, a subnormal number

// Constants by name, as they were found before any was changed.
struct HalfConstants {
  std::unordered_set<std::string> wide;       // beyond +-65504: what reads them stays float32
  std::unordered_set<std::string> fills;      // of masks, below -65504: clamped in float16 alone
  std::unordered_set<std::string> vanishing;  // one tiny number: vanishes_in_half()
  std::unordered_set<std::string> filled;     // fills, and the values into which they go
};

// The floats of a tensor, and what a Constant node gives; null for other types.
WeightPtr float_tensor(const onnx::TensorProto& tensor);
WeightPtr constant_of(const onnx::NodeProto& node);

// Fills of masks, such as the lowest float32 or -inf, as the lowest float16.
WeightPtr clamped(const WeightPtr& weight);
// Numbers other than 0 that are below float16's smallest as that one, with their sign, so that they
// guard divisions and logarithms still: convert_np_to_float16 of
// onnxruntime/python/tools/transformers/float16.py.
WeightPtr raised(const WeightPtr& weight);

// True if the only values out of range are large negatives, as fills of attention masks are; trained
// weights that overflow give false.
bool only_falls_below(const Weight& weight);
// Whether all elements are one number, such as eps, that is not 0 and below float16's smallest.
bool vanishes_in_half(const Weight& weight);
// Whether a BatchNormalization would divide by another variance: var + epsilon changes by more than
// 1/256 when var becomes float16.
bool loses_variance(const Rewriter& graph, const onnx::NodeProto& node);

// The fills and every value into which one goes, from constants and from ConstantOfShape.
std::unordered_set<std::string> filled_values(const Rewriter& graph,
                                              const std::unordered_set<std::string>& fills);
// Values that are compared with a fill, and what they are made of: a mask that is fed has to
// compare equal in float16 as it did in float32.
std::unordered_set<std::string> compared_values(const Rewriter& graph,
                                                const std::unordered_set<std::string>& fills);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_FLOAT16_CONSTANTS_H_
