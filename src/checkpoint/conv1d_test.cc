// GPT-2's Conv1D layers, whose weights are stored [in, out], and the other names of its tensors.
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint_util.h"
#include "tables_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::TempFolder;
namespace fs = std::filesystem;

constexpr int64_t kHidden = 6;
const std::string kPacked = "language_model.transformer.h.0.attn.c_attn.weight";

Json tiny_gpt2_config() {
  return {{"model_type", "gpt2"},
          {"vocab_size", 5},
          {"n_embd", kHidden},
          {"n_head", 2},
          {"n_layer", 1},
          {"n_positions", 8},
          {"n_inner", 7},
          {"eos_token_id", 1}};
}

// Names as GPT2Model saves them, without the head and with the buffers of older versions.
void write_tiny_gpt2(const fs::path& folder) {
  test::Random random(7);
  const auto numbers = [&](const Shape& shape) {
    const auto count = static_cast<size_t>(shape[0] * (shape.size() > 1 ? shape[1] : 1));
    return float_constant(shape, random.numbers(count));
  };
  fs::create_directories(folder);
  write_text(folder / "config.json", tiny_gpt2_config().dump());
  const std::string layer = "h.0.";
  test::write_safetensors(folder / "model.safetensors",
                          {{"wte.weight", numbers({5, kHidden})},
                           {"wpe.weight", numbers({8, kHidden})},
                           {layer + "ln_1.weight", numbers({kHidden})},
                           {layer + "ln_1.bias", numbers({kHidden})},
                           {layer + "attn.bias", numbers({8, 8})},
                           {layer + "attn.masked_bias", numbers({1})},
                           {layer + "attn.c_attn.weight", numbers({kHidden, 3 * kHidden})},
                           {layer + "attn.c_attn.bias", numbers({3 * kHidden})},
                           {layer + "attn.c_proj.weight", numbers({kHidden, kHidden})},
                           {layer + "attn.c_proj.bias", numbers({kHidden})},
                           {layer + "ln_2.weight", numbers({kHidden})},
                           {layer + "ln_2.bias", numbers({kHidden})},
                           {layer + "mlp.c_fc.weight", numbers({kHidden, 7})},
                           {layer + "mlp.c_fc.bias", numbers({7})},
                           {layer + "mlp.c_proj.weight", numbers({7, kHidden})},
                           {layer + "mlp.c_proj.bias", numbers({kHidden})},
                           {"ln_f.weight", numbers({kHidden})},
                           {"ln_f.bias", numbers({kHidden})}});
}

std::vector<NamedWeight> packed_adapter(bool dora) {
  test::Random random(8);
  const std::string module = "base_model.model.transformer.h.0.attn.c_attn.";
  std::vector<NamedWeight> tensors{
      {module + "lora_A.weight", float_constant({2, kHidden}, random.numbers(12))},
      {module + "lora_B.weight", float_constant({3 * kHidden, 2}, random.numbers(36))}};
  if (dora) {
    tensors.push_back(
        {module + "lora_magnitude_vector", float_constant({3 * kHidden}, random.numbers(18))});
  }
  return tensors;
}

Source source_of(const fs::path& folder, const std::vector<fs::path>& adapters) {
  Source source;
  source.checkpoint = folder;
  for (const fs::path& adapter : adapters) {
    source.adapters.push_back({adapter, 1.0});
  }
  return source;
}

TEST(Conv1d, NamesOfABareModelAreThoseOfTheWholeClass) {
  const TempFolder folder;
  write_tiny_gpt2(folder / "base");
  const Checkpoint checkpoint = open_checkpoint(source_of(folder / "base", {}));
  EXPECT_TRUE(checkpoint.tensors.contains("language_model.transformer.wte.weight"));
  EXPECT_TRUE(checkpoint.tensors.contains(kPacked));
  EXPECT_FALSE(checkpoint.tensors.contains("language_model.transformer.h.0.attn.bias"));
  EXPECT_FALSE(checkpoint.tensors.contains("language_model.lm_head.weight"));  // tied
  EXPECT_EQ(checkpoint.tensors.size(), 16U);
  EXPECT_TRUE(checkpoint.text->tie_word_embeddings);
}

// merge_lora() with `transposed` is held to PEFT's own merges of Conv1D in tests/cc/golden_merge_test.cc.
TEST(Conv1d, IsMergedAsTheTransposedLinear) {
  const TempFolder folder;
  write_tiny_gpt2(folder / "base");
  const Json settings{{"r", 2}, {"lora_alpha", 6}, {"fan_in_fan_out", true}};
  const WeightPtr base = open_checkpoint(source_of(folder / "base", {})).tensors.at(kPacked).weight;
  for (const bool dora : {false, true}) {
    const fs::path adapter = folder / (dora ? "dora" : "lora");
    const std::vector<NamedWeight> tensors = packed_adapter(dora);
    Json config = settings;
    config["use_dora"] = dora;
    test::write_adapter(adapter, tensors, config);
    const Checkpoint merged = open_checkpoint(source_of(folder / "base", {adapter}));
    const LoraDelta delta{
        tensors[0].weight, tensors[1].weight, 3.0, dora ? tensors[2].weight : nullptr, true};
    const ModelTensor& found = merged.tensors.at(kPacked);
    EXPECT_EQ(found.weight->shape(), (Shape{kHidden, 3 * kHidden}));
    const std::vector<float> got = read_all_float32(*found.weight);
    const std::vector<float> wanted = read_all_float32(*merge_lora(base, delta));
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], wanted[i], 1e-6F) << i;
    }
    EXPECT_TRUE(merged.notes.empty()) << merged.notes[0];
  }
}

TEST(Conv1d, FanInFanOutOfALinearLayerIsNoted) {
  const TempFolder folder;
  test::write_tiny_llama(folder / "base", test::tiny_llama_config());
  const std::string module = "base_model.model.model.layers.0.self_attn.q_proj.";
  test::write_adapter(folder / "lora",
                      {{module + "lora_A.weight", test::filled(DType::kF32, {1, 4}, 1.0F)},
                       {module + "lora_B.weight", test::filled(DType::kF32, {4, 1}, 1.0F)}},
                      {{"fan_in_fan_out", true}});
  const Checkpoint merged = open_checkpoint(source_of(folder / "base", {folder / "lora"}));
  ASSERT_EQ(merged.notes.size(), 1U);
  EXPECT_TRUE(contains(merged.notes[0], "fan_in_fan_out is true and taken as false"));
}

TEST(Conv1d, OfAnotherShapeIsRefused) {
  const TempFolder folder;
  write_tiny_gpt2(folder / "base");
  const std::string module = "base_model.model.transformer.h.0.attn.c_attn.";
  test::write_adapter(
      folder / "turned",
      {{module + "lora_A.weight", test::filled(DType::kF32, {1, 3 * kHidden}, 1.0F)},
       {module + "lora_B.weight", test::filled(DType::kF32, {kHidden, 1}, 1.0F)}});
  const std::string text = test::message_of(ErrorCode::kMismatch, [&] {
    open_checkpoint(source_of(folder / "base", {folder / "turned"}));
  });
  EXPECT_TRUE(contains(text, "another base model")) << text;
}

}  // namespace
}  // namespace lorapress
