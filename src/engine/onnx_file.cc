#include "engine/onnx_file.h"

#include <cstring>

#include "engine/wire.h"

namespace lorapress::engine {
namespace {

constexpr int kMostDepth = 8;

GraphDef read_graph(Wire wire, int depth);

// StringStringEntryProto rows "location", "offset" and "length".
void read_external(Wire wire, TensorDef& tensor) {
  std::string key;
  std::string value;
  while (wire.next()) {
    if (wire.number() == 1) {
      key = wire.text();
    } else if (wire.number() == 2) {
      value = wire.text();
    }
  }
  if (key == "location") {
    tensor.file = value;
    return;
  }
  if (key != "offset" && key != "length") {
    return;
  }
  uint64_t number = 0;
  for (const char digit : value) {
    if (digit < '0' || digit > '9' || __builtin_mul_overflow(number, uint64_t{10}, &number) ||
        __builtin_add_overflow(number, static_cast<uint64_t>(digit - '0'), &number)) {
      wire.broken("external data whose place is no number");
    }
  }
  (key == "offset" ? tensor.offset : tensor.bytes) = number;
}

template <typename T>
void append(std::vector<std::byte>& out, T value) {
  const size_t old = out.size();
  out.resize(old + sizeof(T));
  std::memcpy(out.data() + old, &value, sizeof(T));
}

// int32_data holds every type of up to 32 bits, float16 as its bits.
void append_value(const Wire& wire, TensorDef& tensor, int64_t value) {
  wire.bytes().keep(8);
  if (tensor.type == static_cast<int32_t>(OnnxType::kInt64)) {
    append(tensor.values, value);
  } else if (tensor.type == static_cast<int32_t>(OnnxType::kInt32)) {
    append(tensor.values, static_cast<int32_t>(value));
  } else if (tensor.type == static_cast<int32_t>(OnnxType::kFloat16)) {
    append(tensor.values, static_cast<uint16_t>(value));
  } else {
    append(tensor.values, static_cast<uint8_t>(value));
  }
}

struct RawTensor {
  TensorDef tensor;
  std::vector<int64_t> integers;  // until the type is known
  bool external = false;
  bool raw = false;  // raw_data or packed float_data
};

void finish_tensor(const Wire& wire, RawTensor& read) {
  TensorDef& tensor = read.tensor;
  const std::string name = "tensor " + tensor.name;
  if (!computed_type(tensor.type)) {
    refuse(Problem::kUnsupported,
           name + ": type " + std::to_string(tensor.type) + " of onnx.proto is not supported");
  }
  int64_t count = 1;
  for (const int64_t size : tensor.dims.span()) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count) || count > (int64_t{1} << 40)) {
      refuse(Problem::kInvalid, name + ": dimensions " + tensor.dims.text());
    }
  }
  for (const int64_t value : read.integers) {
    append_value(wire, tensor, value);
  }
  const uint64_t wanted = static_cast<uint64_t>(count) * stored_size(tensor.type);
  if (read.external && tensor.bytes == 0) {
    tensor.bytes = wanted;  // "length" may be left out
  }
  const uint64_t found = read.external || read.raw ? tensor.bytes : tensor.values.size();
  if (found != wanted) {
    refuse(Problem::kInvalid,
           name + " " + tensor.dims.text() + ": " + std::to_string(found) + " bytes, expected " +
               std::to_string(wanted));
  }
  if (read.external && tensor.file.empty()) {
    refuse(Problem::kInvalid, name + ": external data without a location");
  }
}

TensorDef read_tensor(Wire wire) {
  RawTensor read;
  TensorDef& tensor = read.tensor;
  while (wire.next()) {
    switch (wire.number()) {
      case 1:
        wire.integers([&](int64_t size) { tensor.dims.push_back(size); });
        break;
      case 2:
        tensor.type = static_cast<int32_t>(wire.integer());
        break;
      case 4:  // float_data
      case 9:  // raw_data
        if (read.raw) {
          wire.broken("numbers of a tensor in two places");
        }
        read.raw = true;
        tensor.offset = wire.begin();
        tensor.bytes = wire.size();
        break;
      case 5:  // int32_data
      case 7:  // int64_data
        wire.integers([&](int64_t value) {
          wire.bytes().keep(8);
          read.integers.push_back(value);
        });
        break;
      case 8:
        tensor.name = wire.text();
        break;
      case 13:
        read_external(wire.message(), tensor);
        break;
      case 14:
        read.external = wire.integer() == 1;
        break;
      case 3:
      case 6:
      case 10:
      case 11:
        refuse(Problem::kUnsupported,
               "tensor " + tensor.name + ": field " + std::to_string(wire.number()) +
                   " of TensorProto is not supported");
      default:
        break;
    }
  }
  if (!read.external) {
    tensor.file.clear();
  } else if (read.raw || !read.integers.empty()) {
    wire.broken("numbers of a tensor in two places");
  }
  finish_tensor(wire, read);
  return std::move(tensor);
}

AttributeDef read_attribute(Wire wire, int depth) {
  AttributeDef attribute;
  while (wire.next()) {
    switch (wire.number()) {
      case 1:
        attribute.name = wire.text();
        break;
      case 2:
        attribute.number = wire.number32();
        break;
      case 3:
        attribute.integer = wire.integer();
        break;
      case 4:
        attribute.text = wire.text();
        break;
      case 5:
        attribute.tensor = read_tensor(wire.message());
        break;
      case 6:
        attribute.graph = std::make_unique<GraphDef>(read_graph(wire.message(), depth + 1));
        break;
      case 8:
        wire.integers([&](int64_t value) {
          wire.bytes().keep(8);
          attribute.integers.push_back(value);
        });
        break;
      case 20:
        attribute.kind = wire.integer();
        break;
      default:
        break;
    }
  }
  return attribute;
}

NodeDef read_node(Wire wire, int depth) {
  NodeDef node;
  wire.bytes().keep(sizeof(NodeDef));
  while (wire.next()) {
    switch (wire.number()) {
      case 1:
        node.inputs.push_back(wire.text());
        break;
      case 2:
        node.outputs.push_back(wire.text());
        break;
      case 3:
        node.name = wire.text();
        break;
      case 4:
        node.op = wire.text();
        break;
      case 5:
        wire.bytes().keep(sizeof(AttributeDef));
        node.attributes.push_back(read_attribute(wire.message(), depth));
        break;
      case 7:
        node.domain = wire.text();
        break;
      default:
        break;
    }
  }
  if (node.domain == "ai.onnx") {
    node.domain.clear();
  }
  return node;
}

int64_t read_dim(Wire wire) {
  int64_t size = -1;
  while (wire.next()) {
    if (wire.number() == 1) {
      size = wire.integer();
    }
  }
  return size;
}

// TypeProto.Tensor inside a TypeProto.
void read_type(Wire wire, PortDef& port) {
  while (wire.next()) {
    if (wire.number() != 1) {
      continue;
    }
    Wire tensor = wire.message();
    while (tensor.next()) {
      if (tensor.number() == 1) {
        port.type = static_cast<int32_t>(tensor.integer());
      } else if (tensor.number() == 2) {
        Wire shape = tensor.message();
        while (shape.next()) {
          if (shape.number() == 1) {
            port.dims.push_back(read_dim(shape.message()));
          }
        }
      }
    }
  }
}

PortDef read_port(Wire wire) {
  PortDef port;
  wire.bytes().keep(sizeof(PortDef));
  while (wire.next()) {
    if (wire.number() == 1) {
      port.name = wire.text();
    } else if (wire.number() == 2) {
      read_type(wire.message(), port);
    }
  }
  return port;
}

GraphDef read_graph(Wire wire, int depth) {
  if (depth > kMostDepth) {
    refuse(Problem::kUnsupported, "bodies of nodes more than 8 deep");
  }
  GraphDef graph;
  while (wire.next()) {
    switch (wire.number()) {
      case 1:
        graph.nodes.push_back(read_node(wire.message(), depth));
        break;
      case 5:
        wire.bytes().keep(sizeof(TensorDef));
        graph.initializers.push_back(read_tensor(wire.message()));
        break;
      case 11:
        graph.inputs.push_back(read_port(wire.message()));
        break;
      case 12:
        graph.outputs.push_back(read_port(wire.message()));
        break;
      case 15:
        refuse(Problem::kUnsupported, "sparse tensors");
      default:
        break;
    }
  }
  return graph;
}

std::pair<std::string, int64_t> read_opset(Wire wire) {
  std::pair<std::string, int64_t> opset;
  while (wire.next()) {
    if (wire.number() == 1) {
      opset.first = wire.text();
    } else if (wire.number() == 2) {
      opset.second = wire.integer();
    }
  }
  if (opset.first == "ai.onnx") {
    opset.first.clear();
  }
  return opset;
}

}  // namespace

std::optional<Type> computed_type(int32_t onnx) {
  switch (static_cast<OnnxType>(onnx)) {
    case OnnxType::kFloat:
    case OnnxType::kFloat16:
      return Type::kF32;
    case OnnxType::kUint8:
      return Type::kU8;
    case OnnxType::kInt8:
      return Type::kI8;
    case OnnxType::kInt32:
      return Type::kI32;
    case OnnxType::kInt64:
      return Type::kI64;
    case OnnxType::kBool:
      return Type::kBool;
  }
  return std::nullopt;
}

size_t stored_size(int32_t onnx) {
  return onnx == static_cast<int32_t>(OnnxType::kFloat16) ? 2 : type_size(*computed_type(onnx));
}

ModelDef read_onnx_file(const Source& source) {
  WireBytes bytes(source);
  Wire wire(bytes, 0, source.size());
  ModelDef model;
  bool graph = false;
  while (wire.next()) {
    if (wire.number() == 7) {
      if (graph) {
        wire.broken("two graphs");
      }
      graph = true;
      model.graph = read_graph(wire.message(), 0);
    } else if (wire.number() == 8) {
      bytes.keep(64);
      model.opsets.push_back(read_opset(wire.message()));
    } else if (wire.number() == 25) {
      refuse(Problem::kUnsupported, "functions in the model");
    }
  }
  if (!graph || model.opsets.empty()) {
    refuse(Problem::kInvalid, "not an ONNX model: no graph or no opset; an incomplete download?");
  }
  return model;
}

}  // namespace lorapress::engine
