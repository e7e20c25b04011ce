// Compares "graph_files" of lorapress.json with the .onnx files. Shares nothing with the code that writes
// "graph_files" (bundles/graph_files.cc): that code goes from ports to their readers, this one from nodes to ports.
#ifndef LORAPRESS_VERIFY_GRAPH_CLAIMS_H_
#define LORAPRESS_VERIFY_GRAPH_CLAIMS_H_

#include <filesystem>
#include <string>
#include <vector>

#include "bundles/manifest.h"

namespace lorapress {

// One line for every claim about a graph of this dtype that does not hold, and for a graph that cannot be read.
// A manifest of version 1 claims nothing. REQUIRES: the folder has the dtype.
std::vector<std::string> false_graph_claims(const std::filesystem::path& folder,
                                            const Manifest& manifest,
                                            const std::string& dtype);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_GRAPH_CLAIMS_H_
