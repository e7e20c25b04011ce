// The project's own engine over files and threads: what src/engine leaves to its host.
#ifndef LORAPRESS_RUNTIME_NATIVE_NATIVE_SESSION_H_
#define LORAPRESS_RUNTIME_NATIVE_NATIVE_SESSION_H_

#include <filesystem>
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

// Fails with a refusal of the engine: kUnsupported for what it does not know, kInvalidFile for what is no graph,
// kMismatch for a graph that is not the manifest's, kRuntime in a run. `file` stands before the message, unless empty.
[[noreturn]] void fail_refused(const engine::Refusal& refusal, const std::filesystem::path& file);

// A graph's file, loaded. Throws kNotFound, and as fail_refused().
std::unique_ptr<engine::Session> load_session(const std::filesystem::path& file);

// A graph alone.
class NativeSession {
 public:
  // Throws as load_session.
  explicit NativeSession(std::filesystem::path file)
      : file_(std::move(file)), session_(load_session(file_)) {}

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
