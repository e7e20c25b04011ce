// The registry of folder layouts that clients load. A bundle composes a family's parts into graphs
// and adds the JSON files its client reads; one file and one row each.
#ifndef LORAPRESS_BUNDLES_BUNDLE_H_
#define LORAPRESS_BUNDLES_BUNDLE_H_

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/export_options.h"

#include "checkpoint/checkpoint.h"
#include "checkpoint/preprocessing.h"
#include "checkpoint/tokenizer_files.h"
#include "graph/graph.h"

namespace lorapress {

// Options of bundles whose graph contains the generation loop.
struct GenerationChoice {
  int64_t num_beams = 1;
  bool uint8_input = false;  // raw RGB bytes of any size in place of pixel_values
  bool step = false;         // logits of the next token in place of the whole loop
  [[nodiscard]] bool is_default() const { return num_beams == 1 && !uint8_input && !step; }
};

// Whether a bundle's decoder can apply the rules of generation_config.json to its own logits.
enum class RulesInGraph {
  kNever,
  kOnRequest,
  kByDefault,  // unless the checkpoint searches with beams
};

// What a bundle's client asks of the folder as a whole.
struct FolderRules {
  // The folder is OUT/ORG/NAME/REVISION of a hub (hub_place.h): file names by the hub's rule, every graph in one file,
  // a model card.
  bool on_hub = false;
  std::string_view dtype = "fp32";  // unless others are given; on a hub one of them in any case
};

struct BundleRequest {
  const Checkpoint& checkpoint;
  const Preprocessing& preprocessing;
  const TokenizerFiles& tokenizer;
  OpDialect ops = OpDialect::kOrt;
  int opset = 17;
  int64_t max_new_tokens = 30;
  std::string default_dtype = "fp32";
  GenerationChoice generation = {};
  std::vector<std::string> half_cache_dtypes = {};  // dtypes whose key/value cache is float16
  std::string prompt = {};                          // the folder's own; empty: none
  bool rules_in_graph = false;                      // only where the bundle's field allows it
  bool trainer_names = false;                       // the same
};

struct BundleGraph {
  std::string role;  // key in the manifest: "encoder", "decoder"
  std::string path;  // without suffix and extension: "onnx/encoder_model"
  Graph graph;
  // Graphs of one bundle with the same `data` keep their weights in one external data file,
  // <data><suffix>.onnx_data, each weight once.
  std::string data = {};
};

struct Bundle {
  std::string_view name;
  std::string_view summary;  // one line for --help
  bool generates;            // takes a GenerationChoice
  bool (*accepts)(const Checkpoint& checkpoint);
  // Authors the graphs; throws kMismatch when tensors are missing or left over.
  std::vector<BundleGraph> (*graphs)(const BundleRequest& request, std::vector<std::string>& notes);
  // The client's own JSON files by relative path, given the files of external data per .onnx file
  // name (0 for none).
  std::map<std::string, Json> (*files)(const BundleRequest& request,
                                       const std::map<std::string, int>& data_files);
  RulesInGraph rules_in_graph = RulesInGraph::kNever;
  bool trainer_names = false;  // can have the ports of the trainer's own export
  FolderRules folder = {};
};

const Bundle& bundle(std::string_view name);  // throws kUnsupported, listing the known bundles
// The bundle of that name, or, for an empty name, the first that accepts the checkpoint. Throws
// kUnsupported where it does not accept the checkpoint, kMismatch for a part alone.
const Bundle& bundle_for(std::string_view name, const Checkpoint& checkpoint);
// The names of all that accept the checkpoint, the one that it is pressed to by default first.
std::vector<std::string_view> bundles_for(const Checkpoint& checkpoint);
// Bundle::accepts of bundles for models that see the image as positions before the text.
bool accepts_prefix(const Checkpoint& checkpoint);
// The same, and those that see it through cross attention.
bool accepts_prefix_or_cross(const Checkpoint& checkpoint);
std::span<const Bundle* const> bundles();

extern const Bundle kComponents;
extern const Bundle kFirefox;
extern const Bundle kGenai;
extern const Bundle kLlava;
extern const Bundle kSingle;
extern const Bundle kSmolvlm;
extern const Bundle kTextGeneration;
extern const Bundle kTransformersJs;

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_BUNDLE_H_
