// The shape rules; tests/cc compares them with ONNX's own inference on whole models.
#include "graph/ops.h"

#include <gtest/gtest.h>
#include <set>

#include "graph/graph.h"
#include "onnx/defs/schema.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::message_of;
using Ints = std::vector<int64_t>;

TEST(OpTable, IsSortedAndUniquePerDomain) {
  std::set<std::string_view> names;
  std::string_view last;
  std::string_view domain;
  for (const OpRow& row : op_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_TRUE(row.domain.empty() || row.domain == kMicrosoftDomain) << row.name;
    if (row.domain == domain) {
      EXPECT_LT(last, row.name);
    }
    last = row.name;
    domain = row.domain;
    EXPECT_NE(row.infer, nullptr);
    EXPECT_EQ(&op_row(row.name), &row);
  }
  message_of(ErrorCode::kUnsupported, [] { op_row("Nothing"); });
  message_of(ErrorCode::kUnsupported, [] { op_row(""); });
}

// since_opset is the version of the operator that the lowest opset we write has.
TEST(OpTable, AgreesWithOnnxsSchemas) {
  for (const OpRow& row : op_table()) {
    if (row.domain.empty()) {
      const onnx::OpSchema* schema =
          onnx::OpSchemaRegistry::Schema(std::string(row.name), std::max(17, row.since_opset), "");
      ASSERT_NE(schema, nullptr) << row.name;
      EXPECT_EQ(schema->SinceVersion(), row.since_opset) << row.name;
    }
  }
}

// The types of an operator's outputs as text.
class Rules : public ::testing::Test {
 protected:
  Value x(Dims dims, DType dtype = DType::kF32) {
    return graph_.input("in" + std::to_string(++count_), dtype, std::move(dims));
  }
  std::string infer(std::string_view op,
                    const std::vector<Value>& inputs,
                    Attributes attributes = {}) {
    return to_string(
        graph_.op(op, "n" + std::to_string(++count_), inputs, std::move(attributes)).type);
  }
  std::vector<Value> all(std::string_view op,
                         const std::vector<Value>& inputs,
                         Attributes attributes,
                         const std::vector<size_t>& wanted) {
    return graph_.ops(op, "n" + std::to_string(++count_), inputs, std::move(attributes), wanted);
  }
  void refuses(std::string_view op,
               const std::vector<Value>& inputs,
               const Attributes& attributes = {}) {
    message_of(ErrorCode::kInvalidArgument, [&] { infer(op, inputs, attributes); });
  }
  Value ints(const Ints& values) { return graph_.integers(values); }

  Graph graph_{"g", 17};
  int count_ = 0;
};

TEST_F(Rules, Broadcast) {
  EXPECT_EQ(infer("Add", {x({2, 3}), x({2, 3})}), "float32[2, 3]");
  EXPECT_EQ(infer("Mul", {x({2, 3}), x({3})}), "float32[2, 3]");
  EXPECT_EQ(infer("Sub", {x({3}), x({2, 1})}), "float32[2, 3]");
  EXPECT_EQ(infer("Div", {x({}), x({4, 5})}), "float32[4, 5]");
  EXPECT_EQ(infer("Add", {x({"n", 1}), x({1, "m"})}), "float32[n, m]");
  EXPECT_EQ(infer("Add", {x({"n"}), x({4})}), "float32[4]");
  EXPECT_EQ(infer("Add", {x({4}), x({"n"})}), "float32[4]");
  EXPECT_EQ(infer("Add", {x({"n", 4}), x({"n", 4})}), "float32[n, 4]");
  EXPECT_EQ(infer("LessOrEqual", {x({2, 1}), x({3})}), "bool[2, 3]");
  EXPECT_EQ(infer("Equal", {x({1}, DType::kI64), x({3}, DType::kI64)}), "bool[3]");
  EXPECT_EQ(infer("Where", {x({1}, DType::kBool), x({3, 1}), x({4})}), "float32[3, 4]");
  refuses("Add", {x({2}), x({3})});
  refuses("Add", {x({2, 3}), x({2})});
  refuses("Add", {x({2}), x({2}, DType::kI64)});
  refuses("LessOrEqual", {x({2}), x({2}, DType::kI64)});
}

TEST_F(Rules, Products) {
  EXPECT_EQ(infer("MatMul", {x({2, 3}), x({3, 4})}), "float32[2, 4]");
  EXPECT_EQ(infer("MatMul", {x({"b", "s", 3}), x({3, 4})}), "float32[b, s, 4]");
  EXPECT_EQ(infer("MatMul", {x({"b", 1, "s", 8}), x({"b", 6, 8, "t"})}), "float32[b, 6, s, t]");
  refuses("MatMul", {x({2, 3}), x({4, 3})});
  refuses("MatMul", {x({3}), x({3, 4})});
  refuses("MatMul", {x({2, 3}), x({3, 4}, DType::kF16)});
  refuses("MatMul", {x({5, 2, 3}), x({4, 3, 2})});
  EXPECT_EQ(infer("Gemm", {x({"n", 3}), x({3, 4})}), "float32[n, 4]");
  EXPECT_EQ(infer("Gemm", {x({"n", 3}), x({4, 3})}, {{"transB", int64_t{1}}}), "float32[n, 4]");
  refuses("Gemm", {x({2, 3}), x({4, 3})});
  refuses("Gemm", {x({1, 2, 3}), x({3, 4})});
}

TEST_F(Rules, Reshape) {
  EXPECT_EQ(infer("Reshape", {x({2, 6}), ints({3, 4})}), "float32[3, 4]");
  EXPECT_EQ(infer("Reshape", {x({2, 6}), ints({-1, 4})}), "float32[3, 4]");
  EXPECT_EQ(infer("Reshape", {x({2, 6}), ints({0, -1, 3})}), "float32[2, 2, 3]");
  EXPECT_EQ(infer("Reshape", {x({"b", "s", 12}), ints({0, 0, 3, 4})}), "float32[b, s, 3, 4]");
  EXPECT_EQ(infer("Reshape", {x({"b", "s", 3, 4}), ints({0, 0, 12})}), "float32[b, s, 12]");
  EXPECT_EQ(infer("Reshape", {x({"b", 24, 5, 5}), ints({0, 24, -1})}), "float32[b, 24, 25]");
  EXPECT_EQ(infer("Reshape", {x({"b", 1, 48}), ints({-1, 48})}), "float32[?, 48]");
  EXPECT_EQ(infer("Reshape", {x({"b", 48}), ints({-1, 1, 48})}), "float32[?, 1, 48]");
  EXPECT_EQ(infer("Reshape", {x({"b", 6, "s", 8}), ints({0, 2, -1, 8})}), "float32[b, 2, ?, 8]");
  EXPECT_EQ(infer("Reshape", {x({"b", "s"}), ints({-1})}), "float32[?]");
  EXPECT_EQ(infer("Reshape", {x({2, 6}), x({3}, DType::kI64)}), "float32[?, ?, ?]");
}

TEST_F(Rules, MovedAxes) {
  EXPECT_EQ(infer("Transpose", {x({"b", 2, 3})}, {{"perm", Ints{2, 0, 1}}}), "float32[3, b, 2]");
  refuses("Transpose", {x({2, 3})});
  refuses("Transpose", {x({2, 3})}, {{"perm", Ints{0}}});
  EXPECT_EQ(infer("Concat", {x({2, 3}), x({2, 4}), x({2, 1})}, {{"axis", int64_t{1}}}),
            "float32[2, 8]");
  EXPECT_EQ(infer("Concat", {x({2, "p"}), x({2, 4})}, {{"axis", int64_t{-1}}}), "float32[2, ?]");
  refuses("Concat", {x({2, 3}), x({2, 4})}, {{"axis", int64_t{2}}});
  EXPECT_EQ(infer("Slice", {x({"b", 5, 6}), ints({0}), ints({2}), ints({1})}), "float32[b, ?, 6]");
  refuses("Slice", {x({2, 5}), ints({0}), ints({2}), x({1}, DType::kI64)});
  refuses("Slice", {x({2, 5}), ints({0}), ints({2}), ints({2})});
  EXPECT_EQ(infer("Unsqueeze", {x({"b", 4}), ints({1})}), "float32[b, 1, 4]");
  EXPECT_EQ(infer("Unsqueeze", {x({4}), ints({-1})}), "float32[4, 1]");
  EXPECT_EQ(infer("Unsqueeze", {x({4}), ints({0, 2})}), "float32[1, 4, 1]");
  refuses("Unsqueeze", {x({4}), ints({2})});
  EXPECT_EQ(infer("Squeeze", {x({1, 4, 1}), ints({0, 2})}), "float32[4]");
  refuses("Squeeze", {x({1, 4}), ints({2})});
  const std::vector<Value> parts =
      all("Split", {x({"b", 10}), ints({3, 7})}, {{"axis", int64_t{1}}}, {0, 1});
  EXPECT_EQ(to_string(parts[0].type), "float32[b, 3]");
  EXPECT_EQ(to_string(parts[1].type), "float32[b, 7]");
  refuses("Split", {x({4}), x({2}, DType::kI64)});
}

TEST_F(Rules, LookupsAndSizes) {
  EXPECT_EQ(infer("Gather", {x({320, 64}), x({"b", "s"}, DType::kI64)}), "float32[b, s, 64]");
  EXPECT_EQ(infer("Gather", {x({"b", "s", 8}), ints({-1})}, {{"axis", int64_t{1}}}),
            "float32[b, 1, 8]");
  EXPECT_EQ(infer("Gather", {x({3}, DType::kI64), graph_.integer(0)}), "int64[]");
  refuses("Gather", {x({3}), ints({0})}, {{"axis", int64_t{1}}});
  EXPECT_EQ(infer("NonZero", {x({"b", 4})}), "int64[2, ?]");
  EXPECT_EQ(infer("Shape", {x({"b", "s", 8})}), "int64[3]");
  EXPECT_EQ(infer("Range", {graph_.integer(0), x({}, DType::kI64), graph_.integer(1)}), "int64[?]");
  EXPECT_EQ(infer("Expand", {x({1}, DType::kI64), x({1}, DType::kI64)}), "int64[?]");
  EXPECT_EQ(infer("Cast", {x({"b"}, DType::kI64)}, {{"to", int64_t{6}}}), "int32[b]");
  EXPECT_EQ(infer("ReduceMean", {x({"b", "s", 8})}, {{"axes", Ints{-1}}}), "float32[b, s, 1]");
  EXPECT_EQ(infer("ReduceMean", {x({"b", "s", 8}), ints({1, 2})}), "float32[b, 1, 1]");
  refuses("ReduceMean", {x({2})}, {{"axes", Ints{1}}});
  EXPECT_EQ(infer("Conv", {x({"b", 3, 40, 33}), x({24, 3, 8, 8})}, {{"strides", Ints{8, 8}}}),
            "float32[b, 24, 5, 4]");
  EXPECT_EQ(infer("Conv", {x({1, 3, "h", 9}), x({2, 3, 2, 2})}), "float32[1, 2, ?, 8]");
}

TEST_F(Rules, SameAsTheInput) {
  for (const std::string_view op : {"Erf",
                                    "Sigmoid",
                                    "Softmax",
                                    "Sqrt",
                                    "Tanh",
                                    "LayerNormalization",
                                    "FastGelu",
                                    "Gelu",
                                    "QuickGelu",
                                    "MultiHeadAttention"}) {
    EXPECT_EQ(infer(op, {x({"b", 4})}), "float32[b, 4]") << op;
    refuses(op, {});
  }
  EXPECT_EQ(infer("Pow", {x({2, 3}), x({})}), "float32[2, 3]");
}

TEST_F(Rules, GroupQueryAttention) {
  const Value query = x({"b", "s", 64});
  const Value past = x({"b", 2, "p", 8});
  const std::vector<Value> outputs = all("GroupQueryAttention",
                                         {query, Value{}, Value{}, past, past},
                                         {{"num_heads", int64_t{4}}, {"kv_num_heads", int64_t{2}}},
                                         {0, 1, 2});
  EXPECT_EQ(to_string(outputs[0].type), "float32[b, s, 32]");
  EXPECT_EQ(to_string(outputs[1].type), "float32[b, 2, total_sequence_length, 8]");
  EXPECT_EQ(to_string(outputs[2].type), "float32[b, 2, total_sequence_length, 8]");
  refuses("GroupQueryAttention", {query});
}

TEST_F(Rules, Logic) {
  const Value flags = x({"n", 1}, DType::kBool);
  EXPECT_EQ(infer("And", {flags, x({4}, DType::kBool)}), "bool[n, 4]");
  EXPECT_EQ(infer("Or", {flags, flags}), "bool[n, 1]");
  EXPECT_EQ(infer("Not", {flags}), "bool[n, 1]");
  EXPECT_EQ(infer("Less", {x({2}), x({})}), "bool[2]");
  refuses("And", {x({2}), x({2})});
  refuses("Or", {flags, x({2})});
}

TEST_F(Rules, Searches) {
  EXPECT_EQ(infer("ArgMax", {x({"b", 1, 9})}, {{"axis", int64_t{2}}, {"keepdims", int64_t{0}}}),
            "int64[b, 1]");
  EXPECT_EQ(infer("ArgMax", {x({"b", 9})}, {{"axis", int64_t{-1}}}), "int64[b, 1]");
  const std::vector<Value> top = all("TopK", {x({"b", "n"}), ints({5})}, {}, {0, 1});
  EXPECT_EQ(to_string(top[0].type), "float32[b, 5]");
  EXPECT_EQ(to_string(top[1].type), "int64[b, 5]");
  EXPECT_EQ(infer("TopK", {x({2, 3}), x({1}, DType::kI64)}, {{"axis", int64_t{0}}}),
            "float32[?, 3]");
  const Value picks = x({"b", 3, 1}, DType::kI64);
  EXPECT_EQ(infer("GatherND", {x({"b", 9, "t"}), picks}, {{"batch_dims", int64_t{1}}}),
            "float32[b, 3, t]");
  EXPECT_EQ(infer("GatherND", {x({9, 4}), x({2, 2}, DType::kI64)}), "float32[2]");
  refuses("GatherND", {x({9}), x({2, 2}, DType::kI64)});
  refuses("GatherND", {x({9}), x({2, "n"}, DType::kI64)});
  refuses("ArgMax", {x({2})}, {{"axis", int64_t{1}}});
}

TEST_F(Rules, Reductions) {
  const Value value = x({"b", 3, 4});
  EXPECT_EQ(infer("ReduceMax", {value}, {{"keepdims", int64_t{0}}}), "float32[]");
  EXPECT_EQ(infer("ReduceMin", {value}), "float32[1, 1, 1]");
  EXPECT_EQ(infer("ReduceSum", {value, ints({0, -1})}, {{"keepdims", int64_t{0}}}), "float32[3]");
  refuses("ReduceSum", {value, x({1}, DType::kI64)});
  refuses("ReduceSum", {value, ints({3})});
}

TEST_F(Rules, ExpandKnowsWhatCannotBroadcast) {
  const Value shape = x({3}, DType::kI64);
  EXPECT_EQ(infer("Expand", {x({1, int64_t{0}, 16}), shape}), "float32[?, 0, 16]");
  EXPECT_EQ(infer("Expand", {x({}), shape}), "float32[?, ?, ?]");
}

// A rule must not answer a wrong call with an exception of the standard library.
TEST_F(Rules, RefuseShapesThatCannotBe) {
  refuses("Reshape", {x({2}), ints({0, 0})});
  refuses("Transpose", {x({2, 3})}, {{"perm", Ints{0, 2}}});
  refuses("Transpose", {x({2, 3})}, {{"perm", Ints{-1, 0}}});
  refuses("Concat", {x({2, 3}), x({2})}, {{"axis", int64_t{1}}});
  refuses("Cast", {x({2})}, {{"to", int64_t{77}}});
  refuses("Expand", {x({2}), x({"n"}, DType::kI64)});
  refuses("Reshape", {x({2}), x({"n"}, DType::kI64)});
  refuses("Conv", {x({1, 3, 8, 8}), x({2, 3})});
}

}  // namespace
}  // namespace lorapress
