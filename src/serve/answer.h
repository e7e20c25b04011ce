// From a request for a file to a reply, independent of the HTTP library.
#ifndef LORAPRESS_SERVE_ANSWER_H_
#define LORAPRESS_SERVE_ANSWER_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lorapress {

// An open file descriptor, closed by the destructor.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  [[nodiscard]] bool valid() const { return number_ >= 0; }
  [[nodiscard]] int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

// The folder that is served. Its descriptor is kept, so a renamed folder stays the same one.
class ServedFolder {
 public:
  explicit ServedFolder(const std::filesystem::path& folder);  // throws kNotFound, kIo

  struct Entry {
    Descriptor file;  // readable when the path is a file
    bool is_folder = false;
    uint64_t size = 0;
    std::string etag;  // strong: size and time of change
  };
  // A regular file or a folder whose real path, all links resolved, is inside the served folder. `path` is relative,
  // as decode_path() gives it.
  [[nodiscard]] std::optional<Entry> open(const std::string& path) const;

 private:
  Descriptor folder_;
};

struct Request {
  std::string_view method;
  std::string_view path;  // still escaped, without the query
  std::string_view host;  // these headers, empty where absent
  std::string_view range;
  std::string_view if_range;
  std::string_view if_none_match;
};

struct Reply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  Descriptor file;  // `count` of its bytes from `first` on are the body
  uint64_t first = 0;
  uint64_t count = 0;
  std::string text;  // otherwise the body is this text
};

// `loopback_only`: refuse requests under other host names, as a page whose own name resolves to this
// machine (DNS rebinding) would send.
Reply answer(const ServedFolder& folder, const Request& request, bool loopback_only);

}  // namespace lorapress

#endif  // LORAPRESS_SERVE_ANSWER_H_
