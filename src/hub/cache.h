// The folder that clients of a hub share: models--ORG--NAME/{blobs,refs,snapshots}, as
// huggingface_hub/file_download.py lays it out.
#ifndef LORAPRESS_HUB_CACHE_H_
#define LORAPRESS_HUB_CACHE_H_

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/system.h"
#include "hub/name.h"

namespace lorapress {

// HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME or ~/.cache (%USERPROFILE%\.cache) and /huggingface/hub.
std::filesystem::path default_hub_cache();
// HF_TOKEN, else the file HF_TOKEN_PATH, else HF_HOME/token; empty: none.
std::string hub_token();

class HubCache {
 public:
  HubCache(std::filesystem::path root, const HubName& name);

  // The commit that a revision named at the last visit; a commit is its own.
  [[nodiscard]] std::optional<std::string> commit() const;
  void set_commit(const std::string& commit) const;
  [[nodiscard]] std::filesystem::path snapshot(const std::string& commit) const;
  // Where a blob is, and where it grows.
  [[nodiscard]] std::filesystem::path blob(std::string_view etag) const;
  // The file of a snapshot as a relative link to the blob, or as a second name of it where the system makes no links.
  // Nothing happens where it is there.
  void link(const std::string& commit, const std::string& file, std::string_view etag) const;

  // Held while a blob is fetched, in a file that the Python client locks, too. Waits for other processes.
  class Lock {
   public:
    Lock(const HubCache& cache, std::string_view etag);

   private:
    sys::Descriptor file_;
  };

 private:
  std::filesystem::path root_;
  std::filesystem::path folder_;
  std::string revision_;
};

}  // namespace lorapress

#endif  // LORAPRESS_HUB_CACHE_H_
