// Tied, untied and resized tables of small decoders; tests/goldens/tables has torch's numbers.
#include "checkpoint/embedding_tables.h"

#include <gtest/gtest.h>

#include "tables_util.h"

namespace lorapress {
namespace {

using test::change_tensors;
using test::config_of;
using test::contains;
using test::filled;
using test::kInput;
using test::kOutput;
using test::kWrapped;
using test::kWrappedHead;
using test::table;
using test::TempFolder;
using test::write_adapter;
using test::write_tiny_llama;
using test::write_tokenizer;
namespace fs = std::filesystem;

class Tables : public test::TablesTest {};

TEST_F(Tables, OfDifferentValuesStayTwoWhateverTheFlagSays) {
  for (const Json& flag : {Json(true), Json(false), Json()}) {
    const TempFolder other;
    write_tiny_llama(other / "m", config_of(flag));
    Source source;
    source.checkpoint = other / "m";
    const Checkpoint checkpoint = open_checkpoint(source);
    EXPECT_FALSE(checkpoint.text->tie_word_embeddings) << flag;
    EXPECT_NE(first(checkpoint, kInput), first(checkpoint, kOutput));
    EXPECT_EQ(contains(notes(checkpoint), "differ: both tables are kept"), flag == true)
        << notes(checkpoint);
    EXPECT_EQ(checkpoint.text_json.value("tie_word_embeddings", false), false);
    EXPECT_EQ(checkpoint.text_json.contains("tie_word_embeddings"), !flag.is_null());
  }
}

TEST_F(Tables, OfEqualValuesAreOneWhateverTheFlagSays) {
  for (const Json& flag : {Json(true), Json(false), Json()}) {
    const TempFolder other;
    write_tiny_llama(other / "m", config_of(flag));
    change_tensors(other / "m",
                   {{"model.embed_tokens.weight", table(5.0F)}, {"lm_head.weight", table(5.0F)}});
    Source source;
    source.checkpoint = other / "m";
    const Checkpoint checkpoint = open_checkpoint(source);
    EXPECT_TRUE(checkpoint.text->tie_word_embeddings) << flag;
    EXPECT_FALSE(checkpoint.tensors.contains(kOutput));
    EXPECT_EQ(contains(notes(checkpoint), "kept once"), flag != true) << notes(checkpoint);
    EXPECT_EQ(checkpoint.text_json.at("tie_word_embeddings"), true);
  }
}

TEST_F(Tables, OfWhichOneIsAbsentAreOneAndThatIsSaid) {
  for (const Json& flag : {Json(true), Json(false), Json()}) {
    for (const std::string without : {"lm_head.weight", "model.embed_tokens.weight"}) {
      const TempFolder other;
      write_tiny_llama(other / "m", config_of(flag), without);
      Source source;
      source.checkpoint = other / "m";
      const Checkpoint checkpoint = open_checkpoint(source);
      EXPECT_TRUE(checkpoint.text->tie_word_embeddings) << flag;
      EXPECT_EQ(checkpoint.tensors.at(kInput).name, kInput);
      EXPECT_FALSE(checkpoint.tensors.contains(kOutput));
      EXPECT_EQ(contains(notes(checkpoint), "is absent though tie_word_embeddings is not true"),
                flag != true)
          << notes(checkpoint);
      EXPECT_EQ(checkpoint.text_json.at("tie_word_embeddings"), true);
      EXPECT_EQ(checkpoint.output_table, checkpoint.tensors.at(kInput).weight);
    }
  }
}

// A decoder saved without a head, and an adapter that brings the trained one.
TEST_F(Tables, OfAnAdapterFillTheAbsentOneWithoutANote) {
  write_tied(false);
  write_adapter(
      folder_ / "a", {{kWrappedHead + "weight", table(3.0F)}}, {{"modules_to_save", {"lm_head"}}});
  const Checkpoint checkpoint = open({{"a", 1.0}});
  EXPECT_EQ(first(checkpoint, kInput), 12.0F);
  EXPECT_EQ(first(checkpoint, kOutput), 3.0F);
  EXPECT_EQ(notes(checkpoint), "");
}

// A trainer's one file whose text_config leaves the flag out.
TEST_F(Tables, OfOneFileAreTheTrainedAndTheOriginal) {
  write_tiny_llama(folder_ / "m", config_of(Json()), "lm_head.weight");
  change_tensors(folder_ / "m",
                 {{"model.embed_tokens.weight", nullptr},
                  {kWrapped + "original_module.weight", table(12.0F)},
                  {kWrapped + "modules_to_save.default.weight", table(3.0F)}});
  const Checkpoint checkpoint = open();
  EXPECT_EQ(first(checkpoint, kInput), 3.0F);
  EXPECT_EQ(first(checkpoint, kOutput), 12.0F);
  EXPECT_TRUE(contains(notes(checkpoint), "language_model.lm_head is absent")) << notes(checkpoint);
}

// The first folder's tied table is not paired with a later folder's.
TEST_F(Tables, OfTwoFoldersAreNotMixed) {
  write_tied();
  write_tiny_llama(folder_ / "base", config_of(true), "model.embed_tokens.weight");
  Source source;
  source.checkpoint = folder_ / "m";
  source.bases = {folder_ / "base"};
  const Checkpoint checkpoint = open_checkpoint(source);
  EXPECT_TRUE(checkpoint.text->tie_word_embeddings);
  EXPECT_EQ(first(checkpoint, kInput), 12.0F);
}

TEST_F(Tables, ThatAnAdapterTrainedAreSetBesideTheOld) {
  write_tied();
  write_adapter(
      folder_ / "a", {{kWrapped + "weight", table(3.0F)}}, {{"modules_to_save", {"embed_tokens"}}});
  const Checkpoint checkpoint = open({{"a", 1.0}});
  EXPECT_EQ(first(checkpoint, kInput), 3.0F);
  EXPECT_EQ(first(checkpoint, kOutput), 12.0F);
  EXPECT_FALSE(checkpoint.tensors.at(kOutput).adapted);
  EXPECT_EQ(checkpoint.config.at("tie_word_embeddings"), false);
  const Checkpoint half = open({{"a", 0.5}});
  EXPECT_EQ(first(half, kInput), 3.0F);
  EXPECT_TRUE(contains(notes(half), "the weight 0.5 of ")) << notes(half);
}

// Outside of modules_to_save a table is the base's: one parameter under both names.
TEST_F(Tables, ThatAnAdapterStoresOfItsBaseAreOfBothNames) {
  write_tied();
  write_adapter(folder_ / "a", {{kWrapped + "weight", table(3.0F)}});
  write_adapter(folder_ / "b", {{kWrapped + "base_layer.weight", table(4.0F)}});
  EXPECT_TRUE(open({{"a", 1.0}}).text->tie_word_embeddings);
  EXPECT_EQ(first(open({{"a", 1.0}}), kInput), 3.0F);
  EXPECT_EQ(first(open({{"b", 1.0}}), kInput), 4.0F);
  EXPECT_FALSE(open({{"b", 1.0}}).tensors.contains(kOutput));
}

TEST_F(Tables, UnderEnsureWeightTyingAreOneThoughStoredOnce) {
  write_tied();
  const Json ensure = {{"ensure_weight_tying", true}, {"modules_to_save", {"embed_tokens"}}};
  write_adapter(folder_ / "a", {{kWrapped + "weight", table(3.0F)}}, ensure);
  EXPECT_EQ(first(open({{"a", 1.0}}), kInput), 3.0F);
  EXPECT_TRUE(open({{"a", 1.0}}).text->tie_word_embeddings);
  // A LoRA that was stored for one of both.
  write_adapter(folder_ / "b",
                {{kWrapped + "lora_embedding_A", filled(DType::kF32, {1, 6}, 2.0F)},
                 {kWrapped + "lora_embedding_B", filled(DType::kF32, {4, 1}, 3.0F)}},
                {{"ensure_weight_tying", true}});
  EXPECT_EQ(first(open({{"b", 1.0}}), kInput), 18.0F);
  EXPECT_TRUE(open({{"b", 1.0}}).text->tie_word_embeddings);
  // Without the option it is the embedding's alone.
  write_adapter(folder_ / "c",
                {{kWrapped + "lora_embedding_A", filled(DType::kF32, {1, 6}, 2.0F)},
                 {kWrapped + "lora_embedding_B", filled(DType::kF32, {4, 1}, 3.0F)}});
  const Checkpoint apart = open({{"c", 1.0}});
  EXPECT_EQ(first(apart, kInput), 18.0F);
  EXPECT_EQ(first(apart, kOutput), 12.0F);
  EXPECT_TRUE(contains(notes(apart), "merge_and_unload()")) << notes(apart);
}

// One file of a whole model in which one of each pair of equal factors was kept.
TEST_F(Tables, UnderEnsureWeightTyingLendEachOtherTheirFactors) {
  Json config = config_of(true);
  config["lora_r"] = 1;
  config["lora_alpha"] = 1;
  config["ensure_weight_tying"] = true;
  write_tiny_llama(folder_ / "m", config, "lm_head.weight");
  change_tensors(folder_ / "m",
                 {{"model.embed_tokens.weight", nullptr},
                  {kWrapped + "base_layer.weight", table(12.0F)},
                  {kWrapped + "lora_embedding_A.default", filled(DType::kF32, {1, 6}, 2.0F)},
                  {kWrappedHead + "lora_A.default.weight", filled(DType::kF32, {1, 4}, 3.0F)}});
  const Checkpoint checkpoint = open();
  EXPECT_EQ(first(checkpoint, kInput), 18.0F);
  EXPECT_TRUE(checkpoint.text->tie_word_embeddings);
  EXPECT_EQ(notes(checkpoint), "");
}

TEST_F(Tables, ThatTwoAdaptersReplaceAreRefused) {
  write_tied();
  const Json saves = {{"modules_to_save", {"embed_tokens"}}};
  write_adapter(folder_ / "a", {{kWrapped + "weight", table(3.0F)}}, saves);
  write_adapter(folder_ / "b", {{kWrapped + "weight", table(4.0F)}}, saves);
  write_adapter(folder_ / "c", {{kWrapped + "weight", table(3.0F)}}, saves);
  const std::string text = refused(ErrorCode::kUnsupported, {"a", "b"});
  EXPECT_TRUE(contains(text, (folder_ / "b").string() + ": replaces") &&
              contains(text, (folder_ / "a").string()) && contains(text, "embed_tokens"))
      << text;
  EXPECT_EQ(first(open({{"a", 1.0}, {"c", 1.0}}), kInput), 3.0F);
}

// Two LoRAs that both bring the base's table lie on it together.
TEST_F(Tables, UnderTwoLorasKeepBoth) {
  write_tied(false);
  const auto write = [&](const std::string& name, float a) {
    write_adapter(folder_ / name,
                  {{kWrapped + "base_layer.weight", table(12.0F)},
                   {kWrapped + "lora_embedding_A", filled(DType::kF32, {1, 6}, a)},
                   {kWrapped + "lora_embedding_B", filled(DType::kF32, {4, 1}, 1.0F)}});
  };
  write("a", 2.0F);
  write("b", 0.5F);
  EXPECT_EQ(first(open({{"a", 1.0}, {"b", 2.0}}), kInput), 15.0F);
}

TEST_F(Tables, GrowByTheAdaptersRows) {
  for (const Json& flag : {Json(true), Json(false)}) {
    const TempFolder other;
    write_tiny_llama(other / "m", config_of(flag), flag == true ? "lm_head.weight" : "");
    write_adapter(
        other / "a",
        {{kWrapped + "weight", table(3.0F, 8)}, {kWrappedHead + "weight", table(3.5F, 8)}});
    Source source;
    source.checkpoint = other / "m";
    source.adapters = {{other / "a", 1.0}};
    const Checkpoint checkpoint = open_checkpoint(source);
    EXPECT_EQ(checkpoint.text->vocab_size, 8);
    EXPECT_EQ(checkpoint.text_json.at("vocab_size"), 8);
    EXPECT_EQ(checkpoint.config.at("vocab_size"), 8);
    EXPECT_EQ(checkpoint.tensors.at(kOutput).weight->rows(), 8);
    EXPECT_TRUE(contains(notes(checkpoint), "vocab_size is 8 instead of 6")) << notes(checkpoint);
  }
}

TEST_F(Tables, OfOtherRowsThanAddedTokensExplainAreRefused) {
  write_tied();
  const auto with = [&](const Shape& shape) {
    fs::remove_all(folder_ / "a");
    write_adapter(folder_ / "a", {{kWrapped + "weight", filled(DType::kF32, shape, 3.0F)}});
  };
  const auto expect = [&](const std::string& part) {
    const std::string text = refused(ErrorCode::kMismatch, {"a"});
    EXPECT_TRUE(text.starts_with((folder_ / "a").string()) && contains(text, part) &&
                contains(text, "the adapter was trained for another base"))
        << text;
  };
  with({8, 5});
  expect("is [8, 5], the base has [6, 4]");
  with({6, 4, 1});
  expect("[6, 4, 1]");
  with({14, 4});
  expect("more than twice");
  with({5, 4});
  expect("no tokenizer.json says");
  write_tokenizer(folder_ / "m", 4, 6);
  expect("has tokens up to 5");
  write_tokenizer(folder_ / "m", 4, 5);
  EXPECT_EQ(open({{"a", 1.0}}).text->vocab_size, 5);  // a row that no token used
  with({8, 4});
  EXPECT_EQ(open({{"a", 1.0}}).text->vocab_size, 8);
  write_tokenizer(folder_ / "a", 4, 9);
  expect("has tokens up to 8");
  write_tokenizer(folder_ / "a", 4, 7);
  EXPECT_EQ(open({{"a", 1.0}}).text->vocab_size, 8);
  write_tokenizer(folder_ / "a", 4, 7, "x");
  expect("has other tokens than");
  with({40, 4});
  write_tokenizer(folder_ / "a", 4, 33);
  EXPECT_EQ(open({{"a", 1.0}}).text->vocab_size, 40);
  // No table, no added token.
  write_adapter(folder_ / "b",
                {{"base_model.model.model.norm.weight", filled(DType::kF32, {5}, 1.0F)}});
  EXPECT_TRUE(contains(refused(ErrorCode::kMismatch, {"b"}), "model.norm.weight is [5]"));
}

TEST_F(Tables, OfDifferentRowsAreRefusedByTheAdaptersName) {
  write_tiny_llama(folder_ / "m", config_of(false));
  write_adapter(folder_ / "a",
                {{kWrapped + "weight", table(3.0F, 8)}},
                {{"modules_to_save", {"embed_tokens"}}});
  const std::string text = refused(ErrorCode::kMismatch, {"a"});
  EXPECT_TRUE(text.starts_with((folder_ / "a").string()) &&
              contains(text, "embed_tokens has 8 rows and lm_head 6") &&
              contains(text, "with both tables"))
      << text;
}

// text_config: null says nothing of a resize that the trainer made.
TEST_F(Tables, OfACheckpointWithAnotherModelsConfigGrowByItsTokenizer) {
  Json config = {{"model_type", "prefix_conditioning_vlm"},
                 {"vision_config", Json::object()},
                 {"text_config", nullptr}};
  write_tiny_llama(folder_ / "base", config_of(true), "lm_head.weight");
  fs::create_directories(folder_ / "m");
  write_text(folder_ / "m/config.json", config.dump());
  test::write_safetensors(folder_ / "m/model.safetensors",
                          {{"language_model.model.embed_tokens.weight", table(3.0F, 8)}});
  Source source;
  source.checkpoint = folder_ / "m";
  source.bases = {folder_ / "base"};
  EXPECT_EQ(open_checkpoint(source).text->vocab_size, 6);  // whoever takes the table refuses it
  write_tokenizer(folder_ / "m", 6, 7);
  const Checkpoint checkpoint = open_checkpoint(source);
  EXPECT_EQ(checkpoint.text->vocab_size, 8);
  EXPECT_TRUE(contains(notes(checkpoint), "its tokenizer has 7 tokens")) << notes(checkpoint);
  write_tokenizer(folder_ / "m", 6, 9);
  EXPECT_EQ(open_checkpoint(source).text->vocab_size, 6);
  write_tokenizer(folder_ / "m", 6, 7);
  config["text_config"] = config_of(true);
  fs::remove(folder_ / "m/config.json");
  write_text(folder_ / "m/config.json", config.dump());
  EXPECT_EQ(open_checkpoint(source).text->vocab_size, 6);
}

}  // namespace
}  // namespace lorapress
