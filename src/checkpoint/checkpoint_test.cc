#include "checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include "checkpoint_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::filled;
using test::message_of;
using test::TempFolder;
using test::tiny_llama_config;
using test::tiny_llama_shapes;
using test::write_safetensors;
using test::write_tiny_llama;

const std::string kTable = "language_model.model.embed_tokens.weight";
const std::string kHead = "language_model.lm_head.weight";
const std::string kQuery = "language_model.model.layers.0.self_attn.q_proj.weight";

Source source_of(const std::filesystem::path& checkpoint) {
  Source source;
  source.checkpoint = checkpoint;
  return source;
}

float first_value(const Checkpoint& checkpoint, const std::string& name) {
  return read_all_float32(*checkpoint.tensors.at(name).weight).at(0);
}

// The number that write_tiny_llama gives the tensor.
float value_of(const std::string& name) {
  float value = 0.0F;
  for (const auto& [known, shape] : tiny_llama_shapes()) {
    value += 1.0F;
    if (known == name) {
      return value;
    }
  }
  return -1.0F;
}

TEST(OpenCheckpoint, KeepsOneOfATiedPair) {
  for (const std::string without : {"lm_head.weight", "model.embed_tokens.weight"}) {
    const TempFolder folder;
    Json config = tiny_llama_config();
    config["tie_word_embeddings"] = true;
    write_tiny_llama(folder / "m", config, without);
    const Checkpoint checkpoint = open_checkpoint(source_of(folder / "m"));
    EXPECT_FALSE(checkpoint.tensors.contains(kHead)) << without;
    EXPECT_EQ(checkpoint.tensors.at(kTable).name, kTable);
    EXPECT_EQ(first_value(checkpoint, kTable),
              value_of(without == "model.embed_tokens.weight" ? "lm_head.weight"
                                                              : "model.embed_tokens.weight"));
    EXPECT_EQ(checkpoint.tensors.size(), tiny_llama_shapes().size() - 1);
  }
}

TEST(OpenCheckpoint, KeepsBothOfAnUntiedPair) {
  const TempFolder folder;
  write_tiny_llama(folder / "m", tiny_llama_config());
  const Checkpoint checkpoint = open_checkpoint(source_of(folder / "m"));
  EXPECT_EQ(first_value(checkpoint, kTable), value_of("model.embed_tokens.weight"));
  EXPECT_EQ(first_value(checkpoint, kHead), value_of("lm_head.weight"));
  EXPECT_FALSE(checkpoint.vision || checkpoint.projection || checkpoint.composite);
  EXPECT_EQ(checkpoint.text->hidden_size, 4);
  EXPECT_FALSE(checkpoint.tensors.at(kQuery).adapted);
}

TEST(RequirePrefixVlm, NamesThePartAloneAndCrossAttention) {
  Checkpoint checkpoint;
  checkpoint.folder = "m";
  checkpoint.text = TextConfig{};
  const auto refusal = [&](ErrorCode code) {
    return message_of(code, [&] { require_prefix_vlm(checkpoint, "; pass options.base DIR"); });
  };
  EXPECT_EQ(refusal(ErrorCode::kMismatch), "m: is a decoder alone; pass options.base DIR");
  checkpoint.text.reset();
  EXPECT_EQ(refusal(ErrorCode::kMismatch), "m: is a vision tower alone; pass options.base DIR");
  CompositeModelType type = *composite_model_types()[0];
  checkpoint.composite = &type;
  type.conditioning = Conditioning::kCross;
  EXPECT_TRUE(contains(refusal(ErrorCode::kUnsupported),
                       R"(m: conditioning "cross" is not supported, expected "prefix")"));
  type.conditioning = Conditioning::kPrefix;
  EXPECT_NO_THROW(require_prefix_vlm(checkpoint, ""));
}

TEST(OpenCheckpoint, TakesTheEarlierFolder) {
  const TempFolder folder;
  write_tiny_llama(folder / "first", tiny_llama_config(), "model.norm.weight");
  Json other = tiny_llama_config();
  other["rms_norm_eps"] = 0.5;
  write_tiny_llama(folder / "second", other, "", DType::kF16);
  Source source = source_of(folder / "first");
  source.bases = {folder / "second"};
  const Checkpoint checkpoint = open_checkpoint(source);
  EXPECT_EQ(std::get<LlamaLayers>(checkpoint.text->layers).rms_norm_eps, 1e-6);
  EXPECT_EQ(checkpoint.tensors.at(kQuery).weight->dtype(), DType::kF32);
  EXPECT_EQ(checkpoint.tensors.at("language_model.model.norm.weight").weight->dtype(), DType::kF16);
  EXPECT_EQ(checkpoint.folders,
            (std::vector<std::filesystem::path>{folder / "first", folder / "second"}));
}

void write_adapter(const std::filesystem::path& folder,
                   float a,
                   float b,
                   const Json& more = Json::object(),
                   const std::string& module = "model.layers.0.self_attn.q_proj") {
  std::filesystem::create_directories(folder);
  Json config = {{"peft_type", "LORA"}, {"r", 1}, {"lora_alpha", 2}};
  config.update(more);
  write_text(folder / "adapter_config.json", config.dump());
  const std::string at = "base_model.model." + module;
  write_safetensors(folder / "adapter_model.safetensors",
                    {{at + ".lora_A.weight", filled(DType::kF32, {1, 4}, a)},
                     {at + ".lora_B.weight", filled(DType::kF32, {4, 1}, b)}});
}

TEST(OpenCheckpoint, MergesAdaptersInTheirOrderAndWeight) {
  const TempFolder folder;
  write_tiny_llama(folder / "m", tiny_llama_config());
  write_adapter(folder / "a", 1.0F, 3.0F);
  write_adapter(folder / "b", 2.0F, 5.0F, {{"lora_alpha", 1}});
  Source source = source_of(folder / "m");
  source.adapters = {{folder / "a", 0.5}, {folder / "b", -1.0}};
  const Checkpoint checkpoint = open_checkpoint(source);
  const float base = value_of("model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(first_value(checkpoint, kQuery), base + 0.5F * 2.0F * 3.0F - 10.0F);
  EXPECT_TRUE(checkpoint.tensors.at(kQuery).adapted);
  EXPECT_FALSE(checkpoint.tensors.at(kTable).adapted);
  ASSERT_EQ(checkpoint.adapters.size(), 2U);
  EXPECT_EQ(checkpoint.adapters[1].weight, -1.0);
  EXPECT_EQ(checkpoint.adapters[1].modules, 1U);
}

// DoRA after another adapter: the norm is of the weight before any, as PEFT takes it.
TEST(OpenCheckpoint, TakesDorasNormFromTheUnmergedWeight) {
  const TempFolder folder;
  write_tiny_llama(folder / "m", tiny_llama_config());
  write_adapter(folder / "plain", 1.0F, 3.0F);  // a delta of 6
  write_adapter(folder / "dora", 1.0F, 0.5F);   // a delta of 1
  const std::string at = "base_model.model.model.layers.0.self_attn.q_proj.";
  std::filesystem::remove(folder / "dora/adapter_model.safetensors");
  write_safetensors(folder / "dora/adapter_model.safetensors",
                    {{at + "lora_A.weight", filled(DType::kF32, {1, 4}, 1.0F)},
                     {at + "lora_B.weight", filled(DType::kF32, {4, 1}, 0.5F)},
                     {at + "lora_magnitude_vector", filled(DType::kF32, {4}, 5.0F)}});
  Source source = source_of(folder / "m");
  source.adapters = {{folder / "plain", 1.0}, {folder / "dora", 1.0}};
  const float base = value_of("model.layers.0.self_attn.q_proj.weight");
  const float norm = 2.0F * (base + 1.0F);  // of a row of four equal values
  const Checkpoint checkpoint = open_checkpoint(source);
  EXPECT_FLOAT_EQ(first_value(checkpoint, kQuery), 5.0F / norm * (base + 6.0F + 1.0F));
  EXPECT_TRUE(checkpoint.adapters[1].dora && !checkpoint.adapters[0].dora);
}

TEST(OpenCheckpoint, TakesAnAdapterFolderWithItsBase) {
  const TempFolder folder;
  write_tiny_llama(folder / "m", tiny_llama_config());
  write_adapter(folder / "a", 1.0F, 3.0F);
  const std::string text =
      message_of(ErrorCode::kNotFound, [&] { open_checkpoint(source_of(folder / "a")); });
  EXPECT_TRUE(contains(text, "options.base")) << text;
  Source source = source_of(folder / "a");
  source.bases = {folder / "m"};
  const float expected = value_of("model.layers.0.self_attn.q_proj.weight") + 6.0F;
  EXPECT_EQ(first_value(open_checkpoint(source), kQuery), expected);
  write_adapter(folder / "c", 1.0F, 3.0F, {{"base_model_name_or_path", (folder / "m").string()}});
  EXPECT_EQ(first_value(open_checkpoint(source_of(folder / "c")), kQuery), expected);
}

TEST(OpenCheckpoint, RefusesAnAdapterOfAnotherModel) {
  const TempFolder folder;
  write_tiny_llama(folder / "m", tiny_llama_config());
  const auto open = [&](const std::string& adapter) {
    return [&, adapter] {
      Source source = source_of(folder / "m");
      source.adapters = {{folder / adapter, 1.0}};
      open_checkpoint(source);
    };
  };
  write_adapter(folder / "deep", 1.0F, 1.0F, Json::object(), "model.layers.7.self_attn.q_proj");
  EXPECT_TRUE(contains(message_of(ErrorCode::kMismatch, open("deep")), "layers.7"));
  write_adapter(folder / "wide", 1.0F, 1.0F, Json::object(), "model.layers.0.mlp.up_proj");
  const std::string text = message_of(ErrorCode::kMismatch, open("wide"));
  EXPECT_TRUE(contains(text, "language_model.model.layers.0.mlp.up_proj.weight")) << text;
  message_of(ErrorCode::kNotFound, open("none"));
}

// A composite folder without tensors of its own: configs only.
void write_composite(const std::filesystem::path& folder, const Json& config) {
  std::filesystem::create_directories(folder);
  write_text(folder / "config.json", config.dump());
  write_safetensors(folder / "model.safetensors", {});
}

TEST(ResolveConfigs, TakesTheOwnThenABaseThenTheCacheThenTheTable) {
  const TempFolder folder;
  const test::ScopedVariable cache("HF_HUB_CACHE", (folder / "hub").string());
  const std::string name = "HuggingFaceTB/SmolLM2-135M";
  Json config = {{"model_type", "prefix_conditioning_vlm"},
                 {"vision_model_name", "google/siglip-base-patch16-384"},
                 {"vision_config", nullptr},
                 {"text_model_name", name},
                 {"max_length", 7}};
  write_composite(folder / "m", config);
  Source source = source_of(folder / "m");
  const Checkpoint table = open_checkpoint(source);
  EXPECT_EQ(table.text->hidden_size, 576);
  EXPECT_EQ(table.vision->image_size, 384);
  EXPECT_EQ(table.max_new_tokens, 7);
  ASSERT_EQ(table.notes.size(), 2U);
  EXPECT_TRUE(contains(table.notes[1], "built-in table")) << table.notes[1];

  const auto model = folder / "hub" / "models--HuggingFaceTB--SmolLM2-135M";
  std::filesystem::create_directories(model / "refs");
  std::filesystem::create_directories(model / "snapshots" / "7");
  write_text(model / "refs" / "main", "7");
  write_text(model / "snapshots" / "7" / "config.json",
             R"({"model_type":"llama","hidden_size":64})");
  const Checkpoint cached = open_checkpoint(source);
  EXPECT_EQ(cached.text->hidden_size, 64);
  EXPECT_TRUE(contains(cached.notes.at(1), "cache")) << cached.notes[1];

  write_tiny_llama(folder / "base", tiny_llama_config());
  source.bases = {folder / "base"};
  EXPECT_EQ(open_checkpoint(source).text->hidden_size, 4);

  config["text_config"] = tiny_llama_config();
  config["text_config"]["intermediate_size"] = 5;
  write_composite(folder / "own", config);
  source.checkpoint = folder / "own";
  const Checkpoint own = open_checkpoint(source);
  EXPECT_EQ(std::get<LlamaLayers>(own.text->layers).intermediate_size, 5);
  EXPECT_EQ(own.composite->conditioning, Conditioning::kPrefix);
}

TEST(ResolveConfigs, SaysWhatIsMissing) {
  const TempFolder folder;
  const test::ScopedVariable cache("HF_HUB_CACHE", (folder / "hub").string());
  write_composite(folder / "m",
                  {{"model_type", "prefix_conditioning_vlm"}, {"text_model_name", "org/own"}});
  const auto open = [&](const std::string& name) {
    return [&, name] { open_checkpoint(source_of(folder / name)); };
  };
  EXPECT_TRUE(contains(message_of(ErrorCode::kNotFound, open("m")), "vision_config"));
  write_composite(folder / "odd", {{"model_type", "florence2"}});
  const std::string text = message_of(ErrorCode::kUnsupported, open("odd"));
  EXPECT_TRUE(contains(text, "florence2") && contains(text, "prefix_conditioning_vlm")) << text;
  write_composite(folder / "list", Json::array({1}));
  message_of(ErrorCode::kInvalidFile, open("list"));
  std::filesystem::create_directory(folder / "empty");
  EXPECT_TRUE(contains(message_of(ErrorCode::kNotFound, open("empty")), "config.json"));
  message_of(ErrorCode::kNotFound, open("none"));
  for (const int length : {0, -1, 100001}) {
    const std::string name = "length" + std::to_string(length);
    write_composite(folder / name,
                    {{"model_type", "prefix_conditioning_vlm"}, {"max_length", length}});
    EXPECT_TRUE(contains(message_of(ErrorCode::kInvalidFile, open(name)), "max_length"));
  }
}

TEST(OpenCheckpoint, RefusesStrangersInACompositeFile) {
  const TempFolder folder;
  const Json config = {{"model_type", "prefix_conditioning_vlm"},
                       {"vision_config", Json::object()},
                       {"text_config", tiny_llama_config()}};
  std::filesystem::create_directories(folder / "m");
  write_text(folder / "m" / "config.json", config.dump());
  write_safetensors(folder / "m" / "model.safetensors",
                    {{"optimizer.step", zeros(DType::kF32, {1})},
                     {"vision_encoder.embeddings.position_ids", zeros(DType::kI64, {1, 4})}});
  const std::string text =
      message_of(ErrorCode::kMismatch, [&] { open_checkpoint(source_of(folder / "m")); });
  EXPECT_TRUE(contains(text, "optimizer.step")) << text;
  EXPECT_FALSE(contains(text, "position_ids")) << text;  // a buffer of older versions
}

TEST(OpenCheckpoint, ChoosesTheActiveAdapter) {
  const TempFolder folder;
  Json config = tiny_llama_config();
  config["lora_r"] = 1;
  config["lora_alpha"] = 2;
  for (const std::string second : {"default", "other"}) {
    const auto path = folder / second;
    write_tiny_llama(path, config);
    TensorMap map = open_safetensors(path / "model.safetensors");
    const std::string at = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
    for (const auto& [name, scale] :
         {std::pair<std::string, float>{"style", 1.0F}, {second, 2.0F}}) {
      map[at + "A." + name + ".weight"] = filled(DType::kF32, {1, 4}, scale);
      map[at + "B." + name + ".weight"] = filled(DType::kF32, {4, 1}, 1.0F);
    }
    std::vector<NamedWeight> tensors;
    for (const auto& [name, weight] : map) {
      tensors.push_back({name, weight});
    }
    write_safetensors(path / "all", tensors);
    map.clear();
    tensors.clear();
    std::filesystem::rename(path / "all", path / "model.safetensors");
  }
  const Checkpoint checkpoint = open_checkpoint(source_of(folder / "default"));
  EXPECT_EQ(first_value(checkpoint, kQuery),
            value_of("model.layers.0.self_attn.q_proj.weight") + 4.0F);
  ASSERT_EQ(checkpoint.notes.size(), 1U);
  EXPECT_TRUE(contains(checkpoint.notes[0], "\"style\" ignored")) << checkpoint.notes[0];
  const std::string text =
      message_of(ErrorCode::kUnsupported, [&] { open_checkpoint(source_of(folder / "other")); });
  EXPECT_TRUE(contains(text, "other, style")) << text;
}

TEST(WeightTaker, ReportsEverythingAtOnce) {
  Checkpoint checkpoint;
  checkpoint.folder = "some/folder";
  checkpoint.tensors["a.good"] = {zeros(DType::kF16, {2, 3}), "a.good"};
  checkpoint.tensors["a.transposed"] = {zeros(DType::kF32, {3, 2}), "a.transposed"};
  checkpoint.tensors["a.integer"] = {zeros(DType::kI64, {2}), "a.integer"};
  checkpoint.tensors["a.unused"] = {zeros(DType::kF32, {1}), "a.unused"};
  checkpoint.tensors["a.dead.x"] = {zeros(DType::kF32, {5}), "a.dead.x"};
  checkpoint.tensors["b.other"] = {zeros(DType::kF32, {1}), "b.other"};
  WeightTaker weights(checkpoint);
  EXPECT_EQ(weights.take("a.good", {2, 3})->dtype(), DType::kF16);
  EXPECT_EQ(weights.take("a.transposed", {2, 3})->shape(),
            (Shape{2, 3}));  // zeros, so that authoring goes on
  EXPECT_EQ(weights.take("a.integer", {2})->dtype(), DType::kF32);
  EXPECT_EQ(weights.take("a.none", {4})->shape(), Shape{4});
  EXPECT_EQ(weights.drop("a.dead."), 20U);
  EXPECT_EQ(weights.drop("a.never."), 0U);
  EXPECT_TRUE(weights.has("a.good") && !weights.has("a.none"));
  const std::string text = message_of(ErrorCode::kMismatch, [&] { weights.finish({"a."}); });
  for (const std::string part : {"some/folder",
                                 "1 missing: a.none [4]",
                                 "2 of the wrong shape or dtype",
                                 "a.transposed is [3, 2], expected [2, 3]",
                                 "a.integer is int64",
                                 "1 unused",
                                 "a.unused"}) {
    EXPECT_TRUE(contains(text, part)) << part << " in " << text;
  }
  for (const std::string part : {"a.good", "a.dead", "b.other"}) {
    EXPECT_FALSE(contains(text, part)) << part << " in " << text;
  }
}

TEST(WeightTaker, IsContentWhenAllIsTaken) {
  Checkpoint checkpoint;
  checkpoint.tensors["a.x"] = {zeros(DType::kF32, {2}), "a.x"};
  checkpoint.tensors["b.y"] = {zeros(DType::kF32, {2}), "b.y"};
  WeightTaker weights(checkpoint);
  weights.take("a.x", {2});
  EXPECT_NO_THROW(weights.finish({"a."}));
  message_of(ErrorCode::kMismatch, [&] { weights.finish({""}); });
}

}  // namespace
}  // namespace lorapress
