#include "bundles/image_token.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::message_of;

ImageToken made(const std::string& json) {
  TokenizerFiles tokenizer;
  tokenizer.files["tokenizer.json"] = json;
  return image_token(tokenizer);
}

TEST(ImageToken, TakesTheNextFreeId) {
  const ImageToken token = made(
      R"({"model": {"vocab": {"a": 0, "b": 4}}, "added_tokens": [{"id": 2, "content": "<s>"}]})");
  EXPECT_EQ(token.id, 5);
  EXPECT_EQ(token.tokenizer["added_tokens"].size(), 2U);
  EXPECT_EQ(token.tokenizer["added_tokens"][1]["content"], "<image>");
  EXPECT_TRUE(token.tokenizer["added_tokens"][1]["special"].get<bool>());
  EXPECT_FALSE(token.dropped_post_processor);
  EXPECT_EQ(made(R"({"model": {"vocab": [["a", 0], ["b", -1]]}})").id, 2);
  EXPECT_EQ(
      made(R"({"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 9, "content": "x"}]})").id,
      10);
}

TEST(ImageToken, KeepsOneThatIsThere) {
  const std::string json =
      R"({"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1, "content": "<image>"}]})";
  const ImageToken token = made(json);
  EXPECT_EQ(token.id, 1);
  EXPECT_EQ(token.tokenizer["added_tokens"].size(), 1U);
}

TEST(ImageToken, DropsWhatAddsTokensToAPrompt) {
  const std::string head = R"({"model": {"vocab": {"a": 0}}, "post_processor": )";
  ImageToken token = made(head + R"({"type": "TemplateProcessing", "single": []}})");
  EXPECT_TRUE(token.dropped_post_processor);
  EXPECT_TRUE(token.tokenizer["post_processor"].is_null());
  token = made(head + R"({"type": "Sequence", "processors": [{"type": "ByteLevel"},
                          {"type": "TemplateProcessing"}]}})");
  EXPECT_TRUE(token.dropped_post_processor);
  EXPECT_EQ(token.tokenizer["post_processor"]["processors"].size(), 1U);
  for (const std::string kept :
       {R"({"type": "ByteLevel"}})", "null}", R"({"type": "Sequence"}})"}) {
    EXPECT_FALSE(made(head + kept).dropped_post_processor) << kept;
  }
}

TEST(ImageToken, RefusesWhatIsNoTokenizer) {
  for (const std::string json :
       {"{",
        "{}",
        "[]",
        R"({"model": 3})",
        R"({"model": {"vocab": {"a": -1}}})",
        R"({"model": {"vocab": {"a": 1e99}}})",
        R"({"model": {"vocab": {"a": 0}}, "added_tokens": [7]})",
        R"({"model": {"vocab": {"a": 0}}, "added_tokens": [{"content": "x"}]})"}) {
    message_of(ErrorCode::kInvalidFile, [&] { made(json); });
  }
}

}  // namespace
}  // namespace lorapress
