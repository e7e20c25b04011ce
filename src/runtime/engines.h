// The engines that can run a pressed folder's graphs: a table with a row for each.
#ifndef LORAPRESS_RUNTIME_ENGINES_H_
#define LORAPRESS_RUNTIME_ENGINES_H_

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "bundles/manifest.h"
#include "runtime/engine/decoder.h"
#include "runtime/graph_choice.h"

namespace lorapress {

struct Engine {
  std::string_view key;   // on the command line
  std::string_view name;  // in reports
  // The version of the library in use, as "1.32.0". Throws kRuntime where there is none.
  std::string (*version)();
  // Loads the chosen graphs of a folder whose decoder has a cache. `threads` 0 means one per core.
  // Throws kNotFound and kRuntime for files that are missing or no graphs, kMismatch for graphs
  // that are not the manifest's or cannot share a cache.
  std::unique_ptr<Decoder> (*open)(const std::filesystem::path& folder,
                                   const Manifest& manifest,
                                   const GraphChoice& choice,
                                   unsigned threads);
};

// The engine that captions use: the first row of the table.
const Engine& default_engine();

struct OpenedDecoder {
  const Engine* engine = nullptr;
  std::unique_ptr<Decoder> decoder;
  std::string note;  // why "auto" took another engine than the first it tried, else empty
};

// `wish` is the key of a row, "auto" for the project's own engine and ONNX Runtime where that does not know
// a graph, or empty for default_engine(). Throws kInvalidArgument for other words, and as Engine::open.
OpenedDecoder open_decoder(std::string_view wish,
                           const std::filesystem::path& folder,
                           const Manifest& manifest,
                           const GraphChoice& choice,
                           unsigned threads);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ENGINES_H_
