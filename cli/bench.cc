#include "lorapress/bench.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "lorapress/error.h"

#include "child.h"
#include "command.h"
#include "messages.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

using nlohmann::json;

struct BenchArguments {
  BenchOptions options;
  std::string folder;
  std::string image;
  std::string prompt;
  std::vector<std::string> dtypes;
  int64_t runs = 3;
  bool measure = false;  // this process is a child and measures one dtype
  bool json = false;
  bool markdown = false;
};

// The results of one process as JSON for its parent, and back.
json to_json(const BenchReport& report) {
  json captions = json::array();
  for (const BenchCaption& caption : report.captions) {
    captions.push_back(
        {caption.encode_ms, caption.prefill_ms, caption.decode_ms, caption.whole_ms});
  }
  return {{"dtype", report.dtype},
          {"bytes", report.bytes},
          {"image_tokens", report.image_tokens},
          {"prompt_tokens", report.prompt_tokens},
          {"new_tokens", report.new_tokens},
          {"load_ms", report.load_ms},
          {"captions", captions},
          {"peak_memory_bytes", report.peak_memory_bytes},
          {"engine", report.engine},
          {"ort_version", report.ort_version},
          {"cpu", report.cpu}};
}

BenchReport from_json(const json& document) {
  BenchReport report;
  document.at("dtype").get_to(report.dtype);
  document.at("bytes").get_to(report.bytes);
  document.at("image_tokens").get_to(report.image_tokens);
  document.at("prompt_tokens").get_to(report.prompt_tokens);
  document.at("new_tokens").get_to(report.new_tokens);
  document.at("load_ms").get_to(report.load_ms);
  document.at("peak_memory_bytes").get_to(report.peak_memory_bytes);
  document.at("engine").get_to(report.engine);
  document.at("ort_version").get_to(report.ort_version);
  document.at("cpu").get_to(report.cpu);
  for (const json& caption : document.at("captions")) {
    report.captions.push_back({caption.at(0), caption.at(1), caption.at(2), caption.at(3)});
  }
  return report;
}

// The dtypes to measure, in the order asked for. Throws before anything is loaded.
std::vector<std::string> chosen_dtypes(const BenchArguments& arguments) {
  std::vector<std::string> known;
  for (const FolderDtype& dtype : folder_dtypes(arguments.folder)) {
    known.push_back(dtype.name);
  }
  std::set<std::string> given;
  for (const std::string& dtype : arguments.dtypes) {
    if (std::ranges::find(known, dtype) == known.end()) {
      throw Error(ErrorCode::kNotFound,
                  fmt::format("{}: no dtype \"{}\" (there are: {})",
                              arguments.folder,
                              dtype,
                              fmt::join(known, ", ")));
    }
    if (!given.insert(dtype).second) {
      throw Error(ErrorCode::kInvalidArgument, fmt::format("--dtype names {} twice", dtype));
    }
  }
  return arguments.dtypes.empty() ? known : arguments.dtypes;
}

std::vector<std::string> child_arguments(const BenchArguments& arguments,
                                         const std::string& dtype) {
  std::vector<std::string> words{"bench",
                                 "--measure",
                                 "--json",
                                 "--dtype=" + dtype,
                                 fmt::format("--threads={}", arguments.options.threads)};
  if (!arguments.options.engine.empty()) {
    words.push_back("--engine=" + arguments.options.engine);
  }
  if (arguments.options.new_tokens != 0) {
    words.push_back(fmt::format("--max-new-tokens={}", arguments.options.new_tokens));
  }
  if (!arguments.image.empty()) {
    words.push_back("--image=" + arguments.image);
  }
  if (!arguments.prompt.empty()) {
    words.push_back("--prompt=" + arguments.prompt);
  }
  words.emplace_back("--");
  words.push_back(arguments.folder);
  return words;
}

// Machines are noisy, so dtypes take turns: every dtype once, then again, each time in a new process.
std::vector<std::vector<BenchReport>> measure_all(const BenchArguments& arguments,
                                                  const std::vector<std::string>& dtypes) {
  const ProgressFn progress = progress_bar();
  const uint64_t total = static_cast<uint64_t>(arguments.runs) * dtypes.size();
  uint64_t done = 0;
  std::vector<std::vector<BenchReport>> reports(dtypes.size());
  for (int64_t round = 0; round < arguments.runs; ++round) {
    for (size_t i = 0; i < dtypes.size(); ++i) {
      const auto tell = [&] { progress({"bench", done, total}); };
      tell();
      reports[i].push_back(
          from_json(json::parse(run_self(child_arguments(arguments, dtypes[i]), tell))));
      ++done;
    }
  }
  clear_progress();
  return reports;
}

struct Column {
  const char* name;
  int digits;
  Spread BenchSummary::* times;  // in milliseconds
  bool per_second = false;       // shown per second
};

constexpr Column kColumns[] = {
    {"load ms", 0, &BenchSummary::load_ms},
    {"first token ms", 1, &BenchSummary::first_token_ms},
    {"encode ms", 1, &BenchSummary::encode_ms},
    {"prefill ms", 1, &BenchSummary::prefill_ms},
    {"ms/token", 2, &BenchSummary::token_ms},
    {"tokens/s", 1, &BenchSummary::token_ms, true},
    {"caption ms", 1, &BenchSummary::caption_ms},
};

// A decoder alone encodes nothing.
std::vector<Column> columns(bool text) {
  std::vector<Column> shown;
  for (const Column& column : kColumns) {
    if (!text || column.times != &BenchSummary::encode_ms) {
      shown.push_back(column);
    }
  }
  return shown;
}

std::string cell(const Column& column, double ms) {
  const double value = !column.per_second ? ms : ms > 0.0 ? 1000.0 / ms : 0.0;
  return fmt::format("{:.{}f}", value, column.digits);
}

using Row = std::vector<std::string>;

// The first column to the left, numbers to the right.
void print_table(const std::vector<Row>& rows, bool markdown) {
  std::vector<size_t> widths(rows[0].size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  const char* edge = markdown ? "| " : "";
  const char* between = markdown ? " | " : "  ";
  for (size_t r = 0; r < rows.size(); ++r) {
    Row cells;
    Row rule;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      cells.push_back(i == 0 ? fmt::format("{:<{}}", rows[r][i], widths[i])
                             : fmt::format("{:>{}}", rows[r][i], widths[i]));
      rule.push_back(std::string(widths[i] - 1, '-') + (i == 0 ? "-" : ":"));
    }
    fmt::print("{}{}{}\n", edge, fmt::join(cells, between), markdown ? " |" : "");
    if (markdown && r == 0) {
      fmt::print("{}{} |\n", edge, fmt::join(rule, between));
    }
  }
}

Row header(bool text) {
  Row names{"dtype", "size"};
  for (const Column& column : columns(text)) {
    names.emplace_back(column.name);
  }
  names.emplace_back("memory");
  return names;
}

// One row of medians and one of the least times.
void print_text(const std::vector<BenchSummary>& summaries, bool text) {
  std::vector<Row> rows{header(text)};
  for (const BenchSummary& summary : summaries) {
    Row medians{printable(summary.dtype), human_bytes(summary.bytes)};
    Row bests{"  best", ""};
    for (const Column& column : columns(text)) {
      medians.push_back(cell(column, (summary.*column.times).median));
      bests.push_back(cell(column, (summary.*column.times).least));
    }
    medians.push_back(human_bytes(summary.peak_memory_bytes));
    rows.push_back(medians);
    rows.push_back(bests);
  }
  print_table(rows, false);
}

void print_markdown(const std::vector<BenchSummary>& summaries, bool text) {
  std::vector<Row> rows{header(text)};
  for (const BenchSummary& summary : summaries) {
    Row row{printable(summary.dtype), human_bytes(summary.bytes)};
    for (const Column& column : columns(text)) {
      const Spread& times = summary.*column.times;
      row.push_back(cell(column, times.least) + " / " + cell(column, times.median));
    }
    row.push_back(human_bytes(summary.peak_memory_bytes));
    rows.push_back(row);
  }
  print_table(rows, true);
}

std::string thread_words(unsigned threads) {
  return threads != 0
             ? fmt::format("{} thread{}", threads, threads == 1 ? "" : "s")
             : fmt::format("one thread per core ({})", std::thread::hardware_concurrency());
}

// What the figures are of: a table without it says nothing.
void print_setting(const BenchArguments& arguments, const BenchReport& report) {
  const bool text = report.image_tokens == 0;
  fmt::print("{}: {} {} tokens, {} new tokens, {}{}, {} {}{}\n",
             printable(arguments.folder),
             text ? report.prompt_tokens : report.image_tokens,
             text ? "prompt" : "image",
             report.new_tokens,
             text                      ? ""
             : arguments.image.empty() ? "a test card, "
                                       : one_line(arguments.image) + ", ",
             thread_words(arguments.options.threads),
             report.engine,
             report.ort_version,
             report.cpu.empty() ? "" : ", " + printable(report.cpu));
  fmt::print(
      "{} process{} per dtype in turn, {} captions in each, the first of them left out; {}\n\n",
      arguments.runs,
      arguments.runs == 1 ? "" : "es",
      report.captions.size() + 1,
      arguments.markdown ? "best / median" : "medians, then the best");
}

json to_json(const Spread& times) {
  return {{"least", times.least}, {"median", times.median}};
}

json to_json(const BenchArguments& arguments,
             const std::vector<BenchSummary>& summaries,
             const BenchReport& report) {
  json dtypes = json::array();
  for (const BenchSummary& summary : summaries) {
    dtypes.push_back({{"dtype", summary.dtype},
                      {"bytes", summary.bytes},
                      {"load_ms", to_json(summary.load_ms)},
                      {"first_token_ms", to_json(summary.first_token_ms)},
                      {"encode_ms", to_json(summary.encode_ms)},
                      {"prefill_ms", to_json(summary.prefill_ms)},
                      {"token_ms", to_json(summary.token_ms)},
                      {"tokens_per_second",
                       {{"most", 1000.0 / summary.token_ms.least},
                        {"median", 1000.0 / summary.token_ms.median}}},
                      {"caption_ms", to_json(summary.caption_ms)},
                      {"peak_memory_bytes", summary.peak_memory_bytes}});
  }
  return {{"folder", arguments.folder},
          {"image", arguments.image.empty() ? json() : json(arguments.image)},
          {"image_tokens", report.image_tokens},
          {"prompt_tokens", report.prompt_tokens},
          {"new_tokens", report.new_tokens},
          {"threads", arguments.options.threads},
          {"cores", std::thread::hardware_concurrency()},
          {"processes", arguments.runs},
          {"captions_per_process", report.captions.size()},
          {"engine", report.engine},
          {"ort_version", report.ort_version},
          {"cpu", report.cpu},
          {"dtypes", dtypes}};
}

int run_child(BenchArguments& arguments) {
  arguments.options.dtype = arguments.dtypes.at(0);
  print_json(to_json(bench_dtype(arguments.options)));
  return 0;
}

int run_bench(BenchArguments& arguments) {
  arguments.options.folder = arguments.folder;
  arguments.options.image = arguments.image;
  arguments.options.prompt = arguments.prompt;
  if (arguments.measure) {
    return run_child(arguments);
  }
  const std::vector<std::vector<BenchReport>> reports =
      measure_all(arguments, chosen_dtypes(arguments));
  std::vector<BenchSummary> summaries;
  for (const std::vector<BenchReport>& of_dtype : reports) {
    summaries.push_back(summarize(of_dtype));
  }
  const BenchReport& first = reports.at(0).at(0);
  if (arguments.json) {
    print_json(to_json(arguments, summaries, first));
    return 0;
  }
  print_setting(arguments, first);
  const bool text = first.image_tokens == 0;
  arguments.markdown ? print_markdown(summaries, text) : print_text(summaries, text);
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App* command = app.add_subcommand(
      "bench", "Measure a folder that press wrote: size, time and memory of each dtype");
  command->add_option("MODEL_DIR", arguments->folder, "Folder with lorapress.json")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--dtype",
                   arguments->dtypes,
                   "Dtypes to measure, separated by commas (all of the folder)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  command
      ->add_option("--runs", arguments->runs, "Processes per dtype, in turn with the other dtypes")
      ->check(number(1, 1000))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--max-new-tokens",
                   arguments->options.new_tokens,
                   "Tokens of every caption, 2 or more (the folder's own setting)")
      ->check(number(2, 1 << 20))
      ->type_name("N");
  command->add_option("--image", arguments->image, "Picture to caption (a test card)")
      ->type_name("FILE");
  command
      ->add_option("--prompt",
                   arguments->prompt,
                   "Text to continue, of a decoder alone, without its chat template (128 tokens)")
      ->type_name("WORDS");
  add_threads(*command, arguments->options.threads, "Threads of the engine (one per core)");
  add_engine(*command, arguments->options.engine);
  command->add_flag("--measure", arguments->measure)->group("");  // for this program itself
  CLI::Option* as_json =
      command->add_flag("--json", arguments->json, "Print all figures as one JSON document");
  command->add_flag("--markdown", arguments->markdown, "Print the table for a README")
      ->excludes(as_json);
  command->callback([arguments, &run] { run = [arguments] { return run_bench(*arguments); }; });
}

}  // namespace lorapress::cli
