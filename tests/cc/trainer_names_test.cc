// Bundle "components" with a prompt behind the image, and with the trainer's own names
// (export_prefix_vlm.py: optimum's vision encoder and decoder, PrefixDecoderInit), by the ids that
// transformers generated.
#include <gtest/gtest.h>
#include <numeric>

#include "bundles/manifest.h"
#include "runtime/generation/sampling.h"
#include "runtime/graphs/client_calls.h"
#include "runtime/ort/ort.h"
#include "single_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::Ids;
using test::TempFolder;
namespace fs = std::filesystem;

const std::vector<std::string> kCheckpoints = {"base", "odd", "qwen2", "phi3", "smollm3"};

// A checkpoint's text and what generate() says after the image and this text.
struct Prompted {
  Ids text;
  Ids ids;
  int64_t most;
};

Prompted prompted(const std::string& name) {
  const Json all = read_json(test::source_path("tests/goldens/bundles/bundles.json"));
  for (const Json& row : all.at("checkpoints")) {
    if (row.at("checkpoint") == name) {
      const Json& prompts = row.at("prompts");
      for (const Json& result : prompts.at("results")) {
        if (!result.at("before").get<bool>() && result.at("after").get<bool>()) {
          return {prompts.at("ids").get<Ids>(),
                  result.at("ids").get<Ids>(),
                  row.at("max_new_tokens").get<int64_t>()};
        }
      }
    }
  }
  ADD_FAILURE() << name << " has no prompts";
  return {};
}

class TrainerNames : public ::testing::TestWithParam<std::string> {
 protected:
  // Presses a checkpoint and projects its first image.
  void open(bool trainer_names, OpDialect ops = OpDialect::kOrt) {
    const Golden golden(GetParam());
    PressOptions options;
    options.bundle = "components";
    options.trainer_names = trainer_names;
    options.ops = ops;
    options.force = true;
    options.out = folder_ / "out";
    options.source = golden.source(golden.cases().at(0));
    press(options);
    manifest_ = read_manifest(options.out);
    const Preprocessing& size = manifest_.preprocessing;
    const OrtTensor pixels =
        OrtTensor::floats({1, 3, size.height, size.width}, golden.row("pixel_values", 0));
    const char* features = trainer_names ? "last_hidden_state" : "vision_hidden_states";
    const auto hidden = graph("vision_encoder").run({{"pixel_values", &pixels}}, {features});
    prefix_ = std::move(graph("projection")
                            .run({{"vision_hidden_states", &hidden[0]}}, {"projected_prefix"})
                            .at(0));
  }

  [[nodiscard]] OrtSession graph(const std::string& role) const {
    return {folder_ / "out" / manifest_.graphs.at("fp32").at(role), 1};
  }
  [[nodiscard]] int64_t image_tokens() const { return prefix_.shape().at(1); }
  [[nodiscard]] static OrtTensor row(const Ids& ids) {
    return OrtTensor::integers({1, std::ssize(ids)}, ids);
  }

  TempFolder folder_;
  Manifest manifest_;
  OrtTensor prefix_{DType::kF32, {0}};
};

// The best token at each position of logits [1, positions, vocab_size].
Ids best(const OrtTensor& logits) {
  const auto vocab = static_cast<size_t>(logits.shape().at(2));
  const std::span<const float> values = logits.as_floats();
  Ids ids;
  for (size_t at = 0; at < values.size(); at += vocab) {
    ids.push_back(argmax(values.subspan(at, vocab)));
  }
  return ids;
}

TEST_P(TrainerNames, APromptFollowsTheImage) {
  const Prompted golden = prompted(GetParam());
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    open(false, ops);
    const OrtSession first = graph("prefix_init");
    const OrtSession decoder = graph("language_model");
    const ClientCalls calls(decoder);
    const OrtTensor text = row(golden.text);
    ClientCalls::Step step = ClientCalls::to_step(
        first.run({{"prefix_embeddings", &prefix_}, {"input_ids", &text}}, calls.outputs()));
    Ids ids;
    while (ids.size() < golden.ids.size()) {
      ids.push_back(argmax(step.logits.as_floats()));
      const OrtTensor next = row({ids.back()});
      step = calls.step(decoder, next, nullptr, step.cache);
    }
    EXPECT_EQ(ids, golden.ids);
  }
}

// Both rows of a batch get the one prompt.
TEST_P(TrainerNames, OnePromptServesABatch) {
  const Prompted golden = prompted(GetParam());
  open(false);
  const std::span<const float> one = prefix_.as_floats();
  std::vector<float> twice(one.begin(), one.end());
  twice.insert(twice.end(), one.begin(), one.end());
  const OrtTensor both =
      OrtTensor::floats({2, prefix_.shape().at(1), prefix_.shape().at(2)}, twice);
  const OrtTensor text = row(golden.text);
  const auto outputs =
      graph("prefix_init").run({{"prefix_embeddings", &both}, {"input_ids", &text}}, {"logits"});
  EXPECT_EQ(best(outputs[0]), (Ids{golden.ids[0], golden.ids[0]}));
}

// Logits of every position: behind the prompt each is that of the token which generate() chose next.
TEST_P(TrainerNames, AllPositionsHaveLogits) {
  const Prompted golden = prompted(GetParam());
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    open(true, ops);
    Ids known = golden.text;
    known.insert(known.end(), golden.ids.begin(), golden.ids.end() - 1);
    const OrtTensor text = row(known);
    const auto outputs =
        graph("prefix_init")
            .run({{"prefix_embeddings", &prefix_}, {"input_ids", &text}}, {"logits"});
    const Ids found = best(outputs[0]);
    const auto chosen = std::span(found).last(golden.ids.size());
    ASSERT_EQ(std::ssize(found), image_tokens() + std::ssize(known));
    EXPECT_EQ(Ids(chosen.begin(), chosen.end()), golden.ids);
  }
}

// The decoder as optimum's: attention_mask and position_ids are demanded and have to be those of one
// sequence.
TEST_P(TrainerNames, TheDecoderTakesMaskAndPositions) {
  const Prompted golden = prompted(GetParam());
  open(true);
  const OrtSession first = graph("prefix_init");
  const OrtSession decoder = graph("language_model");
  const ClientCalls calls(decoder);
  const OrtTensor text = row(golden.text);
  const ClientCalls::Step start = ClientCalls::to_step(
      first.run({{"prefix_embeddings", &prefix_}, {"input_ids", &text}}, calls.outputs()));
  const Ids known(golden.ids.begin(), golden.ids.end() - 1);
  const int64_t before = image_tokens() + std::ssize(golden.text);
  const auto step = [&](int64_t first_position, int64_t hidden) {
    const OrtTensor ids = row(known);
    Ids mask(static_cast<size_t>(before) + known.size(), 1);
    mask[0] = hidden == 0 ? 1 : 0;
    Ids positions(known.size());
    std::iota(positions.begin(), positions.end(), first_position);
    const OrtTensor mask_tensor = row(mask);
    const OrtTensor position_tensor = row(positions);
    std::vector<OrtSession::Feed> feeds = calls.text_feeds(ids, mask_tensor, start.cache);
    feeds.emplace_back("position_ids", &position_tensor);
    return best(decoder.run(feeds, {"logits"})[0]);
  };
  EXPECT_EQ(step(before, 0), Ids(golden.ids.begin() + 1, golden.ids.end()));
  const auto refusal = [&](int64_t first_position, int64_t hidden) {
    return test::message_of(ErrorCode::kRuntime, [&] { (void)step(first_position, hidden); });
  };
  EXPECT_TRUE(test::contains(refusal(before + 1, 0), "position_ids_must_count_up_from_the_past"));
  EXPECT_TRUE(test::contains(refusal(before, 1), "prompts_of_one_batch_must_have_one_length"));
}

INSTANTIATE_TEST_SUITE_P(All,
                         TrainerNames,
                         ::testing::ValuesIn(kCheckpoints),
                         [](const auto& info) { return info.param; });

TEST(TrainerNamesOption, IsRefusedByOtherBundles) {
  const TempFolder folder;
  const Golden golden("base");
  PressOptions options;
  options.trainer_names = true;
  options.out = folder / "out";
  options.source = golden.source(golden.cases().at(0));
  const std::string why = test::message_of(ErrorCode::kUnsupported, [&] { press(options); });
  EXPECT_TRUE(test::contains(why, "options.trainer_names")) << why;
  EXPECT_TRUE(test::contains(why, "transformers.js")) << why;
  EXPECT_FALSE(fs::exists(options.out));
}

}  // namespace
}  // namespace lorapress
