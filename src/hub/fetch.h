// A checkpoint's files from a hub into the cache.
#ifndef LORAPRESS_HUB_FETCH_H_
#define LORAPRESS_HUB_FETCH_H_

#include "hub/cache.h"
#include "hub/http.h"
#include "lorapress/hub.h"

namespace lorapress {

// The hub at one address.
class HubFetch {
 public:
  // `endpoint`: such as https://hub.example, without a slash at the end.
  HubFetch(std::string endpoint, HubName name, const HubCache& cache, const ProgressFn& progress);

  // Everything that fetch_from_hub() promises but for what it does offline.
  HubReport run();
  // Whether the hub has said what its files are.
  [[nodiscard]] bool listed() const { return !commit_.empty(); }

 private:
  struct File {
    std::string path;
    std::string etag;
    uint64_t size = 0;
  };
  [[nodiscard]] std::vector<std::string> list();  // sets commit_
  [[nodiscard]] File look_at(const std::string& path);
  // Returns the bytes that were fetched.
  uint64_t fetch(const File& file);
  uint64_t fetch_once(const File& file, const std::filesystem::path& partial);
  [[nodiscard]] std::string address(const std::string& path) const;
  void report(uint64_t done);

  std::string endpoint_;
  HubName name_;
  const HubCache* cache_;
  const ProgressFn* progress_;
  HttpClient http_;
  std::string commit_;
  uint64_t total_ = 0;
  uint64_t before_ = 0;  // bytes of files that are done
};

// The part of a repository's files that a checkpoint consists of: JSON, safetensors, chat templates and the tables of
// tokenizers at its top; no second copies in other formats.
std::vector<std::string> checkpoint_files(const std::vector<std::string>& files);

}  // namespace lorapress

#endif  // LORAPRESS_HUB_FETCH_H_
