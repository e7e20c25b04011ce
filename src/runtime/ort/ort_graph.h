// A graph in ONNX Runtime, as any client calls it.
#ifndef LORAPRESS_RUNTIME_ORT_ORT_GRAPH_H_
#define LORAPRESS_RUNTIME_ORT_ORT_GRAPH_H_

#include <memory>

#include "runtime/graphs/graph_session.h"

namespace lorapress {

// Throws as OrtSession.
std::unique_ptr<GraphSession> open_ort_graph(const GraphSource& source, unsigned threads);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ORT_ORT_GRAPH_H_
