// CaptionLog: lines are appended with one write each, so only the last line of a file can be torn.
#include <cerrno>
#include <cstring>
#include <map>
#include <string_view>

#include "lorapress/caption_files.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/system.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBegin = "{\"image\":\"";  // the beginning of every line
constexpr size_t kMostLine = size_t{16} << 20;

// The name as it is written in a line: bytes that are not UTF-8 replaced.
std::string key_of(const fs::path& image) {
  const Json text = image.generic_string();
  return Json::parse(text.dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

bool may_be_torn(std::string_view line) {
  const size_t common = std::min(line.size(), kBegin.size());
  return line.substr(0, common) == kBegin.substr(0, common);
}

}  // namespace

struct CaptionLog::Impl {
  explicit Impl(const fs::path& file);
  ~Impl() {
    const std::optional<sys::FileFacts> facts = sys::facts_of(log.get());
    if (created && facts && facts->size == 0) {
      std::error_code ignored;
      fs::remove(path, ignored);  // nothing was captioned
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void read();
  void take_line(std::string_view line, uint64_t number);
  void take_end(std::string_view rest, uint64_t offset, uint64_t number);
  void append(std::string_view text);
  [[noreturn]] void fail_system(const char* what) const {
    fail(ErrorCode::kIo, "{}: cannot {}: {}", path.string(), what, std::strerror(errno));
  }

  fs::path path;
  sys::Descriptor log;
  bool created = false;
  bool regular = false;
  std::map<std::string, Entry> entries;
};

CaptionLog::Impl::Impl(const fs::path& file) : path(file) {
  log = sys::Descriptor(sys::open_file(path, sys::OpenAs::kLog));
  if (!log.valid() && errno == ENOENT) {
    log = sys::Descriptor(sys::open_file(path, sys::OpenAs::kNewLog));
    created = log.valid();
  }
  if (!log.valid()) {
    fail_system("open");
  }
  const std::optional<sys::FileFacts> facts = sys::facts_of(log.get());
  regular = facts && facts->is_regular;
}

// In pieces: the file may be larger than memory.
void CaptionLog::Impl::read() {
  std::string pending;
  uint64_t begin = 0;  // of `pending` in the file
  uint64_t number = 1;
  std::vector<char> buffer(size_t{1} << 16);
  for (uint64_t at = 0;;) {
    const int64_t got = sys::read_at(log.get(), std::as_writable_bytes(std::span(buffer)), at);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      fail_system("read");
    }
    if (got == 0) {
      break;
    }
    at += static_cast<uint64_t>(got);
    pending.append(buffer.data(), static_cast<size_t>(got));
    size_t from = 0;
    for (size_t end = 0; (end = pending.find('\n', from)) != std::string::npos; from = end + 1) {
      take_line(std::string_view(pending).substr(from, end - from), number++);
    }
    pending.erase(0, from);
    begin += from;
    if (!may_be_torn(pending) || pending.size() > kMostLine) {
      take_line(pending.substr(0, kMostLine), number);  // fails: no line begins like this
    }
  }
  take_end(pending, begin, number);
}

void CaptionLog::Impl::take_line(std::string_view line, uint64_t number) {
  const std::string where = fmt::format("{} line {}", path.string(), number);
  const auto refuse = [&] {
    fail(ErrorCode::kInvalidFile,
         "{}: not a line of captions ({{\"image\": ..., \"text\": ...}}); name a new file or "
         "remove the line",
         where);
  };
  if (line.size() >= kMostLine || !line.starts_with(kBegin)) {
    refuse();
  }
  const Json json = parse_json(line, where);
  const bool caption = json.contains("text");
  if (!json.at("image").is_string() || (!caption && !json.contains("error"))) {
    refuse();
  }
  entries[json.at("image").get<std::string>()] = caption ? Entry::kCaption : Entry::kError;
}

// The text behind the last line break: a whole line gets its line break, a torn one is removed.
void CaptionLog::Impl::take_end(std::string_view rest, uint64_t offset, uint64_t number) {
  if (rest.empty()) {
    return;
  }
  if (Json::accept(rest)) {
    take_line(rest, number);
    append("\n");
  } else if (!sys::resize_file(log.get(), offset)) {
    fail_system("cut off the torn last line");
  }
}

void CaptionLog::Impl::append(std::string_view text) {
  const std::optional<sys::FileFacts> before = sys::facts_of(log.get());
  if (regular && !before) {
    fail_system("write");
  }
  while (!text.empty()) {
    const int64_t wrote = sys::append(log.get(), std::as_bytes(std::span(text)));
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote < 0) {
      const int error = errno;
      if (regular && !sys::resize_file(log.get(), before->size)) {
        errno = error;  // the next run cuts the line off
      }
      errno = error;
      fail_system("write");
    }
    text.remove_prefix(static_cast<size_t>(wrote));
  }
}

CaptionLog::CaptionLog(const fs::path& file) : impl_(std::make_unique<Impl>(file)) {
  if (!impl_->regular) {
    return;  // a pipe or a device: nothing to read
  }
  if (!sys::try_lock(impl_->log.get()) && errno == EWOULDBLOCK) {
    fail(ErrorCode::kExists,
         "{}: another process is writing captions to it; name another file",
         file.string());
  }
  impl_->read();
}
CaptionLog::~CaptionLog() = default;
CaptionLog::CaptionLog(CaptionLog&&) noexcept = default;

CaptionLog::Entry CaptionLog::find(const fs::path& image) const {
  const auto found = impl_->entries.find(key_of(image));
  return found == impl_->entries.end() ? Entry::kNone : found->second;
}

void CaptionLog::add(const FileCaption& file) {
  impl_->append(to_json_line(file) + "\n");
}

}  // namespace lorapress
