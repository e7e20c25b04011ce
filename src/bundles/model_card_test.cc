#include "bundles/model_card.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;

TEST(ModelCard, BaseModelsAreThoseOfAHub) {
  Checkpoint checkpoint;
  checkpoint.config = {{"vision_model_name", "google/siglip-base-patch16-224"},
                       {"language_model_name", "/home/me/SmolLM-135M"}};
  checkpoint.vision_json = {{"_name_or_path", "google/siglip-base-patch16-224"}};
  checkpoint.text_json = {{"_name_or_path", "HuggingFaceTB/SmolLM-135M"}};
  EXPECT_EQ(
      named_base_models(checkpoint),
      (std::vector<std::string>{"google/siglip-base-patch16-224", "HuggingFaceTB/SmolLM-135M"}));
  for (const Json& name : {Json(""),
                           Json("./a/b"),
                           Json("a"),
                           Json("a/b/c"),
                           Json(3),
                           Json("a /b"),
                           Json("a/"),
                           Json("a/b\nlicense: mit")}) {
    checkpoint.text_json = {{"_name_or_path", name}};
    EXPECT_EQ(named_base_models(checkpoint).size(), 1U) << name;
  }
  checkpoint.text_json = nullptr;
  EXPECT_EQ(named_base_models(checkpoint).size(), 1U);
}

TEST(ModelCard, OptionsAreOneLineOfFrontMatter) {
  EXPECT_NO_THROW(check_card_facts({{}, "apache-2.0", {"org/name"}, {}}));
  for (const char* license : {"MIT License", "a\nb", "\"", "a:b"}) {
    const auto what =
        message_of(ErrorCode::kInvalidArgument, [&] { check_card_facts({{}, license, {}, {}}); });
    EXPECT_TRUE(contains(what, "options.license")) << what;
  }
  for (const char* base : {"", "name", "a/b\nc"}) {
    const auto what =
        message_of(ErrorCode::kInvalidArgument, [&] { check_card_facts({{}, "", {base}, {}}); });
    EXPECT_TRUE(contains(what, "options.base_model")) << what;
  }
}

}  // namespace
}  // namespace lorapress
