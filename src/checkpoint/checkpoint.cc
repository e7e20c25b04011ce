#include "checkpoint/checkpoint.h"

#include "base/fail.h"
#include "checkpoint/added_tokens.h"
#include "checkpoint/apply_adapters.h"
#include "checkpoint/assemble.h"
#include "checkpoint/embedding_tables.h"
#include "checkpoint/preprocessing.h"
#include "checkpoint/quantized.h"
#include "checkpoint/resolve.h"

namespace lorapress {

bool has_cross_attention(const Checkpoint& checkpoint) {
  return checkpoint.composite != nullptr &&
         checkpoint.composite->conditioning == Conditioning::kCross;
}

int64_t Checkpoint::positions_before() const {
  return has_cross_attention(*this) ? 1 : image_positions();
}

std::vector<std::filesystem::path> Checkpoint::tokenizer_folders() const {
  std::vector<std::filesystem::path> places = folders;
  if (added_tokens_folder) {
    places.insert(places.begin(), *added_tokens_folder);
  }
  return places;
}

std::string_view conditioning_name(Conditioning conditioning) {
  switch (conditioning) {
    case Conditioning::kPrefix:
      return "prefix";
    case Conditioning::kCross:
      return "cross";
    case Conditioning::kPlaceholder:
      return "placeholder";
  }
  return "";
}

void require_prefix_vlm(const Checkpoint& checkpoint, std::string_view advice) {
  if (checkpoint.composite == nullptr) {
    fail(ErrorCode::kMismatch,
         "{}: is a {} alone{}",
         checkpoint.folder.string(),
         checkpoint.text ? "decoder" : "vision tower",
         advice);
  }
  if (checkpoint.composite->conditioning != Conditioning::kPrefix) {
    fail(ErrorCode::kUnsupported,
         "{}: conditioning \"{}\" is not supported, expected \"prefix\" (the image as positions "
         "before the text)",
         checkpoint.folder.string(),
         conditioning_name(checkpoint.composite->conditioning));
  }
}

Checkpoint open_checkpoint(const Source& source) {
  const ResolvedSource resolved = resolve_source(source);
  Checkpoint checkpoint;
  checkpoint.folder = source.checkpoint;
  checkpoint.config = resolved.models[0].config;
  resolve_configs(resolved, checkpoint);
  for (Json* config : {&checkpoint.config, &checkpoint.vision_json, &checkpoint.text_json}) {
    drop_quantization(*config);
  }
  Assembler assembler(checkpoint);
  EmbeddingTables tables(checkpoint);
  for (const ModelFolder& model : resolved.models) {
    checkpoint.folders.push_back(model.path);
    if (model.has_tensors) {
      assembler.add_model(model);
      tables.end_folder();
    }
  }
  tables.end_base();
  std::vector<Adapter> adapters = assembler.take_adapters();
  for (const AdapterSource& folder : resolved.adapters) {
    adapters.push_back(open_adapter(folder.folder, folder.weight, names_of(checkpoint.composite)));
  }
  apply_adapters(std::move(adapters), checkpoint, tables);
  tables.resolve();
  const Folders bases = checkpoint.folders;
  for (const AdapterSource& folder : resolved.adapters) {
    if (brings_tokens(folder.folder, bases)) {
      checkpoint.added_tokens_folder = folder.folder;
      checkpoint.notes.push_back(fmt::format("the tokenizer is that of {}, which has more tokens",
                                             folder.folder.string()));
    }
    checkpoint.folders.push_back(folder.folder);
  }
  fit_image_size(checkpoint);
  return checkpoint;
}

}  // namespace lorapress
