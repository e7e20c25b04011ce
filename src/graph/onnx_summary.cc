#include "graph/onnx_summary.h"

#include <set>

#include "base/checked.h"
#include "base/fail.h"
#include "graph/bodies.h"
#include "graph/read_proto.h"

namespace lorapress {
namespace {

class Summariser {
 public:
  explicit Summariser(const std::filesystem::path& path) : path_(path) {}

  OnnxSummary run() {
    const onnx::ModelProto proto = read_slim(path_, /*numbers=*/false).proto;
    if (proto.opset_import_size() == 0) {
      broken("no opset");
    }
    summary_.ir_version = proto.ir_version();
    summary_.producer = proto.producer_name() +
                        (proto.producer_version().empty() ? "" : " " + proto.producer_version());
    for (const auto& opset : proto.opset_import()) {
      summary_.opsets[opset.domain().empty() ? "ai.onnx" : opset.domain()] = opset.version();
    }
    read_graph(proto.graph());
    return std::move(summary_);
  }

 private:
  void read_graph(const onnx::GraphProto& main) {
    for_each_graph(main, [&](const onnx::GraphProto& graph) {
      for (const auto& node : graph.node()) {
        const std::string domain = node.domain().empty() ? "" : node.domain() + ".";
        summary_.operators[domain + node.op_type()] += 1;
      }
    });
    for (const auto& input : main.input()) {
      summary_.inputs.push_back({input.name(), describe(input.type())});
    }
    for (const auto& output : main.output()) {
      summary_.outputs.push_back({output.name(), describe(output.type())});
    }
    std::set<std::string> external;
    for (const auto& tensor : main.initializer()) {
      count_weights(tensor);
      for (const auto& entry : tensor.external_data()) {
        if (entry.key() == "location") {
          external.insert(entry.value());
        }
      }
    }
    summary_.external_files = external.size();
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

  // An initializer counts by its declared shape, whether its content is in this file, in another
  // one or missing.
  void count_weights(const onnx::TensorProto& proto) {
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
      broken("a tensor of impossible shape");
    }
    summary_.parameters = *count;
    total = *sum;
  }

  [[noreturn]] void broken(std::string_view what) const {
    fail(ErrorCode::kInvalidFile,
         "{}: not an ONNX model: {}; an incomplete download?",
         path_.string(),
         what);
  }

  const std::filesystem::path& path_;
  OnnxSummary summary_;
};

}  // namespace

OnnxSummary summarise_onnx(const std::filesystem::path& path) {
  return Summariser(path).run();
}

}  // namespace lorapress
