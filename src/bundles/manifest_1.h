// Manifests of format_version 1 have no "graph_files": this is the one place that derives these facts.
// The order of preferred dtypes was up to the client.
#ifndef LORAPRESS_BUNDLES_MANIFEST_1_H_
#define LORAPRESS_BUNDLES_MANIFEST_1_H_

#include "bundles/manifest.h"

namespace lorapress {

// Manifest::graph_files, external data by the names of files: weights of <graph> lie in <graph>_data, <graph>_data_1, ...
void guess_graph_files_1(Manifest& manifest);
// The other facts, from the graphs themselves. A file that is no graph keeps the defaults; it cannot run anyway.
void read_graph_facts_1(const std::filesystem::path& folder, Manifest& manifest);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_MANIFEST_1_H_
