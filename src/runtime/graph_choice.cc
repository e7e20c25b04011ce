#include "runtime/graph_choice.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "base/fail.h"
#include "graph/read_proto.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAuto = "auto";
constexpr std::string_view kForm = "encoder=q8,prefill=q8,decoder=q4";

// Fastest first; `bench/peers/profile.py` prints the times behind these, docs/performance.md has
// them. Only 8 bit takes the decoder's first call away from the graph of the others: nothing else
// is worth a further one in memory.
constexpr std::array<std::string_view, 8> kEncoders = {
    "int8", "uint8", "q8", "fp32", "q4", "fp16", "q4f16", "bnb4"};
constexpr std::array<std::string_view, 3> kPrefills = {"int8", "uint8", "q8"};
constexpr std::array<std::string_view, 8> kDecoders = {
    "int8", "uint8", "q8", "q4", "q4f16", "fp32", "fp16", "bnb4"};

// Whether products with 4-bit weights may round the activations to 8 bits.
bool multiplies_integers(const fs::path& graph) {
  constexpr int64_t kInt8 = 4;  // MatMulNBits, accuracy_level
  const SlimModel model = read_slim(graph);
  for (const onnx::NodeProto& node : model.proto.graph().node()) {
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (node.op_type() == "MatMulNBits" && attribute.name() == "accuracy_level") {
        return attribute.i() == kInt8;
      }
    }
  }
  return false;
}

// Dtypes whose cache is float16 share it with no other.
bool has_half_cache(std::string_view dtype) {
  return dtype == "fp16" || dtype == "q4f16";
}

bool has(const Manifest& manifest, std::string_view dtype, const std::string& role) {
  const auto roles = manifest.graphs.find(std::string(dtype));
  return roles != manifest.graphs.end() && roles->second.contains(role);
}

// The first of `order` that the folder has.
std::optional<std::string> first_of(std::span<const std::string_view> order,
                                    const Manifest& manifest,
                                    const std::string& role) {
  const auto found = std::ranges::find_if(
      order, [&](std::string_view dtype) { return has(manifest, dtype, role); });
  return found == order.end() ? std::nullopt : std::optional(std::string(*found));
}

// With accuracy_level 4 the products of 4 bit are integers: a step takes a third of the time, less
// than with any other dtype.
GraphChoice fastest(const Manifest& manifest, const fs::path& folder) {
  GraphChoice choice;
  choice.encoder = first_of(kEncoders, manifest, "encoder").value_or(manifest.default_dtype);
  choice.decoder = has(manifest, "q4", "decoder") &&
                           multiplies_integers(graph_file(manifest, folder, "q4", "decoder"))
                       ? "q4"
                       : first_of(kDecoders, manifest, "decoder").value_or(manifest.default_dtype);
  const std::optional<std::string> prefill = first_of(kPrefills, manifest, "decoder");
  choice.prefill = prefill && !has_half_cache(choice.decoder) ? *prefill : choice.decoder;
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
  const std::string last = decoder.value_or(manifest.default_dtype);
  return {encoder.value_or(manifest.default_dtype), prefill.value_or(last), last};
}

}  // namespace

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
    choice = fastest(manifest, folder);
  } else if (wish.find('=') != std::string::npos) {
    choice = named(manifest, wish);
  } else {
    const std::string& dtype = wish.empty() ? manifest.default_dtype : wish;
    choice = {dtype, dtype, dtype};
  }
  graph_file(manifest, folder, choice.encoder, "encoder");
  graph_file(manifest, folder, choice.prefill, "decoder");
  graph_file(manifest, folder, choice.decoder, "decoder");
  return choice;
}

}  // namespace lorapress
