// Merges adapters into a checkpoint and writes a plain one, as PEFT's merge_and_unload() does.
#ifndef LORAPRESS_MERGE_H_
#define LORAPRESS_MERGE_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lorapress/error.h"
#include "lorapress/progress.h"
#include "lorapress/source.h"

namespace lorapress {

struct MergeOptions {
  Source source;
  std::filesystem::path out;
  std::string dtype = "keep";  // keep | fp32 | fp16 | bf16
  bool force = false;
  unsigned threads = 0;  // 0: one per core, at most 4
  ProgressFn progress;
};

struct OutputFileInfo {
  std::string path;  // relative to the output folder
  uint64_t bytes = 0;
};

struct MergeReport {
  std::vector<OutputFileInfo> files;
  size_t tensors = 0;
  size_t merged = 0;  // tensors that an adapter changed
  uint64_t parameters = 0;
  std::vector<std::string> notes;
};

// Writes OUT/model.safetensors and config.json with merged names. For a vision-language checkpoint
// OUT/language_model is the decoder as a plain Hugging Face folder. The merge is computed in
// float32 and rounded once. Throws Error; OUT appears whole or not at all.
MergeReport merge(const MergeOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_MERGE_H_
