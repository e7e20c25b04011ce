#include <array>
#include <fmt/format.h>
#include <optional>
#include <string_view>

#include "runtime/image/image_test_util.h"

namespace lorapress {
namespace {

using namespace std::string_view_literals;

using image_test::decode;
using image_test::difference;
using image_test::golden;
using image_test::goldens;
using image_test::message_of;
using image_test::read_expected;

bool uses_jpeg(std::string_view name) {
  return name.ends_with(".jpg") || name.starts_with("tiff_jpeg");
}

std::vector<std::string> golden_files() {
  std::vector<std::string> names;
  for (const Json& row : goldens()["images"]) {
    names.push_back(row["file"]);
  }
  return names;
}

TEST(DecodeImage, EqualsPillow) {
  for (const Json& row : goldens()["images"]) {
    const std::string name = row["file"];
    const Image got = load_image(golden(name));
    EXPECT_EQ(got.width, row["width"]) << name;
    EXPECT_EQ(got.height, row["height"]) << name;
    // libjpeg-turbo 2.1 gives exactly what Pillow's 3.2 does; another may round once differently.
    EXPECT_LE(difference(got, read_expected(row["decoded"])), uses_jpeg(name) ? 1 : 0) << name;
  }
}

// The picture, or nothing with an error of the kind that a broken file deserves.
std::optional<Image> try_decode(std::string_view bytes) {
  try {
    Image image = decode(bytes, 1 << 20);
    EXPECT_EQ(image.rgb.size(), static_cast<size_t>(image.width * image.height * 3));
    return image;
  } catch (const Error& error) {
    const bool no_magic = error.code() == ErrorCode::kUnsupported;
    EXPECT_TRUE(error.code() == ErrorCode::kInvalidFile || no_magic) << error.what();
    EXPECT_TRUE(std::string_view(error.what()).starts_with("picture: ")) << error.what();
    return std::nullopt;
  }
}

// How many bytes may be missing at the end: a JPEG's end marker, the padding of a BMP's last line,
// whatever follows a GIF's first frame; a TIFF's pixels may stand anywhere.
size_t unneeded_end(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, size_t>, 4> kEnds = {
      {{".jpg", 2}, {".gif", 1 << 20}, {".bmp", 3}, {".tif", 1 << 20}}};
  const auto* const end =
      std::ranges::find_if(kEnds, [&](const auto& row) { return name.ends_with(row.first); });
  return end == kEnds.end() ? 0 : end->second;
}

void expect_refused_or_whole(const std::string& name, const std::string& bytes, size_t size) {
  const auto cut = try_decode(std::string_view(bytes).substr(0, size));
  if (cut) {
    EXPECT_LE(bytes.size(), size + unneeded_end(name)) << name << " cut to " << size;
    EXPECT_EQ(difference(*cut, decode(bytes)), 0) << name << " cut to " << size;
  }
}

// A file cut anywhere gives an error, never other pixels. Like Pillow, some may lack their end once
// all rows are there.
TEST(DecodeImage, RefusesTruncatedFiles) {
  for (const std::string& name : golden_files()) {
    const std::string bytes = read_text(golden(name));
    for (size_t size = 0; size < bytes.size(); size += 10) {
      expect_refused_or_whole(name, bytes, size);
    }
  }
}

TEST(DecodeImage, SurvivesChangedBits) {
  for (const std::string& name : golden_files()) {
    std::string bytes = read_text(golden(name));
    const size_t step = std::max<size_t>(1, bytes.size() / 200);
    for (size_t at = 0; at < bytes.size(); at += step) {
      const char kept = bytes[at];
      bytes[at] = static_cast<char>(kept ^ (1 << (at * 5 % 8)));
      try_decode(bytes);
      bytes[at] = kept;
    }
  }
}

TEST(DecodeImage, RefusesOtherFormats) {
  for (const std::string_view text : {"", "GIF88a", "\xFF\xD8", "RIFF....AVI ", "not an image"}) {
    EXPECT_EQ(
        message_of(ErrorCode::kUnsupported, [&] { decode(text); }),
        "picture: is not a JPEG, PNG, WebP, GIF, BMP or TIFF image; convert it to one of them");
  }
  message_of(ErrorCode::kNotFound, [] { load_image("/nonexistent.png"); });
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kFormats = {
    {{"jpeg_420.jpg", "JPEG"},
     {"png_rgb.png", "PNG"},
     {"webp_lossy.webp", "WebP"},
     {"gif_saved.gif", "GIF"},
     {"bmp_saved_24.bmp", "BMP"},
     {"tiff_strips.tif", "TIFF"}}};

TEST(DecodeImage, SaysWhatIsWrong) {
  for (const auto& [name, format] : kFormats) {
    const std::string bytes = read_text(golden(std::string(name)));
    const std::string half = bytes.substr(0, bytes.size() / 2);
    const std::string reason = "the file ends before the image does";
    const std::string message = message_of(ErrorCode::kInvalidFile, [&] { decode(half); });
    EXPECT_TRUE(message.starts_with(fmt::format("picture: cannot decode this {} image: ", format)))
        << message;
    EXPECT_TRUE(message.ends_with(reason) || format == "TIFF") << message;  // libtiff's own words
    const std::string limit = message_of(ErrorCode::kInvalidFile, [&] { decode(bytes, 100); });
    EXPECT_TRUE(limit.ends_with("pixels, expected 1 to 100")) << limit;
  }
}

TEST(LoadImage, RefusesHugeFiles) {
  const auto path = std::filesystem::path(testing::TempDir()) / "lorapress_huge_image.jpg";
  write_text(path, "\xFF\xD8\xFF");
  std::filesystem::resize_file(path, kMaxImageBytes + 1);  // takes no space
  message_of(ErrorCode::kInvalidFile, [&] { load_image(path); });
  std::filesystem::remove(path);
}

TEST(DecodeImage, IgnoresWhatFollows) {
  for (const auto& [name, format] : kFormats) {
    const std::string bytes = read_text(golden(std::string(name)));
    EXPECT_EQ(difference(decode(bytes + "trailing bytes"), decode(bytes)), 0) << format;
  }
}

std::string jpeg_with_app1(std::string_view file, std::string_view head, std::string_view rest) {
  const size_t size = head.size() + rest.size() + 2;
  std::string out(file.substr(0, 2));
  out += {'\xFF', '\xE1', static_cast<char>(size >> 8), static_cast<char>(size)};
  return out.append(head).append(rest).append(file.substr(2));
}

constexpr std::string_view kXmp = "http://ns.adobe.com/xap/1.0/\0"sv;
constexpr std::string_view kXmpElement = "<x tiff:Orientation='8'><tiff:Orientation>6</x>";
constexpr std::string_view kExif = "Exif\0\0"sv;
constexpr std::string_view kTag6 =
    "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"sv;
constexpr std::string_view kTag9 =
    "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0"sv;

TEST(DecodeImage, TurnsByExifAndXmp) {
  const std::string file = read_text(golden("jpeg_444.jpg"));
  const Image upright = decode(file);
  const auto lower_left = upright.rgb.end() - upright.width * 3;
  const std::string twice = std::string(kExif).append(kTag6);
  for (const std::string& bytes : {jpeg_with_app1(file, kXmp, "<x tiff:Orientation=\"6\"/>"),
                                   jpeg_with_app1(file, kXmp, kXmpElement),
                                   jpeg_with_app1(file, kExif, kTag6),
                                   jpeg_with_app1(file, kExif, twice)}) {
    const Image image = decode(bytes);
    EXPECT_EQ(image.width, upright.height);
    EXPECT_TRUE(std::equal(image.rgb.begin(), image.rgb.begin() + 3, lower_left));
  }
}

TEST(DecodeImage, IgnoresBrokenOrientations) {
  const std::string file = read_text(golden("jpeg_444.jpg"));
  const Image upright = decode(file);
  const std::string exif_first = jpeg_with_app1(file, kExif, kTag9);
  for (const std::string& bytes : {jpeg_with_app1(file, kExif, ""),
                                   jpeg_with_app1(file, kExif, "MM"),
                                   jpeg_with_app1(file, kExif, "nonsense"),
                                   jpeg_with_app1(file, kExif, kTag6.substr(0, 12)),
                                   jpeg_with_app1(file, kXmp, "tiff:Orientation="),
                                   exif_first,
                                   jpeg_with_app1(exif_first, kXmp, kXmpElement)}) {
    EXPECT_EQ(difference(decode(bytes), upright), 0);
  }
}

TEST(DecodeImage, LimitsScans) {
  const std::string file = read_text(golden("jpeg_progressive.jpg"));
  const size_t scan = file.rfind("\xFF\xDA");
  const std::string last = file.substr(scan, file.size() - 2 - scan);
  std::string bomb = file.substr(0, scan);
  for (int i = 0; i < 600; ++i) {
    bomb += last;
  }
  EXPECT_EQ(message_of(ErrorCode::kInvalidFile, [&] { decode(bomb + "\xFF\xD9"); }),
            "picture: cannot decode this JPEG image: more than 500 scans");
}

// One animation frame of `size` at an offset, on a canvas; all numbers below 256.
TEST(DecodeImage, PutsTheFirstFrameOnBlack) {
  const auto chunk = [](std::string name, const std::string& data) {
    const size_t size = data.size();
    for (int shift = 0; shift < 32; shift += 8) {
      name += static_cast<char>(size >> shift);
    }
    return name + data + std::string(size % 2, '\0');
  };
  const auto number = [](int value) { return std::string{static_cast<char>(value), 0, 0}; };
  const std::string still = read_text(golden("webp_lossless.webp"));
  const Image picture = decode(still);
  const std::string frame = number(3) + number(4) + number(static_cast<int>(picture.width) - 1) +
                            number(static_cast<int>(picture.height) - 1) + number(100) + '\0' +
                            still.substr(12);
  const std::string canvas = std::string("\x12\0\0\0", 4) + number(99) + number(79);
  const std::string anim = "WEBP" + chunk("VP8X", canvas) + chunk("ANIM", "\x10\x20\x30\xFF..") +
                           chunk("ANMF", frame) + chunk("ANMF", frame);
  const Image got = decode(chunk("RIFF", anim));
  ASSERT_EQ(got.width, 100);
  ASSERT_EQ(got.height, 80);
  for (int64_t y = 0; y < 80; ++y) {
    for (int64_t x = 0; x < 100; ++x) {
      const bool inside = x >= 6 && x < 6 + picture.width && y >= 8 && y < 8 + picture.height;
      const auto from = static_cast<size_t>(((y - 8) * picture.width + x - 6) * 3);
      const uint8_t want = inside ? picture.rgb[from] : uint8_t{0};
      ASSERT_EQ(got.rgb[static_cast<size_t>((y * 100 + x) * 3)], want) << x << " " << y;
    }
  }
}

// Every colour type and depth that PNG has, as libpng writes it.
struct PngKind {
  int colour;
  int depth;
  bool interlaced;
};

constexpr uint32_t kPngWidth = 19;
constexpr uint32_t kPngHeight = 13;
constexpr size_t kPaletteSize = 100;  // pixels beyond it are black

class PngSample {
 public:
  explicit PngSample(PngKind kind) : kind_(kind) {
    constexpr std::array<size_t, 7> kChannels = {1, 0, 3, 1, 2, 0, 4};
    channels_ = kChannels.at(static_cast<size_t>(kind.colour));
    row_bytes_ = (kPngWidth * channels_ * static_cast<size_t>(kind.depth) + 7) / 8;
    uint32_t state = 12345;
    data_.resize(row_bytes_ * kPngHeight);
    for (uint8_t& byte : data_) {
      state = state * 1664525 + 1013904223;
      byte = static_cast<uint8_t>(state >> 24);
    }
    for (size_t i = 0; i < kPaletteSize; ++i) {
      palette_[i] = {
          static_cast<png_byte>(i), static_cast<png_byte>(255 - i), static_cast<png_byte>(i * 7)};
    }
  }

  [[nodiscard]] std::string encode() const {
    std::string out;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    const auto append = [](png_structp writer, png_bytep bytes, size_t count) {
      static_cast<std::string*>(png_get_io_ptr(writer))
          ->append(reinterpret_cast<char*>(bytes), count);
    };
    png_set_write_fn(png, &out, append, nullptr);
    png_set_IHDR(png,
                 info,
                 kPngWidth,
                 kPngHeight,
                 kind_.depth,
                 kind_.colour,
                 kind_.interlaced ? 1 : 0,
                 0,
                 0);
    if (kind_.colour == PNG_COLOR_TYPE_PALETTE) {
      std::array<png_color, kPaletteSize> palette{};
      std::ranges::transform(palette_, palette.begin(), [](const auto& entry) {
        return png_color{entry[0], entry[1], entry[2]};
      });
      png_set_PLTE(png, info, palette.data(), std::min<int>(kPaletteSize, 1 << kind_.depth));
      constexpr std::array<png_byte, 2> kAlpha = {0, 77};
      png_set_tRNS(png, info, kAlpha.data(), 2, nullptr);
    } else if (channels_ % 2 == 1) {
      constexpr png_color_16 kClear = {0, 1, 1, 1, 1};
      png_set_tRNS(png, info, nullptr, 0, &kClear);
    }
    png_set_gAMA(png, info, 1.0);
    png_set_check_for_invalid_index(png, 0);
    std::vector<uint8_t> data = data_;
    std::array<png_bytep, kPngHeight> rows{};
    for (size_t y = 0; y < kPngHeight; ++y) {
      rows[y] = data.data() + y * row_bytes_;
    }
    png_set_rows(png, info, rows.data());
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
    png_destroy_write_struct(&png, &info);
    return out;
  }

  [[nodiscard]] Image expected() const {
    Image image{kPngWidth, kPngHeight, {}};
    for (size_t y = 0; y < kPngHeight; ++y) {
      for (size_t x = 0; x < kPngWidth; ++x) {
        for (size_t colour = 0; colour < 3; ++colour) {
          image.rgb.push_back(value(y, x, colour));
        }
      }
    }
    return image;
  }

 private:
  [[nodiscard]] uint8_t value(size_t y, size_t x, size_t colour) const {
    const size_t at = x * channels_ + (channels_ >= 3 ? colour : 0);
    const uint8_t* row = data_.data() + y * row_bytes_;
    const auto depth = static_cast<size_t>(kind_.depth);
    if (depth == 16) {  // gray is cut off at 255, the others lose the low byte
      const bool fits = kind_.colour == PNG_COLOR_TYPE_GRAY && row[at * 2] == 0;
      const uint8_t high = kind_.colour == PNG_COLOR_TYPE_GRAY ? uint8_t{255} : row[at * 2];
      return fits ? row[at * 2 + 1] : high;
    }
    const int top = (1 << depth) - 1;
    const int sample = (row[at * depth / 8] >> (8 - depth - at * depth % 8)) & top;
    if (kind_.colour != PNG_COLOR_TYPE_PALETTE) {
      return static_cast<uint8_t>(sample * 255 / top);
    }
    return static_cast<size_t>(sample) < kPaletteSize
               ? palette_[static_cast<size_t>(sample)][colour]
               : uint8_t{0};
  }

  PngKind kind_;
  size_t channels_ = 0;
  size_t row_bytes_ = 0;
  std::vector<uint8_t> data_;
  std::array<std::array<png_byte, 3>, kPaletteSize> palette_{};
};

TEST(DecodeImage, ReadsEveryKindOfPng) {
  for (const bool interlaced : {false, true}) {
    for (const auto& [colour, depths] : {std::pair{0, std::vector{1, 2, 4, 8, 16}},
                                         {2, {8, 16}},
                                         {3, {1, 2, 4, 8}},
                                         {4, {8, 16}},
                                         {6, {8, 16}}}) {
      for (const int depth : depths) {
        const PngSample sample({colour, depth, interlaced});
        EXPECT_EQ(difference(decode(sample.encode()), sample.expected()), 0)
            << "colour type " << colour << ", " << depth << " bits, interlaced " << interlaced;
      }
    }
  }
}

}  // namespace
}  // namespace lorapress
