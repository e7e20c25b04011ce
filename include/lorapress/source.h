// What to read: a checkpoint, adapters to merge into it, and folders for the parts that it does not
// include.
#ifndef LORAPRESS_SOURCE_H_
#define LORAPRESS_SOURCE_H_

#include <filesystem>
#include <vector>

namespace lorapress {

struct AdapterSource {
  std::filesystem::path folder;  // adapter_config.json + adapter_model.safetensors, as PEFT saves
  double weight = 1.0;           // scales the adapter's delta, as PEFT's set_scale
};

struct Source {
  // A trainer's folder (everything in one file, PEFT names), a plain Hugging Face decoder, or a
  // PEFT adapter folder whose base is given below.
  std::filesystem::path checkpoint;
  std::vector<AdapterSource> adapters;
  // Folders that supply configs and tensors the checkpoint does not have.
  std::vector<std::filesystem::path> bases;
};

}  // namespace lorapress

#endif  // LORAPRESS_SOURCE_H_
