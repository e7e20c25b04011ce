// SmolVLM and Idefics3: tiles of their processors, and what is refused; ids are in golden_placeholder_test.cc.
#include <gtest/gtest.h>

#include "lorapress/caption.h"
#include "lorapress/press.h"

#include "base/json.h"
#include "golden_util.h"
#include "runtime/image/image.h"
#include "runtime/tiles.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;
using test::TempFolder;

const fs::path kGoldens = test::source_path("tests/goldens/smolvlm");

PressOptions press_options(const std::string& name, const fs::path& out) {
  PressOptions options;
  options.source.checkpoint = kGoldens / name / "adapter";
  options.source.bases = {kGoldens / name / "base"};
  options.out = out;
  return options;
}

class GoldenSmolvlm : public testing::TestWithParam<std::string> {
 protected:
  Json golden_ = read_json(kGoldens / GetParam() / "golden.json");
};

TEST_P(GoldenSmolvlm, TilesAreAtMostOneLevelFromTheProcessors) {
  const int64_t size = golden_["tile"].get<int64_t>();
  Preprocessing settings = kDefaultPreprocessing;
  settings.splitting = ImageSplitting{};
  settings =
      read_preprocessing(kGoldens / GetParam() / "base" / "preprocessor_config.json", settings);
  for (const Json& row : golden_["captions"]) {
    const Tiles tiles =
        split_image(load_image(kGoldens / row["image"].get<std::string>()), settings);
    const Image wanted = load_image(kGoldens / GetParam() / row["pixels"].get<std::string>());
    ASSERT_EQ(std::ssize(tiles.images), row["tiles"].get<int64_t>());
    size_t at = 0;
    int most = 0;
    for (const Image& tile : tiles.images) {
      ASSERT_EQ(tile.width, size);
      for (const uint8_t level : tile.rgb) {
        most = std::max(most, std::abs(int{level} - int{wanted.rgb.at(at++)}));
      }
    }
    EXPECT_EQ(at, wanted.rgb.size());
    EXPECT_LE(most, 1) << row["image"];
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenSmolvlm, testing::Values("smolvlm", "idefics3"));

TEST(GoldenSmolvlmHostile, PixelsWhoseRowsAndColumnsDoNotFitAreRefused) {
  const TempFolder temp;
  const PressOptions options = press_options("smolvlm", temp.path() / "model");
  press(options);
  const Captioner captioner(options.out);
  std::vector<float> pixels(size_t{3 * 3 * 32 * 32} + 2);
  pixels[pixels.size() - 2] = 2.0F;
  pixels.back() = 2.0F;  // 2 x 2 tiles and the whole image are 5, not 3
  EXPECT_THROW((void)captioner.caption_pixels(pixels), Error);
}

TEST(GoldenSmolvlmHostile, TilesThatDoNotFitThePositionsAreRefused) {
  const TempFolder temp;
  const PressOptions options = press_options("smolvlm", temp.path() / "model");
  press(options);
  GenerateOptions asked;
  asked.max_new_tokens = 2040;
  EXPECT_THROW((void)Captioner(options.out).caption(kGoldens / "image_5x5.png", asked), Error);
}

TEST(GoldenSmolvlmHostile, CalibrationIsRefusedByName) {
  const TempFolder temp;
  PressOptions options = press_options("smolvlm", temp.path() / "model");
  options.dtypes = {"q4"};
  options.scheme.rounding = Rounding::kSearch;
  options.calibrate = test::source_path("models/demo/images");
  const std::string text = test::message_of(ErrorCode::kUnsupported, [&] { press(options); });
  EXPECT_TRUE(text.ends_with("options.calibrate does not take a smolvlm model yet; leave it out"))
      << text;
}

}  // namespace
}  // namespace lorapress
