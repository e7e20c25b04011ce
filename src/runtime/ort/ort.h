// ONNX Runtime behind a narrow interface. The library is opened with dlopen, so one program runs
// with every version from 1.21 on; ort.cc is the only file that includes its headers.
#ifndef LORAPRESS_RUNTIME_ORT_ORT_H_
#define LORAPRESS_RUNTIME_ORT_ORT_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/graphs/graph_session.h"

namespace lorapress {

using OrtTensor = GraphTensor;
using OrtPort = GraphPort;

class OrtSession : public GraphSession {
 public:
  // Reads the file and its external data. `threads` 0 means one per core. Throws kNotFound,
  // kRuntime.
  OrtSession(const std::filesystem::path& model, unsigned threads);
  // The same from a model in memory, which may be freed afterwards. `model` says where its external data
  // lies and names it in messages.
  OrtSession(std::span<const std::byte> bytes,
             const std::filesystem::path& model,
             unsigned threads);
  ~OrtSession() override;
  OrtSession(OrtSession&&) noexcept;

  using Feed = GraphFeed;
  [[nodiscard]] const std::vector<OrtPort>& inputs() const override;
  [[nodiscard]] const std::vector<OrtPort>& outputs() const override;
  // Several threads may call it at once.
  [[nodiscard]] std::vector<OrtTensor> run(const std::vector<Feed>& feeds,
                                           const std::vector<std::string>& wanted) const override;

 private:
  friend class OrtBinding;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Inputs and outputs that stay bound from one run to the next: tensors that do not change are bound
// once, and results are written where the caller wants them. One thread at a time.
class OrtBinding {
 public:
  // REQUIRES: `session` outlives the binding, and every tensor its last run.
  explicit OrtBinding(const OrtSession& session);
  ~OrtBinding();
  OrtBinding(OrtBinding&&) noexcept;

  // Replaces what the name was bound to before.
  void input(const std::string& name, const OrtTensor& tensor);
  void output(const std::string& name, const OrtTensor& tensor);
  // Throws kRuntime with ONNX Runtime's message, also for an output of another shape.
  void run() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The version of the library in use, as "1.32.0".
std::string ort_version();

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ORT_ORT_H_
