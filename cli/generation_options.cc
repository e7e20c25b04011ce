#include "generation_options.h"

#include <string_view>

#include "command.h"

namespace lorapress::cli {
namespace {

void add_length(CLI::App& command, GenerateOptions& generate) {
  command
      .add_option("--max-new-tokens",
                  generate.max_new_tokens,
                  "Stop after this many (the folder's own setting)")
      ->check(number(1, 1 << 20))
      ->type_name("N")
      ->group("Length and repetition");
  command
      .add_option("--min-new-tokens", generate.min_new_tokens, "Do not end before this many (0)")
      ->type_name("N")
      ->group("Length and repetition");
  command
      .add_option("--repetition-penalty",
                  generate.repetition_penalty,
                  "Above 1: tokens that came already get less likely (1)")
      ->type_name("X")
      ->group("Length and repetition");
  command
      .add_option("--no-repeat-ngram-size",
                  generate.no_repeat_ngram_size,
                  "No sequence of N tokens twice (0: off)")
      ->type_name("N")
      ->group("Length and repetition");
}

void add_beams(CLI::App& command, GenerationArguments& arguments, const std::string& what) {
  GenerateOptions& generate = arguments.generate;
  command
      .add_option("--num-beams",
                  generate.num_beams,
                  "Keep the N likeliest " + what + "s at each step and take the best, 1 to 64 (1)")
      ->type_name("N")
      ->group("Beam search");
  command
      .add_option("--length-penalty",
                  generate.length_penalty,
                  "A beam's score is its log-probability over length^X: above 0 favours long " +
                      what + "s (1)")
      ->type_name("X")
      ->group("Beam search");
  command
      .add_option("--early-stopping",
                  arguments.early_stopping,
                  "true: end when N " + what +
                      "s are finished; false: when none of the present length "
                      "is better; never: when none can get better (false)")
      ->check(CLI::IsMember({"false", "true", "never"}).description(""))
      ->type_name("WHEN")
      ->group("Beam search");
}

void add_sampling(CLI::App& command, GenerationArguments& arguments, const std::string& what) {
  const std::string group = "Sampling (any of these turns it on)";
  command
      .add_option("--do-sample",
                  arguments.do_sample,
                  "true: draw tokens; false: take the likeliest, whatever the folder says")
      ->check(CLI::IsMember({"true", "false"}).description(""))
      ->type_name("BOOL")
      ->group(group);
  command
      .add_option("--temperature",
                  arguments.generate.temperature,
                  "Below 1 bolder towards the likely, above 1 more random (1)")
      ->type_name("X")
      ->group(group);
  command
      .add_option("--top-k", arguments.generate.top_k, "Draw from the K likeliest tokens (0: all)")
      ->type_name("K")
      ->group(group);
  command
      .add_option("--top-p",
                  arguments.generate.top_p,
                  "Draw from the fewest tokens whose probabilities reach P (1: all)")
      ->type_name("P")
      ->group(group);
  command
      .add_option("--seed",
                  arguments.seed,
                  what == "caption"
                      ? "0 to 4294967295; the same seed gives an image the same caption (0)"
                      : "0 to 4294967295; the same seed gives a prompt the same text (0)")
      ->type_name("N")
      ->group(group);
}

}  // namespace

void add_chat_options(CLI::App& command, GenerationArguments& arguments) {
  command.add_option("--system", arguments.generate.system, "A chat model's system message (none)")
      ->type_name("WORDS");
  command.add_flag("--raw-prompt",
                   arguments.generate.raw_prompt,
                   "The prompt as it is, without the folder's chat template");
}

void add_generation_options(CLI::App& command,
                            GenerationArguments& arguments,
                            const std::string& what) {
  add_length(command, arguments.generate);
  add_beams(command, arguments, what);
  add_sampling(command, arguments, what);
}

void finish_generation_options(GenerationArguments& arguments) {
  GenerateOptions& generate = arguments.generate;
  if (!arguments.early_stopping.empty()) {
    const std::string_view early = arguments.early_stopping;
    generate.early_stopping = early == "true"    ? EarlyStopping::kFirst
                              : early == "never" ? EarlyStopping::kNever
                                                 : EarlyStopping::kHeuristic;
  }
  if (!arguments.do_sample.empty()) {
    generate.do_sample = arguments.do_sample == "true";
  } else if (generate.temperature || generate.top_k || generate.top_p || arguments.seed) {
    generate.do_sample = true;
  }
  generate.seed = arguments.seed.value_or(generate.seed);
}

}  // namespace lorapress::cli
