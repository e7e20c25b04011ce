#include "rewrite/products.h"

#include "graph/check.h"
#include "parsed_model.h"
#include "schemes/int8.h"
#include "schemes/outcome.h"
#include "schemes/q4.h"

namespace lorapress {
namespace {

using test::contains;
using test::count_nodes;
using test::largest_gap;
using test::parsed_model;
using test::Random;
using test::random_weight;
using test::run_model;
using test::Weights;

Model expanded(const Model& model, const SchemeOptions& options = {}) {
  Model changed = model;
  expand_products(changed, options);
  infer_types(changed);
  check_model(changed);
  return changed;
}

const std::string kStacked =
    "g (float[n,64] x, float[64] v) => (float[1,n,32] y, float[1,32] z, float[1,n,32] u) {"
    "  y = MatMul(x, w)"
    "  z = MatMul(v, w)"
    "  u = com.microsoft.FusedMatMul <alpha = 0.5> (x, w)"
    "}";

TEST(Products, TakeTheMatrixOutOfAStackOfOne) {
  const OrtTensor x = OrtTensor::floats({3, 64}, Random(1).numbers(3 * 64));
  const OrtTensor v = OrtTensor::floats({64}, Random(2).numbers(64));
  const std::vector<OrtSession::Feed> feeds{{"x", &x}, {"v", &v}};
  for (const int opset : {7, 11, 13, 17}) {
    const Model model = parsed_model(kStacked, {{"w", random_weight({1, 64, 32}, 3)}}, opset);
    const Model changed = expanded(model);
    EXPECT_EQ(changed.weights.at("w")->shape(), (Shape{64, 32}));
    const auto wanted = run_model(model, feeds);
    const auto got = run_model(changed, feeds);
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_LE(largest_gap(got[i], wanted[i]), 1e-5F) << i;
    }
  }
}

TEST(Products, LeaveStacksThatSomethingElseReads) {
  const Model model = parsed_model(
      "g (float[n,64] x) => (float[1,n,32] y, float[1,64,32] z) {"
      "  y = MatMul(x, w)"
      "  z = Abs(w)"
      "}",
      {{"w", random_weight({1, 64, 32}, 3)}});
  EXPECT_EQ(expanded(model).weights.at("w")->shape(), (Shape{1, 64, 32}));
  SchemeOptions options;
  options.exclude = {"w"};
  const Model alone = parsed_model(kStacked, {{"w", random_weight({1, 64, 32}, 3)}});
  EXPECT_EQ(expanded(alone, options).weights.at("w")->shape(), (Shape{1, 64, 32}));
}

TEST(Products, TurnTheLeftSideOfAGemm) {
  const Model model = parsed_model(
      "g (float[64,n] x) => (float[n,32] y) { y = Gemm <transA = 1, alpha = 2.0> (x, w, c) }",
      {{"w", random_weight({64, 32}, 1)}, {"c", random_weight({32}, 2)}});
  const Model changed = expanded(model);
  EXPECT_EQ(count_nodes(changed, "Transpose"), 1U);
  const OrtTensor x = OrtTensor::floats({64, 3}, Random(1).numbers(3 * 64));
  EXPECT_LE(largest_gap(run_model(changed, {{"x", &x}})[0], run_model(model, {{"x", &x}})[0]),
            1e-5F);
}

TEST(Products, TurnTheLeftSideOfAFusedMatMul) {
  const Model model = parsed_model(
      "g (float[2,64,n] x) => (float[2,n,32] y) {"
      "  y = com.microsoft.FusedMatMul <transA = 1, alpha = 2.0> (x, w)"
      "}",
      {{"w", random_weight({64, 32}, 1)}});
  Model changed = model;
  const SchemeOptions options;
  SchemeOutcome outcome;
  apply_uint8(changed, {options, nullptr, nullptr, 1, nullptr, nullptr, &outcome});
  EXPECT_EQ(outcome.quantized, 1);
  const OrtTensor x = OrtTensor::floats({2, 64, 3}, Random(1).numbers(2 * 64 * 3));
  EXPECT_LE(largest_gap(run_model(changed, {{"x", &x}})[0], run_model(model, {{"x", &x}})[0]),
            0.5F);
}

Model attention(const std::string& inputs, const std::string& attributes, int64_t columns = 192) {
  return parsed_model(
      "g (float[2,5,64] x, int32[m] mask) => (float[2,5,64] y) {"
      "  y = com.microsoft.Attention <num_heads = 4" +
          attributes + "> (" + inputs + ")}",
      {{"w", random_weight({64, columns}, 1)}, {"b", random_weight({192}, 2)}});
}

TEST(Products, TakeAnAttentionApart) {
  const OrtTensor x = OrtTensor::floats({2, 5, 64}, Random(1).numbers(2 * 5 * 64));
  for (const std::string attributes : {"", ", unidirectional = 1", ", scale = 0.5"}) {
    Model model = attention("x, w, b", attributes);
    model.proto.mutable_graph()->mutable_input()->RemoveLast();
    const Model changed = expanded(model);
    EXPECT_EQ(count_nodes(changed, "Attention"), 0U);
    EXPECT_EQ(count_nodes(changed, "MultiHeadAttention"), 1U);
    EXPECT_LE(largest_gap(run_model(changed, {{"x", &x}})[0], run_model(model, {{"x", &x}})[0]),
              1e-5F);
  }
}

// What MultiHeadAttention would do otherwise, or what does not add up, stays as it is.
TEST(Products, LeaveAnAttentionThatHasNoOtherForm) {
  const auto reason = [](const Model& model) {
    Model changed = model;
    expand_products(changed, {});
    EXPECT_EQ(count_nodes(changed, "Attention"), 1U);
    std::string found;
    const Rewriter graph(changed);
    graph.for_each_node(
        [&](const onnx::NodeProto& node) { found = attention_obstacle(graph, node); });
    return found;
  };
  EXPECT_TRUE(contains(reason(attention("x, w, b, mask", "")), "mask"));
  EXPECT_TRUE(contains(reason(attention("x, w, b", "", 191)), "in three"));
  EXPECT_TRUE(contains(reason(attention("x, w, b", ", qkv_hidden_sizes = [64, 64]")), "in three"));
  EXPECT_TRUE(contains(
      reason(attention("x, w, b", ", qkv_hidden_sizes = [9223372036854775807, 9, -8]")), "three"));
  EXPECT_TRUE(contains(reason(attention("x, w, b", ", do_rotary = 1")), "rotary"));
  EXPECT_TRUE(contains(reason(attention("x, mask, b", "")), "in three"));
}

// Sizes that do not fit are the checker's to refuse; no pass may fall over them.
TEST(Products, SurviveSizesThatDoNotFit) {
  for (const char* text :
       {"g (float[n,48] x) => (float[1,n,32] y) { y = MatMul(x, w) }",
        "g (float x) => (float[1,n,32] y) { y = MatMul(x, w) }",
        "g (float[3,48,64] x) => (float[n,32] y) { y = Gemm <transA = 1> (x, w) }",
        "g (float[n,64] x) => (float[1,n,32] y) { y = MatMul(x) }",
        "g (float[n,64] x) => (float[1,n,32] y) { y = com.microsoft.Attention(x, w) }"}) {
    const Model model = parsed_model(text, {{"w", random_weight({1, 64, 32}, 3)}});
    const SchemeOptions options;
    for (const auto apply : {apply_q4, apply_q4f16}) {
      Model changed = model;
      EXPECT_NO_THROW(apply(changed, {options})) << text;
    }
    Model changed = model;
    EXPECT_NO_THROW(apply_uint8(changed, {options})) << text;
  }
}

TEST(ConstantMatrices, TellsWhyAMatrixStays) {
  const Model model = parsed_model(
      "g (float[n,64] x, float[2,n,64] s, int64[k] ids) => (float[n,64] y) {"
      "  a = MatMul(x, good)"
      "  b = MatMul(left, x)"
      "  c = MatMul(s, stack)"
      "  d = Gather <axis = 1> (sideways, ids)"
      "  e = Conv(s, kernel)"
      "  f = MatMul(x, added)"
      "  h = Add(f, added)"
      "  i = com.microsoft.FusedMatMul <transBatchA = 1> (s, batch)"
      "  j = Add(x, beside)"
      "  y = Mul(x, beside)"
      "}",
      {{"good", random_weight({64, 64}, 1)},
       {"left", random_weight({64, 64}, 2)},
       {"stack", random_weight({2, 64, 64}, 3)},
       {"sideways", random_weight({64, 64}, 4)},
       {"kernel", random_weight({64, 64, 1}, 5)},
       {"added", random_weight({64, 64}, 6)},
       {"batch", random_weight({64, 64}, 7)},
       {"beside", random_weight({64, 64}, 8)}});
  Model changed = model;
  SchemeOutcome outcome;
  const SchemeOptions options;
  apply_uint8(changed, {options, nullptr, nullptr, 1, nullptr, nullptr, &outcome});
  EXPECT_EQ(outcome.quantized, 1);
  std::map<std::string, std::string> reasons;
  for (const KeptMatrix& kept : outcome.kept) {
    reasons[kept.name] = kept.reason;
  }
  const std::map<std::string, std::string> wanted{
      {"left", "the constant is on the left"},
      {"stack", "a stack of 2 matrices"},
      {"sideways", "looked up along another axis than the first"},
      {"kernel", "read by Conv"},
      {"added", "read by Add, too"},
      {"batch", "FusedMatMul transposes its left side"}};
  EXPECT_EQ(reasons, wanted);
  EXPECT_TRUE(contains(describe_kept(outcome), "; left (the constant is on the left)"));
}

TEST(ConstantMatrices, NamesTwentyForEachReason) {
  SchemeOutcome outcome;
  for (int i = 0; i < 25; ++i) {
    outcome.kept.push_back({fmt::format("/{}", i), "read by Conv"});
  }
  const std::string text = describe_kept(outcome);
  EXPECT_TRUE(contains(text, "/19 and 5 more (read by Conv)")) << text;
  EXPECT_FALSE(contains(text, "/20"));
  EXPECT_EQ(describe_kept({}), "");
}

}  // namespace
}  // namespace lorapress
