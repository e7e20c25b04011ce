// Settings that press is given, and decoders that apply rules to their own logits: against transformers' generate()
// with the same settings (tests/oracle/generation_rules.py).
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/press.h"
#include "lorapress/verify.h"

#include "bundles/manifest.h"
#include "golden_util.h"
#include "runtime/generation/bad_words.h"
#include "runtime/graphs/client_calls.h"
#include "runtime/ort/ort.h"
#include "single_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::Golden;
using test::TempFolder;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

// The message of the Error that a call throws; empty without one.
std::string said_by(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

const Json& rules() {
  static const Json kRules = read_json(test::source_path("tests/goldens/generation/rules.json"));
  return kRules;
}

PressOptions with_settings(const Golden& golden, const Json& settings, const fs::path& out) {
  PressOptions options;
  options.source = golden.source(golden.cases().at(0));
  options.out = out;
  for (const auto& [key, value] : settings.items()) {
    options.set.push_back(key + "=" + value.dump());
  }
  return options;
}

// A client that applies no rules: the best logit of each call until an end token comes.
class PlainClient {
 public:
  explicit PlainClient(const fs::path& folder, const std::string& dtype = "fp32")
      : manifest_(read_manifest(folder)),
        encoder_(folder / manifest_.graphs.at(dtype).at("encoder"), 1),
        decoder_(folder / manifest_.graphs.at(dtype).at("decoder"), 1),
        calls_(decoder_) {}

  // New tokens of every row; rows go on until all have ended.
  [[nodiscard]] std::vector<Ids> caption(const std::vector<std::vector<float>>& images) const {
    const auto rows = std::ssize(images);
    std::vector<float> all;
    for (const std::vector<float>& image : images) {
      all.insert(all.end(), image.begin(), image.end());
    }
    const Preprocessing& size = manifest_.preprocessing;
    const OrtTensor pixels = OrtTensor::floats({rows, 3, size.height, size.width}, all);
    const std::vector<OrtTensor> image =
        encoder_.run({{kPixelValues, &pixels}}, {kLastHiddenState});
    std::vector<OrtTensor> cache = calls_.empty_cache(rows);
    std::vector<Ids> made(images.size());
    Ids given(images.size(), manifest_.decoder_start_token_id);
    while (std::ssize(made[0]) < manifest_.max_new_tokens && !all_ended(made)) {
      ClientCalls::Step step =
          calls_.step(decoder_, OrtTensor::integers({rows, 1}, given), image.data(), cache);
      const OrtTensor logits = step.logits.converted(DType::kF32);
      for (size_t row = 0; row < made.size(); ++row) {
        const auto scores =
            logits.as_floats().subspan(row * static_cast<size_t>(manifest_.vocab_size),
                                       static_cast<size_t>(manifest_.vocab_size));
        given[row] = std::ranges::max_element(scores) - scores.begin();
        made[row].push_back(given[row]);
      }
      cache = std::move(step.cache);
    }
    return made;
  }

  [[nodiscard]] Ids until_end(Ids ids) const {
    const auto end = std::ranges::find_if(ids, [&](int64_t id) { return is_end(id); });
    ids.erase(end == ids.end() ? end : end + 1, ids.end());
    return ids;
  }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] std::string first_output() const { return decoder_.outputs().at(0).name; }

 private:
  [[nodiscard]] bool is_end(int64_t id) const {
    return std::ranges::find(manifest_.eos_token_ids, id) != manifest_.eos_token_ids.end();
  }
  [[nodiscard]] bool all_ended(const std::vector<Ids>& rows) const {
    return std::ranges::all_of(rows,
                               [&](const Ids& row) { return !row.empty() && is_end(row.back()); });
  }

  Manifest manifest_;
  OrtSession encoder_;
  OrtSession decoder_;
  ClientCalls calls_;
};

std::vector<std::string> keys_of(const Json& settings) {
  std::vector<std::string> keys;
  for (const char* key : {"repetition_penalty", "no_repeat_ngram_size", "bad_words_ids"}) {
    if (settings.contains(key)) {
      keys.emplace_back(key);
    }
  }
  return keys;
}

struct Group {
  Json settings;
  std::vector<Json> captions;
};

// Captions of one checkpoint by their settings.
std::vector<Group> groups_of(const Json& part) {
  std::vector<Group> groups;
  for (const Json& search : part.at("searches")) {
    const Json& settings = search.at("options");
    if (groups.empty() || groups.back().settings != settings) {
      groups.push_back({settings, {}});
    }
    groups.back().captions.push_back(search);
  }
  for (Group& group : groups) {
    group.settings["max_new_tokens"] = part.at("max_new_tokens");
  }
  return groups;
}

class RulesInGraph : public ::testing::TestWithParam<OpDialect> {};

TEST_P(RulesInGraph, OfAPlainClientEqualTransformers) {
  size_t captions = 0;
  for (const Json& part : rules().at("checkpoints")) {
    const Golden golden(part.at("checkpoint"));
    for (const Group& group : groups_of(part)) {
      SCOPED_TRACE(part.at("checkpoint").dump() + group.settings.dump());
      const TempFolder folder;
      PressOptions options = with_settings(golden, group.settings, folder / "out");
      options.rules_in_graph = true;
      options.ops = GetParam();
      press(options);
      const PlainClient client(folder / "out");
      EXPECT_EQ(client.first_output(), kLogits);
      EXPECT_EQ(client.manifest().rules_in_graph, keys_of(group.settings));
      const Captioner captioner(folder / "out", CaptionerOptions{"", 1});
      std::vector<std::vector<float>> images;
      std::vector<Ids> expected;
      for (const Json& caption : group.captions) {
        images.push_back(golden.row("pixel_values", caption.at("image")));
        expected.push_back(caption.at("ids").get<Ids>());
        EXPECT_EQ(client.until_end(client.caption({images.back()})[0]), expected.back());
        EXPECT_EQ(captioner.caption_pixels(images.back()).ids, expected.back());
        ++captions;
      }
      std::vector<Ids> together = client.caption(images);
      for (Ids& ids : together) {
        ids = client.until_end(ids);
      }
      EXPECT_EQ(together, expected);
      for (const char* engine : {"ort", "native"}) {
        const std::vector<Caption> batch =
            Captioner(folder / "out", CaptionerOptions{"", 1, engine}).caption_batch(images);
        for (size_t i = 0; i < batch.size(); ++i) {
          EXPECT_EQ(batch[i].ids, expected[i]) << engine;
        }
      }
    }
  }
  EXPECT_GT(captions, 150U);
}

TEST_P(RulesInGraph, OfACrossAttentionDecoderSeeTheStartToken) {
  size_t captions = 0;
  for (const std::string& name : test::cross_golden_names()) {
    const Golden golden = test::cross_golden(name);
    for (const Json& row : golden.cases().at(0).at("variants")) {
      Json settings = row.at("options");
      if (row.contains("prompt_ids") || keys_of(settings).empty()) {
        continue;
      }
      SCOPED_TRACE(name + row.dump());
      const TempFolder folder;
      PressOptions options = with_settings(golden, settings, folder / "out");
      options.rules_in_graph = true;
      options.ops = GetParam();
      press(options);
      const PlainClient client(folder / "out");
      const std::vector<float> pixels = golden.row("pixel_values", row.at("image"));
      EXPECT_EQ(client.until_end(client.caption({pixels})[0]), row.at("ids").get<Ids>());
      EXPECT_EQ(Captioner(folder / "out").caption_pixels(pixels).ids, row.at("ids").get<Ids>());
      ++captions;
    }
  }
  EXPECT_GT(captions, 10U);
}

INSTANTIATE_TEST_SUITE_P(Dialects,
                         RulesInGraph,
                         ::testing::Values(OpDialect::kOrt, OpDialect::kStandard),
                         [](const auto& row) {
                           return row.param == OpDialect::kOrt ? "ort" : "standard";
                         });

TEST(RulesInGraphDtypes, ACacheOfFloat16HoldsIdsExactly) {
  const Json& part = rules().at("checkpoints").at(0);
  const Golden golden(part.at("checkpoint"));
  const Group group = groups_of(part).back();
  const TempFolder folder;
  PressOptions options = with_settings(golden, group.settings, folder / "out");
  options.rules_in_graph = true;
  options.dtypes = {"fp32", "fp16", "q8"};
  press(options);
  options.out = folder / "plain";
  options.rules_in_graph = false;
  press(options);
  const std::vector<float> pixels = golden.row("pixel_values", 0);
  for (const std::string& dtype : options.dtypes) {
    const Ids with =
        Captioner(folder / "out", CaptionerOptions{dtype, 1}).caption_pixels(pixels).ids;
    EXPECT_EQ(with,
              Captioner(folder / "plain", CaptionerOptions{dtype, 1}).caption_pixels(pixels).ids)
        << dtype;
    const PlainClient client(folder / "out", dtype);
    EXPECT_EQ(client.until_end(client.caption({pixels})[0]), with) << dtype;
  }
}

TEST(RulesInGraphFolders, RefuseWhatTheyCannotDo) {
  const Golden golden("base");
  const TempFolder folder;
  PressOptions options = with_settings(
      golden, {{"repetition_penalty", 1.3}, {"bad_words_ids", {{7}}}}, folder / "out");
  options.rules_in_graph = true;
  press(options);
  const Json written = read_json(folder / "out/generation_config.json");
  EXPECT_FALSE(written.contains("repetition_penalty") || written.contains("bad_words_ids"));
  const Captioner captioner(folder / "out", CaptionerOptions{"", 1});
  const std::vector<float> pixels = golden.row("pixel_values", 0);
  GenerateOptions same;
  same.repetition_penalty = 1.3;
  same.no_repeat_ngram_size = 2;  // behind the graph
  EXPECT_FALSE(captioner.caption_pixels(pixels, same).ids.empty());
  GenerateOptions other;
  other.repetition_penalty = 1.0;
  EXPECT_TRUE(contains(said_by([&] { captioner.caption_pixels(pixels, other); }),
                       "options.repetition_penalty asks for another value"));
  GenerateOptions beams;
  beams.num_beams = 2;
  EXPECT_TRUE(contains(said_by([&] { captioner.caption_pixels(pixels, beams); }),
                       "options.num_beams 2: the folder's decoder applies"));
  options.bundle = "components";
  options.out = folder / "components";
  EXPECT_TRUE(contains(said_by([&] { press(options); }),
                       "options.rules_in_graph is not supported by bundle \"components\""));
  options.bundle.clear();
  options.set = {"repetition_penalty=1.3", "num_beams=3"};
  EXPECT_TRUE(contains(said_by([&] { press(options); }), "options.rules_in_graph"));
}

TEST(PressSettings, TakeThePlaceOfTheFiles) {
  size_t captions = 0;
  for (const Json& part : rules().at("checkpoints")) {
    const Golden golden(part.at("checkpoint"));
    for (const Group& group : groups_of(part)) {
      SCOPED_TRACE(part.at("checkpoint").dump() + group.settings.dump());
      const TempFolder folder;
      PressOptions options = with_settings(golden, group.settings, folder / "single");
      options.bundle = "single";
      press(options);
      const test::Single single(folder / "single");
      for (const Json& caption : group.captions) {
        EXPECT_EQ(single.caption({golden.row("pixel_values", caption.at("image"))}, 0),
                  std::vector<Ids>{caption.at("ids").get<Ids>()});
        ++captions;
      }
    }
  }
  EXPECT_GT(captions, 150U);
}

std::string refusal(const std::vector<std::string>& set) {
  const Golden golden("base");
  const TempFolder folder;
  PressOptions options = with_settings(golden, Json::object(), folder / "out");
  options.set = set;
  return said_by([&] { press(options); });
}

TEST(PressSettings, AreCheckedAsAFileIs) {
  EXPECT_TRUE(contains(refusal({"repetition_penalti=1.3"}),
                       "options.set repetition_penalti: is no generation setting"));
  EXPECT_TRUE(contains(refusal({"output_scores=true"}), "is no generation setting"));
  EXPECT_TRUE(contains(refusal({"repetition_penalty"}), "expected key=value"));
  EXPECT_TRUE(contains(refusal({"repetition_penalty="}), "expected key=value"));
  EXPECT_TRUE(
      contains(refusal({"repetition_penalty=0"}), "options.set: \"repetition_penalty\" is 0"));
  EXPECT_TRUE(contains(refusal({"bad_words_ids=[[99999]]"}), "options.set: \"bad_words_ids\""));
  EXPECT_TRUE(contains(refusal({"num_beams=2", "num_beams=3"}), "is given twice"));
  EXPECT_TRUE(contains(refusal({"early_stopping=sometimes"}), "early_stopping"));
}

TEST(PressSettings, AreWrittenAndVerified) {
  const Golden golden("base");
  const TempFolder folder;
  PressOptions options = with_settings(golden, Json::object(), folder / "out");
  options.set = {
      "early_stopping=never", "eos_token_id=[7,9]", "repetition_penalty=1.2", "max_new_tokens=5"};
  press(options);
  const Json written = read_json(folder / "out/generation_config.json");
  EXPECT_EQ(written.at("early_stopping"), "never");
  EXPECT_EQ(written.at("eos_token_id"), Json::parse("[7, 9]"));
  EXPECT_EQ(written.at("max_new_tokens"), 5);
  VerifyOptions check;
  check.source = options.source;
  check.model = options.out;
  check.threads = 1;
  EXPECT_TRUE(verify(check).passed);
}

TEST(BadWords, AreTokenizedAsTransformersDoes) {
  for (const Json& part : rules().at("checkpoints")) {
    const Golden golden(part.at("checkpoint"));
    const Tokenizer tokenizer =
        Tokenizer::from_file(golden.source(golden.cases().at(0)).checkpoint / "tokenizer.json");
    for (const Json& row : part.at("words")) {
      std::vector<Ids> expected;
      for (const Json& ids : row.at("ids")) {
        if (!ids.empty() && std::ranges::find(expected, ids.get<Ids>()) == expected.end()) {
          expected.push_back(ids.get<Ids>());
        }
      }
      const BadWords found = tokenized_bad_words(
          "\n  " + row.at("word").get<std::string>() + " \r\n", tokenizer, 100000, "words.txt");
      EXPECT_EQ(found.ids, expected) << row.dump();
      EXPECT_EQ(found.words, 1U);
    }
  }
}

TEST(BadWords, AreAddedToTheCheckpointsOwn) {
  const Golden golden("base");
  const TempFolder folder;
  write_text(folder / "words.txt", "a\n\nred\n");
  PressOptions options = with_settings(golden, {{"bad_words_ids", {{7, 8}}}}, folder / "out");
  options.bad_words = folder / "words.txt";
  const PressReport report = press(options);
  const Json words = read_json(folder / "out/generation_config.json").at("bad_words_ids");
  EXPECT_EQ(words.at(0), Json::parse("[7, 8]"));
  EXPECT_GT(words.size(), 2U);
  EXPECT_EQ(
      std::ranges::count_if(report.notes,
                            [](const std::string& note) { return contains(note, "2 words are"); }),
      1);
  write_text(folder / "none.txt", "\n \n");
  options.bad_words = folder / "none.txt";
  options.out = folder / "other";
  EXPECT_TRUE(contains(said_by([&] { press(options); }), "holds no word"));
}

}  // namespace
}  // namespace lorapress
