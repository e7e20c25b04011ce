#include "hub/http.h"

#include <curl/curl.h>

#include <exception>
#include <utility>

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr long kConnectSeconds = 10;
constexpr long kSilentSeconds = 60;
constexpr size_t kMaxHeaders = 1 << 16;  // bytes of all headers of an answer
constexpr const char* kSchemes = "http,https";

// One call.
struct Transfer {
  HttpAnswer answer;
  size_t header_bytes = 0;
  bool begun = false;
  const std::function<void(int64_t)>* begin = nullptr;
  const std::function<void(std::span<const std::byte>)>* body = nullptr;
  CURL* curl = nullptr;
  std::exception_ptr error;
};

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  const size_t last = text.find_last_not_of(" \t\r\n");
  return first == text.npos ? "" : std::string(text.substr(first, last - first + 1));
}

// Headers of the last answer of the call: each status line begins anew.
size_t take_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  transfer.header_bytes += line.size();
  if (transfer.header_bytes > kMaxHeaders) {
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    transfer.answer.headers.clear();
  }
  if (const size_t colon = line.find(':'); colon != line.npos) {
    std::string name(line.substr(0, colon));
    for (char& c : name) {
      c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    transfer.answer.headers[name] = trimmed(line.substr(colon + 1));
  }
  return line.size();
}

size_t take_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  long status = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200 && status != 206) {
    return bytes;  // an error's page
  }
  try {
    if (!std::exchange(transfer.begun, true)) {
      (*transfer.begin)(status);
    }
    (*transfer.body)(std::as_bytes(std::span(data, bytes)));
  } catch (...) {
    transfer.error = std::current_exception();
    return 0;
  }
  return bytes;
}

}  // namespace

struct HttpClient::State {
  CURL* curl = nullptr;
  curl_slist* headers = nullptr;

  void prepare(const std::string& url, Transfer& transfer) const {
    curl_easy_reset(curl);
    transfer.curl = curl;
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilentSeconds);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, kSchemes);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, url.starts_with("https:") ? "https" : kSchemes);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "lorapress/" LORAPRESS_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);  // libcurl drops Authorization for another host
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  }

  void perform(const std::string& url, Transfer& transfer) const {
    const CURLcode code = curl_easy_perform(curl);
    if (transfer.error) {
      std::rethrow_exception(transfer.error);
    }
    if (code != CURLE_OK) {
      fail(ErrorCode::kIo, "{}: {}", url, curl_easy_strerror(code));
    }
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    transfer.answer.status = status;
  }
};

HttpClient::HttpClient(std::string token) : state_(std::make_unique<State>()) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  state_->curl = ready == CURLE_OK ? curl_easy_init() : nullptr;
  if (state_->curl == nullptr) {
    fail(ErrorCode::kRuntime, "libcurl cannot be set up");
  }
  if (!token.empty()) {
    state_->headers = curl_slist_append(nullptr, ("Authorization: Bearer " + token).c_str());
  }
}

HttpClient::~HttpClient() {
  curl_slist_free_all(state_->headers);
  curl_easy_cleanup(state_->curl);
}

HttpAnswer HttpClient::head(const std::string& url) {
  Transfer transfer;
  state_->prepare(url, transfer);
  curl_easy_setopt(state_->curl, CURLOPT_NOBODY, 1L);
  state_->perform(url, transfer);
  return std::move(transfer.answer);
}

HttpAnswer HttpClient::get(const std::string& url,
                           uint64_t from,
                           const std::function<void(int64_t)>& begin,
                           const std::function<void(std::span<const std::byte>)>& body) {
  Transfer transfer;
  transfer.begin = &begin;
  transfer.body = &body;
  state_->prepare(url, transfer);
  curl_easy_setopt(state_->curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(state_->curl, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(state_->curl, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(from));
  curl_easy_setopt(state_->curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(state_->curl, CURLOPT_WRITEDATA, &transfer);
  state_->perform(url, transfer);
  return std::move(transfer.answer);
}

}  // namespace lorapress
