#include "bundles/manifest_1.h"

#include "base/fail.h"
#include "graph/read_proto.h"

namespace lorapress {

void guess_graph_files_1(Manifest& manifest) {
  for (const auto& [dtype, roles] : manifest.graphs) {
    for (const auto& [role, graph] : roles) {
      const auto [facts, added] = manifest.graph_files.try_emplace(graph);
      for (const ManifestFile& file : manifest.files) {
        if (added && file.path.starts_with(graph + "_data")) {
          facts->second.external_data.push_back(file.path);
        }
      }
    }
  }
}

void read_graph_facts_1(const std::filesystem::path& folder, Manifest& manifest) {
  for (auto& [path, facts] : manifest.graph_files) {
    try {
      GraphFile found = graph_facts(read_slim(folder / path, /*numbers=*/false).proto.graph());
      found.external_data = std::move(facts.external_data);
      facts = std::move(found);
    } catch (const Error&) {
      continue;
    }
  }
}

}  // namespace lorapress
