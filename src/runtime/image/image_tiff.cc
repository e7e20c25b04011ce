// TIFF through libtiff, which unpacks strips and tiles; what the samples mean is decided here, as
// the table OPEN_INFO of Pillow's TiffImagePlugin.py says. What that table or this file does not
// know is refused by name. The first picture of several.
#include <algorithm>
#include <array>
#include <cstring>
#include <tiffio.h>

#include "base/fail.h"
#include "runtime/image/image_formats.h"
#include "runtime/image/image_tiff_source.h"

namespace lorapress::image_formats {
namespace {

constexpr uint16_t kMaxSamples = 6;

// The compressions that Pillow's own builds and Debian's libtiff have in common.
constexpr std::array<uint16_t, 9> kCompressions = {COMPRESSION_NONE,
                                                   COMPRESSION_CCITTRLE,
                                                   COMPRESSION_CCITTFAX3,
                                                   COMPRESSION_CCITTFAX4,
                                                   COMPRESSION_LZW,
                                                   COMPRESSION_JPEG,
                                                   COMPRESSION_ADOBE_DEFLATE,
                                                   COMPRESSION_DEFLATE,
                                                   COMPRESSION_PACKBITS};

// What the samples of a pixel mean.
enum class Kind { kGray, kGray16, kPalette, kRgb, kPremultiplied, kCmyk };

uint8_t clipped_ratio(int value, int alpha) {
  return static_cast<uint8_t>(std::min(value * 255 / alpha, 255));
}

// value * light / 255, rounded as Pillow's MULDIV255 rounds.
int scaled(int value, int light) {
  const int product = value * light + 128;
  return (product / 256 + product) / 256;
}

class TiffReader {
 public:
  explicit TiffReader(const Encoded& file) : file_(file), source_(file), tiff_(source_.open()) {
    check(tiff_ != nullptr);
  }

  Decoded decode() {
    read_layout();
    Decoded out;
    out.image = new_image(file_, width_, height_);
    if (kind_ == Kind::kPalette) {
      read_palette();
    }
    if (TIFFIsTiled(tiff_.get()) != 0) {
      read_tiles(out.image);
    } else {
      read_lines(out.image);
    }
    read_orientation(out);
    check(true);
    return out;
  }

 private:
  // A file about which libtiff only warns is broken as well.
  void check(bool good) const {
    if (!good || source_.failed()) {
      fail_broken(file_, "TIFF", source_.reason());
    }
  }
  [[noreturn]] void unsupported(const std::string& what) const {
    fail(ErrorCode::kUnsupported,
         "{}: a TIFF image with {} is not supported; convert it to PNG",
         file_.where,
         what);
  }

  template <typename T>
  [[nodiscard]] T field(uint32_t tag, T otherwise) const {
    T value = otherwise;
    return TIFFGetField(tiff_.get(), tag, &value) == 1 ? value : otherwise;
  }

  void read_layout() {
    width_ = field<uint32_t>(TIFFTAG_IMAGEWIDTH, 0);
    height_ = field<uint32_t>(TIFFTAG_IMAGELENGTH, 0);
    const auto compression = field<uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
    if (std::ranges::find(kCompressions, compression) == kCompressions.end()) {
      unsupported(fmt::format("compression {}", compression));
    }
    bits_ = field<uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
    samples_ = field<uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
    separate_ = samples_ > 1 &&
                field<uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
    photometric_ = field<uint16_t>(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
    if (stored_photometric(file_.bytes) == PHOTOMETRIC_PALETTE &&
        photometric_ != PHOTOMETRIC_PALETTE) {
      fail_broken(file_, "TIFF", "it has no colour map");
    }
    const auto format = field<uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
    const bool signed_gray = format == SAMPLEFORMAT_INT && bits_ == 8 && samples_ == 1;
    if (format != SAMPLEFORMAT_UINT && !signed_gray) {
      unsupported(fmt::format("sample format {} of {} bits", format, bits_));
    }
    if (compression == COMPRESSION_JPEG && photometric_ == PHOTOMETRIC_YCBCR && !separate_) {
      TIFFSetField(tiff_.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      photometric_ = PHOTOMETRIC_RGB;
    }
    kind_ = find_kind();
  }

  [[nodiscard]] Kind find_kind() const {
    uint16_t extra_count = 0;
    const uint16_t* extras = nullptr;
    if (TIFFGetField(tiff_.get(), TIFFTAG_EXTRASAMPLES, &extra_count, &extras) != 1) {
      extra_count = 0;
    }
    const bool premultiplied = extra_count > 0 && extras[0] == EXTRASAMPLE_ASSOCALPHA;
    const auto has = [&](int colors, std::initializer_list<int> depths) {
      const int more = samples_ - colors;
      return std::ranges::find(depths, static_cast<int>(bits_)) != depths.end() && more >= 0 &&
             samples_ <= kMaxSamples && (more == extra_count || (colors == 3 && more == 1));
    };
    const bool one = samples_ == 1;
    if (photometric_ <= PHOTOMETRIC_MINISBLACK && one && has(1, {1, 2, 4, 8})) {
      return Kind::kGray;
    }
    if (photometric_ == PHOTOMETRIC_MINISBLACK && samples_ == 2 && has(1, {8}) && !premultiplied) {
      return Kind::kGray;
    }
    const bool big_endian = TIFFIsBigEndian(tiff_.get()) != 0;
    if (one && bits_ == 16 &&
        (photometric_ == PHOTOMETRIC_MINISBLACK ||
         (photometric_ == PHOTOMETRIC_MINISWHITE && !big_endian))) {
      return Kind::kGray16;
    }
    if (photometric_ == PHOTOMETRIC_PALETTE &&
        (one ? has(1, {1, 2, 4, 8}) : samples_ == 2 && has(1, {8}) && !premultiplied)) {
      return Kind::kPalette;
    }
    if (photometric_ == PHOTOMETRIC_RGB && (has(3, {8}) || (samples_ <= 4 && has(3, {16})))) {
      return premultiplied ? Kind::kPremultiplied : Kind::kRgb;
    }
    if (photometric_ == PHOTOMETRIC_SEPARATED && (has(4, {8}) || (samples_ == 4 && has(4, {16})))) {
      return Kind::kCmyk;
    }
    unsupported(fmt::format("photometric interpretation {}, {} samples of {} bits{}",
                            photometric_,
                            samples_,
                            bits_,
                            extra_count > 0 ? fmt::format(", extra samples {}", extras[0]) : ""));
  }

  void read_palette() {
    std::array<uint16_t*, 3> maps{};
    if (TIFFGetField(tiff_.get(), TIFFTAG_COLORMAP, &maps[0], &maps[1], &maps[2]) != 1) {
      fail_broken(file_, "TIFF", "it has no colour map");
    }
    const size_t colors = size_t{1} << bits_;
    for (size_t i = 0; i < colors; ++i) {
      for (size_t channel = 0; channel < 3; ++channel) {
        palette_[i][channel] = static_cast<uint8_t>(maps[channel][i] >> 8);
      }
    }
  }

  // The 8 most significant bits, or all of fewer; of 16-bit gray see to_rgb().
  [[nodiscard]] int sample(const uint8_t* line, uint64_t index) const {
    if (bits_ == 16) {
      uint16_t value = 0;
      std::memcpy(&value, line + index * 2, 2);
      return kind_ == Kind::kGray16 ? std::min<int>(value, 255) : value >> 8;
    }
    const uint64_t bit = index * bits_;
    return line[bit / 8] >> (8 - bits_ - bit % 8) & ((1 << bits_) - 1);
  }

  [[nodiscard]] Pixel to_rgb(const std::array<int, kMaxSamples>& s) const {
    const auto gray = [](int value) {
      const auto byte = static_cast<uint8_t>(value);
      return Pixel{byte, byte, byte};
    };
    switch (kind_) {
      case Kind::kGray16:  // clipped at 255 and not inverted, as Pillow does it
        return gray(s[0]);
      case Kind::kGray: {
        const int value = s[0] * 255 / ((1 << bits_) - 1);
        return gray(photometric_ == PHOTOMETRIC_MINISWHITE ? 255 - value : value);
      }
      case Kind::kPalette:
        return palette_[static_cast<size_t>(s[0])];
      case Kind::kPremultiplied:
        if (s[3] == 0) {
          return {};
        }
        return {clipped_ratio(s[0], s[3]), clipped_ratio(s[1], s[3]), clipped_ratio(s[2], s[3])};
      case Kind::kCmyk: {
        const int light = 255 - s[3];
        const auto ink = [light](int value) {
          return static_cast<uint8_t>(std::max(0, light - scaled(value, light)));
        };
        return {ink(s[0]), ink(s[1]), ink(s[2])};
      }
      case Kind::kRgb:
        break;
    }
    return {static_cast<uint8_t>(s[0]), static_cast<uint8_t>(s[1]), static_cast<uint8_t>(s[2])};
  }

  // A run of pixels of one line: `lines` holds one pointer, or one for each sample.
  void put(const std::array<const uint8_t*, kMaxSamples>& lines,
           uint64_t count,
           uint8_t* out) const {
    std::array<int, kMaxSamples> samples{};
    for (uint64_t x = 0; x < count; ++x) {
      for (uint16_t i = 0; i < samples_; ++i) {
        samples[i] = separate_ ? sample(lines[i], x) : sample(lines[0], x * samples_ + i);
      }
      out = std::ranges::copy(to_rgb(samples), out).out;
    }
  }

  [[nodiscard]] uint16_t planes() const { return separate_ ? samples_ : uint16_t{1}; }

  // The bytes that `count` pixels of one plane take.
  [[nodiscard]] uint64_t line_bytes(uint64_t count) const {
    return (count * bits_ * (separate_ ? 1U : samples_) + 7) / 8;
  }

  void read_lines(Image& image) {
    const tmsize_t size = TIFFScanlineSize(tiff_.get());
    check(size > 0 && static_cast<uint64_t>(size) >= line_bytes(width_));
    std::vector<std::vector<uint8_t>> buffers(planes());
    std::array<const uint8_t*, kMaxSamples> lines{};
    for (size_t plane = 0; plane < buffers.size(); ++plane) {
      buffers[plane].resize(static_cast<size_t>(size));
      lines[plane] = buffers[plane].data();
    }
    if (separate_) {
      read_planes(image, buffers[0]);
      return;
    }
    for (uint32_t y = 0; y < height_; ++y) {
      check(TIFFReadScanline(tiff_.get(), buffers[0].data(), y, 0) == 1);
      put(lines, width_, image.rgb.data() + uint64_t{y} * width_ * 3);
    }
  }

  // Separate planes lie one after the other, and libtiff goes back to a strip's beginning when
  // the plane changes; so each is read whole. Only separate colours can be put together this way.
  void read_planes(Image& image, std::vector<uint8_t>& line) {
    if (kind_ != Kind::kRgb) {
      unsupported("planes of their own in strips that are not red, green and blue");
    }
    for (uint16_t plane = 0; plane < 3; ++plane) {
      for (uint32_t y = 0; y < height_; ++y) {
        check(TIFFReadScanline(tiff_.get(), line.data(), y, plane) == 1);
        uint8_t* out = image.rgb.data() + uint64_t{y} * width_ * 3 + plane;
        for (uint64_t x = 0; x < width_; ++x) {
          out[x * 3] = static_cast<uint8_t>(sample(line.data(), x));
        }
      }
    }
  }

  void read_tiles(Image& image) {
    const auto across = field<uint32_t>(TIFFTAG_TILEWIDTH, 0);
    const auto down = field<uint32_t>(TIFFTAG_TILELENGTH, 0);
    const uint64_t size = TIFFTileSize64(tiff_.get());
    if (across == 0 || down == 0 || size > kMaxTiffBlock) {
      fail_broken(file_, "TIFF", fmt::format("its tiles have {} x {} pixels", across, down));
    }
    const uint64_t stride = TIFFTileRowSize64(tiff_.get());
    check(stride >= line_bytes(across) && size >= stride * down);
    std::vector<std::vector<uint8_t>> buffers(planes());
    for (std::vector<uint8_t>& buffer : buffers) {
      buffer.resize(size);
    }
    for (uint64_t top = 0; top < height_; top += down) {
      for (uint64_t left = 0; left < width_; left += across) {
        for (uint16_t plane = 0; plane < planes(); ++plane) {
          check(TIFFReadTile(tiff_.get(),
                             buffers[plane].data(),
                             static_cast<uint32_t>(left),
                             static_cast<uint32_t>(top),
                             0,
                             plane) >= 0);
        }
        for (uint64_t y = top; y < std::min<uint64_t>(top + down, height_); ++y) {
          std::array<const uint8_t*, kMaxSamples> lines{};
          for (size_t plane = 0; plane < buffers.size(); ++plane) {
            lines[plane] = buffers[plane].data() + (y - top) * stride;
          }
          put(lines,
              std::min<uint64_t>(across, width_ - left),
              image.rgb.data() + (y * width_ + left) * 3);
        }
      }
    }
  }

  // The tag, whatever its value, overrides XMP.
  void read_orientation(Decoded& out) const {
    uint16_t orientation = 0;
    if (TIFFGetField(tiff_.get(), TIFFTAG_ORIENTATION, &orientation) == 1) {
      out.orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
      return;
    }
    uint32_t size = 0;
    const char* xmp = nullptr;
    if (TIFFGetField(tiff_.get(), TIFFTAG_XMLPACKET, &size, &xmp) == 1 && xmp != nullptr) {
      out.xmp.assign(xmp, size);
    }
  }

  const Encoded& file_;
  TiffSource source_;
  TiffHandle tiff_;
  uint32_t width_ = 0;
  uint32_t height_ = 0;
  uint16_t bits_ = 0;
  uint16_t samples_ = 0;
  bool separate_ = false;
  uint16_t photometric_ = 0;
  Kind kind_ = Kind::kRgb;
  std::array<Pixel, 256> palette_{};
};

}  // namespace

Decoded decode_tiff(const Encoded& file) {
  return TiffReader(file).decode();
}

}  // namespace lorapress::image_formats
