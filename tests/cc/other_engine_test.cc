// What stands above the seam of runtime/engine, over an engine that is not ONNX Runtime: the same
// searches of transformers' generate() that golden_generation_test.cc holds pressed folders to.
#include <gtest/gtest.h>

#include "golden_util.h"
#include "reference_engine.h"
#include "runtime/generation/generate.h"
#include "runtime/generation/generate_options.h"
#include "search_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::Pictures;
using test::searches;
using test::to_options;
using Ids = std::vector<int64_t>;

// A golden checkpoint above the seam.
class Model {
 public:
  Model(const Golden& golden, Ids eos)
      : checkpoint_(open_checkpoint(golden.source(golden.cases().at(0)))),
        engine_(checkpoint_),
        eos_(std::move(eos)),
        max_new_tokens_(golden.json.at("max_new_tokens")) {}

  [[nodiscard]] std::vector<Generated> generate(const std::vector<std::vector<float>>& images,
                                                const GenerateOptions& options,
                                                Ids prompt = {}) const {
    constexpr int64_t kStart = 0;  // which token it is does not matter: the image stands there
    const int64_t image_tokens = checkpoint_.vision->tokens();
    const GenerationSettings settings = chosen_settings(options, {});
    const GenerationContext context{
        eos_, checkpoint_.text->vocab_size, max_new_tokens_, image_tokens + std::ssize(prompt)};
    prompt.insert(prompt.begin(), kStart);
    const GenerationRequest request{token_rules(settings, context),
                                    beam_options(settings, context),
                                    sampling_filters(settings),
                                    settings.do_sample.value_or(false),
                                    options.seed,
                                    image_tokens,
                                    std::move(prompt)};
    std::vector<std::unique_ptr<EncodedImage>> encoded;
    for (const std::vector<float>& pixels : images) {
      encoded.push_back(engine_.encode(pixels));
    }
    GenerationTimes times;
    return lorapress::generate(engine_, encoded, request, times);
  }

 private:
  Checkpoint checkpoint_;
  test::ReferenceEngine engine_;
  Ids eos_;
  int64_t max_new_tokens_;
};

class OtherEngine : public ::testing::TestWithParam<size_t> {
 protected:
  [[nodiscard]] const Json& part() const { return searches().at("checkpoints").at(GetParam()); }
  [[nodiscard]] GenerateOptions options(const Json& json) const {
    return to_options(json, part().at("max_new_tokens"));
  }

  Golden golden_{part().at("checkpoint").get<std::string>()};
  Pictures pictures_{golden_};
  Model model_{golden_, part().at("eos_token_ids").get<Ids>()};
};

TEST_P(OtherEngine, SearchesEqualTransformers) {
  EXPECT_GT(part().at("searches").size(), 80U);
  for (const Json& row : part().at("searches")) {
    SCOPED_TRACE(row.dump());
    const GenerateOptions asked = options(row.at("options"));
    const Generated found = model_.generate({pictures_.at(row)}, asked).at(0);
    EXPECT_EQ(found.ids, row.at("ids").get<Ids>());
    if (asked.num_beams.value_or(1) > 1) {
      EXPECT_NEAR(found.score, row.at("score").get<double>(), 1e-3);
    }
  }
}

TEST_P(OtherEngine, SamplesEqualNumpysDraws) {
  EXPECT_FALSE(part().at("samples").empty());
  for (const Json& row : part().at("samples")) {
    SCOPED_TRACE(row.dump());
    GenerateOptions asked = options(row.at("options"));
    asked.seed = row.at("seed");
    EXPECT_EQ(model_.generate({pictures_.at(row)}, asked).at(0).ids, row.at("ids").get<Ids>());
  }
}

TEST_P(OtherEngine, ABatchGivesWhatSingleImagesGive) {
  for (const char* text :
       {R"({})", R"({"num_beams": 3})", R"({"temperature": 1.3, "top_k": 9, "top_p": 0.95})"}) {
    SCOPED_TRACE(text);
    const std::vector<std::vector<float>>& images = pictures_.all();
    const std::vector<Generated> together = model_.generate(images, options(Json::parse(text)));
    ASSERT_EQ(together.size(), images.size());
    for (size_t i = 0; i < images.size(); ++i) {
      EXPECT_EQ(together[i].ids, model_.generate({images[i]}, options(Json::parse(text))).at(0).ids)
          << "image " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         OtherEngine,
                         ::testing::Range<size_t>(0, searches().at("checkpoints").size()),
                         [](const auto& row) {
                           return searches()
                               .at("checkpoints")
                               .at(row.param)
                               .at("checkpoint")
                               .template get<std::string>();
                         });

// Greedy captions and text behind a prompt, with the checkpoints' own end tokens.
TEST(OtherEngineGoldens, CaptionsAndPromptsEqualTransformers) {
  for (const std::string& name : test::golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    const Pictures pictures(golden);
    const Json& end = golden.json.at("eos_token_id");
    const Model model(golden, end.is_array() ? end.get<Ids>() : Ids{end.get<int64_t>()});
    const Json& row = golden.cases().at(0);
    for (const Json& wanted : row.at("captions")) {
      EXPECT_EQ(model.generate({pictures.at(wanted)}, {}).at(0).ids, wanted.at("ids").get<Ids>());
    }
    const Json& prompt = row.at("prompt");
    EXPECT_EQ(
        model.generate({pictures.at(prompt)}, {}, prompt.at("prompt_ids").get<Ids>()).at(0).ids,
        prompt.at("ids").get<Ids>());
  }
}

}  // namespace
}  // namespace lorapress
