#include "messages.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>

#include "terminal.h"

namespace lorapress::cli {
namespace {

constexpr std::string_view kPrefix = "options.";

// A file may be called options.json, and no message of the library speaks of these two.
bool never_meant(std::string_view flag) {
  return flag == "json" || flag == "help";
}

std::set<std::string, std::less<>>& flags() {
  static std::set<std::string, std::less<>> known;
  return known;
}

bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// num_beams -> num-beams; PressOptions::dtypes is --dtype, as it may be given once or as a list.
std::string flag_of(std::string_view field) {
  std::string flag(field == "dtypes" ? "dtype" : field);
  std::ranges::replace(flag, '_', '-');
  return flag;
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
  std::string result;
  size_t done = 0;
  for (size_t at = text.find(kPrefix); at != std::string_view::npos; at = text.find(kPrefix, at)) {
    const size_t begin = at + kPrefix.size();
    const size_t end = static_cast<size_t>(std::ranges::find_if_not(text.substr(begin), is_name) -
                                           text.substr(begin).begin()) +
                       begin;
    const std::string flag = flag_of(text.substr(begin, end - begin));
    const bool is_path = at > 0 && (is_name(text[at - 1]) || text[at - 1] == '/' ||
                                    text[at - 1] == '.' || text[at - 1] == '-');
    if (!is_path && flags().contains(flag)) {
      result += fmt::format("{}--{}", text.substr(done, at - done), flag);
      done = end;
    }
    at = end;
  }
  return result + std::string(text.substr(done));
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

void print_json(const nlohmann::json& document) {
  fmt::print("{}\n", document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace lorapress::cli
