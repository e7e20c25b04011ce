// For sampling_test.cc and beam_test.cc: the vectors of tests/oracle/make_generation.py.
#ifndef LORAPRESS_RUNTIME_GENERATION_GENERATION_TEST_UTIL_H_
#define LORAPRESS_RUNTIME_GENERATION_GENERATION_TEST_UTIL_H_

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <vector>

#include "base/json.h"

namespace lorapress::generation_test {

inline Json golden(const std::string& name) {
  return read_json(std::filesystem::path(LORAPRESS_SOURCE_DIR) / "tests/goldens/generation" / name);
}

// null is minus infinity.
inline std::vector<float> to_scores(const Json& row) {
  std::vector<float> scores;
  for (const Json& score : row) {
    scores.push_back(score.is_null() ? -std::numeric_limits<float>::infinity()
                                     : score.get<float>());
  }
  return scores;
}

// Infinities must be at the same places.
inline void expect_scores(const std::vector<float>& got, const std::vector<float>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(got[i]) || std::isinf(wanted[i])) {
      EXPECT_EQ(got[i], wanted[i]) << "token " << i;
    } else {
      EXPECT_NEAR(got[i], wanted[i], 2e-5) << "token " << i;
    }
  }
}

}  // namespace lorapress::generation_test

#endif  // LORAPRESS_RUNTIME_GENERATION_GENERATION_TEST_UTIL_H_
