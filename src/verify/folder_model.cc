#include "verify/folder_model.h"

#include <algorithm>

#include "base/fail.h"
#include "graph/ports.h"
#include "runtime/graph_choice.h"

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

ClientCalls client_calls(const Manifest& manifest, const OrtSession& decoder) {
  CacheLayout layout{
      manifest.num_hidden_layers, manifest.num_key_value_heads, manifest.head_dim, DType::kF32};
  layout.encoder_tokens = manifest.cross() ? manifest.image_tokens : 0;
  const std::string first = cache_port(CacheSide::kPast, 0, CachePart::kKey, layout.kind());
  const auto past = std::ranges::find(decoder.inputs(), first, &OrtPort::name);
  if (past != decoder.inputs().end()) {
    layout.dtype = past->dtype;
  }
  return ClientCalls(layout);
}

FolderModel::FolderModel(const std::filesystem::path& folder,
                         const Manifest& manifest,
                         const std::string& dtype,
                         unsigned threads)
    : manifest_(manifest),
      where_(graph_file(manifest, folder, dtype, "decoder").string()),
      encoder_(graph_file(manifest, folder, dtype, "encoder"), threads),
      decoder_(where_, threads),
      calls_(client_calls(manifest, decoder_)) {
  const std::string encoder = graph_file(manifest, folder, dtype, "encoder").string();
  require_port(encoder_.inputs(), kPixelValues, encoder);
  require_port(encoder_.outputs(), kLastHiddenState, encoder);
  require_port(decoder_.inputs(), kInputIds, where_);
  require_port(decoder_.inputs(), kEncoderHiddenStates, where_);
  for (const std::string& name : calls_.past()) {
    require_port(decoder_.inputs(), name, where_);
  }
  for (const std::string& name : calls_.outputs()) {
    require_port(decoder_.outputs(), name, where_);
  }
  image_dtype_ = std::ranges::find(decoder_.inputs(), kEncoderHiddenStates, &OrtPort::name)->dtype;
}

OrtTensor FolderModel::encode(std::span<const float> pixel_values) const {
  const Preprocessing& size = manifest_.preprocessing;
  const OrtTensor pixels = OrtTensor::floats({1, 3, size.height, size.width}, pixel_values);
  std::vector<OrtTensor> outputs = encoder_.run({{kPixelValues, &pixels}}, {kLastHiddenState});
  return outputs[0].dtype() == image_dtype_ ? std::move(outputs[0])
                                            : outputs[0].converted(image_dtype_);
}

DecoderStep FolderModel::step(std::span<const int64_t> ids,
                              const OrtTensor& image,
                              const std::vector<OrtTensor>& cache) const {
  const OrtTensor input = OrtTensor::integers({1, std::ssize(ids)}, ids);
  ClientCalls::Step made = calls_.step(decoder_, input, &image, cache);
  const Shape shape = made.logits.shape();
  if (shape.size() != 3 || shape[0] != 1 || shape[1] < 1 || shape[2] != manifest_.vocab_size) {
    fail(ErrorCode::kMismatch,
         "{}: logits are [{}], expected [1, 1, {}]; {} and the graph do not belong together, press "
         "again",
         where_,
         fmt::join(shape, ", "),
         manifest_.vocab_size,
         kManifestName);
  }
  const OrtTensor logits = made.logits.converted(DType::kF32);
  const auto last = logits.as_floats().last(static_cast<size_t>(shape[2]));
  return {{last.begin(), last.end()}, shape[1], std::move(made.cache)};
}

}  // namespace lorapress
