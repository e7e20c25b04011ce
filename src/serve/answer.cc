#include "serve/answer.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "serve/http.h"

namespace lorapress {
namespace {

// The path of an open descriptor's file now, all links resolved; empty where unknown.
std::string real_place(int descriptor) {
  std::string place(PATH_MAX, '\0');
  const ssize_t length =
      readlink(fmt::format("/proc/self/fd/{}", descriptor).c_str(), place.data(), place.size());
  if (length <= 0 || static_cast<size_t>(length) == place.size()) {
    return {};
  }
  place.resize(static_cast<size_t>(length));
  return place;
}

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

std::string etag_of(const struct stat& info) {
  constexpr int64_t kNanoseconds = 1000000000;
  const int64_t changed = info.st_mtim.tv_sec * kNanoseconds + info.st_mtim.tv_nsec;
  return fmt::format("\"{:x}-{:x}\"", info.st_size, static_cast<uint64_t>(changed));
}

// Headers of every reply: the page may use SharedArrayBuffer (threads in WebAssembly), caches must
// revalidate, no type is guessed.
Reply reply_with(int status) {
  Reply reply;
  reply.status = status;
  reply.headers = {{"Cross-Origin-Opener-Policy", "same-origin"},
                   {"Cross-Origin-Embedder-Policy", "require-corp"},
                   {"Cross-Origin-Resource-Policy", "same-origin"},
                   {"Cache-Control", "no-cache"},
                   {"X-Content-Type-Options", "nosniff"}};
  return reply;
}

Reply refuse(int status, std::string text) {
  Reply reply = reply_with(status);
  reply.headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
  reply.text = std::move(text) + "\n";
  return reply;
}

Reply file_reply(ServedFolder::Entry entry, const std::string& path, const Request& request) {
  if (names_etag(request.if_none_match, entry.etag)) {
    Reply reply = reply_with(304);
    reply.headers.emplace_back("ETag", entry.etag);
    return reply;
  }
  // A range applies to GET only, and If-Range drops the range when the file is not the one the client has.
  const bool ranged =
      request.method == "GET" && (request.if_range.empty() || request.if_range == entry.etag);
  const ByteRange range = parse_range(ranged ? request.range : "", entry.size);
  if (range.kind == ByteRange::Kind::kUnsatisfiable) {
    Reply reply = refuse(416, "the file is shorter");
    reply.headers.emplace_back("Content-Range", fmt::format("bytes */{}", entry.size));
    return reply;
  }
  const bool part = range.kind == ByteRange::Kind::kPart;
  Reply reply = reply_with(part ? 206 : 200);
  reply.headers.emplace_back("Content-Type", content_type(path));
  reply.headers.emplace_back("ETag", entry.etag);
  reply.headers.emplace_back("Accept-Ranges", "bytes");
  if (part) {
    reply.headers.emplace_back(
        "Content-Range",
        fmt::format("bytes {}-{}/{}", range.first, range.first + range.count - 1, entry.size));
  }
  reply.file = std::move(entry.file);
  reply.first = range.first;
  reply.count = range.count;
  return reply;
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) {
    close(number_);
  }
}

ServedFolder::ServedFolder(const std::filesystem::path& folder)
    : folder_(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
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
  // O_PATH does not open the content: a pipe does not block, a device is not touched. The check
  // concerns the opened file, so exchanging links between check and use gains nothing.
  const Descriptor place(
      openat(folder_.get(), path.empty() ? "." : path.c_str(), O_PATH | O_CLOEXEC));
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
  const std::string again = fmt::format("/proc/self/fd/{}", place.get());
  entry.file = Descriptor(::open(again.c_str(), O_RDONLY | O_CLOEXEC));
  if (!entry.file.valid() || fstat(entry.file.get(), &info) != 0) {
    return std::nullopt;
  }
  entry.size = static_cast<uint64_t>(info.st_size);
  entry.etag = etag_of(info);
  return entry;
}

namespace {

// ORG/NAME/resolve/REVISION/FILE is the address that other hubs give ORG/NAME/REVISION/FILE; empty: another path.
std::string without_resolve(const std::string& path) {
  constexpr std::string_view kResolve = "/resolve/";
  const size_t at = path.find(kResolve);
  const bool third = at != std::string::npos &&
                     std::count(path.begin(), path.begin() + static_cast<ptrdiff_t>(at), '/') == 1;
  return third ? path.substr(0, at + 1) + path.substr(at + kResolve.size()) : "";
}

}  // namespace

Reply answer(const ServedFolder& folder, const Request& request, bool loopback_only) {
  if (request.method != "GET" && request.method != "HEAD") {
    Reply reply = refuse(405, "GET and HEAD only");
    reply.headers.emplace_back("Allow", "GET, HEAD");
    return reply;
  }
  if (loopback_only && !is_loopback_host(request.host)) {
    return refuse(421, "this server answers to localhost only; its host option lets others in");
  }
  const std::optional<std::string> path = decode_path(request.path);
  if (!path) {
    return refuse(404, "no such file");
  }
  std::string name = *path;
  std::optional<ServedFolder::Entry> entry = folder.open(name);
  if (std::string plain = without_resolve(name); !entry && !plain.empty()) {
    entry = folder.open(plain);
    name = std::move(plain);
  }
  if (entry && entry->is_folder) {
    if (!name.empty() && !name.ends_with('/')) {
      Reply reply = refuse(301, "a folder ends with a slash");
      reply.headers.emplace_back("Location", std::string(request.path) + "/");
      return reply;
    }
    name += "index.html";
    entry = folder.open(name);
    if (!entry || entry->is_folder) {
      return refuse(404, "no index.html in this folder");
    }
  }
  if (!entry) {
    return refuse(404, "no such file");
  }
  return file_reply(std::move(*entry), name, request);
}

}  // namespace lorapress
