// verify on VisionEncoderDecoder and BLIP: faults of a checkpoint that is pressed are caught by the checkpoint as it
// was.
#include <gtest/gtest.h>

#include "planted_faults.h"

namespace lorapress {
namespace {

using test::change_json;
using test::change_tensors;
using test::TempFolder;
namespace fs = std::filesystem;

struct CrossFault {
  std::string name;
  std::string golden;
  std::function<void(const fs::path& checkpoint)> plant;
};
void PrintTo(const CrossFault& fault, std::ostream* out) {
  *out << fault.name;
}

// Every tensor whose name has `part` is scaled.
std::function<void(const fs::path&)> scaled(const std::string& part, float factor) {
  return [=](const fs::path& at) {
    change_tensors(at, [&](const std::string& name, std::vector<float>& values) {
      std::ranges::transform(values, values.begin(), [&](float value) { return value * factor; });
      return test::contains(name, part);
    });
  };
}

std::function<void(const fs::path&)> set(const char* part, const char* key, const Json& value) {
  return [=](const fs::path& at) {
    change_json(at / "config.json", [&](Json& json) {
      ASSERT_NE(json.at(part).at(key), value);
      json[part][key] = value;
    });
  };
}

std::vector<CrossFault> cross_faults() {
  return {
      {"keys_and_values_of_the_image",
       "vitgpt2",
       scaled("h.1.crossattention.c_attn.weight", 1.01F)},
      {"queries_of_the_image", "vitgpt2", scaled("h.0.crossattention.q_attn.weight", 1.02F)},
      {"norm_before_cross_attention", "vitgpt2", scaled("h.0.ln_cross_attn.bias", 0.9F)},
      {"projection_of_the_encoder", "vitgpt2", scaled("enc_to_dec_proj.weight", 1.01F)},
      {"learned_positions", "vitgpt2", scaled("wpe.weight", 0.98F)},
      {"layer_norm_epsilon", "vitgpt2", set("decoder", "layer_norm_epsilon", 1e-3)},
      {"scale_of_attention", "vitgpt2", set("decoder", "scale_attn_weights", false)},
      {"scale_of_embeddings",
       "trocr",
       [](const fs::path& at) {
         change_json(at / "config.json", [](Json& json) {
           Json& scale = json["decoder"]["scale_embedding"];
           scale = !scale.get<bool>();
         });
       }},
      {"output_of_cross_attention",
       "trocr",
       scaled("layers.1.encoder_attn.out_proj.weight", 1.02F)},
      {"values_of_the_image", "blip", scaled("layer.0.crossattention.self.value.weight", 1.01F)},
      {"bias_of_the_head", "blip", scaled("cls.predictions.bias", 1.5F)},
  };
}

class VerifyCatchesCross : public testing::TestWithParam<CrossFault> {};

TEST_P(VerifyCatchesCross, APlantedFault) {
  const CrossFault& fault = GetParam();
  const TempFolder folder;
  const fs::path source = test::cross_folder() / fault.golden;
  fs::copy(source, folder / "copy", fs::copy_options::recursive);
  fault.plant(folder / "copy");
  Source planted;
  planted.checkpoint = folder / "copy";
  test::write_bundle(planted, folder / "out");
  Source right;
  right.checkpoint = source;
  const VerifyReport report = verify(test::options_of(right, folder / "out"));
  EXPECT_FALSE(report.passed) << test::all_faults(report);
  test::write_bundle(right, folder / "right");
  const VerifyReport equal = verify(test::options_of(right, folder / "right"));
  EXPECT_TRUE(equal.passed) << test::all_faults(equal);
}

INSTANTIATE_TEST_SUITE_P(All,
                         VerifyCatchesCross,
                         testing::ValuesIn(cross_faults()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lorapress
