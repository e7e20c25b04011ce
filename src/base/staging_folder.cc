#include "base/staging_folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <random>
#include <string_view>
#include <system_error>

#include "base/fail.h"
#include "base/system.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLock = ".lock";
constexpr std::string_view kOld = ".old";
constexpr size_t kMostLetters = 200;  // of a name's 255, which leaves room for the suffixes
constexpr size_t kRandomLetters = 6;
constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

std::string prefix_of(const fs::path& target) {
  return "." + target.filename().string().substr(0, kMostLetters) + ".part-";
}

fs::path lock_of(fs::path folder) {
  folder += kLock;
  return folder;
}

// Whether the file still has its name: it may have been removed before it was locked.
bool is_linked(int descriptor) {
  const std::optional<sys::FileFacts> facts = sys::facts_of(descriptor);
  return facts && facts->has_name;
}

// True when the writer of the lock in this open file is gone; the lock is then held here.
bool take_dead_lock(int descriptor) {
  if (!sys::try_lock(descriptor)) {
    return false;  // the writer lives, or locks do not work here
  }
  if (!sys::is_shared(descriptor)) {
    return true;
  }
  std::array<char, 256> text{};
  const int64_t length = sys::read_at(descriptor, std::as_writable_bytes(std::span(text)), 0);
  const std::string machine = sys::machine_name();
  return length > 0 && !machine.empty() &&
         std::string_view(text.data(), static_cast<size_t>(length)) == machine;
}

uint64_t bytes_below(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(folder, error);
       !error && at != fs::recursive_directory_iterator();
       at.increment(error)) {
    std::error_code ignored;
    if (at->symlink_status(ignored).type() == fs::file_type::regular) {
      bytes += at->file_size(ignored);
    }
  }
  return bytes;
}

class Sweep {
 public:
  explicit Sweep(const fs::path& target) : target_(target), prefix_(prefix_of(target)) {}

  void run() {
    std::vector<std::string> stems;  // ".OUT.part-a1b2c3", each once
    std::error_code error;
    for (auto at = fs::directory_iterator(target_.parent_path(), error);
         !error && at != fs::directory_iterator();
         at.increment(error)) {
      std::string name = at->path().filename().string();
      for (const std::string_view ending : {kLock, kOld}) {
        if (name.ends_with(ending)) {
          name.resize(name.size() - ending.size());
        }
      }
      if (is_ours(name) && std::ranges::find(stems, name) == stems.end()) {
        stems.push_back(std::move(name));
      }
    }
    std::ranges::sort(stems);
    for (const std::string& stem : stems) {
      sweep(stem);
    }
  }

  [[nodiscard]] std::vector<std::string> notes() const {
    std::vector<std::string> notes;
    if (!removed_.empty()) {
      notes.push_back(
          fmt::format("removed what killed runs left beside {}: {}{}, {:.1f} MB",
                      target_.filename().string(),
                      removed_.front(),
                      removed_.size() == 1 ? "" : fmt::format(" and {} more", removed_.size() - 1),
                      static_cast<double>(bytes_) / 1e6));
    }
    if (restored_) {
      notes.push_back(fmt::format("a run was killed while it replaced {}; the one before is back",
                                  target_.filename().string()));
    }
    return notes;
  }

 private:
  [[nodiscard]] bool is_ours(std::string_view name) const {
    return name.size() == prefix_.size() + kRandomLetters && name.starts_with(prefix_) &&
           name.find_first_not_of(kLetters, prefix_.size()) == std::string_view::npos;
  }

  void sweep(const std::string& stem) {
    const fs::path folder = target_.parent_path() / stem;
    const std::string lock = folder.string() + std::string(kLock);
    const sys::Descriptor file(sys::open_file(lock, sys::OpenAs::kExisting));
    if (!file.valid() ? errno != ENOENT : !take_dead_lock(file.get())) {
      return;
    }
    put_back(folder.string() + std::string(kOld));
    remove(folder);
    if (file.valid()) {
      std::error_code ignored;
      fs::remove(lock, ignored);
    }
  }

  // Restores the old OUT of a run that was killed between moving it away and moving the new one in.
  void put_back(const fs::path& old) {
    std::error_code error;
    if (!fs::exists(fs::symlink_status(old, error))) {
      return;
    }
    if (fs::exists(fs::symlink_status(target_, error))) {
      remove(old);
    } else if (target_.filename().string().size() <= kMostLetters) {  // certainly of this OUT
      fs::rename(old, target_, error);
      restored_ = restored_ || !error;
    }
  }

  void remove(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    if (!fs::is_directory(status) && !fs::is_symlink(status)) {
      return;  // absent, or not made by a run
    }
    const uint64_t bytes = fs::is_directory(status) ? bytes_below(path) : 0;
    fs::remove_all(path, error);
    if (!error) {
      bytes_ += bytes;
      removed_.push_back(path.filename().string());
    }
  }

  const fs::path& target_;  // absolute
  std::string prefix_;
  std::vector<std::string> removed_;
  uint64_t bytes_ = 0;
  bool restored_ = false;
};

std::string random_letters() {
  static thread_local std::random_device source;
  std::uniform_int_distribution<size_t> place(0, kLetters.size() - 1);
  std::string letters;
  for (size_t i = 0; i < kRandomLetters; ++i) {
    letters += kLetters[place(source)];
  }
  return letters;
}

// A new lock file with its lock held, and the folder that it belongs to: `prefix` and six letters. Returns its
// descriptor, or -1 and errno.
int make_lock(const fs::path& prefix, fs::path& folder) {
  while (true) {
    folder = prefix;
    folder += random_letters();
    const fs::path name = lock_of(folder);
    sys::Descriptor file(sys::open_file(name, sys::OpenAs::kNew));
    if (!file.valid() && errno == EEXIST) {
      continue;
    }
    if (!file.valid()) {
      return -1;
    }
    // Another run may have taken the new file for a dead one's, which shows as a lock that is held
    // or a file without a name. Where locks do not work at all, no run removes any folder.
    const bool ours = sys::try_lock(file.get()) || errno != EWOULDBLOCK;
    if (ours && is_linked(file.get())) {
      const std::string machine = sys::machine_name();
      static_cast<void>(sys::write_at(file.get(), std::as_bytes(std::span(machine)), 0));
      return file.release();
    }
    std::error_code ignored;
    fs::remove(name, ignored);
  }
}

}  // namespace

StagingFolder::StagingFolder(const fs::path& target) {
  const fs::path absolute = fs::absolute(target);
  Sweep sweep(absolute);
  sweep.run();
  notes_ = sweep.notes();
  const fs::path parent = absolute.parent_path();
  lock_ = make_lock(parent / prefix_of(target), path_);
  if (lock_ < 0 || !sys::make_folder(path_)) {
    const int error = errno;
    if (lock_ >= 0) {
      std::error_code ignored;
      fs::remove(lock_of(path_), ignored);
      sys::close_file(lock_);
    }
    fail(ErrorCode::kIo, "{}: cannot create a folder: {}", parent.string(), error_text(error));
  }
}

StagingFolder::~StagingFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  fs::remove(lock_of(path_), ignored);
  sys::close_file(lock_);
}

}  // namespace lorapress
