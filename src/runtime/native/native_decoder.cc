#include "runtime/native/native_decoder.h"

#include <algorithm>

#include "base/fail.h"
#include "runtime/native/native_sequences.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;
using engine::Tensor;

[[noreturn]] void fail_port(const fs::path& file, std::string_view what) {
  fail(ErrorCode::kMismatch,
       "{}: {}; {} and the graphs do not belong together, press again",
       file.string(),
       what,
       kManifestName);
}

// `wanted`: -1 for a dimension of any size; the graph may leave any dimension symbolic. Returns the port's
// index.
int find_port(const std::vector<engine::Port>& ports,
              const std::string& name,
              const engine::Dims& wanted,
              const fs::path& file) {
  const auto found = std::ranges::find(ports, name, &engine::Port::name);
  if (found == ports.end()) {
    fail_port(file, "has no " + name);
  }
  bool fits = found->dims.rank() == wanted.rank();
  for (int i = 0; fits && i < wanted.rank(); ++i) {
    fits = found->dims[i] == wanted[i] || found->dims[i] == -1 || wanted[i] == -1;
  }
  if (!fits) {
    fail_port(
        file,
        fmt::format("{} is {}, expected {} (-1 is any)", name, found->dims.text(), wanted.text()));
  }
  return static_cast<int>(found - ports.begin());
}

}  // namespace

NativeDecoder::NativeDecoder(const Manifest& manifest, const Files& files, unsigned threads)
    : workers_(threads != 0 ? threads : std::max(1U, std::thread::hardware_concurrency())),
      decoder_(files.decoder, workers_),
      image_tokens_(manifest.image_tokens),
      vocab_size_(manifest.vocab_size) {
  if (!files.encoder.empty()) {
    open_encoder(manifest, files);
  }
  if (!files.embed.empty()) {
    embed_.emplace(files.embed, workers_);
    image_token_id_ = manifest.image_token_id;
    find_port(embed_->graph().inputs(), kInputIds, {-1, -1}, files.embed);
    find_port(embed_->graph().outputs(), kInputsEmbeds, {-1, -1, -1}, files.embed);
  }
  if (files.prefill != files.decoder) {
    prefill_.emplace(files.prefill, workers_);
  }
  later_ = decoder_graph(decoder_, manifest);
  first_ = prefill_ ? decoder_graph(*prefill_, manifest) : later_;
  for (size_t i = 0; i < later_.cache.size(); ++i) {
    const bool both = first_.cache[i].in_place && later_.cache[i].in_place;
    first_.cache[i].in_place = later_.cache[i].in_place = both;
  }
}

void NativeDecoder::open_encoder(const Manifest& manifest, const Files& files) {
  encoder_.emplace(files.encoder, workers_);
  const auto& inputs = encoder_->graph().inputs();
  const Preprocessing& size = manifest.preprocessing;
  pixels_dims_ = {1, 3, size.height, size.width};
  mask_port_ = encoder_->graph().input(kPixelAttentionMask);
  if (mask_port_ >= 0) {
    pixels_dims_.insert(0, 1);
  }
  pixels_ = pixels_dims_.count();
  engine::Dims pixels = pixels_dims_;
  pixels[0] = -1;
  if (mask_port_ >= 0) {
    pixels[1] = -1;
  }
  pixels_port_ = find_port(inputs, kPixelValues, pixels, files.encoder);
  features_ = find_port(encoder_->graph().outputs(),
                        files.embed.empty() ? kLastHiddenState : kImageFeatures,
                        {-1, manifest.image_tokens, -1},
                        files.encoder);
  if (inputs.size() != (mask_port_ >= 0 ? 2U : 1U)) {
    fail_port(files.encoder, "has more inputs than expected");
  }
  encoder_->graph().prepare(encoder_run_, workers_);
}

NativeDecoder::Graph NativeDecoder::decoder_graph(const NativeSession& session,
                                                  const Manifest& manifest) const {
  const engine::Session& graph = session.graph();
  Graph found;
  found.session = &session;
  size_t known = 1;
  if (embed_) {
    found.ids = find_port(graph.inputs(), kInputsEmbeds, {-1, -1, -1}, session.file());
  } else {
    found.ids = find_port(graph.inputs(), kInputIds, {-1, -1}, session.file());
    ++known;
    if (takes_images(manifest)) {
      found.image = find_port(
          graph.inputs(), kEncoderHiddenStates, {-1, manifest.image_tokens, -1}, session.file());
    } else {
      found.mask = find_port(graph.inputs(), kAttentionMask, {-1, -1}, session.file());
    }
  }
  found.logits = find_port(graph.outputs(), kLogits, {-1, 1, manifest.vocab_size}, session.file());
  const engine::Dims cached{-1, manifest.num_key_value_heads, -1, manifest.head_dim};
  const auto add = [&](CacheKind kind) {
    for (int64_t layer = 0; layer < manifest.num_hidden_layers; ++layer) {
      for (const CachePart part : kCacheParts) {
        NativeCachePort port;
        port.past = find_port(graph.inputs(),
                              cache_port(CacheSide::kPast, layer, part, kind),
                              cached,
                              session.file());
        port.present = find_port(graph.outputs(),
                                 cache_port(CacheSide::kPresent, layer, part, kind),
                                 cached,
                                 session.file());
        port.encoder = kind == CacheKind::kEncoder;
        port.in_place = !port.encoder && graph.in_place(port.past, port.present);
        port.heads = manifest.num_key_value_heads;
        port.width = manifest.head_dim;
        found.cache.push_back(port);
      }
    }
  };
  add(manifest.cross() ? CacheKind::kDecoder : CacheKind::kOnly);
  if (manifest.cross()) {
    add(CacheKind::kEncoder);
  }
  if (graph.inputs().size() != known + found.cache.size()) {
    fail_port(session.file(), "has more inputs than expected");
  }
  return found;
}

// One tile after another, so that memory does not grow with their number; none for a decoder alone.
std::unique_ptr<EncodedImage> NativeDecoder::encode(std::span<const float> pixel_values) const {
  auto image = std::make_unique<NativeImage>();
  const std::unique_lock lock(encoding_, std::try_to_lock);
  std::unique_ptr<engine::Run> own;
  if (!lock.owns_lock() && encoder_) {
    own = std::make_unique<engine::Run>();
    encoder_->graph().prepare(*own, workers_);
  }
  engine::Run& run = own ? *own : encoder_run_;
  const auto plane = static_cast<size_t>(pixels_);
  const std::vector<uint8_t> seen(mask_port_ >= 0 ? plane / 3 : 0, 1);
  for (size_t at = 0; at < pixel_values.size(); at += plane) {
    std::vector<Tensor> feeds(encoder_->graph().inputs().size());
    feeds[static_cast<size_t>(pixels_port_)] =
        Tensor(engine::Type::kF32, pixels_dims_, pixel_values.data() + at);
    if (mask_port_ >= 0) {
      engine::Dims mask = pixels_dims_;
      mask.erase(2);
      feeds[static_cast<size_t>(mask_port_)] = Tensor(engine::Type::kBool, mask, seen.data());
    }
    std::vector<Tensor> results(encoder_->graph().outputs().size());
    encoder_->run(run, feeds, results);
    const Tensor& features = results[static_cast<size_t>(features_)];
    image->width = features.dims().back();
    image->features.insert(
        image->features.end(), features.floats(), features.floats() + features.count());
  }
  return image;
}

Tensor NativeDecoder::embeddings(engine::Run& run, const Tensor& ids) const {
  std::vector<Tensor> results(1);
  embed_->run(run, {&ids, 1}, results);
  return results[0];
}

std::unique_ptr<Sequences> NativeDecoder::start(const SequencesSize& size) const {
  return std::make_unique<NativeSequences>(*this, size);
}

}  // namespace lorapress
