// verify on LLaVA, SmolVLM and Idefics3: what is right passes, and planted faults are caught.
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "onnx_edit.h"
#include "placeholder_util.h"
#include "planted_faults.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::all_faults;
using test::change_json;
using test::change_tensors;
using test::contains;
using test::message_of;
using test::options_of;
using test::placeholder_source;
using test::PlaceholderGolden;
using test::press_options;
using test::TempFolder;
namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

class VerifyPlaceholder : public testing::TestWithParam<std::string> {
 protected:
  // The reference's captions are those of generate(): of the prompt, or of its message through the template.
  void expect_captions(const VerifyReport& report) const {
    size_t found = 0;
    const Json& chat = golden_.json.at("chat");
    const Json rows = chat.empty() ? golden_.json.at("captions") : Json::array({chat.at(0)});
    for (const VerifyImage& image : report.images) {
      for (const Json& row : rows) {
        if (image.name == row.at("image").get<std::string>()) {
          EXPECT_EQ(image.ids, row.at("ids").get<Ids>()) << image.name;
          ++found;
        }
      }
    }
    EXPECT_EQ(found, rows.size());
  }

  PlaceholderGolden golden_{GetParam()};
};

TEST_P(VerifyPlaceholder, PassesWhatPressWroteAndSaysWhatGenerateSays) {
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    SCOPED_TRACE(ops == OpDialect::kOrt ? "ort" : "standard");
    const TempFolder temp;
    PressOptions press = press_options(golden_.source(), temp / "model");
    press.ops = ops;
    press.prompt = golden_.json.at("prompt").get<std::string>();
    press.max_new_tokens = golden_.json.at("max_new_tokens").get<int64_t>();
    press.dtypes = {"fp32", "fp16", "q8"};
    export_bundle(press);
    VerifyOptions options = options_of(golden_.source(), press.out);
    options.images = golden_.folder.parent_path();
    options.layers = true;
    options.html = temp / "page.html";
    const VerifyReport report = verify(options);
    EXPECT_TRUE(report.passed) << all_faults(report);
    ASSERT_EQ(report.dtypes.size(), 3U);
    const DtypeParity& fp32 = report.dtypes[0];
    EXPECT_EQ(fp32.captions_equal, std::ssize(report.images));
    EXPECT_EQ(fp32.forced.matched, fp32.forced.tokens);
    EXPECT_LT(fp32.forced.kl_max, 1e-8);
    EXPECT_GT(fp32.forced.largest_difference, 0.0);
    const Checkpoint checkpoint = open_checkpoint(golden_.source());
    EXPECT_EQ(std::ssize(fp32.layers),
              checkpoint.vision->layers_run() + checkpoint.text->num_hidden_layers);
    for (const LayerError& layer : fp32.layers) {
      EXPECT_GT(layer.error, 0.0) << layer.encoder << layer.layer;
      EXPECT_LT(layer.error, 1e-5) << layer.encoder << layer.layer;
    }
    EXPECT_TRUE(contains(read_text(options.html), "image_32x32") ||
                contains(read_text(options.html), "image_5x5"));
    expect_captions(report);
  }
}

TEST_P(VerifyPlaceholder, RulesSeeThePrompt) {
  const TempFolder temp;
  const fs::path copy = test::writable_copy(GetParam(), temp);
  change_json(copy / "base/generation_config.json", [](Json& json) {
    json["repetition_penalty"] = 1.6;
    json["no_repeat_ngram_size"] = 1;
  });
  const Source source = placeholder_source(copy);
  PressOptions press = press_options(source, temp / "model");
  press.prompt = golden_.json.at("rules").at("prompt").get<std::string>();
  export_bundle(press);
  const VerifyReport report = verify(options_of(source, press.out));
  EXPECT_TRUE(report.passed) << all_faults(report);
  EXPECT_EQ(report.dtypes[0].captions_equal, std::ssize(report.images));
}

// The decoder applies them by the ids in the columns of its embeddings.
TEST_P(VerifyPlaceholder, RulesInsideTheDecoderAreThoseOfTheReference) {
  const TempFolder temp;
  PressOptions press = press_options(golden_.source(), temp / "model");
  press.prompt = golden_.json.at("rules").at("prompt").get<std::string>();
  press.max_new_tokens = golden_.json.at("max_new_tokens").get<int64_t>();
  press.rules_in_graph = true;
  press.set = {"repetition_penalty=1.6", "no_repeat_ngram_size=2"};
  export_bundle(press);
  VerifyOptions options = options_of(golden_.source(), press.out);
  options.images = golden_.folder.parent_path();
  const VerifyReport report = verify(options);
  EXPECT_TRUE(report.passed) << all_faults(report);
  EXPECT_EQ(report.dtypes[0].captions_equal, std::ssize(report.images));
}

INSTANTIATE_TEST_SUITE_P(All,
                         VerifyPlaceholder,
                         testing::ValuesIn(test::kPlaceholderGoldens),
                         test::param_name);

// A checkpoint that sees the image as a prefix, in the same bundle.
TEST(VerifyLlava, PassesThePrefixModelsOfTheTrainer) {
  for (const std::string name : {"base", "odd", "qwen2"}) {
    const TempFolder temp;
    const Source source = test::source_of(name);
    PressOptions press = press_options(source, temp / "model");
    press.bundle = "llava";
    press.prompt = "a red";
    export_bundle(press);
    const VerifyReport report = verify(options_of(source, press.out));
    EXPECT_TRUE(report.passed) << name << ": " << all_faults(report);
    EXPECT_EQ(report.dtypes[0].captions_equal, 6) << name;
  }
}

// What is changed in the checkpoint before it is pressed, or afterwards in the folder.
struct PlaceholderFault {
  std::string name;
  std::string golden;
  std::function<void(const fs::path& checkpoint)> plant;
  std::function<void(const fs::path& model)> spoil;
  std::string says;
};
void PrintTo(const PlaceholderFault& fault, std::ostream* out) {
  *out << fault.name;
}

// Blocks of columns of the connector: another order in which a square's patches stand side by side.
void reorder_squares(const fs::path& checkpoint) {
  change_tensors(checkpoint / "base", [](const std::string& name, std::vector<float>& values) {
    constexpr size_t kWidth = 40;  // of one patch
    if (!contains(name, "modality_projection")) {
      return false;
    }
    for (size_t row = 0; row < values.size(); row += 4 * kWidth) {
      const auto second = values.begin() + static_cast<std::ptrdiff_t>(row + kWidth);
      std::swap_ranges(second, second + kWidth, second + kWidth);
    }
    return true;
  });
}

void shift_positions(const fs::path& checkpoint) {
  change_tensors(checkpoint / "base", [](const std::string& name, std::vector<float>& values) {
    std::ranges::rotate(values, values.begin() + 24);  // one position on
    return contains(name, "position_embedding");
  });
}

void zero_projector_lora(const fs::path& checkpoint) {
  const fs::path file = checkpoint / "adapter/adapter_model.safetensors";
  fs::rename(file, checkpoint / "adapter/model.safetensors");
  change_tensors(checkpoint / "adapter", [](const std::string& name, std::vector<float>& values) {
    std::ranges::fill(values, 0.0F);
    return contains(name, "linear_1.lora_B");
  });
  fs::rename(checkpoint / "adapter/model.safetensors", file);
}

// The other way through the squares: rows and columns are not turned.
void unturn_squares(const fs::path& model) {
  test::edit_onnx(model / "onnx/vision_encoder.onnx", [](onnx::GraphProto& graph) {
    for (const char* name : {"/projection/columns_first", "/projection/rows_first"}) {
      onnx::AttributeProto& perm = *test::node_of(graph, name).mutable_attribute(0);
      perm.set_ints(1, 1);
      perm.set_ints(2, 2);
    }
  });
}

// Positions of tiles that are seen in part; whole tiles stay right.
void spoil_buckets(const fs::path& model) {
  test::edit_onnx(model / "onnx/vision_encoder.onnx", [](onnx::GraphProto& graph) {
    for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
      if (tensor.name() == "/encoder/positions/buckets") {
        const auto grid = static_cast<size_t>(tensor.dims(1));
        std::string& bytes = *tensor.mutable_raw_data();
        ASSERT_EQ(bytes.size(), (grid + 1) * grid * sizeof(int64_t));
        std::fill_n(bytes.begin(), grid * grid * sizeof(int64_t), '\0');  // all but the last row
        return;
      }
    }
    FAIL() << "no table of positions";
  });
}

std::vector<PlaceholderFault> placeholder_faults() {
  const auto json = [](const char* file, std::function<void(Json&)> change) {
    return [file, change](const fs::path& folder) { change_json(folder / file, change); };
  };
  const auto nothing = [](const fs::path&) {};
  const std::string encoder = "of the encoder is not the checkpoint's";
  return {
      {"order_of_a_square", "smolvlm/idefics3", reorder_squares, nothing, encoder},
      {"order_of_the_shuffle", "smolvlm/idefics3", nothing, unturn_squares, encoder},
      {"order_of_the_shuffle_in_tiles", "smolvlm/smolvlm", nothing, unturn_squares, encoder},
      {"positions", "smolvlm/smolvlm", shift_positions, nothing, encoder},
      {"positions_under_a_mask",
       "smolvlm/smolvlm",
       nothing,
       spoil_buckets,
       "a tile that a mask leaves in part are off"},
      {"scale_of_tiles",
       "smolvlm/smolvlm",
       json("base/preprocessor_config.json", [](Json& j) { j["size"]["longest_edge"] = 96; }),
       nothing,
       "longest_edge is 96, expected 128"},
      {"no_tiles",
       "smolvlm/smolvlm",
       json("base/preprocessor_config.json", [](Json& j) { j["do_image_splitting"] = false; }),
       nothing,
       "do_image_splitting is false, expected true"},
      {"feature_layer",
       "llava/clip",
       json("base/config.json", [](Json& j) { j["vision_feature_layer"] = -1; }),
       nothing,
       encoder},
      {"order_of_feature_layers",
       "llava/layers",
       json("base/config.json", [](Json& j) { j["vision_feature_layer"] = {1, -1}; }),
       nothing,
       encoder},
      {"missing_lora_of_the_projector", "llava/clip", zero_projector_lora, nothing, encoder},
      {"chat_template",
       "llava/siglip",
       nothing,
       [](const fs::path& model) {
         fs::remove(model / "chat_template.jinja");
         write_text(model / "chat_template.jinja", "<image>{{ bos_token }}");
       },
       "chat_template.jinja: is not the checkpoint's chat template"},
      {"stock_positions",
       "llava/clip",
       nothing,
       json("processor_config.json", [](Json& j) { j["num_additional_image_tokens"] = 1; }),
       "processor_config.json: an image gets 17 tokens, expected 16"},
      {"tokens_of_tiles",
       "smolvlm/smolvlm",
       nothing,
       json("lorapress.json", [](Json& j) { j["image_splitting"]["tokens"]["around"] = ""; }),
       "the prompt of an image is ["},
  };
}

class VerifyCatchesPlaceholder : public testing::TestWithParam<PlaceholderFault> {};

TEST_P(VerifyCatchesPlaceholder, APlantedFault) {
  const TempFolder temp;
  const fs::path changed = test::writable_copy(GetParam().golden, temp);
  GetParam().plant(changed);
  export_bundle(press_options(placeholder_source(changed), temp / "model"));
  GetParam().spoil(temp / "model");
  const PlaceholderGolden golden(GetParam().golden);
  VerifyOptions options = options_of(golden.source(), temp / "model");
  options.max_new_tokens = 5;
  const VerifyReport report = verify(options);
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(contains(all_faults(report), GetParam().says)) << all_faults(report);
}

INSTANTIATE_TEST_SUITE_P(All,
                         VerifyCatchesPlaceholder,
                         testing::ValuesIn(placeholder_faults()),
                         [](const auto& row) { return row.param.name; });

TEST(VerifyPlaceholderRefuses, AnotherNumberOfImageTokens) {
  const TempFolder temp;
  const fs::path changed = test::writable_copy("llava/layers", temp);
  change_json(changed / "base/config.json",
              [](Json& json) { json["vision_feature_select_strategy"] = "default"; });
  export_bundle(press_options(placeholder_source(changed), temp / "model"));
  const std::string text = message_of(ErrorCode::kMismatch, [&] {
    verify(options_of(PlaceholderGolden("llava/layers").source(), temp / "model"));
  });
  EXPECT_TRUE(contains(text, "image_tokens is 4, expected 5")) << text;
}

TEST(VerifyPlaceholderRefuses, AnotherImageToken) {
  const TempFolder temp;
  const Source source = PlaceholderGolden("llava/clip").source();
  export_bundle(press_options(source, temp / "model"));
  change_json(temp / "model/lorapress.json",
              [](Json& json) { json["model"]["image_token_id"] = 276; });
  const std::string text =
      message_of(ErrorCode::kMismatch, [&] { verify(options_of(source, temp / "model")); });
  EXPECT_TRUE(contains(text, "image_token_id is 276, expected 275")) << text;
}

}  // namespace
}  // namespace lorapress
