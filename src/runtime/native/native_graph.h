// A graph in the project's own engine, as any client calls it.
#ifndef LORAPRESS_RUNTIME_NATIVE_NATIVE_GRAPH_H_
#define LORAPRESS_RUNTIME_NATIVE_NATIVE_GRAPH_H_

#include <filesystem>
#include <memory>

#include "runtime/graphs/graph_session.h"

namespace lorapress {

// Loaded, or run piece by piece where source.most_weights asks for that. float16 ports are float32 here, as everything
// that the engine computes. `threads` 0 means one per core. Throws as NativeSession.
std::unique_ptr<GraphSession> open_native_graph(const GraphSource& source, unsigned threads);

// Throws as NativeSession for a graph that the engine would not load; reads no weights.
void check_native_graph(const std::filesystem::path& file);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_NATIVE_NATIVE_GRAPH_H_
