// The files of one folder, and nothing outside it: served_folder_posix.cc or served_folder_windows.cc.
#ifndef LORAPRESS_SERVE_SERVED_FOLDER_H_
#define LORAPRESS_SERVE_SERVED_FOLDER_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/system.h"

namespace lorapress {

// The folder that is served. It is kept open, so a renamed folder stays the same one.
class ServedFolder {
 public:
  explicit ServedFolder(const std::filesystem::path& folder);  // throws kNotFound, kIo

  struct Entry {
    sys::Descriptor file;  // readable when the path is a file
    bool is_folder = false;
    uint64_t size = 0;
    std::string etag;  // strong: size and time of change
  };
  // A regular file or a folder whose real path, all links resolved, is inside the served folder. `path` is relative,
  // as decode_path() gives it. On Windows neither short names nor case nor streams of a file lead to a hidden name.
  [[nodiscard]] std::optional<Entry> open(const std::string& path) const;

 private:
  sys::Descriptor folder_;
};

// An entity tag of a file's size in bytes and the time of its last change, in units of the system.
std::string etag_of(uint64_t size, uint64_t changed);

}  // namespace lorapress

#endif  // LORAPRESS_SERVE_SERVED_FOLDER_H_
