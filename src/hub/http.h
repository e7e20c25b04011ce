// HTTP(S) to one hub: the only place that knows libcurl.
#ifndef LORAPRESS_HUB_HTTP_H_
#define LORAPRESS_HUB_HTTP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace lorapress {

struct HttpAnswer {
  int64_t status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
};

class HttpClient {
 public:
  // `token` may be empty; it is sent to the host of each call's address and never to one that redirects lead to.
  // Throws kUnsupported in a build without libcurl.
  explicit HttpClient(std::string token);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // The headers of the first answer; redirects are not followed. Throws kIo, naming the address, where no answer comes:
  // no connection in 10 s, or nothing for 60 s.
  HttpAnswer head(const std::string& url);
  // Redirects are followed. `body` gets the bytes of an answer with status 200 or 206 as they come, and may throw; then
  // the exception comes out of the call. `from` > 0 asks for the bytes behind that offset: status 206, or 200 from a
  // server that sends all; `begin` hears which before the first bytes.
  HttpAnswer get(const std::string& url,
                 uint64_t from,
                 const std::function<void(int64_t status)>& begin,
                 const std::function<void(std::span<const std::byte>)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lorapress

#endif  // LORAPRESS_HUB_HTTP_H_
