#include "graph/read_proto.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/fail.h"
#include "graph/proto_walk.h"
#include "graph/write.h"

namespace lorapress {
namespace {

enum class Kind : uint8_t { kModel, kGraph, kNode, kAttribute, kTensor, kFunction };

// The fields that lead to tensors, onnx/onnx.proto.
struct Child {
  Kind parent;
  uint32_t field;
  Kind kind;
};
constexpr std::array kChildren = {
    Child{Kind::kModel, 7, Kind::kGraph},
    Child{Kind::kModel, 25, Kind::kFunction},
    Child{Kind::kGraph, 1, Kind::kNode},
    Child{Kind::kGraph, 5, Kind::kTensor},
    Child{Kind::kNode, 5, Kind::kAttribute},
    Child{Kind::kAttribute, 5, Kind::kTensor},
    Child{Kind::kAttribute, 6, Kind::kGraph},
    Child{Kind::kAttribute, 10, Kind::kTensor},
    Child{Kind::kAttribute, 11, Kind::kGraph},
    Child{Kind::kFunction, 7, Kind::kNode},
    Child{Kind::kFunction, 11, Kind::kAttribute},
};

constexpr uint32_t kModelTraining = 20;  // serves no inference, and names weights
constexpr uint32_t kDocString = 12;      // of a tensor
// The contents of a tensor: float_data to int64_data, raw_data, double_data and uint64_data.
constexpr std::array<uint32_t, 7> kTensorContents = {4, 5, 6, 7, 9, 10, 11};
// A body costs three messages. protobuf itself stops at 100.
constexpr int kMaxDepth = 90;

std::optional<Kind> child(Kind parent, const ProtoField& field) {
  for (const Child& row : kChildren) {
    if (row.parent == parent && row.field == field.number && field.wire_type == kWireBytes) {
      return row.kind;
    }
  }
  return std::nullopt;
}

class Slimmer {
 public:
  Slimmer(const std::filesystem::path& path, bool numbers)
      : file_(std::make_shared<const InputFile>(path)), numbers_(numbers) {}

  SlimModel run() {
    const ProtoField whole{0, kWireBytes, 0, file_->size(), 0};
    const std::string slim = message(Kind::kModel, whole, 0);
    SlimModel model{file_, {}, {}};
    if (!model.proto.ParseFromString(slim) || !model.proto.has_graph()) {
      ProtoMessage(bytes_, whole).broken("no graph");
    }
    model.contents = std::move(contents_);
    return model;
  }

 private:
  std::string message(Kind kind, const ProtoField& field, int depth) {
    ProtoMessage message(bytes_, field);
    if (depth > kMaxDepth) {
      message.broken("bodies nested too deep");
    }
    if (kind == Kind::kTensor) {
      return tensor(field);
    }
    std::string out;
    for (ProtoField part{}; message.next(part);) {
      if (const auto inner = child(kind, part)) {
        const std::string slim = this->message(*inner, part, depth + 1);
        out += field_header(part.number, slim.size()) + slim;
      } else if (kind != Kind::kModel || part.number != kModelTraining) {
        message.append(part, out);
      }
    }
    return out;
  }

  // Raw bytes, and numbers in one packed field, are left out where they are many; others are
  // bounded and stay.
  std::string tensor(const ProtoField& field) {
    std::array<int, 2> packed{};  // pieces of float_data and double_data
    ProtoMessage first(bytes_, field);
    for (ProtoField part{}; first.next(part);) {
      packed[0] += part.number == kFloatData ? 1 : 0;
      packed[1] += part.number == kDoubleData ? 1 : 0;
    }
    const auto large = [&](const ProtoField& part) {
      return part.wire_type == kWireBytes && part.size() > kSmallTensor &&
             (part.number == kRawData || (part.number == kFloatData && packed[0] == 1) ||
              (part.number == kDoubleData && packed[1] == 1));
    };
    const auto left_out = [&](const ProtoField& part) {
      return part.number == kDocString ||
             (!numbers_ &&
              std::ranges::find(kTensorContents, part.number) != kTensorContents.end());
    };
    std::string out;
    std::optional<TensorContent> content;
    ProtoMessage message(bytes_, field);
    for (ProtoField part{}; message.next(part);) {
      if (numbers_ && large(part)) {
        content = TensorContent{part.number, part.begin, part.size()};
      } else if (!left_out(part)) {
        message.append(part, out);
      }
    }
    if (content) {
      const std::string index = std::to_string(contents_.size());
      contents_.push_back(*content);
      out += field_header(kDocString, index.size()) + index;
    }
    return out;
  }

  std::shared_ptr<const InputFile> file_;
  bool numbers_;
  ProtoBytes bytes_{*file_};
  std::vector<TensorContent> contents_;
};

}  // namespace

SlimModel read_slim(const std::filesystem::path& path, bool numbers) {
  return Slimmer(path, numbers).run();
}

}  // namespace lorapress
