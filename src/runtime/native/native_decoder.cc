#include "runtime/native/native_decoder.h"

#include <algorithm>

#include "base/fail.h"
#include "engine/decoder_sequences.h"
#include "runtime/engine/slots.h"

namespace lorapress {
namespace {

engine::DecoderFacts facts_of(const Manifest& manifest, bool embeds_apart) {
  engine::DecoderFacts facts;
  facts.images = takes_images(manifest);
  facts.image_height = manifest.preprocessing.height;
  facts.image_width = manifest.preprocessing.width;
  facts.image_tokens = manifest.image_tokens;
  facts.image_token_id = embeds_apart ? manifest.image_token_id : -1;
  facts.cross = manifest.cross();
  facts.vocab_size = manifest.vocab_size;
  facts.layers = manifest.num_hidden_layers;
  facts.ids_in_cache = !manifest.rules_in_graph.empty();
  facts.kv_heads = manifest.num_key_value_heads;
  facts.head_dim = manifest.head_dim;
  return facts;
}

template <typename Work>
auto translated(const Work& work) {
  try {
    return work();
  } catch (const engine::Refusal& refusal) {
    fail_refused(refusal, "");  // the engine names the file
  }
}

struct NativeImage : EncodedImage {
  engine::Image image;
};

class NativeSequences : public Sequences {
 public:
  NativeSequences(const engine::Decoder& decoder, const SequencesSize& size)
      : decoder_(decoder), sequences_(decoder, size.images, size.beams, size.new_tokens) {}

  void prefill(int64_t image, const EncodedImage& encoded, std::span<const int64_t> ids) override {
    const auto& native = static_cast<const NativeImage&>(encoded);
    const engine::Image* seen = native.image.width == 0 ? nullptr : &native.image;
    if (const std::string misfit = decoder_.misfit(seen, ids); !misfit.empty()) {
      fail(ErrorCode::kMismatch, "{}", misfit);
    }
    translated([&] { sequences_.prefill(image, seen, ids); });
  }
  void step(std::span<const int64_t> parents, std::span<const int64_t> tokens) override {
    translated([&] { sequences_.step(parents, tokens); });
  }
  [[nodiscard]] std::span<float> logits(int64_t row) override {
    return {sequences_.logits(row), static_cast<size_t>(decoder_.facts().vocab_size)};
  }

 private:
  const engine::Decoder& decoder_;
  engine::Sequences sequences_;
};

}  // namespace

NativeDecoder::NativeDecoder(const Manifest& manifest, const Files& files, unsigned threads)
    : workers_(threads != 0 ? threads : std::max(1U, std::thread::hardware_concurrency())),
      decoder_(facts_of(manifest, !files.embed.empty()), workers_) {
  const auto load = [&](engine::Part part, const std::filesystem::path& file) {
    std::unique_ptr<engine::Session> session = load_session(file, workers_);
    translated([&] { decoder_.set(part, std::move(session), file.string()); });
  };
  load(engine::Part::kDecoder, files.decoder);
  if (!files.encoder.empty()) {
    load(engine::Part::kEncoder, files.encoder);
    decoder_.prepare_encoder(encoder_run_);
  }
  if (!files.embed.empty()) {
    load(engine::Part::kEmbeddings, files.embed);
  }
  if (files.prefill != files.decoder) {
    load(engine::Part::kFirstDecoder, files.prefill);
  }
}

std::unique_ptr<EncodedImage> NativeDecoder::encode(std::span<const float> pixel_values) const {
  auto encoded = std::make_unique<NativeImage>();
  if (pixel_values.empty()) {
    return encoded;
  }
  const std::unique_lock lock(encoding_, std::try_to_lock);
  engine::Run own;
  if (!lock.owns_lock()) {
    decoder_.prepare_encoder(own);
  }
  engine::Run& run = lock.owns_lock() ? encoder_run_ : own;
  translated([&] { encoded->image = decoder_.encode(run, pixel_values); });
  return encoded;
}

std::unique_ptr<Sequences> NativeDecoder::start(const SequencesSize& size) const {
  const engine::DecoderFacts& facts = decoder_.facts();
  const int64_t tensors = 2 * facts.layers * (facts.cross ? 2 : 1);
  require_cache_memory(
      size.images * size.beams,
      size.prefix + size.new_tokens,
      tensors * facts.kv_heads * facts.head_dim * static_cast<int64_t>(sizeof(float)));
  return std::make_unique<NativeSequences>(decoder_, size);
}

}  // namespace lorapress
