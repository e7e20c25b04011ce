// verify on pressed goldens: what is right passes, and every planted fault of a checkpoint is
// caught.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint_util.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::all_faults;
using test::change_json;
using test::contains;
using test::options_of;
using test::source_of;
using test::TempFolder;
using test::write_bundle;
namespace fs = std::filesystem;

// A writable copy of a golden checkpoint.
fs::path copy_of(const std::string& name, const TempFolder& folder) {
  fs::copy(test::checkpoints_folder() / name, folder / "copy", fs::copy_options::recursive);
  return folder / "copy";
}

// The file again, with some tensors changed as floats.
void change_tensors(const fs::path& folder,
                    const std::function<bool(const std::string&, std::vector<float>&)>& change) {
  std::vector<NamedWeight> tensors;
  size_t changed = 0;
  const fs::path path = folder / "model.safetensors";
  for (const auto& [name, weight] : open_safetensors(path)) {
    std::vector<float> values = read_all_float32(*weight);
    const bool is_new = change(name, values);
    changed += is_new ? 1 : 0;
    tensors.push_back({name, is_new ? float_constant(weight->shape(), values) : weight});
  }
  ASSERT_GT(changed, 0U);
  test::write_safetensors(folder / "new.safetensors", tensors);
  fs::rename(folder / "new.safetensors", path);
}

TEST(Verify, PassesWhatPressWrote) {
  for (const std::string& name : test::golden_names()) {
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      SCOPED_TRACE(name + (ops == OpDialect::kOrt ? ", ort" : ", standard"));
      const TempFolder folder;
      const Source source = source_of(name);
      write_bundle(source, folder / "model", ops);
      VerifyOptions options = options_of(source, folder / "model");
      options.layers = true;
      const VerifyReport report = verify(options);
      EXPECT_TRUE(report.passed) << all_faults(report);
      ASSERT_EQ(report.dtypes.size(), 1U);
      const DtypeParity& fp32 = report.dtypes[0];
      EXPECT_EQ(report.images.size(), 6U);
      EXPECT_EQ(fp32.captions_equal, 6);
      EXPECT_GT(fp32.forced.tokens, 6);
      EXPECT_EQ(fp32.forced.matched, fp32.forced.tokens);
      EXPECT_LT(fp32.forced.kl_max, 1e-9);
      EXPECT_GT(fp32.forced.largest_difference,
                0.0);  // two independent ways never agree to the bit
      EXPECT_GT(fp32.bytes, 10'000U);
      const Checkpoint checkpoint = open_checkpoint(source);
      EXPECT_EQ(std::ssize(fp32.layers),
                checkpoint.vision->num_hidden_layers + checkpoint.text->num_hidden_layers);
      for (const LayerError& layer : fp32.layers) {
        EXPECT_GT(layer.error, 0.0) << layer.layer;
        EXPECT_LT(layer.error, 1e-5) << layer.layer;
      }
    }
  }
}

// A fault in what is pressed, caught against the checkpoint as it was.
struct Planted {
  std::string name;
  std::string golden;
  std::function<void(const fs::path& checkpoint)> plant;
  std::string says;  // part of a fault
};
void PrintTo(const Planted& planted, std::ostream* out) {
  *out << planted.name;
}

void set_text(const fs::path& checkpoint, const char* key, const Json& value) {
  change_json(checkpoint / "config.json", [&](Json& json) {
    Json& text = json.at("text_config");
    Json& where = text.contains("rope_parameters") && text.at("rope_parameters").is_object() &&
                          text.at("rope_parameters").contains(key)
                      ? text.at("rope_parameters")
                      : text;
    ASSERT_TRUE(where.contains(key));
    ASSERT_NE(where.at(key), value);
    where[key] = value;
  });
}

// The query heads of layer 0 change places, their adapter's too.
void swap_heads(const fs::path& checkpoint) {
  const Json config = read_json(checkpoint / "config.json").at("text_config");
  const auto heads = config.at("num_attention_heads").get<size_t>();
  change_tensors(checkpoint, [&](const std::string& name, std::vector<float>& values) {
    if (!contains(name, "layers.0.self_attn.q_proj") || contains(name, "lora_A")) {
      return false;
    }
    const auto head = static_cast<std::ptrdiff_t>(values.size() / heads);
    std::swap_ranges(values.begin(), values.begin() + head, values.begin() + head);
    return true;
  });
}

void zero_lora(const fs::path& checkpoint) {
  change_tensors(checkpoint, [](const std::string& name, std::vector<float>& values) {
    std::ranges::fill(values, 0.0F);
    return contains(name, "lora_B");
  });
}

std::vector<Planted> planted_faults() {
  const std::string constant = "a constant is not the checkpoint's";
  return {
      {"rope_base",
       "base",
       [](const fs::path& at) { set_text(at, "rope_theta", 50000.0); },
       "tokens are the reference's"},
      {"rope_base_linear",
       "ropelinear",
       [](const fs::path& at) { set_text(at, "rope_theta", 100000.0); },
       constant},
      {"rope_factor",
       "ropescale",
       [](const fs::path& at) { set_text(at, "factor", 4.0); },
       constant},
      {"missing_lora", "base", zero_lora, "tokens are the reference's"},
      {"missing_dora", "dora", zero_lora, constant},
      {"swapped_heads", "base", swap_heads, constant},
      {"rms_norm_epsilon",
       "base",
       [](const fs::path& at) { set_text(at, "rms_norm_eps", 1e-6); },
       constant},
      {"layer_norm_epsilon",
       "base",
       [](const fs::path& at) {
         change_json(at / "config.json",
                     [](Json& json) { json["vision_config"]["layer_norm_eps"] = 1e-5; });
       },
       "of the encoder"},
      {"preprocessing",
       "base",
       [](const fs::path& at) {
         write_text(at / "preprocessor_config.json",
                    R"({"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]})");
       },
       "preprocessor_config.json: image_mean is [0.485, 0.456, 0.406], expected [0.5, 0.5, 0.5]"},
  };
}

class VerifyCatches : public ::testing::TestWithParam<Planted> {};

TEST_P(VerifyCatches, APlantedFault) {
  const TempFolder folder;
  const fs::path changed = copy_of(GetParam().golden, folder);
  GetParam().plant(changed);
  Source source;
  source.checkpoint = changed;
  write_bundle(source, folder / "model");
  const VerifyReport report = verify(options_of(source_of(GetParam().golden), folder / "model"));
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(contains(all_faults(report), GetParam().says)) << all_faults(report);
  // and the same folder is right for what it was made from
  EXPECT_TRUE(verify(options_of(source, folder / "model")).passed);
}

INSTANTIATE_TEST_SUITE_P(All,
                         VerifyCatches,
                         ::testing::ValuesIn(planted_faults()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace lorapress
