// Manifests of format_version 1, which do not say what "graph_files" says since 2: the one place that finds it out.
// Their order of dtypes was the client's own.
#ifndef LORAPRESS_BUNDLES_MANIFEST_1_H_
#define LORAPRESS_BUNDLES_MANIFEST_1_H_

#include "bundles/manifest.h"

namespace lorapress {

// Manifest::graph_files by the names of files: weights of <graph> lie in <graph>_data, <graph>_data_1, ...
void guess_graph_files_1(Manifest& manifest);
// The other facts, from the graphs themselves. What is no graph keeps the defaults: it cannot run either.
void read_graph_facts_1(const std::filesystem::path& folder, Manifest& manifest);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_MANIFEST_1_H_
