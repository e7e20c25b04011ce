// Puts a pressed folder onto a model hub, through the hub's own Python client.
#ifndef LORAPRESS_UPLOAD_H_
#define LORAPRESS_UPLOAD_H_

#include <cstdint>
#include <filesystem>
#include <string>

#include "lorapress/deploy.h"
#include "lorapress/error.h"

namespace lorapress {

struct UploadOptions {
  std::filesystem::path model;  // a folder that press() wrote
  std::string repository;       // ORG/NAME; made where it does not exist
  std::string tag;              // of the commit, such as v1.0.0; empty: none
  std::string message;          // of the commit; empty: what wrote the folder
  ModelCardOptions card;
  bool is_private = false;  // where the repository is made
  // Runs the client; empty: LORAPRESS_PYTHON, else python3.
  std::string python;
};

struct UploadReport {
  uint64_t files = 0;
  uint64_t bytes = 0;
  std::string commit;  // its id
  std::string url;     // its address
};

// One commit with the files that lorapress.json lists, lorapress.json and the model card. The client (huggingface_hub)
// finds endpoint and token as always: HF_ENDPOINT, HF_TOKEN, or a login of its own; this program sees neither. Throws
// Error: kInvalidArgument for an id or a tag by the rules of hub_place.h, kInvalidFile where the folder is not whole,
// kNotFound without the client, kIo with the client's own words where it fails.
UploadReport upload(const UploadOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_UPLOAD_H_
