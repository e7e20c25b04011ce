#include "hub/fetch.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/system.h"
#include "hub/blob_hash.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 3;  // of a file, each going on where the last one ended
constexpr uint64_t kMaxList = uint64_t{16} << 20;
constexpr size_t kMaxFiles = 4096;
constexpr uint64_t kMaxFile = uint64_t{1} << 40;
constexpr size_t kPiece = size_t{1} << 20;

std::string percent_encoded(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-_.~/").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

// "abc", W/"abc"
std::string plain_etag(std::string_view etag) {
  etag.remove_prefix(etag.starts_with("W/") ? 2 : 0);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  return std::string(etag);
}

const std::string* header(const HttpAnswer& answer, const char* name) {
  const auto found = answer.headers.find(name);
  return found == answer.headers.end() || found->second.empty() ? nullptr : &found->second;
}

[[noreturn]] void fail_status(const std::string& url, const HttpAnswer& answer, bool token) {
  const bool denied = answer.status == 401 || answer.status == 403;
  const std::string* words = header(answer, "x-error-message");
  fail(denied || answer.status == 404 ? ErrorCode::kNotFound : ErrorCode::kIo,
       "{}: status {}{}{}",
       url,
       answer.status,
       words == nullptr ? "" : ", " + *words,
       !denied ? ""
       : token ? "; HF_TOKEN gives no access to it"
               : "; there is no such model, or HF_TOKEN with access to it is needed");
}

// A file that is appended to.
class PartialFile {
 public:
  explicit PartialFile(const fs::path& path)
      : path_(path), file_(sys::open_file(path, sys::OpenAs::kEither)) {
    if (!file_.valid()) {
      fail(ErrorCode::kIo, "{}: {}", path.string(), error_text(errno));
    }
  }

  // Feeds what is there to `hash`; returns its size.
  uint64_t read_into(BlobHash& hash) {
    std::vector<std::byte> piece(kPiece);
    for (size_ = 0;;) {
      const int64_t count = sys::read_at(file_.get(), piece, size_);
      if (count < 0 && errno != EINTR) {
        fail(ErrorCode::kIo, "{}: {}", path_.string(), error_text(errno));
      }
      if (count == 0) {
        return size_;
      }
      if (count > 0) {
        hash.update(std::span(piece).first(static_cast<size_t>(count)));
        size_ += static_cast<uint64_t>(count);
      }
    }
  }
  void clear() {
    if (!sys::resize_file(file_.get(), 0)) {
      fail(ErrorCode::kIo, "{}: {}", path_.string(), error_text(errno));
    }
    size_ = 0;
  }
  void append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const int64_t count = sys::write_at(file_.get(), bytes, size_);
      if (count < 0 && errno != EINTR) {
        fail(ErrorCode::kIo, "{}: {}", path_.string(), error_text(errno));
      }
      const auto written = static_cast<size_t>(std::max<int64_t>(count, 0));
      bytes = bytes.subspan(written);
      size_ += written;
    }
  }

 private:
  fs::path path_;
  sys::Descriptor file_;
  uint64_t size_ = 0;
};

}  // namespace

std::vector<std::string> checkpoint_files(const std::vector<std::string>& files) {
  std::vector<std::string> chosen;
  for (const std::string& file : files) {
    const std::string_view name = file;
    const bool weights = name.ends_with(".safetensors") && !name.starts_with("consolidated");
    const bool text = name.ends_with(".json") || name.ends_with(".jinja") || name == "merges.txt" ||
                      name == "vocab.txt";
    if ((weights || text) && name.find('/') == name.npos) {
      chosen.push_back(file);
    }
  }
  return chosen;
}

HubFetch::HubFetch(std::string endpoint,
                   HubName name,
                   const HubCache& cache,
                   const ProgressFn& progress)
    : endpoint_(std::move(endpoint)),
      name_(std::move(name)),
      cache_(&cache),
      progress_(&progress),
      http_(hub_token()) {}

std::string HubFetch::address(const std::string& path) const {
  return fmt::format(
      "{}/{}/resolve/{}/{}", endpoint_, name_.repository, commit_, percent_encoded(path));
}

void HubFetch::report(uint64_t done) {
  if (*progress_) {
    (*progress_)({"fetch", done, total_});
  }
}

std::vector<std::string> HubFetch::list() {
  // A branch may have a slash, which is a part of the address's path there.
  std::string revision = percent_encoded(name_.revision);
  for (size_t at = 0; (at = revision.find('/', at)) != revision.npos;) {
    revision.replace(at, 1, "%2F");
  }
  const std::string url =
      fmt::format("{}/api/models/{}/revision/{}", endpoint_, name_.repository, revision);
  std::string text;
  const HttpAnswer answer = http_.get(
      url,
      0,
      [](int64_t) {},
      [&](std::span<const std::byte> bytes) {
        if (text.size() + bytes.size() > kMaxList) {
          fail(ErrorCode::kInvalidFile, "{}: more than {} bytes", url, kMaxList);
        }
        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      });
  if (answer.status != 200) {
    fail_status(url, answer, !hub_token().empty());
  }
  const Json model = parse_json(text, url);
  if (!model.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: not an object", url);
  }
  commit_ = json_get<std::string>(model, "sha", url);
  const auto siblings = model.find("siblings");
  if (!is_hex(commit_, 40) || siblings == model.end() || !siblings->is_array() ||
      siblings->size() > kMaxFiles) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected a commit (sha) and at most {} files (siblings)",
         url,
         kMaxFiles);
  }
  std::vector<std::string> files;
  for (const Json& sibling : *siblings) {
    if (!sibling.is_object()) {
      fail(ErrorCode::kInvalidFile, "{}: siblings holds something that is no object", url);
    }
    files.push_back(json_get<std::string>(sibling, "rfilename", url));
    if (!safe_hub_file(files.back())) {
      fail(ErrorCode::kInvalidFile, "{}: the file name '{}' leaves its folder", url, files.back());
    }
  }
  files = checkpoint_files(files);
  if (files.empty()) {
    fail(ErrorCode::kNotFound, "{}: no config and no safetensors at its top", url);
  }
  return files;
}

HubFetch::File HubFetch::look_at(const std::string& path) {
  std::string url = address(path);
  HttpAnswer answer = http_.head(url);
  // A repository that was renamed; other redirects lead to a store, and say the file's facts themselves.
  const std::string* moved = header(answer, "location");
  if (answer.status >= 300 && answer.status < 400 && moved != nullptr && moved->starts_with('/') &&
      !moved->starts_with("//")) {
    url = endpoint_.substr(0, endpoint_.find('/', endpoint_.find("://") + 3)) + *moved;
    answer = http_.head(url);
  }
  if (answer.status != 200 && (answer.status < 300 || answer.status >= 400)) {
    fail_status(url, answer, !hub_token().empty());
  }
  const std::string* linked = header(answer, "x-linked-etag");
  const std::string* etag = linked != nullptr ? linked : header(answer, "etag");
  const std::string* linked_size = header(answer, "x-linked-size");
  const std::string* size = linked_size != nullptr ? linked_size : header(answer, "content-length");
  File file{path, etag == nullptr ? "" : plain_etag(*etag), 0};
  const char* end = size == nullptr ? nullptr : size->data() + size->size();
  if ((!is_hex(file.etag, 40) && !is_hex(file.etag, 64)) || size == nullptr ||
      std::from_chars(size->data(), end, file.size).ptr != end || file.size > kMaxFile) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected a digest of 40 or 64 digits (ETag) and a size, found '{}' and '{}'",
         url,
         file.etag,
         size == nullptr ? "" : *size);
  }
  return file;
}

uint64_t HubFetch::fetch_once(const File& file, const fs::path& partial) {
  PartialFile out(partial);
  std::optional<BlobHash> hash(std::in_place, file.etag, file.size);
  uint64_t size = out.read_into(*hash);
  if (size > file.size) {  // of another file
    out.clear();
    hash.emplace(file.etag, file.size);
    size = 0;
  }
  uint64_t fetched = 0;
  if (size < file.size || file.size == 0) {
    const std::string url = address(file.path);
    const auto begin = [&](int64_t status) {
      if (size > 0 && status == 200) {  // the server begins anew
        out.clear();
        hash.emplace(file.etag, file.size);
        size = 0;
      }
    };
    const auto body = [&](std::span<const std::byte> bytes) {
      if (bytes.size() > file.size - size) {
        fail(ErrorCode::kMismatch,
             "{}: more than the {} bytes that the hub announced",
             url,
             file.size);
      }
      out.append(bytes);
      hash->update(bytes);
      size += bytes.size();
      fetched += bytes.size();
      report(before_ + size);
    };
    const HttpAnswer answer = http_.get(url, size, begin, body);
    if (answer.status != 200 && answer.status != 206) {
      fail_status(url, answer, !hub_token().empty());
    }
    if (size < file.size) {
      fail(ErrorCode::kIo, "{}: the connection ended after {} of {} bytes", url, size, file.size);
    }
  }
  if (!hash->matches()) {
    out.clear();
    fail(ErrorCode::kMismatch,
         "{}: its bytes are not those that the hub announced ({})",
         address(file.path),
         file.etag);
  }
  return fetched;
}

uint64_t HubFetch::fetch(const File& file) {
  const fs::path blob = cache_->blob(file.etag);
  const auto whole = [&] { return fs::is_regular_file(blob) && fs::file_size(blob) == file.size; };
  if (whole()) {
    return 0;
  }
  const HubCache::Lock lock(*cache_, file.etag);
  if (whole()) {  // fetched by another process in the meantime
    return 0;
  }
  fs::create_directories(blob.parent_path());
  const fs::path partial = blob.string() + ".incomplete";
  uint64_t fetched = 0;
  for (int tries = 1;; ++tries) {
    try {
      fetched += fetch_once(file, partial);
      break;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kIo || tries == kTries) {
        throw;
      }
    }
  }
  fs::rename(partial, blob);
  return fetched;
}

HubReport HubFetch::run() {
  HubReport result;
  std::vector<File> files;
  for (const std::string& path : list()) {
    files.push_back(look_at(path));
    total_ += files.back().size;
  }
  for (const File& file : files) {
    report(before_);
    result.downloaded += fetch(file);
    cache_->link(commit_, file.path, file.etag);
    before_ += file.size;
  }
  report(before_);
  cache_->set_commit(commit_);  // last, so that a revision names a whole folder
  result.folder = cache_->snapshot(commit_);
  result.commit = commit_;
  result.files = files.size();
  return result;
}

}  // namespace lorapress
