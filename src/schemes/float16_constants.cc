#include "schemes/float16_constants.h"

#include <algorithm>
#include <cmath>

#include "base/buffer.h"
#include "rewrite/float16_ops.h"

namespace lorapress {
namespace {

// A float32 weight with every value changed.
template <float (*Change)(float)>
class ChangedWeight final : public Weight {
 public:
  explicit ChangedWeight(const WeightPtr& source)
      : Weight(source->dtype(), source->shape(), {source}) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    Buffer<float> values(block.elements());
    read_floats(block, values.span());
    std::ranges::copy(std::as_bytes(values.span()), out.begin());
  }

  void read_floats(const Block& block, std::span<float> out) const override {
    sources()[0]->read_floats(block, out);
    std::ranges::transform(out, out.begin(), Change);
  }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& /*other*/) const override { return true; }
};

float clamp(float value) {
  return std::max(value, -kLargestHalf);
}

bool is_tiny(float value) {
  return value != 0.0F && std::fabs(value) < kSmallestHalf;
}

float raise_to_smallest_half(float value) {
  return is_tiny(value) ? std::copysign(kSmallestHalf, value) : value;
}

// True if `fits` accepts every portion; stops at the first one that it refuses.
template <typename Fits>
bool all_portions(const Weight& weight, const Fits& fits) {
  Buffer<float> values;
  const int64_t step =
      std::max<int64_t>(1, (int64_t{1} << 18) / std::max<int64_t>(weight.cols(), 1));
  for (int64_t row = 0; row < weight.rows(); row += step) {
    const Block block{row, std::min(step, weight.rows() - row), 0, weight.cols()};
    values.resize(block.elements());
    weight.read_floats(block, values.span());
    if (!std::ranges::all_of(values.span(), fits)) {
      return false;
    }
  }
  return true;
}

bool makes_fill(const onnx::NodeProto& node) {
  return node.op_type() == "ConstantOfShape" &&
         std::ranges::any_of(node.attribute(), [](const onnx::AttributeProto& attribute) {
           const WeightPtr value = attribute.has_t() ? float_tensor(attribute.t()) : nullptr;
           return value && !all_portions(*value, [](float v) { return !(v < -kLargestHalf); });
         });
}

bool reads_one_of(const onnx::NodeProto& node, const std::unordered_set<std::string>& names) {
  return std::ranges::any_of(node.input(),
                             [&](const std::string& input) { return names.contains(input); });
}

}  // namespace

WeightPtr float_tensor(const onnx::TensorProto& tensor) {
  if (tensor.data_type() != onnx::TensorProto::FLOAT) {
    return nullptr;
  }
  const Shape shape(tensor.dims().begin(), tensor.dims().end());
  if (tensor.has_raw_data()) {
    const auto bytes = std::as_bytes(std::span(tensor.raw_data()));
    return constant_weight(DType::kF32, shape, {bytes.begin(), bytes.end()});
  }
  const std::vector<float> values(tensor.float_data().begin(), tensor.float_data().end());
  return float_constant(shape, values);
}

WeightPtr constant_of(const onnx::NodeProto& node) {
  if (node.attribute_size() != 1) {
    return nullptr;
  }
  const auto& attribute = node.attribute(0);
  if (attribute.name() == "value_float") {
    const float value = attribute.f();
    return float_constant({}, std::span(&value, 1));
  }
  if (attribute.name() == "value_floats") {
    const std::vector<float> values(attribute.floats().begin(), attribute.floats().end());
    return float_constant({std::ssize(values)}, values);
  }
  return attribute.name() == "value" ? float_tensor(attribute.t()) : nullptr;
}

WeightPtr clamped(const WeightPtr& weight) {
  return std::make_shared<ChangedWeight<clamp>>(weight);
}

WeightPtr raised(const WeightPtr& weight) {
  return std::make_shared<ChangedWeight<raise_to_smallest_half>>(weight);
}

bool only_falls_below(const Weight& weight) {
  return all_portions(weight, [](float v) { return v <= kLargestHalf; });  // and no NaN
}

bool vanishes_in_half(const Weight& weight) {
  std::optional<float> first;
  const auto equal = [&](float value) {
    first = first.value_or(value);
    return is_tiny(value) && value == *first;
  };
  return weight.values() != 0 && all_portions(weight, equal);
}

bool loses_variance(const Rewriter& graph, const onnx::NodeProto& node) {
  constexpr int kVariance = 4;
  constexpr float kPart = 1.0F / 256;
  if (!is_standard(node) || node.op_type() != "BatchNormalization" ||
      node.input_size() <= kVariance) {
    return false;
  }
  const WeightPtr variance = graph.weight(node.input(kVariance));
  if (!variance || variance->dtype() != DType::kF32) {
    return false;
  }
  const float epsilon = float_attribute(node, "epsilon", 1e-5F);
  return !all_portions(*variance, [&](float value) {
    // float16 numbers below 2^-14 are multiples of the smallest one, others have 11 significant
    // bits.
    const float stored =
        std::fabs(value) < 0x1p-14F
            ? std::nearbyint(raise_to_smallest_half(value) / kSmallestHalf) * kSmallestHalf
            : value;
    return std::fabs(stored - value) <= kPart * std::fabs(value + epsilon);
  });
}

std::unordered_set<std::string> filled_values(const Rewriter& graph,
                                              const std::unordered_set<std::string>& fills) {
  std::unordered_set<std::string> filled = fills;
  graph.for_each_node([&](const onnx::NodeProto& node) {
    if (makes_fill(node) || (carries_fill(node) && reads_one_of(node, filled))) {
      filled.insert(node.output().begin(), node.output().end());
    }
  });
  return filled;
}

std::unordered_set<std::string> compared_values(const Rewriter& graph,
                                                const std::unordered_set<std::string>& fills) {
  std::vector<const onnx::NodeProto*> nodes;
  graph.for_each_node([&](const onnx::NodeProto& node) { nodes.push_back(&node); });
  std::unordered_set<std::string> compared;
  for (auto at = nodes.rbegin(); at != nodes.rend(); ++at) {
    const onnx::NodeProto& node = **at;
    const auto made = [&](const std::string& output) { return compared.contains(output); };
    if ((compares(node) && reads_one_of(node, fills)) ||
        (carries_fill(node) && std::ranges::any_of(node.output(), made))) {
      compared.insert(node.input().begin(), node.input().end());
    }
  }
  return compared;
}

}  // namespace lorapress
