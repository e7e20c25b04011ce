#include "checkpoint/quantized.h"

#include <gtest/gtest.h>

#include "checkpoint_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

WeightPtr text_tensor(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  std::ranges::transform(text, bytes.begin(), [](char c) { return static_cast<std::byte>(c); });
  return constant_weight(DType::kU8, {static_cast<int64_t>(text.size())}, std::move(bytes));
}

Json state_of(const Shape& shape) {
  return {{"quant_type", "nf4"}, {"blocksize", 64}, {"dtype", "float16"}, {"shape", shape}};
}

// A weight [10, 20] of zeros in 4 bits, twice quantized.
TensorMap four_bit_tensors() {
  return {{"q.weight", zeros(DType::kU8, {100, 1})},
          {"q.weight.absmax", zeros(DType::kU8, {4})},
          {"q.weight.quant_map", zeros(DType::kF32, {16})},
          {"q.weight.nested_absmax", zeros(DType::kF32, {1})},
          {"q.weight.nested_quant_map", zeros(DType::kF32, {256})},
          {"q.weight.quant_state.bitsandbytes__nf4", text_tensor(state_of({10, 20}).dump())}};
}

TensorMap eight_bit_tensors() {
  return {{"q.weight", zeros(DType::kI8, {10, 20})},
          {"q.SCB", zeros(DType::kF32, {10})},
          {"q.weight_format", zeros(DType::kU8, {})}};
}

std::string refusal(TensorMap tensors, ErrorCode code = ErrorCode::kInvalidFile) {
  std::vector<std::string> notes;
  return message_of(code, [&] { dequantized(std::move(tensors), "folder", notes); });
}

TEST(Dequantized, LeavesOneTensorForAWeight) {
  std::vector<std::string> notes;
  for (TensorMap tensors : {four_bit_tensors(), eight_bit_tensors()}) {
    tensors["norm.weight"] = zeros(DType::kF32, {20});
    const TensorMap plain = dequantized(std::move(tensors), "folder", notes);
    ASSERT_EQ(plain.size(), 2U);
    EXPECT_EQ(plain.at("q.weight")->shape(), (Shape{10, 20}));
  }
  EXPECT_EQ(notes.size(), 2U);
}

TEST(Dequantized, RefusesDescriptionsThatDoNotFit) {
  const std::string state = "q.weight.quant_state.bitsandbytes__nf4";
  const std::vector<std::pair<std::string, WeightPtr>> changes = {
      {"q.weight", zeros(DType::kU8, {99, 1})},
      {"q.weight", nullptr},
      {"q.weight.absmax", zeros(DType::kU8, {5})},
      {"q.weight.absmax", zeros(DType::kF32, {4})},
      {"q.weight.absmax", nullptr},
      {"q.weight.quant_map", zeros(DType::kF32, {15})},
      {"q.weight.quant_map", zeros(DType::kF16, {16})},
      {"q.weight.quant_map", nullptr},
      {"q.weight.nested_absmax", zeros(DType::kF32, {2})},
      {"q.weight.nested_absmax", zeros(DType::kF16, {1})},
      {"q.weight.nested_quant_map", zeros(DType::kF32, {255})},
      {"q.weight.nested_quant_map", nullptr},
      {state, zeros(DType::kU8, {50})},
      {state, zeros(DType::kF32, {50})},
      {state, text_tensor("[]")},
      {state, text_tensor("{}")},
      {state, text_tensor(state_of({11, 20}).dump())},
      {state, text_tensor(state_of({-10, 20}).dump())},
      {state, text_tensor(state_of({int64_t{1} << 39, int64_t{1} << 39}).dump())},
  };
  for (const auto& [name, weight] : changes) {
    TensorMap tensors = four_bit_tensors();
    if (weight) {
      tensors[name] = weight;
    } else {
      tensors.erase(name);
    }
    const std::string text = refusal(std::move(tensors));
    EXPECT_TRUE(contains(text, "folder: q.weight is quantized by bitsandbytes")) << text;
    EXPECT_TRUE(contains(text, "model.dequantize()")) << text;
  }
  for (const auto& [key, value] : std::vector<std::pair<std::string, Json>>{
           {"blocksize", 0}, {"blocksize", 1 << 20}, {"dtype", "int8"}, {"nested_blocksize", -1}}) {
    Json changed = state_of({10, 20});
    changed[key] = value;
    TensorMap tensors = four_bit_tensors();
    tensors[state] = text_tensor(changed.dump());
    refusal(std::move(tensors));
  }
}

TEST(Dequantized, RefusesEightBitsOfOtherFormats) {
  const std::vector<std::pair<std::string, WeightPtr>> changes = {
      {"q.SCB", zeros(DType::kF32, {9})},
      {"q.SCB", zeros(DType::kF16, {10})},
      {"q.weight", zeros(DType::kU8, {10, 20})},
      {"q.weight", zeros(DType::kI8, {200})},
      {"q.weight_format", text_tensor("1")},
  };
  for (const auto& [name, weight] : changes) {
    TensorMap tensors = eight_bit_tensors();
    tensors[name] = weight;
    EXPECT_TRUE(contains(refusal(std::move(tensors)), "bitsandbytes"));
  }
}

TEST(Dequantized, NamesQuantizationWhereItIsAnothers) {
  for (const char* name :
       {"q.qweight", "q.weight_scale_inv", "q.weight_packed", "q.weight.absmax"}) {
    const std::string text = refusal({{name, zeros(DType::kI32, {2, 2})}}, ErrorCode::kUnsupported);
    EXPECT_TRUE(contains(text, std::string("folder: tensor ") + name)) << text;
    EXPECT_TRUE(contains(text, "quantized")) << text;
  }
}

TEST(CheckQuantization, NamesTheQuantizer) {
  const Json gptq = {{"quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}}};
  for (const Json& config : {gptq, Json{{"text_config", gptq}}}) {
    const std::string text =
        message_of(ErrorCode::kUnsupported, [&] { check_quantization(config, "m/config.json"); });
    EXPECT_TRUE(contains(text, "m/config.json: quantization_config")) << text;
    EXPECT_TRUE(contains(text, "\"gptq\"")) << text;
  }
  for (const Json& config : {Json::object(),
                             Json{{"quantization_config", nullptr}},
                             Json{{"quantization_config", {{"load_in_4bit", true}}}},
                             Json{{"quantization_config", {{"quant_method", "bitsandbytes"}}}}}) {
    EXPECT_NO_THROW(check_quantization(config, "x")) << config;
  }
}

}  // namespace
}  // namespace lorapress
