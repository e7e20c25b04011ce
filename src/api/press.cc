#include "lorapress/press.h"

#include "api/folder_files.h"
#include "api/press_plan.h"
#include "api/press_write.h"
#include "api/trial_run.h"
#include "base/file.h"
#include "base/stopwatch.h"
#include "runtime/engines.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

void try_once(const PressOptions& options, const fs::path& folder, PressReport& report) {
  const auto tell = [&](uint64_t done) {
    if (options.progress) {
      options.progress({"caption", done, 1});
    }
  };
  Stopwatch watch;
  tell(0);
  TrialResult tried = trial_run(folder, {options.engine});
  report.caption = std::move(tried.caption);
  report.caption_dtype = std::move(tried.dtype);
  std::ranges::move(tried.notes, std::back_inserter(report.notes));
  tell(1);  // the last chance to cancel
  report.caption_seconds = watch.lap();
}

PressReport run(const PressOptions& options, bool verify) {
  Stopwatch watch;
  check_engine(options.engine);
  PressReport report;
  PressPlan plan(options, report);
  report.read_seconds = watch.lap();
  protect_sources(plan.folder(), plan.checkpoint().folders);
  StagedOutput staged(plan.folder(), options.force, kOwnFolders);
  PressReport made = staged.fill([&](const fs::path& folder) {
    plan.author(report.notes);
    report.author_seconds = watch.lap();
    write_press(plan, folder, report.notes);
    report.files = list_files(folder);
    report.write_seconds = watch.lap();
    if (verify) {
      try_once(options, folder, report);
    }
    return std::move(report);
  });
  std::ranges::copy(staged.notes(), std::back_inserter(made.notes));
  return made;
}

}  // namespace

PressReport press(const PressOptions& options) {
  return with_file_errors([&] { return run(options, true); });
}

PressReport export_bundle(const PressOptions& options) {
  return with_file_errors([&] { return run(options, false); });
}

std::vector<BundleInfo> known_bundles() {
  std::vector<BundleInfo> known;
  for (const Bundle* row : bundles()) {
    known.push_back({std::string(row->name), std::string(row->summary)});
  }
  return known;
}

}  // namespace lorapress
