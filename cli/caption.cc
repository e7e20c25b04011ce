#include "lorapress/caption.h"

#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <unistd.h>
#include <utility>

#include "command.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

constexpr int kSomeFailed = 1;

struct CaptionArguments {
  std::string folder;
  std::vector<std::string> images;
  CaptionerOptions captioner;
  GenerateOptions generate;
  bool ids = false;
  bool json = false;
};

nlohmann::json to_json(const std::string& image, const Caption& caption) {
  return {{"image", image},
          {"text", caption.text},
          {"ids", caption.ids},
          {"encode_ms", caption.encode_ms},
          {"prefill_ms", caption.prefill_ms},
          {"decode_ms", caption.decode_ms}};
}

// Streams to a terminal, prints whole lines into a pipe.
void caption_line(const Captioner& captioner,
                  const CaptionArguments& arguments,
                  const std::string& image) {
  std::string label = arguments.images.size() > 1 ? one_line(image) + ": " : "";
  const bool stream = isatty(STDOUT_FILENO) == 1;
  const TextFn show = [&label](std::string_view piece) {
    fmt::print("{}{}", std::exchange(label, ""), printable(piece));
    std::fflush(stdout);
  };
  const Caption caption = captioner.caption(image, arguments.generate, stream ? show : TextFn{});
  fmt::print("{}{}\n", label, stream ? "" : printable(caption.text));
  if (arguments.ids) {
    fmt::print("  {}\n", fmt::join(caption.ids, " "));
  }
}

// An image that cannot be read is reported, the rest is done.
int run_caption(const CaptionArguments& arguments) {
  const Captioner captioner(arguments.folder, arguments.captioner);
  nlohmann::json captions = nlohmann::json::array();
  size_t failed = 0;
  for (const std::string& image : arguments.images) {
    try {
      if (arguments.json) {
        captions.push_back(to_json(image, captioner.caption(image, arguments.generate)));
      } else {
        caption_line(captioner, arguments, image);
      }
    } catch (const Error& error) {
      if (arguments.images.size() == 1) {
        throw;
      }
      ++failed;
      captions.push_back(
          {{"image", image}, {"error", {{"code", error.code_name()}, {"message", error.what()}}}});
      fmt::print(stderr, "lorapress: {}\n", one_line(error.what()));
    }
  }
  if (arguments.json) {
    fmt::print("{}\n",
               nlohmann::json{{"captions", captions}}.dump(
                   2, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return failed == 0 ? 0 : kSomeFailed;
}

}  // namespace

void add_caption(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<CaptionArguments>();
  CLI::App* command =
      app.add_subcommand("caption", "Caption images with a folder that press wrote");
  command->add_option("MODEL_DIR", arguments->folder, "Folder with lorapress.json")
      ->required()
      ->type_name("DIR");
  command->add_option("IMAGE", arguments->images, "JPEG, PNG or WebP files")
      ->required()
      ->type_name("FILE");
  command
      ->add_option(
          "--dtype", arguments->captioner.dtype, "Which of the folder's dtypes (its default)")
      ->type_name("NAME");
  command
      ->add_option("--max-new-tokens",
                   arguments->generate.max_new_tokens,
                   "Stop after this many (the folder's own setting)")
      ->check(number(1, 1 << 20))
      ->type_name("N");
  command
      ->add_option(
          "--prompt", arguments->generate.prompt, "Text after the image; the caption continues it")
      ->type_name("WORDS");
  add_threads(*command, arguments->captioner.threads, "Threads of ONNX Runtime (one per core)");
  command->add_flag("--ids", arguments->ids, "Also print the token ids");
  command->add_flag("--json",
                    arguments->json,
                    "Print one JSON document: {\"captions\": [{image, text, ids, ...}]}");
  command->callback([arguments, &run] { run = [arguments] { return run_caption(*arguments); }; });
}

}  // namespace lorapress::cli
