#include "families/idefics3.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "test_util.h"

namespace lorapress {
namespace {

TEST(Idefics3Positions, AreThoseOfTransformersForAnyNumberOfPatches) {
  const Json golden = read_json(test::source_path("tests/goldens/smolvlm/positions.json"));
  for (const Json& side : golden.at("sides")) {
    const auto grid = side.at("grid").get<int64_t>();
    const std::vector<int64_t> table = idefics3_positions(grid);
    ASSERT_EQ(std::ssize(table), (grid + 1) * grid);
    for (int64_t seen = 1; seen <= grid; ++seen) {
      const auto row = table.begin() + seen * grid;
      EXPECT_EQ(std::vector<int64_t>(row, row + seen),
                side.at("positions").at(static_cast<size_t>(seen - 1)).get<std::vector<int64_t>>())
          << seen << " of " << grid;
    }
  }
  EXPECT_GT(golden.at("sides").size(), 8U);
}

}  // namespace
}  // namespace lorapress
