// Any bytes are an image or an Error; what decodes can be resized.

#include <cstddef>
#include <cstdint>
#include <span>

#include "lorapress/error.h"

#include "runtime/image/image.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using lorapress::Resample;
  try {
    constexpr std::int64_t kMaxPixels = 1 << 18;
    const auto image =
        lorapress::decode_image(std::as_bytes(std::span(data, size)), "fuzz", kMaxPixels);
    lorapress::resize(image, 32, 24, Resample::kBicubic);
    lorapress::resize(image, 24, 32, Resample::kBilinear);
    return 0;
  } catch (const lorapress::Error&) {
    return 0;  // the expected answer to most inputs
  }
}
