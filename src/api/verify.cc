#include "lorapress/verify.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "api/verify_input.h"
#include "api/verify_outputs.h"
#include "api/verify_rows.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/stopwatch.h"
#include "bundles/manifest.h"
#include "runtime/generation/generate_options.h"
#include "runtime/generation/tokenizer.h"
#include "verify/caption_quality.h"
#include "verify/folder_check.h"
#include "verify/image_results.h"
#include "verify/layer_errors.h"
#include "verify/model_inputs.h"
#include "verify/parity.h"
#include "verify/prompts.h"
#include "verify/reference_rules.h"
#include "verify/report/pictures.h"
#include "verify/trace.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr size_t kProbedImages = 4;  // used for the error per layer
constexpr size_t kThumbnails = 100;  // on a page
constexpr int64_t kThumbnailSide = 224;

// How many images the reference takes at once: about 2000 positions, 128 MB of logits in each of two forwards.
constexpr size_t kMostImages = 64;
constexpr int64_t kMostPositions = 2048;
constexpr int64_t kMostLogits = int64_t{1} << 25;

double largest_difference(std::span<const float> left, std::span<const float> right) {
  double most = 0.0;
  for (size_t i = 0; i < left.size(); ++i) {
    most = std::max(most, std::fabs(static_cast<double>(left[i]) - static_cast<double>(right[i])));
  }
  return most;
}

// Everything of one run. Images are taken in groups: the reference goes over its weights once per
// group, and its logits are kept for one group only.
class Verifier {
 public:
  explicit Verifier(const VerifyOptions& options)
      : options_(options),
        checkpoint_(open_checkpoint(options.source)),
        manifest_(read_manifest(options.model)),
        rules_in_graph_(manifest_.generation, manifest_.rules_in_graph, manifest_.eos_token_ids) {
    require_verifiable(options, manifest_, checkpoint_);
    if (!options.trace.empty()) {
      trace_.emplace(options, manifest_);
    }
    check_ = check_folder(options.model, manifest_, checkpoint_);
    report_.notes = checkpoint_.notes;
    std::ranges::copy(check_.notes, std::back_inserter(report_.notes));
    report_.faults = check_.faults;
    report_.max_new_tokens = new_tokens();
    note_search();
    report_.dtypes = verify_rows(options, manifest_, report_.faults);
    evidence_.resize(report_.dtypes.size());
    pictures_ = inputs();
    tokenizer_.emplace(Tokenizer::from_file(options.model / "tokenizer.json"));
    inputs_.emplace(options.model, manifest_, checkpoint_, check_.files, check_.preprocessing);
    reference_.emplace(checkpoint_,
                       ReferenceOptions{options.threads,
                                        check_.files.tokens.decoder_start_token_id,
                                        [this] { tell("reference"); }});
  }

  VerifyReport run() {
    for (size_t first = 0; first < pictures_.size();) {
      first = run_group(first);
    }
    if (report_.unreadable_images == std::ssize(pictures_)) {
      fail(ErrorCode::kInvalidArgument,
           "{}: no file here can be read as an image; the first: {}",
           options_.images.string(),
           report_.images[0].error);
    }
    report_.passed = report_.faults.empty() && report_.unreadable_images == 0;
    for (size_t i = 0; i < report_.dtypes.size(); ++i) {
      judge(report_.dtypes[i], evidence_[i], options_.min_match, report_.notes);
      report_.passed = report_.passed && report_.dtypes[i].passed;
    }
    if (trace_) {
      report_.trace = trace_->finish(pictures_, report_);
    }
    return std::move(report_);
  }

 private:
  // Of a decoder alone by default so many that prompts fit, too.
  [[nodiscard]] int64_t new_tokens() const {
    constexpr int64_t kTextTokens = 32;
    const int64_t usual =
        takes_images(manifest_)
            ? manifest_.max_new_tokens
            : std::min(
                  {manifest_.max_new_tokens, kTextTokens, manifest_.max_position_embeddings / 2});
    const int64_t wanted = options_.max_new_tokens > 0 ? options_.max_new_tokens : usual;
    require_room(manifest_.cross() ? 1 : manifest_.image_tokens, wanted);
    return wanted;
  }

  void require_room(int64_t before, int64_t wanted) const {
    const int64_t positions = checkpoint_.text->max_position_embeddings;
    if (wanted > positions - before) {
      fail(ErrorCode::kInvalidArgument,
           "{} {} tokens and {} new tokens do not fit the decoder's {} positions; lower "
           "options.max_new_tokens",
           before,
           takes_images(manifest_) ? "image" : "prompt",
           wanted,
           positions);
    }
  }

  // Those of the folder, or of the checkpoint.
  [[nodiscard]] TokenRules rules(bool folder, const ReferenceImage& image) const {
    GenerationSettings settings = folder ? manifest_.generation : check_.generation;
    if (folder) {
      settings.num_beams = 1;  // captions here are greedy
      leave_rules_to_graph({}, manifest_.generation, manifest_.rules_in_graph, settings);
    }
    settings.max_new_tokens = report_.max_new_tokens;
    const std::vector<int64_t>& eos =
        folder ? manifest_.eos_token_ids : check_.files.tokens.eos_token_ids;
    TokenRules made = token_rules(settings, {eos, manifest_.vocab_size, 0, positions_of(image)});
    made.before = image.prompt.ids;
    if (manifest_.cross()) {
      made.before = {manifest_.decoder_start_token_id};
    }
    return made;
  }

  void note_search() {
    const GenerationSettings& settings = manifest_.generation;
    const int64_t beams = settings.num_beams.value_or(1);
    if (beams > 1 || settings.do_sample.value_or(false)) {
      report_.notes.push_back(
          fmt::format("the captions here are greedy, by the folder's rules; its {} is not compared",
                      beams > 1 ? fmt::format("search with {} beams", beams) : "sampling"));
    }
  }

  // Images, or of a decoder alone prompts.
  [[nodiscard]] std::vector<Picture> inputs() {
    if (!takes_images(manifest_)) {
      return prompts_of_file(options_.prompts);
    }
    return options_.images.empty() ? drawn() : pictures_of_folder(options_.images, report_.notes);
  }

  // Of models that cut an image into many tiles a few are enough: each takes as long as ten images of others.
  [[nodiscard]] std::vector<Picture> drawn() const {
    constexpr size_t kCut = 2;
    std::vector<Picture> pictures = drawn_pictures();
    const auto& splitting = check_.preprocessing.splitting;
    if (splitting && splitting->enabled) {
      pictures.resize(std::min(kCut, pictures.size()));
    }
    return pictures;
  }

  void tell(std::string_view phase) const {
    if (options_.progress) {
      options_.progress({phase, report_.images.size() - group_, pictures_.size()});
    }
  }

  // Whether another image like the last one fits into the group.
  [[nodiscard]] bool has_room(const std::vector<ReferenceImage>& group) const {
    int64_t positions = 0;
    for (const ReferenceImage& image : group) {
      positions += positions_of(image) + report_.max_new_tokens;
    }
    const auto images = static_cast<int64_t>(group.size());
    const int64_t logits = manifest_.vocab_size * report_.max_new_tokens;
    return group.empty() ||
           (group.size() < kMostImages && positions / images * (images + 1) <= kMostPositions &&
            logits * (images + 1) <= kMostLogits);
  }

  // Reads images until a group is full; returns the index of the next one.
  size_t run_group(size_t next) {
    const Stopwatch watch;
    std::vector<ReferenceImage> group;
    for (; next < pictures_.size() && has_room(group); ++next) {
      read_image(pictures_[next], group);
    }
    if (group.empty()) {
      return next;
    }
    group_ = group.size();
    describe(group);
    report_.reference_seconds += watch.seconds();
    std::optional<LayerProbe> probe;
    if (options_.layers && !probed_) {
      probe.emplace(
          *reference_, checkpoint_, std::span(group).first(std::min(group.size(), kProbedImages)));
      probed_ = true;
    }
    for (size_t i = 0; i < report_.dtypes.size(); ++i) {
      compare(group, probe, report_.dtypes[i], evidence_[i]);
    }
    group_ = 0;
    return next;
  }

  void read_image(const Picture& picture, std::vector<ReferenceImage>& group) {
    VerifyImage entry;
    entry.name = picture.name;
    try {
      const Image image = picture.load ? picture.load() : Image();
      ModelInputs::OfImage inputs = picture.load ? inputs_->of(image) : inputs_->of(picture.name);
      ReferenceImage made;
      made.image = report_.images.size();
      made.checkpoint_pixels = std::move(inputs.checkpoint_pixels);
      made.folder_pixels = std::move(inputs.folder_pixels);
      made.prompt = std::move(inputs.prompt);
      made.first_ids = std::move(inputs.first_ids);
      made.seen = made.image == 0 ? inputs_->part_of_tile() : std::vector<uint8_t>();
      add_fault(inputs.fault);
      entry.pixel_difference = largest_difference(made.checkpoint_pixels, made.folder_pixels);
      if (picture.load && !options_.html.empty() && report_.images.size() < kThumbnails) {
        entry.thumbnail = png_data_uri(image, kThumbnailSide);
      }
      group.push_back(std::move(made));
    } catch (const Error& error) {
      entry.error = error.what();
      ++report_.unreadable_images;
    }
    report_.images.push_back(std::move(entry));
  }

  void add_fault(const std::string& fault) {
    if (!fault.empty() && std::ranges::find(report_.faults, fault) == report_.faults.end()) {
      report_.faults.push_back(fault);
    }
  }

  [[nodiscard]] int64_t positions_of(const ReferenceImage& image) const {
    return manifest_.cross()          ? 1  // the start token
           : image.prompt.ids.empty() ? manifest_.image_tokens
                                      : std::ssize(image.prompt.ids);
  }

  // The decoder's logits are those behind its rules, so the reference's have to be.
  void apply_rules_of_graph(ReferenceImage& image) const {
    if (!rules_in_graph_.any()) {
      return;
    }
    std::vector<int64_t> ids = rules(true, image).before;
    for (size_t t = 0; t < image.caption.ids.size(); ++t) {
      rules_in_graph_.apply(ids, image.caption.logits.row(static_cast<int64_t>(t)));
      ids.push_back(image.caption.ids[t]);
    }
  }

  void describe(std::vector<ReferenceImage>& group) {
    for (const ReferenceImage& image : group) {
      require_room(positions_of(image), report_.max_new_tokens);
    }
    const auto& dtypes = report_.dtypes;
    run_reference({*reference_,
                   report_.max_new_tokens,
                   check_.files.tokens.eos_token_ids,
                   [this](const ReferenceImage& image) { return rules(false, image); },
                   std::ranges::any_of(dtypes, needs_rounding, &DtypeParity::dtype),
                   std::ranges::any_of(dtypes, needs_float16, &DtypeParity::dtype)},
                  group);
    for (ReferenceImage& image : group) {
      apply_rules_of_graph(image);
      if (trace_) {
        trace_->add(image);
      }
      VerifyImage& entry = report_.images[image.image];
      entry.ids = image.caption.ids;
      entry.text = tokenizer_->decode(entry.ids);
    }
  }

  void compare(const std::vector<ReferenceImage>& group,
               const std::optional<LayerProbe>& probe,
               DtypeParity& dtype,
               Evidence& evidence) {
    const Stopwatch watch;
    {
      const std::unique_ptr<FolderModel> model =
          open_row(options_, manifest_, dtype, report_.notes);
      for (const ReferenceImage& image : group) {
        tell(dtype.name);
        dtype.images.push_back(
            compare_image(*model, manifest_, image, rules(true, image), dtype.dtype, evidence));
        dtype.images.back().text = tokenizer_->decode(dtype.images.back().ids);
      }
    }
    if (probe) {
      dtype.layers =
          probe->measure(options_.model, manifest_, {dtype.dtype, dtype.engine, options_.threads});
    }
    dtype.seconds += watch.seconds();
  }

  const VerifyOptions& options_;
  Checkpoint checkpoint_;
  Manifest manifest_;
  ReferenceRules rules_in_graph_;
  FolderCheck check_;
  VerifyReport report_;
  std::vector<Picture> pictures_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<ModelInputs> inputs_;
  std::optional<ReferenceModel> reference_;
  std::optional<TraceWriter> trace_;
  std::vector<Evidence> evidence_;  // of each row
  size_t group_ = 0;                // images that are being worked on
  bool probed_ = false;
};

}  // namespace

VerifyReport verify(const VerifyOptions& options) {
  return with_file_errors([&] {
    check_verify_options(options);
    check_outputs(options);
    const std::optional<CaptionFile> references = read_references(options);
    VerifyReport report = Verifier(options).run();
    if (references) {
      add_caption_quality(options, *references, report);
    }
    write_outputs(options, report);
    return report;
  });
}

}  // namespace lorapress
