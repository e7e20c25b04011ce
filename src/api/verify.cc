#include "lorapress/verify.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/fail.h"
#include "base/file.h"
#include "base/staged_files.h"
#include "base/stopwatch.h"
#include "bundles/bundle.h"
#include "bundles/manifest.h"
#include "runtime/generation/generate_options.h"
#include "runtime/generation/tokenizer.h"
#include "runtime/graph_choice.h"
#include "runtime/preprocess.h"
#include "verify/folder_check.h"
#include "verify/graph_claims.h"
#include "verify/layer_errors.h"
#include "verify/parity.h"
#include "verify/report/pictures.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMeasuredImages = 16;  // used to measure rounding
constexpr size_t kProbedImages = 4;     // used for the error per layer
constexpr size_t kThumbnails = 100;     // on a page
constexpr int64_t kThumbnailSide = 224;

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
        manifest_(read_manifest(options.model)) {
    if (!has_cross_attention(checkpoint_)) {
      require_prefix_vlm(
          checkpoint_,
          fmt::format(
              "; pass the vision-language checkpoint that {} was made from, or options.base DIR "
              "with the rest",
              options.model.string()));
    }
    require_layout();
    check_ = check_folder(options.model, manifest_, checkpoint_);
    report_.notes = checkpoint_.notes;
    std::ranges::copy(check_.notes, std::back_inserter(report_.notes));
    report_.faults = check_.faults;
    report_.max_new_tokens = new_tokens();
    folder_rules_ = rules(manifest_.generation, manifest_.eos_token_ids);
    checkpoint_rules_ = rules(check_.generation, check_.tokens.eos_token_ids);
    note_search();
    choose_dtypes();
    pictures_ = options.images.empty() ? drawn_pictures()
                                       : pictures_of_folder(options.images, report_.notes);
    tokenizer_.emplace(Tokenizer::from_file(options.model / "tokenizer.json"));
    reference_.emplace(
        checkpoint_,
        ReferenceOptions{
            options.threads, check_.tokens.decoder_start_token_id, [this] { tell("reference"); }});
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
    for (DtypeParity& dtype : report_.dtypes) {
      judge(dtype, evidence_[dtype.dtype], options_.min_match, report_.notes);
      report_.passed = report_.passed && dtype.passed;
    }
    return std::move(report_);
  }

 private:
  void require_layout() const {
    if (manifest_.bundle != kTransformersJs.name) {
      fail(ErrorCode::kUnsupported,
           "{}: is a bundle \"{}\", verify runs \"{}\"; press the checkpoint as that one",
           options_.model.string(),
           manifest_.bundle,
           kTransformersJs.name);
    }
  }

  [[nodiscard]] int64_t new_tokens() const {
    const int64_t room = checkpoint_.text->max_position_embeddings - positions_before();
    const int64_t wanted =
        options_.max_new_tokens > 0 ? options_.max_new_tokens : manifest_.max_new_tokens;
    if (wanted > room) {
      fail(ErrorCode::kInvalidArgument,
           "{} image tokens and {} new tokens do not fit the decoder's {} positions; lower "
           "options.max_new_tokens",
           manifest_.image_tokens,
           wanted,
           checkpoint_.text->max_position_embeddings);
    }
    return wanted;
  }

  [[nodiscard]] TokenRules rules(GenerationSettings settings,
                                 const std::vector<int64_t>& eos_token_ids) const {
    settings.max_new_tokens = report_.max_new_tokens;
    TokenRules found =
        token_rules(settings, {eos_token_ids, manifest_.vocab_size, 0, positions_before()});
    if (manifest_.cross()) {
      found.before = {manifest_.decoder_start_token_id};
    }
    return found;
  }

  // What stands before the first new token: the image, or with cross attention the start token.
  [[nodiscard]] int64_t positions_before() const {
    return manifest_.cross() ? 1 : manifest_.image_tokens;
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

  // In the order of the command line, else the folder's default first.
  void choose_dtypes() {
    std::vector<std::string> names = options_.dtypes;
    if (names.empty()) {
      names.push_back(manifest_.default_dtype);
      for (const auto& [name, files] : manifest_.graphs) {
        names.push_back(name);
      }
    }
    std::set<std::string> seen;
    for (const std::string& name : names) {
      if (!seen.insert(name).second) {
        continue;
      }
      for (const char* role : {"encoder", "decoder"}) {
        graph_file(manifest_, options_.model, name, role);
      }
      DtypeParity parity;
      parity.dtype = name;
      parity.bytes = dtype_bytes(manifest_, name);
      std::ranges::move(false_graph_claims(options_.model, manifest_, name),
                        std::back_inserter(report_.faults));
      report_.dtypes.push_back(std::move(parity));
    }
  }

  void tell(std::string_view phase) const {
    if (options_.progress) {
      options_.progress({phase, report_.images.size() - group_, pictures_.size()});
    }
  }

  // How many images the reference takes at once: about 2000 positions, 128 MB of logits in each of
  // two forwards.
  [[nodiscard]] size_t group_size() const {
    constexpr int64_t kPositions = 2048;
    constexpr int64_t kLogits = int64_t{1} << 25;
    const int64_t length = manifest_.image_tokens + report_.max_new_tokens;
    const int64_t logits = manifest_.vocab_size * report_.max_new_tokens;
    return static_cast<size_t>(
        std::clamp<int64_t>(std::min(kPositions / length, kLogits / logits), 1, 64));
  }

  // Reads images until a group is full; returns the index of the next one.
  size_t run_group(size_t next) {
    const Stopwatch watch;
    std::vector<ReferenceImage> group;
    for (const size_t most = group_size(); next < pictures_.size() && group.size() < most; ++next) {
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
    for (DtypeParity& dtype : report_.dtypes) {
      compare(group, probe, dtype);
    }
    group_ = 0;
    return next;
  }

  void read_image(const Picture& picture, std::vector<ReferenceImage>& group) {
    VerifyImage entry;
    entry.name = picture.name;
    try {
      const Image image = picture.load();
      ReferenceImage made;
      made.image = report_.images.size();
      made.checkpoint_pixels = preprocess(image, check_.preprocessing);
      made.folder_pixels = preprocess(image, manifest_.preprocessing);
      entry.pixel_difference = largest_difference(made.checkpoint_pixels, made.folder_pixels);
      if (!options_.html.empty() && report_.images.size() < kThumbnails) {
        entry.thumbnail = png_data_uri(image, kThumbnailSide);
      }
      group.push_back(std::move(made));
    } catch (const Error& error) {
      entry.error = error.what();
      ++report_.unreadable_images;
    }
    report_.images.push_back(std::move(entry));
  }

  // The reference's own captions, and where rounding is measured its image tokens and logits in
  // float64 with the distances of the other forwards from them.
  void describe(std::vector<ReferenceImage>& group) {
    std::vector<std::vector<float>> pixels;
    for (const ReferenceImage& image : group) {
      pixels.push_back(image.checkpoint_pixels);
    }
    std::vector<Rows> prefixes = reference_->encode(pixels);
    std::vector<ReferenceCaption> captions = reference_->greedy(
        prefixes,
        report_.max_new_tokens,
        check_.tokens.eos_token_ids,
        [this](std::span<const int64_t> generated, std::span<const float> logits) {
          return likeliest(checkpoint_rules_, generated, logits);
        });
    for (size_t i = 0; i < group.size(); ++i) {
      VerifyImage& entry = report_.images[group[i].image];
      entry.ids = captions[i].ids;
      entry.text = tokenizer_->decode(entry.ids);
      group[i].prefix = std::move(prefixes[i]);
      group[i].caption = std::move(captions[i]);
    }
    measure_rounding(std::move(pixels), group);
  }

  // Measures on the first images only: more would add no information about the weights.
  void measure_rounding(std::vector<std::vector<float>> pixels,
                        std::span<ReferenceImage> group) const {
    const auto rest = std::ranges::find_if(
        group, [](const ReferenceImage& image) { return image.image >= kMeasuredImages; });
    group = group.first(static_cast<size_t>(rest - group.begin()));
    if (group.empty() ||
        std::ranges::none_of(report_.dtypes, needs_rounding, &DtypeParity::dtype)) {
      return;
    }
    pixels.resize(group.size());
    std::vector<std::vector<int64_t>> ids;
    for (const ReferenceImage& image : group) {
      ids.push_back(image.caption.ids);
    }
    ForcedPass exact = reference_->forced(pixels, ids, Arithmetic::kFloat64);
    for (size_t i = 0; i < group.size(); ++i) {
      ReferenceImage& image = group[i];
      image.float32 =
          rounding_of(exact.prefixes[i], exact.logits[i], image.prefix, image.caption.logits);
      image.prefix = std::move(exact.prefixes[i]);
      image.caption.logits = std::move(exact.logits[i]);
    }
    if (std::ranges::any_of(report_.dtypes, needs_float16, &DtypeParity::dtype)) {
      const ForcedPass half = reference_->forced(pixels, ids, Arithmetic::kFloat16);
      for (size_t i = 0; i < group.size(); ++i) {
        ReferenceImage& image = group[i];
        image.float16 =
            rounding_of(image.prefix, image.caption.logits, half.prefixes[i], half.logits[i]);
      }
    }
  }

  void compare(const std::vector<ReferenceImage>& group,
               const std::optional<LayerProbe>& probe,
               DtypeParity& dtype) {
    const Stopwatch watch;
    {
      const FolderModel model(options_.model, manifest_, dtype.dtype, options_.threads);
      for (const ReferenceImage& image : group) {
        tell(dtype.dtype);
        dtype.images.push_back(compare_image(
            model, manifest_, image, folder_rules_, dtype.dtype, evidence_[dtype.dtype]));
        dtype.images.back().text = tokenizer_->decode(dtype.images.back().ids);
      }
    }
    if (probe) {
      dtype.layers = probe->measure(options_.model, manifest_, dtype.dtype, options_.threads);
    }
    dtype.seconds += watch.seconds();
  }

  const VerifyOptions& options_;
  Checkpoint checkpoint_;
  Manifest manifest_;
  FolderCheck check_;
  TokenRules folder_rules_;
  TokenRules checkpoint_rules_;
  VerifyReport report_;
  std::vector<Picture> pictures_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<ReferenceModel> reference_;
  std::map<std::string, Evidence> evidence_;  // by dtype
  size_t group_ = 0;                          // images that are being worked on
  bool probed_ = false;
};

void check_options(const VerifyOptions& options) {
  if (options.max_new_tokens < 0 || options.max_new_tokens > 1 << 20) {
    fail(ErrorCode::kInvalidArgument,
         "options.max_new_tokens {}, expected 1 to {}",
         options.max_new_tokens,
         1 << 20);
  }
  if (options.min_match && !(*options.min_match >= 0.0 && *options.min_match <= 1.0)) {
    fail(ErrorCode::kInvalidArgument,
         "options.min_match {}, expected a share from 0 to 1",
         *options.min_match);
  }
  if (options.html.empty()) {
    return;
  }
  const fs::path folder = options.html.has_parent_path() ? options.html.parent_path() : ".";
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound, "{}: no such folder for the page", folder.string());
  }
  if (fs::exists(fs::symlink_status(options.html)) &&
      (!options.force || !fs::is_regular_file(options.html))) {
    fail(ErrorCode::kExists,
         "{}: exists already; choose another name or replace a file with options.force",
         options.html.string());
  }
}

}  // namespace

VerifyReport verify(const VerifyOptions& options) {
  return with_file_errors([&] {
    check_options(options);
    VerifyReport report = Verifier(options).run();
    if (!options.html.empty()) {
      StagedFiles staged(options.html, options.force);
      std::ranges::copy(staged.notes(), std::back_inserter(report.notes));
      const std::string title = options.model.filename().empty()
                                    ? options.model.parent_path().filename().string()
                                    : options.model.filename().string();
      staged.fill([&](const fs::path& path) {
        write_text(path, verify_page(report, title));
        return 0;
      });
    }
    return report;
  });
}

}  // namespace lorapress
