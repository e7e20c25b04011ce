#include "runtime/generation/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lorapress/error.h"

#include "base/json.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::message_of;

// Byte-level BPE: "ab", " ab", the two bytes of U+00E9 (4, 5), an end token 7, and a truncation
// that must not be applied.
constexpr std::string_view kTiny = R"({
  "version": "1.0", "normalizer": null, "post_processor": null, "padding": null,
  "truncation": {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
  "added_tokens": [{"id": 7, "content": "</s>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                    "use_regex": true},
  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
              "use_regex": true},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u00c3": 4, "\u00a9": 5,
                      "\u0120ab": 6},
            "merges": [["a", "b"], ["\u0120", "ab"]]}
})";
constexpr std::string_view kAccent = "\xC3\xA9";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

using Ids = std::vector<int64_t>;

TEST(Tokenizer, EncodesAndDecodes) {
  const Tokenizer tokenizer = Tokenizer::from_json(kTiny);
  EXPECT_EQ(tokenizer.encode("ab ab"), (Ids{3, 6}));
  EXPECT_EQ(tokenizer.encode(kAccent), (Ids{4, 5}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.decode(Ids{3, 6, 7}), "ab ab");
  EXPECT_EQ(tokenizer.decode(Ids{3, 7}, false), "ab</s>");
  EXPECT_EQ(tokenizer.decode(Ids{}), "");
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer tokenizer = Tokenizer::from_json(kTiny);
  EXPECT_EQ(tokenizer.token_to_id("</s>"), 7);
  EXPECT_EQ(tokenizer.token_to_id("zz"), std::nullopt);
  EXPECT_EQ(tokenizer.vocab_size(), 8U);
}

TEST(Tokenizer, SkipsIdsOfThePaddedVocabularyAndRefusesImpossibleOnes) {
  const Tokenizer tokenizer = Tokenizer::from_json(kTiny);
  EXPECT_EQ(tokenizer.decode(Ids{3, 8, 4294967295}), "ab");
  for (const int64_t id : {int64_t{-1}, int64_t{4294967296}}) {
    const auto text =
        message_of(ErrorCode::kInvalidArgument, [&] { (void)tokenizer.decode(Ids{id}); });
    EXPECT_EQ(text, "cannot decode: " + std::to_string(id) + " is not a token id");
  }
}

TEST(Tokenizer, BadInputIsAnError) {
  for (const std::string_view json : {"", "{}", "[", R"({"model": 3})"}) {
    const auto text = message_of(ErrorCode::kInvalidFile,
                                 [&] { (void)Tokenizer::from_json(json, "dir/tokenizer.json"); });
    EXPECT_TRUE(text.starts_with("dir/tokenizer.json: not a usable tokenizer: ")) << text;
  }
  const Tokenizer tokenizer = Tokenizer::from_json(kTiny);
  message_of(ErrorCode::kInvalidArgument, [&] { (void)tokenizer.encode("a\xFF"); });
  message_of(ErrorCode::kNotFound, [&] { (void)Tokenizer::from_file("/nowhere/tokenizer.json"); });
}

TEST(Tokenizer, IsSharedByThreads) {
  const Tokenizer tokenizer = Tokenizer::from_json(kTiny);
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        EXPECT_EQ(tokenizer.encode("ab ab ab"), (Ids{3, 6, 6}));
      }
    });
  }
}

TEST(TextStream, NeverSplitsACharacter) {
  const Tokenizer tokenizer = Tokenizer::from_json(kTiny);
  TextStream stream(tokenizer);
  EXPECT_EQ(stream.push(3), "ab");
  EXPECT_EQ(stream.push(4), "");
  EXPECT_EQ(stream.push(5), kAccent);
  EXPECT_EQ(stream.push(6), " ab");
  EXPECT_EQ(stream.push(7), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, GivesAnUnfinishedCharacterAtTheEnd) {
  const Tokenizer tokenizer = Tokenizer::from_json(kTiny);
  TextStream stream(tokenizer);
  EXPECT_EQ(stream.push(4), "");
  EXPECT_EQ(stream.push(4), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");
}

// Answers of the Python library; tests/goldens/tokenizer is made by `make oracle`.
class TokenizerGoldens : public testing::TestWithParam<std::string> {
 protected:
  static std::filesystem::path folder() {
    return std::filesystem::path(LORAPRESS_SOURCE_DIR) / "tests/goldens/tokenizer";
  }
  void SetUp() override {
    const Json all = read_json(folder() / "tests.json");
    for (const Json& row : all.at("tokenizers")) {
      if (row.at("name") == GetParam()) {
        golden_ = row;
      }
    }
    ASSERT_FALSE(golden_.is_null()) << GetParam();
    tokenizer_.emplace(Tokenizer::from_file(folder() / golden_.at("file").get<std::string>()));
  }

  Json golden_;
  std::optional<Tokenizer> tokenizer_;
};

TEST_P(TokenizerGoldens, VocabularySize) {
  EXPECT_EQ(tokenizer_->vocab_size(), golden_.at("vocab_size").get<size_t>());
}

TEST_P(TokenizerGoldens, Encode) {
  for (const Json& row : golden_.at("encode")) {
    const auto text = row.at("text").get<std::string>();
    const Ids ids = row.at("ids");
    const Ids special = row.at("ids_with_special");
    EXPECT_EQ(tokenizer_->encode(text), ids) << text;
    EXPECT_EQ(tokenizer_->encode(text, true), special) << text;
    EXPECT_EQ(tokenizer_->decode(ids), row.at("decoded").get<std::string>()) << text;
    EXPECT_EQ(tokenizer_->decode(ids, false), row.at("decoded_with_special").get<std::string>())
        << text;
  }
}

TEST_P(TokenizerGoldens, Decode) {
  for (const Json& row : golden_.at("decode")) {
    const Ids ids = row.at("ids");
    EXPECT_EQ(tokenizer_->decode(ids), row.at("text").get<std::string>()) << row;
    EXPECT_EQ(tokenizer_->decode(ids, false), row.at("text_with_special").get<std::string>())
        << row;
  }
}

// Whether the final text takes back what an earlier prefix showed (byte fallback, broken bytes).
bool takes_back(const Json& prefixes) {
  const auto last = prefixes.back().get<std::string>();
  return std::ranges::any_of(prefixes, [&](const Json& json) {
    const auto prefix = json.get<std::string>();
    return !prefix.ends_with(kReplacement) && !last.starts_with(prefix);
  });
}

TEST_P(TokenizerGoldens, Stream) {
  for (const Json& row : golden_.at("stream")) {
    const Ids ids = row.at("ids");
    const Json& prefixes = row.at("prefixes");
    const auto text = prefixes.back().get<std::string>();
    const bool exact = !takes_back(prefixes);
    TextStream stream(*tokenizer_);
    std::string printed;
    for (size_t step = 0; step < ids.size(); ++step) {
      const std::string piece = stream.push(ids[step]);
      EXPECT_FALSE(piece.ends_with(kReplacement)) << row;
      printed += piece;
      const auto prefix = prefixes.at(step).get<std::string>();
      if (exact) {
        EXPECT_TRUE(text.starts_with(printed)) << row;
        EXPECT_TRUE(printed == prefix || prefix.ends_with(kReplacement)) << row;
      }
    }
    printed += stream.finish();
    EXPECT_TRUE(printed == text || !exact) << row;
  }
}

INSTANTIATE_TEST_SUITE_P(Python,
                         TokenizerGoldens,
                         testing::Values("llama3", "smollm2", "tinyllama"),
                         [](const auto& row) { return row.param; });

}  // namespace
}  // namespace lorapress
