#include "base/scratch_file.h"

#include <cerrno>
#include <cstring>

#include "base/fail.h"
#include "base/system.h"

namespace lorapress {
namespace {

// Positioned reads and writes may do less than asked.
template <typename Part>
int in_parts(size_t count, const Part& part) {
  for (size_t done = 0; done < count;) {
    const int64_t now = part(done, count - done);
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
  descriptor_ = sys::open_unnamed(folder);
  if (descriptor_ < 0) {
    fail(ErrorCode::kIo,
         "{}: cannot create a temporary file: {}",
         folder.string(),
         std::strerror(errno));
  }
}

ScratchFile::~ScratchFile() {
  sys::close_file(descriptor_);
}

uint64_t ScratchFile::append(std::span<const std::byte> bytes) {
  uint64_t start = 0;
  {
    const std::lock_guard lock(mutex_);
    start = size_;
    size_ += bytes.size();
  }
  const int error = in_parts(bytes.size(), [&](size_t done, size_t left) {
    return sys::write_at(descriptor_, bytes.subspan(done, left), start + done);
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
    return sys::read_at(descriptor_, out.subspan(done, left), offset + done);
  });
  if (error != 0) {
    fail(ErrorCode::kIo,
         "{}: cannot read a temporary file: {}",
         folder_.string(),
         std::strerror(error));
  }
}

}  // namespace lorapress
