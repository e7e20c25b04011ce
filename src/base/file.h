// Files: reads and writes at offsets, and outputs that appear whole or not at all.
#ifndef LORAPRESS_BASE_FILE_H_
#define LORAPRESS_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/error.h"

#include "base/staging_folder.h"

namespace lorapress {

// Throws std::filesystem's exception as an Error that names the path.
[[noreturn]] void fail_file(const std::filesystem::filesystem_error& error);

// Runs `work` with std::filesystem's exceptions turned into Error; for the public calls, which
// throw nothing but Error.
template <typename Work>
auto with_file_errors(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::filesystem::filesystem_error& error) {
    fail_file(error);
  }
}

// An open file for reading. Thread safe: reads carry their own position.
class InputFile {
 public:
  // Throws kNotFound or kIo. A folder, a pipe or a device is refused.
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // Fills all of `out`; a file that ends before that is kInvalidFile.
  void read_at(uint64_t offset, std::span<std::byte> out) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// A new file written at any position, from any thread.
class OutputFile {
 public:
  // Creates the file and sets its size; throws kIo (also for a full disk) and kExists.
  OutputFile(std::filesystem::path path, uint64_t size);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  // Copies inside the kernel where the file system can, else through a buffer.
  void copy_from(const InputFile& source, uint64_t from, uint64_t to, uint64_t count);
  // Throws kIo for write errors that the system reports only at close(); the destructor would
  // ignore them.
  void close();

 private:
  [[noreturn]] void fail_write(int error) const;
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Creates missing folders above an output. The destructor removes those that are empty, unless
// keep() was called.
class NewFolders {
 public:
  NewFolders() = default;
  ~NewFolders();
  NewFolders(const NewFolders&) = delete;
  NewFolders& operator=(const NewFolders&) = delete;
  void create(const std::filesystem::path& folder);
  void keep() { created_.clear(); }

 private:
  std::vector<std::filesystem::path> created_;  // deepest first
};
// `message` with every occurrence of `from` replaced by `to`.
std::string replaced(std::string message,
                     const std::filesystem::path& from,
                     const std::filesystem::path& to);

// The folders that an output may replace with `force`, besides empty ones.
struct Replaceable {
  bool (*test)(const std::filesystem::path& folder);
  std::string_view what;  // for messages: "a folder that ..."
};

// A folder that is built in a StagingFolder beside `target` and takes its name at commit(), in one
// step also where `target` is replaced (on file systems that can exchange two names). Without
// commit() nothing stays behind, folders made above it included, and `target` is untouched.
class StagedOutput {
 public:
  // Throws kExists when `target` exists and `force` is false. With `force` an existing target is
  // replaced only at commit(); to protect a mistyped path, only when it is an empty folder or a
  // `replaceable` one. REQUIRES: `replaceable` outlives this.
  StagedOutput(std::filesystem::path target, bool force, const Replaceable& replaceable);
  StagedOutput(const StagedOutput&) = delete;
  StagedOutput& operator=(const StagedOutput&) = delete;

  // Where to write: a folder to create files in.
  [[nodiscard]] const std::filesystem::path& folder() const { return staging_->path(); }
  // What the constructor removed of killed runs, at most one line.
  [[nodiscard]] const std::vector<std::string>& notes() const { return staging_->notes(); }
  void commit();

  // Calls work(folder()) and commits. Errors name files below `target`, where a user looks for
  // them.
  template <typename Work>
  auto fill(const Work& work) -> decltype(work(std::filesystem::path())) {
    try {
      auto result = with_file_errors([&] { return work(folder()); });
      commit();
      return result;
    } catch (const Error& error) {
      throw Error(error.code(), replaced(error.what(), folder(), target_));
    }
  }

 private:
  void rename_into_place(bool replaces);
  [[nodiscard]] bool may_be_replaced() const;

  NewFolders
      parents_;  // declared first, so that it is destroyed last: parents outlive the staging folder
  std::filesystem::path target_;
  std::optional<StagingFolder> staging_;
  bool force_ = false;
  const Replaceable& replaceable_;
};

// Whole small files; read_text refuses one larger than `limit` bytes.
std::string read_text(const std::filesystem::path& path, uint64_t limit = uint64_t{256} << 20);
void write_text(const std::filesystem::path& path, std::string_view text);
void copy_file(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace lorapress

#endif  // LORAPRESS_BASE_FILE_H_
