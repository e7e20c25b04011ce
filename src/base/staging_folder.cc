#include "base/staging_folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <system_error>
#include <unistd.h>

#include "base/fail.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLock = ".lock";
constexpr std::string_view kOld = ".old";
constexpr size_t kMostLetters = 200;  // of a name's 255, which leaves room for the suffixes
constexpr size_t kRandomLetters = 6;

std::string prefix_of(const fs::path& target) {
  return "." + target.filename().string().substr(0, kMostLetters) + ".part-";
}

std::string machine_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

// Network file systems, by statfs(2)'s f_type: NFS, SMB and CIFS, FUSE (sshfs), Ceph, 9P, AFS,
// Lustre, GPFS, BeeGFS. Some keep locks to the machine that took them.
bool is_shared(int descriptor) {
  constexpr std::array<uint32_t, 11> kShared = {0x6969,
                                                0x517B,
                                                0xFF534D42,
                                                0xFE534D42,
                                                0x65735546,
                                                0x00C36400,
                                                0x01021997,
                                                0x5346414F,
                                                0x0BD00BD0,
                                                0x47504653,
                                                0x19830326};
  struct statfs info{};
  return ::fstatfs(descriptor, &info) != 0 ||
         std::ranges::find(kShared, static_cast<uint32_t>(info.f_type)) != kShared.end();
}

// Whether the file still has its name: it may have been removed between open() and flock().
bool is_linked(int descriptor) {
  struct stat info{};
  return ::fstat(descriptor, &info) == 0 && info.st_nlink > 0;
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) {
      ::close(value_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

// True when the writer of the lock in this open file is gone; the lock is then held here.
bool take_dead_lock(int descriptor) {
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return false;  // the writer lives, or locks do not work here
  }
  if (!is_shared(descriptor)) {
    return true;
  }
  std::array<char, 256> text{};
  const ssize_t length = ::pread(descriptor, text.data(), text.size(), 0);
  const std::string machine = machine_name();
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
    constexpr std::string_view kLetters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return name.size() == prefix_.size() + kRandomLetters && name.starts_with(prefix_) &&
           name.find_first_not_of(kLetters, prefix_.size()) == std::string_view::npos;
  }

  void sweep(const std::string& stem) {
    const fs::path folder = target_.parent_path() / stem;
    const std::string lock = folder.string() + std::string(kLock);
    const Descriptor file(::open(lock.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (file.get() < 0 ? errno != ENOENT : !take_dead_lock(file.get())) {
      return;
    }
    put_back(folder.string() + std::string(kOld));
    remove(folder);
    if (file.get() >= 0) {
      ::unlink(lock.c_str());
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

// A new lock file with its lock held; `name` gets six letters in the place of XXXXXX. Returns its
// descriptor, or -1 and errno.
int make_lock(std::string& name) {
  const std::string pattern = name;
  while (true) {
    name = pattern;
    Descriptor file(::mkostemps(name.data(), static_cast<int>(kLock.size()), O_CLOEXEC));
    if (file.get() < 0) {
      return -1;
    }
    // Another run may have taken the new file for a dead one's, which shows as a lock that is held
    // or a file without a name. Where locks do not work at all, no run removes any folder.
    const bool ours = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (ours && is_linked(file.get())) {
      const std::string machine = machine_name();
      static_cast<void>(!::write(file.get(), machine.data(), machine.size()));
      return file.release();
    }
    ::unlink(name.c_str());
  }
}

}  // namespace

StagingFolder::StagingFolder(const fs::path& target) {
  const fs::path absolute = fs::absolute(target);
  Sweep sweep(absolute);
  sweep.run();
  notes_ = sweep.notes();
  const fs::path parent = absolute.parent_path();
  std::string lock = (parent / (prefix_of(target) + "XXXXXX" + std::string(kLock))).string();
  Descriptor file(make_lock(lock));
  path_ = lock.substr(0, lock.size() - kLock.size());
  if (file.get() < 0 || ::mkdir(path_.c_str(), 0700) != 0) {
    const int error = errno;
    if (file.get() >= 0) {
      ::unlink(lock.c_str());
    }
    fail(ErrorCode::kIo, "{}: cannot create a folder: {}", parent.string(), error_text(error));
  }
  ::chmod(path_.c_str(), 0755);
  lock_ = file.release();
}

StagingFolder::~StagingFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  ::unlink((path_.string() + std::string(kLock)).c_str());
  ::close(lock_);
}

}  // namespace lorapress
