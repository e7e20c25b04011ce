// Faults of a checkpoint that verify must catch, and checkpoints that amplify rounding.
#ifndef LORAPRESS_TESTS_CC_PLANTED_FAULTS_H_
#define LORAPRESS_TESTS_CC_PLANTED_FAULTS_H_

#include <functional>
#include <gtest/gtest.h>
#include <ostream>
#include <string>
#include <vector>

#include "checkpoint_util.h"
#include "verify_util.h"

namespace lorapress::test {

// A writable copy of a golden checkpoint.
inline fs::path copy_of(const std::string& name, const TempFolder& folder) {
  fs::copy(test::checkpoints_folder() / name, folder / "copy", fs::copy_options::recursive);
  return folder / "copy";
}

// The file again, with some tensors changed as floats.
inline void change_tensors(
    const fs::path& folder,
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

// Multiplies the weights of all projections but the adapters', as tests/oracle/make_float64.py
// does.
inline void scale_projections(const fs::path& folder, float factor) {
  change_tensors(folder, [factor](const std::string& name, std::vector<float>& values) {
    const bool projection = contains(name, "_proj.") || contains(name, "mlp.fc");
    if (!projection || !name.ends_with("weight") || contains(name, "lora_")) {
      return false;
    }
    std::ranges::transform(values, values.begin(), [&](float value) { return value * factor; });
    return true;
  });
}

// A fault in what is pressed, caught against the checkpoint as it was.
struct Planted {
  std::string name;
  std::string golden;
  std::function<void(const fs::path& checkpoint)> plant;
  std::string says;  // part of a fault
};
inline void PrintTo(const Planted& planted, std::ostream* out) {
  *out << planted.name;
}

inline void set_text(const fs::path& checkpoint, const char* key, const Json& value) {
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
inline void swap_heads(const fs::path& checkpoint) {
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

inline void zero_lora(const fs::path& checkpoint) {
  change_tensors(checkpoint, [](const std::string& name, std::vector<float>& values) {
    std::ranges::fill(values, 0.0F);
    return contains(name, "lora_B");
  });
}

inline std::vector<Planted> planted_faults() {
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

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_PLANTED_FAULTS_H_
