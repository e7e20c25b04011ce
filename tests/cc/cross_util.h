// Press options of a golden whose decoder attends to the encoder.
#ifndef LORAPRESS_TESTS_CC_CROSS_UTIL_H_
#define LORAPRESS_TESTS_CC_CROSS_UTIL_H_

#include "lorapress/press.h"

#include "golden_util.h"

namespace lorapress::test {

inline PressOptions cross_press_options(const Golden& golden, const std::filesystem::path& out) {
  PressOptions options;
  options.source = golden.source(golden.cases().at(0));
  options.out = out;
  return options;
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_CROSS_UTIL_H_
