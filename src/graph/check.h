// The ONNX checker and strict shape inference, for a model whose weights were not written yet.
#ifndef LORAPRESS_GRAPH_CHECK_H_
#define LORAPRESS_GRAPH_CHECK_H_

#include "graph/model.h"

namespace lorapress {

// Throws kRuntime with the checker's own words. Large weights stand in as typed inputs, so the cost
// does not depend on the size of the model. ONNX cannot check nodes of com.microsoft; ONNX Runtime
// checks them when it creates a session.
void check_model(const Model& model);

// Fills value_info of the main graph with what shape inference finds, for values of bodies too.
// Types that it cannot infer stay as declared, or unknown.
void infer_types(Model& model);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_CHECK_H_
