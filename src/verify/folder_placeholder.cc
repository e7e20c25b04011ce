#include "verify/folder_placeholder.h"

#include <algorithm>

#include "base/fail.h"
#include "graph/ports.h"
#include "runtime/graph_choice.h"

namespace lorapress {
namespace {

DType input_dtype(const GraphSession& session, const char* input) {
  return std::ranges::find(session.inputs(), input, &GraphPort::name)->dtype;
}

}  // namespace

std::vector<std::vector<GraphTensor>> encode_tiles(const GraphSession& encoder,
                                                   const Manifest& manifest,
                                                   std::span<const float> pixel_values,
                                                   const std::vector<std::string>& wanted,
                                                   std::span<const uint8_t> seen) {
  const int64_t height = manifest.preprocessing.height;
  const int64_t width = manifest.preprocessing.width;
  const bool masked =
      std::ranges::count(encoder.inputs(), kPixelAttentionMask, &GraphPort::name) != 0;
  const auto plane = static_cast<size_t>(height * width);
  std::vector<uint8_t> mask(plane, 1);
  if (!seen.empty()) {
    std::ranges::copy(seen, mask.begin());
  }
  const GraphTensor given = GraphTensor::view(
      DType::kBool, {1, 1, height, width}, std::as_writable_bytes(std::span(mask)));
  std::vector<std::vector<GraphTensor>> outputs;
  for (size_t at = 0; at < pixel_values.size(); at += 3 * plane) {
    const Shape shape = masked ? Shape{1, 1, 3, height, width} : Shape{1, 3, height, width};
    const GraphTensor pixels = GraphTensor::floats(shape, pixel_values.subspan(at, 3 * plane));
    std::vector<GraphFeed> feeds{{kPixelValues, &pixels}};
    if (masked) {
      feeds.push_back({kPixelAttentionMask, &given});
    }
    outputs.push_back(encoder.run(feeds, wanted));
  }
  return outputs;
}

GraphTensor embed_prompt(const GraphSession& embed,
                         const Manifest& manifest,
                         std::span<const int64_t> ids,
                         const GraphTensor* image,
                         DType dtype) {
  const GraphTensor input = GraphTensor::integers({1, std::ssize(ids)}, ids);
  const std::vector<GraphTensor> outputs = embed.run({{kInputIds, &input}}, {kInputsEmbeds});
  const GraphTensor text = outputs[0].converted(DType::kF32);
  std::vector<float> rows(text.as_floats().begin(), text.as_floats().end());
  if (image != nullptr) {
    const GraphTensor floats = image->converted(DType::kF32);
    const auto features = floats.as_floats();
    const size_t width = rows.size() / ids.size();
    const auto places = static_cast<size_t>(std::ranges::count(ids, manifest.image_token_id));
    if (places * width != features.size()) {
      fail(ErrorCode::kMismatch,
           "the prompt has {} image tokens, the image {} rows of {}; the tokenizer and the "
           "processor's settings do not belong together",
           places,
           features.size() / width,
           width);
    }
    auto next = features.begin();
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == manifest.image_token_id) {
        std::copy_n(next, width, rows.begin() + static_cast<std::ptrdiff_t>(i * width));
        next += static_cast<std::ptrdiff_t>(width);
      }
    }
  }
  return GraphTensor::floats(text.shape(), rows).converted(dtype);
}

PlaceholderModel::PlaceholderModel(const std::filesystem::path& folder,
                                   const Manifest& manifest,
                                   const DtypeRun& run)
    : manifest_(manifest),
      where_(graph_file(manifest, folder, run.dtype, role_of(manifest, "decoder")).string()),
      encoder_(open_role(folder, manifest, run, role_of(manifest, "encoder"))),
      embed_(open_role(folder, manifest, run, kEmbedRole)),
      decoder_(open_role(folder, manifest, run, role_of(manifest, "decoder"))),
      calls_(client_calls(manifest, *decoder_)) {
  const std::string encoder =
      graph_file(manifest, folder, run.dtype, role_of(manifest, "encoder")).string();
  const std::string embed = graph_file(manifest, folder, run.dtype, kEmbedRole).string();
  require_port(encoder_->inputs(), kPixelValues, encoder);
  require_port(encoder_->outputs(), kImageFeatures, encoder);
  require_port(embed_->inputs(), kInputIds, embed);
  require_port(embed_->outputs(), kInputsEmbeds, embed);
  require_port(decoder_->inputs(), kInputsEmbeds, where_);
  for (const std::string& name : calls_.past()) {
    require_port(decoder_->inputs(), name, where_);
  }
  for (const std::string& name : calls_.outputs()) {
    require_port(decoder_->outputs(), name, where_);
  }
  embeds_dtype_ = input_dtype(*decoder_, kInputsEmbeds);
}

GraphTensor PlaceholderModel::features(std::span<const float> pixel_values,
                                       std::span<const uint8_t> seen) const {
  std::vector<float> values;
  int64_t width = 1;
  for (const std::vector<GraphTensor>& outputs :
       encode_tiles(*encoder_, manifest_, pixel_values, {kImageFeatures}, seen)) {
    const GraphTensor tile = outputs[0].converted(DType::kF32);
    values.insert(values.end(), tile.as_floats().begin(), tile.as_floats().end());
    width = std::max<int64_t>(1, tile.shape().back());
  }
  return GraphTensor::floats({1, std::ssize(values) / width, width}, values)
      .converted(embeds_dtype_);
}

GraphTensor PlaceholderModel::encode(std::span<const float> pixel_values) const {
  return features(pixel_values, {});
}

GraphTensor PlaceholderModel::encode_masked(std::span<const float> pixel_values,
                                            std::span<const uint8_t> seen) const {
  return features(pixel_values, seen);
}

DecoderStep PlaceholderModel::step(std::span<const int64_t> ids,
                                   const GraphTensor& image,
                                   const std::vector<GraphTensor>& cache) const {
  const bool first = cache.empty() || cache[0].shape().at(2) == 0;
  const GraphTensor embeddings =
      embed_prompt(*embed_, manifest_, ids, first ? &image : nullptr, embeds_dtype_);
  return decoder_step(
      ClientCalls::to_step(decoder_->run(calls_.embeds_feeds(embeddings, cache), calls_.outputs())),
      manifest_,
      where_);
}

}  // namespace lorapress
