// Finds the folders that make up a source, and configs that a checkpoint does not include.
#ifndef LORAPRESS_CHECKPOINT_RESOLVE_H_
#define LORAPRESS_CHECKPOINT_RESOLVE_H_

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/names.h"

namespace lorapress {

struct ModelFolder {
  std::filesystem::path path;
  Layout layout = Layout::kComposite;
  const CompositeModelType* composite = nullptr;  // of kComposite
  Json config;
  bool has_tensors = true;
};

struct ResolvedSource {
  std::vector<ModelFolder> models;  // the checkpoint first, then bases: earlier ones win
  std::vector<AdapterSource> adapters;
};

// Classifies the folders by their config.json. Throws kNotFound, kUnsupported (lists the known
// architectures).
ResolvedSource resolve_source(const Source& source);

// Fills vision, text, projection and their JSON from the folders, the local Hugging Face cache and
// the table of known models, in that order; notes where a config came from.
void resolve_configs(const ResolvedSource& source, Checkpoint& checkpoint);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_RESOLVE_H_
