#include "serve/answer.h"

#include <algorithm>

#include "base/fail.h"
#include "serve/http.h"

namespace lorapress {
namespace {

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

std::string etag_of(uint64_t size, uint64_t changed) {
  return fmt::format("\"{:x}-{:x}\"", size, changed);
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
