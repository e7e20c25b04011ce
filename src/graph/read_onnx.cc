#include "graph/read_onnx.h"

#include "base/fail.h"
#include "graph/check.h"
#include "graph/read_functions.h"
#include "graph/read_proto.h"
#include "graph/read_scopes.h"
#include "onnx/defs/schema.h"

namespace lorapress {
namespace {

// Since this version initializers need not be inputs, and constants are not.
constexpr int64_t kIrOfConstants = 4;

void check_versions(const onnx::ModelProto& proto, const std::filesystem::path& path) {
  const int64_t opset = opset_of(proto, "");
  const int64_t last =
      onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at(onnx::ONNX_DOMAIN).second;
  if (opset < kFirstOpset || opset > last) {
    fail(ErrorCode::kUnsupported,
         "{}: opset {} of ai.onnx, expected {} to {}; export it again or convert it with "
         "onnx.version_converter",
         path.string(),
         opset,
         kFirstOpset,
         last);
  }
  if (proto.ir_version() < 1 || proto.ir_version() > onnx::IR_VERSION) {
    fail(ErrorCode::kUnsupported,
         "{}: IR version {}, expected 1 to {}",
         path.string(),
         proto.ir_version(),
         static_cast<int>(onnx::IR_VERSION));
  }
}

Model read(const std::filesystem::path& path,
           std::vector<std::filesystem::path>* files,
           bool freeze_inputs) {
  SlimModel slim = read_slim(path);
  check_versions(slim.proto, path);
  inline_functions(slim.proto, path);
  slim.proto.mutable_graph()->clear_quantization_annotation();
  const bool defaults = !freeze_inputs && slim.proto.ir_version() >= kIrOfConstants;
  slim.proto.set_ir_version(std::max(slim.proto.ir_version(), kIrOfConstants));
  Model model{std::move(slim.proto), {}};
  TensorReader tensors(slim.file, std::move(slim.contents));
  resolve_scopes(model, tensors, defaults);
  infer_types(model);
  if (files != nullptr) {
    *files = tensors.files();
  }
  return model;
}

}  // namespace

Model read_onnx(const std::filesystem::path& path,
                std::vector<std::filesystem::path>* files,
                bool freeze_inputs) {
  return with_file_errors([&] { return read(path, files, freeze_inputs); });
}

}  // namespace lorapress
