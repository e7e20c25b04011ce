#include "caption_options.h"

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
  add_chat_options(command, arguments);
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
  add_threads(command, arguments.captioner.threads, "Threads of the engine (one per core)");
  add_engine(command, arguments.captioner.engine);
  add_generation_options(command, arguments, "caption");
  add_output(command, arguments);
  command.footer(kFooter);
}

}  // namespace lorapress::cli
