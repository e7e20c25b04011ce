// The parts of HTTP (RFC 9110) that serving files needs, as functions of text.
#ifndef LORAPRESS_SERVE_HTTP_H_
#define LORAPRESS_SERVE_HTTP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lorapress {

// "/a/b%20c" -> "a/b c"; "/" -> ""; a slash at the end stays. Decoded once. nullopt for a path that
// never names a served file: no slash at the start, a broken escape, control characters (NUL too), an
// empty part, a part that begins with a dot ("..", ".git").
std::optional<std::string> decode_path(std::string_view raw);

struct ByteRange {
  enum class Kind { kWhole, kPart, kUnsatisfiable };
  Kind kind = Kind::kWhole;
  uint64_t first = 0;
  uint64_t count = 0;
};

// A Range header for a file of `size` bytes. A header that is not exactly one range of bytes, or
// empty, is ignored (section 14.2).
ByteRange parse_range(std::string_view header, uint64_t size);

// Whether If-None-Match ("*", or a list) names this strong ETag; weak comparison.
bool names_etag(std::string_view header, std::string_view etag);

// By the extension of the path; application/octet-stream for unknown ones, such as .onnx.
std::string_view content_type(std::string_view path);

// Whether a Host header ("localhost:8080") is a name of the loopback interface.
bool is_loopback_host(std::string_view header);

}  // namespace lorapress

#endif  // LORAPRESS_SERVE_HTTP_H_
