#include "blocks/rope.h"

#include <cmath>
#include <gtest/gtest.h>

namespace lorapress {
namespace {

TEST(Rope, TablesHoldCosAndSinOfEveryPosition) {
  Graph graph("g", 17);
  const Builder b{graph, OpDialect::kOrt};
  const std::vector<float> frequencies{1.0F, 0.1F, 0.01F, 0.001F};
  const RopeTables tables = rope_tables(b, "rotary", frequencies, 300);
  EXPECT_EQ(to_string(tables.cos.type), "float32[300, 4]");
  EXPECT_EQ(graph.value_name(tables.sin.id), "rotary.sin_cache");
  const std::vector<float> cos = read_all_float32(*graph.initializers()[0].weight);
  const std::vector<float> sin = read_all_float32(*graph.initializers()[1].weight);
  for (size_t position = 0; position < 300; ++position) {
    for (size_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      EXPECT_NEAR(cos[position * 4 + i], std::cos(angle), 3e-5);  // angles are float32, as in torch
      EXPECT_NEAR(sin[position * 4 + i], std::sin(angle), 3e-5);
    }
  }
}

}  // namespace
}  // namespace lorapress
