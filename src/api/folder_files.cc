#include "api/folder_files.h"

#include <algorithm>

#include "base/fail.h"
#include "base/file.h"

namespace lorapress {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kMaxConfig = uint64_t{32} << 20;

bool is_own(const fs::path& folder) {
  const fs::path config = folder / "config.json";
  return fs::exists(folder / "lorapress.json") ||
         (fs::is_regular_file(config) && fs::file_size(config) <= kMaxConfig &&
          read_text(config).find(fmt::format("\"{}\": \"lorapress ", kMergedBy)) !=
              std::string::npos);
}

}  // namespace

const Replaceable kOwnFolders{
    is_own, "one that LoraPress wrote (with lorapress.json, or merged_by in config.json)"};

void write_text_files(const fs::path& folder, const TextFiles& files) {
  for (const auto& [name, content] : files) {
    fs::create_directories((folder / name).parent_path());
    write_text(folder / name, content);
  }
}

void protect_sources(const fs::path& out, const std::vector<fs::path>& sources) {
  const fs::path target = out.empty() ? out : fs::weakly_canonical(out);
  if (target.relative_path().empty()) {
    return;  // "" and "/" name no folder; StagedOutput reports that
  }
  for (const fs::path& source : sources) {
    const fs::path inside = fs::weakly_canonical(source).lexically_relative(target);
    if (!inside.empty() && *inside.begin() != "..") {
      fail(ErrorCode::kInvalidArgument,
           "{}: is or holds {}, which is read; choose another OUT",
           out.string(),
           source.string());
    }
  }
}

std::vector<OutputFileInfo> list_files(const fs::path& folder) {
  std::vector<OutputFileInfo> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files.push_back(
          {entry.path().lexically_relative(folder).generic_string(), entry.file_size()});
    }
  }
  std::ranges::sort(files, {}, &OutputFileInfo::path);
  return files;
}

}  // namespace lorapress
