#include "base/scratch_file.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "base/fail.h"

namespace lorapress {
namespace {

// Positioned reads and writes may do less than asked.
template <typename Part>
int in_parts(size_t count, const Part& part) {
  for (size_t done = 0; done < count;) {
    const ssize_t now = part(done, count - done);
    if (now < 0 && errno == EINTR) {
      continue;
    }
    if (now <= 0) {
      return now < 0 ? errno : EIO;
    }
    done += static_cast<size_t>(now);
  }
  return 0;
}

}  // namespace

ScratchFile::ScratchFile(const std::filesystem::path& folder) : folder_(folder) {
  std::string name = (folder / ".scratch-XXXXXX").string();
  descriptor_ = mkstemp(name.data());
  if (descriptor_ < 0) {
    fail(ErrorCode::kIo,
         "{}: cannot create a temporary file: {}",
         folder.string(),
         std::strerror(errno));
  }
  unlink(name.c_str());
}

ScratchFile::~ScratchFile() {
  close(descriptor_);
}

uint64_t ScratchFile::append(std::span<const std::byte> bytes) {
  uint64_t start = 0;
  {
    const std::lock_guard lock(mutex_);
    start = size_;
    size_ += bytes.size();
  }
  const int error = in_parts(bytes.size(), [&](size_t done, size_t left) {
    return pwrite(descriptor_, bytes.data() + done, left, static_cast<off_t>(start + done));
  });
  if (error != 0) {
    fail(ErrorCode::kIo,
         "{}: cannot write a temporary file: {}",
         folder_.string(),
         std::strerror(error));
  }
  return start;
}

void ScratchFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  const int error = in_parts(out.size(), [&](size_t done, size_t left) {
    return pread(descriptor_, out.data() + done, left, static_cast<off_t>(offset + done));
  });
  if (error != 0) {
    fail(ErrorCode::kIo,
         "{}: cannot read a temporary file: {}",
         folder_.string(),
         std::strerror(error));
  }
}

}  // namespace lorapress
