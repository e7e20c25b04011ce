#include "verify/parity.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/fail.h"
#include "verify/distance.h"
#include "verify/reference_rules.h"
#include "verify/trace.h"

namespace lorapress {
namespace {

// How many times the reference's own rounding a file may be off: in the median of all rows, with
// many or few images, and at most. Right files of small and real shapes, with weights scaled by 1
// to 30, had medians of 0.2 to 1.6 over six images, up to 8 over a single one, and maxima of 0.2 to
// 2.7 (docs/verify.md).
struct Limits {
  double typical;
  double typical_of_few;
  double largest;
};
constexpr size_t kManyImages = 5;  // errors of one image go back to a few that it amplifies
constexpr size_t kManyRows = 5;

// What a dtype must reach by default. `rounding`: the forward whose rounding is the unit; a dtype
// without one is only measured.
struct Requirement {
  std::string_view dtype;
  double min_match;
  RoundingErrors ReferenceImage::* rounding;
  Limits limits;
};
constexpr std::array kRequirements = {
    Requirement{"fp32", 1.0, &ReferenceImage::float32, {3.0, 12.0, 32.0}},
    // Processors that also add in float16 lose several times as much as the reference's rounding.
    Requirement{"fp16", 1.0, &ReferenceImage::float16, {64.0, 64.0, 256.0}},
};
constexpr Requirement kMeasuredOnly{"", 0.0, nullptr, {}};

// From these errors on, a note says how much rounding alone changes.
constexpr double kLargeRounding = 1e-3;
constexpr double kLargeRounding16 = 0.1;

const Requirement& requirement(std::string_view dtype) {
  const auto found = std::ranges::find(kRequirements, dtype, &Requirement::dtype);
  return found == kRequirements.end() ? kMeasuredOnly : *found;
}

// The folder's own greedy caption so far.
class FreeRun {
 public:
  FreeRun(const FolderModel& model, const TokenRules& rules) : model_(model), rules_(rules) {}

  [[nodiscard]] bool open() const { return open_; }
  // Appends the next token and returns it. Logits that are not finite end the caption and give -1.
  // Those that are minus infinity may not be chosen: rules inside the decoder forbid them.
  int64_t choose(std::span<const float> given) {
    std::vector<float> logits(given.begin(), given.end());
    std::ranges::replace(
        logits, -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::lowest());
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
  // Continues the caption with its own tokens.
  void finish(const GraphTensor& image, const std::vector<GraphTensor>& cache) {
    const std::vector<GraphTensor>* past = &cache;
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

void add_image_tokens(const Rows& exact,
                      std::span<const float> found,
                      const RoundingErrors& rounding,
                      RoundingExcess& excess) {
  const auto width = static_cast<size_t>(exact.cols);
  for (int64_t row = 0; row < exact.rows; ++row) {
    RelativeError error;
    error.add(exact.row(row), found.subspan(static_cast<size_t>(row) * width, width));
    excess.add(error.value(), rounding.image_tokens[static_cast<size_t>(row)]);
  }
}

// Positions and attention of a tile that is seen in part; no caption shows them.
void check_masked_tile(const FolderModel& model,
                       const Manifest& manifest,
                       const ReferenceImage& reference,
                       const RoundingErrors& rounding,
                       double largest,
                       std::set<std::string>& faults) {
  const auto tile =
      static_cast<size_t>(3 * manifest.preprocessing.height * manifest.preprocessing.width);
  const GraphTensor found =
      model.encode_masked(std::span(reference.folder_pixels).first(tile), reference.seen)
          .converted(DType::kF32);
  RelativeError error;
  if (found.as_floats().size() == reference.masked.values.size()) {
    error.add(reference.masked.values, found.as_floats());
  }
  const double usual = largest_rounding(rounding.image_tokens);
  if (found.as_floats().size() != reference.masked.values.size() ||
      !(error.value() <= largest * usual)) {
    faults.insert(fmt::format(
        "image tokens of a tile that a mask leaves in part are off by {:.1e} of their size, rounding "
        "alone by up to {:.1e} without a mask: positions or masks of patches are not the "
        "checkpoint's",
        error.value(),
        usual));
  }
}

// The known wrong export: the decoder over the image alone, and a "caption" of one token for each
// image position.
void check_positions(const DecoderStep& step, int64_t image_tokens, std::set<std::string>& faults) {
  if (step.positions != 1) {
    faults.insert(
        fmt::format("the decoder gives logits for {} positions in its first call ({} of the "
                    "image), expected 1: "
                    "the next token's; read as a caption they are gibberish",
                    step.positions,
                    image_tokens));
  }
}

// Adds one fault at most: either all rows are off, or some are far off.
void check_excess(const RoundingExcess& excess,
                  double typical,
                  double largest,
                  std::string_view what,
                  std::string_view where,
                  std::vector<std::string>& faults) {
  const bool all = excess.rows() >= kManyRows && excess.typical() > typical;
  if (!all && excess.largest() <= largest) {
    return;
  }
  faults.push_back(fmt::format(
      "{} are off by up to {:.1e} of their size, rounding alone by up to {:.1e} here; {} this is "
      "{:.0f} times rounding, expected at most {:.0f}: {}",
      what,
      excess.largest_error(),
      excess.largest_rounding(),
      all ? "typically" : "at most",
      all ? excess.typical() : excess.largest(),
      all ? typical : largest,
      where));
}

void check_rounding(DtypeParity& parity, const Evidence& evidence, const Limits& limits) {
  const double typical =
      parity.images.size() >= kManyImages ? limits.typical : limits.typical_of_few;
  check_excess(evidence.image_tokens,
               typical,
               limits.largest,
               "image tokens",
               "a weight or a constant of the encoder is not the checkpoint's (norm epsilon, "
               "preprocessing?)",
               parity.faults);
  check_excess(evidence.logits,
               typical,
               limits.largest,
               "logits",
               "a weight or a constant is not the checkpoint's (adapter, rope, norm epsilon, "
               "heads?)",
               parity.faults);
}

void tell_rounding(const DtypeParity& parity, std::vector<std::string>& notes) {
  if (parity.near_ties > 0) {
    notes.push_back(fmt::format(
        "{}: {} of {} tokens are not the reference's where its lead is smaller than what rounding "
        "turns; they do not count as wrong unless a least share of matches is asked for",
        parity.dtype,
        parity.near_ties,
        parity.forced.tokens));
  }
  if (parity.dtype == "fp32" && parity.logit_rounding > kLargeRounding) {
    notes.push_back(fmt::format(
        "this checkpoint amplifies rounding: float32 alone moves logits by up to {:.1e} of their "
        "size, so that smaller mistakes cannot be told from it",
        parity.logit_rounding));
  }
  if (needs_float16(parity.dtype) && parity.logit_rounding > kLargeRounding16) {
    notes.push_back(
        fmt::format("{}: this checkpoint needs more digits: float16 alone moves logits by up to "
                    "{:.1e} of their "
                    "size, so that its captions are others; use fp32",
                    parity.dtype,
                    parity.logit_rounding));
  }
}

}  // namespace

bool needs_rounding(std::string_view dtype) {
  return requirement(dtype).rounding != nullptr;
}

bool needs_float16(std::string_view dtype) {
  return requirement(dtype).rounding == &ReferenceImage::float16;
}

ImageParity compare_image(const FolderModel& model,
                          const Manifest& manifest,
                          const ReferenceImage& reference,
                          const TokenRules& rules,
                          std::string_view dtype,
                          Evidence& evidence) {
  ImageParity parity;
  const Requirement& rule = requirement(dtype);
  const RoundingErrors none;
  const RoundingErrors& rounding = rule.rounding == nullptr ? none : reference.*rule.rounding;
  const bool measured = !rounding.logits.empty();
  parity.image = reference.image;  // or prompt, with no tokens of an image
  const GraphTensor image = model.encode(reference.folder_pixels);
  const GraphTensor prefix = image.converted(DType::kF32);
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
  parity.pooled_cosine = reference.prefix.rows == 0
                             ? 1.0
                             : cosine(pooled(reference.prefix.values, reference.prefix.cols),
                                      pooled(prefix.as_floats(), reference.prefix.cols));
  if (measured) {
    add_image_tokens(reference.prefix, prefix.as_floats(), rounding, evidence.image_tokens);
    if (!reference.seen.empty()) {
      check_masked_tile(model, manifest, reference, rounding, rule.limits.largest, evidence.faults);
    }
  }

  const std::vector<int64_t>& ids = reference.caption.ids;
  FreeRun free(model, rules);
  bool together = true;  // the free caption has been the reference's so far
  std::vector<GraphTensor> cache = model.empty_cache();
  std::span<const int64_t> input = reference.first_ids;
  for (size_t t = 0; t < ids.size(); ++t) {
    DecoderStep step = model.step(input, image, cache);
    if (t == 0) {
      check_positions(step, reference.prefix.rows, evidence.faults);
    }
    const AllowedLogits allowed =
        manifest.rules_in_graph.empty()
            ? AllowedLogits{}
            : allowed_logits(reference.caption.logits.row(static_cast<int64_t>(t)), step.logits);
    if (!allowed.fault.empty()) {
      evidence.faults.insert(allowed.fault);
    }
    const bool ruled = !allowed.wanted.empty();
    const std::span<const float> wanted =
        ruled ? std::span<const float>(allowed.wanted)
              : reference.caption.logits.row(static_cast<int64_t>(t));
    const std::span<const float> found = ruled ? allowed.found : step.logits;
    const int64_t likeliest_token = argmax_or_none(wanted);  // ids[t] unless a rule forbids it
    parity.kl.push_back(add_position(parity.forced, wanted, likeliest_token, found));
    const int64_t token = argmax_or_none(found);
    if (token < 0) {
      evidence.faults.insert("logits are not finite; a value beyond the dtype's range?");
    } else {
      if (measured) {
        evidence.logits.add(relative_logit_error(wanted, found), rounding.logits[t]);
      }
      const double turns =
          measured ? largest_rounding(rounding.logits) : evidence.logits.largest_rounding();
      if (rule.rounding != nullptr && token != likeliest_token &&
          is_near_tie(wanted, likeliest_token, token, turns)) {
        ++parity.near_ties;
      }
    }
    if (together && free.open()) {
      together = free.choose(step.logits) == ids[t];
      if (!together) {
        free.finish(image, step.cache);
      }
    }
    cache = std::move(step.cache);
    input = std::span(ids).subspan(t, 1);
  }
  if (together) {  // both end here, unless the folder stops at other tokens
    free.finish(image, cache);
  }
  parity.ids = free.take();
  parity.caption_equal = parity.ids == ids;
  return parity;
}

void judge(DtypeParity& parity,
           const Evidence& evidence,
           std::optional<double> min_match,
           std::vector<std::string>& notes) {
  const Requirement& rule = requirement(parity.dtype);
  parity.faults.assign(evidence.faults.begin(), evidence.faults.end());
  parity.required_match = min_match.value_or(rule.min_match);
  for (const ImageParity& image : parity.images) {
    merge_distance(parity.forced, image.forced);
    parity.prefix_error = std::max(parity.prefix_error, image.prefix_error);
    parity.captions_equal += image.caption_equal ? 1 : 0;
    parity.near_ties += image.near_ties;
  }
  if (rule.rounding != nullptr) {
    parity.prefix_rounding = evidence.image_tokens.largest_rounding();
    parity.prefix_excess = evidence.image_tokens.typical();
    parity.logit_rounding = evidence.logits.largest_rounding();
    parity.logit_excess = evidence.logits.typical();
    check_rounding(parity, evidence, rule.limits);
  }
  LogitDistance counted = parity.forced;
  counted.matched += min_match ? 0 : parity.near_ties;
  if (counted.match() < parity.required_match) {
    parity.faults.push_back(
        fmt::format("{} of {} tokens are the reference's, {:.2f} % are required",
                    parity.forced.matched,
                    parity.forced.tokens,
                    100.0 * parity.required_match));
  }
  parity.passed = parity.faults.empty();
  tell_rounding(parity, notes);
}

}  // namespace lorapress
