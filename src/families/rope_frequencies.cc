#include "families/rope_frequencies.h"

#include <cmath>
#include <numbers>

namespace lorapress {
namespace {

// Frequencies of long wavelengths are divided by `factor`, those of short wavelengths kept, those
// between blended.
float llama3_frequency(float frequency, const RopeConfig& rope) {
  const auto original = static_cast<float>(rope.original_max_position_embeddings);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto high = static_cast<float>(rope.high_freq_factor);
  const float wavelength = 2.0F * std::numbers::pi_v<float> / frequency;
  const float slowed = frequency / static_cast<float>(rope.factor);
  if (wavelength > original / low) {
    return slowed;
  }
  if (wavelength < original / high) {
    return frequency;
  }
  const float smooth = (original / wavelength - low) / (high - low);
  return (1.0F - smooth) * slowed + smooth * frequency;
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeConfig& rope, int64_t rotary_dim) {
  std::vector<float> frequencies(static_cast<size_t>(rotary_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
    const float period = std::pow(static_cast<float>(rope.rope_theta), exponent);
    const float frequency = 1.0F / period;
    if (rope.rope_type == "longrope") {
      frequencies[i] = 1.0F / (static_cast<float>(rope.short_factor.at(i)) * period);
    } else {
      frequencies[i] = rope.rope_type == "linear"   ? frequency / static_cast<float>(rope.factor)
                       : rope.rope_type == "llama3" ? llama3_frequency(frequency, rope)
                                                    : frequency;
    }
  }
  return frequencies;
}

}  // namespace lorapress
