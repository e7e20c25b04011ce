#include "base/json.h"

#include <gtest/gtest.h>
#include <limits>
#include <string>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::TempFolder;

std::string nested(size_t levels, const std::string& inside, char open, char close) {
  return std::string(levels, open) + inside + std::string(levels, close);
}

TEST(Json, RefusesDuplicateKeys) {
  for (const std::string bad : {R"({"a":1,"a":1})",
                                R"({"a":{"b":1,"c":{},"b":2}})",
                                R"([{"x":0},{"x":0,"y":[],"x":0}])",
                                R"({"a":1,"\u0061":2})"}) {
    const std::string text =
        message_of(ErrorCode::kInvalidFile, [&] { parse_json(bad, "some.json"); });
    EXPECT_TRUE(contains(text, "some.json")) << text;
    EXPECT_TRUE(contains(text, "stands twice")) << bad << ": " << text;
  }
}

TEST(Json, TakesEqualKeysInDifferentObjects) {
  const Json json = parse_json(R"({"a":{"a":{"a":1}},"b":[{"a":2},{"a":3}]})", "x");
  EXPECT_EQ(json["a"]["a"]["a"], 1);
  EXPECT_EQ(json["b"][1]["a"], 3);
}

TEST(Json, TakesSixtyFourLevelsAndNoMore) {
  EXPECT_NO_THROW(parse_json(nested(64, "1", '[', ']'), "x"));
  EXPECT_NO_THROW(parse_json(nested(64, "", '[', ']'), "x"));
  for (const size_t levels : {65, 66, 1000, 1'000'000}) {
    for (const std::string inside : {"", "1"}) {
      const std::string text = message_of(
          ErrorCode::kInvalidFile, [&] { parse_json(nested(levels, inside, '[', ']'), "x"); });
      EXPECT_TRUE(contains(text, "deeper than 64")) << levels << ": " << text.substr(0, 200);
    }
  }
  std::string objects = "1";
  for (int i = 0; i < 65; ++i) {
    objects = "{\"k\":" + objects + "}";
  }
  message_of(ErrorCode::kInvalidFile, [&] { parse_json(objects, "x"); });
}

TEST(Json, RefusesWhatIsNotOneValue) {
  for (const std::string bad : {"",
                                " ",
                                "{",
                                "{}{}",
                                "[1,]",
                                "{'a':1}",
                                "nan",
                                "1e999",
                                "\"\xff\"",
                                "// c\n{}",
                                "\"a\nb\""}) {
    message_of(ErrorCode::kInvalidFile, [&] { parse_json(bad, "x"); });
  }
}

TEST(Json, GetsTypedMembers) {
  const Json json = parse_json(
      R"({"yes":true,"n":-3,"big":9223372036854775807,"real":2.5,"text":"t","none":null})", "x");
  EXPECT_EQ(json_get<bool>(json, "yes", "x"), true);
  EXPECT_EQ(json_get<int64_t>(json, "n", "x"), -3);
  EXPECT_EQ(json_get<int64_t>(json, "big", "x"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(json_get<double>(json, "real", "x"), 2.5);
  EXPECT_EQ(json_get<double>(json, "n", "x"), -3.0);  // a whole number is a number
  EXPECT_EQ(json_get<std::string>(json, "text", "x"), "t");
  EXPECT_EQ(json_or<int64_t>(json, "none", 7, "x"), 7);
  EXPECT_EQ(json_or<int64_t>(json, "absent", 8, "x"), 8);
  EXPECT_EQ(json_or<int64_t>(json, "n", 8, "x"), -3);
  EXPECT_EQ(json_or<int64_t>(Json::array(), "n", 8, "x"), 8);  // not an object: absent
}

TEST(Json, NamesKeyAndTypeOfWrongMembers) {
  const Json json =
      parse_json(R"({"big":9223372036854775808,"real":2.0,"text":"1","yes":1,"none":null})", "x");
  const auto refuses = [&](auto call, std::string_view key, std::string_view type) {
    const std::string text = message_of(ErrorCode::kInvalidFile, call);
    EXPECT_TRUE(contains(text, "file.json: \"" + std::string(key) + "\"")) << text;
    EXPECT_TRUE(contains(text, type)) << text;
  };
  const std::string at = "file.json";
  refuses([&] { json_get<int64_t>(json, "big", at); }, "big", "a whole number");
  refuses([&] { json_get<int64_t>(json, "real", at); }, "real", "a whole number");
  refuses([&] { json_get<int64_t>(json, "text", at); }, "text", "a whole number");
  refuses([&] { json_get<double>(json, "text", at); }, "text", "a number");
  refuses([&] { json_get<bool>(json, "yes", at); }, "yes", "true or false");
  refuses([&] { json_get<std::string>(json, "real", at); }, "real", "a string");
  refuses([&] { json_or<bool>(json, "yes", true, at); }, "yes", "true or false");
  refuses([&] { json_get<bool>(json, "none", at); }, "none", "true or false");
  refuses([&] { json_get<bool>(json, "absent", at); }, "absent", "missing");
  refuses([&] { json_get<bool>(Json(3), "absent", at); }, "absent", "missing");
}

TEST(Json, ReadsFilesUpToALimit) {
  const TempFolder folder;
  write_text(folder / "a.json", R"({"k": [1, 2]})");
  EXPECT_EQ(read_json(folder / "a.json")["k"][1], 2);
  EXPECT_EQ(read_json(folder / "a.json", 13)["k"][1], 2);
  message_of(ErrorCode::kInvalidFile, [&] { read_json(folder / "a.json", 12); });
  message_of(ErrorCode::kNotFound, [&] { read_json(folder / "b.json"); });
}

}  // namespace
}  // namespace lorapress
