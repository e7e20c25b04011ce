#include "lorapress/caption.h"

#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "lorapress/caption_files.h"

#include "caption_options.h"
#include "command.h"
#include "messages.h"
#include "system.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kSomeFailed = 1;
constexpr int64_t kJsonlBatch = 8;

FileCaption with_flags_in(FileCaption file) {
  if (file.error) {
    file.error = with_flags(*file.error);
  }
  return file;
}

nlohmann::json to_json(const FileCaption& file) {
  return nlohmann::json::parse(to_json_line(with_flags_in(file)));
}

void report_error(const Error& error) {
  clear_progress();
  fmt::print(stderr, "lorapress: {}\n", one_line(with_flags(error).what()));
}

// Whole lines, for pipes, beams and batches.
void print_line(const FileCaption& file, const CaptionArguments& arguments, bool labelled) {
  fmt::print(
      "{}{}\n", labelled ? one_line(file.image.string()) + ": " : "", printable(file.caption.text));
  if (arguments.ids) {
    fmt::print("  {}\n", fmt::join(file.caption.ids, " "));
  }
}

// Text as it grows, for terminals.
FileCaption stream_line(const Captioner& captioner,
                        const CaptionArguments& arguments,
                        const fs::path& image,
                        bool labelled) {
  std::string label = labelled ? one_line(image.string()) + ": " : "";
  FileCaption file{image, {}, {}};
  try {
    file.caption = captioner.caption(image, arguments.generate, [&](std::string_view piece) {
      fmt::print("{}{}", std::exchange(label, ""), printable(piece));
      std::fflush(stdout);
    });
    fmt::print("{}\n", label);
  } catch (const Error& error) {
    fmt::print("{}", label.empty() ? "\n" : "");  // after what was printed already
    file.error = error;
    return file;
  }
  if (arguments.ids) {
    fmt::print("  {}\n", fmt::join(file.caption.ids, " "));
  }
  return file;
}

// Images that cannot be captioned are reported and the others captioned; if there is only one image,
// its error is the program's error.
int caption_images(const Captioner& captioner, const CaptionArguments& arguments) {
  const std::vector<fs::path> images(arguments.images.begin(), arguments.images.end());
  const bool several = images.size() > 1;
  nlohmann::json captions = nlohmann::json::array();
  bool failed = false;
  const auto take = [&](const FileCaption& file, bool printed) {
    if (file.error && !several) {
      throw Error(*file.error);
    }
    if (file.error) {
      failed = true;
      report_error(*file.error);
    } else if (!printed && !arguments.json) {
      print_line(file, arguments, several);
    }
    if (arguments.json) {
      captions.push_back(to_json(file));
    }
  };
  const int64_t batch = arguments.batch.value_or(1);
  if (is_terminal(stdout) && batch == 1 && !arguments.json) {
    for (const fs::path& image : images) {
      take(stream_line(captioner, arguments, image, several), true);
    }
  } else {
    caption_files(captioner, images, arguments.generate, batch, [&](const FileCaption& file) {
      take(file, false);
    });
  }
  if (arguments.json) {
    const GraphDtypes dtypes = captioner.dtypes();
    const nlohmann::json document{
        {"captions", captions},
        {"dtypes",
         {{"encoder", dtypes.encoder}, {"prefill", dtypes.prefill}, {"decoder", dtypes.decoder}}}};
    print_json(document);
  }
  return failed ? kSomeFailed : 0;
}

// Files by their names; a folder stands for the images in it.
std::vector<fs::path> walk(const std::vector<std::string>& names) {
  std::vector<fs::path> images;
  for (const std::string& name : names) {
    std::error_code error;
    if (!fs::is_directory(name, error)) {
      images.emplace_back(name);
      continue;
    }
    const std::vector<fs::path> found = find_images(name);
    if (found.empty()) {
      throw Error(
          ErrorCode::kNotFound,
          fmt::format("{}: no .jpg, .png, .webp, .gif, .bmp or .tiff file in it or below", name));
    }
    images.insert(images.end(), found.begin(), found.end());
  }
  return images;
}

// Removes images that the file already has; returns how many of these failed in an earlier run.
size_t skip_done(std::vector<fs::path>& images, const CaptionLog& log) {
  size_t failed = 0;
  std::erase_if(images, [&](const fs::path& image) {
    const CaptionLog::Entry entry = log.find(image);
    failed += entry == CaptionLog::Entry::kError ? 1 : 0;
    return entry != CaptionLog::Entry::kNone;
  });
  return failed;
}

// One line per image into a file or onto standard output.
int caption_jsonl(const Captioner& captioner, const CaptionArguments& arguments) {
  std::vector<fs::path> images = walk(arguments.images);
  const size_t all = images.size();
  std::optional<CaptionLog> log;
  size_t failed_before = 0;
  if (arguments.jsonl != "-") {
    log.emplace(arguments.jsonl);
    failed_before = skip_done(images, *log);
  }
  const ProgressFn progress = progress_bar("interrupted; the same command goes on from here");
  const size_t skipped = all - images.size();
  size_t done = 0;
  size_t failed = 0;
  progress({"caption", skipped, all});
  const auto take = [&](const FileCaption& file) {
    if (file.error) {
      ++failed;
      report_error(*file.error);
    }
    if (log) {
      log->add(with_flags_in(file));
    } else {
      fmt::print("{}\n", to_json_line(file));
      std::fflush(stdout);
    }
    progress({"caption", skipped + ++done, all});
  };
  const int64_t batch = arguments.batch.value_or(kJsonlBatch);
  caption_files(captioner, images, arguments.generate, batch, take);
  clear_progress();
  if (failed_before > 0) {
    fmt::print(stderr,
               "lorapress: {}: {} of these images failed in an earlier run; remove their lines to "
               "try again\n",
               one_line(arguments.jsonl),
               failed_before);
  }
  return failed + failed_before == 0 ? 0 : kSomeFailed;
}

int run_caption(const CaptionArguments& arguments) {
  check_options(arguments.generate);
  if (!arguments.jsonl.empty() && (arguments.json || arguments.ids)) {
    throw Error(ErrorCode::kInvalidArgument,
                "--jsonl with --json or --ids; its lines hold the ids, take one of them");
  }
  CaptionerOptions options = arguments.captioner;
  options.at_once = arguments.jsonl.empty() ? 1 : 0;
  const Captioner captioner(arguments.folder, options);
  if (const UsedEngine engine = captioner.engine(); !engine.note.empty()) {
    print_notes({engine.note});
  }
  return arguments.jsonl.empty() ? caption_images(captioner, arguments)
                                 : caption_jsonl(captioner, arguments);
}

}  // namespace

void add_caption(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<CaptionArguments>();
  CLI::App* command =
      app.add_subcommand("caption", "Caption images with a folder that press wrote");
  add_caption_options(*command, *arguments);
  command->callback([arguments, &run] {
    run = [arguments] {
      finish_generation_options(*arguments);
      return run_caption(*arguments);
    };
  });
}

}  // namespace lorapress::cli
