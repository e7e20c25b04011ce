// Between image_decode.cc and the decoders; everyone else includes image.h.
#ifndef LORAPRESS_RUNTIME_IMAGE_IMAGE_FORMATS_H_
#define LORAPRESS_RUNTIME_IMAGE_IMAGE_FORMATS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/image/image.h"

namespace lorapress::image_formats {

struct Encoded {
  std::span<const uint8_t> bytes;
  std::string_view where;
  int64_t max_pixels;
};

// Pixels as stored, and the metadata that may hold their orientation.
struct Decoded {
  Image image;
  std::vector<uint8_t> exif;  // TIFF, with or without "Exif\0\0" before it; may be broken
  std::string xmp;
  std::optional<int> orientation;  // 1 to 8, from the format itself; overrides EXIF and XMP
};

using Pixel = std::array<uint8_t, 3>;  // red, green, blue

Decoded decode_jpeg(const Encoded& file);
Decoded decode_png(const Encoded& file);
Decoded decode_webp(const Encoded& file);
Decoded decode_gif(const Encoded& file);
Decoded decode_bmp(const Encoded& file);
Decoded decode_tiff(const Encoded& file);

// Checks the size against the limits before any memory is taken.
Image new_image(const Encoded& file, uint64_t width, uint64_t height);
[[noreturn]] void fail_broken(const Encoded& file,
                              std::string_view format,
                              std::string_view reason);
inline constexpr const char* kTruncated = "the file ends before the image does";

// 1 to 8 as in EXIF; 1 (upright) without a usable value.
int find_orientation(std::span<const uint8_t> exif, std::string_view xmp);
Image turn_upright(Image image, int orientation);

}  // namespace lorapress::image_formats

#endif  // LORAPRESS_RUNTIME_IMAGE_IMAGE_FORMATS_H_
