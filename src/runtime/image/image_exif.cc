// Which way up: EXIF's orientation tag through libexif, else XMP's, as Pillow looks for it.
#include <algorithm>
#include <array>
#include <libexif/exif-data.h>
#include <memory>

#include "runtime/image/image_formats.h"

namespace lorapress::image_formats {
namespace {

constexpr std::array<uint8_t, 6> kHeader = {'E', 'x', 'i', 'f', 0, 0};

struct FreeExif {
  void operator()(ExifData* data) const { exif_data_unref(data); }
};

// As Pillow: the first of several values; a value of type byte does not count.
std::optional<int64_t> integer_of(const ExifEntry& entry, ExifByteOrder order) {
  if (entry.data == nullptr || entry.components < 1) {
    return std::nullopt;
  }
  if (entry.format == EXIF_FORMAT_SHORT && entry.size >= 2) {
    return exif_get_short(entry.data, order);
  }
  if (entry.format == EXIF_FORMAT_LONG && entry.size >= 4) {
    return exif_get_long(entry.data, order);
  }
  return std::nullopt;
}

// nullopt where there is no such tag; 1 for a tag without a usable value.
std::optional<int> from_exif(std::span<const uint8_t> tiff) {
  const auto has_header = [&] {
    return tiff.size() >= kHeader.size() && std::ranges::equal(tiff.first(kHeader.size()), kHeader);
  };
  for (int repeat = 0; repeat < 2 && has_header(); ++repeat) {
    tiff = tiff.subspan(kHeader.size());
  }
  if (tiff.empty()) {
    return std::nullopt;
  }
  std::vector<uint8_t> bytes(kHeader.begin(), kHeader.end());  // libexif insists on exactly one
  bytes.insert(bytes.end(),
               tiff.begin(),
               tiff.begin() + static_cast<ptrdiff_t>(std::min(tiff.size(), size_t{1} << 20)));
  const std::unique_ptr<ExifData, FreeExif> data(exif_data_new());
  if (data == nullptr) {
    return std::nullopt;
  }
  exif_data_unset_option(data.get(), EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);  // read, do not repair
  exif_data_load_data(data.get(), bytes.data(), static_cast<unsigned>(bytes.size()));
  const ExifEntry* entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
  if (entry == nullptr) {
    return std::nullopt;
  }
  const int64_t value = integer_of(*entry, exif_data_get_byte_order(data.get())).value_or(1);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

// tiff:Orientation="6" as an attribute or <tiff:Orientation>6< as an element.
int from_xmp(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at + 1)) {
    std::string_view rest = xmp.substr(at + kName.size());
    if (!rest.starts_with("=\"") && !rest.starts_with('>')) {
      continue;
    }
    rest.remove_prefix(rest.starts_with('>') ? 1 : 2);
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') {
      const int value = rest[0] - '0';
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}

}  // namespace

int find_orientation(std::span<const uint8_t> exif, std::string_view xmp) {
  const std::optional<int> orientation = from_exif(exif);
  return orientation ? *orientation : from_xmp(xmp);
}

}  // namespace lorapress::image_formats
