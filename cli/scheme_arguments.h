// How a dtype is made: the options that press, export and quantize share.
#ifndef LORAPRESS_CLI_SCHEME_ARGUMENTS_H_
#define LORAPRESS_CLI_SCHEME_ARGUMENTS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "lorapress/quantize.h"

namespace lorapress::cli {

struct SchemeArguments {
  SchemeOptions options;
  std::string rounding;
  std::string calibrate;
  bool per_channel = false;  // said; the default all the same
  bool per_tensor = false;
  bool asymmetric = false;
};
void add_scheme(CLI::App& command, SchemeArguments& arguments);
SchemeOptions to_scheme(const SchemeArguments& arguments);

// `what`, then one line for each known dtype.
std::string describe_dtypes(const std::string& what);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_SCHEME_ARGUMENTS_H_
