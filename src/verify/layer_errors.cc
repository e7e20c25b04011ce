#include "verify/layer_errors.h"

#include <algorithm>

#include "base/fail.h"
#include "base/file.h"
#include "graph/ports.h"
#include "graph/read_proto.h"
#include "runtime/graph_choice.h"
#include "verify/distance.h"

namespace lorapress {
namespace {

// The nodes that end a norm, by the names that blocks/norm.cc gives them in either dialect. Their
// first output is the normalised stream.
constexpr std::array<std::string_view, 5> kNormNodes = {"SkipSimplifiedLayerNormalization",
                                                        "SkipLayerNormalization",
                                                        "SimplifiedLayerNormalization",
                                                        "LayerNormalization",
                                                        "Mul"};

std::vector<std::byte> read_all(const std::filesystem::path& path) {
  const InputFile file(path);
  std::vector<std::byte> bytes(static_cast<size_t>(file.size()));
  file.read_at(0, bytes);
  return bytes;
}

void append(std::vector<std::byte>& bytes, const std::string& more) {
  const auto view = std::as_bytes(std::span(more));
  bytes.insert(bytes.end(), view.begin(), view.end());
}

// A graph with further outputs, and the name of the output for each scope.
struct OpenGraph {
  OpenGraph(const std::filesystem::path& path,
            const std::vector<std::string>& scopes,
            unsigned threads) {
    const SlimModel model = read_slim(path, /*numbers=*/false);
    std::map<std::string, std::string> found;  // node -> its first output
    for (const onnx::NodeProto& node : model.proto.graph().node()) {
      if (node.output_size() > 0) {
        found.emplace(node.name(), node.output(0));
      }
    }
    for (const std::string& scope : scopes) {
      for (const std::string_view node : kNormNodes) {
        const auto output = found.find(scope + "/" + std::string(node));
        if (output != found.end() && !values.contains(scope)) {
          values[scope] = output->second;
          wanted.push_back(output->second);
        }
      }
    }
    std::vector<std::byte> bytes = read_all(path);
    append(bytes, more_outputs(wanted));
    session = std::make_unique<OrtSession>(bytes, path, threads);
  }

  std::map<std::string, std::string> values;  // scope -> name of its value
  std::vector<std::string> wanted;
  std::unique_ptr<OrtSession> session;
};

std::vector<int64_t> first_ids(const Manifest& manifest, const ReferenceImage& image) {
  std::vector<int64_t> ids{manifest.decoder_start_token_id};
  ids.insert(ids.end(), image.caption.ids.begin(), image.caption.ids.end() - 1);
  return ids;
}

}  // namespace

std::string more_outputs(std::span<const std::string> values) {
  onnx::ModelProto model;
  for (const std::string& value : values) {
    model.mutable_graph()->add_output()->set_name(value);  // its type is inferred
  }
  return values.empty() ? std::string() : model.SerializeAsString();
}

namespace {

// Where a decoder's activations between layers are found.
struct DecoderPoints {
  std::string inputs;  // how products of a layer begin in the reference, before the layer's number
  std::string last_input;  // the product that reads the last layer's output
  // Norms in the graph: before layer i + 1 (or behind layer i, where norms stand behind sublayers), and
  // behind all layers.
  std::string (*norm)(int64_t layer);
  std::string last_norm;
};

DecoderPoints decoder_points(const TextConfig& text) {
  const auto before_next = [](int64_t layer) {
    return fmt::format("/decoder/layers.{}/input_layernorm", layer + 1);
  };
  const auto* layers = std::get_if<LayerNormLayers>(&text.layers);
  if (layers == nullptr) {
    return {"language_model.model.layers.", "language_model.lm_head", before_next, "/decoder/norm"};
  }
  DecoderPoints points{
      "language_model.model.decoder.layers.",
      "language_model.lm_head",
      [](int64_t layer) { return fmt::format("/decoder/layers.{}/attention_norm", layer + 1); },
      "/decoder/last_norm"};
  if (!layers->norm_first) {
    points.norm = [](int64_t layer) { return fmt::format("/decoder/layers.{}/mlp_norm", layer); };
    points.last_norm = points.norm(text.num_hidden_layers - 1);
  }
  if (text.model_type == "gpt2") {
    points.inputs = "language_model.transformer.h.";
  } else if (text.model_type == "trocr") {
    points.last_input = "language_model.output_projection";
  } else if (text.model_type == "blip_text_model") {
    points.inputs = "language_model.bert.encoder.layers.";  // see LayerProbe::LayerProbe()
    points.last_input = "language_model.cls.predictions.transform";
  } else if (text.embedding_width() != text.hidden_size) {
    points.last_input = "language_model.model.decoder.project_out";
  }
  return points;
}

// The product that reads the encoder's output: the projection, or where there is none the keys of the
// first layer's cross attention.
std::string encoder_reader(const Checkpoint& checkpoint) {
  if (checkpoint.projection) {
    return "projection.";
  }
  const DecoderPoints decoder = decoder_points(checkpoint.text.value());
  return decoder.inputs + (checkpoint.text->model_type == "trocr"  ? "0.encoder_attn.k_proj"
                           : checkpoint.text->model_type == "gpt2" ? "0.crossattention.c_attn"
                                                                   : "0.crossattention.self.key");
}

}  // namespace

//  ... layer i ── norm ── first product of layer i + 1 ...      the last one: ── norm ── projection | head
std::vector<LayerProbe::Point> LayerProbe::points(bool encoder) const {
  const int64_t layers =
      encoder ? checkpoint_.vision->layers_run() : checkpoint_.text->num_hidden_layers;
  const DecoderPoints decoder = decoder_points(*checkpoint_.text);
  std::vector<Point> points;
  for (int64_t layer = 0; layer < layers; ++layer) {
    Point point{{encoder, layer, 0.0},
                encoder ? encoder_reader(checkpoint_) : decoder.last_input,
                encoder ? "/encoder/post_layernorm" : decoder.last_norm};
    if (layer + 1 < layers) {
      const std::string next = std::to_string(layer + 1) + ".";
      point.input = (encoder ? "vision_encoder.encoder.layers." : decoder.inputs) + next;
      point.scope =
          encoder ? fmt::format("/encoder/layers.{}/layer_norm1", layer + 1) : decoder.norm(layer);
    }
    points.push_back(std::move(point));
  }
  return points;
}

LayerProbe::LayerProbe(ReferenceModel& reference,
                       const Checkpoint& checkpoint,
                       std::span<const ReferenceImage> images)
    : checkpoint_(checkpoint), images_(images) {
  std::vector<std::vector<float>> pixels;
  std::vector<std::vector<int64_t>> forced;
  for (const ReferenceImage& image : images) {
    pixels.push_back(image.checkpoint_pixels);
    forced.push_back(image.caption.ids);
  }
  std::vector<std::string> wanted;
  for (const bool encoder : {true, false}) {
    for (const Point& point : points(encoder)) {
      wanted.push_back(point.input);
    }
  }
  reference.on_linear_input([&](const LinearInput& input) {
    std::string name(input.name);
    if (const size_t at = name.find(".layer."); at != std::string::npos) {
      name.insert(at + 6, "s");  // ViT and DINOv2 count them under "layer"
    }
    const auto point = std::ranges::find_if(
        wanted, [&](const std::string& stem) { return name.starts_with(stem); });
    if (point != wanted.end() && !activations_.contains(*point)) {
      Rows& rows = activations_[*point];
      rows.cols = input.in_features;
      rows.values.assign(input.rows.begin(), input.rows.end());
      rows.rows = std::ssize(rows.values) / rows.cols;
    }
  });
  try {
    static_cast<void>(reference.logits(reference.encode(pixels), forced));
  } catch (...) {
    reference.on_linear_input({});
    throw;
  }
  reference.on_linear_input({});
}

namespace {

// Adds one image's values at one point; a file may give only the last positions.
void add_point(RelativeError& error,
               const Rows& reference,
               int64_t first_row,
               int64_t rows,
               const OrtTensor& output) {
  const OrtTensor floats = output.converted(DType::kF32);
  const auto found = floats.as_floats();
  const int64_t given = std::ssize(found) / reference.cols;
  if (given * reference.cols != std::ssize(found) || given > rows) {
    fail(ErrorCode::kMismatch,
         "a hidden stream of [{}], expected {} positions of {}",
         fmt::join(floats.shape(), ", "),
         rows,
         reference.cols);
  }
  const auto wanted =
      std::span(reference.values)
          .subspan(static_cast<size_t>((first_row + rows - given) * reference.cols), found.size());
  error.add(wanted, found);
}

// The decoder's whole sequence in one call, behind an empty cache.
std::vector<OrtTensor> run_decoder(const OpenGraph& graph,
                                   const Manifest& manifest,
                                   std::span<const int64_t> ids,
                                   const OrtTensor& image) {
  const OrtTensor input = OrtTensor::integers({1, std::ssize(ids)}, ids);
  const std::vector<OrtPort>& ports = graph.session->inputs();
  const auto of_image = std::ranges::find(ports, kEncoderHiddenStates, &OrtPort::name);
  const OrtTensor prefix = image.converted(of_image == ports.end() ? DType::kF32 : of_image->dtype);
  const ClientCalls calls = client_calls(manifest, *graph.session);
  const std::vector<OrtTensor> empty = calls.empty_cache(1);
  return graph.session->run(calls.feeds(input, &prefix, empty), graph.wanted);
}

}  // namespace

std::vector<LayerError> LayerProbe::measure(const std::filesystem::path& folder,
                                            const Manifest& manifest,
                                            const std::string& dtype,
                                            unsigned threads) const {
  std::vector<LayerError> errors;
  std::vector<OrtTensor> prefixes;
  for (const bool encoder : {true, false}) {
    const std::vector<Point> all = points(encoder);
    std::vector<std::string> scopes;
    for (const Point& point : all) {
      scopes.push_back(point.scope);
    }
    OpenGraph graph(
        graph_file(manifest, folder, dtype, encoder ? "encoder" : "decoder"), scopes, threads);
    if (encoder) {
      graph.wanted.emplace_back(kLastHiddenState);
    }
    std::vector<RelativeError> sums(all.size());
    std::map<std::string, int64_t> rows_before;  // per point, of the images before
    for (size_t i = 0; i < images_.size(); ++i) {
      const ReferenceImage& image = images_[i];
      std::vector<OrtTensor> outputs;
      if (encoder) {
        const Preprocessing& size = manifest.preprocessing;
        const OrtTensor pixels =
            OrtTensor::floats({1, 3, size.height, size.width}, image.folder_pixels);
        outputs = graph.session->run({{kPixelValues, &pixels}}, graph.wanted);
        prefixes.push_back(std::move(outputs.back()));
      } else if (!graph.wanted.empty()) {
        outputs = run_decoder(graph, manifest, first_ids(manifest, image), prefixes[i]);
      }
      const auto ids = std::ssize(image.caption.ids);
      for (size_t at = 0; at < all.size(); ++at) {
        const auto value = graph.values.find(all[at].scope);
        if (value == graph.values.end()) {
          continue;
        }
        const bool head = !encoder && at + 1 == all.size();
        // Before the caption stand the image's tokens, or with cross attention the start token.
        const int64_t before_ids =
            encoder || checkpoint_.composite->conditioning != Conditioning::kCross
                ? image.prefix.rows
                : 1;
        const int64_t rows = head ? ids : before_ids + (encoder ? 0 : ids - 1);
        const auto output = std::ranges::find(graph.wanted, value->second) - graph.wanted.begin();
        int64_t& before = rows_before[all[at].input];
        add_point(sums[at],
                  activations_.at(all[at].input),
                  before,
                  rows,
                  outputs[static_cast<size_t>(output)]);
        before += rows;
      }
    }
    for (size_t at = 0; at < all.size(); ++at) {
      if (graph.values.contains(all[at].scope)) {
        errors.push_back(all[at].layer);
        errors.back().error = sums[at].value();
      }
    }
  }
  return errors;
}

}  // namespace lorapress
