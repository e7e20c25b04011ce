#include "hub/http.h"

#include <exception>
#include <utility>

#include "base/fail.h"
#include "hub/curl_library.h"

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
  uint64_t from = 0;  // what was asked for
  bool begun = false;
  const std::function<void(int64_t)>* begin = nullptr;
  const std::function<void(std::span<const std::byte>)>* body = nullptr;
  const CurlLibrary* library = nullptr;
  CURL* curl = nullptr;
  std::exception_ptr error;

  long status() const {
    long code = 0;
    library->easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }
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
  const long status = transfer.status();
  if (status != 200 && status != 206) {
    return bytes;  // an error's page
  }
  try {
    if (!std::exchange(transfer.begun, true)) {
      if (status == 206 && !transfer.answer.headers["content-range"].starts_with(
                               fmt::format("bytes {}-", transfer.from))) {
        fail(ErrorCode::kIo,
             "another part of the file came than the one from byte {}",
             transfer.from);
      }
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
  const CurlLibrary& library = curl_library();
  CURL* curl = library.easy_init();
  curl_slist* headers = nullptr;

  template <typename Value>
  CURLcode set(CURLoption option, Value value) const {
    return library.easy_setopt(curl, option, value);
  }

  // Libraries before 7.85 (Debian 11, Ubuntu 22.04) take the schemes as bits.
  void allow_schemes(bool https_only) const {
    if (set(CURLOPT_PROTOCOLS_STR, kSchemes) == CURLE_OK) {
      set(CURLOPT_REDIR_PROTOCOLS_STR, https_only ? "https" : kSchemes);
    } else {
      constexpr long kBoth = CURLPROTO_HTTP | CURLPROTO_HTTPS;
      set(CURLOPT_PROTOCOLS, kBoth);
      set(CURLOPT_REDIR_PROTOCOLS, https_only ? static_cast<long>(CURLPROTO_HTTPS) : kBoth);
    }
  }

  void prepare(const std::string& url, Transfer& transfer) const {
    library.easy_reset(curl);
    transfer.library = &library;
    transfer.curl = curl;
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, kSilentSeconds);
    allow_schemes(url.starts_with("https:"));
    set(CURLOPT_USERAGENT, "lorapress/" LORAPRESS_VERSION);
    set(CURLOPT_HTTPHEADER, headers);  // libcurl drops Authorization for another host
    set(CURLOPT_HEADERFUNCTION, take_header);
    set(CURLOPT_HEADERDATA, &transfer);
  }

  void perform(const std::string& url, Transfer& transfer) const {
    const CURLcode code = library.easy_perform(curl);
    if (transfer.error) {
      std::rethrow_exception(transfer.error);
    }
    if (code != CURLE_OK) {
      fail(ErrorCode::kIo, "{}: {}", url, library.easy_strerror(code));
    }
    transfer.answer.status = transfer.status();
  }
};

HttpClient::HttpClient(std::string token) : state_(std::make_unique<State>()) {
  if (state_->curl == nullptr) {
    fail(ErrorCode::kRuntime, "libcurl cannot be set up");
  }
  if (!token.empty()) {
    state_->headers =
        state_->library.slist_append(nullptr, ("Authorization: Bearer " + token).c_str());
  }
}

HttpClient::~HttpClient() {
  state_->library.slist_free_all(state_->headers);
  state_->library.easy_cleanup(state_->curl);
}

HttpAnswer HttpClient::head(const std::string& url) {
  Transfer transfer;
  state_->prepare(url, transfer);
  state_->set(CURLOPT_NOBODY, 1L);
  state_->perform(url, transfer);
  return std::move(transfer.answer);
}

HttpAnswer HttpClient::get(const std::string& url,
                           uint64_t from,
                           const std::function<void(int64_t)>& begin,
                           const std::function<void(std::span<const std::byte>)>& body) {
  Transfer transfer;
  transfer.from = from;
  transfer.begin = &begin;
  transfer.body = &body;
  state_->prepare(url, transfer);
  state_->set(CURLOPT_FOLLOWLOCATION, 1L);
  state_->set(CURLOPT_MAXREDIRS, 5L);
  // Not CURLOPT_RESUME_FROM, for which an answer with the whole file is an error.
  const std::string range = fmt::format("{}-", from);
  state_->set(CURLOPT_RANGE, from == 0 ? nullptr : range.c_str());
  state_->set(CURLOPT_WRITEFUNCTION, take_body);
  state_->set(CURLOPT_WRITEDATA, &transfer);
  state_->perform(url, transfer);
  return std::move(transfer.answer);
}

}  // namespace lorapress
