// A model's name on a hub, and the names that a hub gives.
#ifndef LORAPRESS_HUB_NAME_H_
#define LORAPRESS_HUB_NAME_H_

#include <string>
#include <string_view>

namespace lorapress {

struct HubName {
  std::string repository;  // ORG/NAME
  std::string revision = "main";
};

// hf:ORG/NAME[@REVISION]. Throws kInvalidArgument: each part of an id has letters, digits, - _ . and neither begins nor
// ends with - or . nor holds "--" or ".." (huggingface_hub/utils/_validators.py, which allows ids without ORG, too); a
// revision has these and /.
HubName parse_hub_name(std::string_view name);

// Whether a file of a repository may be written below a folder: parts of printable characters, none empty, "." or "..".
bool safe_hub_file(std::string_view path);
// 40 digits (a commit, a Git blob) or 64 (SHA-256), lower case.
bool is_hex(std::string_view text, size_t digits);

}  // namespace lorapress

#endif  // LORAPRESS_HUB_NAME_H_
