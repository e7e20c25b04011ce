// What macOS alone has of base/system.h.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <mach-o/dyld.h>
#include <sys/mount.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include "base/system.h"

namespace lorapress::sys {

namespace fs = std::filesystem;

// On a file system that allocates nothing beforehand only the size is set.
int reserve(int file, uint64_t size) {
  const auto length = static_cast<off_t>(size);
  fstore_t store{F_ALLOCATEALL, F_PEOFPOSMODE, 0, length, 0};
  if (size != 0 && ::fcntl(file, F_PREALLOCATE, &store) == -1 && is_disk_full(errno)) {
    return errno;
  }
  return ::ftruncate(file, length) == 0 ? 0 : errno;
}

// There is no call for a part of a file.
int64_t copy_inside(int /*from*/,
                    uint64_t /*from_offset*/,
                    int /*to*/,
                    uint64_t /*to_offset*/,
                    uint64_t /*count*/) {
  errno = ENOTSUP;
  return -1;
}

bool is_shared(int file) {
  struct statfs info{};
  return ::fstatfs(file, &info) != 0 || (info.f_flags & MNT_LOCAL) == 0;
}

bool exchange_names(const fs::path& one, const fs::path& other) {
  return ::renameatx_np(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_SWAP) == 0;
}

fs::path program_path() {
  std::array<char, MAXPATHLEN> path{};
  auto size = static_cast<uint32_t>(path.size());
  if (::_NSGetExecutablePath(path.data(), &size) != 0) {
    return {};
  }
  std::error_code unknown;
  return fs::canonical(path.data(), unknown);  // the path may be a link, as of a package manager
}

uint64_t peak_memory() {
  rusage usage{};
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<uint64_t>(usage.ru_maxrss) : 0;
}

std::string processor_name() {
  std::array<char, 256> name{};
  size_t size = name.size() - 1;
  return ::sysctlbyname("machdep.cpu.brand_string", name.data(), &size, nullptr, 0) == 0
             ? name.data()
             : "";
}

}  // namespace lorapress::sys
