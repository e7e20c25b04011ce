#include "bundles/manifest_image.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

Json splitting_manifest() {
  return {{"model", {{"conditioning", "placeholder"}}},
          {"image_splitting",
           {{"enabled", true},
            {"longest_edge", 128},
            {"tile_size", 32},
            {"resample", "lanczos"},
            {"tokens",
             {{"image", "<i>"}, {"around", "|"}, {"global", "<g>"}, {"tile", "{row}.{col}"}}}}}};
}

Manifest read_splitting(const Json& json) {
  Manifest manifest;
  manifest.preprocessing.height = 32;
  manifest.preprocessing.width = 32;
  read_image_place(json, "x", manifest);
  return manifest;
}

TEST(ManifestImage, ReadsHowImagesBecomeTilesAndWhatStandsForThem) {
  const Manifest manifest = read_splitting(splitting_manifest());
  ASSERT_TRUE(manifest.preprocessing.splitting);
  const ImageSplitting& splitting = *manifest.preprocessing.splitting;
  EXPECT_TRUE(splitting.enabled);
  EXPECT_EQ(splitting.longest_edge, 128);
  EXPECT_EQ(splitting.tokens.image, "<i>");
  EXPECT_EQ(splitting.tokens.around, "|");
  EXPECT_EQ(splitting.tokens.global, "<g>");
  EXPECT_EQ(splitting.tokens.tile, "{row}.{col}");
  EXPECT_FALSE(read_splitting({{"model", Json::object()}}).preprocessing.splitting);
}

TEST(ManifestImage, RefusesWhatNoProcessorSays) {
  const std::vector<std::pair<const char*, Json>> rows = {
      {"/image_splitting", 3},
      {"/image_splitting/enabled", 1},
      {"/image_splitting/longest_edge", 0},
      {"/image_splitting/longest_edge", 4097},
      {"/image_splitting/tile_size", 31},
      {"/image_splitting/tokens", nullptr},
      {"/image_splitting/tokens", Json::array({"<i>"})},
      {"/image_splitting/tokens/around", 3},
      {"/image_splitting/tokens/tile", std::string(300, 'x')},
  };
  for (const auto& [pointer, value] : rows) {
    Json json = splitting_manifest();
    json[Json::json_pointer(pointer)] = value;
    const std::string text =
        test::message_of(ErrorCode::kInvalidFile, [&] { read_splitting(json); });
    EXPECT_TRUE(text.starts_with("x: ")) << pointer << ": " << text;
  }
  Json json = splitting_manifest();
  json["image_splitting"]["tokens"].erase("global");
  test::message_of(ErrorCode::kInvalidFile, [&] { read_splitting(json); });
}

}  // namespace
}  // namespace lorapress
