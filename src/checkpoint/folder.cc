#include "checkpoint/folder.h"

#include <algorithm>
#include <set>

#include "base/fail.h"
#include "base/json.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

TensorMap open_shards(const fs::path& folder) {
  const fs::path index = folder / kIndex;
  const Json json = read_json(index);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: \"weight_map\" is missing", index.string());
  }
  std::set<std::string> shards;
  for (const auto& [name, value] : map->items()) {
    const auto shard = json_get<std::string>(*map, name, index.string());
    const bool plain = fs::path(shard).filename() == shard && !shard.empty();
    if (!plain || shard == "." || shard == "..") {
      fail(ErrorCode::kInvalidFile,
           "{}: shard \"{}\" is not the name of a file in this folder",
           index.string(),
           shard);
    }
    shards.insert(shard);
  }
  TensorMap tensors;
  for (const std::string& shard : shards) {
    for (auto& [name, weight] : open_safetensors(folder / shard)) {
      if (!tensors.emplace(name, weight).second) {
        fail(ErrorCode::kInvalidFile,
             "{}: tensor {} stands in two shards",
             (folder / shard).string(),
             name);
      }
    }
  }
  for (const auto& [name, value] : map->items()) {
    if (!tensors.contains(name)) {
      fail(ErrorCode::kInvalidFile,
           "{}: tensor {} is not in {}",
           index.string(),
           name,
           value.get<std::string>());
    }
  }
  return tensors;
}

std::string newest_training_step(const fs::path& folder) {
  std::string newest;
  int64_t most = -1;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("checkpoint-") && name.size() < 30 && has_model_file(entry.path())) {
      const int64_t step = std::atoll(name.c_str() + 11);
      if (step > most) {
        most = step;
        newest = entry.path().string();
      }
    }
  }
  return newest;
}

}  // namespace

bool has_model_file(const fs::path& folder) {
  return fs::exists(folder / kSingle) || fs::exists(folder / kIndex);
}

std::string training_step_hint(const fs::path& folder) {
  const std::string step = newest_training_step(folder);
  return step.empty() ? "" : "; did you mean " + step + "?";
}

TensorMap open_model_folder(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound,
         "{}: expected a folder with config.json and {}",
         folder.string(),
         kSingle);
  }
  if (fs::exists(folder / kSingle)) {
    return open_safetensors(folder / kSingle);
  }
  if (fs::exists(folder / kIndex)) {
    return open_shards(folder);
  }
  if (fs::exists(folder / "pytorch_model.bin")) {
    fail(ErrorCode::kUnsupported,
         "{}: pytorch_model.bin is a pickle; save with safe_serialization=True",
         folder.string());
  }
  fail(ErrorCode::kNotFound,
       "{}: no {} or {}{}",
       folder.string(),
       kSingle,
       kIndex,
       training_step_hint(folder));
}

}  // namespace lorapress
