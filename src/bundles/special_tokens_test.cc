#include "bundles/special_tokens.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

Json tokenizer_with(Json post_processor) {
  return {{"post_processor", std::move(post_processor)}};
}

const Json kBegin = {{"type", "TemplateProcessing"},
                     {"single",
                      {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                       {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}};
const Json kPlain = {{"type", "TemplateProcessing"},
                     {"single", Json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})}};

TEST(SpecialTokens, AreAddedByStepsThatHaveThem) {
  EXPECT_TRUE(adds_special_tokens(tokenizer_with(kBegin)));
  EXPECT_TRUE(adds_special_tokens(tokenizer_with({{"type", "RobertaProcessing"}})));
  EXPECT_TRUE(adds_special_tokens(
      tokenizer_with({{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, kBegin}}})));
  EXPECT_FALSE(adds_special_tokens(tokenizer_with(kPlain)));
  EXPECT_FALSE(adds_special_tokens(tokenizer_with({{"type", "ByteLevel"}})));
  for (const Json& other : {Json(), Json("x"), Json::array(), Json::object()}) {
    EXPECT_FALSE(adds_special_tokens(tokenizer_with(other)));
    EXPECT_FALSE(adds_special_tokens(other));
  }
}

TEST(PipelineTokenizerConfig, HasTheTemplateAndTheFirstTokenThatPythonWouldUse) {
  TokenizerFiles files;
  files.files = {{"tokenizer.json", tokenizer_with(kBegin).dump()},
                 {"tokenizer_config.json", R"({"eos_token": "</s>", "chat_template": "old"})"},
                 {kChatTemplate, "{{ messages }}"}};
  const Json made = pipeline_tokenizer_config(files);
  EXPECT_EQ(made.at("eos_token"), "</s>");
  EXPECT_EQ(made.at("chat_template"), "{{ messages }}");
  EXPECT_EQ(made.at("add_bos_token"), true);

  files.files["tokenizer_config.json"] =
      R"({"add_bos_token": false, "chat_template": [{"name": "default", "template": "x"}]})";
  const Json own = pipeline_tokenizer_config(files);
  EXPECT_EQ(own.at("add_bos_token"), false);
  EXPECT_TRUE(own.at("chat_template").is_array());

  files.files["tokenizer_config.json"] = "[]";
  test::message_of(ErrorCode::kInvalidFile, [&] { (void)pipeline_tokenizer_config(files); });
}

}  // namespace
}  // namespace lorapress
