#include "schemes/q4.h"

#include <gtest/gtest.h>

#include "graph/model_proto.h"
#include "graph/write.h"
#include "quant/quantized_weight.h"
#include "rewrite/rewrite.h"
#include "runtime/ort/ort.h"
#include "schemes/bnb4.h"
#include "schemes/int8.h"
#include "test_util.h"
#include "weight_error.h"
#include "weights/stream.h"

namespace lorapress {
namespace {

using test::Random;
using test::TempFolder;
using test::weight_errors;
using test::WeightError;
using test::WeightErrors;

SchemeOptions options_with(int64_t block_size, bool symmetric) {
  SchemeOptions options;
  options.block_size = block_size;
  options.symmetric = symmetric;
  return options;
}

Model quantized(Model model, const SchemeOptions& options) {
  apply_q4(model, {options});
  return model;
}

std::map<std::string, size_t> operators(const Model& model) {
  std::map<std::string, size_t> count;
  for (const auto& node : model.proto.graph().node()) {
    ++count[node.op_type()];
  }
  return count;
}

// The values that the blocks of a matrix [rows, columns] are restored to.
std::vector<float> restored(const Model& model, const std::string& packed) {
  const auto& weight = dynamic_cast<const QuantizedWeight&>(*model.weights.at(packed));
  std::vector<float> original(static_cast<size_t>(weight.matrix().rows() * weight.matrix().cols()));
  std::vector<float> values(original.size());
  weight.restore(0, weight.matrix().rows(), original, values);
  return values;
}

std::vector<float> run_ids(const Model& model, const std::vector<int64_t>& ids) {
  const TempFolder folder;
  write_files(plan_onnx(model, folder / "m.onnx", false), {});
  const OrtSession session(folder / "m.onnx", 1);
  const OrtTensor input = OrtTensor::integers({1, static_cast<int64_t>(ids.size())}, ids);
  const auto outputs = session.run({{"ids", &input}}, {"y"});
  return {outputs[0].as_floats().begin(), outputs[0].as_floats().end()};
}

//  ids ── Gather(table) ── y
Model lookup_model(int64_t columns) {
  Graph graph("lookup", 17);
  const Value ids = graph.input("ids", DType::kI64, {"batch", "sequence"});
  const Value table = graph.initializer(
      "table",
      float_constant({300, columns}, Random(3).numbers(static_cast<size_t>(300 * columns))));
  graph.output(graph.op("Gather", "/Gather", {table, ids}, {{"axis", int64_t{0}}}),
               "y",
               {"batch", "sequence", columns});
  return to_model(graph);
}

TEST(Q4, LooksUpExactlyTheRestoredRows) {
  for (const int64_t columns : {64, 96, 80, 75}) {  // an odd number of blocks, ragged ones
    for (const bool symmetric : {true, false}) {
      for (const int64_t block_size : {16, 32}) {
        const Model model = quantized(lookup_model(columns), options_with(block_size, symmetric));
        EXPECT_EQ(model.weights.count("table"), 0U);
        const std::vector<float> values = restored(model, "table_Q4");
        const std::vector<int64_t> ids{0, 299, 17, 17};
        const std::vector<float> found = run_ids(model, ids);
        const auto width = static_cast<size_t>(columns);
        ASSERT_EQ(found.size(), ids.size() * width);
        for (size_t i = 0; i < found.size(); ++i) {
          const size_t row = static_cast<size_t>(ids[i / width]);
          ASSERT_EQ(found[i], values[row * width + i % width]) << columns << symmetric << " " << i;
        }
      }
    }
  }
}

struct GemmCase {
  bool transposed;  // transB
  float alpha;
  float beta;
  bool bias;
};

//  x ── Gemm(w, bias) ── y
Model gemm_model(const GemmCase& test) {
  Graph graph("gemm", 17);
  Random random(4);
  const Value x = graph.input("x", DType::kF32, {"rows", 70});
  const Shape shape = test.transposed ? Shape{24, 70} : Shape{70, 24};
  const Value w = graph.initializer("w", float_constant(shape, random.numbers(24 * 70)));
  std::vector<Value> inputs{x, w};
  if (test.bias) {
    inputs.push_back(graph.initializer("bias", float_constant({24}, random.numbers(24))));
  }
  const Value y =
      test.transposed
          ? graph.op("Gemm",
                     "/Gemm",
                     inputs,
                     {{"transB", int64_t{1}}, {"alpha", test.alpha}, {"beta", test.beta}})
          : graph.op("Gemm", "/Gemm", inputs, {{"alpha", test.alpha}, {"beta", test.beta}});
  graph.output(y, "y", {"rows", 24});
  return to_model(graph);
}

std::vector<float> run_rows(const Model& model, std::span<const float> rows, int64_t columns) {
  const TempFolder folder;
  write_files(plan_onnx(model, folder / "m.onnx", false), {});
  const OrtSession session(folder / "m.onnx", 1);
  const OrtTensor x = OrtTensor::floats({std::ssize(rows) / columns, columns}, rows);
  const auto outputs = session.run({{"x", &x}}, {"y"});
  return {outputs[0].as_floats().begin(), outputs[0].as_floats().end()};
}

void expect_close(const std::vector<float>& expected, const std::vector<float>& found) {
  ASSERT_EQ(expected.size(), found.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(expected[i], found[i], 2e-4F) << i;
  }
}

TEST(Q4, MultipliesByTheRestoredMatrix) {
  const std::vector<float> rows = Random(5).numbers(3 * 70);
  for (const GemmCase& test : std::vector<GemmCase>{{false, 1.0F, 1.0F, true},
                                                    {true, 1.0F, 1.0F, false},
                                                    {true, 0.5F, 2.0F, true},
                                                    {false, -2.0F, 1.0F, false},
                                                    {true, 1.0F, 0.0F, true}}) {
    for (const bool symmetric : {true, false}) {
      const Model before = gemm_model(test);
      SchemeOptions options = options_with(32, symmetric);
      options.accuracy_level = 0;  // activations as they are
      Model nbits = quantized(before, options);
      Model bnb4 = before;
      apply_bnb4(bnb4, {options});
      EXPECT_EQ(operators(nbits)["MatMulNBits"], 1U);
      EXPECT_EQ(operators(bnb4)["MatMulBnb4"], 1U);
      EXPECT_EQ(operators(nbits)["Gemm"] + operators(bnb4)["Gemm"], 0U);
      for (const auto& [model, packed] : {std::pair(&nbits, "w_Q4"), std::pair(&bnb4, "w_Bnb4")}) {
        // The same Gemm over the restored values.
        std::vector<float> values = restored(*model, packed);
        WeightPtr matrix = float_constant({24, 70}, values);
        Model expected = before;
        expected.weights["w"] = test.transposed ? matrix : transpose(matrix);
        expect_close(run_rows(expected, rows, 70), run_rows(*model, rows, 70));
      }
    }
  }
}

Model products_model() {
  Graph graph("products", 17);
  Random random(6);
  const Value x = graph.input("x", DType::kF32, {"rows", 64});
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    return graph.initializer(
        name, float_constant({rows, columns}, random.numbers(static_cast<size_t>(rows * columns))));
  };
  const Value shared = matrix("shared", 64, 64);
  Value y = graph.op("MatMul", "/one", {x, shared});
  y = graph.op("MatMul", "/two", {y, shared});
  y = graph.op("MatMul", "/three", {y, matrix("excluded", 64, 64)});
  const Value also_added = matrix("also_added", 64, 64);
  y = graph.op("Add", "/Add", {graph.op("MatMul", "/four", {y, also_added}), also_added});
  y = graph.op("MatMul", "/five", {y, matrix("narrow", 64, 4)});
  y = graph.op("MatMul", "/six", {y, matrix("short", 4, 8)});
  graph.output(y, "y", {"rows", 8});
  return to_model(graph);
}

TEST(Q4, TakesMatricesThatOnlyProductsRead) {
  SchemeOptions options;
  options.exclude = {"/three"};
  const Model model = quantized(products_model(), options);
  EXPECT_EQ(operators(model)["MatMulNBits"], 3U);  // shared twice, narrow
  for (const char* name :
       {"shared_Q4", "shared_scales", "narrow_Q4", "excluded", "also_added", "short"}) {
    EXPECT_EQ(model.weights.count(name), 1U) << name;
  }
  EXPECT_EQ(model.weights.count("shared"), 0U);
  EXPECT_EQ(opset_of(model.proto, "com.microsoft"), 1);
  options.exclude = {"shared"};
  EXPECT_EQ(quantized(products_model(), options).weights.count("shared"), 1U);
}

TEST(Q4, WritesTheAccuracyLevel) {
  SchemeOptions options;
  EXPECT_EQ(options.accuracy_level, 4);  // what nobody chose
  for (const int level : {0, 4}) {
    options.accuracy_level = level;
    const Model model = quantized(products_model(), options);
    for (const auto& node : model.proto.graph().node()) {
      if (node.op_type() == "MatMulNBits") {
        EXPECT_EQ(integer_attribute(node, "accuracy_level", 0), level);
        EXPECT_EQ(integer_attribute(node, "bits", 0), 4);
        EXPECT_EQ(integer_attribute(node, "block_size", 0), 32);
        EXPECT_EQ(node.domain(), "com.microsoft");
      }
    }
  }
}

// A body of If that multiplies by a weight of the main graph.
TEST(Q4, ReachesIntoSubgraphs) {
  Model model = products_model();
  auto* graph = model.proto.mutable_graph();
  onnx::NodeProto branch;
  branch.set_op_type("If");
  branch.set_name("/If");
  branch.add_input("flag");
  branch.add_output("z");
  for (const char* name : {"then_branch", "else_branch"}) {
    auto* attribute = branch.add_attribute();
    attribute->set_name(name);
    attribute->set_type(onnx::AttributeProto::GRAPH);
    auto* body = attribute->mutable_g();
    body->set_name(name);
    *body->add_node() = make_node("MatMul",
                                  std::string("/") + name,
                                  {"x", std::string(name) == "then_branch" ? "shared" : "excluded"},
                                  {std::string(name) + "_y"});
    body->add_output()->set_name(std::string(name) + "_y");
    set_type({DType::kF32, {"rows", 64}}, body->mutable_output(0)->mutable_type());
  }
  *graph->add_node() = branch;
  auto* flag = graph->add_input();
  flag->set_name("flag");
  set_type({DType::kBool, {}}, flag->mutable_type());
  auto* output = graph->add_output();
  output->set_name("z");
  set_type({DType::kF32, {"rows", 64}}, output->mutable_type());
  const Model made = quantized(model, {});
  const auto& node = made.proto.graph().node(made.proto.graph().node_size() - 1);
  ASSERT_EQ(node.op_type(), "If");
  for (const auto& attribute : node.attribute()) {
    EXPECT_EQ(attribute.g().node(0).op_type(), "MatMulNBits");
    EXPECT_EQ(attribute.g().initializer_size(), 0);
  }
  const TempFolder folder;
  write_files(plan_onnx(made, folder / "m.onnx", false), {});
  EXPECT_NO_THROW(OrtSession(folder / "m.onnx", 1));
}

TEST(WeightErrors, AreThoseOfTheRestoredValues) {
  const Model before = products_model();
  const Model after = quantized(before, {});
  const WeightErrors errors = weight_errors(before, after, 2);
  ASSERT_EQ(errors.weights.size(), 3U);  // excluded, narrow, shared
  const WeightError& shared = errors.weights[2];
  EXPECT_EQ(shared.name, "shared");
  EXPECT_EQ(shared.elements, 64U * 64U);
  const std::vector<float> values = restored(after, "shared_Q4");
  const std::vector<float> original = read_all_float32(*transpose(before.weights.at("shared")));
  double error = 0.0;
  double square = 0.0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - static_cast<double>(original[i]), 2);
    square += std::pow(static_cast<double>(original[i]), 2);
  }
  EXPECT_NEAR(shared.relative(), std::sqrt(error / square), 1e-9);
  EXPECT_GT(shared.relative(), 0.03);
  EXPECT_LT(shared.relative(), 0.12);
  EXPECT_GT(errors.all.elements, shared.elements);
  SchemeOptions options;
  options.rounding = Rounding::kSearch;
  EXPECT_LT(weight_errors(before, quantized(before, options), 1).all.relative(),
            errors.all.relative() * 0.97);
}

TEST(WeightErrors, SeeEightBitsAndCasts) {
  const Model before = products_model();
  const auto error_of = [&](void (*apply)(Model&, const SchemeContext&), bool per_channel) {
    SchemeOptions options;
    options.per_channel = per_channel;
    Model after = before;
    apply(after, {options});
    const WeightErrors errors = weight_errors(before, after, 1);
    const auto shared = std::ranges::find(errors.weights, "shared", &WeightError::name);
    EXPECT_NE(shared, errors.weights.end());
    return shared->relative();
  };
  for (const bool per_channel : {false, true}) {
    const double seven_bits = error_of(apply_int8, per_channel);
    const double eight_bits = error_of(apply_uint8, per_channel);
    EXPECT_GT(eight_bits, 1e-3);
    EXPECT_LT(eight_bits, 1e-2);
    EXPECT_NEAR(seven_bits / eight_bits, 127.0 / 64.0, 0.2);  // steps
  }
  EXPECT_LT(error_of(apply_uint8, true), error_of(apply_uint8, false));
  Model half = before;
  half.weights["shared"] = cast(half.weights.at("shared"), DType::kF16);
  const WeightErrors cast_errors = weight_errors(before, half, 1);
  ASSERT_EQ(cast_errors.weights.size(), 1U);
  EXPECT_GT(cast_errors.all.relative(), 1e-5);
  EXPECT_LT(cast_errors.all.relative(), 5e-4);
}

}  // namespace
}  // namespace lorapress
