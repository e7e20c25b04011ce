#include "blocks/rope.h"

#include <gtest/gtest.h>

namespace lorapress {
namespace {

TEST(Rope, StoresFrequenciesAndComputesTables) {
  Graph graph("g", 17);
  const Builder b{graph, OpDialect::kOrt};
  const std::vector<float> frequencies{1.0F, 0.1F, 0.01F, 0.001F};
  const Rope rotary = rope(b, "rotary", frequencies, 300);
  EXPECT_EQ(rotary.positions, 300);
  ASSERT_EQ(graph.initializers().size(), 1U);
  EXPECT_EQ(read_all_float32(*graph.initializers()[0].weight), frequencies);
  const RopeTables tables =
      rope_tables(b, "/rotary", rotary, graph.integer(0), graph.integer(rotary.positions));
  EXPECT_EQ(to_string(tables.cos.type), "float32[?, 4]");
  EXPECT_EQ(to_string(for_heads(b, "/rotary", tables).sin.type), "float32[?, 1, 4]");
}

}  // namespace
}  // namespace lorapress
