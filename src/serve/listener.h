// A socket that listens, and the few other calls of sockets that the server makes itself.
#ifndef LORAPRESS_SERVE_LISTENER_H_
#define LORAPRESS_SERVE_LISTENER_H_

#include <cstdint>
#include <string>
#include <utility>

namespace lorapress {

#if defined(_WIN32)
using SocketNumber = uintptr_t;  // SOCKET
#else
using SocketNumber = int;
#endif
inline constexpr SocketNumber kNoSocket = static_cast<SocketNumber>(-1);

// Closed by the destructor.
class Socket {
 public:
  explicit Socket(SocketNumber number = kNoSocket) : number_(number) {}
  ~Socket();
  Socket(Socket&& other) noexcept : number_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  [[nodiscard]] SocketNumber get() const { return number_; }
  SocketNumber release() { return std::exchange(number_, kNoSocket); }

 private:
  SocketNumber number_;
};

struct Listener {
  Socket socket;  // does not block
  uint16_t port = 0;
  bool loopback = false;  // only this machine reaches it
};
// Throws kInvalidArgument for a host that is no name or address of this machine, and kIo.
Listener listen_at(const std::string& host, uint16_t port);

// Both directions; the socket stays open.
void end_connection(SocketNumber socket);

}  // namespace lorapress

#endif  // LORAPRESS_SERVE_LISTENER_H_
