#include "checkpoint/tokenizer_files.h"

#include <gtest/gtest.h>

#include "runtime/generation/tokenizer.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::source_path;
using test::TempFolder;

class FindTokenizer : public ::testing::Test {
 protected:
  FindTokenizer() {
    checkpoint_.folder = folder_.path();
    checkpoint_.folders = {folder_.path()};
    checkpoint_.text = TextConfig{};
    checkpoint_.text->vocab_size = 10;
    checkpoint_.text->eos_token_ids = {3};
  }
  void put(const std::string& name, const std::string& text) {
    std::filesystem::remove(folder_ / name);
    write_text(folder_ / name, text);
  }
  [[nodiscard]] TokenizerFiles find() const { return find_tokenizer(checkpoint_); }
  std::string written(const std::string& text) {
    put("tokenizer.json", text);
    return find().files.at("tokenizer.json");
  }

  TempFolder folder_;
  Checkpoint checkpoint_;
};

TEST_F(FindTokenizer, WritesMergesAsStrings) {
  EXPECT_EQ(parse_json(written(R"({"model":{"vocab":{},"merges":[["a","b"],["ab","c"]]}})"), "x"),
            parse_json(R"({"model":{"vocab":{},"merges":["a b","ab c"]}})", "x"));
  EXPECT_EQ(parse_json(written("{\"model\":\n {\"merges\" :\n [ [\"a\",\"b\"]]}}"),
                       "x")["model"]["merges"][0],
            "a b");
}

TEST_F(FindTokenizer, LeavesOtherFilesAsTheyAre) {
  for (const std::string text :
       {R"({"model": {"merges": ["a b"]}})",
        R"({"model": {"merges": []}})",
        R"({"model": {"type": "Unigram"}})",
        R"({"model": {"merges": [["a b", "c"], ["d", "e"]]}})",  // only pairs say this
        R"({"merges": [["a", "b"]]})",
        R"({"model": {"merges": {"a": 1}}})"}) {
    EXPECT_EQ(written(text), text);
  }
}

// "merges" is also a word that a vocabulary may hold.
TEST_F(FindTokenizer, FindsMergesBehindATokenOfThatName) {
  const std::string text =
      written(R"({"model":{"vocab":{"merges":7,"b":1},"merges":[["a","b"]]}})");
  EXPECT_EQ(parse_json(text, "x")["model"]["merges"], Json::array({"a b"}));
}

TEST_F(FindTokenizer, RefusesBrokenMerges) {
  for (const std::string text : {R"({"model":{"merges":[["a"]]}})",
                                 R"({"model":{"merges":[["a","b","c"]]}})",
                                 R"({"model":{"merges":[["a",1]]}})",
                                 R"({"model":{"merges":[["a","b"],"c d"]}})",
                                 R"({"model":{"merges":[["a","b"])"}) {
    message_of(ErrorCode::kInvalidFile, [&] { written(text); });
  }
}

TEST_F(FindTokenizer, KeepsTheMeaningOfRealFiles) {
  for (const std::string name : {"llama3.json", "smollm2.json", "tinyllama.json"}) {
    const std::string before = read_text(source_path("tests/goldens/tokenizer/" + name));
    const std::string after = written(before);
    const Tokenizer was = Tokenizer::from_json(before);
    const Tokenizer is = Tokenizer::from_json(after);
    for (const std::string text :
         {"A dog runs over the 42 wet stones.", "  \n\tna\xc3\xafve \xe7\x8a\xac", ""}) {
      EXPECT_EQ(was.encode(text), is.encode(text)) << name << ": " << text;
    }
    const Json merges = parse_json(after, "x")["model"]["merges"];
    EXPECT_TRUE(merges.empty() || merges[0].is_string()) << name;
  }
}

TEST_F(FindTokenizer, TakesTheFirstFolderThatHasOne) {
  std::filesystem::create_directory(folder_ / "base");
  checkpoint_.folders.push_back(folder_ / "base");
  message_of(ErrorCode::kNotFound, [&] { (void)find(); });
  put("base/tokenizer.json", R"({"b":1})");
  put("chat_template.jinja", "not beside the tokenizer");
  EXPECT_EQ(find().files.at("tokenizer.json"), R"({"b":1})");
  EXPECT_FALSE(find().files.contains("chat_template.jinja"));
  EXPECT_TRUE(contains(find().files.at("tokenizer_config.json"), "PreTrainedTokenizerFast"));
  put("tokenizer.json", R"({"a":1})");
  put("tokenizer_config.json", R"({"c":1})");
  EXPECT_EQ(find().files.at("tokenizer.json"), R"({"a":1})");
  EXPECT_TRUE(find().files.contains("chat_template.jinja"));
}

TEST_F(FindTokenizer, WritesTheChatTemplateWhereTransformersJsLooksForIt) {
  put("tokenizer.json", R"({"a":1})");
  put("tokenizer_config.json", R"({"c":1})");
  EXPECT_EQ(find().files.at("tokenizer_config.json"), R"({"c":1})");
  put("chat_template.jinja", "{{ messages }}");
  EXPECT_EQ(parse_json(find().files.at("tokenizer_config.json"), "x"),
            Json({{"c", 1}, {"chat_template", "{{ messages }}"}}));
  put("tokenizer_config.json", R"({"chat_template": "own"})");
  EXPECT_EQ(find().files.at("tokenizer_config.json"), R"({"chat_template": "own"})");
  EXPECT_EQ(find().files.at("chat_template.jinja"), "{{ messages }}");
}

TEST_F(FindTokenizer, TakesSpecialTokensFromTheConfig) {
  put("tokenizer.json", "{}");
  checkpoint_.text->eos_token_ids = {4, 2};
  checkpoint_.text->bos_token_id = 1;
  const SpecialTokens tokens = find().tokens;
  EXPECT_EQ(tokens.eos_token_ids, (std::vector<int64_t>{4, 2}));
  EXPECT_EQ(tokens.decoder_start_token_id, 4);
  EXPECT_EQ(tokens.bos_token_id, 1);
  EXPECT_EQ(tokens.pad_token_id, 4);    // none given: the end token, as generate() does
  checkpoint_.text->bos_token_id = 10;  // outside the table
  EXPECT_EQ(find().tokens.bos_token_id, 4);
}

TEST_F(FindTokenizer, PrefersTheGenerationConfig) {
  put("tokenizer.json", "{}");
  put("generation_config.json", R"({"eos_token_id": [5, 6]})");
  EXPECT_EQ(find().tokens.eos_token_ids, (std::vector<int64_t>{5, 6}));
  put("generation_config.json", R"({"eos_token_id": 7})");
  EXPECT_EQ(find().tokens.eos_token_ids, std::vector<int64_t>{7});
  put("generation_config.json", R"({"eos_token_id": null})");
  EXPECT_EQ(find().tokens.eos_token_ids, std::vector<int64_t>{3});
  // An adapter folder has none; its base's holds.
  std::filesystem::create_directory(folder_ / "base");
  std::filesystem::remove(folder_ / "generation_config.json");
  checkpoint_.folders.push_back(folder_ / "base");
  put("base/generation_config.json", R"({"eos_token_id": 2})");
  EXPECT_EQ(find().tokens.eos_token_ids, std::vector<int64_t>{2});
  put("generation_config.json", R"({"eos_token_id": ["a"]})");
  message_of(ErrorCode::kInvalidFile, [&] { (void)find(); });
  for (const std::string id : {"10", "-1", "18446744073709551615"}) {
    put("generation_config.json", "{\"eos_token_id\": " + id + "}");
    message_of(ErrorCode::kMismatch, [&] { (void)find(); });
  }
}

TEST_F(FindTokenizer, FallsBackToTheTokenizersEnd) {
  checkpoint_.text->eos_token_ids.clear();
  put("tokenizer.json",
      R"({"added_tokens": [{"id": 8, "content": "</s>"}, {"id": 9, "content": "<s>"}, {"id": 1}]})");
  message_of(ErrorCode::kNotFound, [&] { (void)find(); });  // generation would never stop
  put("tokenizer_config.json", R"({"eos_token": "</s>"})");
  EXPECT_EQ(find().tokens.eos_token_ids, std::vector<int64_t>{8});
  put("tokenizer_config.json", R"({"eos_token": {"content": "<s>", "special": true}})");
  EXPECT_EQ(find().tokens.eos_token_ids, std::vector<int64_t>{9});
  put("tokenizer_config.json", R"({"eos_token": ""})");
  message_of(ErrorCode::kNotFound, [&] { (void)find(); });
  put("tokenizer_config.json", R"({"eos_token": "<none>"})");
  message_of(ErrorCode::kNotFound, [&] { (void)find(); });
  put("tokenizer_config.json", R"({"eos_token": {"content": 3}})");
  message_of(ErrorCode::kInvalidFile, [&] { (void)find(); });
  put("tokenizer_config.json", "[]");
  message_of(ErrorCode::kNotFound, [&] { (void)find(); });
}

TEST_F(FindTokenizer, WritesTheChatTemplateOfAJsonFileAsAFileOfItsOwn) {
  put("tokenizer.json", R"({"model": {}})");
  EXPECT_FALSE(find().files.contains("chat_template.jinja"));
  put("tokenizer_config.json", R"({"chat_template": [{"name": "tools", "template": "a"},
                                                     {"name": "default", "template": "b"}]})");
  EXPECT_EQ(find().files.at("chat_template.jinja"), "b");
  put("tokenizer_config.json", R"({"chat_template": "c"})");
  EXPECT_EQ(find().files.at("chat_template.jinja"), "c");
  put("chat_template.json", R"({"chat_template": "d"})");
  EXPECT_EQ(find().files.at("chat_template.jinja"), "d");
  put("chat_template.jinja", "e");
  EXPECT_EQ(find().files.at("chat_template.jinja"), "e");
}

TEST_F(FindTokenizer, RefusesAChatTemplateThatIsNeitherATextNorAList) {
  put("tokenizer.json", R"({"model": {}})");
  put("tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_TRUE(contains(message_of(ErrorCode::kInvalidFile, [&] { (void)find(); }),
                       "tokenizer_config.json: \"chat_template\" is neither a text nor a list"));
}

}  // namespace
}  // namespace lorapress
