// The project's own engine over files and threads: what src/engine leaves to its host.
#ifndef LORAPRESS_RUNTIME_NATIVE_NATIVE_SESSION_H_
#define LORAPRESS_RUNTIME_NATIVE_NATIVE_SESSION_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "engine/session.h"

namespace lorapress {

// Fails with a refusal of the engine: kUnsupported for what it does not know, kInvalidFile for what is no graph,
// kMismatch for a graph that is not the manifest's, kRuntime in a run. `file` stands before the message, unless empty.
[[noreturn]] void fail_refused(const engine::Refusal& refusal, const std::filesystem::path& file);

// A graph's file, loaded; `workers` share that work. Throws kNotFound, and as fail_refused().
std::unique_ptr<engine::Session> load_session(const std::filesystem::path& file,
                                              engine::Workers& workers);

// A graph's file and those beside it that have its weights. Throws kNotFound.
std::unique_ptr<engine::Sources> folder_sources(const std::filesystem::path& file);

// Runs `work`; a refusal in it becomes an Error, as by fail_refused().
void naming_file(const std::filesystem::path& file, const std::function<void()>& work);

// A graph alone.
class NativeSession {
 public:
  // Throws as load_session.
  NativeSession(std::filesystem::path file, engine::Workers& workers)
      : file_(std::move(file)), session_(load_session(file_, workers)) {}
  explicit NativeSession(std::filesystem::path file)
      : NativeSession(std::move(file), *std::make_unique<engine::Workers>()) {}

  [[nodiscard]] const engine::Session& graph() const { return *session_; }
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

  // feeds[i] is graph().inputs()[i]; results as many as outputs.
  void run(engine::Run& run,
           std::span<const engine::Tensor> feeds,
           std::span<engine::Tensor> results) const;

 private:
  std::filesystem::path file_;
  std::unique_ptr<engine::Session> session_;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_NATIVE_NATIVE_SESSION_H_
