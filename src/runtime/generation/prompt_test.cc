#include "runtime/generation/prompt.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

constexpr std::string_view kTokenizer = R"({
  "version": "1.0", "normalizer": null, "post_processor": null, "padding": null,
  "truncation": null,
  "added_tokens": [{"id": 3, "content": "<image>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "pre_tokenizer": null, "decoder": null,
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": {"a": 0, "b": 1, "s": 2}, "merges": []}
})";

class PlaceholderIds : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<int64_t> ids(const std::string& prompt,
                                         const ChatTemplate* chat = nullptr,
                                         const std::string& text = "") const {
    return placeholder_ids(tokenizer_, chat, {3, 2, text}, options_, prompt);
  }

  Tokenizer tokenizer_ = Tokenizer::from_json(kTokenizer);
  ChatTemplate chat_{
      "{% for m in messages %}{{ m.role[0] if m.role == 'system' }}"
      "{% for c in m.content %}{{ '<image>' if c.type == 'image' else c.text }}"
      "{% endfor %}{% endfor %}b"};
  GenerateOptions options_;
};

TEST_F(PlaceholderIds, TheImageStandsBeforeAPromptWithoutAPlace) {
  EXPECT_EQ(ids("ab"), (std::vector<int64_t>{3, 3, 0, 1}));
  EXPECT_EQ(ids("a<image>b"), (std::vector<int64_t>{0, 3, 3, 1}));
  EXPECT_EQ(ids("", nullptr, "s<image>s"), (std::vector<int64_t>{2, 3, 2}));
}

TEST_F(PlaceholderIds, AChatModelIsAskedThroughItsTemplate) {
  EXPECT_EQ(ids("a", &chat_), (std::vector<int64_t>{3, 3, 0, 1}));
  options_.system = "a";
  EXPECT_EQ(ids("a", &chat_), (std::vector<int64_t>{2, 0, 3, 3, 0, 1}));
  options_ = {};
  options_.raw_prompt = true;
  EXPECT_EQ(ids("a", &chat_), (std::vector<int64_t>{3, 3, 0}));
}

TEST_F(PlaceholderIds, PromptsThatDoNotFitAreRefused) {
  EXPECT_TRUE(
      contains(message_of(ErrorCode::kInvalidArgument, [&] { (void)ids("<image>", &chat_); }),
               "the prompt has 2 times <image>, expected 1"));
  options_.system = "a";
  EXPECT_TRUE(contains(message_of(ErrorCode::kInvalidArgument, [&] { (void)ids("a"); }),
                       "needs a chat template"));
  options_ = {};
  EXPECT_TRUE(contains(
      message_of(ErrorCode::kMismatch,
                 [&] { (void)placeholder_ids(tokenizer_, nullptr, {9, 2, ""}, options_, "a"); }),
      "no token 9"));
}

}  // namespace
}  // namespace lorapress
