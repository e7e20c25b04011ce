#include "verify/folder_model.h"

#include <algorithm>

#include "base/fail.h"
#include "graph/ports.h"

namespace lorapress {
namespace {

void require_port(const std::vector<OrtPort>& ports,
                  const std::string& name,
                  const std::string& where) {
  if (std::ranges::find(ports, name, &OrtPort::name) == ports.end()) {
    fail(ErrorCode::kMismatch,
         "{}: the graph has no {}; {} and the graph do not belong together, press again",
         where,
         name,
         kManifestName);
  }
}

}  // namespace

std::filesystem::path graph_path(const std::filesystem::path& folder,
                                 const Manifest& manifest,
                                 const std::string& dtype,
                                 const std::string& role) {
  const auto roles = manifest.graphs.find(dtype);
  if (roles == manifest.graphs.end()) {
    std::vector<std::string> known;
    for (const auto& [name, files] : manifest.graphs) {
      known.push_back(name);
    }
    fail(ErrorCode::kNotFound,
         "{}: no dtype \"{}\" (there are: {})",
         folder.string(),
         dtype,
         fmt::join(known, ", "));
  }
  const auto file = roles->second.find(role);
  if (file == roles->second.end()) {
    fail(ErrorCode::kUnsupported,
         "{}: bundle \"{}\" has no {}; verify needs a transformers.js bundle",
         folder.string(),
         manifest.bundle,
         role);
  }
  return folder / file->second;
}

FolderModel::FolderModel(const std::filesystem::path& folder,
                         const Manifest& manifest,
                         const std::string& dtype,
                         unsigned threads)
    : manifest_(manifest),
      where_(graph_path(folder, manifest, dtype, "decoder").string()),
      encoder_(graph_path(folder, manifest, dtype, "encoder"), threads),
      decoder_(where_, threads) {
  wanted_.emplace_back(kLogits);
  for (int64_t layer = 0; layer < manifest.num_hidden_layers; ++layer) {
    for (const CachePart part : kCacheParts) {
      past_.push_back(cache_port(CacheSide::kPast, layer, part));
      wanted_.push_back(cache_port(CacheSide::kPresent, layer, part));
    }
  }
  const std::string encoder = graph_path(folder, manifest, dtype, "encoder").string();
  require_port(encoder_.inputs(), kPixelValues, encoder);
  require_port(encoder_.outputs(), kLastHiddenState, encoder);
  require_port(decoder_.inputs(), kInputIds, where_);
  require_port(decoder_.inputs(), kEncoderHiddenStates, where_);
  for (const std::string& name : past_) {
    require_port(decoder_.inputs(), name, where_);
  }
  for (const std::string& name : wanted_) {
    require_port(decoder_.outputs(), name, where_);
  }
  cache_dtype_ = input_dtype(past_[0]);
  image_dtype_ = input_dtype(kEncoderHiddenStates);
}

DType FolderModel::input_dtype(const std::string& name) const {
  return std::ranges::find(decoder_.inputs(), name, &OrtPort::name)->dtype;
}

OrtTensor FolderModel::encode(std::span<const float> pixel_values) const {
  const Preprocessing& size = manifest_.preprocessing;
  const OrtTensor pixels = OrtTensor::floats({1, 3, size.height, size.width}, pixel_values);
  std::vector<OrtTensor> outputs = encoder_.run({{kPixelValues, &pixels}}, {kLastHiddenState});
  return outputs[0].dtype() == image_dtype_ ? std::move(outputs[0])
                                            : outputs[0].converted(image_dtype_);
}

std::vector<OrtTensor> FolderModel::empty_cache() const {
  std::vector<OrtTensor> cache;
  for (size_t i = 0; i < past_.size(); ++i) {
    cache.emplace_back(cache_dtype_,
                       Shape{1, manifest_.num_key_value_heads, 0, manifest_.head_dim});
  }
  return cache;
}

DecoderStep FolderModel::step(std::span<const int64_t> ids,
                              const OrtTensor& image,
                              const std::vector<OrtTensor>& cache) const {
  const OrtTensor input = OrtTensor::integers({1, std::ssize(ids)}, ids);
  std::vector<OrtSession::Feed> feeds{{kInputIds, &input}, {kEncoderHiddenStates, &image}};
  for (size_t i = 0; i < past_.size(); ++i) {
    feeds.push_back({past_[i], &cache[i]});
  }
  std::vector<OrtTensor> outputs = decoder_.run(feeds, wanted_);
  const Shape shape = outputs[0].shape();
  if (shape.size() != 3 || shape[0] != 1 || shape[1] < 1 || shape[2] != manifest_.vocab_size) {
    fail(ErrorCode::kMismatch,
         "{}: logits are [{}], expected [1, 1, {}]; {} and the graph do not belong together, press "
         "again",
         where_,
         fmt::join(shape, ", "),
         manifest_.vocab_size,
         kManifestName);
  }
  const OrtTensor logits = outputs[0].converted(DType::kF32);
  const auto last = logits.as_floats().last(static_cast<size_t>(shape[2]));
  DecoderStep result{{last.begin(), last.end()}, shape[1], {}};
  std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(result.cache));
  return result;
}

}  // namespace lorapress
