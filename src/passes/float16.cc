#include "passes/float16.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/buffer.h"
#include "base/fail.h"
#include "graph/write.h"
#include "passes/float16_plan.h"
#include "passes/weight_scan.h"

namespace lorapress {
namespace {

constexpr float kLargestHalf = 65504.0F;

// Fills of masks such as the lowest float32 or -inf, as the lowest float16.
class ClampedWeight final : public Weight {
 public:
  explicit ClampedWeight(WeightPtr source)
      : Weight(source->dtype(), source->shape()), source_(std::move(source)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    Buffer<float> values(block.elements());
    source_->read_floats(block, values.span());
    for (float& value : values.span()) {
      value = std::max(value, -kLargestHalf);
    }
    std::ranges::copy(std::as_bytes(values.span()), out.begin());
  }

  [[nodiscard]] const Weight* source() const override { return source_.get(); }

 private:
  WeightPtr source_;
};

// Whether everything out of range lies below: a fill, and no overflow of a trained value.
bool only_falls_below(const Weight& weight) {
  Buffer<float> values;
  const int64_t step =
      std::max<int64_t>(1, (int64_t{1} << 18) / std::max<int64_t>(weight.cols(), 1));
  for (int64_t row = 0; row < weight.rows(); row += step) {
    const Block block{row, std::min(step, weight.rows() - row), 0, weight.cols()};
    values.resize(block.elements());
    weight.read_floats(block, values.span());
    if (!std::ranges::all_of(values.span(), [](float v) { return v <= kLargestHalf; })) {
      return false;  // NaN too
    }
  }
  return true;
}

class HalfPass {
 public:
  HalfPass(Model& model, const SchemeContext& context)
      : model_(model), context_(context), rewriter_(model) {}

  void run() {
    lift_constants();
    check_weights();
    const Float16Plan::Stays stays = [this](const onnx::NodeProto& node) { return keeps(node); };
    const Float16Plan plan(model_.proto.graph(), rewriter_, stays);
    plan_ = &plan;
    name_values();
    convert_weights();
    size_t index = 0;
    rewriter_.rewrite([&](const onnx::NodeProto& node, NodeList& made) {
      return convert(node, plan.modes()[index++], made);
    });
    convert_types(*model_.proto.mutable_graph(), false);
    rewriter_.drop_unused_weights();
  }

 private:
  [[nodiscard]] bool excluded(const std::string& name) const {
    return std::ranges::find(context_.options.exclude, name) != context_.options.exclude.end();
  }

  // Constant nodes of floats become weights, where fills can be clamped.
  void lift_constants() {
    std::vector<std::pair<std::string, WeightPtr>> lifted;
    rewriter_.rewrite([&](const onnx::NodeProto& node, NodeList& /*made*/) {
      WeightPtr weight = node.op_type() == "Constant" ? constant_of(node) : nullptr;
      if (!weight || rewriter_.is_graph_output(node.output(0))) {
        return false;
      }
      lifted.emplace_back(node.output(0), std::move(weight));
      return true;
    });
    for (auto& [name, weight] : lifted) {
      *model_.proto.mutable_graph()->add_initializer() = declare(name, *weight);
      model_.weights.emplace(name, std::move(weight));
    }
    rewriter_.refresh();
  }

  static WeightPtr constant_of(const onnx::NodeProto& node) {
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
    const onnx::TensorProto& tensor = attribute.t();
    if (attribute.name() != "value" || tensor.data_type() != onnx::TensorProto::FLOAT) {
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

  // Finds what float16 cannot hold: fills are clamped, other weights leave their nodes in float32.
  void check_weights() {
    std::map<std::string, bool> fills;  // by weight that is read: nothing but fill readers
    rewriter_.for_each_node([&](const onnx::NodeProto& node) {
      for (const std::string& input : node.input()) {
        const WeightPtr weight = rewriter_.weight(input);
        if (weight && weight->dtype() == DType::kF32) {
          bool& fill = fills.try_emplace(input, true).first->second;
          fill = fill && carries_fill(node);
        }
      }
    });
    std::vector<ScanRequest> requests;
    for (const auto& [name, fill] : fills) {
      requests.push_back({name, rewriter_.weight(name)});
    }
    const auto magnitudes = scan_magnitudes(requests, context_.threads, context_.scans);
    for (size_t i = 0; i < requests.size(); ++i) {
      if (magnitudes[i][0] <= kLargestHalf) {
        continue;
      }
      const std::string& name = requests[i].name;
      if (fills.at(name) && only_falls_below(*requests[i].weight)) {
        model_.weights[name] = std::make_shared<ClampedWeight>(requests[i].weight);
        continue;
      }
      require_finite(requests[i], magnitudes[i]);
      wide_.insert(name);
      if (context_.notes != nullptr) {
        context_.notes->push_back(
            fmt::format("{}: values up to {} pass float16's {}; it stays float32",
                        name,
                        magnitudes[i][0],
                        kLargestHalf));
      }
    }
  }

  [[nodiscard]] bool keeps(const onnx::NodeProto& node) const {
    return excluded(node.name()) || std::ranges::any_of(node.input(), [&](const std::string& name) {
             return wide_.contains(name) || (rewriter_.weight(name) && excluded(name));
           });
  }

  [[nodiscard]] bool is_output(const std::string& name) const {
    return rewriter_.is_graph_output(name);
  }
  // The type in which an output of the graph or of a body leaves it.
  [[nodiscard]] bool leaves_half(const std::string& name) const {
    return plan_->body_outputs().contains(name) || is_cache_port(name);
  }
  [[nodiscard]] static bool is_half(Flow flow) { return flow == Flow::kHalf; }

  // An output keeps its name in the type in which it leaves; made in the other one it needs a name
  // for that.
  void name_values() {
    std::vector<std::string> outputs;
    rewriter_.for_each_node([&](const onnx::NodeProto& node) {
      std::ranges::copy_if(node.output(), std::back_inserter(outputs), [&](const auto& name) {
        return !name.empty() && is_output(name) && plan_->flow(name) != Flow::kNone &&
               is_half(plan_->flow(name)) != leaves_half(name);
      });
    });
    for (const std::string& name : outputs) {
      made_as_[name] =
          rewriter_.unique(name + (is_half(plan_->flow(name)) ? "/float16" : "/float32"));
    }
  }

  // Float weights that float16 nodes read. A small one that others read too is there in both types.
  void convert_weights() {
    std::vector<std::string> names;
    for (const auto& [name, weight] : model_.weights) {
      if (weight->dtype() == DType::kF32 && plan_->readers(name).half > 0) {
        names.push_back(name);
      }
    }
    std::ranges::sort(names);
    for (const std::string& name : names) {
      const WeightPtr weight = model_.weights.at(name);
      WeightPtr half = cast(weight, DType::kF16);
      if (plan_->readers(name).single == 0) {
        half_weights_[name] = name;
        model_.weights[name] = std::move(half);
      } else if (weight->bytes() <= kSmallTensor) {
        half_weights_[name] = rewriter_.add_weight(name + "/float16", std::move(half));
      } else {
        half_weights_[name] = name;
        model_.weights[name] = std::move(half);
        widened_.insert(name);
      }
    }
    for (auto& tensor : *model_.proto.mutable_graph()->mutable_initializer()) {
      const auto found = model_.weights.find(tensor.name());
      if (found != model_.weights.end()) {
        tensor.set_data_type(dtype_row(found->second->dtype()).onnx);
      }
    }
  }

  std::string cast_to(const std::string& name, bool half, const std::string& from, NodeList& made) {
    std::string& found = casts_[{rewriter_.scope(), name}];
    if (found.empty()) {
      found = rewriter_.unique(name + (half ? "/float16" : "/float32"));
      add_cast(from, found, half, made);
    }
    return found;
  }

  void add_cast(const std::string& from, const std::string& to, bool half, NodeList& made) {
    const DType dtype = half ? DType::kF16 : DType::kF32;
    made.push_back(make_node("Cast",
                             rewriter_.unique(from + "/Cast"),
                             {from},
                             {to},
                             {{"to", int64_t{dtype_row(dtype).onnx}}}));
  }

  // The name under which a value can be read in the wanted type; casts where there is none yet.
  std::string read(const std::string& name, bool half, NodeList& made) {
    if (const auto weight = half_weights_.find(name); weight != half_weights_.end()) {
      return half                      ? weight->second
             : widened_.contains(name) ? cast_to(name, false, name, made)
                                       : name;
    }
    const Flow flow = plan_->flow(name);
    if (flow == Flow::kNone) {
      return name;
    }
    const auto renamed = made_as_.find(name);
    if (is_half(flow) == half) {
      return renamed == made_as_.end() ? name : renamed->second;
    }
    return renamed == made_as_.end() ? cast_to(name, half, name, made) : name;
  }

  bool convert(const onnx::NodeProto& node, Mode mode, NodeList& made) {
    onnx::NodeProto changed = node;
    for (int i = 0; i < node.input_size(); ++i) {
      const std::string& name = node.input(i);
      const bool half = mode == Mode::kAny
                            ? half_weights_.contains(name) || is_half(plan_->flow(name))
                            : mode == Mode::kHalf && !input_stays_float(node, i);
      changed.set_input(i, read(name, half, made));
    }
    if (node.op_type() == "Cast" && is_half(plan_->flow(node.output(0)))) {
      changed.mutable_attribute(0)->set_i(dtype_row(DType::kF16).onnx);
    }
    if (node.op_type() == "ConstantOfShape" || node.op_type() == "Constant") {
      clamp_attribute(changed);
    }
    NodeList after;
    for (int i = 0; i < node.output_size(); ++i) {
      const auto renamed = made_as_.find(node.output(i));
      if (renamed != made_as_.end()) {
        changed.set_output(i, renamed->second);
        add_cast(renamed->second, node.output(i), leaves_half(node.output(i)), after);
      }
    }
    made.push_back(std::move(changed));
    std::ranges::move(after, std::back_inserter(made));
    return true;
  }

  static void clamp_attribute(onnx::NodeProto& node) {
    for (auto& attribute : *node.mutable_attribute()) {
      onnx::TensorProto* tensor = attribute.has_t() ? attribute.mutable_t() : nullptr;
      if (tensor == nullptr || tensor->data_type() != onnx::TensorProto::FLOAT) {
        continue;
      }
      for (float& value : *tensor->mutable_float_data()) {
        value = std::max(value, -kLargestHalf);
      }
      if (!tensor->has_raw_data()) {
        continue;
      }
      std::string& raw = *tensor->mutable_raw_data();
      for (size_t at = 0; at + sizeof(float) <= raw.size(); at += sizeof(float)) {
        float value = 0.0F;
        std::memcpy(&value, raw.data() + at, sizeof(float));
        value = std::max(value, -kLargestHalf);
        std::memcpy(raw.data() + at, &value, sizeof(float));
      }
    }
  }

  // Declared types, of the main graph and of bodies.
  void convert_types(onnx::GraphProto& graph, bool is_body) {
    const auto halve = [](onnx::ValueInfoProto& info) {
      info.mutable_type()->mutable_tensor_type()->set_elem_type(dtype_row(DType::kF16).onnx);
    };
    for (auto& input : *graph.mutable_input()) {
      if (is_half(plan_->flow(input.name()))) {
        halve(input);
      }
    }
    for (auto& output : *graph.mutable_output()) {
      const bool half = is_body || is_cache_port(output.name());
      if (half && plan_->flow(output.name()) != Flow::kNone && output.has_type()) {
        halve(output);
      }
    }
    for (auto& info : *graph.mutable_value_info()) {
      if (is_half(plan_->flow(info.name())) && !made_as_.contains(info.name())) {
        halve(info);
      }
    }
    for (auto& node : *graph.mutable_node()) {
      for (auto& attribute : *node.mutable_attribute()) {
        if (attribute.has_g()) {
          convert_types(*attribute.mutable_g(), true);
        }
      }
    }
  }

  Model& model_;
  const SchemeContext& context_;
  Rewriter rewriter_;
  const Float16Plan* plan_ = nullptr;
  std::unordered_set<std::string> wide_;                       // weights beyond the range
  std::unordered_map<std::string, std::string> half_weights_;  // their names in float16
  std::unordered_set<std::string> widened_;                    // stored in float16 alone
  std::unordered_map<std::string, std::string> made_as_;       // outputs made in another type
  std::map<std::pair<int, std::string>, std::string> casts_;   // by scope and value
};

}  // namespace

void to_float16(Model& model, const SchemeContext& context) {
  HalfPass(model, context).run();
}

}  // namespace lorapress
