#include "graph/source_order.h"

#include "test_util.h"

namespace lorapress {
namespace {

void add(Model& model, const std::string& name, const WeightPtr& weight) {
  *model.proto.mutable_graph()->add_initializer() = declare(name, *weight);
  model.weights[name] = weight;
}

std::vector<std::string> names_of(const Model& model) {
  std::vector<std::string> names;
  for (const auto& initializer : model.proto.graph().initializer()) {
    names.push_back(initializer.name());
  }
  return names;
}

TEST(SourceOrder, FollowsTheModelThatPassesBeganWith) {
  const WeightPtr a = zeros(DType::kF32, {4, 4});
  const WeightPtr b = zeros(DType::kF32, {4, 4});
  const WeightPtr c = zeros(DType::kF32, {4, 4});
  Model model;
  add(model, "b", transpose(b));
  add(model, "a", a);
  add(model, "c", c);
  const SourceOrder order(model);

  Model changed;
  add(changed, "shape", zeros(DType::kI64, {2}));
  add(changed, "a_scale", zeros(DType::kF32, {4}));  // of no weight: behind the one before it
  add(changed, "a_half", cast(a, DType::kF16));
  add(changed, "a_zero", zeros(DType::kU8, {4}));
  add(changed, "b_half", transpose(cast(b, DType::kF16)));
  add(changed, "b_zero", zeros(DType::kU8, {4}));
  onnx::TensorProto text;  // carries its own data
  text.set_name("text");
  *changed.proto.mutable_graph()->add_initializer() = text;
  add(changed, "c_half", reshape(cast(c, DType::kF16), {16}));
  order.apply(changed);
  EXPECT_EQ(names_of(changed),
            (std::vector<std::string>{
                "shape", "a_scale", "b_half", "b_zero", "text", "a_half", "a_zero", "c_half"}));
  order.apply(model);
  EXPECT_EQ(names_of(model), (std::vector<std::string>{"b", "a", "c"}));
}

}  // namespace
}  // namespace lorapress
