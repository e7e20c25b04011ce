#include "runtime/preprocess.h"

#include <array>

#include "bundles/manifest.h"

namespace lorapress {
namespace {

std::array<float, 3> to_floats(const std::array<double, 3>& values) {
  return {
      static_cast<float>(values[0]), static_cast<float>(values[1]), static_cast<float>(values[2])};
}

}  // namespace

std::vector<float> preprocess(const Image& image, const Preprocessing& settings) {
  const Resample filter = parse_resample(settings.resample, kManifestName);
  const ImageSize size = resized_size({image.width, image.height}, settings);
  return normalised(
      center_crop(resize(image, size.width, size.height, filter), settings.width, settings.height),
      settings);
}

std::vector<float> normalised(const Image& image, const Preprocessing& settings) {
  return normalise(image,
                   settings.rescale_factor,
                   to_floats(settings.image_mean),
                   to_floats(settings.image_std));
}

}  // namespace lorapress
