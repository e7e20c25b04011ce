// Checkpoints on a model hub, by name: hf:ORG/NAME[@REVISION].
#ifndef LORAPRESS_HUB_H_
#define LORAPRESS_HUB_H_

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/error.h"
#include "lorapress/progress.h"

namespace lorapress {

struct HubOptions {
  // hf:ORG/NAME, a branch, a tag or a commit behind it: hf:ORG/NAME@v1.0.0 (main).
  std::string model;
  // Empty: as the hub's Python client chooses, HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub.
  std::filesystem::path cache;
};

struct HubReport {
  std::filesystem::path folder;    // in the cache; its files are links to blobs
  std::string commit;              // 40 hexadecimal digits
  uint64_t files = 0;              // of the folder
  uint64_t downloaded = 0;         // bytes
  std::vector<std::string> notes;  // that the hub was not asked, for example
};

// Whether a name is one of a hub and not a folder: it begins with hf:.
bool is_hub_model(std::string_view name);

// Brings a checkpoint's configs, tokenizer and safetensors into the cache that the hub's own clients share (blobs,
// refs, snapshots; huggingface_hub/file_download.py) and returns its folder there. Files that are in the cache are not
// fetched again; a download that ended early goes on where it stopped. What arrives is compared with its name on the hub:
// SHA-256 of large files, the Git blob id of small ones. Reads HF_ENDPOINT, HF_TOKEN (or the token file of a login),
// HF_HUB_OFFLINE. Offline, and where the hub does not answer, the folder of the last visit is the result, with a note.
// `progress`: phase "fetch", bytes. Throws Error: kInvalidArgument for a name, kNotFound for a model, a revision or a
// file that is not there, kIo where the hub refuses or the connection fails, kInvalidFile for an answer that breaks
// the rules, kMismatch for bytes that are not what the hub announced, kUnsupported in a build without libcurl.
HubReport fetch_from_hub(const HubOptions& options, const ProgressFn& progress = {});

}  // namespace lorapress

#endif  // LORAPRESS_HUB_H_
