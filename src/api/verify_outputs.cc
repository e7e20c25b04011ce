#include "api/verify_outputs.h"

#include <algorithm>
#include <iterator>

#include "base/fail.h"
#include "base/file.h"
#include "base/staged_files.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

void check_output(const fs::path& file, std::string_view what, bool force) {
  if (file.empty()) {
    return;
  }
  const fs::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound, "{}: no such folder for the {}", folder.string(), what);
  }
  if (fs::exists(fs::symlink_status(file)) && (!force || !fs::is_regular_file(file))) {
    fail(ErrorCode::kExists,
         "{}: exists already; choose another name or replace a file with options.force",
         file.string());
  }
}

void write_output(const fs::path& file, bool force, const std::string& text, VerifyReport& report) {
  if (file.empty()) {
    return;
  }
  StagedFiles staged(file, force);
  std::ranges::copy(staged.notes(), std::back_inserter(report.notes));
  staged.fill([&](const fs::path& path) {
    write_text(path, text);
    return 0;
  });
}

}  // namespace

void check_outputs(const VerifyOptions& options) {
  check_output(options.html, "page", options.force);
  check_output(options.trace, "trace", options.force);
}

void write_outputs(const VerifyOptions& options, VerifyReport& report) {
  const std::string title = options.model.filename().empty()
                                ? options.model.parent_path().filename().string()
                                : options.model.filename().string();
  write_output(options.trace, options.force, report.trace, report);
  write_output(options.html,
               options.force,
               options.html.empty() ? std::string() : verify_page(report, title),
               report);
}

}  // namespace lorapress
