#include "api/trial_run.h"

#include <algorithm>
#include <cstring>

#include "lorapress/generate.h"

#include "api/caption_prompt.h"
#include "base/fail.h"
#include "bundles/manifest.h"
#include "graph/ports.h"
#include "runtime/engines.h"
#include "runtime/generation/prompt.h"
#include "runtime/generation/sampling.h"
#include "runtime/generation/tokenizer.h"
#include "runtime/graph_choice.h"
#include "runtime/image/test_card.h"
#include "runtime/native/native_graph.h"
#include "verify/folder_model.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

bool takes(const GraphSession& session, const std::string& name) {
  return std::ranges::count(session.inputs(), name, &GraphPort::name) != 0;
}

// The test card as the graph's own input: normalised pixels, or bytes of twice the size.
class TrialImage {
 public:
  TrialImage(const GraphSession& session, const Preprocessing& settings)
      : bytes_(takes(session, "image") ? to_bytes(2 * settings.height, 2 * settings.width)
                                       : std::vector<std::byte>()),
        tensor_(bytes_.empty()
                    ? GraphTensor::floats({1, 3, settings.height, settings.width},
                                          test_card(settings.height, settings.width))
                    : GraphTensor::view(
                          DType::kU8, {2 * settings.height, 2 * settings.width, 3}, bytes_)) {}

  [[nodiscard]] GraphFeed feed() const {
    return {bytes_.empty() ? kPixelValues : "image", &tensor_};
  }

 private:
  static std::vector<std::byte> to_bytes(int64_t height, int64_t width) {
    const std::vector<float> card = test_card(height, width);
    const auto plane = static_cast<size_t>(height * width);
    std::vector<std::byte> levels(3 * plane);
    for (size_t i = 0; i < levels.size(); ++i) {
      const float value = 127.5F * (card[i % 3 * plane + i / 3] + 1.0F);
      levels[i] = static_cast<std::byte>(static_cast<uint8_t>(std::clamp(value, 0.0F, 255.0F)));
    }
    return levels;
  }

  std::vector<std::byte> bytes_;
  GraphTensor tensor_;
};

// Bundle single: pixels -> generated_ids.
Caption run_captioner(const fs::path& folder,
                      const Manifest& manifest,
                      const GraphSession& session) {
  const TrialImage image(session, manifest.preprocessing);
  const GraphTensor most = GraphTensor::integers({}, std::vector<int64_t>{manifest.max_new_tokens});
  const std::vector<GraphTensor> outputs =
      session.run({image.feed(), {"max_new_tokens", &most}}, {"generated_ids"});
  Caption caption;
  const std::span<const std::byte> bytes = outputs[0].bytes();
  caption.ids.resize(bytes.size() / sizeof(int64_t));
  std::memcpy(caption.ids.data(), bytes.data(), bytes.size());
  caption.text = Tokenizer::from_file(folder / "tokenizer.json").decode(caption.ids);
  return caption;
}

void run_step(const Manifest& manifest, const GraphSession& session) {
  const TrialImage image(session, manifest.preprocessing);
  const GraphTensor ids = GraphTensor::integers({1, 0}, {});
  (void)session.run({image.feed(), {kInputIds, &ids}}, {kLogits});
}

// Tokens that follow a word, without the chat template, which may refuse some messages.
constexpr int64_t kTextTokens = 8;
GenerateOptions text_options(const Manifest& manifest) {
  GenerateOptions options;
  options.prompt = manifest.prompt.empty() ? "Hello" : manifest.prompt;
  options.raw_prompt = true;
  options.min_new_tokens = 0;
  options.max_new_tokens = std::min(kTextTokens, manifest.max_new_tokens);
  return options;
}

struct Trial {
  const fs::path& folder;
  const Manifest& manifest;
  const TrialOptions& options;
  TrialResult& result;
};

// The whole way that users' calls take.
void run_whole(const Trial& trial, const std::string& dtype) {
  const std::string& engine = trial.options.engine;
  trial.result.dtype = dtype;
  std::string note;
  if (takes_images(trial.manifest)) {
    const Captioner captioner(trial.folder, {dtype, 0, engine});
    note = captioner.engine().note;
    trial.result.caption =
        captioner.caption_pixels(test_card(captioner.height(), captioner.width()));
  } else {
    const TextGenerator generator(trial.folder, {dtype, 0, engine});
    note = generator.engine().note;
    GeneratedText made = generator.generate(text_options(trial.manifest));
    trial.result.caption = Caption{std::move(made.ids),
                                   std::move(made.text),
                                   made.score,
                                   0.0,
                                   made.prefill_ms,
                                   made.decode_ms};
  }
  if (!note.empty()) {
    trial.result.notes.push_back(std::move(note));
  }
}

// The encoder, the decoder's first call and one with a cache, with a few weights in memory at a time.
void run_in_pieces(const Trial& trial, const std::string& dtype) {
  const Manifest& manifest = trial.manifest;
  const Tokenizer tokenizer = Tokenizer::from_file(trial.folder / "tokenizer.json");
  std::vector<int64_t> input;
  std::vector<float> card;
  if (takes_images(manifest)) {
    std::optional<ChatTemplate> chat;
    if (!manifest.chat_template.empty()) {
      chat = read_chat_template(trial.folder, manifest.chat_template);
    }
    input = caption_first_ids(manifest, tokenizer, chat ? &*chat : nullptr, {}, 0, 0);
    card = test_card(manifest.preprocessing.height, manifest.preprocessing.width);
  } else {
    input = text_ids(tokenizer, nullptr, {}, text_options(manifest).prompt);
  }
  const std::unique_ptr<FolderModel> model = open_folder_model(
      trial.folder, manifest, {dtype, "native", 0, trial.options.most_weights / 2});
  const GraphTensor image = model->encode(card);
  std::vector<GraphTensor> cache = model->empty_cache();
  Caption caption;
  const auto tokens = std::min<int64_t>(2, manifest.max_new_tokens);
  while (std::ssize(caption.ids) < tokens) {
    DecoderStep step = model->step(input, image, cache);
    caption.ids.push_back(argmax(step.logits));
    input = {caption.ids.back()};
    cache = std::move(step.cache);
  }
  caption.text = tokenizer.decode(caption.ids);
  trial.result.dtype = dtype;
  trial.result.caption = std::move(caption);
}

// From the smallest one up.
std::vector<std::string> dtypes_by_size(const Manifest& manifest) {
  std::vector<std::string> names;
  for (const auto& [name, roles] : manifest.graphs) {
    names.push_back(name);
  }
  std::ranges::stable_sort(
      names, {}, [&](const std::string& name) { return dtype_bytes(manifest, name); });
  return names;
}

// Every graph of the folder is one, its nodes are of types that go together, and its weights are in its files. What the
// project's own engine does not know is left to ONNX Runtime.
void check_graphs(const fs::path& folder, const Manifest& manifest) {
  for (const auto& [dtype, roles] : manifest.graphs) {
    for (const auto& [role, file] : roles) {
      try {
        check_native_graph(folder / file);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kUnsupported) {
          throw;
        }
      }
    }
  }
}

void run_decoder(const Trial& trial) {
  const Manifest& manifest = trial.manifest;
  const std::vector<std::string> names = dtypes_by_size(manifest);
  const auto fits = [&](const std::string& name) {
    return dtype_bytes(manifest, name) <= trial.options.most_weights;
  };
  if (fits(manifest.default_dtype) || trial.options.engine == "ort") {
    run_whole(trial, fits(manifest.default_dtype) ? manifest.default_dtype : names.front());
    return;
  }
  if (fits(names.front())) {
    run_whole(trial, names.front());
    return;
  }
  for (const std::string& name : names) {
    try {
      run_in_pieces(trial, name);
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnsupported) {
        throw;
      }
    }
  }
  run_whole(trial, names.front());
}

// A graph of a bundle without a decoder. Where no engine here knows it and none was asked for, nothing is tried.
std::unique_ptr<GraphSession> open_alone(const fs::path& file, const Trial& trial) {
  const std::string& engine = trial.options.engine;
  try {
    return open_graph(engine, file, 0).session;
  } catch (const Error& error) {
    if (has_ort() || engine == "native" || engine == "ort") {
      throw;
    }
    trial.result.notes.push_back(fmt::format("not tried: {}", error.what()));
    return nullptr;
  }
}

void run_alone(const Trial& trial) {
  const Manifest& manifest = trial.manifest;
  for (const auto& [role, file] : manifest.graphs.at(manifest.default_dtype)) {
    const std::unique_ptr<GraphSession> session = open_alone(trial.folder / file, trial);
    if (session == nullptr) {
      continue;
    }
    if (role == "captioner") {
      trial.result.caption = run_captioner(trial.folder, manifest, *session);
    } else if (role == "step") {
      run_step(manifest, *session);
    }
    trial.result.dtype = manifest.default_dtype;
  }
}

}  // namespace

TrialResult trial_run(const fs::path& folder, const TrialOptions& options) {
  const Manifest manifest = read_manifest(folder);
  TrialResult result;
  const Trial trial{folder, manifest, options, result};
  check_graphs(folder, manifest);
  const auto& graphs = manifest.graphs.at(manifest.default_dtype);
  const bool whole = !takes_images(manifest) || (graphs.contains(role_of(manifest, "encoder")) &&
                                                 graphs.contains(role_of(manifest, "decoder")));
  if (whole) {
    run_decoder(trial);
  } else {
    run_alone(trial);
  }
  return result;
}

}  // namespace lorapress
