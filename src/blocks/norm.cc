#include "blocks/norm.h"

namespace lorapress {
namespace {

// ReduceMean takes its axes as an attribute up to opset 17, as an input from 18 on.
Value mean_of_last(const Builder& b, const std::string& name, const Value& x) {
  if (b.graph.opset() < 18) {
    return b.graph.op(
        "ReduceMean", name, {x}, {{"axes", std::vector<int64_t>{-1}}, {"keepdims", int64_t{1}}});
  }
  return b.graph.op("ReduceMean", name, {x, b.graph.integers({-1})}, {{"keepdims", int64_t{1}}});
}

Value rms_norm_of(
    const Builder& b, const std::string& scope, const Value& x, const Value& weight, double eps) {
  Graph& graph = b.graph;
  const Value squared = graph.op("Pow", scope + "/Pow", {x, graph.scalar(2.0F)});
  const Value mean = mean_of_last(b, scope + "/ReduceMean", squared);
  const Value shifted =
      graph.op("Add", scope + "/Add", {mean, graph.scalar(static_cast<float>(eps))});
  const Value root = graph.op("Sqrt", scope + "/Sqrt", {shifted});
  const Value scaled = graph.op("Div", scope + "/Div", {x, root});
  return graph.op("Mul", scope + "/Mul", {scaled, weight});
}

}  // namespace

//  x ─┬─ Pow(2) ── ReduceMean ── Add(eps) ── Sqrt ─┐
//     └─────────────────────────────────────────── Div ── Mul(weight) ── y
// In both dialects: ONNX Runtime fuses this form by itself, and its own name for the fused operator
// (SimplifiedLayerNormalization in ai.onnx) would not pass the checker.
Value rms_norm(const Builder& b,
               const std::string& scope,
               const Value& x,
               const NormWeights& norm) {
  return rms_norm_of(b, scope, x, b.weight(norm.name + ".weight", norm.weight), norm.eps);
}

//  fused:    (x, added) ── SkipSimplifiedLayerNormalization(weight) ── normalized, sum
//  standard: sum = Add(x, added); normalized = rms_norm(sum)
Residual skip_rms_norm(const Builder& b,
                       const std::string& scope,
                       const Value& x,
                       const Value& added,
                       const NormWeights& norm) {
  const Value weight = b.weight(norm.name + ".weight", norm.weight);
  if (b.fused()) {
    const std::string type = "SkipSimplifiedLayerNormalization";
    const std::vector<Value> outputs = b.graph.ops(type,
                                                   scope + "/" + type,
                                                   {x, added, weight},
                                                   {{"epsilon", static_cast<float>(norm.eps)}},
                                                   {0, 3});
    return {outputs[0], outputs[1]};
  }
  const Value sum = b.graph.op("Add", scope + "/Residual", {x, added});
  return {rms_norm_of(b, scope, sum, weight, norm.eps), sum};
}

Value layer_norm(const Builder& b,
                 const std::string& scope,
                 const Value& x,
                 const NormWeights& norm) {
  std::vector<Value> inputs{x, b.weight(norm.name + ".weight", norm.weight)};
  if (norm.bias) {
    inputs.push_back(b.weight(norm.name + ".bias", norm.bias));
  }
  return b.graph.op("LayerNormalization",
                    scope + "/LayerNormalization",
                    inputs,
                    {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(norm.eps)}});
}

//  sum = Add(x, added); normalized = LayerNormalization(sum)
// In both dialects: ONNX Runtime's SkipLayerNormalization takes four times as long on a CPU as
// these two (22 against 5 ms of an int8 encoder, one thread; `bench/peers/profile.py` shows it).
Residual skip_layer_norm(const Builder& b,
                         const std::string& scope,
                         const Value& x,
                         const Value& added,
                         const NormWeights& norm) {
  const Value sum = b.graph.op("Add", scope + "/Residual", {x, added});
  return {layer_norm(b, scope, sum, norm), sum};
}

}  // namespace lorapress
