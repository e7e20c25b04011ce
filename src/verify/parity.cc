#include "verify/parity.h"

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "verify/distance.h"

namespace lorapress {
namespace {

// What a dtype must reach where the user says nothing. `exact`: its arithmetic is the reference's,
// so that logits may differ by rounding alone, and a constant that is off by little still shows.
struct Requirement {
  std::string_view dtype;
  double min_match;
  bool exact;
};
constexpr std::array kRequirements = {
    Requirement{"fp32", 1.0, true},
    Requirement{"fp16", 1.0, false},
};
constexpr Requirement kMeasuredOnly{"", 0.0, false};

// Float32 arithmetic in another order costs logits 5e-6 on the small checkpoints of the tests and
// 4e-5 on a real shape of 30 layers, image tokens 4e-7 and 1e-6; a norm epsilon that is off by a
// factor of ten costs 1e-3 and 2e-5. docs/verify.md has the commands.
constexpr double kMostExactLogitError = 2e-4;
constexpr double kMostExactPrefixError = 1e-5;

const Requirement& requirement(std::string_view dtype) {
  const auto found = std::ranges::find(kRequirements, dtype, &Requirement::dtype);
  return found == kRequirements.end() ? kMeasuredOnly : *found;
}

// The folder's own greedy caption, as far as it is known.
class FreeRun {
 public:
  FreeRun(const FolderModel& model, const TokenRules& rules) : model_(model), rules_(rules) {}

  [[nodiscard]] bool open() const { return open_; }
  // Takes the next token and gives it. Logits that are not finite end the caption; then -1.
  int64_t choose(std::span<const float> logits) {
    if (argmax_or_none(logits) < 0) {
      open_ = false;
      return -1;
    }
    const int64_t token = likeliest(rules_, ids_, logits);
    ids_.push_back(token);
    const auto& eos = rules_.eos_token_ids;
    open_ = std::ssize(ids_) < rules_.max_new_tokens && std::ranges::find(eos, token) == eos.end();
    return token;
  }
  // Goes on by itself behind the tokens so far.
  void finish(const OrtTensor& image, const std::vector<OrtTensor>& cache) {
    const std::vector<OrtTensor>* past = &cache;
    DecoderStep step;
    while (open_) {
      DecoderStep next = model_.step(std::span(ids_).last(1), image, *past);
      choose(next.logits);
      step = std::move(next);
      past = &step.cache;
    }
  }
  [[nodiscard]] std::vector<int64_t> take() { return std::move(ids_); }

 private:
  const FolderModel& model_;
  const TokenRules& rules_;
  std::vector<int64_t> ids_;
  bool open_ = true;
};

// The known wrong export: the decoder over the image alone, and a "caption" of one token for each
// image position.
void check_positions(const DecoderStep& step,
                     const Manifest& manifest,
                     std::set<std::string>& faults) {
  if (step.positions != 1) {
    faults.insert(
        fmt::format("the decoder gives logits for {} positions in its first call ({} of the "
                    "image), expected 1: "
                    "the next token's; read as a caption they are gibberish",
                    step.positions,
                    manifest.image_tokens));
  }
}

void check_exact(DtypeParity& parity) {
  if (parity.prefix_error > kMostExactPrefixError) {
    parity.faults.push_back(fmt::format(
        "image tokens are off by {:.1e} of their size, float32 alone stays below {:.0e}: a weight "
        "or "
        "a constant of the encoder is not the checkpoint's (norm epsilon, preprocessing?)",
        parity.prefix_error,
        kMostExactPrefixError));
  }
  if (parity.forced.relative_error > kMostExactLogitError) {
    parity.faults.push_back(fmt::format(
        "logits are off by up to {:.1e} of their size, float32 alone stays below {:.0e}: a weight "
        "or a constant is not the checkpoint's (adapter, rope, norm epsilon, heads?)",
        parity.forced.relative_error,
        kMostExactLogitError));
  }
}

}  // namespace

ImageParity compare_image(const FolderModel& model,
                          const Manifest& manifest,
                          const ReferenceImage& reference,
                          const TokenRules& rules,
                          std::set<std::string>& faults) {
  ImageParity parity;
  parity.image = reference.image;
  const OrtTensor image = model.encode(reference.folder_pixels);
  const OrtTensor prefix = image.converted(DType::kF32);
  if (prefix.as_floats().size() != reference.prefix.values.size()) {
    fail(ErrorCode::kMismatch,
         "the encoder gives [{}], the checkpoint makes {} image tokens of {}",
         fmt::join(prefix.shape(), ", "),
         reference.prefix.rows,
         reference.prefix.cols);
  }
  RelativeError error;
  error.add(reference.prefix.values, prefix.as_floats());
  parity.prefix_error = error.value();

  const std::vector<int64_t>& ids = reference.caption.ids;
  FreeRun free(model, rules);
  bool together = true;  // the free caption has been the reference's so far
  std::vector<OrtTensor> cache = model.empty_cache();
  int64_t input = manifest.decoder_start_token_id;
  for (size_t t = 0; t < ids.size(); ++t) {
    DecoderStep step = model.step({&input, 1}, image, cache);
    if (t == 0) {
      check_positions(step, manifest, faults);
    }
    const auto wanted = reference.caption.logits.row(static_cast<int64_t>(t));
    parity.kl.push_back(add_position(parity.forced, wanted, step.logits));
    if (argmax_or_none(step.logits) < 0) {
      faults.insert("logits are not finite; a value beyond the dtype's range?");
    }
    if (together && free.open()) {
      together = free.choose(step.logits) == ids[t];
      if (!together) {
        free.finish(image, step.cache);
      }
    }
    cache = std::move(step.cache);
    input = ids[t];
  }
  if (together) {  // both end here, unless the folder stops at other tokens
    free.finish(image, cache);
  }
  parity.ids = free.take();
  parity.caption_equal = parity.ids == ids;
  return parity;
}

void judge(DtypeParity& parity, std::optional<double> min_match) {
  const Requirement& rule = requirement(parity.dtype);
  parity.required_match = min_match.value_or(rule.min_match);
  for (const ImageParity& image : parity.images) {
    merge_distance(parity.forced, image.forced);
    parity.prefix_error = std::max(parity.prefix_error, image.prefix_error);
    parity.captions_equal += image.caption_equal ? 1 : 0;
  }
  if (rule.exact) {
    check_exact(parity);
  }
  if (parity.forced.match() < parity.required_match) {
    parity.faults.push_back(
        fmt::format("{} of {} tokens are the reference's, {:.2f} % are required",
                    parity.forced.matched,
                    parity.forced.tokens,
                    100.0 * parity.required_match));
  }
  parity.passed = parity.faults.empty();
}

}  // namespace lorapress
