#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "serve/served_folder.h"

namespace lorapress {
namespace {

#if defined(__APPLE__)
constexpr int kOpenPlace = O_RDONLY | O_NONBLOCK;  // a pipe does not block
constexpr int kOpenFolder = O_RDONLY;

std::string real_place(int descriptor) {
  std::array<char, PATH_MAX> place{};
  return ::fcntl(descriptor, F_GETPATH, place.data()) == 0 ? place.data() : "";
}

sys::Descriptor readable(sys::Descriptor place) {
  return place;
}

timespec changed_at(const struct stat& info) {
  return info.st_mtimespec;
}
#else
// O_PATH does not open the content: a pipe does not block, a device is not touched.
constexpr int kOpenPlace = O_PATH;
constexpr int kOpenFolder = O_PATH;

std::string proc_name(int descriptor) {
  return fmt::format("/proc/self/fd/{}", descriptor);
}

// The path of an open descriptor's file now, all links resolved; empty where unknown.
std::string real_place(int descriptor) {
  std::string place(PATH_MAX, '\0');
  const ssize_t length = readlink(proc_name(descriptor).c_str(), place.data(), place.size());
  if (length <= 0 || static_cast<size_t>(length) == place.size()) {
    return {};
  }
  place.resize(static_cast<size_t>(length));
  return place;
}

sys::Descriptor readable(const sys::Descriptor& place) {
  return sys::Descriptor(::open(proc_name(place.get()).c_str(), O_RDONLY | O_CLOEXEC));
}

timespec changed_at(const struct stat& info) {
  return info.st_mtim;
}
#endif

bool lies_inside(const std::string& place, std::string folder) {
  if (place.empty() || folder.empty()) {
    return false;
  }
  if (place == folder) {
    return true;
  }
  if (folder != "/") {
    folder += '/';
  }
  return place.starts_with(folder);
}

std::string tag_of(const struct stat& info) {
  constexpr int64_t kNanoseconds = 1000000000;
  const timespec changed = changed_at(info);
  const int64_t time = changed.tv_sec * kNanoseconds + changed.tv_nsec;
  return etag_of(static_cast<uint64_t>(info.st_size), static_cast<uint64_t>(time));
}

}  // namespace

ServedFolder::ServedFolder(const std::filesystem::path& folder)
    : folder_(::open(folder.c_str(), kOpenFolder | O_DIRECTORY | O_CLOEXEC)) {
  if (!folder_.valid()) {
    const bool none = errno == ENOENT || errno == ENOTDIR;
    fail(none ? ErrorCode::kNotFound : ErrorCode::kIo,
         "{}: {}, expected a folder to serve",
         folder.string(),
         std::strerror(errno));
  }
  if (real_place(folder_.get()).empty()) {
    fail(ErrorCode::kIo,
         "{}: its place cannot be read from /proc/self/fd; mount /proc",
         folder.string());
  }
}

std::optional<ServedFolder::Entry> ServedFolder::open(const std::string& path) const {
  // The check concerns the opened file, so exchanging links between check and use gains nothing.
  sys::Descriptor place(
      openat(folder_.get(), path.empty() ? "." : path.c_str(), kOpenPlace | O_CLOEXEC));
  struct stat info{};
  if (!place.valid() || fstat(place.get(), &info) != 0 ||
      !lies_inside(real_place(place.get()), real_place(folder_.get()))) {
    return std::nullopt;
  }
  Entry entry;
  entry.is_folder = S_ISDIR(info.st_mode);
  if (entry.is_folder) {
    return entry;
  }
  if (!S_ISREG(info.st_mode) || path.ends_with('/')) {
    return std::nullopt;
  }
  entry.file = readable(std::move(place));
  if (!entry.file.valid() || fstat(entry.file.get(), &info) != 0) {
    return std::nullopt;
  }
  entry.size = static_cast<uint64_t>(info.st_size);
  entry.etag = tag_of(info);
  return entry;
}

}  // namespace lorapress
