// The tensors of a model folder: one safetensors file, or shards with an index.
#ifndef LORAPRESS_CHECKPOINT_FOLDER_H_
#define LORAPRESS_CHECKPOINT_FOLDER_H_

#include <filesystem>
#include <string>

#include "checkpoint/safetensors.h"

namespace lorapress {

// True where open_model_folder would find something.
bool has_model_file(const std::filesystem::path& folder);

// "; did you mean …?" where the folder is a training run's and has checkpoint-N folders, else
// empty.
std::string training_step_hint(const std::filesystem::path& folder);

// model.safetensors, model.safetensors.index.json with its shards, or pytorch's name for neither
// (then kUnsupported says how to convert). Throws kNotFound with a hint at checkpoint-N subfolders.
TensorMap open_model_folder(const std::filesystem::path& folder);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_FOLDER_H_
