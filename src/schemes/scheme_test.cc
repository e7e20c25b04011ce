// Every row of the table of dtypes: a new one is held to the same.
#include "schemes/scheme.h"

#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "test_util.h"

namespace lorapress {
namespace {

using Names = std::vector<std::string>;
using Rank = std::function<int(const Scheme&)>;

// Names by rank, from 1 up; a rank that two rows have fails.
Names ordered(const Rank& rank) {
  std::map<int, std::string> by_rank;
  for (const Scheme& row : schemes()) {
    EXPECT_GE(rank(row), 0) << row.name;
    if (rank(row) != 0) {
      EXPECT_TRUE(by_rank.emplace(rank(row), row.name).second) << row.name;
    }
  }
  Names names;
  for (const auto& [number, name] : by_rank) {
    names.push_back(name);
  }
  return names;
}

// What bench/peers/profile.py and bench/web measured, as one list for each kind of work.
TEST(SchemeTable, RanksDtypesAsMeasured) {
  EXPECT_EQ(ordered([](const Scheme& row) { return row.native.encoder; }),
            (Names{"int8", "uint8", "q8", "fp32", "q4", "fp16", "q4f16", "bnb4"}));
  EXPECT_EQ(ordered([](const Scheme& row) { return row.native.prefill; }),
            (Names{"int8", "uint8", "q8"}));
  EXPECT_EQ(ordered([](const Scheme& row) { return row.native.step; }),
            (Names{"int8", "uint8", "q8", "q4", "q4f16", "fp32", "fp16", "bnb4"}));
  EXPECT_EQ(ordered([](const Scheme& row) { return row.web.wasm; }),
            (Names{"q8", "int8", "uint8", "fp32", "fp16", "q4", "bnb4", "q4f16"}));
  EXPECT_EQ(ordered([](const Scheme& row) { return row.web.webgpu; }),
            (Names{"fp32", "q4", "bnb4", "q8", "fp16", "q4f16"}));
  EXPECT_EQ(ordered([](const Scheme& row) { return row.web.webgpu_f16; }),
            (Names{"fp16", "q4f16", "fp32", "q4", "bnb4", "q8"}));
  // Integer products put q4 before all steps.
  EXPECT_EQ(ordered([](const Scheme& row) {
              return row.native.integer_step != 0 ? row.native.integer_step : row.native.step;
            }).front(),
            "q4");
}

TEST(SchemeTable, HasWholeRows) {
  std::set<std::string_view> names;
  std::set<std::string_view> suffixes;
  for (const Scheme& row : schemes()) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(&scheme(row.name), &row);
    EXPECT_TRUE(names.insert(row.name).second);
    EXPECT_TRUE(suffixes.insert(row.suffix).second);
    EXPECT_TRUE(row.suffix.empty() || row.suffix.starts_with("_"));
    EXPECT_FALSE(row.summary.empty());
    EXPECT_NE(row.apply, nullptr);
    EXPECT_TRUE(row.native.encoder > 0 && row.native.step > 0 && row.web.wasm > 0);
    EXPECT_TRUE(row.native.prefill == 0 || !row.half_cache);  // with whom would it share its cache?
  }
  EXPECT_EQ(names.size(), known_dtypes().size());
}

}  // namespace
}  // namespace lorapress
