// BMP as Pillow's BmpImagePlugin.py reads it. The format is simple and no library of its own is
// worth the dependency; what Pillow refuses, and the two layouts that it misreads, are refused.
//
//   14 bytes: "BM", sizes, at 10 where the pixels begin | header, its size first | masks | palette
#include <algorithm>
#include <array>

#include "base/fail.h"
#include "runtime/image/image_formats.h"

namespace lorapress::image_formats {
namespace {

constexpr uint64_t kFileHeader = 14;
constexpr uint64_t kCoreHeader = 12;  // of OS/2 and Windows 2: sizes in 16 bits, palette of 3 bytes

enum Compression : uint32_t { kRaw = 0, kRle8 = 1, kRle4 = 2, kBitfields = 3 };

struct Masks {
  uint32_t red;
  uint32_t green;
  uint32_t blue;
  uint32_t alpha;
  bool operator==(const Masks&) const = default;
};

// Where red, green and blue stand in a pixel of four bytes.
struct Layout {
  Masks masks;
  std::array<uint8_t, 3> bytes;
};
constexpr std::array<Layout, 8> kLayouts32 = {{
    {{0xFF0000, 0xFF00, 0xFF, 0}, {2, 1, 0}},
    {{0xFF000000, 0xFF0000, 0xFF00, 0}, {3, 2, 1}},
    {{0xFF000000, 0xFF00, 0xFF, 0}, {3, 1, 0}},
    {{0xFF000000, 0xFF0000, 0xFF00, 0xFF}, {3, 2, 1}},
    {{0xFF, 0xFF00, 0xFF0000, 0xFF000000}, {0, 1, 2}},
    {{0xFF0000, 0xFF00, 0xFF, 0xFF000000}, {2, 1, 0}},
    {{0xFF000000, 0xFF00, 0xFF, 0xFF0000}, {3, 1, 0}},
    {{0, 0, 0, 0}, {2, 1, 0}},
}};

class BmpReader {
 public:
  explicit BmpReader(const Encoded& file) : file_(file) {}

  Decoded decode() {
    read_header();
    Decoded out;
    out.image = new_image(file_, width_, height_);
    if (compression_ == kBitfields) {
      read_masks();
    } else if (compression_ != kRaw && compression_ != kRle8 && compression_ != kRle4) {
      unsupported(fmt::format("compression {}", compression_));
    }
    if (bits_ <= 8) {
      read_palette();
    }
    if (pixels_ == 0) {  // not given: right behind the header
      pixels_ = palette_at_ + (bits_ <= 8 ? palette_step() * colors_ : 0);
    }
    if (compression_ == kRle8 || compression_ == kRle4) {
      read_rle(out.image);
    } else {
      read_rows(out.image);
    }
    return out;
  }

 private:
  [[noreturn]] void unsupported(const std::string& what) const {
    fail(ErrorCode::kUnsupported,
         "{}: a BMP image with {} is not supported; convert it to PNG",
         file_.where,
         what);
  }

  // Little endian; throws past the end of the file.
  [[nodiscard]] uint32_t number(uint64_t at, size_t bytes) const {
    if (at + bytes > file_.bytes.size()) {
      fail_broken(file_, "BMP", kTruncated);
    }
    uint32_t value = 0;
    for (size_t i = bytes; i-- > 0;) {
      value = value << 8 | file_.bytes[at + i];
    }
    return value;
  }

  void read_header() {
    pixels_ = number(10, 4);
    header_ = number(kFileHeader, 4);
    if (header_ == kCoreHeader) {
      width_ = number(18, 2);
      height_ = number(20, 2);
      bits_ = number(24, 2);
      colors_ = uint64_t{1} << std::min<uint64_t>(bits_, 32);
    } else if (constexpr std::array<uint32_t, 6> kKnown = {40, 52, 56, 64, 108, 124};
               std::ranges::find(kKnown, header_) != kKnown.end()) {
      width_ = number(18, 4);
      height_ = number(22, 4);
      from_top_ = height_ >> 24 == 0xFF;  // a negative height
      height_ = from_top_ ? (uint64_t{1} << 32) - height_ : height_;
      bits_ = number(28, 2);
      compression_ = number(30, 4);
      colors_ = number(46, 4);
      colors_ = colors_ == 0 ? uint64_t{1} << std::min<uint64_t>(bits_, 32) : colors_;
    } else {
      unsupported(fmt::format("a header of {} bytes", header_));
    }
    constexpr std::array<uint32_t, 6> kDepths = {1, 4, 8, 16, 24, 32};
    if (std::ranges::find(kDepths, bits_) == kDepths.end()) {
      unsupported(fmt::format("{} bits per pixel", bits_));
    }
    palette_at_ = kFileHeader + header_;
    if (pixels_ == palette_at_ && bits_ <= 8) {  // written by programs that forget the palette
      pixels_ += palette_step() * colors_;
    }
  }

  [[nodiscard]] uint64_t palette_step() const { return header_ == kCoreHeader ? 3 : 4; }

  void read_masks() {
    const uint64_t at = kFileHeader + 40;  // inside a longer header, behind a short one
    Masks masks{number(at, 4), number(at + 4, 4), number(at + 8, 4), 0};
    if (header_ == 40) {
      palette_at_ += 12;
    } else if (header_ >= 56) {
      masks.alpha = number(at + 12, 4);
    }
    const auto layout = std::ranges::find(kLayouts32, masks, &Layout::masks);
    masks.alpha = 0;
    if (bits_ == 32 && layout != kLayouts32.end()) {
      bytes32_ = layout->bytes;
    } else if (bits_ == 16 && masks == Masks{0xF800, 0x7E0, 0x1F, 0}) {
      six_greens_ = true;
    } else if (!(bits_ == 16 && masks == Masks{0x7C00, 0x3E0, 0x1F, 0}) &&
               !(bits_ == 24 && masks == Masks{0xFF0000, 0xFF00, 0xFF, 0})) {
      unsupported(fmt::format(
          "{} bits and masks {:#x}, {:#x}, {:#x}", bits_, masks.red, masks.green, masks.blue));
    }
  }

  // A palette of grays in order counts as no palette: then every value is its own gray.
  void read_palette() {
    if (colors_ == 0 || colors_ > 65536) {
      unsupported(fmt::format("a palette of {} colours", colors_));
    }
    bool gray = true;
    for (uint64_t i = 0; i < colors_; ++i) {
      const uint64_t at = palette_at_ + i * palette_step();
      const Pixel color{static_cast<uint8_t>(number(at + 2, 1)),
                        static_cast<uint8_t>(number(at + 1, 1)),
                        static_cast<uint8_t>(number(at, 1))};
      const auto own = static_cast<uint8_t>(colors_ == 2 ? i * 255 : i);
      gray = gray && color == Pixel{own, own, own};
      if (i < palette_.size()) {
        palette_[i] = color;
      }
    }
    if (!gray) {
      return;
    }
    // Pillow reads the pixels of such files as 1 or 8 bits wide, whatever their width.
    const bool two = colors_ <= 2;
    const bool misread = two ? bits_ != 1 || compression_ != kRaw
                             : bits_ != 8 && compression_ != kRle4 && compression_ != kRle8;
    if (misread) {
      unsupported(fmt::format("{} bits and a palette of {} grays", bits_, colors_));
    }
    for (size_t i = 0; i < palette_.size(); ++i) {
      palette_[i].fill(two ? (i == 0 ? uint8_t{0} : uint8_t{255}) : static_cast<uint8_t>(i));
    }
  }

  [[nodiscard]] uint8_t* row_of(Image& image, uint64_t line) const {
    const uint64_t y = from_top_ ? line : height_ - 1 - line;
    return image.rgb.data() + y * width_ * 3;
  }

  void read_rows(Image& image) {
    const uint64_t stride = (width_ * bits_ + 31) / 32 * 4;
    const uint64_t needed = (width_ * bits_ + 7) / 8;  // the last line may lack its padding
    if (pixels_ > file_.bytes.size() ||
        stride * (height_ - 1) + needed > file_.bytes.size() - pixels_) {
      fail_broken(file_, "BMP", kTruncated);
    }
    for (uint64_t line = 0; line < height_; ++line) {
      expand(file_.bytes.data() + pixels_ + line * stride, row_of(image, line));
    }
  }

  void expand(const uint8_t* in, uint8_t* out) const {
    for (uint64_t x = 0; x < width_; ++x) {
      const Pixel color = pixel(in, x);
      out = std::ranges::copy(color, out).out;
    }
  }

  [[nodiscard]] Pixel pixel(const uint8_t* line, uint64_t x) const {
    if (bits_ <= 8) {
      const uint64_t bit = x * bits_;
      const auto top = static_cast<uint8_t>((1U << bits_) - 1U);
      return palette_[line[bit / 8] >> (8 - bits_ - bit % 8) & top];
    }
    const uint8_t* in = line + x * bits_ / 8;
    if (bits_ == 16) {
      const uint32_t value = in[0] | static_cast<uint32_t>(in[1]) << 8;
      const auto scaled = [value](int shift, uint32_t most) {
        return static_cast<uint8_t>((value >> shift & most) * 255 / most);
      };
      return six_greens_ ? Pixel{scaled(11, 31), scaled(5, 63), scaled(0, 31)}
                         : Pixel{scaled(10, 31), scaled(5, 31), scaled(0, 31)};
    }
    if (bits_ == 24) {
      return {in[2], in[1], in[0]};
    }
    return {in[bytes32_[0]], in[bytes32_[1]], in[bytes32_[2]]};
  }

  // BmpRleDecoder of BmpImagePlugin.py, its ways with broken files included: runs end with the
  // line, skipped pixels have index 0, and blocks of single pixels are padded to even places of the
  // file. A bitmap that ends early is refused.
  void read_rle(Image& image) {
    if (bits_ > 8) {
      unsupported(fmt::format("run lengths and {} bits per pixel", bits_));
    }
    const uint64_t all = width_ * height_;
    std::vector<uint8_t> data;
    data.reserve(all);
    uint64_t at = pixels_;
    uint64_t x = 0;
    const auto put = [&](uint8_t value, uint64_t count) {
      data.insert(data.end(), std::min<uint64_t>(count, all - data.size()), value);
    };
    while (data.size() < all) {
      const uint32_t count = number(at, 1);
      const auto value = static_cast<uint8_t>(number(at + 1, 1));
      at += 2;
      if (count != 0) {
        const uint64_t run = x + count > width_ ? (x < width_ ? width_ - x : 0) : count;
        for (uint64_t i = 0; i < run; ++i) {
          put(compression_ == kRle8 ? value
                                    : static_cast<uint8_t>(i % 2 == 0 ? value >> 4 : value & 15),
              1);
        }
        x += run;
      } else if (value == 0) {
        put(0, (width_ - data.size() % width_) % width_);
        x = 0;
      } else if (value == 1) {
        fail_broken(file_, "BMP", "its run lengths end before the image does");
      } else if (value == 2) {
        put(0, number(at, 1) + number(at + 1, 1) * width_);
        at += 2;
        x = data.size() % width_;
      } else {
        at = read_pixels(at, std::min<uint64_t>(value, all - data.size()), data);
        x += value;
        at += at % 2;
      }
    }
    for (uint64_t line = 0; line < height_; ++line) {
      uint8_t* out = row_of(image, line);
      for (uint64_t i = 0; i < width_; ++i) {
        out = std::ranges::copy(palette_[data[line * width_ + i]], out).out;
      }
    }
  }

  // Single pixels; returns the place behind them.
  uint64_t read_pixels(uint64_t at, uint64_t count, std::vector<uint8_t>& data) const {
    for (uint64_t i = 0; i < count; ++i) {
      if (compression_ == kRle8) {
        data.push_back(static_cast<uint8_t>(number(at + i, 1)));
      } else {
        const uint32_t pair = number(at + i / 2, 1);
        data.push_back(static_cast<uint8_t>(i % 2 == 0 ? pair >> 4 : pair & 15));
      }
    }
    return at + (compression_ == kRle8 ? count : (count + 1) / 2);
  }

  const Encoded& file_;
  uint64_t pixels_ = 0;  // where they begin
  uint32_t header_ = 0;
  uint64_t width_ = 0;
  uint64_t height_ = 0;
  bool from_top_ = false;
  uint32_t bits_ = 0;
  uint32_t compression_ = kRaw;
  uint64_t colors_ = 0;
  uint64_t palette_at_ = 0;
  std::array<Pixel, 256> palette_{};  // colours that the file does not give are black
  std::array<uint8_t, 3> bytes32_ = {2, 1, 0};
  bool six_greens_ = false;
};

}  // namespace

Decoded decode_bmp(const Encoded& file) {
  return BmpReader(file).decode();
}

}  // namespace lorapress::image_formats
