#include "runtime/ort/ort_decoder.h"

#include <algorithm>

#include "base/convert.h"
#include "base/fail.h"
#include "graph/ports.h"
#include "runtime/engine/slots.h"

namespace lorapress {
namespace {

// `wanted`: -1 for a dimension of any size; the graph may leave any dimension symbolic.
const OrtPort& port(const std::vector<OrtPort>& ports,
                    const std::string& name,
                    const Shape& wanted,
                    const std::filesystem::path& file) {
  const auto found = std::ranges::find(ports, name, &OrtPort::name);
  if (found == ports.end()) {
    fail(ErrorCode::kMismatch,
         "{}: has no {}; {} and the graphs do not belong together, press again",
         file.string(),
         name,
         kManifestName);
  }
  bool fits = found->shape.size() == wanted.size();
  for (size_t i = 0; fits && i < wanted.size(); ++i) {
    fits = found->shape[i] == wanted[i] || found->shape[i] == -1 || wanted[i] == -1;
  }
  if (!fits) {
    fail(ErrorCode::kMismatch,
         "{}: {} is [{}], expected [{}] (-1 is any); {} and the graphs do not belong together, "
         "press again",
         file.string(),
         name,
         fmt::join(found->shape, ", "),
         fmt::join(wanted, ", "),
         kManifestName);
  }
  const bool integers = name == kInputIds || name == kAttentionMask;
  if (found->dtype != DType::kF32 && found->dtype != DType::kF16 && !integers) {
    fail(ErrorCode::kUnsupported,
         "{}: {} is {}, expected float32 or float16",
         file.string(),
         name,
         dtype_name(found->dtype));
  }
  return *found;
}

Shape with_batch(Shape shape, int64_t batch) {
  shape[0] = batch;
  return shape;
}

struct OrtImage : EncodedImage {
  explicit OrtImage(std::vector<OrtTensor> tensors) : tiles(std::move(tensors)) {}
  std::vector<OrtTensor> tiles;  // the tokens of each, in the decoder's dtype
};

OrtTensor in_dtype(OrtTensor tensor, DType dtype) {
  return tensor.dtype() == dtype ? std::move(tensor) : tensor.converted(dtype);
}

// Embeddings of a prompt whose image tokens become the tiles' features, in their order.
std::vector<std::byte> with_image(const OrtTensor& embeddings,
                                  std::span<const int64_t> ids,
                                  int64_t image_token_id,
                                  std::span<const OrtTensor> tiles) {
  std::vector<std::byte> rows(embeddings.bytes().begin(), embeddings.bytes().end());
  const size_t row_bytes = rows.size() / ids.size();
  std::vector<std::byte> features;
  for (const OrtTensor& tile : tiles) {
    features.insert(features.end(), tile.bytes().begin(), tile.bytes().end());
  }
  const auto wanted = static_cast<size_t>(std::ranges::count(ids, image_token_id));
  if (wanted * row_bytes != features.size()) {
    fail(ErrorCode::kMismatch,
         "the prompt has {} image tokens, the image {}; the tokenizer and the processor's settings "
         "do not belong together",
         wanted,
         features.size() / row_bytes);
  }
  auto next = features.begin();
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == image_token_id) {
      std::copy_n(next, row_bytes, rows.begin() + static_cast<std::ptrdiff_t>(i * row_bytes));
      next += static_cast<std::ptrdiff_t>(row_bytes);
    }
  }
  return rows;
}

}  // namespace

OrtDecoder::Ports OrtDecoder::check_decoder(const OrtSession& session,
                                            const Manifest& manifest,
                                            const std::filesystem::path& file,
                                            bool embedded) {
  Ports found;
  if (embedded) {
    const OrtPort input = port(session.inputs(), kInputsEmbeds, {-1, -1, -1}, file);
    found.image_shape = {1, 1, input.shape[2]};
    found.image_dtype = input.dtype;
  } else if (!takes_images(manifest)) {
    port(session.inputs(), kInputIds, {-1, -1}, file);
    port(session.inputs(), kAttentionMask, {-1, -1}, file);
    found.image_shape = {1};
  } else {
    port(session.inputs(), kInputIds, {-1, -1}, file);
    const OrtPort image =
        port(session.inputs(), kEncoderHiddenStates, {-1, manifest.image_tokens, -1}, file);
    found.image_shape = {1, manifest.image_tokens, image.shape[2]};
    found.image_dtype = image.dtype;
  }
  found.logits_dtype = port(session.outputs(), kLogits, {-1, 1, manifest.vocab_size}, file).dtype;
  found.cache = {manifest.num_hidden_layers, manifest.num_key_value_heads, manifest.head_dim};
  found.cache.ids = !manifest.rules_in_graph.empty();
  found.cache.encoder_tokens = manifest.cross() ? manifest.image_tokens : 0;
  const Shape cached{-1, found.cache.heads, -1, found.cache.head_dim};
  const auto check = [&](CacheKind kind, int64_t pairs) {
    for (int64_t layer = 0; layer < pairs; ++layer) {
      for (const CachePart part : kCacheParts) {
        const std::string past = cache_port(CacheSide::kPast, layer, part, kind);
        found.cache.dtype = port(session.inputs(), past, cached, file).dtype;
        port(session.outputs(), cache_port(CacheSide::kPresent, layer, part, kind), cached, file);
      }
    }
  };
  if (manifest.cross()) {
    check(CacheKind::kEncoder, found.cache.layers);
  }
  check(found.cache.kind(), found.cache.pairs());
  return found;
}

OrtDecoder::OrtDecoder(const Manifest& manifest, const Files& files, unsigned threads)
    : decoder_(files.decoder, threads), vocab_size_(manifest.vocab_size) {
  if (!files.encoder.empty()) {
    open_encoder(manifest, files, threads);
  }
  if (!files.embed.empty()) {
    embed_.emplace(files.embed, threads);
    image_token_id_ = manifest.image_token_id;
  }
  ports_ = check_decoder(decoder_, manifest, files.decoder, embed_.has_value());
  ports_.cache.in_place = files.in_place_cache;
  if (files.prefill != files.decoder) {
    prefill_.emplace(files.prefill, threads);
    check_prefill(manifest, files);
  }
}

void OrtDecoder::open_encoder(const Manifest& manifest, const Files& files, unsigned threads) {
  encoder_.emplace(files.encoder, threads);
  const Preprocessing& size = manifest.preprocessing;
  pixels_shape_ = {1, 3, size.height, size.width};
  const auto takes = [&](const char* name) {
    return std::ranges::count(encoder_->inputs(), name, &OrtPort::name) != 0;
  };
  masked_ = takes(kPixelAttentionMask);  // [batch, tiles, ...]
  if (masked_) {
    pixels_shape_.insert(pixels_shape_.begin(), 1);
  }
  Shape pixels = pixels_shape_;
  pixels[0] = -1;
  if (masked_) {
    pixels[1] = -1;
  }
  port(encoder_->inputs(), kPixelValues, pixels, files.encoder);
  features_ = files.embed.empty() ? kLastHiddenState : kImageFeatures;
  port(encoder_->outputs(), features_, {-1, manifest.image_tokens, -1}, files.encoder);
}

// The step reads what the first call left, and both write into the same buffers.
void OrtDecoder::check_prefill(const Manifest& manifest, const Files& files) {
  const Ports first = check_decoder(*prefill_, manifest, files.prefill, embed_.has_value());
  const auto share = [&](std::string_view what, DType prefill, DType decoder) {
    if (prefill != decoder) {
      fail(ErrorCode::kMismatch,
           "{}: its {} is {}, that of {} is {}; prefill and decoder need dtypes that agree, as "
           "prefill=q8,decoder=q4",
           files.prefill.string(),
           what,
           dtype_name(prefill),
           files.decoder.string(),
           dtype_name(decoder));
    }
  };
  share("cache", first.cache.dtype, ports_.cache.dtype);
  share("image input", first.image_dtype, ports_.image_dtype);
  share("logits", first.logits_dtype, ports_.logits_dtype);
}

// One tile after another, so that memory does not grow with their number; none for a decoder alone.
std::unique_ptr<EncodedImage> OrtDecoder::encode(std::span<const float> pixel_values) const {
  size_t plane = 1;
  for (const int64_t length : pixels_shape_) {
    plane *= static_cast<size_t>(length);
  }
  std::vector<uint8_t> seen(masked_ ? plane / 3 : 0, 1);
  Shape mask_shape = pixels_shape_;
  if (masked_) {
    mask_shape.erase(mask_shape.begin() + 2);
  }
  std::vector<OrtTensor> tiles;
  for (size_t at = 0; at < pixel_values.size(); at += plane) {
    const OrtTensor pixels = OrtTensor::floats(pixels_shape_, pixel_values.subspan(at, plane));
    std::vector<OrtSession::Feed> feeds{{kPixelValues, &pixels}};
    std::optional<OrtTensor> mask;
    if (masked_) {
      mask = OrtTensor::view(DType::kBool, mask_shape, std::as_writable_bytes(std::span(seen)));
      feeds.push_back({kPixelAttentionMask, &*mask});
    }
    std::vector<OrtTensor> outputs = encoder_->run(feeds, {features_});
    tiles.push_back(in_dtype(std::move(outputs[0]), ports_.image_dtype));
  }
  return std::make_unique<OrtImage>(std::move(tiles));
}

OrtTensor OrtDecoder::embeddings(const OrtTensor& ids) const {
  std::vector<OrtTensor> outputs = embed_->run({{kInputIds, &ids}}, {kInputsEmbeds});
  return in_dtype(std::move(outputs[0]), ports_.image_dtype);
}

class OrtSequences : public Sequences {
 public:
  OrtSequences(const OrtDecoder& decoder, const SequencesSize& size);

  void prefill(int64_t image, const EncodedImage& encoded, std::span<const int64_t> ids) override;
  void step(std::span<const int64_t> parents, std::span<const int64_t> tokens) override;
  [[nodiscard]] std::span<float> logits(int64_t row) override;

 private:
  // Binds where the logits of these slots go, and brings them to float32 after the run.
  void bind_logits(OrtBinding& binding, int64_t slot, int64_t slots);
  void read_logits(int64_t slot, int64_t slots);
  // attention_mask of rows without padding. REQUIRES: a decoder alone.
  [[nodiscard]] OrtTensor whole_mask(int64_t rows, int64_t length);

  const OrtDecoder* decoder_;
  SequencesSize size_;
  int64_t rows_;
  KvCache cache_;
  SlotTable slots_;
  std::vector<int64_t> tokens_;  // one per slot
  std::vector<float> logits_;    // [slots, vocab]
  std::vector<std::byte> half_logits_;
  OrtTensor images_;           // for the steps, which do not read them
  std::vector<int64_t> ones_;  // for whole_mask()
  OrtTensor tokens_tensor_;
  OrtBinding prefill_;
  OrtBinding step_;
};

std::unique_ptr<Sequences> OrtDecoder::start(const SequencesSize& size) const {
  return std::make_unique<OrtSequences>(*this, size);
}

OrtSequences::OrtSequences(const OrtDecoder& decoder, const SequencesSize& size)
    : decoder_(&decoder),
      size_(size),
      rows_(size.images * size.beams),
      cache_(decoder.ports_.cache, rows_, size.prefix + size.new_tokens),
      slots_(size.images, size.beams),
      tokens_(static_cast<size_t>(rows_)),
      logits_(static_cast<size_t>(rows_ * decoder.vocab_size_)),
      half_logits_(decoder.ports_.logits_dtype == DType::kF32
                       ? 0
                       : logits_.size() * dtype_size(decoder.ports_.logits_dtype)),
      images_(decoder.ports_.image_dtype, with_batch(decoder.ports_.image_shape, rows_)),
      ones_(decoder.encoder_ ? 0 : static_cast<size_t>(rows_ * (size.prefix + size.new_tokens)), 1),
      tokens_tensor_(
          OrtTensor::view(DType::kI64, {rows_, 1}, std::as_writable_bytes(std::span(tokens_)))),
      prefill_(decoder.prefill()),
      step_(decoder.decoder_) {
  if (!decoder.embed_) {
    step_.input(kInputIds, tokens_tensor_);
  }
  if (!decoder.embed_ && decoder.encoder_) {
    step_.input(kEncoderHiddenStates, images_);
  }
  bind_logits(step_, 0, rows_);
}

void OrtSequences::bind_logits(OrtBinding& binding, int64_t slot, int64_t slots) {
  const DType dtype = decoder_->ports_.logits_dtype;
  const auto memory =
      half_logits_.empty() ? std::as_writable_bytes(std::span(logits_)) : std::span(half_logits_);
  const auto row_bytes = static_cast<size_t>(decoder_->vocab_size_) * dtype_size(dtype);
  binding.output(kLogits,
                 OrtTensor::view(dtype,
                                 {slots, 1, decoder_->vocab_size_},
                                 memory.subspan(static_cast<size_t>(slot) * row_bytes)));
}

void OrtSequences::read_logits(int64_t slot, int64_t slots) {
  if (half_logits_.empty()) {
    return;
  }
  const size_t size = dtype_size(decoder_->ports_.logits_dtype);
  const auto first = static_cast<size_t>(slot * decoder_->vocab_size_);
  const auto count = static_cast<size_t>(slots * decoder_->vocab_size_);
  to_float32(decoder_->ports_.logits_dtype,
             std::span(half_logits_).subspan(first * size, count * size),
             std::span(logits_).subspan(first, count));
}

OrtTensor OrtSequences::whole_mask(int64_t rows, int64_t length) {
  return OrtTensor::view(DType::kI64, {rows, length}, std::as_writable_bytes(std::span(ones_)));
}

void OrtSequences::prefill(int64_t image,
                           const EncodedImage& encoded,
                           std::span<const int64_t> ids) {
  const int64_t first = image * size_.beams;
  const OrtTensor input = OrtTensor::integers({1, std::ssize(ids)}, ids);
  const std::vector<OrtTensor>& tiles = static_cast<const OrtImage&>(encoded).tiles;
  std::optional<OrtTensor> embeddings;
  std::optional<OrtTensor> mask;
  std::vector<std::byte> rows;
  if (!decoder_->encoder_) {
    mask = whole_mask(1, std::ssize(ids));
    prefill_.input(kInputIds, input);
    prefill_.input(kAttentionMask, *mask);
  } else if (decoder_->embed_) {
    const OrtTensor text = decoder_->embeddings(input);
    rows = with_image(text, ids, decoder_->image_token_id_, tiles);
    embeddings = OrtTensor::view(text.dtype(), text.shape(), rows);
    prefill_.input(kInputsEmbeds, *embeddings);
  } else {
    prefill_.input(kInputIds, input);
    prefill_.input(kEncoderHiddenStates, tiles.at(0));
  }
  bind_logits(prefill_, first, 1);
  cache_.bind_prefill(prefill_, first, size_.prefix);
  prefill_.run();
  cache_.end_prefill(size_.prefix);
  read_logits(first, 1);
  for (int64_t row = first + 1; row < first + size_.beams; ++row) {
    cache_.copy_slot(first, row, 0);
    cache_.copy_encoder(first, row);
    std::ranges::copy(logits(first), logits(row).begin());
  }
}

// Where one row becomes several, its new tokens are copied; image and prompt are the same in all.
void OrtSequences::step(std::span<const int64_t> parents, std::span<const int64_t> tokens) {
  for (const SlotTable::Copy& copy : slots_.branch(parents)) {
    cache_.copy_slot(copy.from, copy.to, size_.prefix);
  }
  for (size_t row = 0; row < tokens.size(); ++row) {
    tokens_[static_cast<size_t>(slots_.slot(static_cast<int64_t>(row)))] = tokens[row];
  }
  std::optional<OrtTensor> embeddings;
  if (decoder_->embed_) {
    embeddings = decoder_->embeddings(tokens_tensor_);
    step_.input(kInputsEmbeds, *embeddings);
  }
  std::optional<OrtTensor> mask;
  if (!decoder_->encoder_) {
    mask = whole_mask(rows_, cache_.length() + 1);
    step_.input(kAttentionMask, *mask);
  }
  cache_.bind_step(step_);
  step_.run();
  cache_.end_step();
  read_logits(0, rows_);
}

std::span<float> OrtSequences::logits(int64_t row) {
  const auto vocab = static_cast<size_t>(decoder_->vocab_size_);
  return std::span(logits_).subspan(static_cast<size_t>(slots_.slot(row)) * vocab, vocab);
}

}  // namespace lorapress
