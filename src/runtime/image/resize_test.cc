#include <array>

#include "runtime/image/image_test_util.h"

namespace lorapress {
namespace {

using image_test::difference;
using image_test::golden;
using image_test::goldens;
using image_test::message_of;
using image_test::read_expected;

TEST(Resize, EqualsPillow) {
  int compared = 0;
  for (const Json& row : goldens()["images"]) {
    const Image source = read_expected(row["decoded"]);
    for (const Json& want : row["resized"]) {
      const Resample filter = parse_resample(want["filter"].get<std::string>(), "images.json");
      const Image got = resize(source, want["w"], want["h"], filter);
      EXPECT_EQ(difference(got, read_expected(want["file"])), 0) << row["file"] << want.dump();
      ++compared;
    }
  }
  EXPECT_GT(compared, 50);
}

TEST(Normalise, PutsChannelsFirst) {
  const Image image{2, 1, {0, 10, 20, 30, 40, 50}};
  constexpr std::array<float, 3> kMean = {0, 0, 10};
  constexpr std::array<float, 3> kStd = {1, 2, 1};
  EXPECT_EQ(normalise(image, 1.0, kMean, kStd), (std::vector<float>{0, 30, 5, 20, 10, 40}));
}

Image flat_image(int64_t width, int64_t height) {
  Image image{width, height, {}};
  for (int64_t pixel = 0; pixel < width * height; ++pixel) {
    image.rgb.insert(image.rgb.end(), {255, 128, 0});
  }
  return image;
}

TEST(Resize, KeepsFlatColours) {
  constexpr std::array<std::pair<int64_t, int64_t>, 8> kSizes = {
      {{1, 1}, {3, 200}, {317, 2}, {64, 65}, {7, 5}, {224, 224}, {1, 300}, {30, 300}}};
  for (const auto& [width, height] : kSizes) {
    const Image source = flat_image(width, height);
    for (const auto& [w, h] : kSizes) {
      const Image want = flat_image(w, h);
      EXPECT_EQ(difference(resize(source, w, h, Resample::kBilinear), want), 0) << w << "x" << h;
      EXPECT_EQ(difference(resize(source, w, h, Resample::kBicubic), want), 0) << w << "x" << h;
    }
  }
}

TEST(Resize, RefusesImpossibleSizes) {
  const Image image{2, 1, {0, 10, 20, 30, 40, 50}};
  const auto call = [](const Image& source, int64_t width, int64_t height) {
    return [&source, width, height] { resize(source, width, height, Resample::kBicubic); };
  };
  for (const int64_t bad : {int64_t{0}, int64_t{-3}, kMaxImagePixels + 1, INT64_MAX}) {
    message_of(ErrorCode::kInvalidArgument, call(image, bad, 1));
    message_of(ErrorCode::kInvalidArgument, call(image, 1, bad));
  }
  const Image wide{
      12'000'000, 1, std::vector<uint8_t>(36'000'000)};  // a weight per pixel and output
  EXPECT_EQ(message_of(ErrorCode::kUnsupported, call(wide, 224, 224)),
            "an image cannot be resized from 12000000 to 224 pixels along one side");
}

TEST(Resize, ParsesFilterNames) {
  EXPECT_EQ(parse_resample("bilinear", "x"), Resample::kBilinear);
  EXPECT_EQ(parse_resample("bicubic", "x"), Resample::kBicubic);
  EXPECT_EQ(message_of(ErrorCode::kUnsupported, [] { parse_resample("nearest", "config.json"); }),
            "config.json: resample \"nearest\" is not supported (bilinear, bicubic, lanczos)");
}

}  // namespace
}  // namespace lorapress
