#include <algorithm>
#include <thread>

#include "lorapress/caption.h"

#include "api/caption_prompt.h"
#include "api/used_engine.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/stopwatch.h"
#include "bundles/bundle.h"
#include "bundles/layout.h"
#include "bundles/manifest.h"
#include "runtime/engines.h"
#include "runtime/generation/generate.h"
#include "runtime/generation/generate_options.h"
#include "runtime/generation/prompt.h"
#include "runtime/generation/tokenizer.h"
#include "runtime/tiles.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostTiles = 4096;  // along one side

// Graphs that a loop can drive: an encoder and a decoder with a cache.
const Manifest& require_bundle(const Manifest& manifest, const fs::path& folder) {
  if (!takes_images(manifest)) {
    fail(ErrorCode::kUnsupported,
         "{}: is a bundle \"{}\", whose model takes no images; `lorapress generate` runs it",
         folder.string(),
         manifest.bundle);
  }
  const auto& roles = manifest.graphs.at(manifest.default_dtype);
  if (!roles.contains(role_of(manifest, "encoder")) ||
      !roles.contains(role_of(manifest, "decoder")) ||
      (!has_transformers_js_layout(manifest.bundle) && !embeds_apart(manifest))) {
    fail(ErrorCode::kUnsupported,
         "{}: is a bundle \"{}\", caption needs one of \"{}\"; press it with options.bundle {}",
         folder.string(),
         manifest.bundle,
         kTransformersJs.name,
         kTransformersJs.name);
  }
  if (embeds_apart(manifest) && manifest.image_token_id < 0) {
    fail(ErrorCode::kUnsupported,
         "{}: {} has no image_token_id; press it again",
         folder.string(),
         kManifestName);
  }
  return manifest;
}

// Pixels of an image as Captioner::load_pixels() gives them, and how its tiles lie.
struct Pixels {
  std::span<const float> values;
  int64_t rows = 0;
  int64_t columns = 0;
};

Image packed_image(const ImagePixels& pixels) {
  const auto [data, height, width, row_stride, column_stride, channel_stride] = pixels;
  if (data == nullptr || height < 1 || width < 1 || height > kMaxImagePixels / width) {
    fail(ErrorCode::kInvalidArgument,
         "an image of {} x {} pixels, expected 1 to {} of them",
         height,
         width,
         kMaxImagePixels);
  }
  Image image{width, height, std::vector<uint8_t>(static_cast<size_t>(height * width * 3))};
  uint8_t* to = image.rgb.data();
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* row = data + y * row_stride;
    if (column_stride == 3 && channel_stride == 1) {
      to = std::copy_n(row, width * 3, to);
      continue;
    }
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t channel = 0; channel < 3; ++channel) {
        *to++ = row[x * column_stride + channel * channel_stride];
      }
    }
  }
  return image;
}

// As load_pixels() gives them: behind the tiles of an image that is split, their rows and columns.
std::vector<float> pixel_values(const Image& image, const Preprocessing& settings) {
  TiledPixels pixels = tiled_pixels(image, settings);
  if (pixels.rows != 0) {
    pixels.values.push_back(static_cast<float>(pixels.rows));
    pixels.values.push_back(static_cast<float>(pixels.columns));
  }
  return std::move(pixels.values);
}

}  // namespace

struct Captioner::Impl {
  Impl(const fs::path& folder, const CaptionerOptions& options)
      : manifest(read_manifest(folder)),
        choice(choose_graphs(require_bundle(manifest, folder), folder, options.dtype)),
        threads(options.threads != 0 ? options.threads
                                     : std::max(1U, std::thread::hardware_concurrency())),
        at_once(options.at_once != 0 ? std::min(options.at_once, threads) : threads),
        opened(open_decoder(options.engine, folder, manifest, choice, threads / at_once)),
        tokenizer(Tokenizer::from_file(folder / "tokenizer.json")) {
    if (!manifest.chat_template.empty()) {
      chat = read_chat_template(folder, manifest.chat_template);
    }
  }

  [[nodiscard]] std::vector<int64_t> first_ids(const GenerateOptions& options,
                                               const Pixels& pixels) const {
    return caption_first_ids(
        manifest, tokenizer, chat ? &*chat : nullptr, options, pixels.rows, pixels.columns);
  }

  [[nodiscard]] GenerationRequest request(const GenerateOptions& options,
                                          const Pixels& pixels) const {
    const std::vector<int64_t> ids = first_ids(options, pixels);
    // The image's positions in place of the first id: none where it is among the ids, or is seen
    // through cross attention.
    const int64_t image = embeds_apart(manifest) || manifest.cross() ? 1 : manifest.image_tokens;
    const int64_t prompt = std::ssize(ids) - 1;
    GenerationSettings settings = chosen_settings(options, manifest.generation);
    leave_rules_to_graph(options, manifest.generation, manifest.rules_in_graph, settings);
    const int64_t positions = image + prompt;
    const GenerationContext context{
        manifest.eos_token_ids, manifest.vocab_size, manifest.max_new_tokens, positions};
    const int64_t most = new_tokens(settings, context);
    if (most > manifest.max_position_embeddings - positions) {
      fail(ErrorCode::kInvalidArgument,
           "{} {} and prompt tokens and {} new tokens do not fit the model's {} "
           "positions; lower options.max_new_tokens or shorten the prompt",
           positions,
           manifest.cross() ? "start" : "image",
           most,
           manifest.max_position_embeddings);
    }
    TokenRules rules = token_rules(settings, context);
    if (embeds_apart(manifest) || manifest.cross()) {
      rules.before = ids;
    }
    return {std::move(rules),
            beam_options(settings, context),
            sampling_filters(settings),
            settings.do_sample.value_or(false),
            options.seed,
            image,
            ids};
  }

  [[nodiscard]] Pixels checked_pixels(std::span<const float> pixel_values) const {
    const Preprocessing& size = manifest.preprocessing;
    const int64_t tile = 3 * size.height * size.width;
    const int64_t given = std::ssize(pixel_values);
    if (given == tile) {
      return {pixel_values};
    }
    if (size.splitting && given > tile && given % tile == 2) {
      const auto rows = static_cast<int64_t>(pixel_values[pixel_values.size() - 2]);
      const auto columns = static_cast<int64_t>(pixel_values.back());
      if (rows > 0 && columns > 0 && rows <= kMostTiles && columns <= kMostTiles &&
          rows * columns + 1 == given / tile) {
        return {pixel_values.first(pixel_values.size() - 2), rows, columns};
      }
    }
    fail(ErrorCode::kInvalidArgument,
         "{} pixel values, expected 3 x {} x {}",
         pixel_values.size(),
         size.height,
         size.width);
  }

  [[nodiscard]] std::vector<Caption> captions(std::span<const std::span<const float>> images,
                                              const GenerateOptions& options,
                                              const TokenFn& on_token) const;
  // Captions of images that share a prompt, into their places in `results`.
  void caption_together(std::span<const Pixels> images,
                        std::span<const size_t> group,
                        const GenerationRequest& asked,
                        const TokenFn& on_token,
                        std::vector<Caption>& results) const;

  Manifest manifest;
  GraphChoice choice;
  unsigned threads;
  unsigned at_once;
  OpenedDecoder opened;
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat;
};

// Rows of one run have equal lengths, so images are decoded together that have the same ids before the new
// tokens: all of them, or where image features replace tokens those that are cut into the same tiles.
std::vector<Caption> Captioner::Impl::captions(std::span<const std::span<const float>> images,
                                               const GenerateOptions& options,
                                               const TokenFn& on_token) const {
  check_options(options);
  if (images.empty()) {
    (void)request(options, {});
    return {};
  }
  std::vector<Pixels> pixels;
  std::vector<GenerationRequest> requests;
  std::vector<std::vector<size_t>> groups;
  for (size_t i = 0; i < images.size(); ++i) {
    pixels.push_back(checked_pixels(images[i]));
    GenerationRequest asked = request(options, pixels[i]);
    const auto same = std::ranges::find(requests, asked.first_ids, &GenerationRequest::first_ids);
    if (same == requests.end()) {
      requests.push_back(std::move(asked));
      groups.push_back({i});
    } else {
      groups[static_cast<size_t>(same - requests.begin())].push_back(i);
    }
  }
  std::vector<Caption> results(images.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    caption_together(pixels, groups[i], requests[i], on_token, results);
  }
  return results;
}

void Captioner::Impl::caption_together(std::span<const Pixels> images,
                                       std::span<const size_t> group,
                                       const GenerationRequest& asked,
                                       const TokenFn& on_token,
                                       std::vector<Caption>& results) const {
  std::vector<std::unique_ptr<EncodedImage>> encoded;
  for (const size_t i : group) {
    const Stopwatch watch;
    encoded.push_back(opened.decoder->encode(images[i].values));
    results[i].encode_ms = watch.milliseconds();
  }
  GenerationTimes times;
  std::vector<Generated> generated = generate(*opened.decoder, encoded, asked, times, on_token);
  const auto share = static_cast<double>(group.size());
  for (size_t at = 0; at < group.size(); ++at) {
    Caption& result = results[group[at]];
    result.ids = std::move(generated[at].ids);
    result.text = tokenizer.decode(result.ids);
    result.score = generated[at].score;
    result.prefill_ms = times.prefill_ms / share;
    result.decode_ms = times.decode_ms / share;
  }
}

Captioner::Captioner(const fs::path& folder, const CaptionerOptions& options)
    : impl_(with_file_errors([&] { return std::make_unique<Impl>(folder, options); })) {}
Captioner::~Captioner() = default;
Captioner::Captioner(Captioner&&) noexcept = default;

GraphDtypes Captioner::dtypes() const {
  return {impl_->choice.encoder, impl_->choice.prefill, impl_->choice.decoder};
}

UsedEngine Captioner::engine() const {
  return used_engine(impl_->opened);
}

unsigned Captioner::at_once() const {
  return impl_->at_once;
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
  return pixel_values(load_image(image), impl_->manifest.preprocessing);
}

std::vector<float> Captioner::load_pixels(const ImageBytes& image) const {
  return pixel_values(decode_image(image.bytes, image.name), impl_->manifest.preprocessing);
}

std::vector<float> Captioner::load_pixels(const ImagePixels& image) const {
  return pixel_values(packed_image(image), impl_->manifest.preprocessing);
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
