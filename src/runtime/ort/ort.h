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

#include "base/dtype.h"
#include "weights/weight.h"

namespace lorapress {

// An input or output of a session. Move only; its memory is its own unless it is a view.
class OrtTensor {
 public:
  OrtTensor(DType dtype, Shape shape);  // zeros
  // Over memory of the caller's, which holds at least the shape's bytes and outlives the tensor.
  static OrtTensor view(DType dtype, const Shape& shape, std::span<std::byte> bytes);
  static OrtTensor floats(Shape shape, std::span<const float> values);
  static OrtTensor integers(Shape shape, std::span<const int64_t> values);
  static OrtTensor of(const Weight& weight);  // its dtype, shape and content
  ~OrtTensor();
  OrtTensor(OrtTensor&& other) noexcept;
  OrtTensor& operator=(OrtTensor&& other) noexcept;

  [[nodiscard]] DType dtype() const;
  [[nodiscard]] Shape shape() const;
  // The content as float32; REQUIRES dtype float32.
  [[nodiscard]] std::span<const float> as_floats() const;
  [[nodiscard]] std::span<const std::byte> bytes() const;
  // The same numbers as float16 or float32; throws kUnsupported for other dtypes.
  [[nodiscard]] OrtTensor converted(DType to) const;

 private:
  friend class OrtSession;
  friend class OrtBinding;
  struct Impl;
  explicit OrtTensor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct OrtPort {
  std::string name;
  DType dtype;
  Shape shape;  // -1 for symbolic dimensions
};

class OrtSession {
 public:
  // Reads the file and its external data. `threads` 0 means one per core. Throws kNotFound,
  // kRuntime.
  OrtSession(const std::filesystem::path& model, unsigned threads);
  // The same from a model in memory, which may be freed afterwards. `model` says where its external data
  // lies and names it in messages.
  OrtSession(std::span<const std::byte> bytes,
             const std::filesystem::path& model,
             unsigned threads);
  ~OrtSession();
  OrtSession(OrtSession&&) noexcept;

  [[nodiscard]] const std::vector<OrtPort>& inputs() const;
  [[nodiscard]] const std::vector<OrtPort>& outputs() const;

  struct Feed {
    std::string name;
    const OrtTensor* tensor;
  };
  // Returns the outputs of these names, in that order. Throws kRuntime with ONNX Runtime's message.
  [[nodiscard]] std::vector<OrtTensor> run(const std::vector<Feed>& feeds,
                                           const std::vector<std::string>& wanted) const;

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
