// An .onnx file as a ModelProto without the contents of its large tensors.
#ifndef LORAPRESS_GRAPH_READ_PROTO_H_
#define LORAPRESS_GRAPH_READ_PROTO_H_

#include <memory>
#include <vector>

#include "base/file.h"
#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// Where the contents of a tensor lie in the file.
struct TensorContent {
  uint32_t field;  // kRawData, kFloatData or kDoubleData: little-endian numbers without gaps
  uint64_t begin;
  uint64_t bytes;
};
// Field numbers of TensorProto, onnx/onnx.proto.
inline constexpr uint32_t kFloatData = 4;
inline constexpr uint32_t kRawData = 9;
inline constexpr uint32_t kDoubleData = 10;

// A tensor whose contents were left out holds its index in `contents` as its doc_string; all other
// tensors have no doc_string.
struct SlimModel {
  std::shared_ptr<const InputFile> file;
  onnx::ModelProto proto;
  std::vector<TensorContent> contents;
};

// Walks the file down to every tensor, of initializers, attributes and bodies alike. Memory does
// not grow with the weights. Throws kInvalidFile for anything that is not a whole model. With
// `numbers` false no tensor keeps its contents, whatever field they are in, and `contents` stays
// empty.
SlimModel read_slim(const std::filesystem::path& path, bool numbers = true);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_READ_PROTO_H_
