#include <algorithm>

#include "lorapress/generate.h"

#include "api/used_engine.h"
#include "base/fail.h"
#include "base/file.h"
#include "bundles/bundle.h"
#include "bundles/manifest.h"
#include "runtime/engines.h"
#include "runtime/generation/generate.h"
#include "runtime/generation/generate_options.h"
#include "runtime/generation/prompt.h"
#include "runtime/generation/tokenizer.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

const Manifest& require_text_alone(const Manifest& manifest, const fs::path& folder) {
  if (takes_images(manifest)) {
    fail(ErrorCode::kUnsupported,
         "{}: is a bundle \"{}\", whose model takes images; `lorapress caption` runs it",
         folder.string(),
         manifest.bundle);
  }
  return manifest;
}

}  // namespace

struct TextGenerator::Impl {
  Impl(const fs::path& folder, const TextGeneratorOptions& options)
      : manifest(read_manifest(folder)),
        choice(choose_graphs(require_text_alone(manifest, folder), folder, options.dtype)),
        opened(open_decoder(options.engine, folder, manifest, choice, options.threads)),
        tokenizer(Tokenizer::from_file(folder / "tokenizer.json")) {
    if (!manifest.chat_template.empty()) {
      chat = read_chat_template(folder, manifest.chat_template);
    }
  }

  [[nodiscard]] std::vector<int64_t> prompt_ids(const GenerateOptions& options) const {
    const std::string& prompt = options.prompt.empty() ? manifest.prompt : options.prompt;
    std::vector<int64_t> ids = text_ids(tokenizer, chat ? &*chat : nullptr, options, prompt);
    if (ids.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "the prompt has no tokens, and the model needs one to continue; pass options.prompt");
    }
    for (const int64_t id : ids) {
      if (id >= manifest.vocab_size) {
        fail(ErrorCode::kMismatch,
             "the prompt has the token {}, the model knows {}; tokenizer.json is of another model",
             id,
             manifest.vocab_size);
      }
    }
    return ids;
  }

  // A length that a call asks for has to fit; the folder's own is what is generated at most.
  [[nodiscard]] GenerationSettings fitted(const GenerateOptions& options, int64_t prompt) const {
    GenerationSettings settings = chosen_settings(options, manifest.generation);
    leave_rules_to_graph(options, manifest.generation, manifest.rules_in_graph, settings);
    const int64_t room = manifest.max_position_embeddings - prompt;
    const GenerationContext context{
        manifest.eos_token_ids, manifest.vocab_size, manifest.max_new_tokens, prompt};
    const int64_t most = new_tokens(settings, context);
    if (room < 1 || (most > room && (options.max_new_tokens || options.max_length))) {
      fail(ErrorCode::kInvalidArgument,
           "{} prompt tokens and {} new tokens do not fit the model's {} positions; lower "
           "options.max_new_tokens or shorten the prompt",
           prompt,
           most,
           manifest.max_position_embeddings);
    }
    settings.max_new_tokens = std::min(most, room);
    return settings;
  }

  [[nodiscard]] GenerationRequest request(const GenerateOptions& options) const {
    std::vector<int64_t> ids = prompt_ids(options);
    const int64_t prompt = std::ssize(ids);
    const GenerationSettings settings = fitted(options, prompt);
    const GenerationContext context{
        manifest.eos_token_ids, manifest.vocab_size, manifest.max_new_tokens, prompt};
    TokenRules rules = token_rules(settings, context);
    rules.before = ids;
    constexpr int64_t kFirstId = 1;  // the first id takes the place that an image otherwise takes
    return {std::move(rules),
            beam_options(settings, context),
            sampling_filters(settings),
            settings.do_sample.value_or(false),
            options.seed,
            kFirstId,
            std::move(ids)};
  }

  Manifest manifest;
  GraphChoice choice;
  OpenedDecoder opened;
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat;
};

TextGenerator::TextGenerator(const fs::path& folder, const TextGeneratorOptions& options)
    : impl_(with_file_errors([&] { return std::make_unique<Impl>(folder, options); })) {}
TextGenerator::~TextGenerator() = default;
TextGenerator::TextGenerator(TextGenerator&&) noexcept = default;

GraphDtypes TextGenerator::dtypes() const {
  return {impl_->choice.encoder, impl_->choice.prefill, impl_->choice.decoder};
}

UsedEngine TextGenerator::engine() const {
  return used_engine(impl_->opened);
}

GenerationSettings TextGenerator::settings(const GenerateOptions& options) const {
  GenerationSettings settings = chosen_settings(options, impl_->manifest.generation);
  if (!settings.max_new_tokens && !settings.max_length) {
    settings.max_new_tokens = impl_->manifest.max_new_tokens;
  }
  return settings;
}

GeneratedText TextGenerator::generate(const GenerateOptions& options, const TextFn& on_text) const {
  check_options(options);
  const GenerationRequest asked = impl_->request(options);
  TextStream stream(impl_->tokenizer);
  TokenFn on_token;
  if (on_text && asked.beams.num_beams == 1) {
    on_token = [&](int64_t token) { on_text(stream.push(token)); };
  }
  std::vector<std::unique_ptr<EncodedImage>> none;
  none.push_back(impl_->opened.decoder->encode({}));
  GenerationTimes times;
  std::vector<Generated> generated =
      lorapress::generate(*impl_->opened.decoder, none, asked, times, on_token);
  GeneratedText result;
  result.ids = std::move(generated[0].ids);
  result.text = impl_->tokenizer.decode(result.ids);
  result.score = generated[0].score;
  result.prompt_tokens = std::ssize(asked.first_ids);
  result.prefill_ms = times.prefill_ms;
  result.decode_ms = times.decode_ms;
  if (on_token) {
    // An end token, which on_token is not told of, may have a text.
    const bool ended = std::ranges::find(impl_->manifest.eos_token_ids, result.ids.back()) !=
                       impl_->manifest.eos_token_ids.end();
    const std::string last = ended ? stream.push(result.ids.back()) : std::string();
    on_text(last + stream.finish());
  } else if (on_text) {
    on_text(result.text);
  }
  return result;
}

}  // namespace lorapress
