// The engines that can run graphs: a table with a row for each.
#ifndef LORAPRESS_RUNTIME_ENGINES_H_
#define LORAPRESS_RUNTIME_ENGINES_H_

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "bundles/manifest.h"
#include "runtime/engine/decoder.h"
#include "runtime/graph_choice.h"
#include "runtime/graphs/graph_session.h"

namespace lorapress {

struct Engine {
  std::string_view key;   // on the command line
  std::string_view name;  // in reports
  // The version of the library in use, as "1.32.0". Throws kRuntime where there is none.
  std::string (*version)();
  // Loads the chosen graphs of a folder whose decoder has a cache. `threads` 0 means one per core.
  // Throws kUnsupported for graphs that the engine does not know, kNotFound, kInvalidFile and kRuntime for
  // files that are missing or no graphs, kMismatch for graphs that are not the manifest's or cannot share
  // a cache.
  std::unique_ptr<Decoder> (*open)(const std::filesystem::path& folder,
                                   const Manifest& manifest,
                                   const GraphChoice& choice,
                                   unsigned threads);
  // Loads one graph, for code that examines files. Throws kUnsupported, kNotFound, kInvalidFile, kRuntime.
  std::unique_ptr<GraphSession> (*open_graph)(const GraphSource& source, unsigned threads);
};

// What every call that opens a folder takes as `engine`, beside the keys of the table: the project's own
// engine, and ONNX Runtime for graphs that it does not know. An empty wish is the same.
inline constexpr std::string_view kAutoEngine = "auto";

struct OpenedDecoder {
  const Engine* engine = nullptr;
  std::unique_ptr<Decoder> decoder;
  std::string note;  // why "auto" took another engine than the first it tried, else empty
};

// Throws kInvalidArgument for a `wish` that is neither a key nor "auto" nor empty, kUnsupported for graphs that
// no engine here runs, and as Engine::open.
OpenedDecoder open_decoder(std::string_view wish,
                           const std::filesystem::path& folder,
                           const Manifest& manifest,
                           const GraphChoice& choice,
                           unsigned threads);

struct OpenedGraph {
  const Engine* engine = nullptr;
  std::unique_ptr<GraphSession> session;
  std::string note;  // as in OpenedDecoder
};
OpenedGraph open_graph(std::string_view wish, const GraphSource& source, unsigned threads);

// Whether ONNX Runtime can be opened here.
bool has_ort();

// Throws kInvalidArgument as open_decoder().
void check_engine(std::string_view wish);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ENGINES_H_
