// The reference forward against PyTorch: numbers and greedy ids of every golden checkpoint, without
// ONNX.
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tokenizer_files.h"
#include "golden_util.h"
#include "runtime/generation/tokenizer.h"
#include "verify/reference.h"

namespace lorapress {
namespace {

using test::Golden;
using Ids = std::vector<int64_t>;

// |got - wanted| over |wanted|, both as vectors.
double relative_error(std::span<const float> got, std::span<const float> wanted) {
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(wanted[i]), 2);
    size += std::pow(static_cast<double>(wanted[i]), 2);
  }
  return std::sqrt(difference / size);
}

void expect_close(std::span<const float> got,
                  const std::vector<float>& wanted,
                  const std::string& what) {
  ASSERT_EQ(got.size(), wanted.size()) << what;
  EXPECT_LE(relative_error(got, wanted), 2e-5) << what;
}

int64_t argmax(std::span<const float> values) {
  return std::ranges::max_element(values) - values.begin();
}

std::vector<std::vector<float>> all_pixels(const Golden& golden) {
  std::vector<std::vector<float>> pixels;
  for (size_t image = 0; image < golden.json.at("images").size(); ++image) {
    pixels.push_back(golden.row("pixel_values", image));
  }
  return pixels;
}

void expect_prompt(const ReferenceModel& model,
                   const std::vector<Rows>& prefixes,
                   const Json& prompt) {
  const Rows& prefix = prefixes.at(prompt.at("image").get<size_t>());
  Ids forced = prompt.at("prompt_ids").get<Ids>();
  const size_t before = forced.size();
  const Ids wanted = prompt.at("ids").get<Ids>();
  forced.insert(forced.end(), wanted.begin(), wanted.end());
  const Rows logits = model.logits({prefix}, {forced}).at(0);
  ASSERT_EQ(logits.rows, std::ssize(forced));
  for (size_t t = 0; t < wanted.size(); ++t) {
    EXPECT_EQ(argmax(logits.row(static_cast<int64_t>(before + t))), wanted[t]) << "prompt, " << t;
  }
}

void expect_captions(const ReferenceModel& model,
                     const std::vector<Rows>& prefixes,
                     const Golden& golden,
                     const Ids& eos,
                     const Json& row) {
  const std::vector<ReferenceCaption> captions =
      model.greedy(prefixes, golden.json.at("max_new_tokens"), eos);
  const Tokenizer tokenizer = Tokenizer::from_file(
      golden.folder / golden.json.at("checkpoint").get<std::string>() / "tokenizer.json");
  std::vector<Ids> forced;
  for (const Json& wanted : row.at("captions")) {
    const ReferenceCaption& caption = captions.at(wanted.at("image").get<size_t>());
    EXPECT_EQ(caption.ids, wanted.at("ids").get<Ids>()) << "image " << wanted.at("image");
    EXPECT_EQ(tokenizer.decode(caption.ids), wanted.at("text").get<std::string>());
    forced.push_back(caption.ids);
  }
  ASSERT_EQ(forced.size(), prefixes.size());
  // One pass over everything gives what the steps with the cache gave.
  const std::vector<Rows> at_once = model.logits(prefixes, forced);
  for (size_t i = 0; i < prefixes.size(); ++i) {
    ASSERT_EQ(at_once[i].rows, captions[i].logits.rows);
    EXPECT_LE(relative_error(at_once[i].values, captions[i].logits.values), 1e-5);
  }
}

// `image_tensor`: the golden's name of what the decoder gets of the images, in its first case.
void expect_pytorch(const Golden& golden, const std::string& image_tensor) {
  for (const Json& row : golden.cases()) {
    const std::string name = row.at("name");
    SCOPED_TRACE(name);
    const Checkpoint checkpoint = open_checkpoint(golden.source(row));
    const SpecialTokens tokens = find_tokenizer(checkpoint).tokens;
    ReferenceOptions options;
    options.decoder_start_token_id = tokens.decoder_start_token_id;
    const ReferenceModel model(checkpoint, options);
    const std::vector<Rows> prefixes = model.encode(all_pixels(golden));
    const std::vector<Rows> first = model.logits(prefixes, {{}, {}, {}});
    for (size_t image = 0; image < prefixes.size(); ++image) {
      if (row == golden.cases().at(0)) {
        expect_close(prefixes[image].values, golden.row(image_tensor, image), image_tensor);
      }
      ASSERT_EQ(first[image].rows, 1);
      expect_close(first[image].values, golden.row(name + "/first_logits", image), "first logits");
    }
    if (row == golden.cases().at(0)) {
      const Ids ids = row.at("captions").at(0).at("ids").get<Ids>();
      const Rows logits = model.logits({prefixes[0]}, {ids}).at(0);
      for (int64_t step = 0; step < golden.tensors.at("step_logits")->rows(); ++step) {
        expect_close(logits.row(step),
                     golden.row("step_logits", static_cast<size_t>(step)),
                     fmt::format("step {}", step));
      }
    }
    expect_captions(model, prefixes, golden, tokens.eos_token_ids, row);
    expect_prompt(model, prefixes, row.at("prompt"));
  }
}

class Reference : public ::testing::TestWithParam<std::string> {};

TEST_P(Reference, EqualsPyTorch) {
  expect_pytorch(Golden(GetParam()), "prefix");
}

INSTANTIATE_TEST_SUITE_P(All,
                         Reference,
                         ::testing::ValuesIn(test::golden_names()),
                         [](const auto& row) { return row.param; });

class ReferenceCross : public ::testing::TestWithParam<std::string> {};

TEST_P(ReferenceCross, EqualsPyTorch) {
  expect_pytorch(test::cross_golden(GetParam()), "encoder_hidden_states");
}

// The same forward in double, of which float32's distance is small and not zero.
TEST_P(ReferenceCross, InDoubleIsNear) {
  const Golden golden = test::cross_golden(GetParam());
  const Json& row = golden.cases().at(0);
  const Checkpoint checkpoint = open_checkpoint(golden.source(row));
  ReferenceOptions options;
  options.decoder_start_token_id = golden.json.at("decoder_start_token_id");
  const ReferenceModel model(checkpoint, options);
  const std::vector<std::vector<float>> pixels = {golden.row("pixel_values", 0)};
  const Ids ids = row.at("captions").at(0).at("ids");
  const Rows single = model.logits(model.encode(pixels), {ids}).at(0);
  const ForcedPass exact = model.forced(pixels, {ids}, Arithmetic::kFloat64);
  const double error = relative_error(single.values, exact.logits.at(0).values);
  EXPECT_GT(error, 0.0);
  EXPECT_LT(error, 2e-6);
}

INSTANTIATE_TEST_SUITE_P(All,
                         ReferenceCross,
                         ::testing::ValuesIn(test::cross_golden_names()),
                         [](const auto& row) { return row.param; });

// transformers fails there, too.
TEST(ReferenceCrossPositions, EndWhereTheTableEnds) {
  const Golden golden = test::cross_golden("deitgpt2");
  const Checkpoint checkpoint = open_checkpoint(golden.source(golden.cases().at(0)));
  const ReferenceModel model(checkpoint);
  const std::vector<Rows> states = model.encode({golden.row("pixel_values", 0)});
  EXPECT_EQ(model.logits(states, {Ids(48, 5)}).at(0).rows, 48);
  const std::string text = test::message_of(
      ErrorCode::kInvalidArgument, [&] { static_cast<void>(model.logits(states, {Ids(49, 5)})); });
  EXPECT_TRUE(test::contains(text, "position 48 is beyond the 48 of the decoder")) << text;
}

// A family that is only registered is not taken for another one.
TEST(ReferenceModel, RefusesAFamilyThatItDoesNotCompute) {
  const Golden golden("base");
  const Checkpoint checkpoint = open_checkpoint(golden.source(golden.cases().at(0)));
  Checkpoint other = checkpoint;
  other.text->model_type = "mamba";
  const auto refusal = [&] {
    return test::message_of(ErrorCode::kUnsupported, [&] { const ReferenceModel model(other); });
  };
  EXPECT_TRUE(test::contains(refusal(), "\"mamba\" has no reference forward"));
  other = checkpoint;
  other.vision->model_type = "swin";
  EXPECT_TRUE(test::contains(refusal(), "\"swin\" has no reference forward"));
}

// Every linear layer's input, by the canonical name of its weight.
TEST(ReferenceListener, SeesEveryLinearLayer) {
  for (const std::string name : {"base", "odd", "visionlora"}) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    const Checkpoint checkpoint = open_checkpoint(golden.source(golden.cases().at(0)));
    ReferenceModel model(checkpoint);
    std::map<std::string, int64_t> rows;
    std::vector<float> head_input;
    model.on_linear_input([&](const LinearInput& input) {
      const std::string weight = std::string(input.name) + ".weight";
      const bool tied = !checkpoint.tensors.contains(weight);
      EXPECT_EQ(tied,
                input.name == "language_model.lm_head" && checkpoint.text->tie_word_embeddings);
      if (!tied) {
        EXPECT_EQ(checkpoint.tensors.at(weight).weight->cols(), input.in_features) << weight;
      }
      const auto [entry, is_new] =
          rows.emplace(input.name, std::ssize(input.rows) / input.in_features);
      EXPECT_TRUE(is_new) << weight << " twice in one pass";
      head_input.assign(input.rows.begin(), input.rows.end());  // the last one stays
    });
    const std::vector<Rows> prefix = model.encode({golden.row("pixel_values", 0)});
    const Rows logits = model.logits(prefix, {{5, 7, 9}}).at(0);
    size_t matrices = checkpoint.text->tie_word_embeddings ? 1 : 0;
    for (const auto& [weight, tensor] : checkpoint.tensors) {
      const bool table = weight.find("embed_tokens") != std::string::npos ||
                         weight.find("position_embedding") != std::string::npos;
      const bool pooling = weight.find("vision_encoder.head.") != std::string::npos;
      matrices += tensor.weight->shape().size() >= 2 && !table && !pooling ? 1 : 0;
    }
    EXPECT_EQ(rows.size(), matrices);
    const int64_t patches = checkpoint.vision->patches();
    EXPECT_EQ(rows.at("vision_encoder.embeddings.patch_embedding"), patches);
    EXPECT_EQ(rows.at("language_model.model.layers.1.mlp.down_proj"), patches + 2);
    EXPECT_EQ(rows.at("language_model.lm_head"), 3);
    // What the listener saw times the weight is what came out.
    const bool tied = checkpoint.text->tie_word_embeddings;
    const std::vector<float> table =
        read_all_float32(*checkpoint.tensors
                              .at(tied ? "language_model.model.embed_tokens.weight"
                                       : "language_model.lm_head.weight")
                              .weight);
    const auto hidden = static_cast<size_t>(checkpoint.text->hidden_size);
    double product = 0.0;
    for (size_t i = 0; i < hidden; ++i) {
      product += static_cast<double>(head_input[i]) * static_cast<double>(table[11 * hidden + i]);
    }
    EXPECT_NEAR(product, static_cast<double>(logits.row(0)[11]), 1e-3);
  }
}

// Keys and values of the image are computed once for all images, the rest once for each pass.
TEST(ReferenceListener, SeesEveryLinearLayerOfCrossAttention) {
  for (const std::string name : {"vitgpt2", "trocrsin", "blip"}) {
    SCOPED_TRACE(name);
    const Golden golden = test::cross_golden(name);
    const Checkpoint checkpoint = open_checkpoint(golden.source(golden.cases().at(0)));
    ReferenceModel model(checkpoint);
    std::map<std::string, int64_t> rows;
    model.on_linear_input([&](const LinearInput& input) {
      const bool is_new =
          rows.emplace(input.name, std::ssize(input.rows) / input.in_features).second;
      EXPECT_TRUE(is_new) << input.name << " twice in one pass";
    });
    const std::vector<Rows> states = model.encode(all_pixels(golden));
    static_cast<void>(model.logits(states, {{5, 7}, {5, 7, 9}, {}}));
    const std::string layer = name == "vitgpt2"    ? "transformer.h.1.crossattention."
                              : name == "trocrsin" ? "model.decoder.layers.1.encoder_attn."
                                                   : "bert.encoder.layer.1.crossattention.self.";
    const auto of = [&](const std::string& part) {
      return rows.at("language_model." + layer + part);
    };
    const int64_t tokens = 3 * states.at(0).rows;
    EXPECT_EQ(of(name == "vitgpt2" ? "c_attn" : name == "trocrsin" ? "k_proj" : "key"), tokens);
    EXPECT_EQ(of(name == "vitgpt2" ? "q_attn" : name == "trocrsin" ? "q_proj" : "query"), 6);
    for (const auto& [weight, tensor] : checkpoint.tensors) {
      const bool matrix = tensor.weight->shape().size() == 2 && weight.ends_with(".weight");
      const bool used = weight.find("embed") == std::string::npos &&
                        weight.find(".wte.") == std::string::npos &&
                        weight.find(".wpe.") == std::string::npos &&
                        weight.find(".pooler.") == std::string::npos &&
                        weight.find("lm_head") == std::string::npos;
      if (matrix && used) {
        EXPECT_TRUE(rows.contains(weight.substr(0, weight.size() - 7))) << weight;
      }
    }
  }
}

TEST(ReferenceListener, MayStopTheForward) {
  const Golden golden("base");
  const Checkpoint checkpoint = open_checkpoint(golden.source(golden.cases().at(0)));
  ReferenceModel model(checkpoint);
  model.on_linear_input([](const LinearInput&) { throw Error(ErrorCode::kIo, "enough"); });
  test::message_of(ErrorCode::kIo, [&] { static_cast<void>(model.encode(all_pixels(golden))); });
  model.on_linear_input({});
  EXPECT_EQ(model.encode(all_pixels(golden)).size(), 3U);
}

TEST(ReferenceInput, IsChecked) {
  const Golden golden("base");
  const Checkpoint checkpoint = open_checkpoint(golden.source(golden.cases().at(0)));
  const ReferenceModel model(checkpoint);
  test::message_of(ErrorCode::kInvalidArgument,
                   [&] { static_cast<void>(model.encode({std::vector<float>(7)})); });
  const std::vector<Rows> prefix = model.encode({golden.row("pixel_values", 0)});
  for (const int64_t id : {int64_t{-1}, checkpoint.text->vocab_size}) {
    test::message_of(ErrorCode::kInvalidArgument,
                     [&] { static_cast<void>(model.logits(prefix, {{id, 0}})); });
  }
}

}  // namespace
}  // namespace lorapress
