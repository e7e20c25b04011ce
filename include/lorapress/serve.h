// Serves a folder to browsers: models and the page that runs them, with the headers that threads
// in WebAssembly need.
#ifndef LORAPRESS_SERVE_H_
#define LORAPRESS_SERVE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "lorapress/error.h"

namespace lorapress {

struct ServeOptions {
  std::filesystem::path folder;
  std::string host = "127.0.0.1";  // name or address to listen at
  uint16_t port = 8080;            // 0: a free one
  unsigned timeout_seconds = 30;   // for a whole request, and for a reader that stalls
};

// Answers GET and HEAD from the moment it is made until it is destroyed, on threads of its own.
// Never serves files outside the folder or names that begin with a dot. While it listens at a
// loopback address it answers only requests for loopback host names, so that no web site can read
// the files.
class Server {
 public:
  // Throws kNotFound for a missing folder, kInvalidArgument for an invalid host, kIo for a port
  // that is in use.
  explicit Server(const ServeOptions& options);
  ~Server();
  Server(Server&&) noexcept;

  [[nodiscard]] uint16_t port() const;
  [[nodiscard]] std::string url() const;  // "http://127.0.0.1:8080/", as this machine reaches it
  void stop();                            // ends running downloads too

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lorapress

#endif  // LORAPRESS_SERVE_H_
