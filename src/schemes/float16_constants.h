// Constants whose values float16 cannot hold: finding them, and the values that are written
// instead.
#ifndef LORAPRESS_SCHEMES_FLOAT16_CONSTANTS_H_
#define LORAPRESS_SCHEMES_FLOAT16_CONSTANTS_H_

#include <string>
#include <unordered_set>

#include "rewrite/rewrite.h"

namespace lorapress {

inline constexpr float kLargestHalf = 65504.0F;
inline constexpr float kSmallestHalf = 0x1p-24F;  // 5.96e-8, a subnormal number

// Constants by name, classified before any of them is changed.
struct HalfConstants {
  std::unordered_set<std::string> wide;       // beyond +-65504: their readers stay float32
  std::unordered_set<std::string> fills;      // of masks, below -65504: clamped, float16 only
  std::unordered_set<std::string> vanishing;  // one tiny number: vanishes_in_half()
  std::unordered_set<std::string> filled;     // fills, and the values that they enter
};

// The floats of a tensor or of a Constant node, as a weight; null for other types.
WeightPtr float_tensor(const onnx::TensorProto& tensor);
WeightPtr constant_of(const onnx::NodeProto& node);

// The weight with values below float16's lowest (fills of masks, such as the lowest float32 or
// -inf) replaced by that lowest value.
WeightPtr clamped(const WeightPtr& weight);
// The weight with nonzero values of magnitude below float16's smallest replaced by that smallest
// value, with their sign, so that they still guard divisions and logarithms: convert_np_to_float16
// of onnxruntime/python/tools/transformers/float16.py.
WeightPtr raised(const WeightPtr& weight);

// True if the only values out of range are large negatives, as fills of attention masks are; trained
// weights that overflow give false.
bool only_falls_below(const Weight& weight);
// True if all elements are the same number, such as an eps, which is not 0 and has a magnitude
// below float16's smallest.
bool vanishes_in_half(const Weight& weight);
// Whether a BatchNormalization would divide by another variance: var + epsilon changes by more than
// 1/256 when var becomes float16.
bool loses_variance(const Rewriter& graph, const onnx::NodeProto& node);

// The fills, from constants and from ConstantOfShape, and every value that one enters.
std::unordered_set<std::string> filled_values(const Rewriter& graph,
                                              const std::unordered_set<std::string>& fills);
// Values that are compared with a fill, and the values they are made from: a mask that a caller
// feeds must compare equal in float16 as it did in float32.
std::unordered_set<std::string> compared_values(const Rewriter& graph,
                                                const std::unordered_set<std::string>& fills);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_FLOAT16_CONSTANTS_H_
