// The reference forward of LLaVA and Idefics3 against transformers: image features, masks, logits, ids.
#include <gtest/gtest.h>

#include "checkpoint/preprocessing.h"
#include "golden_util.h"
#include "placeholder_util.h"
#include "runtime/image/image.h"
#include "runtime/tiles.h"
#include "verify/reference.h"
#include "verify/reference_idefics3.h"

namespace lorapress {
namespace {

using test::PlaceholderGolden;
using Ids = std::vector<int64_t>;

constexpr double kTolerance = 2e-4;  // of the largest value: float32 of another order of sums

class ReferencePlaceholder : public testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] std::vector<float> pixels(const Json& row) const {
    return tiled_pixels(load_image(golden_.image(row)), preprocessing_).values;
  }
  [[nodiscard]] ReferencePrompt prompt(const Json& row) const {
    return {row.at("input_ids").get<Ids>(), checkpoint_.image_token_id};
  }
  static void expect_near(const Rows& found, const WeightPtr& expected) {
    const std::vector<float> wanted = read_all_float32(*expected);
    ASSERT_EQ(found.values.size(), wanted.size());
    double largest = 0.0;
    double difference = 0.0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      largest = std::max<double>(largest, std::fabs(wanted[i]));
      difference = std::max<double>(difference, std::fabs(wanted[i] - found.values[i]));
    }
    EXPECT_LE(difference, kTolerance * largest);
  }

  PlaceholderGolden golden_{GetParam()};
  Checkpoint checkpoint_ = open_checkpoint(golden_.source());
  std::vector<std::string> notes_;
  Preprocessing preprocessing_ = find_preprocessing(checkpoint_, notes_);
  TensorMap tensors_ = open_safetensors(golden_.folder / "golden.safetensors");
  ReferenceModel model_{checkpoint_};
};

TEST_P(ReferencePlaceholder, ImageFeaturesAreThoseOfTransformers) {
  size_t compared = 0;
  Rows all;
  for (const Json& row : golden_.json.at("captions")) {
    const std::string name = row.at("image").get<std::string>();
    const Rows features = model_.encode({pixels(row)})[0];
    if (tensors_.contains(name)) {
      expect_near(features, tensors_.at(name));
      ++compared;
    }
    all.cols = features.cols;
    all.rows += features.rows;
    all.values.insert(all.values.end(), features.values.begin(), features.values.end());
  }
  if (tensors_.contains("image_features")) {
    expect_near(all, tensors_.at("image_features"));
    ++compared;
  }
  EXPECT_GT(compared, 0U);
}

TEST_P(ReferencePlaceholder, LogitsAndIdsAreThoseOfGenerate) {
  std::vector<std::vector<float>> images;
  std::vector<ReferencePrompt> prompts;
  std::vector<Ids> expected;
  for (const Json& row : golden_.json.at("captions")) {
    images.push_back(pixels(row));
    prompts.push_back(prompt(row));
    expected.push_back(row.at("ids").get<Ids>());
  }
  const std::vector<Rows> prefixes = model_.join(model_.encode(images), prompts);
  const Json config = read_json(golden_.folder / "base/generation_config.json");
  const Json& eos = config.at("eos_token_id");
  const std::vector<ReferenceCaption> captions =
      model_.greedy(prefixes,
                    golden_.json.at("max_new_tokens").get<int64_t>(),
                    eos.is_array() ? eos.get<Ids>() : Ids{eos.get<int64_t>()});
  for (size_t i = 0; i < captions.size(); ++i) {
    EXPECT_EQ(captions[i].ids, expected[i]) << i;
  }
  const std::string of = golden_.json.contains("batch")
                             ? golden_.json.at("batch").at("images").back().get<std::string>()
                             : golden_.json.at("captions").at(0).at("image").get<std::string>();
  for (size_t i = 0; i < captions.size(); ++i) {
    if (golden_.json.at("captions").at(i).at("image") == of) {
      expect_near(captions[i].logits, tensors_.at("logits"));
      const Rows forced = model_.logits({prefixes[i]}, {expected[i]})[0];
      expect_near(forced, tensors_.at("logits"));
    }
  }
}

TEST_P(ReferencePlaceholder, PromptsWithAnotherNumberOfPlacesAreRefused) {
  const Json& row = golden_.json.at("captions").at(0);
  ReferencePrompt prompt = this->prompt(row);
  prompt.ids.push_back(prompt.image_token_id);
  const std::vector<Rows> features = model_.encode({pixels(row)});
  const std::string text =
      test::message_of(ErrorCode::kMismatch, [&] { (void)model_.join(features, {prompt}); });
  EXPECT_TRUE(test::contains(text, "image tokens, the image")) << text;
}

INSTANTIATE_TEST_SUITE_P(All,
                         ReferencePlaceholder,
                         testing::ValuesIn(test::kPlaceholderGoldens),
                         test::param_name);

class ReferenceMasks : public ReferencePlaceholder {};

TEST_P(ReferenceMasks, TilesAreThoseOfTransformers) {
  const Json& masked = golden_.json.at("masked");
  const int64_t size = golden_.json.at("tile").get<int64_t>();
  std::vector<uint8_t> seen;
  for (int64_t i = 0; i < size * size; ++i) {
    seen.push_back(i / size < masked.at("height").get<int64_t>() &&
                           i % size < masked.at("width").get<int64_t>()
                       ? 1
                       : 0);
  }
  const std::vector<float> values = pixels(masked);
  expect_near(model_.encode_masked(std::span(values).first(3 * seen.size()), seen),
              tensors_.at("masked"));
}

INSTANTIATE_TEST_SUITE_P(All,
                         ReferenceMasks,
                         testing::Values("smolvlm/smolvlm", "smolvlm/idefics3"),
                         test::param_name);

TEST(ReferenceIdefics3, PositionsAreThoseOfTransformersForAnyNumberOfPatches) {
  const Json golden = read_json(test::source_path("tests/goldens/smolvlm/positions.json"));
  for (const Json& side : golden.at("sides")) {
    const auto grid = side.at("grid").get<int64_t>();
    for (int64_t rows = 1; rows <= grid; ++rows) {
      std::vector<uint8_t> seen(static_cast<size_t>(grid * grid));
      for (int64_t row = 0; row < rows; ++row) {
        seen[static_cast<size_t>(row * grid)] = 1;
      }
      const Ids ids = reference::idefics3_position_ids(seen, grid);
      Ids first;
      for (int64_t row = 0; row < rows; ++row) {
        first.push_back(ids[static_cast<size_t>(row * grid)] / grid);
      }
      EXPECT_EQ(first, side.at("positions").at(static_cast<size_t>(rows - 1)).get<Ids>())
          << rows << " of " << grid;
    }
  }
}

TEST(ReferenceIdefics3, SquaresOfPatchesBecomeRows) {
  BasicRows<float> patches(16, 1);  // 4 x 4 patches, each its own number
  for (int i = 0; i < 16; ++i) {
    patches.values[static_cast<size_t>(i)] = static_cast<float>(i);
  }
  const BasicRows<float> shuffled = reference::pixel_shuffle(patches, 4, 2);
  EXPECT_EQ(shuffled.rows, 4);
  EXPECT_EQ(shuffled.values,
            (std::vector<float>{0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15}));
}

}  // namespace
}  // namespace lorapress
