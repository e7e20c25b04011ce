// What Linux alone has of base/system.h.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <string_view>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/system.h"

namespace lorapress::sys {
namespace {

namespace fs = std::filesystem;

// The text after `key` and a colon in the first such line of a file in /proc.
std::string system_value(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string::npos) {
      const size_t from = line.find_first_not_of(" \t", colon + 1);
      return from == std::string::npos ? std::string() : line.substr(from);
    }
  }
  return {};
}

}  // namespace

// On a file system without fallocate only the size is set.
int reserve(int file, uint64_t size) {
  const auto length = static_cast<off_t>(size);
  if (size != 0 && ::fallocate(file, 0, 0, length) == 0) {
    return 0;
  }
  if (size != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR) {
    return errno;
  }
  return ::ftruncate(file, length) == 0 ? 0 : errno;
}

int64_t copy_inside(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t count) {
  auto in = static_cast<off64_t>(from_offset);
  auto out = static_cast<off64_t>(to_offset);
  return ::copy_file_range(from, &in, to, &out, static_cast<size_t>(count), 0);
}

// By statfs(2)'s f_type: NFS, SMB and CIFS, FUSE (sshfs), Ceph, 9P, AFS, Lustre, GPFS, BeeGFS. Some keep locks to the machine
// that took them.
bool is_shared(int file) {
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
  return ::fstatfs(file, &info) != 0 ||
         std::ranges::find(kShared, static_cast<uint32_t>(info.f_type)) != kShared.end();
}

bool exchange_names(const fs::path& one, const fs::path& other) {
  return ::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0;
}

fs::path program_path() {
  std::error_code unknown;
  return fs::read_symlink("/proc/self/exe", unknown);
}

// VmHWM and not getrusage(), which counts the process that this one was forked from.
uint64_t peak_memory() {
  const std::string kilobytes = system_value("/proc/self/status", "VmHWM");
  uint64_t value = 0;
  std::from_chars(kilobytes.data(), kilobytes.data() + kilobytes.size(), value);
  return value * 1024;
}

std::string processor_name() {
  return system_value("/proc/cpuinfo", "model name");
}

}  // namespace lorapress::sys
