// Single tokens that were trained, and how a configuration names them and whole modules.
#include "checkpoint/trained_modules.h"

#include <gtest/gtest.h>

#include "tables_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::filled;
using test::kInput;
using test::kOutput;
using test::kWrapped;
using test::kWrappedHead;
using test::message_of;
using test::write_adapter;

class TrainedTokensTest : public test::TablesTest {};

std::vector<NamedWeight> token_rows(float value, int64_t count, const std::string& at = kWrapped) {
  return {{at + "token_adapter.trainable_tokens_delta", filled(DType::kF32, {count, 4}, value)}};
}

TEST_F(TrainedTokensTest, WhoseTokensAreTrainedGetTheirRows) {
  write_tied();
  write_adapter(folder_ / "a", token_rows(3.0F, 2), {{"trainable_token_indices", {4, 0}}});
  const Checkpoint tied = open({{"a", 1.0}});
  EXPECT_TRUE(tied.text->tie_word_embeddings && tied.tensors.at(kInput).adapted);
  EXPECT_EQ(first(tied, kInput, 0), 3.0F);
  EXPECT_EQ(first(tied, kInput, 3), 12.0F);
  EXPECT_EQ(first(tied, kInput, 4), 3.0F);
  write_adapter(
      folder_ / "b", token_rows(4.0F, 1), {{"trainable_token_indices", {{"embed_tokens", {5}}}}});
  EXPECT_EQ(first(open({{"a", 1.0}, {"b", 1.0}}), kInput, 5), 4.0F);
  write_adapter(folder_ / "c",
                token_rows(5.0F, 1, kWrappedHead),
                {{"trainable_token_indices", {{"lm_head", {1}}}}});
  const Checkpoint apart = open({{"c", 1.0}});
  EXPECT_EQ(first(apart, kInput, 1), 12.0F);
  EXPECT_EQ(first(apart, kOutput, 1), 5.0F);
}

TEST_F(TrainedTokensTest, GrowByTrainedTokensThatAreAllGiven) {
  write_tied();
  write_adapter(folder_ / "a", token_rows(3.0F, 3), {{"trainable_token_indices", {7, 0, 6}}});
  const Checkpoint checkpoint = open({{"a", 1.0}});
  EXPECT_EQ(checkpoint.text->vocab_size, 8);
  EXPECT_TRUE(checkpoint.text->tie_word_embeddings);
  EXPECT_EQ(first(checkpoint, kInput, 7), 3.0F);
  write_adapter(folder_ / "b", token_rows(3.0F, 1), {{"trainable_token_indices", {7}}});
  const std::string text = refused(ErrorCode::kMismatch, {"b"});
  EXPECT_TRUE(contains(text, "row 6 is not given") && contains(text, "save_embedding_layers"))
      << text;
}

TEST_F(TrainedTokensTest, WhoseTokensAreNotClearAreRefused) {
  write_tied();
  write_adapter(folder_ / "none", token_rows(3.0F, 2));
  EXPECT_TRUE(contains(refused(ErrorCode::kMismatch, {"none"}), "no trainable_token_indices say"));
  write_adapter(folder_ / "only", {}, {{"trainable_token_indices", {1}}});
  EXPECT_TRUE(contains(refused(ErrorCode::kMismatch, {"only"}), "but no trainable_tokens_delta"));
  write_adapter(folder_ / "count", token_rows(3.0F, 2), {{"trainable_token_indices", {1}}});
  EXPECT_TRUE(contains(refused(ErrorCode::kMismatch, {"count"}), "1 token indices"));
  write_adapter(folder_ / "a", token_rows(3.0F, 1), {{"trainable_token_indices", {1}}});
  write_adapter(folder_ / "b", token_rows(4.0F, 1), {{"trainable_token_indices", {1}}});
  EXPECT_TRUE(contains(refused(ErrorCode::kUnsupported, {"a", "b"}), "trained by two adapters"));
  std::vector<NamedWeight> both = token_rows(3.0F, 1);
  both.push_back({kWrapped + "lora_embedding_A", filled(DType::kF32, {1, 6}, 2.0F)});
  both.push_back({kWrapped + "lora_embedding_B", filled(DType::kF32, {4, 1}, 3.0F)});
  write_adapter(folder_ / "both", both, {{"trainable_token_indices", {1}}});
  EXPECT_TRUE(contains(refused(ErrorCode::kUnsupported, {"both"}), "both a LoRA and"));
  write_adapter(folder_ / "norm",
                token_rows(3.0F, 1, "base_model.model.model.layers.0.mlp.up_proj."),
                {{"trainable_token_indices", {{"up_proj", {1}}}}});
  EXPECT_TRUE(contains(refused(ErrorCode::kUnsupported, {"norm"}), "up_proj"));
}

TEST(TrainedModules, AreParsed) {
  const auto parse = [](const std::string& text) {
    return parse_trained_modules(Json::parse(text), "file");
  };
  const TrainedModules trained = parse(
      R"({"modules_to_save": ["model.embed_tokens"], "trainable_token_indices": {"lm_head": [3, 1]}})");
  EXPECT_TRUE(trained.saves("language_model.model.embed_tokens"));
  EXPECT_FALSE(trained.saves("language_model.lm_head"));
  EXPECT_EQ(trained.tokens("language_model.model.embed_tokens", true), nullptr);
  EXPECT_EQ(trained.tokens("language_model.lm_head", false)->indices, (std::vector<int64_t>{3, 1}));
  const TrainedModules listed = parse(R"({"trainable_token_indices": [7]})");
  EXPECT_EQ(listed.tokens("language_model.transformer.wte", true)->indices,
            (std::vector<int64_t>{7}));
  EXPECT_EQ(listed.tokens("language_model.lm_head", false), nullptr);
  EXPECT_TRUE(parse(R"({"ensure_weight_tying": true})").ensure_weight_tying);
  EXPECT_TRUE(parse(R"({"modules_to_save": null, "trainable_token_indices": null})")
                  .trainable_token_indices.empty());
  for (const std::string text : {R"({"modules_to_save": "embed_tokens"})",
                                 R"({"modules_to_save": [1]})",
                                 R"({"ensure_weight_tying": 1})",
                                 R"({"trainable_token_indices": 5})",
                                 R"({"trainable_token_indices": [1, 1]})",
                                 R"({"trainable_token_indices": [-1]})",
                                 R"({"trainable_token_indices": [1.5]})",
                                 R"({"trainable_token_indices": [4294967296]})",
                                 R"({"trainable_token_indices": [18446744073709551615]})",
                                 R"({"trainable_token_indices": {"embed_tokens": "all"}})"}) {
    EXPECT_TRUE(contains(message_of(ErrorCode::kInvalidFile, [&] { parse(text); }), "file: "))
        << text;
  }
}

}  // namespace
}  // namespace lorapress
