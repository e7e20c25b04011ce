// A file and the files that belong beside it, such as a model and its external data: either all
// appear at the end, or none.
#ifndef LORAPRESS_BASE_STAGED_FILES_H_
#define LORAPRESS_BASE_STAGED_FILES_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace lorapress {

// The files are built in a hidden folder beside `target` under their final names; commit() moves
// them, `target` last. Without commit() nothing stays behind.
class StagedFiles {
 public:
  // Throws kExists when `target` exists and is no file, or `force` is false.
  StagedFiles(std::filesystem::path target, bool force);
  StagedFiles(const StagedFiles&) = delete;
  StagedFiles& operator=(const StagedFiles&) = delete;

  // Where to write the target; other files go into the same folder.
  [[nodiscard]] std::filesystem::path path() const { return staging_->path() / target_.filename(); }
  // The final path of a file of this name. Throws kExists, like the constructor, when the file must
  // not be replaced.
  [[nodiscard]] std::filesystem::path place(const std::filesystem::path& name) const;
  // What the constructor removed of killed runs, at most one line.
  [[nodiscard]] const std::vector<std::string>& notes() const { return staging_->notes(); }
  void commit();

  // Calls work(path()) and commits. Errors name files where a user looks for them.
  template <typename Work>
  auto fill(const Work& work) -> decltype(work(std::filesystem::path())) {
    try {
      auto result = with_file_errors([&] { return work(path()); });
      commit();
      return result;
    } catch (const Error& error) {
      throw Error(error.code(), replaced(error.what(), staging_->path(), target_.parent_path()));
    }
  }

 private:
  NewFolders parents_;
  std::filesystem::path target_;  // absolute
  std::optional<StagingFolder> staging_;
  bool force_ = false;
};

}  // namespace lorapress

#endif  // LORAPRESS_BASE_STAGED_FILES_H_
