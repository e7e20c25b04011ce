// Models in float16, and small constants for them.
#ifndef LORAPRESS_TESTS_CC_FLOAT16_UTIL_H_
#define LORAPRESS_TESTS_CC_FLOAT16_UTIL_H_

#include <string>
#include <vector>

#include "graph/check.h"
#include "parsed_model.h"
#include "schemes/float16.h"

namespace lorapress::test {

inline WeightPtr number(float value) {
  return float_constant({}, std::span(&value, 1));
}

inline WeightPtr numbers(const std::vector<float>& values) {
  return float_constant({std::ssize(values)}, values);
}

struct Halved {
  Model model;
  std::vector<std::string> notes;
};

inline Halved halved(const Model& model,
                     const SchemeOptions& options = {},
                     void (*apply)(Model&, const SchemeContext&) = apply_fp16) {
  Halved result{model, {}};
  apply(result.model, {options, nullptr, &result.notes, 1});
  check_model(result.model);
  return result;
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_FLOAT16_UTIL_H_
