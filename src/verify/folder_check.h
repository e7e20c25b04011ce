// Compares a folder's metadata with the checkpoint: shapes, preprocessing, tokens.
#ifndef LORAPRESS_VERIFY_FOLDER_CHECK_H_
#define LORAPRESS_VERIFY_FOLDER_CHECK_H_

#include <filesystem>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/preprocessing.h"
#include "checkpoint/tokenizer_files.h"

namespace lorapress {

struct FolderCheck {
  Preprocessing preprocessing;    // the checkpoint's own
  TokenizerFiles files;           // the checkpoint's own
  GenerationSettings generation;  // the checkpoint's own, without lengths
  std::vector<std::string> faults;
  std::vector<std::string> notes;
};

// Throws kMismatch where shapes differ, since then nothing can be compared. Constants that differ
// (mean, std, rescale, filter, end tokens, generation settings) are faults.
FolderCheck check_folder(const std::filesystem::path& folder,
                         const Manifest& manifest,
                         const Checkpoint& checkpoint);

// Every setting of `found` that is not `expected`, as "image_mean is [0.5, ...], expected [...]".
std::vector<std::string> differing_settings(const Preprocessing& found,
                                            const Preprocessing& expected);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_FOLDER_CHECK_H_
