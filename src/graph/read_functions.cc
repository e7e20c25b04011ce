#include "graph/read_functions.h"

#include <map>
#include <optional>
#include <tuple>

#include "base/checked.h"
#include "base/fail.h"
#include "graph/bodies.h"
#include "graph/read_tensors.h"
#include "onnx/inliner/inliner.h"

namespace lorapress {
namespace {

constexpr uint64_t kMaxNodes = 1'000'000;
constexpr int kMaxCalls = 20;  // nested

// Counts the nodes that inlining would produce, before inlining: functions that call functions
// twice double at every level.
class Counter {
 public:
  Counter(const onnx::ModelProto& proto, const std::filesystem::path& path) : path_(path) {
    for (const auto& function : proto.functions()) {
      functions_[{function.domain(), function.name(), function.overload()}].function = &function;
    }
  }

  uint64_t nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, int depth) {
    uint64_t total = 0;
    for (const auto& node : nodes) {
      add(total, 1);
      for_each_body(
          node, [&](const onnx::GraphProto& body) { add(total, this->nodes(body.node(), depth)); });
      const auto called = functions_.find({node.domain(), node.op_type(), node.overload()});
      if (called != functions_.end()) {
        add(total, call(called->second, depth));
      }
    }
    return total;
  }

 private:
  struct Function {
    const onnx::FunctionProto* function = nullptr;
    std::optional<uint64_t> nodes;
    bool open = false;  // while its own nodes are counted
  };

  uint64_t call(Function& called, int depth) {
    if (called.open || depth > kMaxCalls) {
      fail(ErrorCode::kUnsupported,
           "{}: function {} calls itself or nests too deep",
           path_.string(),
           shown(called.function->name()));
    }
    if (!called.nodes) {
      called.open = true;
      called.nodes = nodes(called.function->node(), depth + 1);
      called.open = false;
    }
    return *called.nodes;
  }

  void add(uint64_t& total, uint64_t count) const {
    total += count;
    if (total > kMaxNodes) {
      fail(ErrorCode::kUnsupported,
           "{}: more than {} nodes with all functions inlined",
           path_.string(),
           kMaxNodes);
    }
  }

  std::map<std::tuple<std::string, std::string, std::string>, Function> functions_;
  const std::filesystem::path& path_;
};

}  // namespace

void inline_functions(onnx::ModelProto& proto, const std::filesystem::path& path) {
  if (proto.functions_size() == 0) {
    return;
  }
  Counter(proto, path).nodes(proto.graph().node(), 0);
  try {
    const auto all = onnx::inliner::FunctionIdSet::Create({}, /*invert=*/true);
    onnx::inliner::InlineSelectedLocalFunctions(proto, *all);
  } catch (const std::exception& error) {
    fail(ErrorCode::kUnsupported,
         "{}: its functions cannot be inlined: {}; export it without functions, or inline them "
         "with onnx.inliner",
         path.string(),
         shown(error.what()));
  }
}

}  // namespace lorapress
