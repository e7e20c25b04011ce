// lorapress::Server as a library: it answers, it loses patience, it ends.
#include "lorapress/serve.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::TempFolder;

class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  bool send(std::string_view text) const {
    return ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  // Until the server closes.
  [[nodiscard]] std::string read_all() const {
    std::string all;
    char part[4096];
    for (ssize_t got = 0; (got = recv(socket_, part, sizeof(part), 0)) > 0;) {
      all.append(part, static_cast<size_t>(got));
    }
    return all;
  }
  // Whether the server closed (or answered) within a moment.
  [[nodiscard]] bool readable(int milliseconds) const {
    pollfd wanted{socket_, POLLIN, 0};
    return poll(&wanted, 1, milliseconds) == 1;
  }

 private:
  int socket_;
  bool connected_ = false;
};

constexpr const char* kGet = "GET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

ServeOptions options_of(const TempFolder& folder) {
  write_text(folder / "a.txt", "hello");
  ServeOptions options;
  options.folder = folder.path();
  options.port = 0;
  return options;
}

TEST(Serve, AnswersFromTheStart) {
  const TempFolder folder;
  const Server server(options_of(folder));
  EXPECT_NE(server.port(), 0);
  EXPECT_EQ(server.url(), "http://127.0.0.1:" + std::to_string(server.port()) + "/");
  const Client client(server.port());
  ASSERT_TRUE(client.send(kGet));
  const std::string reply = client.read_all();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 200 ")) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\nhello")) << reply;
}

// libmicrohttpd's own timeout would start again with every byte.
TEST(Serve, LosesPatienceWithAByteAtATime) {
  const TempFolder folder;
  ServeOptions options = options_of(folder);
  options.timeout_seconds = 1;
  const Server server(options);
  const Client client(server.port());
  ASSERT_TRUE(client.send("GET /a.txt HTTP/1.1\r\nHost: localhost\r\nX: "));
  size_t sent = 0;
  while (!client.readable(100) && client.send("x")) {
    ++sent;
  }
  EXPECT_FALSE(contains(client.read_all(), " 200 "));
  EXPECT_LT(sent, 16U << 10);  // closed for its slowness, not for its size
  const Client other(server.port());
  ASSERT_TRUE(other.send(kGet));
  EXPECT_TRUE(contains(other.read_all(), " 200 "));
}

TEST(Serve, StopsAndFreesThePort) {
  const TempFolder folder;
  ServeOptions options = options_of(folder);
  Server first(options);
  options.port = first.port();
  const std::string text = message_of(ErrorCode::kIo, [&] { Server second(options); });
  EXPECT_TRUE(contains(text, std::to_string(options.port))) << text;
  first.stop();
  first.stop();
  EXPECT_FALSE(Client(options.port).connected());
  const Server third(options);
  EXPECT_EQ(third.port(), options.port);
}

TEST(Serve, RefusesWhatCannotBeServed) {
  const TempFolder folder;
  ServeOptions options = options_of(folder);
  options.folder = folder / "none";
  message_of(ErrorCode::kNotFound, [&] { const Server server(options); });
  options.folder = folder / "a.txt";
  message_of(ErrorCode::kNotFound, [&] { const Server server(options); });
  options.folder = folder.path();
  options.host = "256.0.0.1";
  message_of(ErrorCode::kInvalidArgument, [&] { const Server server(options); });
  options.host = "127.0.0.1";
  options.timeout_seconds = 0;
  message_of(ErrorCode::kInvalidArgument, [&] { const Server server(options); });
}

}  // namespace
}  // namespace lorapress
