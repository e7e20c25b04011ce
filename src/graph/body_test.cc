// Bodies of Loop: scopes, names, types, and what they become in a file.
#include <gtest/gtest.h>

#include "graph/check.h"
#include "graph/model.h"
#include "graph/write.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

// total = x + w, three times over; w is the main graph's.
struct Summing {
  Graph graph{"summing", 17};
  Value x = graph.input("x", DType::kF32, {"n", 4});
  std::vector<Value> inputs{graph.integer(3), graph.boolean(true), x};
  std::vector<Graph::BodyInput> ports{
      {"i", DType::kI64, {}}, {"go", DType::kBool, {}}, {"total", DType::kF32, {"n", 4}}};

  BodyPtr body() {
    return graph.body("/body", ports, [&](const std::vector<Value>& values) {
      const Value w = graph.initializer("w", zeros(DType::kF32, {4}));
      return std::vector<Value>{graph.op("Not", "/go", {values[1]}),
                                graph.op("Add", "/add", {values[2], w})};
    });
  }
};

TEST(Body, HoldsItsNodesAndTheGraphItsWeights) {
  Summing made;
  const std::vector<Value> last = made.graph.loop("/loop", made.inputs, made.body());
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(to_string(last[0].type), "float32[n, 4]");
  made.graph.output(last[0], "y", {"n", 4});
  EXPECT_EQ(made.graph.nodes().size(), 1U);
  const Model model = to_model(made.graph);
  EXPECT_NO_THROW(check_model(model));
  const onnx::GraphProto& body = model.proto.graph().node(0).attribute(0).g();
  EXPECT_EQ(body.node_size(), 2);
  EXPECT_EQ(body.initializer_size(), 0);
  EXPECT_EQ(body.input(2).name(), "/body/total");
  EXPECT_EQ(body.node(1).input(1), "w");
  EXPECT_TRUE(model.weights.contains("w"));
}

TEST(Body, ValuesEndWithIt) {
  Summing made;
  Value inside;
  made.graph.body("/body", made.ports, [&](const std::vector<Value>& values) {
    inside = made.graph.op("Sqrt", "/sqrt", {values[2]});
    return std::vector<Value>{};
  });
  const std::string text =
      message_of(ErrorCode::kInvalidArgument, [&] { made.graph.op("Sqrt", "/late", {inside}); });
  EXPECT_TRUE(contains(text, "body that has ended")) << text;
  message_of(ErrorCode::kInvalidArgument, [&] { made.graph.output(inside, "y", {"n", 4}); });
  EXPECT_NO_THROW(made.graph.op("Sqrt", "/outside", {made.x}));
}

TEST(Body, OutputsAreMadeInsideAndOnce) {
  for (const bool twice : {false, true}) {
    Summing made;
    message_of(ErrorCode::kInvalidArgument, [&] {
      made.graph.body("/body", made.ports, [&](const std::vector<Value>& values) {
        return twice ? std::vector<Value>{values[1], values[2], values[2]}
                     : std::vector<Value>{values[1], made.x};
      });
    });
  }
}

TEST(Body, NamesAreOfTheWholeGraph) {
  Summing made;
  made.body();
  message_of(ErrorCode::kInvalidArgument, [&] { made.body(); });
  message_of(ErrorCode::kInvalidArgument, [&] { made.graph.op("Sqrt", "/add", {made.x}); });
}

TEST(LoopRule, WantsWhatIsCarriedToStayTheSame) {
  const auto refused = [](const Graph::BodyInput& port, const std::string& part) {
    Summing made;
    made.ports[2] = port;
    const std::string text = message_of(ErrorCode::kInvalidArgument, [&] {
      const BodyPtr body =
          made.graph.body("/body", made.ports, [&](const std::vector<Value>& values) {
            return std::vector<Value>{made.graph.op("Not", "/go", {values[1]}),
                                      made.graph.op("Abs", "/same", {values[2]})};
          });
      made.graph.loop("/loop", made.inputs, body);
    });
    EXPECT_TRUE(contains(text, part)) << text;
  };
  refused({"total", DType::kI64, {"n", 4}}, "begins as float32[n, 4]");
  refused({"total", DType::kF32, {4}}, "begins as float32[n, 4]");
  refused({"total", DType::kF32, {"n", 5}}, "declared 5");
}

TEST(LoopRule, ForgetsDimsThatChange) {
  Summing made;
  made.ports[2].dims = {Dim(), 4};
  const BodyPtr body = made.graph.body("/body", made.ports, [&](const std::vector<Value>& values) {
    return std::vector<Value>{
        made.graph.op("Not", "/go", {values[1]}),
        made.graph.op("Concat", "/grow", {values[2], values[2]}, {{"axis", int64_t{0}}})};
  });
  EXPECT_EQ(to_string(made.graph.loop("/loop", made.inputs, body)[0].type), "float32[?, 4]");
}

TEST(LoopRule, WantsABodyThatFits) {
  Summing made;
  made.inputs.pop_back();
  message_of(ErrorCode::kInvalidArgument,
             [&] { made.graph.loop("/loop", made.inputs, made.body()); });
  message_of(ErrorCode::kInvalidArgument, [&] { made.graph.op("Loop", "/bare", made.inputs); });
}

// If needs branches without inputs that agree.
TEST(IfRule, KnowsWhatBothBranchesGive) {
  const auto made = [](const Dims& other, DType dtype) {
    Graph graph("choice", 17);
    const Value x = graph.input("x", DType::kF32, {"n", 4});
    const Value y = graph.input("y", dtype, other);
    const auto branch = [&](const std::string& name, const Value& value) {
      return graph.body(name, {}, [&](const std::vector<Value>&) {
        return std::vector<Value>{graph.op("Abs", name + "/same", {value})};
      });
    };
    const Attributes branches{{"then_branch", branch("/then", x)},
                              {"else_branch", branch("/else", y)}};
    return to_string(graph.op("If", "/if", {graph.boolean(true)}, branches).type);
  };
  EXPECT_EQ(made({"n", 4}, DType::kF32), "float32[n, 4]");
  EXPECT_EQ(made({"m", 4}, DType::kF32), "float32[?, 4]");
  message_of(ErrorCode::kInvalidArgument, [&] { made({4}, DType::kF32); });
  message_of(ErrorCode::kInvalidArgument, [&] { made({"n", 4}, DType::kI64); });
}

}  // namespace
}  // namespace lorapress
