#include "lorapress/generate.h"

#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "generation_options.h"
#include "messages.h"
#include "system.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

constexpr const char* kGenerateFooter =
    "Writes what the model adds to a prompt, as it comes. Prompts of chat models go through the\n"
    "folder's chat template. What is not given is the folder's own setting (press takes them from the\n"
    "checkpoint's generation_config.json), and where it has none, what stands in brackets. Names and\n"
    "meanings are those of transformers' generate(), and so are the results, token for token.\n"
    "\n"
    "  lorapress generate model \"Once upon a time\"\n"
    "  lorapress generate model \"Why is the sky blue?\" --system \"Answer in one line.\"\n"
    "  lorapress generate model - < prompt.txt                 a line break at its end is left out\n"
    "  lorapress generate model \"Hello\" --temperature 0.8 --top-p 0.9 --seed 7\n"
    "\n"
    "Exit codes: 0 generated, 2 bad arguments or a bad model.";

struct GenerateArguments : GenerationArguments {
  std::string folder;
  std::vector<std::string> prompts;
  TextGeneratorOptions generator;
  bool ids = false;
  bool json = false;
};

std::string read_standard_input() {
  constexpr size_t kMost = size_t{64} << 20;
  std::string text;
  char buffer[1 << 16];
  while (std::cin.read(buffer, sizeof buffer) || std::cin.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(std::cin.gcount()));
    if (text.size() > kMost) {
      throw Error(ErrorCode::kInvalidArgument, "standard input is longer than 64 MB");
    }
  }
  if (text.ends_with('\n')) {
    text.pop_back();
  }
  return text;
}

// Bytes as they are for files and pipes.
void write(std::string_view piece) {
  const bool terminal = is_terminal(stdout);
  fmt::print("{}", terminal ? printable(piece) : std::string(piece));
  std::fflush(stdout);
}

nlohmann::json to_json(const std::string& prompt, const GeneratedText& generated) {
  nlohmann::json json = {{"prompt", prompt},
                         {"text", generated.text},
                         {"ids", generated.ids},
                         {"prompt_tokens", generated.prompt_tokens},
                         {"prefill_ms", generated.prefill_ms},
                         {"decode_ms", generated.decode_ms}};
  if (generated.score != 0.0) {
    json["score"] = generated.score;
  }
  return json;
}

int run_generate(GenerateArguments& arguments) {
  check_options(arguments.generate);
  if (arguments.prompts.empty()) {
    arguments.prompts.emplace_back();  // the folder's own
  }
  for (std::string& prompt : arguments.prompts) {
    if (prompt == "-") {
      prompt = read_standard_input();
    }
  }
  const TextGenerator generator(arguments.folder, arguments.generator);
  if (const UsedEngine engine = generator.engine(); !engine.note.empty()) {
    print_notes({engine.note});
  }
  nlohmann::json texts = nlohmann::json::array();
  for (const std::string& prompt : arguments.prompts) {
    arguments.generate.prompt = prompt;
    if (arguments.json) {
      texts.push_back(to_json(prompt, generator.generate(arguments.generate)));
      continue;
    }
    const GeneratedText generated = generator.generate(arguments.generate, write);
    fmt::print("\n");
    if (arguments.ids) {
      fmt::print("  {}\n", fmt::join(generated.ids, " "));
    }
  }
  if (arguments.json) {
    const GraphDtypes dtypes = generator.dtypes();
    const nlohmann::json graphs = {{"prefill", dtypes.prefill}, {"decoder", dtypes.decoder}};
    print_json({{"texts", texts}, {"dtypes", graphs}});
  }
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* command = app.add_subcommand(
      "generate", "Generate text with a folder that press wrote of a decoder alone");
  command->add_option("MODEL_DIR", arguments->folder, "Folder with lorapress.json")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("PROMPT",
                   arguments->prompts,
                   "What is continued, or of a chat model the question; - is standard input (the "
                   "folder's own)")
      ->type_name("WORDS");
  command
      ->add_option(
          "--dtype",
          arguments->generator.dtype,
          "Which of the folder's dtypes (its default); one per call as in "
          "prefill=q8,decoder=q4 (prefill: the first, of the prompt); auto: what is fastest "
          "here")
      ->type_name("NAME");
  add_chat_options(*command, *arguments);
  add_threads(*command, arguments->generator.threads, "Threads of the engine (one per core)");
  add_engine(*command, arguments->generator.engine);
  add_generation_options(*command, *arguments, "text");
  command->add_flag("--ids", arguments->ids, "Also print the token ids")->group("Output");
  command
      ->add_flag("--json",
                 arguments->json,
                 "Print one JSON document at the end: {\"texts\": [{prompt, text, ids, ...}]}")
      ->group("Output");
  command->footer(kGenerateFooter);
  command->callback([arguments, &run] {
    run = [arguments] {
      finish_generation_options(*arguments);
      return run_generate(*arguments);
    };
  });
}

}  // namespace lorapress::cli
