// For image_test.cc and resize_test.cc: the goldens of tests/oracle/make_images.py, read without
// the code under test.
#ifndef LORAPRESS_RUNTIME_IMAGE_IMAGE_TEST_UTIL_H_
#define LORAPRESS_RUNTIME_IMAGE_IMAGE_TEST_UTIL_H_

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <png.h>
#include <span>
#include <string>

#include "lorapress/error.h"

#include "base/file.h"
#include "base/json.h"
#include "runtime/image/image.h"
#include "test_util.h"

namespace lorapress::image_test {

using test::message_of;

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(LORAPRESS_SOURCE_DIR) / "tests/goldens/images" / name;
}

inline const Json& goldens() {
  static const Json kIndex = read_json(golden("images.json"));
  return kIndex;
}

inline Image read_expected(const Json& name) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const std::string path = golden(name.get<std::string>()).string();
  EXPECT_NE(png_image_begin_read_from_file(&png, path.c_str()), 0) << path << png.message;
  png.format = PNG_FORMAT_RGB;
  Image image{png.width, png.height, std::vector<uint8_t>(PNG_IMAGE_SIZE(png))};
  EXPECT_NE(png_image_finish_read(&png, nullptr, image.rgb.data(), 0, nullptr), 0) << path;
  return image;
}

// The largest difference of any value; 256 for another size.
inline int difference(const Image& left, const Image& right) {
  if (left.width != right.width || left.height != right.height ||
      left.rgb.size() != right.rgb.size()) {
    return 256;
  }
  int largest = 0;
  for (size_t i = 0; i < left.rgb.size(); ++i) {
    largest = std::max(largest, std::abs(left.rgb[i] - right.rgb[i]));
  }
  return largest;
}

inline Image decode(std::string_view bytes, int64_t max_pixels = kMaxImagePixels) {
  return decode_image(std::as_bytes(std::span(bytes)), "picture", max_pixels);
}

}  // namespace lorapress::image_test

#endif  // LORAPRESS_RUNTIME_IMAGE_IMAGE_TEST_UTIL_H_
