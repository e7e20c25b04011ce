// Files of a host that lends bytes for the time of a load, and lets go of them as soon as it may.
#ifndef LORAPRESS_ENGINE_MODULE_HOST_FILES_H_
#define LORAPRESS_ENGINE_MODULE_HOST_FILES_H_

#include "engine/onnx_file.h"
#include "engine/source.h"

namespace lorapress::engine {

struct HostFile {
  std::string name;
  uint64_t size = 0;
};

// The files of one part of a model: the graph and its weight files, numbered as the host has them. Not for several threads.
class HostFiles final : public Sources {
 public:
  // REQUIRES: at least one file.
  explicit HostFiles(std::vector<HostFile> files);
  ~HostFiles() override;
  HostFiles(const HostFiles&) = delete;
  HostFiles& operator=(const HostFiles&) = delete;

  [[nodiscard]] const Source& graph() const override;
  [[nodiscard]] std::shared_ptr<const Source> open(const std::string& name) const override;

  // Reads small tensors and keeps them; tells the host of every range that will not be read, and from now on of each whose
  // tensor has been read as often as expected.
  void expect(std::span<const ExpectedReads> reads) const override;

 private:
  class File;
  std::vector<std::shared_ptr<File>> sources_;
  std::vector<std::string> names_;
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_MODULE_HOST_FILES_H_
