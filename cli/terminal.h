// What a user sees: a bar on a terminal, nothing in a pipe; sizes and times in readable units.
#ifndef LORAPRESS_CLI_TERMINAL_H_
#define LORAPRESS_CLI_TERMINAL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "lorapress/progress.h"

namespace lorapress::cli {

// A progress callback that draws on standard error when that is a terminal, and throws Error with
// this message when the user pressed Ctrl-C, so that half-written output is cleaned up.
ProgressFn progress_bar(const std::string& message = "interrupted; nothing was left behind");
void clear_progress();

std::string human_bytes(uint64_t bytes);    // 12.3 MB (10^6)
std::string human_count(uint64_t count);    // 134.5 M
std::string human_seconds(double seconds);  // 0.42 s
uint64_t peak_memory_bytes();               // of this process so far

// Text from files, made safe to print: control characters and invalid UTF-8 become '?'.
// one_line() removes the line breaks, too.
std::string printable(std::string_view text);
std::string one_line(std::string_view text);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_TERMINAL_H_
