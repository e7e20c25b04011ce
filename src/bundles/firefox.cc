// Bundle "firefox": the layout of "transformers.js" at ORG/NAME/REVISION/ of OUT, as Mozilla's hub and Firefox's
// loader have it.
//
//   ORG/NAME/REVISION/
//     config.json  generation_config.json  preprocessor_config.json  tokenizer.json  tokenizer_config.json
//     onnx/encoder_model_quantized.onnx  onnx/decoder_model_merged_quantized.onnx   q8 is asked for by default
//     README.md                                                                     the model card
//
// The decoder applies the rules of tokens itself unless that is refused: the native backend loses what transformers.js
// writes into tensors. Firefox passes no option of generation (content/backends/ONNXPipeline.mjs, imageToText), so generation_config.json
// says everything. Each graph is one file: its native backend takes no external data, and the file-name rule of older
// versions refuses .onnx_data.

#include "bundles/parts.h"

namespace lorapress {
namespace {

std::vector<BundleGraph> firefox_graphs(const BundleRequest& request,
                                        std::vector<std::string>& notes) {
  return kTransformersJs.graphs(request, notes);
}

std::map<std::string, Json> firefox_files(const BundleRequest& request,
                                          const std::map<std::string, int>& data_files) {
  return kTransformersJs.files(request, data_files);
}

}  // namespace

const Bundle kFirefox{
    "firefox",
    "transformers.js at ORG/NAME/REVISION of OUT, with q8, one file per graph and a model card, for Firefox's "
    "own runtime and its hub (needs a model id)",
    false,
    accepts_prefix_or_cross,
    firefox_graphs,
    firefox_files,
    RulesInGraph::kByDefault,
    false,
    {.on_hub = true, .dtype = "q8"},
};

}  // namespace lorapress
