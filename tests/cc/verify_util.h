// What tests of verify share: goldens pressed into folders, and reports as text.
#ifndef LORAPRESS_TESTS_CC_VERIFY_UTIL_H_
#define LORAPRESS_TESTS_CC_VERIFY_UTIL_H_

#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <functional>
#include <string>

#include "lorapress/press.h"
#include "lorapress/verify.h"

#include "golden_util.h"

namespace lorapress::test {

inline Source source_of(const std::string& name) {
  const Golden golden(name);
  return golden.source(golden.cases().at(0));
}

inline void write_bundle(const Source& source,
                         const fs::path& out,
                         OpDialect ops = OpDialect::kOrt) {
  PressOptions options;
  options.source = source;
  options.out = out;
  options.ops = ops;
  export_bundle(options);
}

inline VerifyOptions options_of(const Source& source, const fs::path& model) {
  VerifyOptions options;
  options.source = source;
  options.model = model;
  options.threads = 2;
  return options;
}

inline std::string all_faults(const VerifyReport& report) {
  std::string text = fmt::format("{}", fmt::join(report.faults, "; "));
  for (const DtypeParity& dtype : report.dtypes) {
    text += fmt::format("; {}: {}", dtype.dtype, fmt::join(dtype.faults, "; "));
  }
  return text;
}

inline void change_json(const fs::path& path, const std::function<void(Json&)>& change) {
  Json json = read_json(path);
  change(json);
  fs::remove(path);
  write_text(path, json.dump(2));
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_VERIFY_UTIL_H_
