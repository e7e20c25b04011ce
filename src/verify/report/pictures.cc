#include "verify/report/pictures.h"

#include <algorithm>
#include <array>
#include <png.h>

#include "base/fail.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

struct Color {
  int64_t red;
  int64_t green;
  int64_t blue;
};
using Painter = Color (*)(int64_t x, int64_t y, int64_t width, int64_t height);

constexpr bool in_disc(int64_t x, int64_t y, int64_t middle_x, int64_t middle_y, int64_t radius) {
  const int64_t dx = x - middle_x;
  const int64_t dy = y - middle_y;
  return dx * dx + dy * dy < radius * radius;
}

Color gradient(int64_t x, int64_t y, int64_t width, int64_t height) {
  return {255 * x / width, 255 * y / height, 255 - 255 * x / width};
}
Color red_disc(int64_t x, int64_t y, int64_t width, int64_t height) {
  return in_disc(x, y, width / 2, height / 2, height / 4) ? Color{220, 40, 40}
                                                          : Color{235, 235, 225};
}
Color landscape(int64_t x, int64_t y, int64_t width, int64_t height) {
  if (in_disc(x, y, width * 3 / 4, height / 4, height / 8)) {
    return {250, 210, 60};
  }
  return y > height * 2 / 3 ? Color{60, 140, 60} : Color{120 + 60 * y / height, 180, 235};
}
Color checks(int64_t x, int64_t y, int64_t width, int64_t height) {
  const bool dark = (8 * x / width + 8 * y / height) % 2 == 0;
  return dark ? Color{30, 30, 90} : Color{240, 240, 160};
}
Color stripes(int64_t x, int64_t y, int64_t width, int64_t height) {
  return (x * height + y * width) * 12 / (width * height) % 2 == 0 ? Color{200, 80, 20}
                                                                   : Color{20, 120, 130};
}
// A mixing function on 32 bits; looks like noise.
Color noise(int64_t x, int64_t y, int64_t width, int64_t /*height*/) {
  auto mixed = static_cast<uint32_t>(y * width + x) * 2654435761U;
  mixed ^= mixed >> 15;
  mixed *= 2246822519U;
  mixed ^= mixed >> 13;
  return {mixed & 0xff, mixed >> 8 & 0xff, mixed >> 16 & 0xff};
}

struct Drawing {
  const char* name;
  Painter painter;
  int64_t width;
  int64_t height;
};
constexpr std::array kDrawings = {
    Drawing{"drawn: gradient", gradient, 320, 240},
    Drawing{"drawn: red disc", red_disc, 256, 256},
    Drawing{"drawn: landscape", landscape, 400, 300},
    Drawing{"drawn: checks", checks, 192, 256},
    Drawing{"drawn: stripes", stripes, 150, 150},
    Drawing{"drawn: noise", noise, 96, 96},
};

Image paint(const Drawing& drawing) {
  Image image{drawing.width, drawing.height, {}};
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      const Color color = drawing.painter(x, y, image.width, image.height);
      for (const int64_t value : {color.red, color.green, color.blue}) {
        image.rgb.push_back(static_cast<uint8_t>(value));
      }
    }
  }
  return image;
}

std::string base64(const std::vector<uint8_t>& bytes) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i) {
      group = group << 8 | (at + i < bytes.size() ? bytes[at + i] : 0U);
    }
    for (size_t i = 0; i < 4; ++i) {
      text += at + i > bytes.size() ? '=' : kLetters[group >> (18 - 6 * i) & 0x3f];
    }
  }
  return text;
}

std::vector<uint8_t> encode_png(const Image& image) {
  png_image head{};
  head.version = PNG_IMAGE_VERSION;
  head.width = static_cast<png_uint_32>(image.width);
  head.height = static_cast<png_uint_32>(image.height);
  head.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(head);
  std::vector<uint8_t> bytes(size);
  if (png_image_write_to_memory(&head, bytes.data(), &size, 0, image.rgb.data(), 0, nullptr) == 0) {
    fail(ErrorCode::kRuntime, "libpng cannot write a thumbnail: {}", head.message);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

std::vector<Picture> pictures_of_folder(const fs::path& folder, std::vector<std::string>& notes) {
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound, "{}: no such folder of images", folder.string());
  }
  std::vector<fs::path> found;
  std::vector<std::string> others;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) {
      continue;
    }
    if (is_image_name(entry.path())) {
      found.push_back(entry.path());
    } else {
      others.push_back(entry.path().filename().string());
    }
  }
  if (found.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: no file here is named like an image (jpg, jpeg, png, webp, gif, bmp, tif, tiff)",
         folder.string());
  }
  std::ranges::sort(found);
  if (!others.empty()) {
    std::ranges::sort(others);
    const size_t shown = std::min<size_t>(others.size(), 3);
    notes.push_back(fmt::format("{} files of {} are not named like images: {}{}",
                                others.size(),
                                folder.string(),
                                fmt::join(std::span(others).first(shown), ", "),
                                others.size() > shown ? ", ..." : ""));
  }
  std::vector<Picture> pictures;
  for (const fs::path& path : found) {
    pictures.push_back({path.filename().string(), [path] { return load_image(path); }});
  }
  return pictures;
}

std::vector<Picture> drawn_pictures() {
  std::vector<Picture> pictures;
  for (const Drawing& drawing : kDrawings) {
    pictures.push_back({drawing.name, [drawing] { return paint(drawing); }});
  }
  return pictures;
}

std::string png_data_uri(const Image& image, int64_t side) {
  const int64_t longest = std::max(image.width, image.height);
  if (longest <= side) {
    return "data:image/png;base64," + base64(encode_png(image));
  }
  const auto scaled = [&](int64_t length) { return std::max<int64_t>(1, length * side / longest); };
  const Image small = resize(image, scaled(image.width), scaled(image.height), Resample::kBicubic);
  return "data:image/png;base64," + base64(encode_png(small));
}

}  // namespace lorapress
