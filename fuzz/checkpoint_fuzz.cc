// A config and a list of tensors are a checkpoint or an Error, through inspect, the merge of its
// adapters and the graphs of a bundle. The tensors are made from the input, so that the file is
// valid and what is tested lies behind the header:
//
//   config.json, a zero byte, then per tensor: name, dtype, rank, dimensions (a byte each)

#include <array>
#include <fstream>

#include "lorapress/inspect.h"

#include "bundles/bundle.h"
#include "checkpoint/checkpoint.h"
#include "fuzz_util.h"
#include "weights/stream.h"

namespace {

using namespace lorapress;
namespace fs = std::filesystem;

// Every spelling that names.cc knows, for layer 0 of small models; the others come from the input.
constexpr std::array kNames = {
    "language_model.model.embed_tokens.weight",
    "language_model.lm_head.weight",
    "language_model.model.norm.weight",
    "language_model.model.layers.0.input_layernorm.weight",
    "language_model.model.layers.0.post_attention_layernorm.weight",
    "language_model.model.layers.0.mlp.gate_proj.weight",
    "language_model.model.layers.0.mlp.up_proj.weight",
    "language_model.model.layers.0.mlp.down_proj.weight",
    "language_model.model.layers.0.self_attn.o_proj.weight",
    "language_model.model.layers.0.self_attn.v_proj.weight",
    "language_model.model.layers.0.self_attn.k_proj.weight",
    "language_model.model.layers.0.self_attn.q_proj.weight",
    "language_model.base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight",
    "language_model.base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias",
    "language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
    "language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight",
    "language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.bias",
    "language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.default",
    "language_model.base_model.model.model.embed_tokens.lora_embedding_A.default",
    "language_model.base_model.model.model.embed_tokens.lora_embedding_B.default",
    "language_model.base_model.model.lm_head.modules_to_save.default.weight",
    "language_model.base_model.model.lm_head.original_module.weight",
    "language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.other.weight",
    "projection.projection.weight",
    "projection.projection.bias",
    "module.vision_encoder.vision_model.embeddings.patch_embedding.weight",
    "vision_encoder.vision_model.embeddings.patch_embedding.bias",
    "vision_encoder.vision_model.embeddings.position_embedding.weight",
    "vision_encoder.vision_model.embeddings.position_ids",
    "vision_encoder.vision_model.encoder.layers.0.self_attn.q_proj.weight",
    "vision_encoder.vision_model.encoder.layers.0.self_attn.q_proj.lora_A.default.weight",
    "vision_encoder.vision_model.encoder.layers.0.self_attn.q_proj.lora_B.default.weight",
    "vision_encoder.vision_model.head.probe",
    "optimizer.state",
};

class Input {
 public:
  explicit Input(std::string_view rest) : rest_(rest) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t next() {
    const auto byte = static_cast<std::uint8_t>(rest_.empty() ? 0 : rest_[0]);
    rest_.remove_prefix(rest_.empty() ? 0 : 1);
    return byte;
  }

 private:
  std::string_view rest_;
};

// At most 64 tensors of at most 255 x 255 values, zeros.
std::string safetensors(Input input) {
  std::map<std::string, WeightPtr> tensors;
  while (!input.empty() && tensors.size() < 64) {
    const std::uint8_t which = input.next();
    const std::string name = which < kNames.size() ? kNames[which] : "x." + std::to_string(which);
    const DType dtype = kDTypes[input.next() % kDTypes.size()].dtype;
    Shape shape(input.next() % 5);
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      shape[axis] = axis < 2 ? input.next() : input.next() % 4;
    }
    tensors.emplace(name, zeros(dtype, shape));
  }
  std::vector<NamedWeight> listed;
  std::size_t bytes = 0;
  for (const auto& [name, weight] : tensors) {
    listed.push_back({name, weight});
    bytes += static_cast<std::size_t>(weight->bytes());
  }
  return safetensors_header(listed) + std::string(bytes, '\0');
}

// One folder for all inputs of this process, in memory where the system has such a place.
const fs::path& folder() {
  static const fs::path made = [] {
    const fs::path root = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
    std::string name = (root / "lorapress-fuzz-XXXXXX").string();
    fuzz::require(::mkdtemp(name.data()) != nullptr);
    static std::string gone = name;
    std::atexit([] {
      std::error_code ignored;
      fs::remove_all(gone, ignored);
    });
    return fs::path(name);
  }();
  return made;
}

void write(const char* name, std::string_view content) {
  std::ofstream(folder() / name, std::ios::binary) << content;
}

void read_weights(const Checkpoint& checkpoint) {
  for (const auto& [name, tensor] : checkpoint.tensors) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.weight->bytes()));
    fuzz::expect_no_more_than_error([&] { read_bytes(*tensor.weight, 0, bytes); });
  }
}

void author(const Checkpoint& checkpoint) {
  const bool whole = checkpoint.composite != nullptr &&
                     checkpoint.composite->conditioning == Conditioning::kPrefix;
  if (!whole || checkpoint.vision->num_hidden_layers > 4 ||
      checkpoint.text->num_hidden_layers > 4 || checkpoint.text->head_dim > 256 ||
      checkpoint.text->max_position_embeddings > 256) {
    return;  // slow, and nothing new
  }
  const Preprocessing preprocessing{};
  const TokenizerFiles tokenizer;
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    std::vector<std::string> notes;
    fuzz::expect_no_more_than_error([&] {
      kTransformersJs.graphs({checkpoint, preprocessing, tokenizer, ops, 17, 30}, notes);
    });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::as_text(data, size);
  const std::size_t config = std::min(text.find('\0'), text.size());
  write("config.json", text.substr(0, config));
  write("model.safetensors", safetensors(Input(text.substr(std::min(config + 1, text.size())))));
  fuzz::expect_no_more_than_error([] { inspect(folder()); });
  fuzz::expect_no_more_than_error([] {
    Source source;
    source.checkpoint = folder();
    const Checkpoint checkpoint = open_checkpoint(source);
    read_weights(checkpoint);
    author(checkpoint);
  });
  return 0;
}
