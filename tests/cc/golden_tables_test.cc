// tests/goldens/tables: what torch and PEFT compute where adapters train, tie, untie or resize the
// two embedding tables; merge, all bundles, verify and its reference beside that.
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lorapress/inspect.h"
#include "lorapress/merge.h"

#include "checkpoint/checkpoint.h"
#include "components_util.h"
#include "graph/ports.h"
#include "onnx_edit.h"
#include "pressed.h"
#include "verify/reference.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::all_faults;
using test::contains;
using test::Ids;
using test::options_of;
using test::TempFolder;
namespace fs = std::filesystem;

const std::string kInput = "language_model.model.embed_tokens.weight";
const std::string kOutput = "language_model.lm_head.weight";

struct Tables {
  fs::path folder = test::source_path("tests/goldens/tables");
  Json json = read_json(folder / "tables.json");
  TensorMap tensors = open_safetensors(folder / "tables.safetensors");

  [[nodiscard]] const Json& row(const std::string& name) const {
    for (const Json& row : json.at("cases")) {
      if (row.at("name") == name) {
        return row;
      }
    }
    throw std::runtime_error("no case " + name);
  }
  [[nodiscard]] std::vector<std::vector<float>> pixels() const {
    const WeightPtr& all = tensors.at("pixel_values");
    std::vector<std::vector<float>> images;
    for (int64_t image = 0; image < all->rows(); ++image) {
      images.emplace_back(static_cast<size_t>(all->cols()));
      all->read_floats({image, 1, 0, all->cols()}, images.back());
    }
    return images;
  }
  [[nodiscard]] Source source(const Json& row) const {
    Source source;
    source.checkpoint = folder / row.at("checkpoint").get<std::string>();
    for (const Json& adapter : row.at("adapters")) {
      source.adapters.push_back(
          {folder / adapter.at("path").get<std::string>(), adapter.at("weight")});
    }
    return source;
  }
  [[nodiscard]] int64_t steps() const { return json.at("steps"); }
};

std::vector<std::string> case_names() {
  const Tables tables;
  std::vector<std::string> names;
  for (const Json& row : tables.json.at("cases")) {
    names.push_back(row.at("name"));
  }
  return names;
}

double relative_error(std::span<const float> got, std::span<const float> wanted) {
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(wanted[i]), 2);
    size += std::pow(static_cast<double>(wanted[i]), 2);
  }
  return std::sqrt(difference / size);
}

// Logits of image 0 before its first and its last token, and all captions, by the forward that
// shares no code with the exports.
void expect_torch(const Checkpoint& checkpoint, const Tables& tables, const Json& row) {
  const ReferenceModel model(checkpoint);
  const std::vector<Rows> prefixes = model.encode(tables.pixels());
  const Ids eos = checkpoint.text->eos_token_ids;
  const std::vector<ReferenceCaption> captions = model.greedy(prefixes, tables.steps(), eos);
  for (size_t image = 0; image < captions.size(); ++image) {
    EXPECT_EQ(captions[image].ids, row.at("captions").at(image).get<Ids>()) << "image " << image;
  }
  const std::vector<float> wanted =
      read_all_float32(*tables.tensors.at(row.at("name").get<std::string>()));
  const Rows& got = captions.at(0).logits;
  ASSERT_EQ(wanted.size(), static_cast<size_t>(2 * got.cols));
  const auto width = static_cast<size_t>(got.cols);
  EXPECT_LE(relative_error(got.row(0), std::span(wanted).first(width)), 2e-5);
  EXPECT_LE(relative_error(got.row(got.rows - 1), std::span(wanted).last(width)), 2e-5);
}

bool mentions(const std::vector<std::string>& notes, const std::string& part) {
  return std::ranges::any_of(notes, [&](const std::string& note) { return contains(note, part); });
}

PressOptions press_options(const Source& source, const fs::path& out, const std::string& bundle) {
  PressOptions options;
  options.source = source;
  options.out = out;
  options.bundle = bundle;
  return options;
}

class GoldenTables : public ::testing::TestWithParam<std::string> {
 protected:
  const Tables tables_;
  const Json& row_ = tables_.row(GetParam());
  const Source source_ = tables_.source(row_);
  const bool tied_ = row_.at("tied");
};

TEST_P(GoldenTables, AreReadAsTorchComputes) {
  const Checkpoint checkpoint = open_checkpoint(source_);
  const TextConfig& text = checkpoint.text.value();
  EXPECT_EQ(text.tie_word_embeddings, tied_);
  EXPECT_EQ(text.vocab_size, row_.at("vocab_size"));
  EXPECT_EQ(checkpoint.tensors.contains(kOutput), !tied_);
  EXPECT_EQ(checkpoint.text_json.at("tie_word_embeddings"), tied_);
  EXPECT_EQ(checkpoint.text_json.at("vocab_size"), row_.at("vocab_size"));
  const bool flag = row_.at("checkpoint") != "untied";
  EXPECT_EQ(mentions(checkpoint.notes, "differ: both tables are kept"), flag && !tied_);
  EXPECT_EQ(mentions(checkpoint.notes, "vocab_size is"), row_.at("vocab_size") != 276);
  const bool lora_on_table = contains(GetParam(), "_lora") || GetParam() == "tied_weighted_head";
  EXPECT_EQ(mentions(checkpoint.notes, "merge_and_unload()"), flag && !tied_ && lora_on_table);
  expect_torch(checkpoint, tables_, row_);
  if (source_.adapters.empty()) {
    const Json text_part = Json::parse(inspect(source_.checkpoint)).at("text");
    EXPECT_EQ(text_part.at("tie_word_embeddings"), tied_);
  }
}

TEST_P(GoldenTables, AreMergedIntoAFolderThatIsReadAlike) {
  const TempFolder folder;
  MergeOptions options;
  options.source = source_;
  options.out = folder / "out";
  options.dtype = "fp32";
  merge(options);
  const Json config = read_json(folder / "out/config.json");
  EXPECT_EQ(config.at("text_config").at("tie_word_embeddings"), tied_);
  EXPECT_EQ(config.at("text_config").at("vocab_size"), row_.at("vocab_size"));
  EXPECT_EQ(config.value("tie_word_embeddings", tied_), tied_);
  const Json decoder = read_json(folder / "out/language_model/config.json");
  EXPECT_EQ(decoder.at("tie_word_embeddings"), tied_);
  EXPECT_EQ(decoder.at("vocab_size"), row_.at("vocab_size"));
  const TensorMap tensors = open_safetensors(folder / "out/language_model/model.safetensors");
  EXPECT_TRUE(tensors.contains("model.embed_tokens.weight"));
  EXPECT_EQ(tensors.contains("lm_head.weight"), !tied_);
  Source merged;
  merged.checkpoint = folder / "out";
  const Checkpoint checkpoint = open_checkpoint(merged);
  EXPECT_TRUE(checkpoint.notes.empty()) << fmt::format("{}", fmt::join(checkpoint.notes, "; "));
  expect_torch(checkpoint, tables_, row_);
}

TEST_P(GoldenTables, CaptionInOnnxRuntimeAsTorchAndPassVerify) {
  const TempFolder folder;
  export_bundle(press_options(source_, folder / "out", "transformers.js"));
  const test::Pressed pressed(folder / "out");
  const auto images = tables_.pixels();
  const std::vector<float> wanted = read_all_float32(*tables_.tensors.at(GetParam()));
  for (size_t image = 0; image < images.size(); ++image) {
    const Ids ids = row_.at("captions").at(image).get<Ids>();
    const OrtTensor prefix = pressed.encode({images[image]});
    std::vector<OrtTensor> cache = pressed.empty_cache(1);
    Ids given = pressed.start();
    for (size_t step = 0; step < ids.size(); ++step) {
      const std::vector<float> logits = pressed.step({given}, prefix, cache)[0];
      EXPECT_EQ(test::argmax(logits), ids[step]) << "image " << image << ", step " << step;
      given = {ids[step]};
      const std::span<const float> both(wanted);
      if (image == 0 && step == 0) {
        EXPECT_LE(relative_error(logits, both.first(logits.size())), 2e-5);
      }
      if (image == 0 && step + 1 == ids.size()) {
        EXPECT_LE(relative_error(logits, both.last(logits.size())), 2e-5);
      }
    }
  }
  const VerifyReport report = verify(options_of(source_, folder / "out"));
  EXPECT_TRUE(report.passed) << all_faults(report);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTables, ::testing::ValuesIn(case_names()), [](const auto& row) {
  return row.param;
});

// The two bundles whose decoder takes embeddings.
class EmbedsModel {
 public:
  EmbedsModel(const fs::path& folder, const std::string& bundle)
      : manifest_(read_manifest(folder)),
        genai_(bundle == "genai"),
        vision_(open(folder, genai_ ? "vision" : "vision_encoder")),
        embedding_(open(folder, genai_ ? "embedding" : "embed_tokens")),
        decoder_(open(folder, genai_ ? "model" : "decoder_model_merged")) {}

  [[nodiscard]] Ids caption(const std::vector<float>& image, int64_t most) const {
    const Preprocessing& size = manifest_.preprocessing;
    const OrtTensor pixels = OrtTensor::floats({1, 3, size.height, size.width}, image);
    const auto features = vision_.run({{"pixel_values", &pixels}}, {"image_features"});
    const Shape& shape = features[0].shape();
    const int64_t hidden = shape.back();
    const OrtTensor none(DType::kF32, {0, hidden});
    OrtTensor embeds =
        OrtTensor::floats({1, shape.at(shape.size() - 2), hidden}, features[0].as_floats());
    std::vector<OrtTensor> cache;
    std::vector<std::string> past;
    std::vector<std::string> wanted{"logits"};
    for (int64_t layer = 0; layer < manifest_.num_hidden_layers; ++layer) {
      for (const CachePart part : kCacheParts) {
        past.push_back(cache_port(CacheSide::kPast, layer, part));
        wanted.push_back(cache_port(CacheSide::kPresent, layer, part));
        cache.emplace_back(DType::kF32,
                           Shape{1, manifest_.num_key_value_heads, 0, manifest_.head_dim});
      }
    }
    Ids ids;
    for (;;) {
      std::vector<OrtSession::Feed> feeds{{"inputs_embeds", &embeds}};
      for (size_t i = 0; i < past.size(); ++i) {
        feeds.push_back({past[i], &cache[i]});
      }
      std::vector<OrtTensor> outputs = decoder_.run(feeds, wanted);
      const auto logits = outputs[0].as_floats();
      ids.push_back(std::ranges::max_element(logits) - logits.begin());
      if (std::ssize(ids) == most || std::ranges::count(manifest_.eos_token_ids, ids.back()) != 0) {
        return ids;
      }
      cache.clear();
      std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(cache));
      const OrtTensor next = OrtTensor::integers({1, 1}, std::span(ids).last(1));
      std::vector<OrtSession::Feed> tokens{{"input_ids", &next}};
      if (genai_) {
        tokens.push_back({"image_features", &none});
      }
      embeds = std::move(embedding_.run(tokens, {"inputs_embeds"})[0]);
    }
  }

 private:
  OrtSession open(const fs::path& folder, const std::string& role) {
    return {folder / manifest_.graphs.at("fp32").at(role), 1};
  }
  Manifest manifest_;
  bool genai_;
  OrtSession vision_;
  OrtSession embedding_;
  OrtSession decoder_;
};

Ids caption_of(const fs::path& folder,
               const std::string& bundle,
               const std::vector<float>& image,
               int64_t most) {
  if (bundle == "single") {
    return test::Single(folder).caption({image}, most).at(0);
  }
  if (bundle == "components") {
    return test::Components(folder).caption(image, most);
  }
  return EmbedsModel(folder, bundle).caption(image, most);
}

TEST(TablesInBundles, CaptionAsTorch) {
  const Tables tables;
  const auto images = tables.pixels();
  for (const std::string name : {"tied_embed",
                                 "tied_head",
                                 "tied_both",
                                 "tied_lora_head",
                                 "tied_ensured",
                                 "tied_rows",
                                 "tied_grown_embed",
                                 "untied_grown",
                                 "whole_head",
                                 "whole_embed"}) {
    const Json& row = tables.row(name);
    for (const std::string bundle : {"single", "components", "llava", "genai"}) {
      SCOPED_TRACE(name + ", " + bundle);
      const TempFolder folder;
      export_bundle(press_options(tables.source(row), folder / "out", bundle));
      for (size_t image = 0; image < images.size(); ++image) {
        EXPECT_EQ(caption_of(folder / "out", bundle, images[image], tables.steps()),
                  row.at("captions").at(image).get<Ids>());
      }
    }
  }
}

// Two tables in every dtype: with one for both, below a third of the tokens are right
// (VerifyOfTables). These weights are many times larger than trained ones, so rounding costs much.
TEST(TablesInDtypes, StayTwo) {
  const Tables tables;
  for (const std::string name : {"tied_embed", "whole_head", "tied_grown_embed"}) {
    SCOPED_TRACE(name);
    const Source source = tables.source(tables.row(name));
    const TempFolder folder;
    PressOptions options = press_options(source, folder / "out", "transformers.js");
    options.dtypes = {"fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"};
    export_bundle(options);
    VerifyOptions checked = options_of(source, folder / "out");
    checked.min_match = 0.0;
    const VerifyReport report = verify(checked);
    EXPECT_TRUE(report.passed) << all_faults(report);
    for (const DtypeParity& dtype : report.dtypes) {
      const bool coarse = contains(dtype.dtype, "4");
      EXPECT_GE(dtype.forced.match(), coarse ? 0.4 : 0.8) << dtype.dtype;
    }
  }
}

// The reader's decision undone by hand: the reference goes on with what the adapters left.
TEST(TablesOfTheReference, AreNotWhatTheReaderDecided) {
  const Tables tables;
  for (const std::string name : {"tied_embed", "tied_head", "two", "untied_embed"}) {
    SCOPED_TRACE(name);
    Checkpoint checkpoint = open_checkpoint(tables.source(tables.row(name)));
    checkpoint.tensors.erase(kOutput);
    checkpoint.text->tie_word_embeddings = true;
    expect_torch(checkpoint, tables, tables.row(name));
  }
}

TEST(VerifyOfTables, ReportsAWrongTie) {
  const Tables tables;
  for (const std::string name : {"tied_embed", "tied_head", "tied_lora_embed", "whole_embed"}) {
    for (const bool head_stays : {true, false}) {
      SCOPED_TRACE(name + (head_stays ? ", the head's table" : ", the lookup's table"));
      const Source source = tables.source(tables.row(name));
      const TempFolder folder;
      export_bundle(press_options(source, folder / "out", "transformers.js"));
      test::edit_onnx(folder / "out/onnx/decoder_model_merged.onnx", [&](onnx::GraphProto& graph) {
        onnx::NodeProto& gather = test::node_of(graph, "/decoder/embed_tokens/Gather");
        onnx::NodeProto& gemm = test::node_of(graph, "/decoder/lm_head/Gemm");
        ASSERT_NE(gather.input(0), gemm.input(1));
        head_stays ? gather.set_input(0, gemm.input(1)) : gemm.set_input(1, gather.input(0));
      });
      const VerifyReport report = verify(options_of(source, folder / "out"));
      EXPECT_FALSE(report.passed);
      EXPECT_LT(report.dtypes.at(0).forced.match(), contains(name, "lora") ? 0.9 : 0.33);
      EXPECT_TRUE(contains(all_faults(report), "tokens are the reference's") ||
                  contains(all_faults(report), "a constant is not the checkpoint's"))
          << all_faults(report);
    }
  }
}

TEST(TokenizerOfAddedTokens, ComesFromTheAdapter) {
  const Tables tables;
  for (const auto& [name, tokens] : {std::pair<std::string, int>{"tied_new_rows", 280},
                                     {"tied_grown_embed", 279},
                                     {"tied_shrunk", 272},
                                     {"tied_embed", 270}}) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    MergeOptions options;
    options.source = tables.source(tables.row(name));
    options.out = folder / "merged";
    const MergeReport report = merge(options);
    export_bundle(press_options(options.source, folder / "web", "transformers.js"));
    EXPECT_EQ(mentions(report.notes, "has more tokens"), tokens != 270);
    for (const std::string out : {"merged", "merged/language_model", "web"}) {
      const Json added = read_json(folder.path() / out / "tokenizer.json").at("added_tokens");
      const int64_t last = added.at(added.size() - 1).at("id");
      EXPECT_EQ(last, tokens == 270 ? 2 : tokens - 1) << out;
    }
  }
}

}  // namespace
}  // namespace lorapress
