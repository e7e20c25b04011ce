#include <array>

#include "base/fail.h"
#include "families/family.h"

namespace lorapress {
namespace {

constexpr std::array<const VisionFamily*, 1> kVisionFamilies = {&kSiglip};
constexpr std::array<const TextFamily*, 1> kTextFamilies = {&kLlama};

template <typename Family, size_t n>
const Family& find(const std::array<const Family*, n>& families, std::string_view model_type) {
  std::vector<std::string_view> known;
  for (const Family* family : families) {
    if (family->model_type == model_type) {
      return *family;
    }
    known.push_back(family->model_type);
  }
  fail(ErrorCode::kUnsupported,
       "model_type \"{}\" is not supported (supported: {})",
       model_type,
       fmt::join(known, ", "));
}

}  // namespace

const VisionFamily& vision_family(std::string_view model_type) {
  return find(kVisionFamilies, model_type);
}
const TextFamily& text_family(std::string_view model_type) {
  return find(kTextFamilies, model_type);
}
std::span<const VisionFamily* const> vision_families() {
  return kVisionFamilies;
}
std::span<const TextFamily* const> text_families() {
  return kTextFamilies;
}

}  // namespace lorapress
