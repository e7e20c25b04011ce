#include "runtime/ort/ort.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#if defined(_WIN32)
#include <specstrings.h>
#if !defined(_Return_type_success_)  // an annotation that mingw's headers lack
#define _Return_type_success_(condition)
#endif
#endif
#include <onnxruntime_cxx_api.h>
#include <onnxruntime_session_options_config_keys.h>

#include "base/fail.h"
#include "base/system.h"

namespace lorapress {
namespace {

struct ElementRow {
  ONNXTensorElementDataType ort;
  DType dtype;
};
constexpr std::array kElements = {
    ElementRow{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, DType::kF32},
    ElementRow{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, DType::kF16},
    ElementRow{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, DType::kI64},
    ElementRow{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, DType::kI32},
    ElementRow{ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, DType::kI8},
    ElementRow{ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, DType::kU8},
    ElementRow{ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, DType::kBool},
};

DType from_ort(ONNXTensorElementDataType type) {
  const auto found = std::ranges::find(kElements, type, &ElementRow::ort);
  if (found == kElements.end()) {
    fail(ErrorCode::kUnsupported,
         "ONNX element type {} of a graph input or output is not supported",
         static_cast<int>(type));
  }
  return found->dtype;
}

ONNXTensorElementDataType to_ort(DType dtype) {
  return std::ranges::find(kElements, dtype, &ElementRow::dtype)->ort;
}

// The library's file: how its name begins and ends, and what the system's own search finds.
#if defined(__APPLE__)
constexpr std::string_view kBegin = "libonnxruntime.";
constexpr std::string_view kEnd = ".dylib";
constexpr std::array kSystemNames = {"libonnxruntime.1.dylib", "libonnxruntime.dylib"};
#elif defined(_WIN32)
constexpr std::string_view kBegin = "onnxruntime.";
constexpr std::string_view kEnd = ".dll";
constexpr std::array kSystemNames = {"onnxruntime.dll"};
#else
constexpr std::string_view kBegin = "libonnxruntime.so";
constexpr std::string_view kEnd;  // a version may follow
constexpr std::array kSystemNames = {"libonnxruntime.so.1", "libonnxruntime.so"};
#endif

// Where the library may lie; the first that opens is used: $LORAPRESS_ORT, beside the installed
// program (bin/../lib/lorapress), beside the Python package that holds the program
// (lorapress/bin/../../onnxruntime), the folder of the build, the system's path.
std::vector<std::string> candidates() {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  if (const char* given = std::getenv("LORAPRESS_ORT"); given != nullptr && *given != '\0') {
    return {given};  // no fallback: if this one does not open, that is an error
  }
  std::error_code error;
  const fs::path up = sys::program_path().parent_path() / "..";
  for (const fs::path& folder : {up / "lib" / "lorapress", up / ".." / "onnxruntime" / "capi"}) {
    if (fs::is_directory(folder, error)) {
      for (const auto& entry : fs::directory_iterator(folder, error)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(kBegin) && name.ends_with(kEnd)) {
          paths.push_back(entry.path().string());
        }
      }
    }
  }
  if (constexpr std::string_view built = LORAPRESS_ORT_DEFAULT_PATH; !built.empty()) {
    paths.emplace_back(built);  // empty in a program for other machines; dlopen("") is the program
  }
  paths.insert(paths.end(), kSystemNames.begin(), kSystemNames.end());
  return paths;
}

struct Library {
  std::string version;
  Ort::Env env{nullptr};
};

Library open_library() {
  std::string why;
  for (const std::string& path : candidates()) {
    std::string reason;
    void* handle = sys::open_library(path, reason);
    if (handle == nullptr) {
      why += std::string(why.empty() ? "" : "; ") + reason;
      continue;
    }
    auto base =
        reinterpret_cast<const OrtApiBase* (*)()>(sys::library_symbol(handle, "OrtGetApiBase"));
    const OrtApi* api = base == nullptr ? nullptr : base()->GetApi(ORT_API_VERSION);
    if (api == nullptr) {
      fail(ErrorCode::kRuntime,
           "{}: ONNX Runtime {}, expected 1.{} or newer",
           path,
           base == nullptr ? "of unknown version" : base()->GetVersionString(),
           ORT_API_VERSION);
    }
    Ort::InitApi(api);
    return {base()->GetVersionString(), Ort::Env(ORT_LOGGING_LEVEL_ERROR, "lorapress")};
  }
  fail(
      ErrorCode::kRuntime,
      "ONNX Runtime cannot be opened ({}); install it (pip install onnxruntime) and set LORAPRESS_ORT to its "
      "library ({}), or take options.engine native",
      why,
      kSystemNames.back());
}

Library& library() {
  static Library opened = open_library();
  return opened;
}

std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

// Runs `call`; ONNX Runtime's exception becomes one line that begins with the graph's file.
template <typename Call>
void with_path(const std::string& path, const Call& call) {
  try {
    call();
  } catch (const Ort::Exception& error) {
    fail(ErrorCode::kRuntime, "{}: {}", path, one_line(error.what()));
  }
}

const Ort::RunOptions& run_options() {
  static const Ort::RunOptions kDefaults;
  return kDefaults;
}

// The tensor's memory as ONNX Runtime takes it; valid as long as the tensor is.
Ort::Value value_of(const OrtTensor& tensor) {
  static const Ort::MemoryInfo kMemory =
      Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const std::span<const std::byte> bytes = tensor.bytes();
  return Ort::Value::CreateTensor(kMemory,
                                  const_cast<std::byte*>(bytes.data()),
                                  bytes.size(),
                                  tensor.shape().data(),
                                  tensor.shape().size(),
                                  to_ort(tensor.dtype()));
}

// Over the memory of ONNX Runtime's result.
OrtTensor tensor_of(Ort::Value result) {
  const auto value = std::make_shared<Ort::Value>(std::move(result));
  const auto type = value->GetTensorTypeAndShapeInfo();
  return OrtTensor::held(
      from_ort(type.GetElementType()), type.GetShape(), value->GetTensorRawData(), value);
}

std::vector<OrtPort> ports(const Ort::Session& session, bool inputs) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<OrtPort> found;
  const size_t count = inputs ? session.GetInputCount() : session.GetOutputCount();
  for (size_t i = 0; i < count; ++i) {
    const auto name = inputs ? session.GetInputNameAllocated(i, allocator)
                             : session.GetOutputNameAllocated(i, allocator);
    const Ort::TypeInfo type = inputs ? session.GetInputTypeInfo(i) : session.GetOutputTypeInfo(i);
    if (type.GetONNXType() != ONNX_TYPE_TENSOR) {
      fail(ErrorCode::kUnsupported, "the graph's {} is not a tensor", name.get());
    }
    const auto tensor = type.GetTensorTypeAndShapeInfo();
    found.push_back({name.get(), from_ort(tensor.GetElementType()), tensor.GetShape()});
  }
  return found;
}

}  // namespace

struct OrtSession::Impl {
  std::string path;
  mutable Ort::Session session{nullptr};
  std::vector<OrtPort> inputs;
  std::vector<OrtPort> outputs;
};

namespace {

// `open` makes the session; what it throws becomes an Error that names the model.
template <typename Session, typename Open>
void open_session(Session& impl,
                  const std::filesystem::path& model,
                  unsigned threads,
                  const Open& open) {
  constexpr unsigned kMostThreads = 1024;
  impl.path = model.string();
  Library& ort = library();
  try {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(static_cast<int>(std::min(threads, kMostThreads)));
    // Otherwise the threads of a session spin for some 20 ms after each run and take processors from
    // a session that runs next, as the decoder after the encoder.
    options.AddConfigEntry(kOrtSessionOptionsConfigForceSpinningStop, "1");
    impl.session = open(ort.env, options);
    impl.inputs = ports(impl.session, true);
    impl.outputs = ports(impl.session, false);
  } catch (const Error& error) {
    throw Error(error.code(), model.string() + ": " + error.what());
  } catch (const Ort::Exception& error) {
    fail(ErrorCode::kRuntime,
         "{}: ONNX Runtime {} refuses it: {}",
         model.string(),
         ort.version,
         one_line(error.what()));
  }
}

}  // namespace

OrtSession::OrtSession(const std::filesystem::path& model, unsigned threads)
    : impl_((library(), std::make_unique<Impl>())) {
  if (!std::filesystem::is_regular_file(model)) {
    fail(ErrorCode::kNotFound, "{}: no such file", model.string());
  }
  open_session(*impl_, model, threads, [&](Ort::Env& env, Ort::SessionOptions& options) {
    return Ort::Session(env, model.c_str(), options);
  });
}

OrtSession::OrtSession(std::span<const std::byte> bytes,
                       const std::filesystem::path& model,
                       unsigned threads)
    : impl_((library(), std::make_unique<Impl>())) {
  open_session(*impl_, model, threads, [&](Ort::Env& env, Ort::SessionOptions& options) {
    options.AddConfigEntry(kOrtSessionOptionsModelExternalInitializersFileFolderPath,
                           model.parent_path().string().c_str());
    return Ort::Session(env, bytes.data(), bytes.size(), options);
  });
}

OrtSession::~OrtSession() = default;
OrtSession::OrtSession(OrtSession&&) noexcept = default;

const std::vector<OrtPort>& OrtSession::inputs() const {
  return impl_->inputs;
}
const std::vector<OrtPort>& OrtSession::outputs() const {
  return impl_->outputs;
}

std::vector<OrtTensor> OrtSession::run(const std::vector<Feed>& feeds,
                                       const std::vector<std::string>& wanted) const {
  std::vector<const char*> names;
  std::vector<Ort::Value> given;
  std::vector<const OrtValue*> values;
  std::vector<const char*> output_names;
  for (const Feed& feed : feeds) {
    names.push_back(feed.name.c_str());
    given.push_back(value_of(*feed.tensor));
    values.push_back(given.back());
  }
  for (const std::string& name : wanted) {
    output_names.push_back(name.c_str());
  }
  std::vector<OrtValue*> results(wanted.size(), nullptr);
  with_path(impl_->path, [&] {
    Ort::ThrowOnError(Ort::GetApi().Run(impl_->session,
                                        nullptr,
                                        names.data(),
                                        values.data(),
                                        names.size(),
                                        output_names.data(),
                                        output_names.size(),
                                        results.data()));
  });
  std::vector<OrtTensor> tensors;
  tensors.reserve(results.size());
  for (OrtValue* result : results) {
    tensors.push_back(tensor_of(Ort::Value(result)));
  }
  return tensors;
}

struct OrtBinding::Impl {
  const OrtSession::Impl* session;
  Ort::IoBinding binding;
};

OrtBinding::OrtBinding(const OrtSession& session)
    : impl_(std::make_unique<Impl>(
          Impl{session.impl_.get(), Ort::IoBinding(session.impl_->session)})) {}
OrtBinding::~OrtBinding() = default;
OrtBinding::OrtBinding(OrtBinding&&) noexcept = default;

void OrtBinding::input(const std::string& name, const OrtTensor& tensor) {
  with_path(impl_->session->path,
            [&] { impl_->binding.BindInput(name.c_str(), value_of(tensor)); });
}

void OrtBinding::output(const std::string& name, const OrtTensor& tensor) {
  with_path(impl_->session->path,
            [&] { impl_->binding.BindOutput(name.c_str(), value_of(tensor)); });
}

void OrtBinding::run() const {
  const Ort::RunOptions& options = run_options();
  with_path(impl_->session->path, [&] { impl_->session->session.Run(options, impl_->binding); });
}

std::string ort_version() {
  return library().version;
}

}  // namespace lorapress
