#include "base/file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "base/fail.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

// Sets the file's size and allocates its blocks, so that a full disk is detected before the work
// and every write is a fifth cheaper (ext4: one allocation instead of one per folio). Returns errno
// or 0. On a file system without fallocate only the size is set.
int reserve(int descriptor, uint64_t size) {
  const auto length = static_cast<off_t>(size);
  if (size != 0 && ::fallocate(descriptor, 0, 0, length) == 0) {
    return 0;
  }
  if (size != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR) {
    return errno;
  }
  return ::ftruncate(descriptor, length) == 0 ? 0 : errno;
}

// Advice for a write error.
std::string_view hint(int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return full ? "; free some space or choose another OUT, nothing was left behind" : "";
}

// "out/" and "dir/." name folders that cannot be renamed as spelled.
fs::path checked_target(fs::path target) {
  if (target.empty()) {
    fail(ErrorCode::kInvalidArgument, "OUT is empty, expected the name of a folder to write");
  }
  if (!target.has_filename()) {
    target = target.parent_path();
  }
  if (target.filename() == "." || target.filename() == "..") {
    target = fs::weakly_canonical(target);
  }
  if (!target.has_filename()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: is the root of the file system, expected the name of a folder to write",
         target.string());
  }
  return target;
}

}  // namespace

void fail_file(const fs::filesystem_error& error) {
  fail(error.code() == std::errc::no_such_file_or_directory ? ErrorCode::kNotFound : ErrorCode::kIo,
       "{}: cannot access: {}{}",
       error.path1().string(),
       error.code().message(),
       hint(error.code().value()));
}

InputFile::InputFile(fs::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    fail(code, "{}: cannot open: {}", path_.string(), error_text(errno));
  }
  struct stat info{};
  if (::fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    fail(ErrorCode::kInvalidFile, "{}: expected a regular file", path_.string());
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

InputFile::~InputFile() {
  ::close(descriptor_);
}

void InputFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(
        descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      fail(ErrorCode::kIo,
           "{}: cannot read at byte {}: {}",
           path_.string(),
           offset + done,
           error_text(errno));
    }
    if (got == 0) {
      fail(ErrorCode::kInvalidFile,
           "{}: ends at byte {}, expected {} more; was it changed while it was read?",
           path_.string(),
           offset + done,
           out.size() - done);
    }
    done += static_cast<size_t>(got);
  }
}

OutputFile::OutputFile(fs::path path, uint64_t size) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    fail(errno == EEXIST ? ErrorCode::kExists : ErrorCode::kIo,
         "{}: cannot create: {}",
         path_.string(),
         error_text(errno));
  }
  if (const int error = reserve(descriptor_, size); error != 0) {
    ::close(descriptor_);
    descriptor_ = -1;
    fail_write(error);
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

void OutputFile::fail_write(int error) const {
  fail(ErrorCode::kIo, "{}: cannot write: {}{}", path_.string(), error_text(error), hint(error));
}

void OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::pwrite(
        descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put <= 0) {
      fail_write(put == 0 ? EIO : errno);
    }
    done += static_cast<size_t>(put);
  }
}

void OutputFile::copy_from(const InputFile& source, uint64_t from, uint64_t to, uint64_t count) {
  while (count > 0) {
    auto in = static_cast<off64_t>(from);
    auto out = static_cast<off64_t>(to);
    const ssize_t moved = ::copy_file_range(
        source.descriptor(), &in, descriptor_, &out, static_cast<size_t>(count), 0);
    if (moved < 0 && (errno == ENOSPC || errno == EDQUOT)) {
      fail_write(errno);
    }
    if (moved <= 0) {
      break;  // another file system, an old kernel, or a short source: the buffered way decides
    }
    from += static_cast<uint64_t>(moved);
    to += static_cast<uint64_t>(moved);
    count -= static_cast<uint64_t>(moved);
  }
  std::vector<std::byte> buffer(static_cast<size_t>(std::min<uint64_t>(count, 1U << 20)));
  while (count > 0) {
    const size_t step = static_cast<size_t>(std::min<uint64_t>(count, buffer.size()));
    source.read_at(from, std::span(buffer).first(step));
    write_at(to, std::span(buffer).first(step));
    from += step;
    to += step;
    count -= step;
  }
}

void OutputFile::close() {
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0) {
    fail_write(errno);
  }
}

StagedOutput::StagedOutput(fs::path target, bool force, const Replaceable& replaceable)
    : target_(checked_target(target)), force_(force), replaceable_(replaceable) {
  if (fs::exists(fs::symlink_status(target_))) {
    if (!force) {
      fail(ErrorCode::kExists,
           "{}: exists already; pass options.force to replace it, or another OUT",
           target_.string());
    }
    if (!may_be_replaced()) {
      fail(
          ErrorCode::kExists,
          "{}: options.force replaces only an empty folder or {}; remove it yourself if you mean it",
          target_.string(),
          replaceable_.what);
    }
  }
  parents_.create(fs::absolute(target_).parent_path());
  staging_.emplace(target_);
}

void NewFolders::create(const fs::path& folder) {
  for (fs::path missing = folder; !missing.empty() && !fs::exists(missing);
       missing = missing.parent_path()) {
    created_.push_back(missing);
  }
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    fail(ErrorCode::kIo, "{}: cannot create the folder: {}", folder.string(), error.message());
  }
}

NewFolders::~NewFolders() {
  std::error_code ignored;
  for (const fs::path& folder : created_) {
    fs::remove(folder, ignored);  // only while it is empty
  }
}

std::string replaced(std::string message, const fs::path& from, const fs::path& to) {
  const std::string old = from.string();
  for (size_t at = message.find(old); at != std::string::npos; at = message.find(old, at)) {
    message.replace(at, old.size(), to.string());
    at += to.string().size();
  }
  return message;
}

bool StagedOutput::may_be_replaced() const {
  return fs::is_directory(target_) && (fs::is_empty(target_) || replaceable_.test(target_));
}

void StagedOutput::commit() {
  const fs::path& staged = staging_->path();
  std::error_code error;
  const bool replaces = fs::exists(fs::symlink_status(target_, error));
  if (replaces && (!force_ || !may_be_replaced())) {
    fail(ErrorCode::kExists,
         "{}: appeared while this ran and is kept; choose another OUT",
         target_.string());
  }
  // A replaced target then has the staging folder's name and is removed with it.
  if (!replaces ||
      ::renameat2(AT_FDCWD, staged.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) != 0) {
    rename_into_place(replaces);
  }
  parents_.keep();
}

// Replaces in two steps where a target exists. A run that is killed between the steps leaves the
// old target under another name, and the next run restores it.
void StagedOutput::rename_into_place(bool replaces) {
  const fs::path& staged = staging_->path();
  std::error_code error;
  fs::path old = staged;
  old += ".old";
  if (replaces) {
    fs::rename(target_, old, error);
    if (error) {
      fail(ErrorCode::kIo, "{}: cannot replace: {}", target_.string(), error.message());
    }
  }
  fs::rename(staged, target_, error);
  if (error) {
    const std::string why = error.message();
    if (replaces) {
      fs::rename(old, target_, error);
    }
    fail(ErrorCode::kIo, "{}: cannot rename the finished output: {}", target_.string(), why);
  }
  if (replaces) {
    fs::remove_all(old, error);
  }
}

std::string read_text(const fs::path& path, uint64_t limit) {
  const InputFile file(path);
  if (file.size() > limit) {
    fail(ErrorCode::kInvalidFile,
         "{}: {} bytes, expected at most {}",
         path.string(),
         file.size(),
         limit);
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void write_text(const fs::path& path, std::string_view text) {
  OutputFile file(path, 0);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.close();
}

void copy_file(const fs::path& from, const fs::path& to) {
  const InputFile source(from);
  OutputFile file(to, 0);
  file.copy_from(source, 0, 0, source.size());
  file.close();
}

}  // namespace lorapress
