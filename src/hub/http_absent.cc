// The client of a build without libcurl (LORAPRESS_HUB=OFF).
#include "hub/http.h"

#include "base/fail.h"

namespace lorapress {

struct HttpClient::State {};

HttpClient::HttpClient(std::string /*token*/) {
  fail(ErrorCode::kUnsupported,
       "this build fetches nothing from a hub; fetch the folder with the hub's own client (hf download) and name it");
}

HttpClient::~HttpClient() = default;

HttpAnswer HttpClient::head(const std::string& /*url*/) {
  return {};
}

HttpAnswer HttpClient::get(const std::string& /*url*/,
                           uint64_t /*from*/,
                           const std::function<void(int64_t)>& /*begin*/,
                           const std::function<void(std::span<const std::byte>)>& /*body*/) {
  return {};
}

}  // namespace lorapress
