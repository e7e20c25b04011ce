#include "messages.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>

#include "lorapress/option_names.h"

#include "terminal.h"

namespace lorapress::cli {
namespace {

// A file may be called options.json, and no message of the library speaks of these two.
bool never_meant(std::string_view flag) {
  return flag == "json" || flag == "help";
}

std::set<std::string, std::less<>>& flags() {
  static std::set<std::string, std::less<>> known;
  return known;
}

}  // namespace

void learn_flags(const CLI::App& program) {
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        if (!never_meant(name)) {
          flags().insert(name);
        }
      }
    }
  }
}

std::string with_flags(std::string_view text) {
  return rename_options(text, [](std::string_view field) {
    std::string flag(field);  // num_beams -> num-beams
    std::ranges::replace(flag, '_', '-');
    return flags().contains(flag) ? "--" + flag : std::string();
  });
}

std::vector<std::string> with_flags(const std::vector<std::string>& texts) {
  std::vector<std::string> result;
  std::ranges::transform(texts, std::back_inserter(result), [](const std::string& text) {
    return with_flags(std::string_view(text));
  });
  return result;
}

Error with_flags(const Error& error) {
  return {error.code(), with_flags(std::string_view(error.what()))};
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) {
    fmt::print("note: {}\n", one_line(with_flags(std::string_view(note))));
  }
}

void print_report_json(const std::string& report, const nlohmann::json& more) {
  nlohmann::json document = nlohmann::json::parse(report);
  document["notes"] = with_flags(document["notes"].get<std::vector<std::string>>());
  if (document.contains("kept")) {
    for (nlohmann::json& kept : document["kept"]) {
      kept["reason"] = with_flags(std::string_view(kept["reason"].get_ref<std::string&>()));
    }
  }
  document["peak_memory_bytes"] = peak_memory_bytes();
  document.update(more);
  print_json(document);
}

void print_json(const nlohmann::json& document) {
  fmt::print("{}\n", document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace lorapress::cli
