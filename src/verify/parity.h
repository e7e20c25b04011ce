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

// What the reference makes of one image.
struct ReferenceImage {
  size_t image = 0;  // index in VerifyReport::images
  std::vector<float> checkpoint_pixels;
  std::vector<float> folder_pixels;
  Rows prefix;               // of the float64 forward where rounding is measured, as the logits
  ReferenceCaption caption;  // chosen by the float32 one
  RoundingErrors float32;    // what rounding costs here; empty where it is not measured
  RoundingErrors float16;    // empty unless a dtype is judged by it
};

// What speaks for and against a dtype, gathered image by image.
struct Evidence {
  std::set<std::string> faults;  // beside numbers
  RoundingExcess image_tokens;   // without rows for dtypes that are only measured
  RoundingExcess logits;
};

// Whether a dtype is judged by what rounding costs, and by that of float16.
bool needs_rounding(std::string_view dtype);
bool needs_float16(std::string_view dtype);

// Forces the reference's caption on the file, step by step with its cache as a client would, and
// lets it run freely, by the rules, from where it first leaves it.
ImageParity compare_image(const FolderModel& model,
                          const Manifest& manifest,
                          const ReferenceImage& reference,
                          const TokenRules& rules,
                          std::string_view dtype,
                          Evidence& evidence);

// Adds the images up, decides whether the dtype passes, and says why not; what a reader should know
// of one that does goes to `notes`.
void judge(DtypeParity& parity,
           const Evidence& evidence,
           std::optional<double> min_match,
           std::vector<std::string>& notes);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_PARITY_H_
