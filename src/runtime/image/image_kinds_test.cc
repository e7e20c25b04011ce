// What GIF, BMP and TIFF have kinds of that Pillow does not read, or reads wrongly.
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

#include "runtime/image/image_test_util.h"

namespace lorapress {
namespace {

using image_test::decode;
using image_test::golden;
using image_test::message_of;

// Little-endian numbers in a golden, from somewhere on.
std::string changed(const std::string& name, size_t at, const std::string& bytes) {
  std::string file = read_text(golden(name));
  return file.replace(at, bytes.size(), bytes);
}
// The value of a SHORT tag of a little-endian TIFF.
std::string with_tag(const std::string& name, uint8_t low, uint8_t high, char value) {
  const std::string entry{static_cast<char>(low), static_cast<char>(high), 3, 0, 1, 0, 0, 0};
  return changed(name, read_text(golden(name)).find(entry) + entry.size(), {value, 0});
}

// Kinds that Pillow refuses, misreads or reads by a library that is not here.
TEST(DecodeImage, RefusesByNameWhatCannotBeHadAsPillowHasIt) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {changed("bmp_8.bmp", 28, {2, 0}), "a BMP image with 2 bits per pixel"},
      {changed("bmp_8.bmp", 30, {5, 0}), "a BMP image with compression 5"},
      {changed("bmp_8.bmp", 14, {41, 0}), "a BMP image with a header of 41 bytes"},
      {changed("bmp_16_565.bmp", 54, {1, 0}),
       "a BMP image with 16 bits and masks 0x1, 0x7e0, 0x1f"},
      {changed("bmp_saved_24.bmp", 30, {1, 0}), "run lengths and 24 bits per pixel"},
      {with_tag("tiff_strips.tif", 6, 1, 8), "photometric interpretation 8, 3 samples of 8 bits"},
      {with_tag("tiff_strips.tif", 6, 1, 6), "photometric interpretation 6, 3 samples of 8 bits"},
      {with_tag("tiff_strips.tif", 3, 1, 6), "a TIFF image with compression 6"},
      {with_tag("tiff_gray_8.tif", 2, 1, 12), "photometric interpretation 1, 1 samples of 12 bits"},
      {with_tag("tiff_gray_alpha.tif", 82, 1, 1), "extra samples 1"},
  };
  for (const auto& [file, says] : rows) {
    const std::string message = message_of(ErrorCode::kUnsupported, [&] { decode(file); });
    EXPECT_TRUE(message.find(says) != std::string::npos) << message << "; expected: " << says;
    EXPECT_TRUE(message.ends_with("is not supported; convert it to PNG")) << message;
  }
}

TEST(DecodeImage, RefusesAPaletteImageWithoutAPalette) {
  EXPECT_EQ(
      message_of(ErrorCode::kInvalidFile, [] { decode(with_tag("tiff_gray_8.tif", 6, 1, 3)); }),
      "picture: cannot decode this TIFF image: it has no colour map");
}

// A palette of black and white behind 8 bits, which Pillow takes for 1 bit per pixel.
TEST(DecodeImage, RefusesWhatPillowMisreads) {
  std::string file = changed("bmp_few_colours.bmp", 46, {2, 0});
  file.replace(54, 8, std::string("\0\0\0\0\xFF\xFF\xFF\0", 8));
  const std::string message = message_of(ErrorCode::kUnsupported, [&] { decode(file); });
  EXPECT_TRUE(message.find("8 bits and a palette of 2 grays") != std::string::npos) << message;
}

// Sizes that are only claimed cost nothing.
TEST(DecodeImage, ChecksClaimedSizesFirst) {
  const std::string most("\xFF\xFF\xFF\x7F", 4);
  for (const std::string& file : {changed("bmp_rle8.bmp", 18, most),
                                  changed("bmp_24_top_down.bmp", 18, most),
                                  changed("gif_global.gif", 6, most)}) {
    const std::string message = message_of(ErrorCode::kInvalidFile, [&] { decode(file); });
    EXPECT_TRUE(message.find("pixels, expected 1 to 200000000") != std::string::npos) << message;
  }
  std::string tiles = read_text(golden("tiff_tiles.tif"));
  const size_t width = tiles.find(std::string("\x42\x01\x03\0\x01\0\0\0", 8)) + 8;
  tiles.replace(width, 2, "\xF0\xFF");
  const std::string length("\x43\x01\x03\0\x01\0\0\0", 8);
  tiles.replace(tiles.find(length) + 8, 2, "\xF0\xFF");
  message_of(ErrorCode::kInvalidFile, [&] { decode(tiles); });
}

TEST(ImageNames, AreEightInAnyCase) {
  for (const char* name :
       {"a.jpg", "a.JPEG", "b.c.png", "x/a.WebP", "a.gif", "a.bmp", "a.Tif", "a.tiff"}) {
    EXPECT_TRUE(is_image_name(name)) << name;
  }
  for (const char* name : {"", "jpg", ".jpg", "a.jpg.txt", "a.svg", "a.ti", "a.heic"}) {
    EXPECT_FALSE(is_image_name(name)) << name;
  }
}

}  // namespace
}  // namespace lorapress
