#include "checkpoint/names.h"

#include <gtest/gtest.h>
#include <ostream>
#include <vector>

namespace lorapress {
namespace {

struct Row {
  std::string name;
  Layout layout;
  TensorRole role;
  std::string canonical;
  std::string merged;  // empty: the canonical name
  std::string adapter;
  std::string relative_module;
  bool embedding = false;
};

constexpr Layout kAll = Layout::kComposite;
constexpr TensorRole kBase = TensorRole::kBase;

const std::string kQ = "model.layers.0.self_attn.q_proj";
const std::string kFc = "encoder.layers.3.mlp.fc1";
const std::string kText = "language_model.";
const std::string kVision = "vision_encoder.";
const std::string kPeft = "base_model.model.";
const std::string kOld = "vision_model.";

void expect_name(const Row& row, const std::optional<TensorName>& name) {
  ASSERT_TRUE(name) << row.name;
  EXPECT_EQ(static_cast<int>(name->role), static_cast<int>(row.role)) << row.name;
  EXPECT_EQ(name->canonical, row.canonical) << row.name;
  EXPECT_EQ(name->merged, row.merged.empty() ? row.canonical : row.merged) << row.name;
  EXPECT_EQ(name->adapter, row.adapter) << row.name;
  EXPECT_EQ(name->relative_module, row.relative_module) << row.name;
  EXPECT_EQ(name->embedding, row.embedding) << row.name;
}

void expect_names(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    expect_name(row, parse_tensor_name(row.name, row.layout));
  }
}

TEST(TensorNames, OfPlainCheckpoints) {
  const std::string fc = kVision + kFc + ".bias";
  const std::string old_fc = kVision + kOld + kFc + ".bias";
  expect_names({
      {kText + kQ + ".weight", kAll, kBase, kText + kQ + ".weight", "", "", kQ},
      {kText + "lm_head.weight", kAll, kBase, kText + "lm_head.weight", "", "", "lm_head"},
      {fc, kAll, kBase, fc, "", "", kFc},
      {old_fc, kAll, kBase, fc, old_fc, "", kOld + kFc},
      {"projection.projection.0.weight",
       kAll,
       kBase,
       "projection.projection.0.weight",
       "",
       "",
       "projection.0"},
      {"projection.projection.bias",
       kAll,
       kBase,
       "projection.projection.bias",
       "",
       "",
       "projection"},
      {kVision + "logit", kAll, kBase, kVision + "logit", "", "", ""},
      {kQ + ".weight", Layout::kText, kBase, kText + kQ + ".weight", "", "", kQ},
      {"lm_head.weight", Layout::kText, kBase, kText + "lm_head.weight", "", "", "lm_head"},
      {"layers.0.mlp.up_proj.weight",
       Layout::kText,
       kBase,
       kText + "model.layers.0.mlp.up_proj.weight",
       "",
       "",
       "layers.0.mlp.up_proj"},
      {kText + "layers.0.mlp.up_proj.weight",
       kAll,
       kBase,
       kText + "model.layers.0.mlp.up_proj.weight",
       "",
       "",
       "layers.0.mlp.up_proj"},
      {kOld + kFc + ".bias", Layout::kVision, kBase, fc, old_fc, "", kOld + kFc},
      {kFc + ".bias", Layout::kVision, kBase, fc, "", "", kFc},
  });
}

// transformers 5 renames the modules of ViT and DINOv2 when it loads files: what PEFT saves has the
// names of modules.
TEST(TensorNames, OfVisionModulesAreThoseOfFiles) {
  const auto canonical = [](const std::string& name) {
    return parse_tensor_name(name, Layout::kVision)->canonical;
  };
  const std::string layer = "vision_encoder.encoder.layer.3.";
  EXPECT_EQ(canonical("layers.3.attention.q_proj.weight"),
            layer + "attention.attention.query.weight");
  EXPECT_EQ(canonical("layers.3.attention.o_proj.bias"), layer + "attention.output.dense.bias");
  EXPECT_EQ(canonical("layers.3.mlp.fc1.weight"), layer + "intermediate.dense.weight");
  EXPECT_EQ(canonical("layers.3.mlp.fc2.lora_A.weight"), layer + "output.dense.weight");
  EXPECT_EQ(canonical("vit.encoder.layer.3.output.dense.weight"), layer + "output.dense.weight");
  EXPECT_EQ(canonical("encoder.layer.3.attention.k_proj.weight"),
            layer + "attention.attention.key.weight");
  EXPECT_EQ(canonical("encoder.layer.3.mlp.fc1.weight"), layer + "mlp.fc1.weight");
  EXPECT_FALSE(parse_tensor_name("visual_projection.weight", Layout::kVision));
  EXPECT_EQ(
      parse_adapter_name("base_model.model.layers.3.attention.v_proj.lora_B.weight")->canonical,
      layer + "attention.attention.value.weight");
  EXPECT_EQ(
      parse_adapter_name("base_model.model.layers.3.self_attn.v_proj.lora_B.weight")->canonical,
      "language_model.model.layers.3.self_attn.v_proj.weight");
}

TEST(TensorNames, OfTrainedAdapters) {
  const std::string at = kText + kPeft + kQ;
  const std::string weight = kText + kQ + ".weight";
  const std::string bias = kText + kQ + ".bias";
  const std::string table = kText + kPeft + "model.embed_tokens.";
  const std::string table_weight = kText + "model.embed_tokens.weight";
  const std::string fc = kVision + kPeft + kOld + kFc;
  const std::string fc_weight = kVision + kFc + ".weight";
  const std::string fc_merged = kVision + kOld + kFc + ".weight";
  expect_names({
      {at + ".base_layer.weight", kAll, kBase, weight, "", "", kQ},
      {at + ".base_layer.bias", kAll, kBase, bias, "", "", kQ},
      {at + ".lora_A.default.weight", kAll, TensorRole::kLoraA, weight, "", "default", kQ},
      {at + ".lora_B.other.weight", kAll, TensorRole::kLoraB, weight, "", "other", kQ},
      {at + ".lora_B.default.bias", kAll, TensorRole::kLoraBBias, bias, "", "default", kQ},
      {at + ".lora_magnitude_vector.default.weight",
       kAll,
       TensorRole::kMagnitude,
       weight,
       "",
       "default",
       kQ},
      {at + ".lora_magnitude_vector.default",
       kAll,
       TensorRole::kMagnitude,
       weight,
       "",
       "default",
       kQ},
      {table + "base_layer.weight", kAll, kBase, table_weight, "", "", "model.embed_tokens"},
      {table + "token_adapter.trainable_tokens_delta.default",
       kAll,
       TensorRole::kTokenRows,
       table_weight,
       "",
       "default",
       "model.embed_tokens"},
      {table + "lora_embedding_A.default",
       kAll,
       TensorRole::kLoraA,
       table_weight,
       "",
       "default",
       "model.embed_tokens",
       true},
      {table + "lora_embedding_B.default",
       kAll,
       TensorRole::kLoraB,
       table_weight,
       "",
       "default",
       "model.embed_tokens",
       true},
      {fc + ".lora_A.default.weight",
       kAll,
       TensorRole::kLoraA,
       fc_weight,
       fc_merged,
       "default",
       kOld + kFc},
      {fc + ".base_layer.weight", kAll, kBase, fc_weight, fc_merged, "", kOld + kFc},
      {kPeft + kQ + ".lora_A.default.weight",
       Layout::kText,
       TensorRole::kLoraA,
       weight,
       "",
       "default",
       kQ},
      {kPeft + kFc + ".lora_B.v.weight",
       Layout::kVision,
       TensorRole::kLoraB,
       fc_weight,
       "",
       "v",
       kFc},
  });
}

TEST(TensorNames, OfModulesToSave) {
  const std::string norm = kText + "model.norm.weight";
  const std::string at = kText + kPeft + "model.norm.";
  const std::string mlp = kText + kPeft + "model.layers.0.mlp.";
  const std::string up = kText + "model.layers.0.mlp.up_proj.weight";
  expect_names({
      {at + "original_module.weight", kAll, kBase, norm, "", "", "model.norm"},
      {at + "modules_to_save.default.weight",
       kAll,
       TensorRole::kReplacement,
       norm,
       "",
       "default",
       "model.norm"},
      // A module with modules inside is saved whole.
      {mlp + "original_module.up_proj.weight", kAll, kBase, up, "", "", "model.layers.0.mlp"},
      {mlp + "modules_to_save.default.up_proj.weight",
       kAll,
       TensorRole::kReplacement,
       up,
       "",
       "default",
       "model.layers.0.mlp"},
  });
}

TEST(TensorNames, BehindTrainingWrappers) {
  const std::string weight = kText + kQ + ".weight";
  const Row plain{"", kAll, kBase, weight, "", "", kQ};
  for (const std::string prefix :
       {"module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."}) {
    Row row = plain;
    row.name = prefix + weight;
    expect_name(row, parse_tensor_name(row.name, kAll));
    row.name = kText + prefix + kQ + ".weight";
    expect_name(row, parse_tensor_name(row.name, kAll));
    row.name = prefix + kQ + ".weight";
    expect_name(row, parse_tensor_name(row.name, Layout::kText));
    // PEFT inside the wrapper, and the wrapper inside PEFT.
    Row lora{"", kAll, TensorRole::kLoraA, weight, "", "default", kQ};
    for (const std::string& inner : {prefix + kPeft, kPeft + prefix}) {
      lora.name = kText + inner + kQ + ".lora_A.default.weight";
      expect_name(lora, parse_tensor_name(lora.name, kAll));
      lora.name = inner + kQ + ".lora_A.default.weight";
      expect_name(lora, parse_tensor_name(lora.name, Layout::kText));
      expect_name(lora, parse_adapter_name(lora.name));
    }
  }
}

TEST(TensorNames, ThatAreNoPartOfTheModel) {
  for (const std::string name : {"",
                                 "logit_scale",
                                 "optimizer.state.0",
                                 "model.norm.weight",
                                 "language_model",
                                 "language_model.",
                                 "module.",
                                 "text_model.x.weight"}) {
    EXPECT_FALSE(parse_tensor_name(name, kAll)) << name;
  }
  for (const std::string name :
       {"text_model.encoder.layers.0.mlp.fc1.weight", "logit_scale", "logit_bias", ""}) {
    EXPECT_FALSE(parse_tensor_name(name, Layout::kVision)) << name;
  }
  EXPECT_FALSE(parse_tensor_name("", Layout::kText));
}

TEST(AdapterNames, AsPeftSavesThem) {
  const std::string weight = kText + kQ + ".weight";
  const std::string table = kPeft + "model.embed_tokens.";
  const std::string table_weight = kText + "model.embed_tokens.weight";
  const std::vector<Row> rows{
      {kPeft + kQ + ".lora_A.weight", kAll, TensorRole::kLoraA, weight, "", "", kQ},
      {kPeft + kQ + ".lora_B.weight", kAll, TensorRole::kLoraB, weight, "", "", kQ},
      {kPeft + kQ + ".lora_B.bias", kAll, TensorRole::kLoraBBias, kText + kQ + ".bias", "", "", kQ},
      {kPeft + kQ + ".lora_magnitude_vector", kAll, TensorRole::kMagnitude, weight, "", "", kQ},
      {kPeft + kQ + ".lora_magnitude_vector.weight",
       kAll,
       TensorRole::kMagnitude,
       weight,
       "",
       "",
       kQ},
      {kPeft + kQ + ".base_layer.bias", kAll, kBase, kText + kQ + ".bias", "", "", kQ},
      {table + "lora_embedding_A",
       kAll,
       TensorRole::kLoraA,
       table_weight,
       "",
       "",
       "model.embed_tokens",
       true},
      {table + "lora_embedding_B",
       kAll,
       TensorRole::kLoraB,
       table_weight,
       "",
       "",
       "model.embed_tokens",
       true},
      {table + "base_layer.weight", kAll, kBase, table_weight, "", "", "model.embed_tokens"},
      {table + "token_adapter.base_layer.weight",
       kAll,
       kBase,
       table_weight,
       "",
       "",
       "model.embed_tokens"},
      {table + "token_adapter.trainable_tokens_delta",
       kAll,
       TensorRole::kTokenRows,
       table_weight,
       "",
       "",
       "model.embed_tokens"},
      {kPeft + "lm_head.weight", kAll, kBase, kText + "lm_head.weight", "", "", "lm_head"},
      {kPeft + kText + kQ + ".lora_A.weight", kAll, TensorRole::kLoraA, weight, "", "", kText + kQ},
      {kPeft + "projection.projection.weight",
       kAll,
       kBase,
       "projection.projection.weight",
       "",
       "",
       "projection.projection"},
      {kPeft + kOld + kFc + ".lora_A.weight",
       kAll,
       TensorRole::kLoraA,
       kVision + kFc + ".weight",
       kVision + kOld + kFc + ".weight",
       "",
       kOld + kFc},
      {kPeft + kFc + ".lora_B.weight",
       kAll,
       TensorRole::kLoraB,
       kVision + kFc + ".weight",
       "",
       "",
       kFc},
  };
  for (const Row& row : rows) {
    const auto name = parse_adapter_name(row.name);
    expect_name(row, name);
    EXPECT_EQ(name->original, row.name.find(".base_layer.") != std::string::npos) << row.name;
  }
  EXPECT_TRUE(parse_adapter_name(table + "original_module.weight")->original);
  EXPECT_FALSE(parse_adapter_name(table + "modules_to_save.weight")->original);
  EXPECT_FALSE(parse_adapter_name(""));
  EXPECT_FALSE(parse_adapter_name("base_model.model."));
}

// Names as Idefics3ForConditionalGeneration has them.
TEST(TensorNames, OfACompositeWithOtherPrefixes) {
  constexpr NamePrefix kNames[] = {{"model.vision_model.", "vision_encoder."},
                                   {"model.connector.", "projection."},
                                   {"model.text_model.", "language_model.model."},
                                   {"lm_head.", "language_model.lm_head."}};
  const std::string q = "layers.0.self_attn.q_proj";
  const std::string fc = "model.vision_model.encoder.layers.1.mlp.fc1";
  const std::string canonical_fc = kVision + "encoder.layers.1.mlp.fc1";
  const std::string head = kText + "lm_head.weight";
  const auto base = [](const std::string& name, const std::string& canonical) {
    return Row{name + ".weight", kAll, kBase, canonical + ".weight", name + ".weight", "", name};
  };
  for (const Row& row : {base("model.text_model." + q, kText + "model." + q),
                         base(fc, canonical_fc),
                         base("model.connector.proj", "projection.proj"),
                         base("lm_head", kText + "lm_head")}) {
    expect_name(row, parse_tensor_name(row.name, kAll, kNames));
  }
  const Row lora{kPeft + "lm_head.lora_A.default.weight",
                 kAll,
                 TensorRole::kLoraA,
                 head,
                 "lm_head.weight",
                 "default",
                 "lm_head"};
  expect_name(lora, parse_tensor_name(lora.name, kAll, kNames));
  const Row adapter{kPeft + fc + ".lora_B.weight",
                    kAll,
                    TensorRole::kLoraB,
                    canonical_fc + ".weight",
                    fc + ".weight",
                    "",
                    fc};
  expect_name(adapter, parse_adapter_name(adapter.name, kNames));
  const Row alone{kPeft + "model." + q + ".lora_A.weight",
                  kAll,
                  TensorRole::kLoraA,
                  kText + "model." + q + ".weight",
                  "",
                  "",
                  "model." + q};
  expect_name(alone, parse_adapter_name(alone.name, kNames));
  EXPECT_FALSE(parse_tensor_name("model.image_newline", kAll, kNames));
}

}  // namespace
}  // namespace lorapress
