#include "schemes/int8.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include "graph/check.h"
#include "parsed_model.h"
#include "quant/int8_weight.h"

namespace lorapress {
namespace {

using test::contains;
using test::count_nodes;
using test::largest_gap;
using test::message_of;
using test::parsed_model;
using test::Random;
using test::random_weight;
using test::run_model;
using test::Weights;

Model quantized(const Model& model, DType dtype, const SchemeOptions& options = {}) {
  Model changed = model;
  std::vector<std::string> notes;
  (dtype == DType::kU8 ? apply_uint8 : apply_int8)(changed, {options, nullptr, &notes, 1});
  check_model(changed);
  return changed;
}

uint64_t weight_bytes(const Model& model) {
  uint64_t sum = 0;
  for (const auto& [name, weight] : model.weights) {
    sum += weight->bytes();
  }
  return sum;
}

OrtTensor floats(Shape shape, uint32_t seed) {
  size_t count = 1;
  for (const int64_t dim : shape) {
    count *= static_cast<size_t>(dim);
  }
  return OrtTensor::floats(std::move(shape), Random(seed).numbers(count));
}

// Of sums of at most 64 products of values below 1, each factor off by half a step at most: far
// below 64 / 64. Saturating kernels would be off by more than 1.
constexpr float kTolerance = 0.25F;

const std::string kTwoProducts =
    "g (float[b,64] x) => (float[b,32] y, float[b,16] z) {"
    "  y = MatMul(x, w)"
    "  p = MatMul(x, v)"
    "  z = Add(p, c)"
    "}";
Weights two_products() {
  return {{"w", random_weight({64, 32}, 1)},
          {"v", transpose(random_weight({16, 64}, 2))},
          {"c", random_weight({16}, 3)}};
}

TEST(Int8Pass, QuantizesAnActivationOnce) {
  const Model model = parsed_model(kTwoProducts, two_products());
  const OrtTensor x = floats({5, 64}, 4);
  const auto wanted = run_model(model, {{"x", &x}});
  for (const DType dtype : {DType::kI8, DType::kU8}) {
    const Model changed = quantized(model, dtype);
    EXPECT_EQ(count_nodes(changed, "DynamicQuantizeLinear"), 1U);
    EXPECT_EQ(count_nodes(changed, "MatMulInteger"), 2U);
    EXPECT_EQ(count_nodes(changed, "MatMul"), 0U);
    EXPECT_EQ(changed.weights.at("w_quantized")->dtype(), dtype);
    EXPECT_FALSE(changed.weights.contains("w"));
    const auto got = run_model(changed, {{"x", &x}});
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_LE(largest_gap(got[i], wanted[i]), kTolerance);
      EXPECT_GT(largest_gap(got[i], wanted[i]), 0.0F);
    }
  }
}

TEST(Int8Pass, TakesOneScalePerTensor) {
  SchemeOptions options;
  options.per_channel = false;
  const Model model = parsed_model(kTwoProducts, two_products());
  const Model changed = quantized(model, DType::kU8, options);
  EXPECT_EQ(changed.weights.at("w_scale")->shape(), Shape{});
  EXPECT_EQ(quantized(model, DType::kU8).weights.at("w_scale")->shape(), Shape{32});
  const OrtTensor x = floats({5, 64}, 4);
  EXPECT_LE(largest_gap(run_model(changed, {{"x", &x}})[0], run_model(model, {{"x", &x}})[0]),
            kTolerance);
}

TEST(Int8Pass, LeavesWhatIsExcluded) {
  SchemeOptions options;
  options.exclude = {"v"};
  const Model model = parsed_model(kTwoProducts, two_products());
  const Model changed = quantized(model, DType::kU8, options);
  EXPECT_EQ(count_nodes(changed, "MatMulInteger"), 1U);
  EXPECT_TRUE(changed.weights.contains("v"));
  Model named = model;
  named.proto.mutable_graph()->mutable_node(0)->set_name("/first");
  options.exclude = {"/first"};
  EXPECT_TRUE(quantized(named, DType::kU8, options).weights.contains("w"));
}

TEST(Int8Pass, LeavesSmallWeightsAndProductsOfActivations) {
  const Model model = parsed_model(
      "g (float[b,4] x, float[4,b] t) => (float[b,4] y, float[b,b] z) {"
      "  y = MatMul(x, w)"
      "  z = MatMul(x, t)"
      "}",
      {{"w", random_weight({4, 4}, 1)}});
  const Model changed = quantized(model, DType::kU8);
  EXPECT_EQ(count_nodes(changed, "MatMul"), 2U);
  EXPECT_EQ(count_nodes(changed, "DynamicQuantizeLinear"), 0U);
}

// A weight that something else reads would be there twice.
TEST(Int8Pass, LeavesAWeightThatIsReadAsItIs) {
  const Model model = parsed_model(
      "g (float[b,32] x) => (float[b,32] y, float[32,32] z) {"
      "  y = MatMul(x, w)"
      "  z = Abs(w)"
      "}",
      {{"w", random_weight({32, 32}, 1)}});
  EXPECT_EQ(count_nodes(quantized(model, DType::kI8), "MatMul"), 1U);
}

const std::string kTied =
    "g (int64[b,s] ids, float[n,24] x) => (float[b,s,24] e, float[n,200] logits) {"
    "  e = Gather(table, ids)"
    "  logits = Gemm <transB = 1> (x, table)"
    "}";

TEST(Int8Pass, StoresATiedTableOnce) {
  const Model model = parsed_model(kTied, {{"table", random_weight({200, 24}, 1)}});
  const OrtTensor ids = OrtTensor::integers({2, 3}, std::vector<int64_t>{0, 199, 7, 8, -1, 3});
  const OrtTensor x = floats({2, 24}, 2);
  const auto wanted = run_model(model, {{"ids", &ids}, {"x", &x}});
  for (const bool per_channel : {true, false}) {
    SchemeOptions options;
    options.per_channel = per_channel;
    for (const DType dtype : {DType::kI8, DType::kU8}) {
      const Model changed = quantized(model, dtype, options);
      EXPECT_EQ(changed.weights.at("table_quantized")->shape(), (Shape{24, 200}));
      EXPECT_LE(weight_bytes(changed), 200 * 24 + 200 * 4 + 100U);
      const auto got = run_model(changed, {{"ids", &ids}, {"x", &x}});
      const float half_step = 0.5F / static_cast<float>(int8_steps(dtype));  // of values below 1
      EXPECT_LE(largest_gap(got[0], wanted[0]), half_step);
      EXPECT_LE(largest_gap(got[1], wanted[1]), kTolerance);
    }
  }
}

TEST(Int8Pass, LooksUpAnUntiedTable) {
  const Model model = parsed_model("g (int64[n] ids) => (float[n,24] e) { e = Gather(table, ids) }",
                                   {{"table", random_weight({200, 24}, 1)}});
  const OrtTensor ids = OrtTensor::integers({3}, std::vector<int64_t>{0, 199, 7});
  const auto wanted = run_model(model, {{"ids", &ids}});
  for (const DType dtype : {DType::kI8, DType::kU8}) {
    const Model changed = quantized(model, dtype);
    EXPECT_EQ(changed.weights.at("table_quantized")->shape(), (Shape{200, 24}));
    EXPECT_LE(largest_gap(run_model(changed, {{"ids", &ids}})[0], wanted[0]),
              0.5F / static_cast<float>(int8_steps(dtype)));
  }
}

TEST(Int8Pass, KeepsTheBiasOfAGemm) {
  const Model model =
      parsed_model("g (float[b,64] x) => (float[b,32] y) { y = Gemm(x, w, c) }",
                   {{"w", random_weight({64, 32}, 1)}, {"c", random_weight({32}, 2, 10.0F)}});
  const OrtTensor x = floats({5, 64}, 3);
  const Model changed = quantized(model, DType::kU8);
  EXPECT_EQ(count_nodes(changed, "Gemm"), 0U);
  EXPECT_LE(largest_gap(run_model(changed, {{"x", &x}})[0], run_model(model, {{"x", &x}})[0]),
            kTolerance);
}

// Factors far from 1: what they make is what the Gemm makes, infinite or not a number where that
// is.
TEST(Int8Pass, AppliesTheFactorsOfAGemm) {
  const OrtTensor x = floats({5, 64}, 3);
  for (const auto& [alpha, beta] : {std::pair("0.5", "2.0"),
                                    {"-1e30", "1.0"},
                                    {"3e38", "1.0"},
                                    {"1e-30", "0.0"},
                                    {"0.0", "1e-20"}}) {
    const Model model = parsed_model(
        fmt::format(
            "g (float[b,64] x) => (float[b,32] y) {{ y = Gemm <alpha = {}, beta = {}> (x, w, c) }}",
            alpha,
            beta),
        {{"w", random_weight({64, 32}, 1)}, {"c", random_weight({32}, 2, 10.0F)}});
    const Model changed = quantized(model, DType::kU8);
    EXPECT_EQ(count_nodes(changed, "Gemm"), 0U);
    const auto wanted = run_model(model, {{"x", &x}})[0];
    const auto got = run_model(changed, {{"x", &x}})[0];
    for (size_t i = 0; i < wanted.size(); ++i) {
      const float scale = std::max(std::fabs(std::strtof(alpha, nullptr)), 1e-30F);
      EXPECT_EQ(std::isfinite(got[i]) || std::fabs(wanted[i]) > 1e38F, true) << alpha << " " << i;
      if (std::isfinite(wanted[i]) && std::isfinite(got[i])) {
        EXPECT_LE(std::fabs(got[i] / scale - wanted[i] / scale), kTolerance) << alpha << " " << i;
      }
    }
  }
}

TEST(Int8Pass, QuantizesAFloat16Model) {
  const Model model = parsed_model(
      "g (float16[b,64] x) => (float[b,32] y, float[b,32] z) {"
      "  a = MatMul(x, w)"
      "  b = Gemm <alpha = 0.5> (x, w, c)"
      "  y = Cast <to = 1> (a)"
      "  z = Cast <to = 1> (b)"
      "}",
      {{"w", cast(random_weight({64, 32}, 1), DType::kF16)},
       {"c", cast(random_weight({32}, 2), DType::kF16)}});
  const OrtTensor x = floats({5, 64}, 3).converted(DType::kF16);
  const auto wanted = run_model(model, {{"x", &x}});
  for (const DType dtype : {DType::kI8, DType::kU8}) {
    const Model changed = quantized(model, dtype);
    EXPECT_EQ(count_nodes(changed, "MatMulInteger"), 2U);
    EXPECT_EQ(count_nodes(changed, "DynamicQuantizeLinear"), 1U);  // one cast, too
    EXPECT_FALSE(changed.weights.contains("w"));
    const auto got = run_model(changed, {{"x", &x}});
    EXPECT_LE(largest_gap(got[0], wanted[0]), kTolerance);
    EXPECT_LE(largest_gap(got[1], wanted[1]), kTolerance);
  }
}

const std::string kBranches =
    "g (bool c, float[b,64] x) => (float[b,32] y) {"
    "  a = Neg(x)"
    "  d = MatMul(a, w)"
    "  y = If (c) <"
    "    then_branch = t () => (float[b,32] p) { p = MatMul(a, w) },"
    "    else_branch = e () => (float[b,32] q) { r = MatMul(x, w) q = Add(r, d) }>"
    "}";

// Bodies read the weights of the main graph; what is quantized in one body is no other's.
TEST(Int8Pass, ReachesBodies) {
  const Model model = parsed_model(kBranches, {{"w", random_weight({64, 32}, 1)}});
  const Model changed = quantized(model, DType::kU8);
  EXPECT_EQ(count_nodes(changed, "MatMulInteger"), 3U);
  EXPECT_EQ(count_nodes(changed, "DynamicQuantizeLinear"), 3U);
  const OrtTensor x = floats({5, 64}, 3);
  for (const bool branch : {false, true}) {
    OrtTensor c(DType::kBool, {});
    Model with = model;
    Model with_changed = changed;
    for (Model* each : {&with, &with_changed}) {  // the condition as a constant
      each->proto.mutable_graph()->mutable_input()->DeleteSubrange(0, 1);
      *each->proto.mutable_graph()->add_initializer() = declare("c", *zeros(DType::kBool, {}));
      each->weights["c"] = constant_weight(DType::kBool, {}, {static_cast<std::byte>(branch)});
    }
    EXPECT_LE(largest_gap(run_model(with_changed, {{"x", &x}})[0], run_model(with, {{"x", &x}})[0]),
              2 * kTolerance);
  }
}

TEST(Int8Pass, NamesAWeightThatIsNotFinite) {
  std::vector<float> values(64 * 32, 1.0F);
  values[32 * 5 + 6] = std::numeric_limits<float>::quiet_NaN();
  Model model = parsed_model("g (float[b,64] x) => (float[b,32] y) { y = MatMul(x, w) }",
                             {{"w", float_constant({64, 32}, values)}});
  const SchemeOptions options;
  const std::string text = message_of(ErrorCode::kInvalidFile,
                                      [&] { apply_uint8(model, {options, nullptr, nullptr, 1}); });
  EXPECT_TRUE(contains(text, "w: the value at [5, 6]")) << text;
}

// Opsets before 11 have no DynamicQuantizeLinear.
TEST(Int8Pass, MultipliesInOldOpsets) {
  const OrtTensor x = floats({5, 64}, 4);
  for (const int opset : {7, 9, 10}) {
    const Model model = parsed_model(kTwoProducts, two_products(), opset);
    const auto wanted = run_model(model, {{"x", &x}});
    for (const bool per_channel : {true, false}) {
      for (const DType dtype : {DType::kI8, DType::kU8}) {
        SchemeOptions options;
        options.per_channel = per_channel;
        const Model changed = quantized(model, dtype, options);
        EXPECT_EQ(opset_of(changed.proto, ""), opset);
        EXPECT_EQ(count_nodes(changed, "DynamicQuantizeMatMul"), 2U);
        EXPECT_LE(largest_gap(run_model(changed, {{"x", &x}})[0], wanted[0]), kTolerance);
      }
    }
  }
}

}  // namespace
}  // namespace lorapress
