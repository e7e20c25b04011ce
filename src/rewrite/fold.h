// Folds the nodes that exporters leave between a weight and the layer that reads it.
#ifndef LORAPRESS_REWRITE_FOLD_H_
#define LORAPRESS_REWRITE_FOLD_H_

#include "graph/model.h"

namespace lorapress {

// Folds Identity, Transpose, Cast and Reshape of weights into the weights, which stay lazy and keep
// their names, so that a pass finds a matrix where a MatMul reads one. Nothing is stored twice: a
// weight that is read in two forms is not changed, but a MatMul with the transpose of a shared
// weight (a tied embedding) becomes a Gemm with transB.
void fold_weights(Model& model);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_FOLD_H_
