#include "lorapress/families.h"

#include <algorithm>

#include "bundles/bundle.h"
#include "bundles/manifest.h"
#include "families/family.h"

namespace lorapress {
namespace {

// As much of a checkpoint as Bundle::accepts looks at; null for a part that is not there.
Checkpoint checkpoint_of(const CompositeModelType* composite,
                         const VisionFamily* vision,
                         const TextFamily* text) {
  Checkpoint checkpoint;
  checkpoint.composite = composite;
  if (vision != nullptr) {
    checkpoint.vision.emplace().model_type = vision->model_type;
  }
  if (text != nullptr) {
    checkpoint.text.emplace().model_type = text->model_type;
  }
  return checkpoint;
}

// The bundles, in the registry's order, that take one of the checkpoints.
std::vector<std::string> taken_by(const std::vector<Checkpoint>& checkpoints) {
  std::vector<std::string> names;
  for (const Bundle* bundle : bundles()) {
    if (std::ranges::any_of(checkpoints, bundle->accepts)) {
      names.emplace_back(bundle->name);
    }
  }
  return names;
}

// A checkpoint of each type, with each pair of the given parts.
std::vector<Checkpoint> pairs(std::span<const CompositeModelType* const> composites,
                              std::span<const VisionFamily* const> encoders,
                              std::span<const TextFamily* const> decoders) {
  std::vector<Checkpoint> made;
  for (const CompositeModelType* composite : composites) {
    for (const VisionFamily* vision : encoders) {
      for (const TextFamily* text : decoders) {
        made.push_back(checkpoint_of(composite, vision, text));
      }
    }
  }
  return made;
}

}  // namespace

KnownFamilies known_families() {
  KnownFamilies known;
  for (const CompositeModelType* row : composite_model_types()) {
    known.checkpoints.push_back({std::string(row->model_type),
                                 std::string(row->architecture),
                                 std::string(conditioning_name(row->conditioning)),
                                 taken_by(pairs({&row, 1}, vision_families(), text_families()))});
  }
  std::vector<const CompositeModelType*> cross;
  std::ranges::copy_if(composite_model_types(), std::back_inserter(cross), [](const auto* row) {
    return row->conditioning == Conditioning::kCross;
  });
  for (const TextFamily* row : text_families()) {
    const bool alone = row->cross != CrossAttention::kAlways;
    known.decoders.push_back(
        {std::string(row->model_type),
         std::string(row->architecture),
         std::string(alone ? kNoConditioning : conditioning_name(Conditioning::kCross)),
         alone ? taken_by({checkpoint_of(nullptr, nullptr, row)})
               : taken_by(pairs(cross, vision_families(), {&row, 1}))});
  }
  for (const VisionFamily* row : vision_families()) {
    known.encoders.push_back(
        {std::string(row->model_type),
         "",
         "",
         taken_by(pairs(composite_model_types(), {&row, 1}, text_families()))});
  }
  return known;
}

}  // namespace lorapress
