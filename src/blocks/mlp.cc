#include "blocks/mlp.h"

#include <cmath>
#include <numbers>

namespace lorapress {
namespace {

//  x ─┬─ Pow(3) ── Mul(0.044715) ── Add(x) ── Mul(sqrt(2/pi)) ── Tanh ── Add(1) ─┐
//     └─ Mul(0.5) ──────────────────────────────────────────────────────────── Mul ── y
Value tanh_gelu(const Builder& b, const std::string& scope, const Value& x) {
  Graph& graph = b.graph;
  const Value cubed = graph.op("Pow", scope + "/Pow", {x, graph.scalar(3.0F)});
  const Value small = graph.op("Mul", scope + "/Mul_cube", {cubed, graph.scalar(0.044715F)});
  const Value inner = graph.op("Add", scope + "/Add_cube", {x, small});
  const auto factor = static_cast<float>(std::sqrt(2.0 / std::numbers::pi));
  const Value scaled = graph.op("Mul", scope + "/Mul_scale", {inner, graph.scalar(factor)});
  const Value curve = graph.op("Tanh", scope + "/Tanh", {scaled});
  const Value gate = graph.op("Add", scope + "/Add_one", {curve, graph.scalar(1.0F)});
  const Value half = graph.op("Mul", scope + "/Mul_half", {x, graph.scalar(0.5F)});
  return graph.op("Mul", scope + "/Mul", {half, gate});
}

//  x ─┬─ Div(sqrt 2) ── Erf ── Add(1) ─┐
//     └─ Mul(0.5) ─────────────────── Mul ── y
Value erf_gelu(const Builder& b, const std::string& scope, const Value& x) {
  Graph& graph = b.graph;
  const auto root = static_cast<float>(std::numbers::sqrt2);
  const Value scaled = graph.op("Div", scope + "/Div", {x, graph.scalar(root)});
  const Value curve = graph.op("Erf", scope + "/Erf", {scaled});
  const Value gate = graph.op("Add", scope + "/Add_one", {curve, graph.scalar(1.0F)});
  const Value half = graph.op("Mul", scope + "/Mul_half", {x, graph.scalar(0.5F)});
  return graph.op("Mul", scope + "/Mul", {half, gate});
}

//  x ─┬─ Mul(1.702) ── Sigmoid ─┐
//     └─────────────────────── Mul ── y
Value quick_gelu(const Builder& b, const std::string& scope, const Value& x) {
  constexpr float kAlpha = 1.702F;
  Graph& graph = b.graph;
  if (b.fused()) {
    return graph.op("QuickGelu", scope + "/QuickGelu", {x}, {{"alpha", kAlpha}});
  }
  const Value scaled = graph.op("Mul", scope + "/Mul_scale", {x, graph.scalar(kAlpha)});
  const Value gate = graph.op("Sigmoid", scope + "/Sigmoid", {scaled});
  return graph.op("Mul", scope + "/Mul", {x, gate});
}

}  // namespace

Value gelu(const Builder& b, const std::string& scope, const Value& x, Gelu kind) {
  if (kind == Gelu::kQuick) {
    return quick_gelu(b, scope, x);
  }
  if (b.fused()) {
    const std::string type = kind == Gelu::kTanh ? "FastGelu" : "Gelu";
    return b.graph.op(type, scope + "/" + type, {x});
  }
  return kind == Gelu::kTanh ? tanh_gelu(b, scope, x) : erf_gelu(b, scope, x);
}

namespace {

// QuickGelu with alpha 1 in ONNX Runtime's operators, Sigmoid and Mul in the standard ones.
Value silu(const Builder& b, const std::string& scope, const Value& x) {
  if (b.fused()) {
    return b.graph.op("QuickGelu", scope + "/QuickGelu", {x}, {{"alpha", 1.0F}});
  }
  const Value sigmoid = b.graph.op("Sigmoid", scope + "/Sigmoid", {x});
  return b.graph.op("Mul", scope + "/Mul_silu", {x, sigmoid});
}

}  // namespace

//  x ── up ── GELU ── down ── y
Value gelu_mlp(const Builder& b,
               const std::string& scope,
               const Value& x,
               const LinearWeights& up,
               const LinearWeights& down,
               Gelu kind) {
  const Value hidden = linear(b, scope + "/up", x, up);
  return linear(b, scope + "/down", gelu(b, scope + "/gelu", hidden, kind), down);
}

//  x ─┬─ gate ── SiLU ─┐
//     └─ up ───────── Mul ── down ── y
Value swiglu_mlp(const Builder& b,
                 const std::string& scope,
                 const Value& x,
                 const LinearWeights& gate,
                 const LinearWeights& up,
                 const LinearWeights& down) {
  const Value gated = silu(b, scope, linear(b, scope + "/gate_proj", x, gate));
  const Value widened = linear(b, scope + "/up_proj", x, up);
  return linear(b, scope + "/down_proj", b.graph.op("Mul", scope + "/Mul", {gated, widened}), down);
}

//  x ── gate_up ── Split ─┬─ gate ── SiLU ─┐
//                         └─ up ───────── Mul ── down ── y
Value swiglu_mlp(const Builder& b,
                 const std::string& scope,
                 const Value& x,
                 const LinearWeights& gate_up,
                 const LinearWeights& down) {
  const int64_t wide = gate_up.weight->shape().at(0) / 2;
  const std::vector<Value> halves =
      b.graph.ops("Split",
                  scope + "/Split",
                  {linear(b, scope + "/gate_up_proj", x, gate_up), b.graph.integers({wide, wide})},
                  {{"axis", int64_t{2}}},
                  {0, 1});
  const Value gated = silu(b, scope, halves[0]);
  return linear(
      b, scope + "/down_proj", b.graph.op("Mul", scope + "/Mul", {gated, halves[1]}), down);
}

}  // namespace lorapress
