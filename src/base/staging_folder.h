// The hidden folder beside an output, in which the output is built, and the removal of such folders
// that killed runs left.
//
//   .OUT.part-a1b2c3        the folder
//   .OUT.part-a1b2c3.lock   beside it: its writer holds an flock() on it for as long as it lives
//   .OUT.part-a1b2c3.old    the OUT before, while the new one takes its name (see StagedOutput)
//
// The lock file is created before the folder and removed after it, so a folder without a lock file
// has no writer.
#ifndef LORAPRESS_BASE_STAGING_FOLDER_H_
#define LORAPRESS_BASE_STAGING_FOLDER_H_

#include <filesystem>
#include <string>
#include <vector>

namespace lorapress {

class StagingFolder {
 public:
  // First removes the folders for the same `target` that no living process holds: those whose lock
  // is free or absent. Where locks do not work, or another machine made the lock on a network file
  // system, the state is unknown, and the folder stays. Then makes a new folder. Throws kIo.
  // REQUIRES: the folder above `target` exists.
  explicit StagingFolder(const std::filesystem::path& target);
  // Removes whatever has the folder's name now, and the lock file.
  ~StagingFolder();
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // What the constructor removed, at most one line.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::filesystem::path path_;
  int lock_ = -1;
  std::vector<std::string> notes_;
};

}  // namespace lorapress

#endif  // LORAPRESS_BASE_STAGING_FOLDER_H_
