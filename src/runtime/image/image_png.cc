// PNG through libpng's row interface: the simplified one blends alpha and converts gamma. libpng
// reports errors with longjmp, so every call into it that can fail happens inside run(), whose
// frames own nothing; all state lives in PngReader.
#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <png.h>

#include "runtime/image/image_formats.h"

namespace lorapress::image_formats {
namespace {

// Chunks that Pillow does not apply to the pixels either. Not reading them avoids their errors and
// their decompression.
constexpr png_byte kIgnoredChunks[] =
    "bKGD\0cHRM\0gAMA\0hIST\0iCCP\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0tIME\0tRNS";

std::vector<uint8_t> bytes_of_hex(std::string_view text) {
  std::vector<uint8_t> bytes;
  int high = -1;
  for (const char letter : text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const size_t digit =
        kDigits.find(letter >= 'A' && letter <= 'F' ? static_cast<char>(letter + 32) : letter);
    if (digit == std::string_view::npos) {
      continue;  // line ends
    }
    if (high < 0) {
      high = static_cast<int>(digit);
    } else {
      bytes.push_back(static_cast<uint8_t>(high * 16 + static_cast<int>(digit)));
      high = -1;
    }
  }
  return bytes;
}

// ImageMagick's way from before PNG had an eXIf chunk: an empty line, "exif", a size, then hex.
std::vector<uint8_t> parse_raw_profile(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      return {};
    }
    text.remove_prefix(end + 1);
  }
  return bytes_of_hex(text);
}

class PngReader {
 public:
  explicit PngReader(const Encoded& file) : file_(file) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      fail_broken(file_, "PNG", "libpng cannot be started");
    }
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  Decoded decode() {
    run([this] { read_header(); });
    Decoded out;
    out.image =
        new_image(file_, png_get_image_width(png_, info_), png_get_image_height(png_, info_));
    pixels_ = out.image.rgb.data();
    stride_ = static_cast<size_t>(out.image.width) * 3;
    gray16_ = png_get_color_type(png_, info_) == PNG_COLOR_TYPE_GRAY &&
              png_get_bit_depth(png_, info_) == 16;
    run([this] { read_pixels(); });
    if (gray16_) {
      expand_gray16(out.image);
    }
    collect_metadata(out);
    return out;
  }

 private:
  // No object with a destructor may be created inside `step`.
  template <typename Step>
  [[nodiscard]] bool guarded(const Step& step) {
    if (setjmp(png_jmpbuf(png_)) != 0) {
      return false;
    }
    step();
    return true;
  }

  template <typename Step>
  void run(const Step& step) {
    if (!guarded(step)) {
      fail_broken(file_, "PNG", reason_.data());
    }
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto& self = *static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(self.reason_.data(), self.reason_.size(), "%s", message);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

  static void on_read(png_structp png, png_bytep out, size_t count) {
    auto& self = *static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > self.file_.bytes.size() - self.position_) {
      png_error(png, kTruncated);
    }
    std::memcpy(out, self.file_.bytes.data() + self.position_, count);
    self.position_ += count;
  }

  void read_header() {
    png_set_read_fn(png_, this, on_read);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // new_image() has the limits
    // No chunk is longer than the file; a compressed text may be when unpacked, within reason.
    png_set_chunk_malloc_max(png_, std::max<size_t>(file_.bytes.size(), size_t{1} << 20));
    png_set_chunk_cache_max(png_, 64);
    png_set_benign_errors(png_, 1);
    png_set_check_for_invalid_index(png_, 0);  // such pixels are black, as in Pillow
    png_set_keep_unknown_chunks(
        png_, PNG_HANDLE_CHUNK_NEVER, kIgnoredChunks, static_cast<int>(sizeof(kIgnoredChunks) / 5));
    png_read_info(png_, info_);
  }

  // To 8-bit RGB as Pillow does it: the high byte of 16 bits, no alpha. Only 16-bit gray stays.
  void read_pixels() {
    if (!gray16_) {
      png_set_expand(png_);
      png_set_strip_16(png_);
      png_set_strip_alpha(png_);
      png_set_gray_to_rgb(png_);
    }
    const int passes = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    if (png_get_rowbytes(png_, info_) > stride_) {
      png_error(png_, "rows are larger than expected");
    }
    const png_uint_32 height = png_get_image_height(png_, info_);
    for (int pass = 0; pass < passes; ++pass) {
      for (png_uint_32 y = 0; y < height; ++y) {
        png_read_row(png_, pixels_ + y * stride_, nullptr);
      }
    }
    png_read_end(png_, info_);  // EXIF may stand behind the pixels
  }

  // Pillow clips 16-bit gray at 255 and does not scale it. In place: two bytes become three.
  static void expand_gray16(Image& image) {
    const auto width = static_cast<size_t>(image.width);
    for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
      uint8_t* row = image.rgb.data() + y * width * 3;
      for (size_t x = width; x-- > 0;) {
        const uint8_t value = row[x * 2] == 0 ? row[x * 2 + 1] : uint8_t{255};
        std::fill_n(row + x * 3, 3, value);
      }
    }
  }

  void collect_metadata(Decoded& out) {
    png_uint_32 exif_size = 0;
    png_bytep exif = nullptr;
    if (png_get_eXIf_1(png_, info_, &exif_size, &exif) != 0) {
      out.exif.assign(exif, exif + exif_size);
    }
    png_textp texts = nullptr;
    const int count = png_get_text(png_, info_, &texts, nullptr);
    for (const png_text& text : std::span(texts, static_cast<size_t>(count))) {
      const std::string_view key(text.key);
      const std::string_view value(text.text == nullptr ? "" : text.text);
      if (key == "XML:com.adobe.xmp") {
        out.xmp = value;
      } else if (key == "Raw profile type exif" && out.exif.empty()) {
        out.exif = parse_raw_profile(value);
      }
    }
  }

  const Encoded& file_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  size_t position_ = 0;
  uint8_t* pixels_ = nullptr;
  size_t stride_ = 0;
  bool gray16_ = false;
  std::array<char, 200> reason_{};
};

}  // namespace

Decoded decode_png(const Encoded& file) {
  return PngReader(file).decode();
}

}  // namespace lorapress::image_formats
