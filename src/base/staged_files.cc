#include "base/staged_files.h"

#include <algorithm>
#include <vector>

#include "base/fail.h"

namespace lorapress {

namespace fs = std::filesystem;

namespace {

void check_free(const fs::path& file, bool force) {
  const fs::file_status status = fs::symlink_status(file);
  if (!fs::exists(status)) {
    return;
  }
  if (!fs::is_regular_file(status) && !fs::is_symlink(status)) {
    fail(ErrorCode::kExists, "{}: exists and is no file; choose another OUT", file.string());
  }
  if (!force) {
    fail(ErrorCode::kExists,
         "{}: exists already; pass options.force to replace it, or another OUT",
         file.string());
  }
}

}  // namespace

StagedFiles::StagedFiles(fs::path target, bool force) : target_(std::move(target)), force_(force) {
  if (!target_.has_filename() || target_.filename() == "." || target_.filename() == "..") {
    fail(ErrorCode::kInvalidArgument,
         "OUT \"{}\" is no name of a file, expected one to write",
         target_.string());
  }
  check_free(target_, force_);
  target_ = fs::absolute(target_);
  parents_.create(target_.parent_path());
  staging_.emplace(target_);
}

fs::path StagedFiles::place(const fs::path& name) const {
  fs::path file = target_.parent_path() / name.filename();
  check_free(file, force_);
  return file;
}

void StagedFiles::commit() {
  std::vector<fs::path> names;
  for (const auto& entry : fs::directory_iterator(staging_->path())) {
    names.push_back(entry.path().filename());
  }
  std::ranges::sort(names, {}, [&](const fs::path& name) {
    return std::pair(name == target_.filename(), name);  // the target last
  });
  const fs::path folder = target_.parent_path();
  std::vector<fs::path> made;
  for (const fs::path& name : names) {
    check_free(folder / name, force_);
  }
  for (const fs::path& name : names) {
    const bool replaces = fs::exists(fs::symlink_status(folder / name));
    std::error_code error;
    fs::rename(staging_->path() / name, folder / name, error);
    if (error) {
      const std::string why = error.message();
      for (const fs::path& file : made) {
        fs::remove(file, error);
      }
      fail(ErrorCode::kIo,
           "{}: cannot rename the finished output: {}",
           (folder / name).string(),
           why);
    }
    if (!replaces) {
      made.push_back(folder / name);
    }
  }
  parents_.keep();
}

}  // namespace lorapress
