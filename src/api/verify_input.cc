#include "api/verify_input.h"

#include "api/verify_rows.h"
#include "base/fail.h"
#include "bundles/bundle.h"
#include "bundles/layout.h"

namespace lorapress {
namespace {

void require_checkpoint(const VerifyOptions& options,
                        const Manifest& manifest,
                        const Checkpoint& checkpoint) {
  if (!takes_images(manifest)) {
    if (checkpoint.vision || !checkpoint.text) {
      fail(ErrorCode::kMismatch,
           "{}: is a decoder alone, the checkpoint {} is not",
           options.model.string(),
           checkpoint.folder.string());
    }
    return;
  }
  const CompositeModelType* composite = checkpoint.composite;
  if (composite == nullptr || composite->conditioning == Conditioning::kPrefix) {
    require_prefix_vlm(
        checkpoint,
        fmt::format(
            "; pass the vision-language checkpoint that {} was made from, or options.base DIR "
            "with the rest",
            options.model.string()));
  }
}

void require_layout(const VerifyOptions& options, const Manifest& manifest) {
  const std::string& bundle = manifest.bundle;
  if (!has_transformers_js_layout(bundle) && bundle != kLlava.name && bundle != kSmolvlm.name &&
      bundle != kTextGeneration.name) {
    fail(
        ErrorCode::kUnsupported,
        "{}: is a bundle \"{}\", verify runs \"{}\", \"{}\", \"{}\" and \"{}\"; press it as one of these",
        options.model.string(),
        bundle,
        kTransformersJs.name,
        kLlava.name,
        kSmolvlm.name,
        kTextGeneration.name);
  }
}

}  // namespace

void check_verify_options(const VerifyOptions& options) {
  check_verify_engine(options.engine);
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
  const bool text = !takes_images(read_manifest(options.model));
  if (text && !(options.images.empty() && options.references.empty() && options.trace.empty())) {
    fail(ErrorCode::kInvalidArgument,
         "{}: is a decoder alone; leave out options.images, options.references and options.trace, "
         "options.prompts is what it continues",
         options.model.string());
  }
  if (!text && !options.prompts.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: takes images, leave out options.prompts; options.images is what it captions",
         options.model.string());
  }
}

void require_verifiable(const VerifyOptions& options,
                        const Manifest& manifest,
                        const Checkpoint& checkpoint) {
  require_checkpoint(options, manifest, checkpoint);
  require_layout(options, manifest);
}

}  // namespace lorapress
