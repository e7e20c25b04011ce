#include <algorithm>
#include <array>

#include "base/fail.h"
#include "bundles/bundle.h"

namespace lorapress {
namespace {

constexpr std::array<const Bundle*, 8> kBundles = {&kTransformersJs,
                                                   &kSingle,
                                                   &kComponents,
                                                   &kLlava,
                                                   &kGenai,
                                                   &kSmolvlm,
                                                   &kTextGeneration,
                                                   &kFirefox};

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

bool accepts_prefix(const Checkpoint& checkpoint) {
  return checkpoint.composite != nullptr &&
         checkpoint.composite->conditioning == Conditioning::kPrefix;
}

bool accepts_prefix_or_cross(const Checkpoint& checkpoint) {
  return accepts_prefix(checkpoint) || has_cross_attention(checkpoint);
}

std::vector<std::string_view> bundles_for(const Checkpoint& checkpoint) {
  std::vector<std::string_view> taking;
  for (const Bundle* row : kBundles) {
    if (row->accepts(checkpoint)) {
      taking.push_back(row->name);
    }
  }
  return taking;
}

const Bundle& bundle_for(std::string_view name, const Checkpoint& checkpoint) {
  const std::vector<std::string_view> taking = bundles_for(checkpoint);
  if (name.empty() && !taking.empty()) {
    return bundle(taking[0]);
  }
  if (std::ranges::find(taking, name) != taking.end()) {
    return bundle(name);
  }
  if (!name.empty()) {
    bundle(name);  // throws where it is unknown
  }
  if (checkpoint.composite == nullptr) {
    fail(ErrorCode::kMismatch,
         "{}: is a {} alone, a vision-language checkpoint is needed (vision tower, projection, "
         "decoder); `lorapress merge` takes it, or pass options.base DIR with the rest",
         checkpoint.folder.string(),
         checkpoint.text ? "decoder" : "vision tower");
  }
  fail(ErrorCode::kUnsupported,
       "{}: bundle \"{}\" does not take a {} model; pass options.bundle {}",
       checkpoint.folder.string(),
       name,
       checkpoint.composite->model_type,
       fmt::join(taking, " or "));
}

std::span<const Bundle* const> bundles() {
  return kBundles;
}

}  // namespace lorapress
