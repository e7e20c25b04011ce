#include <array>

#include "base/fail.h"
#include "bundles/bundle.h"

namespace lorapress {
namespace {

constexpr std::array<const Bundle*, 5> kBundles = {
    &kTransformersJs, &kSingle, &kComponents, &kLlava, &kGenai};

}  // namespace

const Bundle& bundle(std::string_view name) {
  std::vector<std::string_view> known;
  for (const Bundle* row : kBundles) {
    if (row->name == name) {
      return *row;
    }
    known.push_back(row->name);
  }
  fail(ErrorCode::kUnsupported,
       "bundle \"{}\" is not known (known: {})",
       name,
       fmt::join(known, ", "));
}

std::span<const Bundle* const> bundles() {
  return kBundles;
}

}  // namespace lorapress
