// Writes a checkpoint as a trainer leaves it, at a real shape with random weights: PEFT's names, a
// LoRA of rank 16 on q, k, v and o, config.json, and a byte-level BPE tokenizer. Deterministic in
// --seed, streamed, so any shape fits in memory. The shapes smolvlm-* are SmolVLM's class with its
// processor, vit-distilgpt2 is VisionEncoderDecoder, the others are the trainer's own.
//   make_checkpoint OUT [--shape NAME] [--dtype f32|bf16|f16] [--seed N]
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "byte_tokenizer.h"
#include "checkpoint/safetensors.h"
#include "smolvlm_files.h"
#include "tensor_list.h"
#include "vit_gpt2.h"
#include "weights/stream.h"

namespace lorapress {
namespace {

enum class Kind { kPrefix, kSmolvlm, kVitGpt2 };

struct TowerShape {
  int64_t hidden;
  int64_t wide;
  int64_t layers;
  int64_t heads;
};

struct ModelShape {
  std::string_view name;
  std::string_view title;
  TowerShape vision;
  int64_t image_size;
  TowerShape text;
  int64_t kv_heads;
  int64_t vocab;
  int64_t patch = 16;
  Kind kind = Kind::kPrefix;
};

constexpr std::array kShapes = {
    ModelShape{"tiny", "a few layers", {64, 128, 2, 4}, 32, {96, 192, 2, 6}, 2, 1024},
    ModelShape{"135m",
               "SigLIP-base-patch16-224 and SmolLM-135M",
               {768, 3072, 12, 12},
               224,
               {576, 1536, 30, 9},
               3,
               49152},
    ModelShape{"360m",
               "SigLIP-base-patch16-224 and SmolLM-360M",
               {768, 3072, 12, 12},
               224,
               {960, 2560, 32, 15},
               5,
               49152},
    ModelShape{"1.7b",
               "SigLIP-base-patch16-224 and SmolLM-1.7B",
               {768, 3072, 12, 12},
               224,
               {2048, 8192, 24, 32},
               32,
               49152},
    ModelShape{"so400m-1.7b",
               "SigLIP-so400m-patch14-384 and SmolLM-1.7B",
               {1152, 4304, 27, 16},
               384,
               {2048, 8192, 24, 32},
               32,
               49152,
               14},
    ModelShape{"smolvlm-tiny",
               "SmolVLM of a few layers",
               {64, 128, 2, 4},
               64,
               {96, 192, 2, 6},
               2,
               1024,
               16,
               Kind::kSmolvlm},
    ModelShape{"smolvlm-256m",
               "SmolVLM-256M",
               {768, 3072, 12, 12},
               512,
               {576, 1536, 30, 9},
               3,
               49280,
               16,
               Kind::kSmolvlm},
    ModelShape{"smolvlm-500m",
               "SmolVLM-500M",
               {768, 3072, 12, 12},
               512,
               {960, 2560, 32, 15},
               5,
               49280,
               16,
               Kind::kSmolvlm},
    ModelShape{"vit-distilgpt2",
               "ViT-base-patch16-224 and DistilGPT-2",
               {768, 3072, 12, 12},
               224,
               {768, 3072, 6, 12},
               12,
               50257,
               16,
               Kind::kVitGpt2},
};
constexpr int64_t kShuffle = 4;  // SmolVLM's scale_factor: 4 x 4 patches become one position
constexpr int64_t kAlpha = 32;
// Of query and key: attention that looks somewhere. With 1 it averages, all positions grow alike
// from layer to layer, and every caption is one token repeated.
constexpr float kSharp = 3.0F;

// Prefixes of the parts' tensors; the decoder of the trainer's class is tied, SmolVLM's is not.
struct PartNames {
  std::string vision;
  std::string projection;
  std::string text;
  std::string head;
};

PartNames part_names(const ModelShape& shape) {
  if (shape.kind == Kind::kSmolvlm) {
    const std::string root = "base_model.model.";
    return {root + "model.vision_model.",
            root + "model.connector.modality_projection.proj",
            root + "model.text_model.",
            root + "lm_head.weight"};
  }
  return {"vision_encoder.vision_model.",
          "projection.projection",
          "language_model.base_model.model.model.",
          ""};
}

VitGpt2Shape vit_gpt2(const ModelShape& shape) {
  return {shape.vision.hidden,
          shape.vision.heads,
          shape.image_size,
          shape.patch,
          shape.vision.layers,
          shape.text.layers,
          shape.vocab};
}

void add_vision(TensorList& tensors, const ModelShape& shape) {
  const std::string root = part_names(shape).vision;
  const int64_t hidden = shape.vision.hidden;
  const int64_t wide = shape.vision.wide;
  const int64_t side = shape.image_size / shape.patch;
  const float deviation = 1.0F / std::sqrt(static_cast<float>(3 * shape.patch * shape.patch));
  tensors.add(root + "embeddings.patch_embedding.weight",
              {hidden, 3, shape.patch, shape.patch},
              0.0F,
              deviation);
  tensors.add(root + "embeddings.patch_embedding.bias", {hidden}, 0.0F, 0.02F);
  tensors.add(root + "embeddings.position_embedding.weight", {side * side, hidden}, 0.0F, 0.02F);
  for (int64_t layer = 0; layer < shape.vision.layers; ++layer) {
    const std::string name = root + "encoder.layers." + std::to_string(layer) + ".";
    tensors.layer_norm(name + "layer_norm1", hidden);
    tensors.layer_norm(name + "layer_norm2", hidden);
    for (const char* part : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      tensors.linear(name + "self_attn." + part, hidden, hidden);
    }
    tensors.linear(name + "mlp.fc1", wide, hidden);
    tensors.linear(name + "mlp.fc2", hidden, wide);
  }
  tensors.layer_norm(root + "post_layernorm", hidden);
  if (shape.kind == Kind::kSmolvlm) {
    return;
  }
  // The pooling head, which real files carry and captioning leaves out.
  tensors.add(root + "head.probe", {1, 1, hidden}, 0.0F, 1.0F);
  tensors.matrix(root + "head.attention.in_proj_weight", 3 * hidden, hidden);
  tensors.add(root + "head.attention.in_proj_bias", {3 * hidden}, 0.0F, 0.02F);
  tensors.linear(root + "head.attention.out_proj", hidden, hidden);
  tensors.layer_norm(root + "head.layernorm", hidden);
  tensors.linear(root + "head.mlp.fc1", wide, hidden);
  tensors.linear(root + "head.mlp.fc2", hidden, wide);
}

void add_text(TensorList& tensors, const ModelShape& shape) {
  const PartNames names = part_names(shape);
  const std::string& root = names.text;
  const int64_t hidden = shape.text.hidden;
  const int64_t keys = hidden / shape.text.heads * shape.kv_heads;
  tensors.add(root + "embed_tokens.weight", {shape.vocab, hidden}, 0.0F, 0.02F);
  for (int64_t layer = 0; layer < shape.text.layers; ++layer) {
    const std::string name = root + "layers." + std::to_string(layer) + ".";
    tensors.rms_norm(name + "input_layernorm", hidden);
    tensors.rms_norm(name + "post_attention_layernorm", hidden);
    tensors.adapted(name + "self_attn.q_proj", hidden, hidden, kSharp);
    tensors.adapted(name + "self_attn.k_proj", keys, hidden, kSharp);
    tensors.adapted(name + "self_attn.v_proj", keys, hidden, 1.0F);
    tensors.adapted(name + "self_attn.o_proj", hidden, hidden, 1.0F);
    tensors.matrix(name + "mlp.gate_proj.weight", shape.text.wide, hidden);
    tensors.matrix(name + "mlp.up_proj.weight", shape.text.wide, hidden);
    tensors.matrix(name + "mlp.down_proj.weight", hidden, shape.text.wide);
  }
  tensors.rms_norm(root + "norm", hidden);
  if (shape.kind == Kind::kSmolvlm) {
    tensors.matrix(names.projection + ".weight", hidden, shape.vision.hidden * kShuffle * kShuffle);
    tensors.matrix(names.head, shape.vocab, hidden);
  } else {
    tensors.linear(names.projection, hidden, shape.vision.hidden);
  }
}

Json config_json(const ModelShape& shape, std::string_view torch_dtype) {
  if (shape.kind == Kind::kVitGpt2) {
    return vit_gpt2_config(vit_gpt2(shape), torch_dtype);
  }
  const bool smolvlm = shape.kind == Kind::kSmolvlm;
  const Json vision = {{"model_type", smolvlm ? "smolvlm_vision" : "siglip_vision_model"},
                       {"attention_dropout", 0.0},
                       {"hidden_act", "gelu_pytorch_tanh"},
                       {"hidden_size", shape.vision.hidden},
                       {"image_size", shape.image_size},
                       {"intermediate_size", shape.vision.wide},
                       {"layer_norm_eps", 1e-6},
                       {"num_attention_heads", shape.vision.heads},
                       {"num_channels", 3},
                       {"num_hidden_layers", shape.vision.layers},
                       {"patch_size", shape.patch},
                       {"vision_use_head", true}};
  const Json text = {{"model_type", "llama"},
                     {"attention_bias", false},
                     {"attention_dropout", 0.0},
                     {"bos_token_id", 0},
                     {"eos_token_id", 0},
                     {"head_dim", shape.text.hidden / shape.text.heads},
                     {"hidden_act", "silu"},
                     {"hidden_size", shape.text.hidden},
                     {"initializer_range", 0.02},
                     {"intermediate_size", shape.text.wide},
                     {"max_position_embeddings", shape.kind == Kind::kPrefix ? 2048 : 8192},
                     {"mlp_bias", false},
                     {"num_attention_heads", shape.text.heads},
                     {"num_hidden_layers", shape.text.layers},
                     {"num_key_value_heads", shape.kv_heads},
                     {"pad_token_id", nullptr},
                     {"rms_norm_eps", 1e-5},
                     {"rope_scaling", nullptr},
                     {"rope_theta", 10000.0},
                     {"tie_word_embeddings", shape.kind == Kind::kPrefix},
                     {"use_cache", true},
                     {"vocab_size", shape.vocab}};
  if (smolvlm) {
    return {{"architectures", {"SmolVLMForConditionalGeneration"}},
            {"model_type", "smolvlm"},
            {"image_token_id", shape.vocab - 1},
            {"scale_factor", kShuffle},
            {"text_config", text},
            {"tie_word_embeddings", false},
            {"torch_dtype", torch_dtype},
            {"lora_alpha", kAlpha},
            {"lora_r", kRank},
            {"vision_config", vision}};
  }
  return {{"architectures", {"PrefixConditioningVLM"}},
          {"model_type", "prefix_conditioning_vlm"},
          {"freeze_vision_encoder", true},
          {"lora_alpha", kAlpha},
          {"lora_dropout", 0.1},
          {"lora_r", kRank},
          {"lora_target_modules", nullptr},
          {"max_length", 30},
          {"mlp_hidden_dim", 2048},
          {"projection_dim", shape.text.hidden},
          {"projection_type", "linear"},
          {"text_config", text},
          {"torch_dtype", torch_dtype},
          {"vision_config", vision}};
}

struct DtypeName {
  std::string_view name;
  DType dtype;
  std::string_view torch;
};
constexpr std::array kDtypes = {
    DtypeName{"f32", DType::kF32, "float32"},
    DtypeName{"bf16", DType::kBF16, "bfloat16"},
    DtypeName{"f16", DType::kF16, "float16"},
};

template <typename Table>
const auto& row(const Table& table, std::string_view name) {
  for (const auto& entry : table) {
    if (entry.name == name) {
      return entry;
    }
  }
  fail(ErrorCode::kInvalidArgument, "\"{}\" is not known", name);
}

void make(const std::filesystem::path& out,
          const ModelShape& shape,
          const DtypeName& dtype,
          uint64_t seed) {
  const Replaceable none{[](const std::filesystem::path&) { return false; }, "nothing"};
  StagedOutput staged(out, false, none);
  TensorList list(dtype.dtype, seed);
  if (shape.kind == Kind::kVitGpt2) {
    add_vit_gpt2(list, vit_gpt2(shape));
  } else {
    add_vision(list, shape);
    add_text(list, shape);
  }
  const std::vector<NamedWeight> tensors = list.take();
  FilePlan plan(staged.folder() / "model.safetensors");
  plan.literal(safetensors_header(tensors));
  for (const NamedWeight& tensor : tensors) {
    plan.weight(tensor.weight);
  }
  const uint64_t bytes = plan.size();
  write_files({std::move(plan)}, {});
  write_text(staged.folder() / "config.json", config_json(shape, dtype.torch).dump(2) + "\n");
  const auto special_tokens =
      shape.kind == Kind::kSmolvlm ? smolvlm_tokens() : std::vector<std::string>();
  write_text(staged.folder() / "tokenizer.json",
             tokenizer_json(shape.vocab, special_tokens).dump());
  write_text(staged.folder() / "tokenizer_config.json", tokenizer_config_json().dump(2) + "\n");
  if (shape.kind == Kind::kSmolvlm) {
    const int64_t side = shape.image_size / shape.patch / kShuffle;
    const int64_t positions = side * side;
    write_smolvlm_files(staged.folder(), shape.image_size, positions);
  }
  staged.commit();
  fmt::print("{}: {}, {}, {:.1f} MB\n",
             out.string(),
             shape.title,
             dtype.name,
             static_cast<double>(bytes) / 1e6);
}

int run(const std::vector<std::string>& arguments) {
  std::string out;
  std::string shape = "135m";
  std::string dtype = "f32";
  uint64_t seed = 1;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!argument.starts_with("--")) {
      out = argument;
      continue;
    }
    if (++i == arguments.size()) {
      fail(ErrorCode::kInvalidArgument, "{} needs a value", argument);
    }
    const std::string& value = arguments[i];
    if (argument == "--shape") {
      shape = value;
    } else if (argument == "--dtype") {
      dtype = value;
    } else if (argument != "--seed" ||
               std::from_chars(value.data(), value.data() + value.size(), seed).ptr !=
                   value.data() + value.size()) {
      fail(ErrorCode::kInvalidArgument, "{} {} is not understood", argument, value);
    }
  }
  if (out.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "usage: make_checkpoint OUT [--shape {}] [--dtype f32|bf16|f16] [--seed N]",
         fmt::join(kShapes | std::views::transform(&ModelShape::name), "|"));
  }
  make(out, row(kShapes, shape), row(kDtypes, dtype), seed);
  return 0;
}

}  // namespace
}  // namespace lorapress

int main(int argc, char** argv) {
  try {
    return lorapress::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "make_checkpoint: {}\n", error.what());
    return 2;
  }
}
