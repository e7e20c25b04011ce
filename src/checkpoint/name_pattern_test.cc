#include "checkpoint/name_pattern.h"

#include <gtest/gtest.h>
#include <set>

#include "base/json.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

// What Python's re reads and this program refuses instead of reading otherwise.
const std::set<std::string> kRefused = {"[[:alpha:]_]*",
                                        "\\u0071_proj",
                                        "\\N{LATIN SMALL LETTER Q}_proj",
                                        "(?#note)q_proj",
                                        "(?x:q _ proj)",
                                        "(?a:\\w+)"};

TEST(NamePattern, MatchesAsPythonsReOrRefusesByName) {
  const Json golden = read_json(test::source_path("tests/goldens/adapters/patterns.json"));
  size_t matched = 0;
  size_t refused = 0;
  for (const Json& row : golden.at("keys")) {
    const std::string key = row.at("key");
    SCOPED_TRACE(key);
    if (row.at("matches").is_null() || kRefused.contains(key)) {
      try {
        const NamePattern pattern(key, "config.json: alpha_pattern");
        ADD_FAILURE() << "was not refused";
      } catch (const Error& error) {
        EXPECT_TRUE(contains(error.what(), "config.json: alpha_pattern: the key \"" + key + "\""))
            << error.what();
        EXPECT_EQ(contains(error.what(), "is not a regular expression"),
                  error.code() == ErrorCode::kInvalidFile);
      }
      ++refused;
      continue;
    }
    const NamePattern pattern(key, "x");
    const std::set<std::string> expected(row.at("matches").begin(), row.at("matches").end());
    for (const Json& name : golden.at("names")) {
      EXPECT_EQ(pattern.matches(name.get<std::string>()), expected.contains(name)) << name;
    }
    matched += expected.size();
  }
  EXPECT_GT(matched, 80U);
  EXPECT_GT(refused, 30U);
}

TEST(NamePattern, CannotHang) {
  const NamePattern pattern("(a|a?)+b(?<!x)", "x");
  const std::string text = message_of(
      ErrorCode::kUnsupported, [&] { (void)pattern.matches(std::string(200, 'a') + "c.b."); });
  EXPECT_TRUE(contains(text, "too many steps")) << text;
}

TEST(NamePattern, TakesFewStepsOnOrdinaryNames) {
  const std::string name = "base_model.model.model.language_model.layers.27.self_attn.q_proj";
  for (const char* key : {"(?!.*layers\\.1).*q_proj",
                          ".*layers.*\\.(2|27)\\..*attn.*q_proj",
                          "(.*\\.)*(.*)q_proj",
                          "[a-z_.]*[0-9]+[a-z_.]*q_proj"}) {
    EXPECT_TRUE(NamePattern(key, "x").matches(name)) << key;
    EXPECT_FALSE(NamePattern(std::string(key) + "x", "x").matches(name)) << key;
  }
}

TEST(NamePattern, HasAKeyOfBoundedLength) {
  message_of(ErrorCode::kInvalidFile, [] { NamePattern(std::string(5000, 'a'), "x"); });
  EXPECT_EQ(NamePattern("model.layers.1.q_proj", "x").compiled_bytes(), 0U);
  EXPECT_GT(NamePattern("(q|k)_proj", "x").compiled_bytes(), 0U);
}

}  // namespace
}  // namespace lorapress
