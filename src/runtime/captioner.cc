#include <algorithm>
#include <chrono>
#include <cmath>

#include "lorapress/caption.h"

#include "base/fail.h"
#include "base/file.h"
#include "bundles/manifest.h"
#include "runtime/image.h"
#include "runtime/ort.h"
#include "runtime/tokenizer.h"

namespace lorapress {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::string graph_file(const Manifest& manifest,
                       const std::string& dtype,
                       const std::string& role,
                       const std::string& where) {
  const auto graphs = manifest.graphs.find(dtype.empty() ? manifest.default_dtype : dtype);
  if (graphs == manifest.graphs.end()) {
    std::vector<std::string> known;
    for (const auto& [name, roles] : manifest.graphs) {
      known.push_back(name);
    }
    fail(ErrorCode::kNotFound,
         "{}: no dtype \"{}\" (there are: {})",
         where,
         dtype,
         fmt::join(known, ", "));
  }
  const auto file = graphs->second.find(role);
  if (file == graphs->second.end()) {
    fail(ErrorCode::kUnsupported,
         "{}: bundle \"{}\" has no {}; caption needs a transformers.js bundle",
         where,
         manifest.bundle,
         role);
  }
  return file->second;
}

std::array<float, 3> to_floats(const std::array<double, 3>& values) {
  return {
      static_cast<float>(values[0]), static_cast<float>(values[1]), static_cast<float>(values[2])};
}

int64_t argmax(std::span<const float> logits) {
  const auto best = std::ranges::max_element(logits);
  if (best == logits.end() || !std::isfinite(*best)) {
    fail(ErrorCode::kRuntime,
         "the decoder gave logits that are not finite; are the weights intact?");
  }
  return best - logits.begin();
}

}  // namespace

struct Captioner::Impl {
  Impl(const std::filesystem::path& folder, const CaptionerOptions& options)
      : manifest(read_manifest(folder)),
        tokenizer(Tokenizer::from_file(folder / "tokenizer.json")),
        encoder(folder / graph_file(manifest, options.dtype, "encoder", folder.string()),
                options.threads),
        decoder(folder / graph_file(manifest, options.dtype, "decoder", folder.string()),
                options.threads) {
    output_names.emplace_back("logits");
    for (int64_t layer = 0; layer < manifest.num_hidden_layers; ++layer) {
      for (const char* which : {"key", "value"}) {
        past_names.push_back(fmt::format("past_key_values.{}.{}", layer, which));
        output_names.push_back(fmt::format("present.{}.{}", layer, which));
      }
    }
    const auto cache = std::ranges::find(decoder.inputs(), past_names[0], &OrtPort::name);
    if (cache == decoder.inputs().end()) {
      fail(ErrorCode::kMismatch,
           "{}: the decoder has no input {}; {} and the graphs do not belong together, press again",
           folder.string(),
           past_names[0],
           kManifestName);
    }
    cache_dtype = cache->dtype;
  }

  // The start token, which is dropped inside the graph (see bundles/transformers_js.cc), and the
  // prompt. Throws when they and `new_tokens` do not fit the model.
  [[nodiscard]] std::vector<int64_t> first_ids(const std::string& prompt,
                                               int64_t new_tokens) const {
    std::vector<int64_t> ids = tokenizer.encode(prompt);
    for (const int64_t id : ids) {
      if (id >= manifest.vocab_size) {
        fail(ErrorCode::kMismatch,
             "the prompt has the token {}, the model knows {}; tokenizer.json is of another model",
             id,
             manifest.vocab_size);
      }
    }
    const int64_t room = manifest.max_position_embeddings - manifest.image_tokens - std::ssize(ids);
    if (new_tokens > room) {
      fail(ErrorCode::kInvalidArgument,
           "{} image tokens, {} prompt tokens and {} new tokens do not fit the model's {} "
           "positions; lower --max-new-tokens or shorten the prompt",
           manifest.image_tokens,
           ids.size(),
           new_tokens,
           manifest.max_position_embeddings);
    }
    ids.insert(ids.begin(), manifest.decoder_start_token_id);
    return ids;
  }

  // One call of the decoder; `cache` is replaced by what it returns. Gives the next token.
  int64_t step(std::span<const int64_t> ids,
               const OrtTensor& image,
               std::vector<OrtTensor>& cache) const {
    const OrtTensor input = OrtTensor::integers({1, static_cast<int64_t>(ids.size())}, ids);
    std::vector<OrtSession::Feed> feeds{{"input_ids", &input}, {"encoder_hidden_states", &image}};
    for (size_t i = 0; i < past_names.size(); ++i) {
      feeds.push_back({past_names[i], &cache[i]});
    }
    std::vector<OrtTensor> outputs = decoder.run(feeds, output_names);
    const int64_t token = argmax(outputs[0].as_floats());
    cache.clear();
    std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(cache));
    return token;
  }

  [[nodiscard]] std::vector<OrtTensor> empty_cache() const {
    std::vector<OrtTensor> cache;
    for (size_t i = 0; i < past_names.size(); ++i) {
      cache.emplace_back(cache_dtype, Shape{1, manifest.num_key_value_heads, 0, manifest.head_dim});
    }
    return cache;
  }

  Manifest manifest;
  Tokenizer tokenizer;
  OrtSession encoder;
  OrtSession decoder;
  std::vector<std::string> past_names;
  std::vector<std::string> output_names;
  DType cache_dtype = DType::kF32;
};

Captioner::Captioner(const std::filesystem::path& folder, const CaptionerOptions& options)
    : impl_(with_file_errors([&] { return std::make_unique<Impl>(folder, options); })) {}
Captioner::~Captioner() = default;
Captioner::Captioner(Captioner&&) noexcept = default;

int64_t Captioner::height() const {
  return impl_->manifest.preprocessing.height;
}
int64_t Captioner::width() const {
  return impl_->manifest.preprocessing.width;
}

Caption Captioner::caption(const std::filesystem::path& image,
                           const GenerateOptions& options,
                           const TextFn& on_text) const {
  const Preprocessing& settings = impl_->manifest.preprocessing;
  const Resample filter = parse_resample(settings.resample, kManifestName);
  const Image resized = resize(load_image(image), settings.width, settings.height, filter);
  const std::vector<float> pixels = normalise(resized,
                                              settings.rescale_factor,
                                              to_floats(settings.image_mean),
                                              to_floats(settings.image_std));
  return caption_pixels(pixels, options, on_text);
}

Caption Captioner::caption_pixels(std::span<const float> pixel_values,
                                  const GenerateOptions& options,
                                  const TextFn& on_text) const {
  const Manifest& manifest = impl_->manifest;
  if (std::ssize(pixel_values) != 3 * height() * width()) {
    fail(ErrorCode::kInvalidArgument,
         "{} pixel values, expected 3 x {} x {}",
         pixel_values.size(),
         height(),
         width());
  }
  const int64_t most =
      options.max_new_tokens > 0 ? options.max_new_tokens : manifest.max_new_tokens;
  std::vector<int64_t> ids = impl_->first_ids(options.prompt, most);
  Caption result;
  Clock::time_point start = Clock::now();
  const OrtTensor pixels = OrtTensor::floats({1, 3, height(), width()}, pixel_values);
  const std::vector<OrtTensor> image =
      impl_->encoder.run({{"pixel_values", &pixels}}, {"last_hidden_state"});
  result.encode_ms = ms_since(start);

  TextStream stream(impl_->tokenizer);
  std::vector<OrtTensor> cache = impl_->empty_cache();
  for (int64_t step = 0; step < most; ++step) {
    start = Clock::now();
    const int64_t token = impl_->step(ids, image[0], cache);
    (step == 0 ? result.prefill_ms : result.decode_ms) += ms_since(start);
    result.ids.push_back(token);
    if (std::ranges::find(manifest.eos_token_ids, token) != manifest.eos_token_ids.end()) {
      break;
    }
    ids = {token};
    if (on_text) {
      on_text(stream.push(token));
    }
  }
  if (on_text) {
    on_text(stream.finish());
  }
  result.text = impl_->tokenizer.decode(result.ids);
  return result;
}

}  // namespace lorapress
