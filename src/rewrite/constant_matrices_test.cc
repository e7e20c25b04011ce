#include "rewrite/constant_matrices.h"

#include "parsed_model.h"

namespace lorapress {
namespace {

using test::parsed_model;
using test::random_weight;
using Kind = MatrixUse::Kind;

TEST(ConstantMatrices, SayHowANodeReadsThem) {
  Model model = parsed_model(
      "g (float[n,64] x, float[64] v, int64[k] ids) => (float[n,64] y) {"
      "  a = MatMul(x, w)"
      "  b = Gemm <transB = 1> (x, w)"
      "  c = com.microsoft.FusedMatMul <transB = 1> (x, w)"
      "  d = MatMul(v, w)"
      "  e = Gather(w, ids)"
      "  f = Gather(w, w_ids)"
      "  h = MatMul(w, x)"
      "  i = Gemm <transA = 1> (x, w)"
      "  j = Gather <axis = 1> (w, ids)"
      "  y = Add(x, w)"
      "}",
      {{"w", random_weight({64, 64}, 1)},
       {"w_ids", constant_weight(DType::kI64, {1}, std::vector<std::byte>(8))}});
  const Rewriter graph(model);
  struct Row {
    const char* output;
    Kind kind;
    bool rows_are_outputs;
    bool vector_left;
    bool constant_indices;
  };
  std::map<std::string, std::optional<MatrixUse>> uses;
  graph.for_each_node(
      [&](const onnx::NodeProto& node) { uses[node.output(0)] = matrix_use(graph, node); });
  for (const auto& [output, kind, rows_are_outputs, vector_left, constant_indices] :
       {Row{"a", Kind::kProduct, false, false, false},
        Row{"b", Kind::kProduct, true, false, false},
        Row{"c", Kind::kProduct, true, false, false},
        Row{"d", Kind::kProduct, false, true, false},
        Row{"e", Kind::kLookup, true, false, false},
        Row{"f", Kind::kLookup, true, false, true}}) {
    const auto& use = uses.at(output);
    ASSERT_TRUE(use) << output;
    EXPECT_EQ(use->kind, kind) << output;
    EXPECT_EQ(use->weight, "w") << output;
    EXPECT_EQ(use->rows_are_outputs, rows_are_outputs) << output;
    EXPECT_EQ(use->vector_left, vector_left) << output;
    EXPECT_EQ(use->constant_indices, constant_indices) << output;
    EXPECT_FALSE(use->unranked_indices) << output;
  }
  for (const char* output : {"h", "i", "j", "y"}) {
    EXPECT_FALSE(uses.at(output)) << output;
  }
}

TEST(ConstantMatrices, AreReplaceableWhereEveryReaderIs) {
  const auto replaceable = [](const std::string& reader, const SchemeOptions& options = {}) {
    Model model = parsed_model(
        "g (float[n,64] x, int64[k] ids) => (float[n,64] y) { y = MatMul(x, w) " + reader + " }",
        {{"w", random_weight({64, 64}, 1)}});
    const Rewriter graph(model);
    return ConstantMatrices(graph, options).uses().at("w").replaceable;
  };
  EXPECT_TRUE(replaceable(""));
  EXPECT_TRUE(replaceable("z = MatMul(y, w)"));
  EXPECT_FALSE(replaceable("z = Gemm <transB = 1> (y, w)"));
  EXPECT_FALSE(replaceable("z = Gather(w, ids)"));
  EXPECT_FALSE(replaceable("z = Add(y, w)"));
  SchemeOptions options;
  options.exclude = {"w"};
  EXPECT_FALSE(replaceable("", options));
}

}  // namespace
}  // namespace lorapress
