// Every operator of the engine's table against ONNX Runtime, over generated cases: shapes, broadcasting,
// odd sizes, nothing at all, batches. Products and attention: engine_products_test.cc.
#include <gtest/gtest.h>

#include "graph/ops.h"
#include "one_node.h"

namespace lorapress {
namespace {

using test::EngineInput;
using test::OneNode;

class EngineOps : public test::EngineNodes {};

const std::vector<std::pair<Shape, Shape>> kBroadcasts = {
    {{3, 5}, {3, 5}},
    {{2, 3, 7}, {7}},
    {{7}, {2, 3, 7}},
    {{2, 1, 7}, {1, 5, 1}},
    {{4, 1}, {1, 9}},
    {{}, {3}},
    {{2, 3}, {}},
    {{1}, {1, 1, 1}},
    {{0, 3}, {1, 3}},
    {{2, 3, 4, 5}, {3, 1, 5}},
    {{5, 1, 2}, {2}},
    {{2, 3, 1, 4, 1}, {1, 6, 1, 3}},
};

TEST_F(EngineOps, Elementwise) {
  for (const auto& [a, b] : kBroadcasts) {
    for (const char* op : {"Add", "Sub", "Mul", "Div", "Max", "Min"}) {
      OneNode(op).feed(floats(a)).feed(floats(b)).expect_equal(1e-6);
      OneNode(op).feed(integers(a, -9, 9)).feed(integers(b, 1, 9)).expect_equal(0);
      OneNode(op)
          .feed(integers(a, -9, 9, DType::kI32))
          .constant(integers(b, 1, 9, DType::kI32))
          .expect_equal(0);
    }
    for (const char* op : {"Equal", "Greater", "Less", "LessOrEqual"}) {
      OneNode(op).feed(integers(a, 0, 3)).feed(integers(b, 0, 3)).expect_equal(0);
      OneNode(op).feed(floats(a)).feed(floats(b)).expect_equal(0);
    }
    OneNode("Mod").feed(integers(a, -9, 9)).feed(integers(b, 1, 5)).expect_equal(0);
    OneNode("Mod").feed(integers(a, -9, 9)).feed(integers(b, -5, -1)).expect_equal(0);
    OneNode("And").feed(bools(a)).feed(bools(b)).expect_equal(0);
    OneNode("Or").feed(bools(a)).feed(bools(b)).expect_equal(0);
    EngineInput base = floats(a);
    for (double& value : base.values) {
      value = std::fabs(value);
    }
    OneNode("Pow").feed(base).feed(floats(b)).expect_equal(1e-5);
    OneNode("Where").feed(bools(a)).feed(floats(b)).feed(floats(a)).expect_equal(0);
    OneNode("Where")
        .feed(bools(a))
        .feed(integers(b, 0, 9))
        .feed(integers({}, 0, 9))
        .expect_equal(0);
    OneNode("Expand").feed(floats(a)).integers(b).expect_equal(0);
  }
  for (const double power : {2.0, 3.0, 0.5}) {
    OneNode("Pow").feed(floats({3, 5})).constant({DType::kF32, {}, {power}}).expect_equal(1e-5);
  }
}

TEST_F(EngineOps, Unary) {
  for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3, 37}, Shape{0, 4}, Shape{70000}}) {
    for (const char* op : {"Abs", "Cos", "Erf", "Floor", "Relu", "Sigmoid", "Sin", "Tanh"}) {
      OneNode(op).feed(floats(shape, 3.0)).expect_equal(2e-6);
    }
    EngineInput positive = floats(shape);
    for (double& value : positive.values) {
      value = std::fabs(value);
    }
    OneNode("Sqrt").feed(positive).expect_equal(1e-6);
    OneNode("Not").feed(bools(shape)).expect_equal(0);
    OneNode("Clip")
        .feed(floats(shape))
        .constant({DType::kF32, {}, {-0.5}})
        .constant({DType::kF32, {}, {0.75}})
        .expect_equal(0);
    OneNode("Clip").feed(floats(shape)).skip().constant({DType::kF32, {}, {0.0}}).expect_equal(0);
    if (shape.empty()) {
      continue;  // ONNX Runtime's take no scalars
    }
    for (const char* op : {"FastGelu", "Gelu"}) {
      OneNode(op, "com.microsoft").feed(floats(shape, 3.0)).expect_equal(2e-6);
    }
    for (const float alpha : {1.0F, 1.702F}) {
      OneNode("QuickGelu", "com.microsoft")
          .feed(floats(shape, 3.0))
          .set("alpha", alpha)
          .expect_equal(2e-6);
    }
  }
  OneNode("Abs").feed(integers({9}, -9, 9)).expect_equal(0);
}

TEST_F(EngineOps, Casts) {
  for (const int to : {1, 2, 3, 6, 7, 9, 10}) {
    const double tolerance = to == 10 ? 1e-3 : 0.0;
    OneNode("Cast").feed(integers({3, 5}, 0, 100)).set("to", int64_t{to}).expect_equal(tolerance);
    OneNode("Cast")
        .feed(integers({3, 5}, -100, 100, DType::kI32))
        .set("to", int64_t{to == 2 ? 1 : to})
        .expect_equal(tolerance);
    OneNode("Cast").feed(bools({7})).set("to", int64_t{to}).expect_equal(tolerance);
    OneNode("Cast")
        .feed(integers({7}, 0, 127, DType::kU8))
        .set("to", int64_t{to})
        .expect_equal(tolerance);
    OneNode("Cast")
        .feed(integers({7}, 0, 127, DType::kI8))
        .set("to", int64_t{to})
        .expect_equal(tolerance);
    EngineInput numbers = floats({40}, 30.0);
    for (double& value : numbers.values) {
      value = to == 2 ? std::fabs(value) : value;
    }
    OneNode("Cast").feed(numbers).set("to", int64_t{to}).expect_equal(tolerance);
  }
}

TEST_F(EngineOps, Shapes) {
  OneNode("Shape").feed(floats({2, 0, 5})).expect_equal(0);
  OneNode("Reshape").feed(floats({2, 3, 4})).integers({0, -1}).expect_equal(0);
  OneNode("Reshape").feed(floats({2, 3, 4})).integers({4, 0, 2}).expect_equal(0);
  OneNode("Reshape").feed(floats({2, 0, 4})).integers({0, 0, 2, 2}).expect_equal(0);
  OneNode("Reshape").feed(floats({1})).integers({}).expect_equal(0);
  OneNode("Squeeze").feed(floats({1, 3, 1})).integers({0, -1}).expect_equal(0);
  OneNode("Squeeze").feed(floats({1, 3, 1})).expect_equal(0);
  OneNode("Unsqueeze").feed(floats({3, 2})).integers({0, -1}).expect_equal(0);
  OneNode("Unsqueeze").feed(integers({}, 0, 9)).integers({0}).expect_equal(0);
  for (const std::vector<int64_t>& perm :
       {std::vector<int64_t>{0, 1, 3, 2}, {0, 2, 1, 3}, {3, 2, 1, 0}, {1, 2, 3, 0}, {0, 1, 2, 3}}) {
    OneNode("Transpose").feed(floats({2, 3, 5, 7})).set("perm", perm).expect_equal(0);
    OneNode("Transpose").feed(integers({1, 3, 1, 7}, 0, 99)).set("perm", perm).expect_equal(0);
    OneNode("Transpose")
        .feed(integers({2, 1, 4, 3}, 0, 99, DType::kU8))
        .set("perm", perm)
        .expect_equal(0);
  }
  OneNode("Transpose")
      .feed(floats({2, 3, 2, 5, 3, 4}))
      .set("perm", std::vector<int64_t>{0, 2, 4, 1, 3, 5})
      .expect_equal(0);
  OneNode("Transpose").feed(floats({3, 4})).expect_equal(0);
  for (const int64_t axis : {0, 1, -1}) {
    OneNode("Concat")
        .feed(floats({2, 3, 4}))
        .feed(floats({2, 3, 4}))
        .set("axis", axis)
        .expect_equal(0);
  }
  OneNode("Concat")
      .feed(floats({2, 0, 4}))
      .feed(floats({2, 3, 4}))
      .set("axis", int64_t{1})
      .expect_equal(0);
  OneNode("Concat").feed(integers({1}, 0, 9)).integers({5}).set("axis", int64_t{0}).expect_equal(0);
  OneNode("Split")
      .feed(floats({2, 3, 9}))
      .integers({2, 3, 4})
      .set("axis", int64_t{2})
      .expect_equal(0, {"y0", "y1", "y2"});
  OneNode("Split")
      .feed(floats({4, 3}))
      .integers({1, 3})
      .set("axis", int64_t{0})
      .expect_equal(0, {"y0", "y1"});
  const auto slice = [&](const Shape& shape,
                         const std::vector<int64_t>& from,
                         const std::vector<int64_t>& to,
                         const std::vector<int64_t>& axes) {
    OneNode("Slice").feed(floats(shape)).integers(from).integers(to).integers(axes).expect_equal(0);
  };
  slice({2, 5, 3}, {1}, {4}, {1});
  slice({2, 5, 3}, {-2}, {INT64_MAX}, {1});
  slice({2, 5, 3}, {0, 1}, {1, 2}, {0, -1});
  slice({2, 5, 3}, {4}, {2}, {1});
  slice({2, 5, 3}, {-99}, {2147483647}, {0});
  slice({2, 2, 3}, {1, 1, 1}, {2, 2, 2}, {2, 0, 1});
  for (const DType dtype : {DType::kI64, DType::kI32}) {
    const auto one = [&](double value) { return EngineInput{dtype, {}, {value}}; };
    OneNode("Range").feed(one(2)).feed(one(11)).feed(one(3)).expect_equal(0);
    OneNode("Range").feed(one(5)).feed(one(5)).feed(one(1)).expect_equal(0);
    OneNode("Range").feed(one(5)).feed(one(-5)).feed(one(-2)).expect_equal(0);
  }
}

TEST_F(EngineOps, Gathers) {
  for (const int64_t axis : {0, 1, 2, -1}) {
    OneNode("Gather")
        .feed(floats({4, 5, 4}))
        .feed(integers({2, 3}, -4, 3))
        .set("axis", axis)
        .expect_equal(0);
    OneNode("Gather")
        .feed(floats({4, 5, 4}))
        .feed(integers({}, 0, 3))
        .set("axis", axis)
        .expect_equal(0);
  }
  OneNode("Gather")
      .constant(integers({4, 300}, 0, 255, DType::kU8))
      .feed(integers({1, 7}, 0, 299))
      .set("axis", int64_t{1})
      .expect_equal(0);
  OneNode("Gather")
      .constant(floats({40, 3}))
      .feed(integers({2, 0}, 0, 3))
      .set("axis", int64_t{0})
      .expect_equal(0);
  OneNode("GatherND")
      .feed(floats({2, 5, 3}))
      .feed(integers({2, 4, 1}, 0, 4))
      .set("batch_dims", int64_t{1})
      .expect_equal(0);
  OneNode("GatherND").feed(floats({2, 5, 3})).feed(integers({6, 2}, 0, 1)).expect_equal(0);
  OneNode("NonZero").feed(bools({3, 7})).expect_equal(0);
  OneNode("NonZero").feed(integers({11}, 0, 1)).expect_equal(0);
  for (const int64_t axis : {0, 1, -1}) {
    const Shape whole{4, 5, 3};
    for (const Shape& shape :
         {whole, Shape{axis == 0 ? 9 : 2, axis == 1 ? 7 : 5, 3}, Shape{0, 5, 3}}) {
      const EngineInput indices = integers(shape, -3, 2);
      OneNode("GatherElements").feed(floats(whole)).feed(indices).set("axis", axis).expect_equal(0);
    }
    const EngineInput one = integers({4, 1, 3}, 0, 2);  // no element twice along axis 1
    OneNode("ScatterElements")
        .feed(integers(whole, 0, 99))
        .feed(one)
        .feed(integers({4, 1, 3}, 100, 199))
        .set("axis", int64_t{1})
        .expect_equal(0);
  }
  OneNode("GatherElements")
      .feed(integers({6}, 0, 99))
      .feed(integers({4}, 0, 5, DType::kI32))
      .expect_equal(0);
  OneNode("ScatterElements")
      .feed(floats({2, 300}))
      .constant({DType::kI64, {2, 4}, {7, 0, -1, 120, 4, 5, 6, 299}})
      .feed(floats({2, 4}))
      .set("axis", int64_t{1})
      .expect_equal(0);
  OneNode("TopK").feed(integers({3, 11}, 0, 4)).integers({1}).expect_equal(0, {"y0", "y1"});
  OneNode("TopK").feed(floats({3, 11})).integers({4}).expect_equal(0, {"y0", "y1"});
}

TEST_F(EngineOps, Reductions) {
  for (const int64_t keep : {0, 1}) {
    for (const char* op : {"ReduceMax", "ReduceMean", "ReduceMin"}) {
      OneNode(op).feed(floats({2, 3, 5})).set("keepdims", keep).expect_equal(1e-6);
      OneNode(op)
          .feed(floats({2, 3, 5}))
          .set("keepdims", keep)
          .set("axes", std::vector<int64_t>{-1})
          .expect_equal(1e-6);
      OneNode(op)
          .feed(floats({2, 3, 5}))
          .set("keepdims", keep)
          .set("axes", std::vector<int64_t>{0, 2})
          .expect_equal(1e-6);
    }
    OneNode("ReduceSum")
        .feed(floats({2, 3, 5}))
        .integers({1})
        .set("keepdims", keep)
        .expect_equal(1e-6);
    OneNode("ReduceSum")
        .feed(integers({2, 3}, 0, 9))
        .integers({1})
        .set("keepdims", keep)
        .expect_equal(0);
    OneNode("ReduceSum").feed(integers({2, 3}, 0, 9)).set("keepdims", keep).expect_equal(0);
    OneNode("ReduceMin").feed(integers({2, 3}, 0, 9)).set("keepdims", keep).expect_equal(0);
    for (const int64_t last : {0, 1}) {
      OneNode("ArgMax")
          .feed(integers({2, 9}, 0, 1, DType::kI32))
          .set("axis", int64_t{1})
          .set("keepdims", keep)
          .set("select_last_index", last)
          .expect_equal(0);
      OneNode("ArgMax")
          .feed(floats({2, 9, 3}))
          .set("axis", int64_t{1})
          .set("keepdims", keep)
          .set("select_last_index", last)
          .expect_equal(0);
    }
  }
  OneNode("CumSum").feed(integers({2, 9}, 0, 1)).constant({DType::kI64, {}, {1}}).expect_equal(0);
  OneNode("CumSum").feed(floats({3, 4})).constant({DType::kI64, {}, {0}}).expect_equal(1e-6);
  for (const Shape& shape : {Shape{1, 1}, Shape{2, 3, 37}, Shape{5, 64}, Shape{0, 8}}) {
    OneNode("Softmax").feed(floats(shape, 5.0)).set("axis", int64_t{-1}).expect_equal(2e-6);
    OneNode("LogSoftmax").feed(floats(shape, 5.0)).set("axis", int64_t{-1}).expect_equal(2e-6);
    const int64_t width = shape.back();
    OneNode("LayerNormalization")
        .feed(floats(shape))
        .constant(floats({width}))
        .constant(floats({width}))
        .set("axis", int64_t{-1})
        .set("epsilon", 1e-6F)
        .expect_equal(5e-6);
    OneNode("LayerNormalization")
        .feed(floats(shape))
        .constant(floats({width}))
        .set("axis", int64_t{-1})
        .set("epsilon", 1e-5F)
        .expect_equal(5e-6);
  }
  for (const int64_t width : {8, 37, 64}) {
    OneNode("SkipSimplifiedLayerNormalization", "com.microsoft")
        .feed(floats({2, 3, width}))
        .feed(floats({2, 3, width}))
        .constant(floats({width}))
        .set("epsilon", 1e-5F)
        .expect_equal(5e-6, {"y0", "", "", "y3"});
  }
}

// If and Loop are in whole graphs: engine_decoder_test.cc.
TEST(EngineTable, EveryOperatorHasACase) {
  std::string cases;
  for (const char* file : {"engine_ops_test.cc", "engine_products_test.cc"}) {
    cases += read_text(test::source_path("tests/cc") / file);
  }
  for (const engine::OpRow& row : engine::op_table()) {
    const bool found = cases.find("\"" + std::string(row.name) + "\"") != std::string::npos;
    EXPECT_TRUE(found || std::string(row.name) == "If" || std::string(row.name) == "Loop")
        << row.name;
  }
}

// What families and bundles write (graph/ops.h); Conv is of foreign graphs alone, which patchify rewrites.
TEST(EngineTable, HasEveryOperatorOfGraphs) {
  for (const OpRow& row : op_table()) {
    const engine::OpRow* own = engine::find_op(std::string(row.domain), std::string(row.name));
    EXPECT_EQ(own == nullptr, row.name == "Conv") << row.name;
  }
}

}  // namespace
}  // namespace lorapress
