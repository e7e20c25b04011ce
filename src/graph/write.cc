#include "graph/write.h"

#include <utility>

#include "base/fail.h"
#include "graph/proto_walk.h"

namespace lorapress {
namespace {

// Field numbers of onnx/onnx.proto.
constexpr uint32_t kModelGraph = 7;
constexpr uint32_t kGraphInitializer = 5;
constexpr uint32_t kTensorRawData = 9;
// Page alignment lets ONNX Runtime map external weights instead of copying them.
constexpr uint64_t kAlignment = 4096;

std::string serialized(const google::protobuf::MessageLite& message) {
  std::string out;
  if (!message.SerializeToString(&out)) {
    fail(ErrorCode::kUnsupported, "the graph itself passes the 2 GiB limit of protobuf");
  }
  return out;
}

struct Piece {
  std::string head;  // everything of the initializer up to its raw bytes
  WeightPtr weight;  // null when the bytes are elsewhere
};

class DataFiles {
 public:
  explicit DataFiles(std::filesystem::path onnx) : onnx_(std::move(onnx)) {}

  void place(const WeightPtr& weight, onnx::TensorProto* tensor) {
    const uint64_t bytes = weight->bytes();
    if (plans_.empty() || plans_.back().size() + bytes + kAlignment > kMaxOnnxFile) {
      const std::string suffix = plans_.empty() ? "" : "_" + std::to_string(plans_.size());
      plans_.emplace_back(onnx_.string() + "_data" + suffix);
    }
    FilePlan& plan = plans_.back();
    plan.literal(std::string(
        static_cast<size_t>((kAlignment - plan.size() % kAlignment) % kAlignment), '\0'));
    const auto entry = [&](const char* key, const std::string& value) {
      auto* added = tensor->add_external_data();
      added->set_key(key);
      added->set_value(value);
    };
    tensor->set_data_location(onnx::TensorProto::EXTERNAL);
    entry("location", plan.path().filename().string());
    entry("offset", std::to_string(plan.size()));
    entry("length", std::to_string(bytes));
    plan.weight(weight);
  }

  std::vector<FilePlan> take() { return std::move(plans_); }

 private:
  std::filesystem::path onnx_;
  std::vector<FilePlan> plans_;
};

Piece embed(const onnx::TensorProto& proto, const WeightPtr& weight) {
  std::string tensor = serialized(proto) + field_header(kTensorRawData, weight->bytes());
  return {field_header(kGraphInitializer, tensor.size() + weight->bytes()) + tensor, weight};
}

// A tensor that needs nothing streamed behind it.
Piece literal(const onnx::TensorProto& proto) {
  const std::string tensor = serialized(proto);
  return {field_header(kGraphInitializer, tensor.size()) + tensor, nullptr};
}

// value_info of the graph and of the bodies in it serves passes only.
void drop_value_info(onnx::GraphProto& graph) {
  graph.clear_value_info();
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) {
        drop_value_info(*attribute.mutable_g());
      }
    }
  }
}

// Everything but the initializers of the main graph.
onnx::ModelProto without_initializers(const onnx::ModelProto& proto) {
  onnx::ModelProto bare;
  bare.CopyFrom(proto);
  bare.mutable_graph()->clear_initializer();
  drop_value_info(*bare.mutable_graph());
  return bare;
}

}  // namespace

std::vector<FilePlan> plan_onnx(const Model& model,
                                const std::filesystem::path& path,
                                bool external) {
  onnx::ModelProto bare = without_initializers(model.proto);
  const std::string nodes = serialized(bare.graph());
  bare.clear_graph();
  const std::string outside = serialized(bare);

  std::vector<Piece> pieces;
  DataFiles data(path);
  uint64_t graph_bytes = nodes.size();
  for (const onnx::TensorProto& declared : model.proto.graph().initializer()) {
    const auto weight = model.weights.find(declared.name());
    if (weight == model.weights.end()) {
      pieces.push_back(literal(declared));
    } else if (external && weight->second->bytes() > kSmallTensor) {
      onnx::TensorProto proto = declared;
      data.place(weight->second, &proto);
      pieces.push_back(literal(proto));
    } else {
      pieces.push_back(embed(declared, weight->second));
    }
    graph_bytes +=
        pieces.back().head.size() + (pieces.back().weight ? pieces.back().weight->bytes() : 0);
  }
  if (!external && graph_bytes > kMaxOnnxFile) {
    return plan_onnx(model, path, true);
  }
  std::vector<FilePlan> plans;
  FilePlan& file = plans.emplace_back(path);
  file.literal(outside + field_header(kModelGraph, graph_bytes) + nodes);
  for (Piece& piece : pieces) {
    file.literal(std::move(piece.head));
    if (piece.weight) {
      file.weight(piece.weight);
    }
  }
  for (FilePlan& plan : data.take()) {
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace lorapress
