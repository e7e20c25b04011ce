// Brings a model that was read into the form that Model's contract requires: one table of weights,
// unique names.
#ifndef LORAPRESS_GRAPH_READ_SCOPES_H_
#define LORAPRESS_GRAPH_READ_SCOPES_H_

#include "graph/model.h"
#include "graph/read_tensors.h"

namespace lorapress {

// - Initializers, of bodies too, become weights of the main graph; so do Constant nodes of floats
//   and of more than kSmallTensor bytes (smaller shapes and axes stay nodes, where shape inference
//   can see them).
// - Names that bodies share with anything else get a number behind them. Names of the main graph
//   stay.
// - An initializer that is also an input of the main graph stays the default of that input if
//   `defaults` is set, and is a constant otherwise: the input goes.
// - A body that gives out a value from outside itself gives out an Identity of it, as ONNX wants.
// Throws kInvalidFile for names that no node produces, that are produced twice, or that are read
// before they are produced.
void resolve_scopes(Model& model, TensorReader& tensors, bool defaults);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_READ_SCOPES_H_
