// Text files of an output folder, gathered before anything is written.
#ifndef LORAPRESS_API_FOLDER_FILES_H_
#define LORAPRESS_API_FOLDER_FILES_H_

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "lorapress/merge.h"

#include "base/file.h"

namespace lorapress {

// Relative path -> content.
using TextFiles = std::map<std::string, std::string>;

void write_text_files(const std::filesystem::path& folder, const TextFiles& files);
// Refuses an OUT that is, or holds, a folder that was read: --force would delete it.
void protect_sources(const std::filesystem::path& out,
                     const std::vector<std::filesystem::path>& sources);
// The key that merge() writes into config.json; its value is "lorapress <version>".
inline constexpr const char* kMergedBy = "merged_by";
// Folders that LoraPress wrote: they hold lorapress.json, or kMergedBy in their config.json. Any
// other config.json belongs to somebody's model.
extern const Replaceable kOwnFolders;

// Every file below `folder`, sorted by path.
std::vector<OutputFileInfo> list_files(const std::filesystem::path& folder);

}  // namespace lorapress

#endif  // LORAPRESS_API_FOLDER_FILES_H_
