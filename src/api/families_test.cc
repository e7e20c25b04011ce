// Every row of the registries appears, with the bundles that accept it.
#include "lorapress/families.h"

#include <gtest/gtest.h>

#include "bundles/bundle.h"
#include "families/family.h"

namespace lorapress {
namespace {

std::vector<std::string> names(const std::vector<FamilyInfo>& families) {
  std::vector<std::string> found;
  std::ranges::transform(families, std::back_inserter(found), &FamilyInfo::model_type);
  return found;
}

std::vector<std::string> names(const auto& rows) {
  std::vector<std::string> found;
  for (const auto* row : rows) {
    found.emplace_back(row->model_type);
  }
  return found;
}

TEST(KnownFamilies, AreTheRowsOfTheRegistriesInTheirOrder) {
  const KnownFamilies known = known_families();
  EXPECT_EQ(names(known.checkpoints), names(composite_model_types()));
  EXPECT_EQ(names(known.decoders), names(text_families()));
  EXPECT_EQ(names(known.encoders), names(vision_families()));
}

// A row that no bundle takes could not be pressed, and a bundle that takes no row would never be written.
TEST(KnownFamilies, HaveABundleEachAndEachBundleHasOne) {
  const KnownFamilies known = known_families();
  std::set<std::string> used;
  for (const auto* rows : {&known.checkpoints, &known.decoders, &known.encoders}) {
    for (const FamilyInfo& family : *rows) {
      EXPECT_FALSE(family.bundles.empty()) << family.model_type;
      used.insert(family.bundles.begin(), family.bundles.end());
    }
  }
  for (const Bundle* row : bundles()) {
    EXPECT_TRUE(used.contains(std::string(row->name))) << row->name;
  }
}

TEST(KnownFamilies, SayWhatPressTakesThemTo) {
  const KnownFamilies known = known_families();
  for (const FamilyInfo& decoder : known.decoders) {
    const bool alone = decoder.model_type != "trocr" && decoder.model_type != "blip_text_model";
    EXPECT_EQ(decoder.bundles,
              alone ? std::vector<std::string>{"text-generation"}
                    : (std::vector<std::string>{"transformers.js", "firefox"}));
    EXPECT_EQ(decoder.conditioning, alone ? "none" : "cross");
  }
  const auto of = [&](const std::string& model_type) {
    return *std::ranges::find(known.checkpoints, model_type, &FamilyInfo::model_type);
  };
  EXPECT_EQ(of("prefix_conditioning_vlm").bundles.at(0), "transformers.js");
  EXPECT_EQ(of("smolvlm").bundles, std::vector<std::string>{"smolvlm"});
  EXPECT_EQ(of("llava").bundles, std::vector<std::string>{"llava"});
  EXPECT_EQ(of("llava").conditioning, "placeholder");
}

}  // namespace
}  // namespace lorapress
