#include "runtime/native/native_session.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/fail.h"
#include "base/file.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

class FileSource final : public engine::Source {
 public:
  explicit FileSource(const fs::path& path) : file_(path) {}
  [[nodiscard]] uint64_t size() const override { return file_.size(); }
  void read(uint64_t offset, std::span<std::byte> out) const override {
    file_.read_at(offset, out);
  }

 private:
  InputFile file_;
};

// Files of one folder, each opened once.
class FolderSources final : public engine::Sources {
 public:
  explicit FolderSources(const fs::path& graph) : folder_(graph.parent_path()), graph_(graph) {}

  [[nodiscard]] const engine::Source& graph() const override { return graph_; }
  [[nodiscard]] std::shared_ptr<const engine::Source> open(const std::string& name) const override {
    const fs::path path(name);
    const bool inside =
        !path.empty() && !path.has_root_path() && std::ranges::count(path, fs::path("..")) == 0;
    if (!inside) {
      engine::refuse(engine::Problem::kInvalid,
                     "external data in " + name + ", outside of the folder");
    }
    std::shared_ptr<const engine::Source>& source = opened_[name];
    if (source == nullptr) {
      source = std::make_shared<FileSource>(folder_ / path);
    }
    return source;
  }

 private:
  fs::path folder_;
  FileSource graph_;
  mutable std::map<std::string, std::shared_ptr<const engine::Source>> opened_;
};

ErrorCode code_of(engine::Problem problem) {
  switch (problem) {
    case engine::Problem::kUnsupported:
      return ErrorCode::kUnsupported;
    case engine::Problem::kInvalid:
      return ErrorCode::kInvalidFile;
    case engine::Problem::kMismatch:
      return ErrorCode::kMismatch;
    case engine::Problem::kRun:
      break;
  }
  return ErrorCode::kRuntime;
}

}  // namespace

std::unique_ptr<engine::Sources> folder_sources(const fs::path& file) {
  return std::make_unique<FolderSources>(file);
}

void naming_file(const fs::path& file, const std::function<void()>& work) {
  try {
    work();
  } catch (const engine::Refusal& refusal) {
    fail_refused(refusal, file);
  }
}

void fail_refused(const engine::Refusal& refusal, const fs::path& file) {
  if (file.empty()) {
    fail(code_of(refusal.problem), "{}", refusal.message);
  }
  fail(code_of(refusal.problem), "{}: {}", file.string(), refusal.message);
}

std::unique_ptr<engine::Session> load_session(const fs::path& file, engine::Workers& workers) {
  try {
    return std::make_unique<engine::Session>(FolderSources(file), workers);
  } catch (const engine::Refusal& refusal) {
    fail_refused(refusal, file);
  }
}

void NativeSession::run(engine::Run& run,
                        std::span<const engine::Tensor> feeds,
                        std::span<engine::Tensor> results) const {
  naming_file(file_, [&] { session_->run(run, feeds, results); });
}

}  // namespace lorapress
