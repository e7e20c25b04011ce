#include "graph/onnx_summary.h"

#include <array>
#include <set>

#include "base/checked.h"
#include "base/fail.h"
#include "base/file.h"
#include "graph/proto_walk.h"
#include "onnx/onnx-ml.pb.h"

namespace lorapress {
namespace {

// The contents of a tensor: float_data to int64_data, raw_data, double_data and uint64_data.
constexpr std::array<uint32_t, 7> kTensorContents = {4, 5, 6, 7, 9, 10, 11};

class Summariser {
 public:
  explicit Summariser(const std::filesystem::path& path) : file_(path) {}

  OnnxSummary run() {
    ProtoMessage model(bytes_, 0, file_.size());
    std::string outside;  // the model without its graph, field by field
    bool has_graph = false;
    for (ProtoField field{}; model.next(field);) {
      if (field.number == kModelGraph && field.wire_type == kWireBytes) {
        read_graph(field);
        has_graph = true;
      } else {
        model.append(field, outside);
      }
    }
    onnx::ModelProto proto;
    if (!has_graph || !proto.ParseFromString(outside) || proto.opset_import_size() == 0) {
      model.broken("no graph and opset");
    }
    summary_.ir_version = proto.ir_version();
    summary_.producer = proto.producer_name() +
                        (proto.producer_version().empty() ? "" : " " + proto.producer_version());
    for (const auto& opset : proto.opset_import()) {
      summary_.opsets[opset.domain().empty() ? "ai.onnx" : opset.domain()] = opset.version();
    }
    summary_.external_files = external_.size();
    return std::move(summary_);
  }

 private:
  void read_graph(const ProtoField& graph) {
    ProtoMessage message(bytes_, graph);
    std::string rest;  // nodes and ports are small: parsed by protobuf
    for (ProtoField field{}; message.next(field);) {
      if (field.number == kGraphInitializer && field.wire_type == kWireBytes) {
        read_tensor(field);
      } else {
        message.append(field, rest);
      }
    }
    onnx::GraphProto proto;
    if (!proto.ParseFromString(rest)) {
      message.broken("a graph that protobuf cannot parse");
    }
    count_operators(proto);
    for (const auto& input : proto.input()) {
      summary_.inputs.push_back({input.name(), describe(input.type())});
    }
    for (const auto& output : proto.output()) {
      summary_.outputs.push_back({output.name(), describe(output.type())});
    }
  }

  void read_tensor(const ProtoField& tensor) {
    ProtoMessage message(bytes_, tensor);
    std::string head;
    for (ProtoField field{}; message.next(field);) {
      if (std::ranges::find(kTensorContents, field.number) == kTensorContents.end()) {
        message.append(field, head);
      }
    }
    onnx::TensorProto proto;
    if (!proto.ParseFromString(head)) {
      message.broken("a tensor that protobuf cannot parse");
    }
    count_weights(proto, message);
    for (const auto& entry : proto.external_data()) {
      if (entry.key() == "location") {
        external_.insert(entry.value());
      }
    }
  }

  void count_operators(const onnx::GraphProto& graph) {
    for (const auto& node : graph.node()) {
      summary_.operators[(node.domain().empty() ? "" : node.domain() + ".") + node.op_type()] += 1;
      for (const auto& attribute : node.attribute()) {
        if (attribute.has_g()) {
          count_operators(attribute.g());
        }
      }
    }
  }

  static std::string describe(const onnx::TypeProto& type) {
    if (!type.has_tensor_type()) {
      return "not a tensor";
    }
    const auto dtype = dtype_from_onnx(type.tensor_type().elem_type());
    std::vector<std::string> dims;
    for (const auto& dim : type.tensor_type().shape().dim()) {
      dims.push_back(dim.has_dim_value()       ? std::to_string(dim.dim_value())
                     : dim.dim_param().empty() ? "?"
                                               : dim.dim_param());
    }
    return fmt::format("{}[{}]", dtype ? dtype_name(*dtype) : "?", fmt::join(dims, ", "));
  }

  // An initializer counts as it says, whether its content is here, elsewhere or nowhere.
  void count_weights(const onnx::TensorProto& proto, const ProtoMessage& message) {
    const auto elements =
        checked_product({proto.dims().data(), static_cast<size_t>(proto.dims_size())});
    const auto dtype = dtype_from_onnx(proto.data_type());
    const std::string name =
        dtype ? std::string(dtype_name(*dtype)) : fmt::format("onnx type {}", proto.data_type());
    uint64_t& total = summary_.dtype_bytes[name];
    const auto count = elements ? checked_add(summary_.parameters, static_cast<uint64_t>(*elements))
                                : std::nullopt;
    const auto size =
        elements ? checked_mul(static_cast<uint64_t>(*elements), dtype ? dtype_size(*dtype) : 1)
                 : std::nullopt;
    const auto sum = size ? checked_add(total, *size) : std::nullopt;
    if (!count || !sum) {
      message.broken("a tensor of impossible shape");
    }
    summary_.parameters = *count;
    total = *sum;
  }

  InputFile file_;
  ProtoBytes bytes_{file_};
  OnnxSummary summary_;
  std::set<std::string> external_;
};

}  // namespace

OnnxSummary summarise_onnx(const std::filesystem::path& path) {
  return Summariser(path).run();
}

}  // namespace lorapress
