// Convolutions that cut an image into patches, as products with a constant matrix.
#ifndef LORAPRESS_REWRITE_PATCHIFY_H_
#define LORAPRESS_REWRITE_PATCHIFY_H_

#include "graph/model.h"

namespace lorapress {

// Replaces every two-dimensional Conv with strides equal to its kernel, no padding, group or
// dilation, a constant kernel and a known image size that the kernel divides. What quantizes
// products then quantizes patch embeddings too.
void convolutions_to_products(Model& model);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_PATCHIFY_H_
