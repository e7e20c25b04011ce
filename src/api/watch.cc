// A watch remembers nothing but what OUT says: watch.json, and the folders and links whose names
// appear when they are whole.
#include "lorapress/watch.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "lorapress/caption.h"

#include "api/folder_files.h"
#include "api/run_checkpoints.h"
#include "api/watch_page.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/system.h"
#include "runtime/image/image.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr const char* kStateFile = "watch.json";
constexpr const char* kLockFile = ".watch.lock";
constexpr const char* kOldSuffix = ".old";
constexpr std::string_view kStep = "step-";
constexpr milliseconds kPulse{200};

// Held for as long as this process lives.
class WatchLock {
 public:
  explicit WatchLock(const fs::path& out)
      : file_(sys::open_file(out / kLockFile, sys::OpenAs::kEither)) {
    if (!file_.valid()) {
      fail(ErrorCode::kIo, "{}: {}", (out / kLockFile).string(), std::strerror(errno));
    }
    if (!sys::try_lock(file_.get())) {
      fail(ErrorCode::kExists, "{}: another watch writes to this folder", out.string());
    }
  }

 private:
  sys::Descriptor file_;
};

// A file with this text in place of the one before, whole at any moment.
void replace_text(const fs::path& path, std::string_view text) {
  const fs::path part = path.string() + ".part";
  fs::remove(part);
  write_text(part, text);
  fs::rename(part, path);
}

void point_link(const fs::path& link, const std::string& target) {
  std::error_code none;
  if (fs::read_symlink(link, none) == fs::path(target)) {
    return;
  }
  const fs::path part = link.string() + ".part";
  fs::remove(part);
  fs::create_directory_symlink(target, part);
  fs::rename(part, link);
}

std::string folder_of(int64_t step) {
  return fmt::format("{}{}", kStep, step);
}

class Watch {
 public:
  Watch(const WatchOptions& options, const WatchFn& report)
      : options_(options), report_(report), out_(prepared(options.out)), lock_(out_) {
    read_state();
    remove_leftovers();
    copy_images();
    replace_text(out_ / "index.html", kWatchPage);
    settle();
  }

  void run() {
    while (true) {
      look();
      if (options_.once) {
        return;
      }
      for (milliseconds waited{0}; waited < milliseconds(options_.interval_ms); waited += kPulse) {
        if (options_.progress) {
          options_.progress({"wait", 0, 1});  // may throw
        }
        std::this_thread::sleep_for(kPulse);
      }
    }
  }

 private:
  static fs::path prepared(const fs::path& out) {
    if (fs::exists(out) && !fs::is_directory(out)) {
      fail(ErrorCode::kExists, "{} exists and is no folder", out.string());
    }
    const bool known = fs::exists(out / kStateFile) || fs::exists(out / kLockFile);
    if (fs::exists(out) && !known && !fs::is_empty(out)) {
      fail(ErrorCode::kExists,
           "{} exists and is not the folder of a watch; give another OUT",
           out.string());
    }
    fs::create_directories(out);
    return fs::absolute(out);
  }

  // Steps of another run, or measured by another number, cannot be compared with these.
  void read_state() {
    const fs::path path = out_ / kStateFile;
    if (!fs::exists(path)) {
      return;
    }
    const Json state = read_json(path);
    const std::string where = path.string();
    const auto run = json_get<std::string>(state, "run", where);
    const auto metric = json_get<std::string>(state, "metric", where);
    if (run != fs::absolute(options_.run).string() || metric != options_.metric) {
      fail(ErrorCode::kMismatch,
           "{} is of the run {} by {}, not of {} by {}; give another OUT",
           where,
           run,
           metric,
           options_.run.string(),
           options_.metric);
    }
    const auto steps = state.find("steps");
    if (steps == state.end() || !steps->is_array()) {
      fail(ErrorCode::kInvalidFile, "{}: \"steps\" is no list", where);
    }
    for (const Json& entry : *steps) {
      WatchedStep step;
      step.step = json_get<int64_t>(entry, "step", where);
      step.error = json_or<std::string>(entry, "error", "", where);
      if (entry.contains("metric")) {
        step.metric = json_get<double>(entry, "metric", where);
      }
      for (const Json& said : entry.value("captions", Json::array())) {
        step.captions.push_back({json_get<std::string>(said, "image", where),
                                 json_get<std::string>(said, "text", where)});
      }
      steps_.push_back(std::move(step));
    }
  }

  void remove_leftovers() {
    for (const fs::directory_entry& entry : fs::directory_iterator(out_)) {
      if (entry.path().extension() == kOldSuffix) {
        fs::remove_all(entry.path());
      }
    }
  }

  void copy_images() {
    if (options_.images.empty()) {
      return;
    }
    if (!fs::is_directory(options_.images)) {
      fail(ErrorCode::kNotFound, "options.images {}: no such folder", options_.images.string());
    }
    std::vector<fs::path> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(options_.images)) {
      if (entry.is_regular_file() && is_image_name(entry.path())) {
        found.push_back(entry.path());
      }
    }
    std::ranges::sort(found);
    found.resize(std::min(found.size(), options_.most_images));
    if (found.empty()) {
      fail(ErrorCode::kNotFound,
           "options.images {}: no image in this folder",
           options_.images.string());
    }
    fs::create_directories(out_ / "images");
    for (const fs::path& image : found) {
      const fs::path copy = out_ / "images" / image.filename();
      if (!fs::exists(copy)) {
        const fs::path part = copy.string() + ".part";
        fs::remove(part);
        lorapress::copy_file(image, part);
        fs::rename(part, copy);
      }
      images_.push_back(copy);
    }
  }

  [[nodiscard]] bool known(int64_t step) const {
    return std::ranges::any_of(steps_, [&](const WatchedStep& s) { return s.step == step; });
  }

  void look() {
    for (const auto& [step, folder] : run_checkpoints(options_.run)) {
      // A training that began again from an older checkpoint writes the same steps again.
      if (known(step) || (!steps_.empty() && step < steps_.back().step)) {
        continue;
      }
      std::string why;
      if (const auto checkpoint = read_run_checkpoint(folder, step, options_.metric, why)) {
        take(step, folder, *checkpoint);
      }
    }
  }

  void take(int64_t step, const fs::path& folder, const RunCheckpoint& checkpoint) {
    WatchedStep made;
    made.step = step;
    made.metric = checkpoint.metric;
    const fs::path target = out_ / folder_of(step);
    try {
      PressOptions options = options_.press;
      options.source.checkpoint = folder;
      options.out = target;
      options.force = true;  // a killed watch may have pressed it without saying so
      options.progress = options_.progress;
      press(options);
      made.captions = captions(target);
    } catch (const Error& error) {
      if (!fs::exists(folder)) {
        return;  // the training removed it meanwhile
      }
      if (error.code() == ErrorCode::kIo) {
        throw;  // a full disk, or Ctrl-C
      }
      made.error = error.what();
      fs::remove_all(target);
    }
    steps_.push_back(std::move(made));
    settle();
    report_(steps_.back());
  }

  [[nodiscard]] std::vector<WatchedCaption> captions(const fs::path& folder) const {
    std::vector<WatchedCaption> said;
    if (images_.empty()) {
      return said;
    }
    const Captioner captioner(folder, {"", options_.press.threads, options_.press.engine});
    for (const fs::path& image : images_) {
      said.push_back({image.filename().string(), captioner.caption(image).text});
    }
    return said;
  }

  [[nodiscard]] const WatchedStep* best() const {
    const bool low = options_.metric.find("loss") != std::string::npos;
    const WatchedStep* found = nullptr;
    for (const WatchedStep& step : steps_) {
      if (step.metric && step.error.empty() &&
          (found == nullptr ||
           (low ? *step.metric < *found->metric : *step.metric > *found->metric))) {
        found = &step;
      }
    }
    return found;
  }

  // Makes OUT say what steps_ says; every part of it may have been done before.
  void settle() {
    const WatchedStep* top = best();
    const WatchedStep* newest = nullptr;
    for (WatchedStep& step : steps_) {
      step.best = &step == top;
      newest = step.error.empty() ? &step : newest;
    }
    if (newest != nullptr) {
      point_link(out_ / "newest", folder_of(newest->step));
    }
    if (top != nullptr) {
      point_link(out_ / "best", folder_of(top->step));
    }
    replace_text(out_ / kStateFile,
                 state().dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    for (const fs::directory_entry& entry : fs::directory_iterator(out_)) {
      const std::string name = entry.path().filename().string();
      const bool kept = (newest != nullptr && name == folder_of(newest->step)) ||
                        (top != nullptr && name == folder_of(top->step));
      if (name.starts_with(kStep) && !kept && entry.is_directory()) {
        const fs::path old = entry.path().string() + kOldSuffix;
        fs::rename(entry.path(), old);
        fs::remove_all(old);
      }
    }
  }

  [[nodiscard]] Json state() const {
    Json state = {{"run", fs::absolute(options_.run).string()},
                  {"metric", options_.metric},
                  {"steps", Json::array()}};
    for (const WatchedStep& step : steps_) {
      Json entry = {{"step", step.step}, {"best", step.best}};
      if (step.metric) {
        entry["metric"] = *step.metric;
      }
      if (!step.error.empty()) {
        entry["error"] = step.error;
      }
      for (const WatchedCaption& said : step.captions) {
        entry["captions"].push_back({{"image", said.image}, {"text", said.text}});
      }
      state["steps"].push_back(std::move(entry));
    }
    return state;
  }

  const WatchOptions& options_;
  const WatchFn& report_;
  fs::path out_;
  WatchLock lock_;
  std::vector<fs::path> images_;
  std::vector<WatchedStep> steps_;
};

}  // namespace

void watch(const WatchOptions& options, const WatchFn& report) {
#if defined(_WIN32)
  fail(
      ErrorCode::kUnsupported,
      "watch keeps links to folders (newest, best), which not everybody may make on Windows; run it in WSL");
#endif
  with_file_errors([&] {
    run_checkpoints(options.run);  // throws where there is none
    protect_sources(options.out, {options.run});
    Watch(options, report).run();
  });
}

}  // namespace lorapress
