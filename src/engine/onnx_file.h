// An .onnx file as it says it is: nodes, ports and where the numbers of its tensors lie. Read field by
// field from a file that may be larger than memory and is not trusted; no protobuf library.
#ifndef LORAPRESS_ENGINE_ONNX_FILE_H_
#define LORAPRESS_ENGINE_ONNX_FILE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/source.h"
#include "engine/tensor.h"

namespace lorapress::engine {

// TensorProto.DataType of onnx/onnx.proto.
enum class OnnxType : int32_t {
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kInt32 = 6,
  kInt64 = 7,
  kBool = 9,
  kFloat16 = 10,
};
// The type in which the engine computes it; empty for those it does not know.
std::optional<Type> computed_type(int32_t onnx);
// Bytes of an element in the file. REQUIRES: computed_type().
size_t stored_size(int32_t onnx);

// Numbers of a tensor, little-endian without gaps: in the graph's file, in a file beside it, or, where the
// file has them as varints, in `values`.
struct TensorDef {
  std::string name;
  int32_t type = 0;  // TensorProto.DataType
  Dims dims;
  std::string file;  // empty: the graph's own
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::vector<std::byte> values;  // of `type`; empty unless they are not in a file
};

struct GraphDef;

struct AttributeDef {
  std::string name;
  int64_t kind =
      0;  // AttributeProto.AttributeType: 1 float, 2 int, 3 string, 4 tensor, 5 graph, 7 ints
  float number = 0.0F;
  int64_t integer = 0;
  std::string text;
  std::vector<int64_t> integers;
  std::optional<TensorDef> tensor;
  std::unique_ptr<GraphDef> graph;
};

struct NodeDef {
  std::string name;
  std::string domain;  // "" is ai.onnx
  std::string op;
  std::vector<std::string> inputs;  // "" where one is left out
  std::vector<std::string> outputs;
  std::vector<AttributeDef> attributes;
};

struct PortDef {
  std::string name;
  int32_t type = 0;
  Dims dims;  // -1 for symbolic ones
};

struct GraphDef {
  std::vector<NodeDef> nodes;
  std::vector<TensorDef> initializers;
  std::vector<PortDef> inputs;
  std::vector<PortDef> outputs;
};

struct ModelDef {
  GraphDef graph;
  std::vector<std::pair<std::string, int64_t>> opsets;
};

// Throws kInvalid for what is no whole ONNX model, kUnsupported for one with functions, sparse
// tensors or bodies more than 8 deep. Every tensor's bytes fit its dimensions and lie in its file if
// that is the graph's own.
ModelDef read_onnx_file(const Source& source);

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_ONNX_FILE_H_
