#include "engine/ports.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "test_util.h"

namespace lorapress {
namespace {

TEST(EnginePorts, AreCalledAsTheSharedTableSays) {
  const Json golden = read_json(test::source_path("tests/goldens/ports.json"));
  EXPECT_EQ(golden.at("encoder"),
            (Json{{"inputs", {engine::kPixelValues}}, {"outputs", {engine::kLastHiddenState}}}));
  EXPECT_EQ(golden.at("decoder"),
            (Json{{"inputs", {engine::kInputIds, engine::kEncoderHiddenStates}},
                  {"outputs", {engine::kLogits}}}));
  for (const char* part : {"key", "value"}) {
    for (const Json& row : golden.at("cache")) {
      const int64_t layer = row.at("layer");
      EXPECT_EQ(row.at(std::string("past_") + part),
                engine::cache_port(engine::kPast, layer, "", part));
      EXPECT_EQ(row.at(std::string("present_") + part),
                engine::cache_port(engine::kPresent, layer, "", part));
    }
    for (const Json& row : golden.at("cross_cache")) {
      for (const std::string owner : {"decoder", "encoder"}) {
        const int64_t layer = row.at("layer");
        EXPECT_EQ(row.at("past_" + owner + "_" + part),
                  engine::cache_port(engine::kPast, layer, owner, part));
        EXPECT_EQ(row.at("present_" + owner + "_" + part),
                  engine::cache_port(engine::kPresent, layer, owner, part));
      }
    }
  }
}

}  // namespace
}  // namespace lorapress
