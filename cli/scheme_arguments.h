// How a dtype is made: the options that press, export and quantize share.
#ifndef LORAPRESS_CLI_SCHEME_ARGUMENTS_H_
#define LORAPRESS_CLI_SCHEME_ARGUMENTS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "lorapress/quantize.h"

namespace lorapress::cli {

struct SchemeArguments {
  SchemeOptions options;
  std::string rounding;
  std::string calibrate;
  bool per_channel = false;  // accepted; per channel is the default
  bool per_tensor = false;
  bool asymmetric = false;
  bool compat = false;
};
void add_scheme(CLI::App& command, SchemeArguments& arguments);
SchemeOptions to_scheme(const SchemeArguments& arguments);
// Adds notes about options that have no effect.
void add_scheme_notes(const SchemeArguments& arguments, std::vector<std::string>& notes);

// `what`, then one line for each known dtype.
std::string describe_dtypes(const std::string& what);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_SCHEME_ARGUMENTS_H_
