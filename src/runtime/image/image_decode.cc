#include <algorithm>
#include <array>
#include <string>

#include "base/fail.h"
#include "base/file.h"
#include "runtime/image/image.h"
#include "runtime/image/image_formats.h"

namespace lorapress {
namespace {

using image_formats::Decoded;
using image_formats::Encoded;

void check_file_size(uint64_t size, std::string_view where) {
  if (size > kMaxImageBytes) {
    fail(ErrorCode::kInvalidFile,
         "{}: the file has {} bytes, expected an image of at most {}",
         where,
         size,
         kMaxImageBytes);
  }
}

bool has_text(std::span<const uint8_t> bytes, size_t offset, std::string_view text) {
  return bytes.size() >= offset + text.size() &&
         std::ranges::equal(
             bytes.subspan(offset, text.size()), text, [](uint8_t byte, char letter) {
               return byte == static_cast<uint8_t>(letter);
             });
}

// Either order of bytes, and the same with 64-bit offsets.
constexpr std::array<std::string_view, 4> kTiffMagics = {
    std::string_view("II*\0", 4),
    std::string_view("MM\0*", 4),
    std::string_view("II+\0", 4),
    std::string_view("MM\0+", 4),
};

Decoded decode_by_magic(const Encoded& file) {
  if (has_text(file.bytes, 0, "\xFF\xD8\xFF")) {
    return image_formats::decode_jpeg(file);
  }
  if (has_text(file.bytes, 0, "\x89PNG\r\n\x1A\n")) {
    return image_formats::decode_png(file);
  }
  if (has_text(file.bytes, 0, "RIFF") && has_text(file.bytes, 8, "WEBPVP8")) {
    return image_formats::decode_webp(file);
  }
  if (has_text(file.bytes, 0, "GIF87a") || has_text(file.bytes, 0, "GIF89a")) {
    return image_formats::decode_gif(file);
  }
  if (has_text(file.bytes, 0, "BM")) {
    return image_formats::decode_bmp(file);
  }
  for (const std::string_view magic : kTiffMagics) {
    if (has_text(file.bytes, 0, magic)) {
      return image_formats::decode_tiff(file);
    }
  }
  fail(ErrorCode::kUnsupported,
       "{}: is not a JPEG, PNG, WebP, GIF, BMP or TIFF image; convert it to one of them",
       file.where);
}

// How a stored picture is read so that it comes out upright.
struct Turn {
  bool swap_axes;
  bool from_right;
  bool from_bottom;
};

constexpr std::array<Turn, 9> kTurns = {{
    {false, false, false},  // not used: EXIF counts from 1
    {false, false, false},
    {false, true, false},
    {false, true, true},
    {false, false, true},
    {true, false, false},
    {true, false, true},
    {true, true, true},
    {true, true, false},
}};

}  // namespace

namespace image_formats {

void fail_broken(const Encoded& file, std::string_view format, std::string_view reason) {
  fail(ErrorCode::kInvalidFile, "{}: cannot decode this {} image: {}", file.where, format, reason);
}

Image new_image(const Encoded& file, uint64_t width, uint64_t height) {
  const auto limit = static_cast<uint64_t>(file.max_pixels);
  if (width == 0 || height == 0 || width > limit || height > limit / width) {
    fail(ErrorCode::kInvalidFile,
         "{}: the image has {} x {} pixels, expected 1 to {}",
         file.where,
         width,
         height,
         file.max_pixels);
  }
  return {static_cast<int64_t>(width),
          static_cast<int64_t>(height),
          std::vector<uint8_t>(static_cast<size_t>(width * height * 3))};
}

Image turn_upright(Image image, int orientation) {
  if (orientation <= 1) {
    return image;
  }
  const Turn turn = kTurns[static_cast<size_t>(orientation)];
  const int64_t right = turn.from_right ? -1 : 1;
  const int64_t down = turn.from_bottom ? -image.width : image.width;
  const int64_t origin = (turn.from_right ? image.width - 1 : 0) +
                         (turn.from_bottom ? (image.height - 1) * image.width : 0);
  const int64_t step_x = turn.swap_axes ? down : right;
  const int64_t step_y = turn.swap_axes ? right : down;
  Image out{turn.swap_axes ? image.height : image.width,
            turn.swap_axes ? image.width : image.height,
            std::vector<uint8_t>(image.rgb.size())};
  constexpr int64_t kTile = 64;  // keeps both pictures in the cache when rows become columns
  for (int64_t top = 0; top < out.height; top += kTile) {
    for (int64_t left = 0; left < out.width; left += kTile) {
      for (int64_t y = top; y < std::min(top + kTile, out.height); ++y) {
        for (int64_t x = left; x < std::min(left + kTile, out.width); ++x) {
          const uint8_t* from = image.rgb.data() + (origin + x * step_x + y * step_y) * 3;
          std::copy_n(from, 3, out.rgb.data() + (y * out.width + x) * 3);
        }
      }
    }
  }
  return out;
}

}  // namespace image_formats

Image decode_image(std::span<const std::byte> bytes, std::string_view where, int64_t max_pixels) {
  check_file_size(bytes.size(), where);
  const std::span<const uint8_t> raw(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  Decoded decoded = decode_by_magic({raw, where, max_pixels});
  const int orientation =
      decoded.orientation.value_or(image_formats::find_orientation(decoded.exif, decoded.xmp));
  return image_formats::turn_upright(std::move(decoded.image), orientation);
}

bool is_image_name(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 8> kSuffixes = {
      ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"};
  std::string suffix = path.extension().string();
  std::ranges::transform(suffix, suffix.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return std::ranges::find(kSuffixes, suffix) != kSuffixes.end();
}

Image load_image(const std::filesystem::path& path) {
  const InputFile file(path);
  check_file_size(file.size(), path.string());
  std::vector<std::byte> bytes(static_cast<size_t>(file.size()));
  file.read_at(0, bytes);
  return decode_image(bytes, path.string());
}

}  // namespace lorapress
