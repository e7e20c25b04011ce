// One dtype of a folder against the reference, image by image.
#ifndef LORAPRESS_VERIFY_PARITY_H_
#define LORAPRESS_VERIFY_PARITY_H_

#include <set>
#include <span>

#include "lorapress/verify.h"

#include "runtime/generation/sampling.h"
#include "verify/folder_model.h"
#include "verify/reference.h"
#include "verify/rounding_errors.h"

namespace lorapress {

// The reference's results for one image.
struct ReferenceImage {
  size_t image = 0;  // index in VerifyReport::images
  std::vector<float> checkpoint_pixels;
  std::vector<float> folder_pixels;
  ReferencePrompt prompt;          // of the reference; without ids for prefix models
  std::vector<int64_t> first_ids;  // of the folder's first call
  std::vector<uint8_t> seen;       // of its first tile under a mask; empty: not compared
  Rows masked;                     // that tile's tokens, from the float64 forward
  Rows prefix;  // from the float64 forward where rounding is measured; so are the logits
  ReferenceCaption caption;  // chosen by the float32 forward
  RoundingErrors float32;    // errors of rounding for this image; empty where not measured
  RoundingErrors float16;    // empty unless a dtype is judged by it
};

// The evidence about a dtype, gathered image by image.
struct Evidence {
  std::set<std::string> faults;  // other than numeric distances
  RoundingExcess image_tokens;   // without rows for dtypes that are only measured
  RoundingExcess logits;
};

// Whether a dtype is judged by the errors of rounding, and whether by those of float16.
bool needs_rounding(std::string_view dtype);
bool needs_float16(std::string_view dtype);

// Forces the reference's caption on the file, step by step with its cache as a client would, and
// lets it run freely, by the rules, from where it first leaves it. Where there is a mask, compares that
// tile, too. Where the reference's logits have forbidden tokens
// (rules inside the decoder, reference_rules.h), the file has to forbid the same.
ImageParity compare_image(const FolderModel& model,
                          const Manifest& manifest,
                          const ReferenceImage& reference,
                          const TokenRules& rules,
                          std::string_view dtype,
                          Evidence& evidence);

// Adds the images up, decides whether the dtype passes, and says why not; remarks on a dtype that
// passes go to `notes`.
void judge(DtypeParity& parity,
           const Evidence& evidence,
           std::optional<double> min_match,
           std::vector<std::string>& notes);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_PARITY_H_
