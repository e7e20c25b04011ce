// The registries of families and bundles.
#include <gtest/gtest.h>
#include <set>

#include "bundles/bundle.h"
#include "families/family.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

TEST(Registry, FindsEveryRowByItsName) {
  std::set<std::string_view> names;
  for (const VisionFamily* family : vision_families()) {
    EXPECT_TRUE(names.insert(family->model_type).second) << family->model_type;
    EXPECT_EQ(&vision_family(family->model_type), family);
    EXPECT_NE(family->build, nullptr);
    EXPECT_GT(family->processor.std[0], 0.0);
    EXPECT_EQ(find_model_type(vision_model_types(), family->model_type), family);
  }
  for (const TextFamily* family : text_families()) {
    EXPECT_TRUE(names.insert(family->model_type).second) << family->model_type;
    EXPECT_EQ(&text_family(family->model_type), family);
    EXPECT_TRUE(family->table != nullptr && family->decode != nullptr);
    EXPECT_EQ(find_model_type(text_model_types(), family->model_type), family);
    EXPECT_TRUE(family->architecture.ends_with("ForCausalLM") ||
                family->architecture.ends_with("LMHeadModel"))
        << family->architecture;
  }
  for (const Bundle* row : bundles()) {
    EXPECT_TRUE(names.insert(row->name).second) << row->name;
    EXPECT_EQ(&bundle(row->name), row);
    EXPECT_FALSE(row->summary.empty());
  }
}

TEST(Registry, SaysWhatItKnows) {
  const auto vision = message_of(ErrorCode::kUnsupported, [] { vision_family("resnet"); });
  EXPECT_TRUE(contains(vision, "resnet") && contains(vision, "siglip_vision_model")) << vision;
  const auto text = message_of(ErrorCode::kUnsupported, [] { text_family(""); });
  EXPECT_TRUE(contains(text, "llama")) << text;
  const auto folder = message_of(ErrorCode::kUnsupported, [] { bundle("coreml"); });
  EXPECT_TRUE(contains(folder, "coreml") && contains(folder, "transformers.js")) << folder;
}

}  // namespace
}  // namespace lorapress
