// A file in memory as libtiff reads it, for image_tiff.cc.
#ifndef LORAPRESS_RUNTIME_IMAGE_IMAGE_TIFF_SOURCE_H_
#define LORAPRESS_RUNTIME_IMAGE_IMAGE_TIFF_SOURCE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <tiffio.h>

#include "runtime/image/image_formats.h"

namespace lorapress::image_formats {

struct CloseTiff {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using TiffHandle = std::unique_ptr<TIFF, CloseTiff>;

// The largest block that libtiff may allocate, and the largest tile.
inline constexpr uint64_t kMaxTiffBlock = uint64_t{256} << 20;

// libtiff prints nothing; its first error message is kept. A tag whose content
// lies behind the end of the file counts as an error.
class TiffSource {
 public:
  explicit TiffSource(const Encoded& file) : file_(file) {}
  TiffSource(const TiffSource&) = delete;
  TiffSource& operator=(const TiffSource&) = delete;

  // At the first directory; null where there is none. REQUIRES: the source outlives the handle.
  TiffHandle open();
  [[nodiscard]] bool failed() const { return reason_[0] != '\0'; }
  [[nodiscard]] std::string_view reason() const;

 private:
  struct Callbacks;
  const Encoded& file_;
  uint64_t position_ = 0;
  std::array<char, 200> reason_{};
};

// The photometric interpretation of the first directory, if any: libtiff changes that of a palette
// image without a colour map.
std::optional<uint64_t> stored_photometric(std::span<const uint8_t> file);

}  // namespace lorapress::image_formats

#endif  // LORAPRESS_RUNTIME_IMAGE_IMAGE_TIFF_SOURCE_H_
