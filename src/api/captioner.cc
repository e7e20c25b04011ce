#include <algorithm>

#include "lorapress/caption.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/stopwatch.h"
#include "bundles/bundle.h"
#include "bundles/manifest.h"
#include "runtime/engines.h"
#include "runtime/generation/generate.h"
#include "runtime/generation/generate_options.h"
#include "runtime/generation/tokenizer.h"
#include "runtime/preprocess.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

// The only bundle whose graphs a loop can drive.
const Manifest& require_bundle(const Manifest& manifest, const fs::path& folder) {
  if (manifest.bundle != kTransformersJs.name) {
    fail(ErrorCode::kUnsupported,
         "{}: is a bundle \"{}\", caption needs one of \"{}\"; press it with options.bundle {}",
         folder.string(),
         manifest.bundle,
         kTransformersJs.name,
         kTransformersJs.name);
  }
  return manifest;
}

}  // namespace

struct Captioner::Impl {
  Impl(const fs::path& folder, const CaptionerOptions& options)
      : manifest(read_manifest(folder)),
        choice(choose_graphs(require_bundle(manifest, folder), folder, options.dtype)),
        decoder(default_engine().open(folder, manifest, choice, options.threads)),
        tokenizer(Tokenizer::from_file(folder / "tokenizer.json")) {}

  // The start token, which engines get like any other token, and the prompt.
  [[nodiscard]] std::vector<int64_t> first_ids(const GenerateOptions& options) const {
    if (!options.system.empty()) {
      fail(
          ErrorCode::kInvalidArgument,
          "options.system is a message for chat models; the bundle \"{}\" has none, its prompt is the "
          "text that the caption continues",
          manifest.bundle);
    }
    std::vector<int64_t> ids =
        tokenizer.encode(options.prompt.empty() ? manifest.prompt : options.prompt);
    for (const int64_t id : ids) {
      if (id >= manifest.vocab_size) {
        fail(ErrorCode::kMismatch,
             "the prompt has the token {}, the model knows {}; tokenizer.json is of another model",
             id,
             manifest.vocab_size);
      }
    }
    ids.insert(ids.begin(), manifest.decoder_start_token_id);
    return ids;
  }

  [[nodiscard]] GenerationRequest request(const GenerateOptions& options) const {
    const std::vector<int64_t> ids = first_ids(options);
    const int64_t prompt = std::ssize(ids) - 1;
    const GenerationSettings settings = chosen_settings(options, manifest.generation);
    const int64_t positions = manifest.image_tokens + prompt;
    const GenerationContext context{
        manifest.eos_token_ids, manifest.vocab_size, manifest.max_new_tokens, positions};
    const int64_t most = new_tokens(settings, context);
    if (most > manifest.max_position_embeddings - positions) {
      fail(ErrorCode::kInvalidArgument,
           "{} image tokens, {} prompt tokens and {} new tokens do not fit the model's {} "
           "positions; lower options.max_new_tokens or shorten the prompt",
           manifest.image_tokens,
           prompt,
           most,
           manifest.max_position_embeddings);
    }
    return {token_rules(settings, context),
            beam_options(settings, context),
            sampling_filters(settings),
            settings.do_sample.value_or(false),
            options.seed,
            manifest.image_tokens,
            ids};
  }

  void check_pixels(std::span<const float> pixel_values) const {
    const Preprocessing& size = manifest.preprocessing;
    if (std::ssize(pixel_values) != 3 * size.height * size.width) {
      fail(ErrorCode::kInvalidArgument,
           "{} pixel values, expected 3 x {} x {}",
           pixel_values.size(),
           size.height,
           size.width);
    }
  }

  [[nodiscard]] std::vector<Caption> captions(std::span<const std::span<const float>> images,
                                              const GenerateOptions& options,
                                              const TokenFn& on_token) const;

  Manifest manifest;
  GraphChoice choice;
  std::unique_ptr<Decoder> decoder;
  Tokenizer tokenizer;
};

std::vector<Caption> Captioner::Impl::captions(std::span<const std::span<const float>> images,
                                               const GenerateOptions& options,
                                               const TokenFn& on_token) const {
  check_options(options);
  const GenerationRequest asked = request(options);
  std::vector<Caption> results(images.size());
  std::vector<std::unique_ptr<EncodedImage>> encoded;
  for (size_t i = 0; i < images.size(); ++i) {
    check_pixels(images[i]);
    const Stopwatch watch;
    encoded.push_back(decoder->encode(images[i]));
    results[i].encode_ms = watch.milliseconds();
  }
  if (images.empty()) {
    return results;
  }
  GenerationTimes times;
  std::vector<Generated> generated = generate(*decoder, encoded, asked, times, on_token);
  const auto share = static_cast<double>(images.size());
  for (size_t i = 0; i < images.size(); ++i) {
    results[i].ids = std::move(generated[i].ids);
    results[i].text = tokenizer.decode(results[i].ids);
    results[i].score = generated[i].score;
    results[i].prefill_ms = times.prefill_ms / share;
    results[i].decode_ms = times.decode_ms / share;
  }
  return results;
}

Captioner::Captioner(const fs::path& folder, const CaptionerOptions& options)
    : impl_(with_file_errors([&] { return std::make_unique<Impl>(folder, options); })) {}
Captioner::~Captioner() = default;
Captioner::Captioner(Captioner&&) noexcept = default;

GraphDtypes Captioner::dtypes() const {
  return {impl_->choice.encoder, impl_->choice.prefill, impl_->choice.decoder};
}

GenerationSettings Captioner::settings(const GenerateOptions& options) const {
  GenerationSettings settings = chosen_settings(options, impl_->manifest.generation);
  if (!settings.max_new_tokens && !settings.max_length) {
    settings.max_new_tokens = impl_->manifest.max_new_tokens;
  }
  return settings;
}

int64_t Captioner::height() const {
  return impl_->manifest.preprocessing.height;
}
int64_t Captioner::width() const {
  return impl_->manifest.preprocessing.width;
}

std::vector<float> Captioner::load_pixels(const fs::path& image) const {
  return preprocess(load_image(image), impl_->manifest.preprocessing);
}

Caption Captioner::caption(const fs::path& image,
                           const GenerateOptions& options,
                           const TextFn& on_text) const {
  return caption_pixels(load_pixels(image), options, on_text);
}

Caption Captioner::caption_pixels(std::span<const float> pixel_values,
                                  const GenerateOptions& options,
                                  const TextFn& on_text) const {
  TextStream stream(impl_->tokenizer);
  TokenFn on_token;
  if (on_text && settings(options).num_beams.value_or(1) == 1) {
    on_token = [&](int64_t token) { on_text(stream.push(token)); };
  }
  const std::span<const float> images[] = {pixel_values};
  Caption result = std::move(impl_->captions(images, options, on_token)[0]);
  if (on_text) {
    on_text(on_token ? stream.finish() : result.text);
  }
  return result;
}

std::vector<Caption> Captioner::caption_batch(std::span<const std::vector<float>> pixel_values,
                                              const GenerateOptions& options) const {
  const std::vector<std::span<const float>> images(pixel_values.begin(), pixel_values.end());
  return impl_->captions(images, options, {});
}

}  // namespace lorapress
