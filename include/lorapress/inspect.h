// Says what a path is: a checkpoint, an adapter, a LoraPress folder or an ONNX file.
#ifndef LORAPRESS_INSPECT_H_
#define LORAPRESS_INSPECT_H_

#include <filesystem>
#include <string>

#include "lorapress/error.h"

namespace lorapress {

// A JSON object: "kind" (checkpoint | adapter | bundle | onnx | safetensors), "path", "bytes",
// "parameters", "dtypes" {name: bytes}, and further keys for some kinds: "family" (a checkpoint's model
// type), "bundles" (those that it can be pressed to), "adapters", "vision", "text", "graphs",
// "operators", "inputs", "outputs". Reads headers only. Throws Error.
std::string inspect(const std::filesystem::path& path);

}  // namespace lorapress

#endif  // LORAPRESS_INSPECT_H_
