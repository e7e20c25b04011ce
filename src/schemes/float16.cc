#include "schemes/float16.h"

#include <algorithm>
#include <map>

#include "base/fail.h"
#include "graph/bodies.h"
#include "graph/ports.h"
#include "graph/write.h"
#include "quant/weight_scan.h"
#include "rewrite/float16_ops.h"
#include "schemes/float16_constants.h"
#include "schemes/float16_plan.h"

namespace lorapress {
namespace {

class HalfPass {
 public:
  HalfPass(Model& model, const SchemeContext& context)
      : model_(model), context_(context), rewriter_(model) {}

  void run() {
    lift_constants();
    check_weights();
    constants_.filled = filled_values(rewriter_, constants_.fills);
    bounded_ = compared_values(rewriter_, constants_.fills);
    bounded_.insert(constants_.filled.begin(), constants_.filled.end());
    const Float16Plan::Stays stays = [this](const onnx::NodeProto& node) { return keeps(node); };
    const Float16Plan plan(model_.proto.graph(), rewriter_, constants_, stays);
    plan_ = &plan;
    name_values();
    convert_weights();
    size_t index = 0;
    rewriter_.rewrite([&](const onnx::NodeProto& node, NodeList& made) {
      return convert(node, plan.modes()[index++], made);
    });
    if (context_.outcome != nullptr) {
      context_.outcome->form = "float16";
      context_.outcome->changed =
          !half_weights_.empty() ||
          std::ranges::find(plan.modes(), Mode::kHalf) != plan.modes().end();
    }
    convert_types();
    rewriter_.drop_unused_weights();
  }

 private:
  // Converts Constant nodes of floats to weights, so that fills can be clamped.
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

  // Finds what float16 cannot hold: fills are clamped, other weights leave their nodes in float32.
  void check_weights() {
    std::map<std::string, bool> fills;  // by weight: only fill readers read it
    rewriter_.for_each_node([&](const onnx::NodeProto& node) {
      for (const std::string& input : node.input()) {
        const WeightPtr weight = rewriter_.weight(input);
        if (weight && weight->dtype() == DType::kF32) {
          bool& fill = fills.try_emplace(input, true).first->second;
          fill = fill && carries_fill(node);
          if (!is_product(node)) {
            elementwise_.insert(input);
          }
        }
      }
    });
    std::vector<ScanRequest> requests;
    for (const auto& [name, fill] : fills) {
      if (!fits_half(*rewriter_.weight(name))) {
        requests.push_back({name, rewriter_.weight(name)});
      }
    }
    const auto magnitudes = scan_magnitudes(requests, context_.threads, context_.scans);
    for (size_t i = 0; i < requests.size(); ++i) {
      const std::string& name = requests[i].name;
      const WeightPtr& weight = requests[i].weight;
      const float most = magnitudes[i][0];
      if (most < kSmallestHalf && vanishes_in_half(*weight)) {
        constants_.vanishing.insert(name);
      }
      if (most <= kLargestHalf) {
        continue;
      }
      if (fills.at(name) && only_falls_below(*weight)) {
        constants_.fills.insert(name);
        continue;
      }
      require_finite(requests[i], magnitudes[i]);
      constants_.wide.insert(name);
      if (name.starts_with("/passes/")) {
        continue;  // a factor that quantization took out of a Gemm
      }
      note(fmt::format(
          "{}: values up to {} pass float16's {}; it stays float32", name, most, kLargestHalf));
    }
    rewriter_.for_each_node([&](const onnx::NodeProto& node) {
      if (loses_variance(rewriter_, node) && fragile_.insert(node.output(0)).second) {
        note(fmt::format("{}: float16 cannot hold its variances; BatchNormalization stays float32",
                         node.name().empty() ? node.output(0) : node.name()));
      }
    });
  }

  // Values that were rounded to float16 already, such as scales: they need no check, and reading
  // them would mean quantizing.
  [[nodiscard]] static bool fits_half(const Weight& weight) {
    return weight.values_dtype() == DType::kF16;
  }

  void note(std::string text) const {
    if (context_.notes != nullptr) {
      context_.notes->push_back(std::move(text));
    }
  }

  [[nodiscard]] bool keeps(const onnx::NodeProto& node) const {
    const bool fragile = node.output_size() > 0 && fragile_.contains(node.output(0));
    return fragile || excluded(context_.options, node.name()) ||
           std::ranges::any_of(node.input(), [&](const std::string& name) {
             return constants_.wide.contains(name) ||
                    (rewriter_.weight(name) && excluded(context_.options, name));
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

  // An output keeps its name for the value in its public type; a value made in the other type gets
  // a new name.
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

  // Converts float weights that float16 nodes read. A small weight that float32 nodes read, too, is
  // stored in both types, a large one in float16 only, except for fills and graph outputs, which
  // stay float32.
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
      // A product adds up many weights, for which the nearest numbers are best.
      const bool fill = constants_.fills.contains(name);
      const bool raises = elementwise_.contains(name) && !fits_half(*weight);
      WeightPtr half = cast(fill ? clamped(weight) : raises ? raised(weight) : weight, DType::kF16);
      if (plan_->readers(name).single == 0) {
        half_weights_[name] = name;
        model_.weights[name] = std::move(half);
      } else if (weight->bytes() <= kSmallTensor) {
        half_weights_[name] = rewriter_.add_weight(name + "/float16", std::move(half));
      } else if (fill || is_output(name)) {
        narrowed_.insert(name);
      } else {
        half_weights_[name] = name;
        model_.weights[name] = std::move(half);
        cast_to_float32_.insert(name);
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

  void add_cast(std::string from, const std::string& to, bool half, NodeList& made) {
    const DType dtype = half ? DType::kF16 : DType::kF32;
    if (half && (bounded_.contains(from) || bounded_.contains(to))) {
      from = bound(from, made);
    }
    made.push_back(make_node("Cast",
                             rewriter_.unique(from + "/Cast"),
                             {from},
                             {to},
                             {{"to", int64_t{dtype_row(dtype).onnx}}}));
  }

  // Bounds a value from below at float16's lowest. Before opset 11 bounds are attributes.
  std::string bound(const std::string& from, NodeList& made) {
    constexpr int64_t kInputs = 11;
    std::string bounded = rewriter_.unique(from + "/bounded");
    const std::string name = rewriter_.unique(from + "/Clip");
    made.push_back(
        rewriter_.opset() < kInputs
            ? make_node("Clip", name, {from}, {bounded}, {{"min", -kLargestHalf}})
            : make_node("Clip", name, {from, rewriter_.scalar(-kLargestHalf)}, {bounded}));
    return bounded;
  }

  // The name under which a value can be read in the wanted type; emits a Cast where there is no
  // such name yet.
  std::string read(const std::string& name, bool half, NodeList& made) {
    if (const auto weight = half_weights_.find(name); weight != half_weights_.end()) {
      return half                              ? weight->second
             : cast_to_float32_.contains(name) ? cast_to(name, false, name, made)
                                               : name;
    }
    if (half && narrowed_.contains(name)) {
      return cast_to(name, true, name, made);
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

  // Converts declared types in the main graph and in bodies.
  void convert_types() {
    onnx::GraphProto& main = *model_.proto.mutable_graph();
    for_each_graph(main, [&](onnx::GraphProto& graph) { convert_types(graph, &graph != &main); });
  }

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
  }

  Model& model_;
  const SchemeContext& context_;
  Rewriter rewriter_;
  const Float16Plan* plan_ = nullptr;
  HalfConstants constants_;
  std::unordered_set<std::string> fragile_;      // outputs of nodes that need their float32 weights
  std::unordered_set<std::string> elementwise_;  // weights that other nodes than products read
  std::unordered_set<std::string> bounded_;      // at -65504 when they become float16
  std::unordered_map<std::string, std::string> half_weights_;  // name -> name in float16
  std::unordered_set<std::string> cast_to_float32_;            // stored in float16 only
  std::unordered_set<std::string> narrowed_;                   // stored in float32 only
  std::unordered_map<std::string, std::string> made_as_;       // outputs made in another type
  std::map<std::pair<int, std::string>, std::string> casts_;   // by scope and value
};

}  // namespace

void apply_fp16(Model& model, const SchemeContext& context) {
  HalfPass(model, context).run();
}

}  // namespace lorapress
