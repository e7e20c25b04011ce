// GIF through giflib: the first frame on the screen, as Pillow's GifImagePlugin.py shows it. What
// the frame does not cover has the transparent colour, where there is one, or the first of the
// palette; transparent pixels keep their colour.
#include <algorithm>
#include <array>
#include <cstring>
#include <gif_lib.h>

#include "runtime/image/image_formats.h"

namespace lorapress::image_formats {
namespace {

class GifReader {
 public:
  explicit GifReader(const Encoded& file) : file_(file) {
    int error = 0;
    gif_ = DGifOpen(this, on_read, &error);
    if (gif_ == nullptr) {
      broken(error);
    }
  }
  ~GifReader() { DGifCloseFile(gif_, nullptr); }
  GifReader(const GifReader&) = delete;
  GifReader& operator=(const GifReader&) = delete;

  Decoded decode() {
    find_frame();
    const GifImageDesc& frame = gif_->Image;
    if (frame.Width <= 0 || frame.Height <= 0 || frame.Left < 0 || frame.Top < 0) {
      fail_broken(file_, "GIF", "its first frame is empty");
    }
    const int64_t width = std::max<int64_t>(gif_->SWidth, int64_t{frame.Left} + frame.Width);
    const int64_t height = std::max<int64_t>(gif_->SHeight, int64_t{frame.Top} + frame.Height);
    Decoded out;
    out.image = new_image(file_, static_cast<uint64_t>(width), static_cast<uint64_t>(height));
    make_palette();
    fill(out.image, palette_[transparent_ < 0 ? 0 : static_cast<size_t>(transparent_)]);
    read_frame(out.image);
    return out;
  }

 private:
  static int on_read(GifFileType* gif, GifByteType* out, int count) {
    auto& self = *static_cast<GifReader*>(gif->UserData);
    const size_t given =
        std::min(static_cast<size_t>(std::max(count, 0)), self.file_.bytes.size() - self.position_);
    std::memcpy(out, self.file_.bytes.data() + self.position_, given);
    self.position_ += given;
    self.ended_ = self.ended_ || given < static_cast<size_t>(count);
    return static_cast<int>(given);
  }

  [[noreturn]] void broken(int error) const {
    const char* reason = GifErrorString(error);
    fail_broken(
        file_, "GIF", ended_ ? kTruncated : (reason == nullptr ? "its data are broken" : reason));
  }
  void check(int result) const {
    if (result != GIF_OK) {
      broken(gif_->Error);
    }
  }

  // Reads up to the header of the first frame.
  void find_frame() {
    while (true) {
      GifRecordType type = UNDEFINED_RECORD_TYPE;
      check(DGifGetRecordType(gif_, &type));
      if (type == IMAGE_DESC_RECORD_TYPE) {
        check(DGifGetImageDesc(gif_));
        return;
      }
      if (type != EXTENSION_RECORD_TYPE) {
        fail_broken(file_, "GIF", "it has no frame");
      }
      skip_extension();
    }
  }

  void skip_extension() {
    int code = 0;
    GifByteType* block = nullptr;  // its first byte is its length
    check(DGifGetExtension(gif_, &code, &block));
    constexpr int kHasTransparency = 1;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && block[0] >= 4 &&
        (block[1] & kHasTransparency) != 0) {
      transparent_ = block[4];
    }
    while (block != nullptr) {
      check(DGifGetExtensionNext(gif_, &block));
    }
  }

  // A palette in which every colour is its own number counts as no palette, and then the screen's
  // palette applies to the frame as well. Without any palette, all 256 colours are grays; missing
  // colours of another palette are black.
  void make_palette() {
    for (size_t i = 0; i < palette_.size(); ++i) {
      palette_[i].fill(static_cast<uint8_t>(i));
    }
    for (const ColorMapObject* map : {gif_->Image.ColorMap, gif_->SColorMap}) {
      const auto colors = map == nullptr ? std::span<const GifColorType>()
                                         : std::span<const GifColorType>(
                                               map->Colors, static_cast<size_t>(map->ColorCount));
      bool gray = true;
      for (size_t i = 0; i < colors.size(); ++i) {
        gray = gray && Pixel{colors[i].Red, colors[i].Green, colors[i].Blue} == palette_[i];
      }
      if (!gray) {
        palette_.fill({});
        std::ranges::transform(colors, palette_.begin(), [](const GifColorType& color) {
          return Pixel{color.Red, color.Green, color.Blue};
        });
        return;
      }
    }
  }

  static void fill(Image& image, const Pixel& color) {
    for (size_t at = 0; at < image.rgb.size(); at += 3) {
      std::ranges::copy(color, image.rgb.begin() + static_cast<ptrdiff_t>(at));
    }
  }

  void read_row(Image& image, int64_t y) {
    check(DGifGetLine(gif_, line_.data(), gif_->Image.Width));
    uint8_t* out = image.rgb.data() + ((gif_->Image.Top + y) * image.width + gif_->Image.Left) * 3;
    for (const GifPixelType index : line_) {
      out = std::ranges::copy(palette_[index], out).out;
    }
  }

  void read_frame(Image& image) {
    struct Pass {
      int64_t first;
      int64_t step;
    };
    constexpr std::array<Pass, 4> kInterlaced = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
    constexpr std::array<Pass, 1> kInOrder = {{{0, 1}}};
    const std::span<const Pass> passes =
        gif_->Image.Interlace ? std::span<const Pass>(kInterlaced) : kInOrder;
    line_.resize(static_cast<size_t>(gif_->Image.Width));
    for (const Pass& pass : passes) {
      for (int64_t y = pass.first; y < gif_->Image.Height; y += pass.step) {
        read_row(image, y);
      }
    }
  }

  const Encoded& file_;
  GifFileType* gif_ = nullptr;
  size_t position_ = 0;
  bool ended_ = false;
  int transparent_ = -1;
  std::array<Pixel, 256> palette_{};
  std::vector<GifPixelType> line_;
};

}  // namespace

Decoded decode_gif(const Encoded& file) {
  return GifReader(file).decode();
}

}  // namespace lorapress::image_formats
