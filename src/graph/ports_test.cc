#include "graph/ports.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "test_util.h"

namespace lorapress {
namespace {

// The web package's table is held to the same file.
TEST(Ports, AreCalledAsTheSharedTableSays) {
  const Json golden = read_json(test::source_path("tests/goldens/ports.json"));
  EXPECT_EQ(golden.at("encoder"),
            (Json{{"inputs", {kPixelValues}}, {"outputs", {kLastHiddenState}}}));
  EXPECT_EQ(golden.at("decoder"),
            (Json{{"inputs", {kInputIds, kEncoderHiddenStates}}, {"outputs", {kLogits}}}));
  ASSERT_EQ(golden.at("cache").size(), 2U);
  for (const Json& row : golden.at("cache")) {
    const int64_t layer = row.at("layer");
    EXPECT_EQ(row.at("past_key"), cache_port(CacheSide::kPast, layer, CachePart::kKey));
    EXPECT_EQ(row.at("past_value"), cache_port(CacheSide::kPast, layer, CachePart::kValue));
    EXPECT_EQ(row.at("present_key"), cache_port(CacheSide::kPresent, layer, CachePart::kKey));
    EXPECT_EQ(row.at("present_value"), cache_port(CacheSide::kPresent, layer, CachePart::kValue));
    for (const char* key : {"past_key", "past_value", "present_key", "present_value"}) {
      EXPECT_TRUE(is_cache_port(row.at(key).get<std::string>())) << row.at(key);
    }
  }
  ASSERT_EQ(golden.at("cross_cache").size(), 2U);
  for (const Json& row : golden.at("cross_cache")) {
    const int64_t layer = row.at("layer");
    for (const auto& [owner, of] :
         {std::pair{"decoder", CacheOf::kDecoder}, std::pair{"encoder", CacheOf::kEncoder}}) {
      for (const auto& [part, key_or_value] :
           {std::pair{"key", CachePart::kKey}, std::pair{"value", CachePart::kValue}}) {
        const std::string suffix = fmt::format("_{}_{}", owner, part);
        EXPECT_EQ(row.at("past" + suffix),
                  cross_cache_port(CacheSide::kPast, layer, of, key_or_value));
        const std::string present = cross_cache_port(CacheSide::kPresent, layer, of, key_or_value);
        EXPECT_EQ(row.at("present" + suffix), present);
        EXPECT_TRUE(is_cache_port(present)) << present;
      }
    }
  }
  for (const char* name : {kPixelValues, kInputIds, kEncoderHiddenStates, kLogits, "presently"}) {
    EXPECT_FALSE(is_cache_port(name)) << name;
  }
}

}  // namespace
}  // namespace lorapress
