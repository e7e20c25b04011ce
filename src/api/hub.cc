#include "lorapress/hub.h"

#include <algorithm>
#include <cstdlib>

#include "base/fail.h"
#include "base/file.h"
#include "hub/fetch.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

// As huggingface_hub/constants.py reads them.
bool offline() {
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}) {
    const char* text = std::getenv(name);
    std::string value = text == nullptr ? "" : text;
    std::ranges::transform(value, value.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    if (value == "1" || value == "ON" || value == "YES" || value == "TRUE") {
      return true;
    }
  }
  return false;
}

std::string endpoint(const std::string& model) {
  const char* named = std::getenv("HF_ENDPOINT");
  std::string address = named != nullptr && *named != '\0' ? named : LORAPRESS_HUB_ENDPOINT;
  if (address.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: this build names no hub; set HF_ENDPOINT to the hub's address, as in HF_ENDPOINT=https://HOST",
         model);
  }
  if (!address.starts_with("https://") && !address.starts_with("http://")) {
    fail(ErrorCode::kInvalidArgument,
         "HF_ENDPOINT {}, expected an address that begins with https://",
         address);
  }
  while (address.ends_with('/')) {
    address.pop_back();
  }
  return address;
}

// The folder of the last visit.
HubReport cached(const HubCache& cache, const HubOptions& options, const std::string& why) {
  const std::optional<std::string> commit = cache.commit();
  if (!commit || !fs::is_directory(cache.snapshot(*commit))) {
    fail(ErrorCode::kNotFound, "{}: {}, and it is not in the cache", options.model, why);
  }
  HubReport report;
  report.folder = cache.snapshot(*commit);
  report.commit = *commit;
  for (const auto& entry : fs::recursive_directory_iterator(report.folder)) {
    report.files += entry.is_regular_file() ? 1 : 0;
  }
  report.notes.push_back(fmt::format(
      "{}: {}; the commit of the last visit is used, {}", options.model, why, commit->substr(0, 8)));
  return report;
}

}  // namespace

HubReport fetch_from_hub(const HubOptions& options, const ProgressFn& progress) {
  return with_file_errors([&] {
    const HubName name = parse_hub_name(options.model);
    const HubCache cache(options.cache.empty() ? default_hub_cache() : options.cache, name);
    if (offline()) {
      return cached(cache, options, "HF_HUB_OFFLINE is set");
    }
    HubFetch fetch(endpoint(options.model), name, cache, progress);
    try {
      return fetch.run();
    } catch (const Error& error) {
      // A hub that does not answer; a download that fails in the middle is no reason to take other weights.
      if (error.code() != ErrorCode::kIo || fetch.listed() || !cache.commit()) {
        throw;
      }
      return cached(cache, options, error.what());
    }
  });
}

}  // namespace lorapress
