#include "verify/layer_errors.h"

#include <algorithm>
#include <optional>

#include "base/fail.h"
#include "base/file.h"
#include "graph/ports.h"
#include "graph/read_proto.h"
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
    std::vector<std::byte> bytes = read_all(path);
    append(bytes, more_outputs(wanted));
    session = std::make_unique<OrtSession>(bytes, path, threads);
  }

  std::map<std::string, std::string> values;  // scope -> name of its value
  std::vector<std::string> wanted;
  std::unique_ptr<OrtSession> session;
};

// What projection or decoder get from the encoder: the last norm, or what is taken of the layers before it. The names are
// those of families/encoder.cc and families/projection.cc.
std::string end_of_encoder(const Checkpoint& checkpoint) {
  const VisionConfig& vision = *checkpoint.vision;
  if (checkpoint.projection->type == ProjectionType::kPixelShuffle) {
    return "/projection/shuffled";
  }
  if (vision.feature_layers.empty()) {
    return "/encoder/post_layernorm";
  }
  return vision.dropped_tokens != 0          ? "/encoder/Slice_features"
         : vision.feature_layers.size() != 1 ? "/encoder/Concat_features"
                                             : "/encoder/Residual";
}

}  // namespace

std::string more_outputs(std::span<const std::string> values) {
  onnx::ModelProto model;
  for (const std::string& value : values) {
    model.mutable_graph()->add_output()->set_name(value);  // its type is inferred
  }
  return values.empty() ? std::string() : model.SerializeAsString();
}

//  ... layer i ── norm ── first product of layer i + 1 ...      the last one: ── norm ── projection | head
std::vector<LayerProbe::Point> LayerProbe::points(bool encoder) const {
  const int64_t layers =
      encoder ? checkpoint_.vision->layers_run() : checkpoint_.text->num_hidden_layers;
  const std::string last_input = encoder ? "projection." : "language_model.lm_head";
  std::vector<Point> points;
  for (int64_t layer = 0; layer < layers; ++layer) {
    Point point{{encoder, layer, 0.0},
                last_input,
                encoder ? end_of_encoder(checkpoint_) : std::string("/decoder/norm")};
    if (layer + 1 < layers) {
      const std::string next = "layers." + std::to_string(layer + 1);
      point.input = (encoder ? "vision_encoder.encoder." : "language_model.model.") + next + ".";
      point.scope =
          encoder ? "/encoder/" + next + "/layer_norm1" : "/decoder/" + next + "/input_layernorm";
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

// Outputs of the encoder, of each tile; the last one of a tile are its tokens.
std::vector<std::vector<OrtTensor>> run_encoder(const OpenGraph& graph,
                                                const Manifest& manifest,
                                                const ReferenceImage& image) {
  return encode_tiles(*graph.session, manifest, image.folder_pixels, graph.wanted);
}

// All tiles' tokens, [1, tokens, hidden].
OrtTensor tokens_of(const std::vector<std::vector<OrtTensor>>& tiles) {
  std::vector<float> values;
  for (const std::vector<OrtTensor>& outputs : tiles) {
    const OrtTensor floats = outputs.back().converted(DType::kF32);
    values.insert(values.end(), floats.as_floats().begin(), floats.as_floats().end());
  }
  const int64_t width = tiles.at(0).back().shape().back();
  return OrtTensor::floats({1, std::ssize(values) / width, width}, values);
}

// The decoder's whole sequence in one call, behind an empty cache: what the image stands with, and the
// caption without its last token.
std::vector<OrtTensor> run_decoder(const OpenGraph& graph,
                                   const OrtSession* embed,
                                   const Manifest& manifest,
                                   const ReferenceImage& image,
                                   const OrtTensor& tokens) {
  const auto forced = std::span(image.caption.ids).first(image.caption.ids.size() - 1);
  const std::vector<OrtPort>& ports = graph.session->inputs();
  const auto dtype_of = [&](const char* name) {
    const auto port = std::ranges::find(ports, name, &OrtPort::name);
    return port == ports.end() ? DType::kF32 : port->dtype;
  };
  const ClientCalls calls = client_calls(manifest, *graph.session);
  const std::vector<OrtTensor> empty = calls.empty_cache(1);
  if (embed == nullptr) {
    std::vector<int64_t> ids = image.first_ids;
    ids.insert(ids.end(), forced.begin(), forced.end());
    const OrtTensor input = OrtTensor::integers({1, std::ssize(ids)}, ids);
    const OrtTensor prefix = tokens.converted(dtype_of(kEncoderHiddenStates));
    return graph.session->run(calls.feeds(input, &prefix, empty), graph.wanted);
  }
  const OrtTensor prompt = embed_prompt(*embed, manifest, image.first_ids, &tokens, DType::kF32);
  std::vector<float> rows(prompt.as_floats().begin(), prompt.as_floats().end());
  if (!forced.empty()) {
    const OrtTensor more = embed_prompt(*embed, manifest, forced, nullptr, DType::kF32);
    rows.insert(rows.end(), more.as_floats().begin(), more.as_floats().end());
  }
  const int64_t width = prompt.shape().back();
  const OrtTensor embeddings = OrtTensor::floats({1, std::ssize(rows) / width, width}, rows)
                                   .converted(dtype_of(kInputsEmbeds));
  return graph.session->run(calls.embeds_feeds(embeddings, empty), graph.wanted);
}

}  // namespace

// Positions of an image at a point, in one run of the graph.
int64_t LayerProbe::rows_of(const ReferenceImage& image, bool encoder, bool last) const {
  const auto ids = std::ssize(image.caption.ids);
  if (!encoder) {
    const int64_t before =
        image.prompt.ids.empty() ? image.prefix.rows : std::ssize(image.prompt.ids);
    return last ? ids : before + ids - 1;
  }
  const VisionConfig& vision = *checkpoint_.vision;
  return last ? checkpoint_.image_positions() : vision.tokens() + vision.dropped_tokens;
}

std::vector<LayerError> LayerProbe::measure(const std::filesystem::path& folder,
                                            const Manifest& manifest,
                                            const std::string& dtype,
                                            unsigned threads) const {
  std::vector<LayerError> errors;
  std::vector<OrtTensor> tokens;  // of each image
  std::optional<OrtSession> embed;
  if (embeds_apart(manifest)) {
    embed.emplace(graph_file(manifest, folder, dtype, kEmbedRole), threads);
  }
  for (const bool encoder : {true, false}) {
    const std::vector<Point> all = points(encoder);
    std::vector<std::string> scopes;
    for (const Point& point : all) {
      scopes.push_back(point.scope);
    }
    const std::string role = role_of(manifest, encoder ? "encoder" : "decoder");
    OpenGraph graph(graph_file(manifest, folder, dtype, role), scopes, threads);
    if (encoder) {
      graph.wanted.emplace_back(embed ? kImageFeatures : kLastHiddenState);
    }
    std::vector<RelativeError> sums(all.size());
    std::map<std::string, int64_t> rows_before;  // per point, of the images before
    for (size_t i = 0; i < images_.size(); ++i) {
      std::vector<std::vector<OrtTensor>> runs;
      if (encoder) {
        runs = run_encoder(graph, manifest, images_[i]);
        tokens.push_back(tokens_of(runs));
      } else if (!graph.wanted.empty()) {
        runs.push_back(
            run_decoder(graph, embed ? &*embed : nullptr, manifest, images_[i], tokens[i]));
      }
      for (const std::vector<OrtTensor>& outputs : runs) {
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
                         const std::vector<OrtTensor>& outputs,
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
