// One dtype of a folder against the reference, image by image.
#ifndef LORAPRESS_VERIFY_PARITY_H_
#define LORAPRESS_VERIFY_PARITY_H_

#include <set>
#include <span>

#include "lorapress/verify.h"

#include "runtime/sampling.h"
#include "verify/folder_model.h"
#include "verify/reference.h"

namespace lorapress {

// What the reference makes of one image.
struct ReferenceImage {
  size_t image = 0;  // index in VerifyReport::images
  std::vector<float> checkpoint_pixels;
  std::vector<float> folder_pixels;
  Rows prefix;
  ReferenceCaption caption;
};

// Forces the reference's caption on the file, step by step with its cache as a client would, and
// lets it run freely, by the rules, from where it first leaves it. What is wrong beside numbers
// goes to `faults`, once each.
ImageParity compare_image(const FolderModel& model,
                          const Manifest& manifest,
                          const ReferenceImage& reference,
                          const TokenRules& rules,
                          std::set<std::string>& faults);

// Adds the images up, decides whether the dtype passes, and says why not.
void judge(DtypeParity& parity, std::optional<double> min_match);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_PARITY_H_
