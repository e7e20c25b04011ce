#include "checkpoint/checkpoint.h"

#include <algorithm>

#include "base/fail.h"
#include "checkpoint/added_tokens.h"
#include "checkpoint/apply_adapters.h"
#include "checkpoint/assemble.h"
#include "checkpoint/embedding_tables.h"
#include "checkpoint/resolve.h"

namespace lorapress {

std::vector<std::filesystem::path> Checkpoint::tokenizer_folders() const {
  std::vector<std::filesystem::path> places = folders;
  if (added_tokens_folder) {
    places.insert(places.begin(), *added_tokens_folder);
  }
  return places;
}

Checkpoint open_checkpoint(const Source& source) {
  const ResolvedSource resolved = resolve_source(source);
  Checkpoint checkpoint;
  checkpoint.folder = source.checkpoint;
  checkpoint.config = resolved.models[0].config;
  resolve_configs(resolved, checkpoint);
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
    adapters.push_back(open_adapter(folder.folder, folder.weight));
  }
  apply_adapters(std::move(adapters), checkpoint, tables);
  tables.settle();
  const Folders bases = checkpoint.folders;
  for (const AdapterSource& folder : resolved.adapters) {
    if (brings_tokens(folder.folder, bases)) {
      checkpoint.added_tokens_folder = folder.folder;
      checkpoint.notes.push_back(fmt::format("the tokenizer is that of {}, which has more tokens",
                                             folder.folder.string()));
    }
    checkpoint.folders.push_back(folder.folder);
  }
  return checkpoint;
}

WeightPtr WeightTaker::take(const std::string& name, const Shape& shape) {
  const auto found = checkpoint_.tensors.find(name);
  taken_.insert(name);
  if (found == checkpoint_.tensors.end()) {
    missing_.push_back(fmt::format("{} [{}]", name, fmt::join(shape, ", ")));
  } else if (found->second.weight->shape() != shape) {
    misshapen_.push_back(fmt::format("{} is [{}], expected [{}]",
                                     name,
                                     fmt::join(found->second.weight->shape(), ", "),
                                     fmt::join(shape, ", ")));
  } else if (!dtype_row(found->second.weight->dtype()).is_float) {
    misshapen_.push_back(fmt::format(
        "{} is {}, expected a float dtype", name, dtype_name(found->second.weight->dtype())));
  } else {
    return found->second.weight;
  }
  return zeros(DType::kF32, shape);
}

uint64_t WeightTaker::drop(const std::string& prefix) {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    if (name.starts_with(prefix)) {
      taken_.insert(name);
      bytes += tensor.weight->bytes();
    }
  }
  return bytes;
}

void WeightTaker::finish(const std::vector<std::string>& prefixes) const {
  std::vector<std::string> unused;
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    const bool ours = std::ranges::any_of(
        prefixes, [&](const std::string& prefix) { return name.starts_with(prefix); });
    if (ours && !taken_.contains(name)) {
      unused.push_back(name);
    }
  }
  std::string message;
  const auto report = [&](std::string_view what, const std::vector<std::string>& names) {
    if (!names.empty()) {
      message += fmt::format(
          "{}{} {}: {}", message.empty() ? "" : "; ", names.size(), what, listed(names));
    }
  };
  report("missing", missing_);
  report("of the wrong shape or dtype", misshapen_);
  report("unused (is config.json of another model?)", unused);
  if (!message.empty()) {
    fail(ErrorCode::kMismatch,
         "{}: tensors do not match config.json: {}",
         checkpoint_.folder.string(),
         message);
  }
}

}  // namespace lorapress
