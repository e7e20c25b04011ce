// Every named model's real shape: graphs are authored and checked for each tower, with weights that
// take no memory. What would be written is up to 8 GB; nothing is.
#include "checkpoint/known_models.h"

#include <gtest/gtest.h>

#include "bundles/bundle.h"
#include "graph/check.h"
#include "graph/write.h"

namespace lorapress {
namespace {

// The tensors of transformers' SiglipVisionModel, CLIPVisionModel, ViTModel and Dinov2Model, from
// their state dicts as files have them.
void add_vision(Checkpoint& checkpoint) {
  const VisionConfig& config = *checkpoint.vision;
  const std::string& type = config.model_type;
  const bool siglip = type == "siglip_vision_model";
  const bool clip = type == "clip_vision_model";
  const bool dino = type == "dinov2";
  const int64_t hidden = config.hidden_size;
  const int64_t wide = config.intermediate_size;
  const auto add = [&](const std::string& name, Shape shape) {
    checkpoint.tensors["vision_encoder." + name] = {zeros(DType::kF32, std::move(shape)), name};
  };
  const auto add_pair = [&](const std::string& name, Shape shape) {
    add(name + ".bias", {shape[0]});
    add(name + ".weight", std::move(shape));
  };
  const Shape kernel{hidden, 3, config.patch_size, config.patch_size};
  const int64_t positions = config.patches() + (siglip ? 0 : 1);
  if (siglip || clip) {
    add("embeddings.patch_embedding.weight", kernel);
    add("embeddings.position_embedding.weight", {positions, hidden});
  } else {
    add_pair("embeddings.patch_embeddings.projection", kernel);
    add("embeddings.position_embeddings", {1, positions, hidden});
    add("embeddings.cls_token", {1, 1, hidden});
  }
  if (siglip) {
    add("embeddings.patch_embedding.bias", {hidden});
  }
  if (clip) {
    add("embeddings.class_embedding", {hidden});
    add_pair("pre_layrnorm", {hidden});
  }
  const std::vector<std::string> square =
      siglip || clip ? std::vector<std::string>{"self_attn.q_proj",
                                                "self_attn.k_proj",
                                                "self_attn.v_proj",
                                                "self_attn.out_proj"}
                     : std::vector<std::string>{"attention.attention.query",
                                                "attention.attention.key",
                                                "attention.attention.value",
                                                "attention.output.dense"};
  const std::vector<std::string> rest =  // both norms, both layers of the MLP
      siglip || clip ? std::vector<std::string>{"layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"}
      : dino         ? std::vector<std::string>{"norm1", "norm2", "mlp.fc1", "mlp.fc2"}
                     : std::vector<std::string>{
                   "layernorm_before", "layernorm_after", "intermediate.dense", "output.dense"};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string name =
        (siglip || clip ? "encoder.layers." : "encoder.layer.") + std::to_string(layer) + ".";
    for (const std::string& part : square) {
      add_pair(name + part, {hidden, hidden});
    }
    add_pair(name + rest[0], {hidden});
    add_pair(name + rest[1], {hidden});
    add_pair(name + rest[2], {wide, hidden});
    add_pair(name + rest[3], {hidden, wide});
    if (dino) {
      add(name + "layer_scale1.lambda1", {hidden});
      add(name + "layer_scale2.lambda1", {hidden});
    }
  }
  add_pair(siglip || clip ? "post_layernorm" : "layernorm", {hidden});
}

// The tensors of transformers' LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM and
// SmolLM3ForCausalLM.
void add_text(Checkpoint& checkpoint) {
  const TextConfig& config = *checkpoint.text;
  const int64_t hidden = config.hidden_size;
  const int64_t query = config.num_attention_heads * config.head_dim;
  const int64_t key = config.num_key_value_heads * config.head_dim;
  const int64_t wide = std::get<LlamaLayers>(config.layers).intermediate_size;
  const auto add = [&](const std::string& name, Shape shape) {
    checkpoint.tensors["language_model." + name + ".weight"] = {
        zeros(DType::kBF16, std::move(shape)), name};
  };
  const auto add_bias = [&](const std::string& name, int64_t width) {
    checkpoint.tensors["language_model." + name + ".bias"] = {zeros(DType::kBF16, {width}), name};
  };
  add("model.embed_tokens", {config.vocab_size, hidden});
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string name = "model.layers." + std::to_string(layer);
    add(name + ".self_attn.q_proj", {query, hidden});
    add(name + ".self_attn.k_proj", {key, hidden});
    add(name + ".self_attn.v_proj", {key, hidden});
    add(name + ".self_attn.o_proj", {hidden, query});
    if (config.model_type == "qwen2") {
      add_bias(name + ".self_attn.q_proj", query);
      add_bias(name + ".self_attn.k_proj", key);
      add_bias(name + ".self_attn.v_proj", key);
    } else if (config.model_type == "qwen3") {
      add(name + ".self_attn.q_norm", {config.head_dim});
      add(name + ".self_attn.k_norm", {config.head_dim});
    }
    add(name + ".mlp.gate_proj", {wide, hidden});
    add(name + ".mlp.up_proj", {wide, hidden});
    add(name + ".mlp.down_proj", {hidden, wide});
    add(name + ".input_layernorm", {hidden});
    add(name + ".post_attention_layernorm", {hidden});
  }
  add("model.norm", {hidden});
  if (!config.tie_word_embeddings) {
    add("lm_head", {config.vocab_size, hidden});
  }
}

Checkpoint fake_checkpoint(std::string_view vision, std::string_view text) {
  Checkpoint checkpoint;
  checkpoint.vision = parse_vision_config(known_config(vision).value(), vision);
  checkpoint.text = parse_text_config(known_config(text).value(), text);
  checkpoint.composite = composite_model_types()[0];
  checkpoint.projection = ProjectionConfig{};
  add_vision(checkpoint);
  add_text(checkpoint);
  const int64_t in = checkpoint.vision->hidden_size;
  const int64_t out = checkpoint.text->hidden_size;
  checkpoint.tensors["projection.projection.weight"] = {zeros(DType::kF32, {out, in}), ""};
  checkpoint.tensors["projection.projection.bias"] = {zeros(DType::kF32, {out}), ""};
  return checkpoint;
}

uint64_t total_bytes(const std::vector<FilePlan>& plans) {
  uint64_t bytes = 0;
  for (const FilePlan& plan : plans) {
    EXPECT_LE(plan.size(), kMaxOnnxFile) << plan.path();
    bytes += plan.size();
  }
  return bytes;
}

std::vector<BundleGraph> author(const Checkpoint& checkpoint, OpDialect ops) {
  std::vector<std::string> notes;
  const Preprocessing preprocessing;
  const TokenizerFiles tokenizer;
  return kTransformersJs.graphs({checkpoint, preprocessing, tokenizer, ops, 17, 30}, notes);
}

class KnownModels : public testing::TestWithParam<OpDialect> {};

TEST_P(KnownModels, AuthorAtTheirRealShapes) {
  std::vector<std::string_view> visions;
  std::vector<std::string_view> texts;
  for (const std::string_view name : known_model_names()) {
    const auto type = known_config(name)->at("model_type").get<std::string>();
    (find_model_type(text_model_types(), type) ? texts : visions).push_back(name);
  }
  ASSERT_GE(visions.size(), 25U);
  ASSERT_GE(texts.size(), 16U);
  // Each tower once: they see each other only through the projection.
  for (size_t i = 0; i < std::max(visions.size(), texts.size()); ++i) {
    const std::string_view vision = visions[i % visions.size()];
    const std::string_view text = texts[i % texts.size()];
    SCOPED_TRACE(std::string(vision) + " + " + std::string(text));
    const Checkpoint checkpoint = fake_checkpoint(vision, text);
    for (const BundleGraph& made : author(checkpoint, GetParam())) {
      check_model(to_model(made.graph));
      uint64_t weights = 0;
      for (const Graph::Initializer& initializer : made.graph.initializers()) {
        weights += initializer.weight->bytes();
      }
      const std::vector<FilePlan> plans =
          plan_onnx(to_model(made.graph), made.path + ".onnx", false);
      EXPECT_GE(total_bytes(plans), weights);
      EXPECT_EQ(plans.size() > 1, weights > kMaxOnnxFile);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dialects,
                         KnownModels,
                         testing::Values(OpDialect::kOrt, OpDialect::kStandard),
                         [](const auto& dialect) {
                           return dialect.param == OpDialect::kOrt ? "Ort" : "Standard";
                         });

// The figure of the README for SmolLM-135M: one table, not two.
TEST(KnownModelsSize, TiedDecoderIsStoredOnce) {
  const Checkpoint checkpoint =
      fake_checkpoint("google/siglip-base-patch16-224", "HuggingFaceTB/SmolLM-135M");
  const std::vector<BundleGraph> graphs = author(checkpoint, OpDialect::kOrt);
  EXPECT_LE(total_bytes(plan_onnx(to_model(graphs[1].graph), "decoder.onnx", false)), 539'000'000U);
}

}  // namespace
}  // namespace lorapress
