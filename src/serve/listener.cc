#include "serve/listener.h"

#include <cerrno>
#include <memory>
#include <system_error>
#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include "base/fail.h"

namespace lorapress {
namespace {

#if defined(_WIN32)
// Sockets are a library of their own, which stays open until the process ends.
void start_sockets() {
  static const int kError = [] {
    WSADATA data{};
    return ::WSAStartup(MAKEWORD(2, 2), &data);
  }();
  if (kError != 0) {
    fail(ErrorCode::kIo, "Windows has no sockets: error {}", kError);
  }
}

int last_error() {
  return ::WSAGetLastError();
}

std::string text_of(int error) {
  return std::system_category().message(error);
}

std::string resolve_text(int error) {
  return text_of(error);
}

bool set_up(SocketNumber socket) {
  u_long yes = 1;
  ::SetHandleInformation(reinterpret_cast<HANDLE>(socket), HANDLE_FLAG_INHERIT, 0);
  return ::ioctlsocket(socket, FIONBIO, &yes) == 0;
}

// Otherwise another program could take the same port.
constexpr int kOption = SO_EXCLUSIVEADDRUSE;
#else
void start_sockets() {}

int last_error() {
  return errno;
}

std::string text_of(int error) {
  return error_text(error);
}

std::string resolve_text(int error) {
  return ::gai_strerror(error);
}

bool set_up(SocketNumber socket) {
  return ::fcntl(socket, F_SETFD, FD_CLOEXEC) == 0 && ::fcntl(socket, F_SETFL, O_NONBLOCK) == 0;
}

// A server that just ended leaves its port in TIME_WAIT.
constexpr int kOption = SO_REUSEADDR;
#endif

bool is_loopback(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
  return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

uint16_t port_of(SocketNumber socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET
                   ? reinterpret_cast<const sockaddr_in*>(&address)->sin_port
                   : reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
}

}  // namespace

Socket::~Socket() {
  if (number_ != kNoSocket) {
#if defined(_WIN32)
    ::closesocket(number_);
#else
    ::close(number_);
#endif
  }
}

Listener listen_at(const std::string& host, uint16_t port) {
  start_sockets();
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    fail(ErrorCode::kInvalidArgument,
         "options.host {}: {}, expected a name or an address of this machine",
         host,
         resolve_text(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  int reason = 0;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    Listener listener;
    listener.socket = Socket(::socket(at->ai_family, SOCK_STREAM, at->ai_protocol));
    const SocketNumber socket = listener.socket.get();
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, kOption, reinterpret_cast<const char*>(&yes), sizeof(yes));
    if (socket != kNoSocket && set_up(socket) &&
        bind(socket, at->ai_addr, static_cast<socklen_t>(at->ai_addrlen)) == 0 &&
        listen(socket, SOMAXCONN) == 0) {
      listener.port = port_of(socket);
      listener.loopback = is_loopback(at->ai_addr);
      return listener;
    }
    reason = last_error();
  }
  fail(ErrorCode::kIo,
       "cannot listen at {}, port {}: {}; options.port 0 takes a free one",
       host,
       port,
       text_of(reason));
}

void end_connection(SocketNumber socket) {
#if defined(_WIN32)
  ::shutdown(socket, SD_BOTH);
#else
  ::shutdown(socket, SHUT_RDWR);
#endif
}

}  // namespace lorapress
