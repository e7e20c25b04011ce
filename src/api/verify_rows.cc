#include "api/verify_rows.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/fail.h"
#include "runtime/engines.h"
#include "runtime/graph_choice.h"
#include "verify/graph_claims.h"

namespace lorapress {
namespace {

constexpr std::string_view kBothEngines = "both";

// "auto" begins with the first one.
std::vector<const char*> row_engines(const std::string& wish) {
  if (wish == kBothEngines) {
    return {"native", "ort"};
  }
  return {wish == "ort" ? "ort" : "native"};
}

}  // namespace

void check_verify_engine(const std::string& engine) {
  if (engine != kBothEngines) {
    check_engine(engine);
  }
}

std::vector<DtypeParity> verify_rows(const VerifyOptions& options,
                                     const Manifest& manifest,
                                     std::vector<std::string>& faults) {
  std::vector<std::string> names = options.dtypes;
  if (names.empty()) {
    names.push_back(manifest.default_dtype);
    for (const auto& [name, files] : manifest.graphs) {
      names.push_back(name);
    }
  }
  std::vector<DtypeParity> rows;
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) {
      continue;
    }
    if (takes_images(manifest)) {
      graph_file(manifest, options.model, name, role_of(manifest, "encoder"));
    }
    graph_file(manifest, options.model, name, role_of(manifest, "decoder"));
    std::ranges::move(false_graph_claims(options.model, manifest, name),
                      std::back_inserter(faults));
    for (const char* engine : row_engines(options.engine)) {
      DtypeParity& row = rows.emplace_back();
      row.dtype = name;
      row.engine = engine;
      row.name = options.engine == kBothEngines ? name + " " + engine : name;
      row.bytes = dtype_bytes(manifest, name);
    }
  }
  return rows;
}

std::unique_ptr<FolderModel> open_row(const VerifyOptions& options,
                                      const Manifest& manifest,
                                      DtypeParity& row,
                                      std::vector<std::string>& notes) {
  const auto open = [&] {
    return open_folder_model(options.model, manifest, {row.dtype, row.engine, options.threads});
  };
  const bool automatic = options.engine.empty() || options.engine == kAutoEngine;
  if (!automatic || row.engine != "native") {
    return open();
  }
  try {
    return open();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported || !has_ort()) {
      throw;
    }
    row.engine = "ort";
    notes.push_back(fmt::format("{}; ONNX Runtime runs it", error.what()));
    return open();
  }
}

}  // namespace lorapress
