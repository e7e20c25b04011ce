#include "caption_options.h"

#include <string_view>

#include "command.h"

namespace lorapress::cli {
namespace {

constexpr const char* kFooter =
    "What is not given is the folder's own setting (press takes them from the checkpoint's\n"
    "generation_config.json; `lorapress inspect` shows them), and where it has none, what stands\n"
    "in brackets: the likeliest token at each step. Names and meanings are those of transformers'\n"
    "generate(), and so are the results, token for token.\n"
    "\n"
    "  lorapress caption model photo.jpg                      one caption\n"
    "  lorapress caption model photo.jpg --prompt \"a photo of\"\n"
    "  lorapress caption model photo.jpg --num-beams 3        slower, often better\n"
    "  lorapress caption model photo.jpg --temperature 0.8 --top-p 0.9 --seed 7\n"
    "  lorapress caption model photos/ --jsonl captions.jsonl a folder; run again to go on\n"
    "  lorapress caption model photos/ --jsonl - | jq -r .text\n"
    "\n"
    "Exit codes: 0 all captioned, 1 some images could not be, 2 bad arguments or a bad model.";

void add_inputs(CLI::App& command, CaptionArguments& arguments) {
  command.add_option("MODEL_DIR", arguments.folder, "Folder with lorapress.json")
      ->required()
      ->type_name("DIR");
  command
      .add_option(
          "IMAGE",
          arguments.images,
          "JPEG, PNG, WebP, GIF, BMP or TIFF files; with --jsonl also folders, which are walked")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--dtype",
                  arguments.captioner.dtype,
                  "Which of the folder's dtypes (its default); one per part as in "
                  "encoder=q8,prefill=q8,decoder=q4 (prefill: the decoder's first call); "
                  "auto: what is fastest here")
      ->type_name("NAME");
  command
      .add_option(
          "--prompt",
          arguments.generate.prompt,
          "Text after the image, which the caption continues; of a chat model the question (the folder's "
          "own, else none)")
      ->type_name("WORDS");
  command.add_option("--system", arguments.generate.system, "A chat model's system message (none)")
      ->type_name("WORDS");
  command.add_flag("--raw-prompt",
                   arguments.generate.raw_prompt,
                   "The prompt as it is, without the folder's chat template");
}

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

void add_beams(CLI::App& command, CaptionArguments& arguments) {
  GenerateOptions& generate = arguments.generate;
  command
      .add_option("--num-beams",
                  generate.num_beams,
                  "Keep the N likeliest captions at each step and take the best, 1 to 64 (1)")
      ->type_name("N")
      ->group("Beam search");
  command
      .add_option("--length-penalty",
                  generate.length_penalty,
                  "A beam's score is its log-probability over length^X: above 0 favours long "
                  "captions (1)")
      ->type_name("X")
      ->group("Beam search");
  command
      .add_option("--early-stopping",
                  arguments.early_stopping,
                  "true: end when N captions are finished; false: when none of the present length "
                  "is better; never: when none can get better (false)")
      ->check(CLI::IsMember({"false", "true", "never"}).description(""))
      ->type_name("WHEN")
      ->group("Beam search");
}

void add_sampling(CLI::App& command, CaptionArguments& arguments) {
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
                  "0 to 4294967295; the same seed gives an image the same caption (0)")
      ->type_name("N")
      ->group(group);
}

void add_output(CLI::App& command, CaptionArguments& arguments) {
  command
      .add_option("--jsonl",
                  arguments.jsonl,
                  "One line per image: {image, text, ids, ...} or {image, error}. Images that FILE "
                  "has already are skipped; - is standard output")
      ->check(CLI::Validator(
          [](std::string& name) { return name.empty() ? "is empty" : std::string(); }, ""))
      ->type_name("FILE")
      ->group("Output");
  command
      .add_option("--batch",
                  arguments.batch,
                  "Images decoded together, 1 to 256: faster, with the same captions (1; with "
                  "--jsonl 8)")
      ->check(number(1, 256))
      ->type_name("N")
      ->group("Output");
  command.add_flag("--ids", arguments.ids, "Also print the token ids")->group("Output");
  command
      .add_flag("--json",
                arguments.json,
                "Print one JSON document: {\"captions\": [{image, text, ids, ...}]}")
      ->group("Output");
}

}  // namespace

void add_caption_options(CLI::App& command, CaptionArguments& arguments) {
  add_inputs(command, arguments);
  add_threads(command, arguments.captioner.threads, "Threads of ONNX Runtime (one per core)");
  add_length(command, arguments.generate);
  add_beams(command, arguments);
  add_sampling(command, arguments);
  add_output(command, arguments);
  command.footer(kFooter);
}

void finish_caption_options(CaptionArguments& arguments) {
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
