#include "graph/write.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/fail.h"
#include "graph/bodies.h"
#include "graph/proto_walk.h"

namespace lorapress {
namespace {

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
  explicit DataFiles(std::filesystem::path first) : first_(std::move(first)) {}

  // `folder` is that of the graph, to which the location is relative.
  void place(const WeightPtr& weight,
             const std::filesystem::path& folder,
             onnx::TensorProto* tensor) {
    const Place& place = find(weight, tensor->name());
    used_.insert(plans_[place.file].path());
    const auto entry = [&](const char* key, const std::string& value) {
      auto* added = tensor->add_external_data();
      added->set_key(key);
      added->set_value(value);
    };
    tensor->set_data_location(onnx::TensorProto::EXTERNAL);
    entry("location", plans_[place.file].path().lexically_relative(folder).generic_string());
    entry("offset", std::to_string(place.offset));
    entry("length", std::to_string(weight->bytes()));
  }

  std::vector<FilePlan> take() { return std::move(plans_); }
  // Where weights were placed since the last call.
  std::set<std::filesystem::path> take_used() { return std::exchange(used_, {}); }

 private:
  struct Place {
    WeightPtr weight;
    size_t file;
    uint64_t offset;
  };

  const Place& find(const WeightPtr& weight, const std::string& name) {
    const auto [begin, end] = places_.equal_range(name);
    for (auto it = begin; it != end; ++it) {
      if (it->second.weight->same_as(*weight)) {
        return it->second;
      }
    }
    const uint64_t bytes = weight->bytes();
    if (plans_.empty() || plans_.back().size() + bytes + kAlignment > kMaxOnnxFile) {
      const std::string suffix = plans_.empty() ? "" : "_" + std::to_string(plans_.size());
      plans_.emplace_back(first_.string() + suffix);
    }
    FilePlan& plan = plans_.back();
    plan.literal(std::string(
        static_cast<size_t>((kAlignment - plan.size() % kAlignment) % kAlignment), '\0'));
    const Place made{weight, plans_.size() - 1, plan.size()};
    plan.weight(weight);
    return places_.emplace(name, made)->second;
  }

  std::filesystem::path first_;
  std::vector<FilePlan> plans_;
  std::set<std::filesystem::path> used_;
  std::multimap<std::string, Place> places_;  // by the weight's name
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

// Everything but the initializers of the main graph and value_info, which serves passes only.
onnx::ModelProto without_initializers(const onnx::ModelProto& proto) {
  onnx::ModelProto bare;
  bare.CopyFrom(proto);
  bare.mutable_graph()->clear_initializer();
  for_each_graph(*bare.mutable_graph(), [](onnx::GraphProto& graph) { graph.clear_value_info(); });
  return bare;
}

// The plan of the .onnx file; weights above kSmallTensor go to `data` where there is one. Nothing
// where the file would pass kMaxOnnxFile.
std::optional<FilePlan> plan_graph_file(const Model& model,
                                        const std::filesystem::path& path,
                                        DataFiles* data) {
  onnx::ModelProto bare = without_initializers(model.proto);
  const std::string nodes = serialized(bare.graph());
  bare.clear_graph();
  const std::string outside = serialized(bare);

  std::vector<Piece> pieces;
  uint64_t graph_bytes = nodes.size();
  for (const onnx::TensorProto& declared : model.proto.graph().initializer()) {
    const auto weight = model.weights.find(declared.name());
    if (weight == model.weights.end()) {
      pieces.push_back(literal(declared));
    } else if (data != nullptr && weight->second->bytes() > kSmallTensor) {
      onnx::TensorProto proto = declared;
      data->place(weight->second, path.parent_path(), &proto);
      pieces.push_back(literal(proto));
    } else {
      pieces.push_back(embed(declared, weight->second));
    }
    graph_bytes +=
        pieces.back().head.size() + (pieces.back().weight ? pieces.back().weight->bytes() : 0);
  }
  if (data == nullptr && graph_bytes > kMaxOnnxFile) {
    return std::nullopt;
  }
  FilePlan file(path);
  file.literal(outside + field_header(kModelGraph, graph_bytes) + nodes);
  for (Piece& piece : pieces) {
    file.literal(std::move(piece.head));
    if (piece.weight) {
      file.weight(piece.weight);
    }
  }
  return file;
}

std::filesystem::path data_path(const std::filesystem::path& onnx) {
  return onnx.string() + "_data";
}

}  // namespace

std::vector<FilePlan> plan_onnx(const Model& model,
                                const std::filesystem::path& path,
                                bool external) {
  std::vector<FilePlan> plans;
  if (!external) {
    if (std::optional<FilePlan> file = plan_graph_file(model, path, nullptr)) {
      plans.push_back(std::move(*file));
      return plans;
    }
  }
  DataFiles data(data_path(path));
  plans.push_back(plan_graph_file(model, path, &data).value());
  std::ranges::move(data.take(), std::back_inserter(plans));
  return plans;
}

struct SharedData::Impl {
  DataFiles files;
};

SharedData::SharedData(std::filesystem::path file)
    : impl_(std::make_unique<Impl>(DataFiles(std::move(file)))) {}
SharedData::~SharedData() = default;
SharedData::SharedData(SharedData&&) noexcept = default;

FilePlan SharedData::plan_graph(const Model& model, const std::filesystem::path& path) {
  return plan_graph_file(model, path, &impl_->files).value();
}

std::set<std::filesystem::path> SharedData::take_used() {
  return impl_->files.take_used();
}

std::vector<FilePlan> SharedData::take() {
  return impl_->files.take();
}

}  // namespace lorapress
