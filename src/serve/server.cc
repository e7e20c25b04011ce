// GNU libmicrohttpd behind lorapress::Server; no other file includes its header.
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <map>
#include <microhttpd.h>
#include <mutex>
#include <thread>

#include "lorapress/serve.h"

#include "base/fail.h"
#include "base/file.h"
#include "serve/answer.h"
#include "serve/library.h"
#include "serve/listener.h"

namespace lorapress {
namespace {

constexpr unsigned kThreads = 4;        // shared by all connections; no thread waits for a client
constexpr unsigned kConnections = 256;  // in all, and
constexpr unsigned kConnectionsPerAddress = 64;
constexpr size_t kHeaderBytes = size_t{32} << 10;  // of a request with all its headers

// Shuts down connections that do not complete a request in time; libmicrohttpd's own timeout starts
// again with every byte.
class RequestTimeout {
 public:
  explicit RequestTimeout(std::chrono::seconds most) : most_(most), thread_([this] { watch(); }) {}
  ~RequestTimeout() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  RequestTimeout(const RequestTimeout&) = delete;
  RequestTimeout& operator=(const RequestTimeout&) = delete;

  void expect_request(MHD_Connection* connection) {
    const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const std::lock_guard lock(mutex_);
    waiting_[connection] = {info->connect_fd, Clock::now() + most_};
  }
  // The request is complete, or the connection is about to close; its descriptor is not used again.
  void forget(MHD_Connection* connection) {
    const std::lock_guard lock(mutex_);
    waiting_.erase(connection);
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    SocketNumber socket;
    Clock::time_point until;
  };

  void watch() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      wake_.wait_for(lock, most_ / 4);
      const Clock::time_point now = Clock::now();
      for (const auto& [connection, waiting] : waiting_) {
        if (waiting.until < now) {
          end_connection(waiting.socket);
        }
      }
    }
  }

  std::chrono::milliseconds most_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<MHD_Connection*, Waiting> waiting_;
  bool ended_ = false;
  std::thread thread_;
};

std::string_view header(MHD_Connection* connection, const char* name) {
  const char* value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

using ResponseOwner = std::unique_ptr<MHD_Response, decltype(&MHD_destroy_response)>;

ResponseOwner to_response(Reply& reply) {
  MHD_Response* response = nullptr;
  if (reply.file.valid() && reply.count > 0) {
    response = MHD_create_response_from_fd_at_offset64(reply.count, reply.file.get(), reply.first);
    if (response != nullptr) {
      reply.file.release();  // closed with the response
    }
  } else {
    response = MHD_create_response_from_buffer(
        reply.text.size(), reply.text.data(), MHD_RESPMEM_MUST_COPY);
  }
  return {response, MHD_destroy_response};
}

}  // namespace

struct Server::Impl {
  explicit Impl(const ServeOptions& options)
      : folder(checked(options).folder),
        listener(listen_at(options.host, options.port)),
        request_timeout(std::chrono::seconds(options.timeout_seconds)) {
    port = listener.port;
    url = fmt::format("http://{}:{}/", reachable(options.host), port);
    daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD,
                              0,
                              nullptr,
                              nullptr,
                              on_request,
                              this,
                              MHD_OPTION_LISTEN_SOCKET,
                              listener.socket.release(),  // closed with the daemon
                              MHD_OPTION_THREAD_POOL_SIZE,
                              kThreads,
                              MHD_OPTION_CONNECTION_LIMIT,
                              kConnections,
                              MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                              kConnectionsPerAddress,
                              MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                              kHeaderBytes,
                              MHD_OPTION_CONNECTION_TIMEOUT,
                              options.timeout_seconds,
                              MHD_OPTION_STRICT_FOR_CLIENT,
                              1,
                              MHD_OPTION_UNESCAPE_CALLBACK,
                              leave_escaped,
                              nullptr,
                              MHD_OPTION_NOTIFY_CONNECTION,
                              on_connection,
                              this,
                              MHD_OPTION_NOTIFY_COMPLETED,
                              on_completed,
                              this,
                              MHD_OPTION_END);
    if (daemon == nullptr) {
      fail(ErrorCode::kIo, "the server cannot start: {}", std::strerror(errno));
    }
  }
  ~Impl() {
    if (daemon != nullptr) {
      MHD_stop_daemon(daemon);
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  static const ServeOptions& checked(const ServeOptions& options) {
    if (options.timeout_seconds < 1) {
      fail(ErrorCode::kInvalidArgument, "a timeout of 0 seconds, expected 1 or more");
    }
    return options;
  }

  // The host for a URL: loopback where the server listens on every interface, IPv6 in brackets.
  static std::string reachable(const std::string& host) {
    if (host == "0.0.0.0") {
      return "127.0.0.1";
    }
    if (host == "::") {
      return "[::1]";
    }
    return host.find(':') != std::string::npos ? "[" + host + "]" : host;
  }

  // decode_path() decodes; an escaped NUL or slash would be lost here.
  static size_t leave_escaped(void* /*context*/, MHD_Connection* /*connection*/, char* text) {
    return std::strlen(text);
  }

  static void on_connection(void* context,
                            MHD_Connection* connection,
                            void** /*socket_context*/,
                            MHD_ConnectionNotificationCode code) {
    auto* impl = static_cast<Impl*>(context);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
      impl->request_timeout.expect_request(connection);
    } else {
      impl->request_timeout.forget(connection);
    }
  }

  static void on_completed(void* context,
                           MHD_Connection* connection,
                           void** /*request_context*/,
                           MHD_RequestTerminationCode code) {
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
      static_cast<Impl*>(context)->request_timeout.expect_request(
          connection);  // kept alive for the next
    }
  }

  // Called first with the headers, then with a body if there is one, then to reply.
  static MHD_Result on_request(void* context,
                               MHD_Connection* connection,
                               const char* url,
                               const char* method,
                               const char* /*version*/,
                               const char* /*upload*/,
                               size_t* upload_size,
                               void** request_context) {
    auto* impl = static_cast<Impl*>(context);
    const std::string_view verb = method;
    if (*request_context == nullptr && (verb == "GET" || verb == "HEAD")) {
      *request_context = impl;
      return MHD_YES;
    }
    if (*upload_size != 0) {
      return MHD_NO;  // no request that is answered has a body
    }
    try {
      impl->request_timeout.forget(connection);
      Reply reply = answer(impl->folder,
                           {verb,
                            url,
                            header(connection, MHD_HTTP_HEADER_HOST),
                            header(connection, MHD_HTTP_HEADER_RANGE),
                            header(connection, MHD_HTTP_HEADER_IF_RANGE),
                            header(connection, MHD_HTTP_HEADER_IF_NONE_MATCH)},
                           impl->listener.loopback);
      const ResponseOwner response = to_response(reply);
      if (!response) {
        return MHD_NO;
      }
      for (const auto& [name, value] : reply.headers) {
        MHD_add_response_header(response.get(), name.c_str(), value.c_str());
      }
      return MHD_queue_response(connection, static_cast<unsigned>(reply.status), response.get());
    } catch (const std::exception&) {
      return MHD_NO;  // out of memory: this connection closes, the others go on
    }
  }

  ServedFolder folder;
  Listener listener;
  RequestTimeout request_timeout;
  uint16_t port = 0;
  std::string url;
  MHD_Daemon* daemon = nullptr;
};

Server::Server(const ServeOptions& options)
    : impl_(with_file_errors([&] { return std::make_unique<Impl>(options); })) {}
Server::~Server() = default;
Server::Server(Server&&) noexcept = default;

std::string server_library_version() {
  return MHD_get_version();
}

uint16_t Server::port() const {
  return impl_->port;
}
std::string Server::url() const {
  return impl_->url;
}
void Server::stop() {
  MHD_stop_daemon(std::exchange(impl_->daemon, nullptr));
}

}  // namespace lorapress
