// Tensors of an .onnx file as lazy weights: bytes in the file, in external data files, or in typed
// fields.
#ifndef LORAPRESS_GRAPH_READ_TENSORS_H_
#define LORAPRESS_GRAPH_READ_TENSORS_H_

#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/read_proto.h"
#include "weights/weight.h"

namespace lorapress {

// A name from a file, shortened for a message.
std::string shown(const std::string& name);

class TensorReader {
 public:
  TensorReader(std::shared_ptr<const InputFile> file, std::vector<TensorContent> contents)
      : file_(std::move(file)), contents_(std::move(contents)) {}

  // Null for types that no Weight has: the tensor then carries its contents itself. Throws
  // kInvalidFile, naming the tensor, when its bytes do not fit its type and shape.
  WeightPtr weight(onnx::TensorProto& tensor);
  // Copies contents that were left out, or are in another file, into the tensor (64 MiB at most).
  void restore(onnx::TensorProto& tensor);
  // Files that were opened: the model, then its external data.
  [[nodiscard]] std::vector<std::filesystem::path> files() const;
  [[nodiscard]] const std::filesystem::path& path() const { return file_->path(); }

 private:
  struct Place {
    std::shared_ptr<const InputFile> file;
    uint64_t offset;
    uint64_t bytes;
  };
  // Where the contents lie; empty when they are in the tensor itself.
  std::optional<Place> place(const onnx::TensorProto& tensor);
  Place external(const onnx::TensorProto& tensor);
  std::shared_ptr<const InputFile> open(const onnx::TensorProto& tensor,
                                        const std::string& location);
  template <typename... Args>
  [[noreturn]] void refuse(const onnx::TensorProto& tensor,
                           fmt::format_string<Args...> format,
                           Args&&... args) const;

  std::shared_ptr<const InputFile> file_;
  std::vector<TensorContent> contents_;
  std::map<std::string, std::shared_ptr<const InputFile>> external_;  // by location
};

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_READ_TENSORS_H_
