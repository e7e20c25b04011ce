// What Linux and macOS share of base/system.h.
#include <array>
#include <cerrno>
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/system.h"

namespace lorapress::sys {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kFileMode = 0644;
constexpr mode_t kFolderMode = 0755;

int flags_of(OpenAs as) {
  switch (as) {
    case OpenAs::kInput:
      return O_RDONLY | O_NONBLOCK;
    case OpenAs::kNew:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenAs::kExisting:
      return O_RDWR | O_NOFOLLOW | O_NONBLOCK;
    case OpenAs::kEither:
      return O_RDWR | O_CREAT;
    case OpenAs::kLog:
      return O_RDWR | O_APPEND | O_NONBLOCK;
    case OpenAs::kNewLog:
      return O_RDWR | O_APPEND | O_NONBLOCK | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

}  // namespace

int open_file(const fs::path& path, OpenAs as) {
  const int file = ::open(path.c_str(), flags_of(as) | O_CLOEXEC, kFileMode);
  if (file >= 0 && (as == OpenAs::kLog || as == OpenAs::kNewLog)) {
    ::fcntl(file, F_SETFL, O_APPEND);  // only opening must not wait
  }
  return file;
}

int open_unnamed(const fs::path& folder) {
  std::string name = (folder / ".scratch-XXXXXX").string();
  const int file = ::mkstemp(name.data());
  if (file >= 0) {
    ::fcntl(file, F_SETFD, FD_CLOEXEC);
    ::unlink(name.c_str());
  }
  return file;
}

bool close_file(int file) {
  return ::close(file) == 0;
}

int64_t read_at(int file, std::span<std::byte> out, uint64_t offset) {
  return ::pread(file, out.data(), out.size(), static_cast<off_t>(offset));
}

int64_t write_at(int file, std::span<const std::byte> bytes, uint64_t offset) {
  return ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
}

int64_t append(int file, std::span<const std::byte> bytes) {
  return ::write(file, bytes.data(), bytes.size());
}

std::optional<FileFacts> facts_of(int file) {
  struct stat info{};
  if (::fstat(file, &info) != 0) {
    return std::nullopt;
  }
  return FileFacts{S_ISREG(info.st_mode), static_cast<uint64_t>(info.st_size), info.st_nlink > 0};
}

bool resize_file(int file, uint64_t size) {
  return ::ftruncate(file, static_cast<off_t>(size)) == 0;
}

bool is_disk_full(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

bool try_lock(int file) {
  return ::flock(file, LOCK_EX | LOCK_NB) == 0;
}

bool wait_lock(int file) {
  int result = 0;
  do {
    result = ::flock(file, LOCK_EX);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

std::string machine_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

int process_id() {
  return ::getpid();
}

fs::path home_folder() {
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : home;
}

bool make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), S_IRWXU) != 0) {
    return false;
  }
  ::chmod(path.c_str(), kFolderMode);  // whatever the umask
  return true;
}

fs::path make_private_folder() {
  std::string name = (fs::temp_directory_path() / "lorapress-XXXXXX").string();
  return ::mkdtemp(name.data()) == nullptr ? fs::path() : fs::path(name);
}

std::optional<std::pair<uint64_t, uint64_t>> identity_of(const fs::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    return std::nullopt;
  }
  return std::pair(static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino));
}

void* open_library(const std::string& name, std::string& why) {
  void* library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    why = ::dlerror();
  }
  return library;
}

void* library_symbol(void* library, const char* name) {
  return ::dlsym(library, name);
}

}  // namespace lorapress::sys
