#include "runtime/graph_choice.h"

#include <algorithm>
#include <optional>

#include "base/fail.h"
#include "schemes/scheme.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAuto = "auto";
constexpr std::string_view kForm = "encoder=q8,prefill=q8,decoder=q4";

// The folder's dtype of least rank for a graph; nothing where none has a rank.
template <typename Rank>
std::optional<std::string> fastest_graph(const Manifest& manifest,
                                         const std::string& role,
                                         const Rank& rank) {
  std::optional<std::string> best;
  int least = 0;
  for (const Scheme& row : schemes()) {
    const std::string dtype(row.name);
    const auto roles = manifest.graphs.find(dtype);
    if (roles == manifest.graphs.end() || !roles->second.contains(role)) {
      continue;
    }
    const int found = rank(row.native, graph_facts(manifest, dtype, role));
    if (found != 0 && (!best || found < least)) {
      best = dtype;
      least = found;
    }
  }
  return best;
}

GraphChoice fastest(const Manifest& manifest) {
  const std::string encoder_role = role_of(manifest, "encoder");
  const std::string decoder_role = role_of(manifest, "decoder");
  const auto encoder = [](const NativeRanks& ranks, const GraphFile&) { return ranks.encoder; };
  const auto prefill = [](const NativeRanks& ranks, const GraphFile&) { return ranks.prefill; };
  const auto step = [](const NativeRanks& ranks, const GraphFile& facts) {
    return facts.integer_products && ranks.integer_step != 0 ? ranks.integer_step : ranks.step;
  };
  const auto cache_of = [&](const std::string& dtype) {
    return graph_facts(manifest, dtype, decoder_role).cache_dtype;
  };
  GraphChoice choice;
  if (takes_images(manifest)) {
    choice.encoder =
        fastest_graph(manifest, encoder_role, encoder).value_or(manifest.default_dtype);
  }
  choice.decoder = fastest_graph(manifest, decoder_role, step).value_or(manifest.default_dtype);
  choice.prefill = fastest_graph(manifest, decoder_role, prefill).value_or(choice.decoder);
  if (choice.prefill != choice.decoder && cache_of(choice.prefill) != cache_of(choice.decoder)) {
    choice.prefill = choice.decoder;  // different types cannot share a cache
  }
  return choice;
}

// "encoder=q8,decoder=q4", part by part.
GraphChoice named(const Manifest& manifest, const std::string& wish) {
  std::optional<std::string> encoder;
  std::optional<std::string> prefill;
  std::optional<std::string> decoder;
  for (size_t begin = 0; begin <= wish.size();) {
    const size_t end = std::min(wish.find(',', begin), wish.size());
    const std::string part = wish.substr(begin, end - begin);
    const size_t equals = std::min(part.find('='), part.size());
    const std::string name = part.substr(0, equals);
    std::optional<std::string>* const place = name == "encoder"   ? &encoder
                                              : name == "prefill" ? &prefill
                                              : name == "decoder" ? &decoder
                                                                  : nullptr;
    if (place == nullptr || equals == part.size()) {
      fail(ErrorCode::kInvalidArgument,
           "options.dtype {}: \"{}\" is not a graph and its dtype, as in {}",
           wish,
           part,
           kForm);
    }
    *place = part.substr(equals + 1);
    begin = end + 1;
  }
  if (encoder && !takes_images(manifest)) {
    fail(ErrorCode::kInvalidArgument,
         "options.dtype {}: a model of text alone has no encoder, as in prefill=q8,decoder=q4",
         wish);
  }
  const std::string last = decoder.value_or(manifest.default_dtype);
  return {encoder.value_or(manifest.default_dtype), prefill.value_or(last), last};
}

}  // namespace

bool embeds_apart(const Manifest& manifest) {
  return manifest.graphs.at(manifest.default_dtype).contains(kEmbedRole);
}

std::string role_of(const Manifest& manifest, const std::string& work) {
  if (!embeds_apart(manifest)) {
    return work;
  }
  return work == "encoder" ? "vision_encoder" : "decoder_model_merged";
}

fs::path graph_file(const Manifest& manifest,
                    const fs::path& folder,
                    const std::string& dtype,
                    const std::string& role) {
  const auto graphs = manifest.graphs.find(dtype);
  if (graphs == manifest.graphs.end()) {
    std::vector<std::string> known;
    for (const auto& [name, roles] : manifest.graphs) {
      known.push_back(name);
    }
    fail(ErrorCode::kNotFound,
         "{}: no dtype \"{}\" (there are: {})",
         folder.string(),
         dtype,
         fmt::join(known, ", "));
  }
  const auto file = graphs->second.find(role);
  if (file == graphs->second.end()) {
    fail(ErrorCode::kUnsupported, "{}: dtype \"{}\" has no {}", folder.string(), dtype, role);
  }
  return folder / file->second;
}

GraphChoice choose_graphs(const Manifest& manifest,
                          const fs::path& folder,
                          const std::string& wish) {
  GraphChoice choice;
  if (wish == kAuto) {
    choice = fastest(manifest);
  } else if (wish.find('=') != std::string::npos) {
    choice = named(manifest, wish);
  } else {
    const std::string& dtype = wish.empty() ? manifest.default_dtype : wish;
    choice = {dtype, dtype, dtype};
  }
  if (takes_images(manifest)) {
    graph_file(manifest, folder, choice.encoder, role_of(manifest, "encoder"));
  } else {
    choice.encoder.clear();
  }
  graph_file(manifest, folder, choice.prefill, role_of(manifest, "decoder"));
  graph_file(manifest, folder, choice.decoder, role_of(manifest, "decoder"));
  return choice;
}

}  // namespace lorapress
