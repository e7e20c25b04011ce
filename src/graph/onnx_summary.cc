#include "graph/onnx_summary.h"

#include <array>
#include <set>

#include "base/checked.h"
#include "base/fail.h"
#include "base/file.h"
#include "onnx/onnx-ml.pb.h"

namespace lorapress {
namespace {

// Field numbers of onnx/onnx.proto.
constexpr uint32_t kModelGraph = 7;
constexpr uint32_t kGraphInitializer = 5;
// The contents of a tensor: float_data to int64_data, raw_data, double_data and uint64_data.
constexpr std::array<uint32_t, 7> kTensorContents = {4, 5, 6, 7, 9, 10, 11};
// Of one node, port or tensor without its contents.
constexpr uint64_t kMaxMessage = uint64_t{64} << 20;
// Of a graph without its initializers, and of a model without its graph.
constexpr uint64_t kMaxRest = uint64_t{512} << 20;

// Single bytes of a file, by way of a small window.
class Bytes {
 public:
  explicit Bytes(const InputFile& file) : file_(file) {}

  [[nodiscard]] const InputFile& file() const { return file_; }
  // REQUIRES: at < file().size()
  std::byte at(uint64_t at) {
    if (at < begin_ || at - begin_ >= size_) {
      begin_ = at;
      size_ = static_cast<size_t>(std::min<uint64_t>(window_.size(), file_.size() - at));
      file_.read_at(begin_, std::span(window_).first(size_));
    }
    return window_[static_cast<size_t>(at - begin_)];
  }

 private:
  const InputFile& file_;
  std::array<std::byte, 4096> window_{};
  uint64_t begin_ = 0;
  size_t size_ = 0;
};

// A span of the file that holds one protobuf message; fields are visited in order.
class Message {
 public:
  Message(Bytes& bytes, uint64_t begin, uint64_t end) : bytes_(bytes), at_(begin), end_(end) {}

  struct Field {
    uint32_t number;
    uint32_t wire_type;
    uint64_t begin;  // of the content; the tag itself starts at `tag`
    uint64_t end;
    uint64_t tag;
  };

  // False at the end.
  bool next(Field& field) {
    if (at_ == end_) {
      return false;
    }
    field.tag = at_;
    const uint64_t tag = varint();
    field.number = static_cast<uint32_t>(tag >> 3);
    field.wire_type = static_cast<uint32_t>(tag & 7);
    uint64_t length = 0;
    if (field.wire_type == 0) {
      field.begin = at_;
      varint();
      field.end = at_;
      return true;
    }
    if (field.wire_type == 1 || field.wire_type == 5) {
      length = field.wire_type == 1 ? 8 : 4;
    } else if (field.wire_type == 2) {
      length = varint();
    } else {
      broken("an unknown wire type");
    }
    if (length > end_ - at_) {
      broken("a field that passes the end of its message");
    }
    field.begin = at_;
    field.end = at_ += length;
    return true;
  }

  // Appends the whole field, tag included.
  void append(const Field& field, std::string& out) const {
    const uint64_t size = field.end - field.tag;
    if (size > kMaxMessage) {
      broken("a message of more than 64 MiB");
    }
    if (out.size() + size > kMaxRest) {
      broken("more than 512 MiB that is no weight");
    }
    const size_t old = out.size();
    out.resize(old + static_cast<size_t>(size));
    bytes_.file().read_at(field.tag, std::as_writable_bytes(std::span(out).subspan(old)));
  }

  [[noreturn]] void broken(std::string_view what) const {
    fail(ErrorCode::kInvalidFile,
         "{}: not an ONNX model: {} at byte {}; an incomplete download?",
         bytes_.file().path().string(),
         what,
         at_);
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) {
        broken("a number that is cut off");
      }
      const auto next = static_cast<uint64_t>(bytes_.at(at_++));
      value |= (next & 0x7f) << shift;
      if ((next & 0x80) == 0) {
        return value;
      }
    }
    broken("a number of more than 10 bytes");
  }

  Bytes& bytes_;
  uint64_t at_;
  uint64_t end_;
};

class Summariser {
 public:
  explicit Summariser(const std::filesystem::path& path) : file_(path) {}

  OnnxSummary run() {
    Message model(bytes_, 0, file_.size());
    std::string outside;  // the model without its graph, field by field
    bool has_graph = false;
    for (Message::Field field{}; model.next(field);) {
      if (field.number == kModelGraph && field.wire_type == 2) {
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
  void read_graph(const Message::Field& graph) {
    Message message(bytes_, graph.begin, graph.end);
    std::string rest;  // nodes and ports are small: parsed by protobuf
    for (Message::Field field{}; message.next(field);) {
      if (field.number == kGraphInitializer && field.wire_type == 2) {
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

  void read_tensor(const Message::Field& tensor) {
    Message message(bytes_, tensor.begin, tensor.end);
    std::string head;
    for (Message::Field field{}; message.next(field);) {
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
  void count_weights(const onnx::TensorProto& proto, const Message& message) {
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
  Bytes bytes_{file_};
  OnnxSummary summary_;
  std::set<std::string> external_;
};

}  // namespace

OnnxSummary summarise_onnx(const std::filesystem::path& path) {
  return Summariser(path).run();
}

}  // namespace lorapress
