#include "api/trial_run.h"

#include <algorithm>
#include <cstring>

#include "lorapress/generate.h"

#include "bundles/manifest.h"
#include "graph/ports.h"
#include "runtime/generation/tokenizer.h"
#include "runtime/graph_choice.h"
#include "runtime/image/test_card.h"
#include "runtime/ort/ort.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

bool takes(const OrtSession& session, const std::string& name) {
  return std::ranges::count(session.inputs(), name, &OrtPort::name) != 0;
}

// The test card as the graph's own input: normalised pixels, or bytes of twice the size.
class TrialImage {
 public:
  TrialImage(const OrtSession& session, const Preprocessing& settings)
      : bytes_(takes(session, "image") ? to_bytes(2 * settings.height, 2 * settings.width)
                                       : std::vector<std::byte>()),
        tensor_(bytes_.empty()
                    ? OrtTensor::floats({1, 3, settings.height, settings.width},
                                        test_card(settings.height, settings.width))
                    : OrtTensor::view(
                          DType::kU8, {2 * settings.height, 2 * settings.width, 3}, bytes_)) {}

  [[nodiscard]] OrtSession::Feed feed() const {
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
  OrtTensor tensor_;
};

// Bundle single: pixels -> generated_ids.
Caption run_captioner(const fs::path& folder, const Manifest& manifest, const OrtSession& session) {
  const TrialImage image(session, manifest.preprocessing);
  const OrtTensor most = OrtTensor::integers({}, std::vector<int64_t>{manifest.max_new_tokens});
  const std::vector<OrtTensor> outputs =
      session.run({image.feed(), {"max_new_tokens", &most}}, {"generated_ids"});
  Caption caption;
  const std::span<const std::byte> bytes = outputs[0].bytes();
  caption.ids.resize(bytes.size() / sizeof(int64_t));
  std::memcpy(caption.ids.data(), bytes.data(), bytes.size());
  caption.text = Tokenizer::from_file(folder / "tokenizer.json").decode(caption.ids);
  return caption;
}

void run_step(const Manifest& manifest, const OrtSession& session) {
  const TrialImage image(session, manifest.preprocessing);
  const OrtTensor ids = OrtTensor::integers({1, 0}, {});
  (void)session.run({image.feed(), {kInputIds, &ids}}, {kLogits});
}

// A few tokens behind a word: without the chat template, which may refuse some messages.
Caption run_generator(const fs::path& folder, const Manifest& manifest) {
  constexpr int64_t kTokens = 8;
  GenerateOptions options;
  options.prompt = manifest.prompt.empty() ? "Hello" : manifest.prompt;
  options.raw_prompt = true;
  const TextGenerator generator(folder);
  options.min_new_tokens = 0;
  options.max_new_tokens = std::min(kTokens, manifest.max_new_tokens);
  GeneratedText generated = generator.generate(options);
  return {std::move(generated.ids),
          std::move(generated.text),
          generated.score,
          0.0,
          generated.prefill_ms,
          generated.decode_ms};
}

}  // namespace

std::optional<Caption> trial_run(const fs::path& folder) {
  const Manifest manifest = read_manifest(folder);
  if (!takes_images(manifest)) {
    return run_generator(folder, manifest);
  }
  const auto& graphs = manifest.graphs.at(manifest.default_dtype);
  if (graphs.contains(role_of(manifest, "encoder")) &&
      graphs.contains(role_of(manifest, "decoder"))) {
    const Captioner captioner(folder);
    return captioner.caption_pixels(test_card(captioner.height(), captioner.width()));
  }
  std::optional<Caption> caption;
  for (const auto& [role, file] : graphs) {
    const OrtSession session(folder / file, 0);
    if (role == "captioner") {
      caption = run_captioner(folder, manifest, session);
    } else if (role == "step") {
      run_step(manifest, session);
    }
  }
  return caption;
}

}  // namespace lorapress
