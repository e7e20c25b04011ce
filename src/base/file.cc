#include "base/file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <vector>

#include "base/fail.h"
#include "base/system.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

// Advice for a write error.
std::string_view hint(int error) {
  return sys::is_disk_full(error)
             ? "; free some space or choose another OUT, nothing was left behind"
             : "";
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
  descriptor_ = sys::open_file(path_, sys::OpenAs::kInput);
  if (descriptor_ < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    fail(code, "{}: cannot open: {}", path_.string(), error_text(errno));
  }
  const std::optional<sys::FileFacts> facts = sys::facts_of(descriptor_);
  if (!facts || !facts->is_regular) {
    sys::close_file(descriptor_);
    fail(ErrorCode::kInvalidFile, "{}: expected a regular file", path_.string());
  }
  size_ = facts->size;
}

InputFile::~InputFile() {
  sys::close_file(descriptor_);
}

void InputFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const int64_t got = sys::read_at(descriptor_, out.subspan(done), offset + done);
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
  descriptor_ = sys::open_file(path_, sys::OpenAs::kNew);
  if (descriptor_ < 0) {
    fail(errno == EEXIST ? ErrorCode::kExists : ErrorCode::kIo,
         "{}: cannot create: {}",
         path_.string(),
         error_text(errno));
  }
  if (const int error = sys::reserve(descriptor_, size); error != 0) {
    sys::close_file(descriptor_);
    descriptor_ = -1;
    fail_write(error);
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) {
    sys::close_file(descriptor_);
  }
}

void OutputFile::fail_write(int error) const {
  fail(ErrorCode::kIo, "{}: cannot write: {}{}", path_.string(), error_text(error), hint(error));
}

void OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const int64_t put = sys::write_at(descriptor_, bytes.subspan(done), offset + done);
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
    const int64_t moved = sys::copy_inside(source.descriptor(), from, descriptor_, to, count);
    if (moved < 0 && sys::is_disk_full(errno)) {
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
  if (!sys::close_file(descriptor)) {
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
  if (!replaces || !sys::exchange_names(staged, target_)) {
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
