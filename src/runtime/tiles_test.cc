#include "runtime/tiles.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "test_util.h"

namespace lorapress {
namespace {

const Json& tiles_golden() {
  static const Json golden = read_json(test::source_path("tests/goldens/tiles/tiles.json"));
  return golden;
}

TEST(Tiles, AreAtMostOneLevelFromTheProcessors) {
  const std::filesystem::path folder = test::source_path("tests/goldens/tiles");
  const auto size = tiles_golden().at("tile_size").get<int64_t>();
  for (const Json& row : tiles_golden().at("cases")) {
    SCOPED_TRACE(row.at("tiles"));
    Preprocessing settings = kDefaultPreprocessing;
    settings.height = size;
    settings.width = size;
    settings.resample = "lanczos";
    settings.splitting = ImageSplitting{row.at("enabled"), row.at("longest_edge"), {}};
    const Tiles tiles =
        split_image(load_image(folder / row.at("image").get<std::string>()), settings);
    EXPECT_EQ(tiles.rows, row.at("rows"));
    EXPECT_EQ(tiles.columns, row.at("cols"));
    ASSERT_EQ(std::ssize(tiles.images), row.at("count").get<int64_t>());
    const Image strip = load_image(folder / row.at("tiles").get<std::string>());
    size_t at = 0;
    int most = 0;
    for (const Image& tile : tiles.images) {
      for (const uint8_t level : tile.rgb) {
        most = std::max(most, std::abs(int{level} - int{strip.rgb.at(at++)}));
      }
    }
    EXPECT_EQ(at, strip.rgb.size());
    EXPECT_LE(most, 1);
  }
}

TEST(Tiles, TheTextThatStandsForThemIsTheProcessors) {
  const auto positions = tiles_golden().at("image_tokens").get<int64_t>();
  for (const Json& row : tiles_golden().at("cases")) {
    EXPECT_EQ(tiles_prompt(row.at("rows"), row.at("cols"), positions, {}),
              row.at("prompt").get<std::string>());
  }
}

TEST(Tiles, OtherTokensStandForThemWhereTheFolderSaysSo) {
  const TileTokens tokens{"i", "|", "whole", "{col}/{row}"};
  EXPECT_EQ(tiles_prompt(1, 2, 2, tokens), "|1/1ii|2/1ii\n\n|wholeii|");
  EXPECT_EQ(tiles_prompt(0, 0, 1, tokens), "|wholei|");
}

}  // namespace
}  // namespace lorapress
