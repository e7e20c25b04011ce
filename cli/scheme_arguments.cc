#include "scheme_arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "command.h"

namespace lorapress::cli {

namespace {

// "q4, q4f16: ", the dtypes that have a property.
std::string dtypes_with(bool DTypeInfo::* fact) {
  std::vector<std::string> names;
  for (const DTypeInfo& dtype : known_dtypes()) {
    if (dtype.*fact) {
      names.push_back(dtype.name);
    }
  }
  return fmt::format("{}: ", fmt::join(names, ", "));
}

}  // namespace

void add_scheme(CLI::App& command, SchemeArguments& arguments) {
  constexpr int64_t kSmallestBlock = 16;
  constexpr int64_t kLargestBlock = 256;
  constexpr const char* kGroup = "Options of dtypes";
  SchemeOptions& options = arguments.options;
  command
      .add_option("--block-size",
                  options.block_size,
                  "4 bit: inputs that share a scale; 16, 32, 64, 128 or 256")
      ->check(number(kSmallestBlock, kLargestBlock))
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  command
      .add_option("--accuracy-level",
                  options.accuracy_level,
                  dtypes_with(&DTypeInfo::matmul_nbits) +
                      "4 lets the runtime compute with 8-bit activations, 0 does not")
      ->check(CLI::IsMember({0, 4}))
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  auto* tensor =
      command.add_flag("--per-tensor", arguments.per_tensor, "8 bit: one scale for a whole matrix");
  command
      .add_flag("--per-channel",
                arguments.per_channel,
                "8 bit: a scale for each output channel (the default)")
      ->excludes(tensor)
      ->group(kGroup);
  tensor->group(kGroup);
  command
      .add_flag("--asymmetric",
                arguments.asymmetric,
                dtypes_with(&DTypeInfo::matmul_nbits) + "zero points beside the scales")
      ->group(kGroup);
  command
      .add_option("--rounding",
                  arguments.rounding,
                  "4 bit. nearest: scales from the largest value; search: scales of least squared "
                  "error (nearest; with --calibrate search)")
      ->check(CLI::IsMember({"nearest", "search"}))
      ->type_name("NAME")
      ->group(kGroup);
  command
      .add_option("--calibrate",
                  arguments.calibrate,
                  dtypes_with(&DTypeInfo::calibrates) +
                      "a folder of images to run through the model, so that rounding keeps what "
                      "its layers read")
      ->type_name("DIR")
      ->group(kGroup);
  command
      .add_option("--exclude",
                  options.exclude,
                  "A node or weight that stays as it is; several times for several")
      ->allow_extra_args(false)
      ->type_name("NAME")
      ->group(kGroup);
  command.add_flag("--compat", arguments.compat)->group("");  // no longer listed by --help
}

void add_scheme_notes(const SchemeArguments& arguments, std::vector<std::string>& notes) {
  if (arguments.compat) {
    notes.emplace_back("--compat has no effect and will be removed");
  }
}

SchemeOptions to_scheme(const SchemeArguments& arguments) {
  SchemeOptions options = arguments.options;
  const bool search =
      arguments.rounding.empty() ? !arguments.calibrate.empty() : arguments.rounding == "search";
  options.rounding = search ? Rounding::kSearch : Rounding::kNearest;
  options.per_channel = !arguments.per_tensor;
  options.symmetric = !arguments.asymmetric;
  return options;
}

std::string describe_dtypes(const std::string& what) {
  std::string text = what;
  for (const DTypeInfo& dtype : known_dtypes()) {
    text += "\n" + dtype.name + ": " + dtype.summary;
  }
  return text;
}

}  // namespace lorapress::cli
