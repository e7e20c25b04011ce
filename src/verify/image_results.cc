#include "verify/image_results.h"

#include <algorithm>

namespace lorapress {
namespace {

constexpr size_t kMeasuredImages = 16;  // more would add no information about the weights

struct GroupInputs {
  std::vector<std::vector<float>> pixels;
  std::vector<ReferencePrompt> prompts;  // none for prefix models
};

GroupInputs inputs_of(std::span<const ReferenceImage> group) {
  GroupInputs inputs;
  for (const ReferenceImage& image : group) {
    inputs.pixels.push_back(image.checkpoint_pixels);
    if (!image.prompt.ids.empty()) {
      inputs.prompts.push_back(image.prompt);
    }
  }
  return inputs;
}

// Image tokens and logits in float64, with the distances of the other forwards from them.
void measure_rounding(const ReferenceRun& run, std::span<ReferenceImage> group) {
  const GroupInputs inputs = inputs_of(group);
  std::vector<std::vector<int64_t>> ids;
  for (const ReferenceImage& image : group) {
    ids.push_back(image.caption.ids);
  }
  const auto pass = [&](Arithmetic arithmetic) {
    return run.reference.forced(inputs.pixels, ids, arithmetic, inputs.prompts);
  };
  ForcedPass exact = pass(Arithmetic::kFloat64);
  for (size_t i = 0; i < group.size(); ++i) {
    ReferenceImage& image = group[i];
    image.float32 =
        rounding_of(exact.prefixes[i], exact.logits[i], image.prefix, image.caption.logits);
    image.prefix = std::move(exact.prefixes[i]);
    image.caption.logits = std::move(exact.logits[i]);
    if (!image.seen.empty()) {
      image.masked = run.reference.encode_masked(
          std::span(image.checkpoint_pixels).first(3 * image.seen.size()), image.seen);
    }
  }
  if (run.measures_float16) {
    const ForcedPass half = pass(Arithmetic::kFloat16);
    for (size_t i = 0; i < group.size(); ++i) {
      ReferenceImage& image = group[i];
      image.float16 =
          rounding_of(image.prefix, image.caption.logits, half.prefixes[i], half.logits[i]);
    }
  }
}

}  // namespace

void run_reference(const ReferenceRun& run, std::span<ReferenceImage> group) {
  const GroupInputs inputs = inputs_of(group);
  std::vector<TokenRules> rules;
  for (const ReferenceImage& image : group) {
    rules.push_back(run.rules(image));
  }
  std::vector<Rows> tokens = run.reference.encode(inputs.pixels);
  std::vector<ReferenceCaption> captions = run.reference.greedy(
      inputs.prompts.empty() ? tokens : run.reference.join(tokens, inputs.prompts),
      run.max_new_tokens,
      run.eos_token_ids,
      [&](size_t image, std::span<const int64_t> generated, std::span<const float> logits) {
        return likeliest(rules[image], generated, logits);
      });
  for (size_t i = 0; i < group.size(); ++i) {
    group[i].prefix = std::move(tokens[i]);
    group[i].caption = std::move(captions[i]);
  }
  const auto rest = std::ranges::find_if(
      group, [](const ReferenceImage& image) { return image.image >= kMeasuredImages; });
  const auto measured = group.first(static_cast<size_t>(rest - group.begin()));
  if (run.measures_rounding && !measured.empty()) {
    measure_rounding(run, measured);
  }
}

}  // namespace lorapress
