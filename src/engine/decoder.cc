#include "engine/decoder.h"

#include <algorithm>

#include "engine/naming.h"
#include "engine/ports.h"

namespace lorapress::engine {
namespace {

constexpr const char* kCacheParts[] = {"key", "value"};

[[noreturn]] void refuse_port(const std::string& what) {
  refuse(Problem::kMismatch,
         what + "; lorapress.json and the graphs do not belong together, press again");
}

// `wanted`: -1 for a dimension of any size; the graph may leave any dimension symbolic.
int find_port(const std::vector<Port>& ports, const std::string& name, const Dims& wanted) {
  const auto found =
      std::find_if(ports.begin(), ports.end(), [&](const Port& port) { return port.name == name; });
  if (found == ports.end()) {
    refuse_port("has no " + name);
  }
  bool fits = found->dims.rank() == wanted.rank();
  for (int i = 0; fits && i < wanted.rank(); ++i) {
    fits = found->dims[i] == wanted[i] || found->dims[i] == -1 || wanted[i] == -1;
  }
  if (!fits) {
    refuse_port(name + " is " + found->dims.text() + ", expected " + wanted.text() +
                " (-1 is any)");
  }
  return static_cast<int>(found - ports.begin());
}

void require_inputs(const Session& graph, size_t count) {
  if (graph.inputs().size() != count) {
    refuse_port("has more inputs than expected");
  }
}

}  // namespace

void Decoder::set(Part part, std::unique_ptr<Session> session, std::string name) {
  if (session != nullptr) {
    naming(name, [&] {
      switch (part) {
        case Part::kEncoder:
          check_encoder(*session);
          break;
        case Part::kEmbeddings:
          check_embeddings(*session);
          break;
        case Part::kDecoder:
          later_ = check_decoder(*session);
          break;
        case Part::kFirstDecoder:
          first_ = check_decoder(*session);
          break;
      }
    });
  }
  parts_[static_cast<size_t>(part)] = {std::move(session), std::move(name)};
  for (size_t i = 0; has(Part::kFirstDecoder) && has(Part::kDecoder) && i < later_.cache.size();
       ++i) {
    const bool both = first_.cache[i].in_place && later_.cache[i].in_place;
    first_.cache[i].in_place = later_.cache[i].in_place = both;
  }
}

size_t Decoder::bytes() const {
  size_t bytes = 0;
  for (const Loaded& part : parts_) {
    bytes += part.session == nullptr ? 0 : part.session->bytes();
  }
  return bytes;
}

void Decoder::check_encoder(const Session& graph) {
  pixels_dims_ = {1, 3, facts_.image_height, facts_.image_width};
  mask_port_ = graph.input(kPixelAttentionMask);
  Dims wanted = pixels_dims_;
  wanted[0] = -1;
  if (mask_port_ >= 0) {
    pixels_dims_.insert(0, 1);
    wanted.insert(0, -1);
  }
  pixels_port_ = find_port(graph.inputs(), kPixelValues, wanted);
  features_ = find_port(graph.outputs(),
                        embeds_apart() ? kImageFeatures : kLastHiddenState,
                        {-1, facts_.image_tokens, -1});
  require_inputs(graph, mask_port_ >= 0 ? 2 : 1);
}

void Decoder::check_embeddings(const Session& graph) const {
  find_port(graph.inputs(), kInputIds, {-1, -1});
  find_port(graph.outputs(), kInputsEmbeds, {-1, -1, -1});
  require_inputs(graph, 1);
}

DecoderGraph Decoder::check_decoder(const Session& graph) const {
  DecoderGraph found;
  found.session = &graph;
  size_t known = 1;
  if (embeds_apart()) {
    found.ids = find_port(graph.inputs(), kInputsEmbeds, {-1, -1, -1});
  } else {
    found.ids = find_port(graph.inputs(), kInputIds, {-1, -1});
    ++known;
    if (facts_.images) {
      found.image = find_port(graph.inputs(), kEncoderHiddenStates, {-1, facts_.image_tokens, -1});
    } else {
      found.mask = find_port(graph.inputs(), kAttentionMask, {-1, -1});
    }
  }
  found.logits = find_port(graph.outputs(), kLogits, {-1, 1, facts_.vocab_size});
  const int64_t pairs = facts_.layers + (facts_.ids_in_cache ? 1 : 0);
  for (int64_t layer = 0; layer < pairs; ++layer) {
    add_cache(found, layer, facts_.cross ? "decoder" : "", false);
  }
  for (int64_t layer = 0; facts_.cross && layer < facts_.layers; ++layer) {
    add_cache(found, layer, "encoder", true);
  }
  require_inputs(graph, known + found.cache.size());
  return found;
}

void Decoder::add_cache(DecoderGraph& found, int64_t layer, const char* owner, bool encoder) const {
  const Session& graph = *found.session;
  const Dims cached{-1, facts_.kv_heads, -1, facts_.head_dim};
  for (const char* part : kCacheParts) {
    CachePort port;
    port.past = find_port(graph.inputs(), cache_port(kPast, layer, owner, part), cached);
    port.present = find_port(graph.outputs(), cache_port(kPresent, layer, owner, part), cached);
    port.keys = part == kCacheParts[0];
    port.encoder = encoder;
    port.in_place = !encoder && graph.in_place(port.past, port.present);
    found.cache.push_back(port);
  }
}

void Decoder::run(Part part,
                  Run& run,
                  std::span<const Tensor> feeds,
                  std::span<Tensor> results) const {
  const Loaded& loaded = of(part);
  naming(loaded.name, [&] { loaded.session->run(run, feeds, results); });
}

void Decoder::prepare_encoder(Run& run) const {
  of(Part::kEncoder).session->prepare(run, *workers_);
}

Image Decoder::encode(Run& run, std::span<const float> pixel_values) const {
  Image image;
  const Session& graph = *of(Part::kEncoder).session;
  const auto plane = static_cast<size_t>(pixels());
  const std::vector<uint8_t> seen(mask_port_ >= 0 ? plane / 3 : 0, 1);
  for (size_t at = 0; at < pixel_values.size(); at += plane) {
    std::vector<Tensor> feeds(graph.inputs().size());
    feeds[static_cast<size_t>(pixels_port_)] =
        Tensor(Type::kF32, pixels_dims_, pixel_values.data() + at);
    if (mask_port_ >= 0) {
      Dims mask = pixels_dims_;
      mask.erase(2);
      feeds[static_cast<size_t>(mask_port_)] = Tensor(Type::kBool, mask, seen.data());
    }
    std::vector<Tensor> results(graph.outputs().size());
    this->run(Part::kEncoder, run, feeds, results);
    const Tensor& features = results[static_cast<size_t>(features_)];
    image.width = features.dims().back();
    image.features.insert(
        image.features.end(), features.floats(), features.floats() + features.count());
  }
  return image;
}

int64_t Decoder::positions(const Image* image, int64_t ids) const {
  const bool prefix = image != nullptr && !embeds_apart() && !facts_.cross;
  return prefix ? ids - 1 + image->positions() : ids;
}

std::string Decoder::misfit(const Image* image, std::span<const int64_t> ids) const {
  if (ids.empty()) {
    return "a prompt without tokens";
  }
  if (embeds_apart()) {
    const auto wanted = std::count(ids.begin(), ids.end(), facts_.image_token_id);
    const int64_t found = image == nullptr ? 0 : image->positions();
    const auto& outputs = of(Part::kEmbeddings).session->outputs();
    const int64_t width = outputs[0].dims.back();
    const bool fits = image == nullptr || width < 0 || image->width == width;
    return wanted == found && fits
               ? ""
               : "the prompt has " + std::to_string(wanted) + " image tokens, the image " +
                     std::to_string(found) +
                     "; the tokenizer and the processor's settings do not belong together";
  }
  if (!facts_.images) {
    return image == nullptr ? "" : "the model takes no image";
  }
  if (image == nullptr) {
    return "the model needs an image";
  }
  const Dims& dims = first().session->inputs()[static_cast<size_t>(first().image)].dims;
  const bool fits = (dims[1] < 0 || dims[1] == image->positions()) &&
                    (dims[2] < 0 || dims[2] == image->width) && image->positions() > 0;
  return fits ? ""
              : "an image of " + std::to_string(image->positions()) + " positions of " +
                    std::to_string(image->width) + " numbers, expected " + dims.text();
}

}  // namespace lorapress::engine
