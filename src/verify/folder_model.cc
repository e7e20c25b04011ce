#include "verify/folder_model.h"

#include <algorithm>

#include "base/fail.h"
#include "graph/ports.h"
#include "runtime/engines.h"
#include "runtime/graph_choice.h"
#include "verify/folder_placeholder.h"

namespace lorapress {
namespace {

// The bundle of transformers.js: an encoder, and a decoder that takes ids.
class PrefixModel : public FolderModel {
 public:
  PrefixModel(const std::filesystem::path& folder, const Manifest& manifest, const DtypeRun& run)
      : manifest_(manifest),
        where_(graph_file(manifest, folder, run.dtype, "decoder").string()),
        encoder_(open_role(folder, manifest, run, "encoder")),
        decoder_(open_role(folder, manifest, run, "decoder")),
        calls_(client_calls(manifest, *decoder_)) {
    const std::string encoder = graph_file(manifest, folder, run.dtype, "encoder").string();
    require_port(encoder_->inputs(), kPixelValues, encoder);
    require_port(encoder_->outputs(), kLastHiddenState, encoder);
    require_port(decoder_->inputs(), kInputIds, where_);
    require_port(decoder_->inputs(), kEncoderHiddenStates, where_);
    for (const std::string& name : calls_.past()) {
      require_port(decoder_->inputs(), name, where_);
    }
    for (const std::string& name : calls_.outputs()) {
      require_port(decoder_->outputs(), name, where_);
    }
    image_dtype_ =
        std::ranges::find(decoder_->inputs(), kEncoderHiddenStates, &GraphPort::name)->dtype;
  }

  [[nodiscard]] GraphTensor encode(std::span<const float> pixel_values) const override {
    const Preprocessing& size = manifest_.preprocessing;
    const GraphTensor pixels = GraphTensor::floats({1, 3, size.height, size.width}, pixel_values);
    std::vector<GraphTensor> outputs = encoder_->run({{kPixelValues, &pixels}}, {kLastHiddenState});
    return outputs[0].dtype() == image_dtype_ ? std::move(outputs[0])
                                              : outputs[0].converted(image_dtype_);
  }

  [[nodiscard]] GraphTensor encode_masked(std::span<const float> /*pixel_values*/,
                                          std::span<const uint8_t> /*seen*/) const override {
    fail(ErrorCode::kUnsupported, "{}: the encoder takes no mask", where_);
  }

  [[nodiscard]] std::vector<GraphTensor> empty_cache() const override {
    return calls_.empty_cache(1);
  }

  [[nodiscard]] DecoderStep step(std::span<const int64_t> ids,
                                 const GraphTensor& image,
                                 const std::vector<GraphTensor>& cache) const override {
    const GraphTensor input = GraphTensor::integers({1, std::ssize(ids)}, ids);
    return decoder_step(calls_.step(*decoder_, input, &image, cache), manifest_, where_);
  }

 private:
  const Manifest& manifest_;
  std::string where_;
  std::unique_ptr<GraphSession> encoder_;
  std::unique_ptr<GraphSession> decoder_;
  ClientCalls calls_;
  DType image_dtype_;
};

// The bundle of a decoder alone: ids and a mask of their positions and the cache's.
class TextModel : public FolderModel {
 public:
  TextModel(const std::filesystem::path& folder, const Manifest& manifest, const DtypeRun& run)
      : manifest_(manifest),
        where_(graph_file(manifest, folder, run.dtype, role_of(manifest, "decoder")).string()),
        decoder_(open_role(folder, manifest, run, role_of(manifest, "decoder"))),
        calls_(client_calls(manifest, *decoder_)) {
    require_port(decoder_->inputs(), kInputIds, where_);
    require_port(decoder_->inputs(), kAttentionMask, where_);
    for (const std::string& name : calls_.past()) {
      require_port(decoder_->inputs(), name, where_);
    }
    for (const std::string& name : calls_.outputs()) {
      require_port(decoder_->outputs(), name, where_);
    }
  }

  [[nodiscard]] GraphTensor encode(std::span<const float> /*pixel_values*/) const override {
    return {DType::kF32, {1, 0, 0}};
  }

  [[nodiscard]] GraphTensor encode_masked(std::span<const float> /*pixel_values*/,
                                          std::span<const uint8_t> /*seen*/) const override {
    fail(ErrorCode::kUnsupported, "{}: takes no images", where_);
  }

  [[nodiscard]] std::vector<GraphTensor> empty_cache() const override {
    return calls_.empty_cache(1);
  }

  [[nodiscard]] DecoderStep step(std::span<const int64_t> ids,
                                 const GraphTensor& /*image*/,
                                 const std::vector<GraphTensor>& cache) const override {
    const int64_t positions = cache[0].shape().at(2) + std::ssize(ids);
    const GraphTensor input = GraphTensor::integers({1, std::ssize(ids)}, ids);
    const GraphTensor mask = GraphTensor::integers(
        {1, positions}, std::vector<int64_t>(static_cast<size_t>(positions), 1));
    return decoder_step(ClientCalls::to_step(
                            decoder_->run(calls_.text_feeds(input, mask, cache), calls_.outputs())),
                        manifest_,
                        where_);
  }

 private:
  const Manifest& manifest_;
  std::string where_;
  std::unique_ptr<GraphSession> decoder_;
  ClientCalls calls_;
};

}  // namespace

std::unique_ptr<GraphSession> open_role(const std::filesystem::path& folder,
                                        const Manifest& manifest,
                                        const DtypeRun& run,
                                        const std::string& role) {
  GraphSource source(graph_file(manifest, folder, run.dtype, role));
  source.most_weights = run.most_weights;
  return open_graph(run.engine, source, run.threads).session;
}

void require_port(const std::vector<GraphPort>& ports,
                  const std::string& name,
                  const std::string& where) {
  if (std::ranges::find(ports, name, &GraphPort::name) == ports.end()) {
    fail(ErrorCode::kMismatch,
         "{}: the graph has no {}; {} and the graph do not belong together, press again",
         where,
         name,
         kManifestName);
  }
}

ClientCalls client_calls(const Manifest& manifest, const GraphSession& decoder) {
  CacheLayout layout{
      manifest.num_hidden_layers, manifest.num_key_value_heads, manifest.head_dim, DType::kF32};
  layout.ids = !manifest.rules_in_graph.empty();
  layout.encoder_tokens = manifest.cross() ? manifest.image_tokens : 0;
  const std::string first = cache_port(CacheSide::kPast, 0, CachePart::kKey, layout.kind());
  const auto past = std::ranges::find(decoder.inputs(), first, &GraphPort::name);
  if (past != decoder.inputs().end()) {
    layout.dtype = past->dtype;
  }
  return ClientCalls(layout);
}

DecoderStep decoder_step(ClientCalls::Step made,
                         const Manifest& manifest,
                         const std::string& where) {
  const Shape shape = made.logits.shape();
  if (shape.size() != 3 || shape[0] != 1 || shape[1] < 1 || shape[2] != manifest.vocab_size) {
    fail(ErrorCode::kMismatch,
         "{}: logits are [{}], expected [1, 1, {}]; {} and the graph do not belong together, press "
         "again",
         where,
         fmt::join(shape, ", "),
         manifest.vocab_size,
         kManifestName);
  }
  const GraphTensor logits = made.logits.converted(DType::kF32);
  const auto last = logits.as_floats().last(static_cast<size_t>(shape[2]));
  return {{last.begin(), last.end()}, shape[1], std::move(made.cache)};
}

std::unique_ptr<FolderModel> open_folder_model(const std::filesystem::path& folder,
                                               const Manifest& manifest,
                                               const DtypeRun& run) {
  if (!takes_images(manifest)) {
    return std::make_unique<TextModel>(folder, manifest, run);
  }
  if (embeds_apart(manifest)) {
    return std::make_unique<PlaceholderModel>(folder, manifest, run);
  }
  return std::make_unique<PrefixModel>(folder, manifest, run);
}

}  // namespace lorapress
