#include "verify/layer_errors.h"

#include <algorithm>
#include <optional>

#include "base/fail.h"
#include "graph/ports.h"
#include "graph/read_proto.h"
#include "runtime/engines.h"
#include "runtime/graph_choice.h"
#include "verify/folder_placeholder.h"

namespace lorapress {
namespace {

// The nodes that end a norm, by the names that blocks/norm.cc gives them in either dialect. Their
// first output is the normalised stream.
constexpr std::array<std::string_view, 5> kNormNodes = {"SkipSimplifiedLayerNormalization",
                                                        "SkipLayerNormalization",
                                                        "SimplifiedLayerNormalization",
                                                        "LayerNormalization",
                                                        "Mul"};

// A graph with further outputs, and the name of the output for each scope.
struct OpenGraph {
  OpenGraph(const std::filesystem::path& path,
            const std::vector<std::string>& scopes,
            const DtypeRun& run) {
    const SlimModel model = read_slim(path, /*numbers=*/false);
    std::map<std::string, std::string> found;  // node -> its first output
    for (const onnx::NodeProto& node : model.proto.graph().node()) {
      if (node.output_size() > 0) {
        found.emplace(node.name(), node.output(0));
      }
    }
    for (const std::string& scope : scopes) {
      const auto add = [&](const std::string& node) {
        const auto output = found.find(node);
        if (output != found.end() && !values.contains(scope)) {
          values[scope] = output->second;
          wanted.push_back(output->second);
        }
      };
      add(scope);
      for (const std::string_view node : kNormNodes) {
        add(scope + "/" + std::string(node));
      }
    }
    GraphSource source(path);
    source.more_outputs = wanted;
    session = open_graph(run.engine, source, run.threads).session;
  }

  std::map<std::string, std::string> values;  // scope -> name of its value
  std::vector<std::string> wanted;
  std::unique_ptr<GraphSession> session;
};

// What projection or decoder get from the encoder: the last norm, or what is taken of the layers before it. The names are
// those of families/encoder.cc and families/projection.cc.
std::string end_of_encoder(const Checkpoint& checkpoint) {
  const VisionConfig& vision = *checkpoint.vision;
  if (checkpoint.projection && checkpoint.projection->type == ProjectionType::kPixelShuffle) {
    return "/projection/shuffled";
  }
  if (vision.feature_layers.empty()) {
    return "/encoder/post_layernorm";
  }
  return vision.dropped_tokens != 0          ? "/encoder/Slice_features"
         : vision.feature_layers.size() != 1 ? "/encoder/Concat_features"
                                             : "/encoder/Residual";
}

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
  if (encoder && !checkpoint_.vision) {
    return {};
  }
  const int64_t layers =
      encoder ? checkpoint_.vision->layers_run() : checkpoint_.text->num_hidden_layers;
  const DecoderPoints decoder = decoder_points(*checkpoint_.text);
  std::vector<Point> points;
  for (int64_t layer = 0; layer < layers; ++layer) {
    Point point{{encoder, layer, 0.0},
                encoder ? encoder_reader(checkpoint_) : decoder.last_input,
                encoder ? end_of_encoder(checkpoint_) : decoder.last_norm};
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
  std::vector<ReferencePrompt> prompts;
  for (const ReferenceImage& image : images) {
    pixels.push_back(image.checkpoint_pixels);
    forced.push_back(image.caption.ids);
    prompts.push_back(image.prompt);
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
    static_cast<void>(reference.logits(reference.join(reference.encode(pixels), prompts), forced));
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
               const GraphTensor& output) {
  const GraphTensor floats = output.converted(DType::kF32);
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

// Outputs of the encoder, of each tile; the last one of a tile are its tokens.
std::vector<std::vector<GraphTensor>> run_encoder(const OpenGraph& graph,
                                                  const Manifest& manifest,
                                                  const ReferenceImage& image) {
  return encode_tiles(*graph.session, manifest, image.folder_pixels, graph.wanted);
}

// All tiles' tokens, [1, tokens, hidden].
GraphTensor tokens_of(const std::vector<std::vector<GraphTensor>>& tiles) {
  std::vector<float> values;
  for (const std::vector<GraphTensor>& outputs : tiles) {
    const GraphTensor floats = outputs.back().converted(DType::kF32);
    values.insert(values.end(), floats.as_floats().begin(), floats.as_floats().end());
  }
  const int64_t width = tiles.at(0).back().shape().back();
  return GraphTensor::floats({1, std::ssize(values) / width, width}, values);
}

// The decoder's whole sequence in one call, behind an empty cache: what the image stands with, and the
// caption without its last token.
std::vector<GraphTensor> run_decoder(const OpenGraph& graph,
                                     const GraphSession* embed,
                                     const Manifest& manifest,
                                     const ReferenceImage& image,
                                     const GraphTensor* tokens) {
  const auto forced = std::span(image.caption.ids).first(image.caption.ids.size() - 1);
  const std::vector<GraphPort>& ports = graph.session->inputs();
  const auto dtype_of = [&](const char* name) {
    const auto port = std::ranges::find(ports, name, &GraphPort::name);
    return port == ports.end() ? DType::kF32 : port->dtype;
  };
  const ClientCalls calls = client_calls(manifest, *graph.session);
  const std::vector<GraphTensor> empty = calls.empty_cache(1);
  if (embed == nullptr) {
    std::vector<int64_t> ids = image.first_ids;
    ids.insert(ids.end(), forced.begin(), forced.end());
    const GraphTensor input = GraphTensor::integers({1, std::ssize(ids)}, ids);
    if (tokens == nullptr) {
      const GraphTensor mask =
          GraphTensor::integers({1, std::ssize(ids)}, std::vector<int64_t>(ids.size(), 1));
      return graph.session->run(calls.text_feeds(input, mask, empty), graph.wanted);
    }
    const GraphTensor prefix = tokens->converted(dtype_of(kEncoderHiddenStates));
    return graph.session->run(calls.feeds(input, &prefix, empty), graph.wanted);
  }
  const GraphTensor prompt = embed_prompt(*embed, manifest, image.first_ids, tokens, DType::kF32);
  std::vector<float> rows(prompt.as_floats().begin(), prompt.as_floats().end());
  if (!forced.empty()) {
    const GraphTensor more = embed_prompt(*embed, manifest, forced, nullptr, DType::kF32);
    rows.insert(rows.end(), more.as_floats().begin(), more.as_floats().end());
  }
  const int64_t width = prompt.shape().back();
  const GraphTensor embeddings = GraphTensor::floats({1, std::ssize(rows) / width, width}, rows)
                                     .converted(dtype_of(kInputsEmbeds));
  return graph.session->run(calls.embeds_feeds(embeddings, empty), graph.wanted);
}

}  // namespace

// Positions of an image at a point, in one run of the graph.
int64_t LayerProbe::rows_of(const ReferenceImage& image, bool encoder, bool last) const {
  const auto ids = std::ssize(image.caption.ids);
  if (!encoder) {
    // The image's positions or the prompt's; with cross attention the start token.
    const bool cross = checkpoint_.composite != nullptr &&
                       checkpoint_.composite->conditioning == Conditioning::kCross;
    const int64_t before = !image.prompt.ids.empty() ? std::ssize(image.prompt.ids)
                           : cross                   ? 1
                                                     : image.prefix.rows;
    return last ? ids : before + ids - 1;
  }
  const VisionConfig& vision = *checkpoint_.vision;
  return last ? checkpoint_.image_positions() : vision.tokens() + vision.dropped_tokens;
}

std::vector<LayerError> LayerProbe::measure(const std::filesystem::path& folder,
                                            const Manifest& manifest,
                                            const DtypeRun& run) const {
  std::vector<LayerError> errors;
  std::vector<GraphTensor> tokens;  // of each image
  std::unique_ptr<GraphSession> embed;
  if (embeds_apart(manifest)) {
    embed = open_role(folder, manifest, run, kEmbedRole);
  }
  for (const bool encoder : {true, false}) {
    if (encoder && !takes_images(manifest)) {
      continue;
    }
    const std::vector<Point> all = points(encoder);
    std::vector<std::string> scopes;
    for (const Point& point : all) {
      scopes.push_back(point.scope);
    }
    const std::string role = role_of(manifest, encoder ? "encoder" : "decoder");
    OpenGraph graph(graph_file(manifest, folder, run.dtype, role), scopes, run);
    if (encoder) {
      graph.wanted.emplace_back(embed ? kImageFeatures : kLastHiddenState);
    }
    std::vector<RelativeError> sums(all.size());
    std::map<std::string, int64_t> rows_before;  // per point, of the images before
    for (size_t i = 0; i < images_.size(); ++i) {
      std::vector<std::vector<GraphTensor>> runs;
      if (encoder) {
        runs = run_encoder(graph, manifest, images_[i]);
        tokens.push_back(tokens_of(runs));
      } else if (!graph.wanted.empty()) {
        runs.push_back(run_decoder(
            graph, embed.get(), manifest, images_[i], tokens.empty() ? nullptr : &tokens[i]));
      }
      for (const std::vector<GraphTensor>& outputs : runs) {
        add_run(graph.values, graph.wanted, all, images_[i], outputs, rows_before, sums);
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

void LayerProbe::add_run(const std::map<std::string, std::string>& values,
                         const std::vector<std::string>& wanted,
                         const std::vector<Point>& points,
                         const ReferenceImage& image,
                         const std::vector<GraphTensor>& outputs,
                         std::map<std::string, int64_t>& rows_before,
                         std::vector<RelativeError>& sums) const {
  for (size_t at = 0; at < points.size(); ++at) {
    const Point& point = points[at];
    const auto value = values.find(point.scope);
    if (value == values.end()) {
      continue;
    }
    const int64_t rows = rows_of(image, point.layer.encoder, at + 1 == points.size());
    const auto output = std::ranges::find(wanted, value->second) - wanted.begin();
    int64_t& before = rows_before[point.input];
    add_point(
        sums[at], activations_.at(point.input), before, rows, outputs[static_cast<size_t>(output)]);
    before += rows;
  }
}

}  // namespace lorapress
