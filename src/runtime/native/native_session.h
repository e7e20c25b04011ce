// The project's own engine over files and threads: what src/engine leaves to its host.
#ifndef LORAPRESS_RUNTIME_NATIVE_NATIVE_SESSION_H_
#define LORAPRESS_RUNTIME_NATIVE_NATIVE_SESSION_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "engine/session.h"

namespace lorapress {

// The pool as the engine sees it.
class PoolWorkers final : public engine::Workers {
 public:
  explicit PoolWorkers(unsigned threads) : pool_(threads) {}
  [[nodiscard]] unsigned count() const override { return pool_.count(); }
  void run(int64_t parts, Work work, void* data) override { pool_.run(parts, work, data); }

 private:
  ThreadPool pool_;
};

// A graph's file and those beside it that have its weights. Throws kNotFound.
std::unique_ptr<engine::Sources> folder_sources(const std::filesystem::path& file);

// Runs `work`; a Refusal becomes an Error that names the file: kUnsupported for what the engine does not know,
// kInvalidFile for what is no graph, kRuntime in a run.
void naming_file(const std::filesystem::path& file, const std::function<void()>& work);

// A graph's file, loaded. Refusals of the engine are Errors that name the file: kUnsupported for what
// it does not know, kInvalidFile for what is no graph, kRuntime in a run.
class NativeSession {
 public:
  // Throws kNotFound, too.
  explicit NativeSession(std::filesystem::path file);

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
