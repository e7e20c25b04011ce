// Messages of the library for users of the program. The library names fields of the call's options, "options.num_beams"; the
// program's users know these as flags, "--num-beams".
#ifndef LORAPRESS_CLI_MESSAGES_H_
#define LORAPRESS_CLI_MESSAGES_H_

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/error.h"

namespace lorapress::cli {

// Learns the flags of all commands of the program. Call it once, before with_flags().
void learn_flags(const CLI::App& program);

// Every "options.FIELD" whose FIELD is a flag of some command becomes that flag; other text stays.
std::string with_flags(std::string_view text);
std::vector<std::string> with_flags(const std::vector<std::string>& texts);
Error with_flags(const Error& error);

void print_notes(const std::vector<std::string>& notes);  // "note: ...", a line each
// On standard output, indented by two blanks. Invalid UTF-8 is replaced.
void print_json(const nlohmann::json& document);
// The same of a report (report_json.h) with flags in what it says and this process's peak of memory.
void print_report_json(const std::string& report,
                       const nlohmann::json& more = nlohmann::json::object());

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_MESSAGES_H_
