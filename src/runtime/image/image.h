// Image files to the vision tower's input, equal to what Pillow and transformers compute: a model
// must see the picture that it saw in training.
#ifndef LORAPRESS_RUNTIME_IMAGE_IMAGE_H_
#define LORAPRESS_RUNTIME_IMAGE_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace lorapress {

struct Image {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> rgb;  // 8 bits, rows from the top
};

inline constexpr int64_t kMaxImagePixels = 200'000'000;
inline constexpr uint64_t kMaxImageBytes = uint64_t{512} << 20;

// JPEG, PNG, WebP, GIF, BMP or TIFF by its first bytes, as Pillow's
// ImageOps.exif_transpose(image).convert("RGB"): rotated upright by EXIF, XMP or TIFF's own tag,
// alpha dropped and not blended, 16 bits per sample cut as Pillow cuts them, the first frame of
// several. `where` names the file in errors. Throws kUnsupported for another format or a variant
// that cannot be decoded as Pillow decodes it, and kInvalidFile for a broken, truncated or too large
// file.
Image decode_image(std::span<const std::byte> bytes,
                   std::string_view where,
                   int64_t max_pixels = kMaxImagePixels);
Image load_image(const std::filesystem::path& path);

// Whether a folder's file is taken for an image: .jpg, .jpeg, .png, .webp, .gif, .bmp, .tif, .tiff,
// in letters of any case.
bool is_image_name(const std::filesystem::path& path);

enum class Resample { kBilinear, kBicubic, kLanczos };

// "bilinear", "bicubic" or "lanczos"; `where` says in errors who asked.
Resample parse_resample(std::string_view name, std::string_view where);

// As Pillow's Image.resize: the filter widens when it shrinks, and both passes round to 8 bits.
Image resize(const Image& image, int64_t width, int64_t height, Resample resample);

// The middle of an image, as transformers' center_crop: of an odd rest, the larger part is cut off
// on the right and below. REQUIRES: the image is at least as large.
Image center_crop(Image image, int64_t width, int64_t height);

// CHW, as transformers' PIL image processors: float32(value * rescale_factor in double), then minus
// mean and over std in float32.
std::vector<float> normalise(const Image& image,
                             double rescale_factor,
                             std::span<const float, 3> mean,
                             std::span<const float, 3> std);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_IMAGE_IMAGE_H_
