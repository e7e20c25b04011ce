// lorapress: dispatch and exit codes. 0: everything succeeded. 1: a check failed or some images could
// not be captioned. 2: bad input or bad arguments, one line on standard error. 3: a defect of
// LoraPress.
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "lorapress/c_api.h"
#include "lorapress/error.h"

#include "command.h"
#include "messages.h"
#include "system.h"
#include "terminal.h"

namespace {

constexpr int kBadInput = 2;
constexpr int kDefect = 3;

constexpr const char* kDescription =
    "LoraPress turns a LoRA-tuned vision-language checkpoint into a folder that a browser runs.\n"
    "\n"
    "  lorapress press CHECKPOINT OUT     merge, export, check, caption once\n"
    "  lorapress caption OUT photo.jpg    caption an image with the result\n"
    "  lorapress generate OUT \"Hello\"    generate text, where CHECKPOINT is a decoder alone\n"
    "  lorapress quantize IN.onnx OUT.onnx --dtype q4    any ONNX file, smaller\n"
    "\n"
    "Each command explains itself: lorapress press --help";

void report(const lorapress::Error& error, bool json) {
  lorapress::cli::clear_progress();
  if (json) {
    lorapress::cli::print_json(
        {{"error", {{"code", error.code_name()}, {"message", error.what()}}}});
  }
  const std::string line = "lorapress: " + lorapress::cli::one_line(error.what()) + "\n";
  std::fputs(line.c_str(), stderr);
}

lorapress::Error usage_error(const CLI::App& app,
                             const CLI::ParseError& error,
                             std::string_view first) {
  const auto chosen = app.get_subcommands();
  if (!chosen.empty()) {
    return {lorapress::ErrorCode::kInvalidArgument,
            fmt::format("{}; see lorapress {} --help", error.what(), chosen[0]->get_name())};
  }
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    commands.push_back(command->get_name());
  }
  const std::string what =
      first.empty() ? "no command is given" : fmt::format("{} is not a command", first);
  return {lorapress::ErrorCode::kInvalidArgument,
          fmt::format("{} (there are {}); see lorapress --help", what, fmt::join(commands, ", "))};
}

// A full disk behind `> report.json` shows only here.
void flush_output() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw lorapress::Error(lorapress::ErrorCode::kIo, "cannot write to standard output");
  }
}

}  // namespace

#if defined(LORAPRESS_ONE_COPY)
extern "C" LORAPRESS_API int lorapress_main(int argc, char** argv);
extern "C" int lorapress_main(int argc, char** argv) {  // cmake/launcher.cc calls it
#else
int main(int argc, char** argv) {
#endif
  CLI::App app(kDescription, "lorapress");
  app.set_version_flag(
      "--version",
      "lorapress " LORAPRESS_VERSION,
      "Version; with --json also the commit, the compiler and the libraries that are linked");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  lorapress::cli::Run run;
  lorapress::cli::add_press(app, run);
  lorapress::cli::add_export(app, run);
  lorapress::cli::add_merge(app, run);
  lorapress::cli::add_quantize(app, run);
  lorapress::cli::add_caption(app, run);
  lorapress::cli::add_generate(app, run);
  lorapress::cli::add_verify(app, run);
  lorapress::cli::add_score(app, run);
  lorapress::cli::add_inspect(app, run);
  lorapress::cli::add_families(app, run);
  lorapress::cli::add_bench(app, run);
  lorapress::cli::add_serve(app, run);
  lorapress::cli::add_deploy(app, run);
  lorapress::cli::add_upload(app, run);
  lorapress::cli::add_watch(app, run);
  lorapress::cli::learn_flags(app);
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    json = json || std::string_view(argv[i]) == "--json";
  }
  lorapress::cli::prepare_process();
  try {
    app.parse(argc, argv);
    const int code = run();
    flush_output();
    return code;
  } catch (const CLI::ParseError& error) {
    if (json && error.get_name() == "CallForVersion") {
      lorapress::cli::print_version_json();
      return 0;
    }
    if (error.get_exit_code() == 0) {
      return app.exit(error);  // --help, --version
    }
    report(usage_error(app, error, argc > 1 ? argv[1] : ""), json);
    return kBadInput;
  } catch (const lorapress::Error& error) {
    report(lorapress::cli::with_flags(error), json);
    return kBadInput;
  } catch (const std::bad_alloc&) {
    report({lorapress::ErrorCode::kIo, "out of memory"}, json);
    return kBadInput;
  } catch (const std::system_error& error) {
    report({lorapress::ErrorCode::kIo, error.what()}, json);
    return kBadInput;
  } catch (const std::exception& error) {
    report({lorapress::ErrorCode::kRuntime,
            fmt::format("defect in LoraPress, please report it: {}", error.what())},
           json);
    return kDefect;
  }
}
