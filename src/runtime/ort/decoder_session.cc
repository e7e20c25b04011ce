#include "runtime/ort/decoder_session.h"

#include <algorithm>
#include <numeric>

#include "base/convert.h"
#include "base/fail.h"
#include "graph/ports.h"

namespace lorapress {
namespace {

// `wanted`: -1 for a dimension that may be any; the graph may leave any open.
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
  if (found->dtype != DType::kF32 && found->dtype != DType::kF16 && name != kInputIds) {
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

}  // namespace

DecoderSession::Ports DecoderSession::check_decoder(const OrtSession& session,
                                                    const Manifest& manifest,
                                                    const std::filesystem::path& file) {
  Ports found;
  port(session.inputs(), kInputIds, {-1, -1}, file);
  const OrtPort& image =
      port(session.inputs(), kEncoderHiddenStates, {-1, manifest.image_tokens, -1}, file);
  found.image_shape = {1, manifest.image_tokens, image.shape[2]};
  found.image_dtype = image.dtype;
  found.logits_dtype = port(session.outputs(), kLogits, {-1, 1, manifest.vocab_size}, file).dtype;
  found.cache = {manifest.num_hidden_layers, manifest.num_key_value_heads, manifest.head_dim};
  const Shape cached{-1, found.cache.heads, -1, found.cache.head_dim};
  for (int64_t layer = 0; layer < found.cache.layers; ++layer) {
    for (const CachePart part : kCacheParts) {
      const std::string past = cache_port(CacheSide::kPast, layer, part);
      found.cache.dtype = port(session.inputs(), past, cached, file).dtype;
      port(session.outputs(), cache_port(CacheSide::kPresent, layer, part), cached, file);
    }
  }
  return found;
}

DecoderSession::DecoderSession(const Manifest& manifest, const Files& files, unsigned threads)
    : encoder_(files.encoder, threads),
      decoder_(files.decoder, threads),
      vocab_size_(manifest.vocab_size) {
  const Preprocessing& size = manifest.preprocessing;
  pixels_shape_ = {1, 3, size.height, size.width};
  port(encoder_.inputs(), kPixelValues, {-1, 3, size.height, size.width}, files.encoder);
  port(encoder_.outputs(), kLastHiddenState, {-1, manifest.image_tokens, -1}, files.encoder);
  ports_ = check_decoder(decoder_, manifest, files.decoder);
  ports_.cache.in_place = files.in_place_cache;
  if (files.prefill != files.decoder) {
    prefill_.emplace(files.prefill, threads);
    check_prefill(manifest, files);
  }
}

// The step reads what the first call left, and both write into the same buffers.
void DecoderSession::check_prefill(const Manifest& manifest, const Files& files) {
  const Ports first = check_decoder(*prefill_, manifest, files.prefill);
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

OrtTensor DecoderSession::encode(std::span<const float> pixel_values) const {
  const OrtTensor pixels = OrtTensor::floats(pixels_shape_, pixel_values);
  std::vector<OrtTensor> outputs = encoder_.run({{kPixelValues, &pixels}}, {kLastHiddenState});
  return outputs[0].dtype() == ports_.image_dtype ? std::move(outputs[0])
                                                  : outputs[0].converted(ports_.image_dtype);
}

Decoding::Decoding(const DecoderSession& session, const Size& size)
    : session_(&session),
      size_(size),
      rows_(size.images * size.beams),
      cache_(session.ports_.cache, rows_, size.prompt + size.new_tokens),
      slots_(static_cast<size_t>(rows_)),
      tokens_(static_cast<size_t>(rows_)),
      logits_(static_cast<size_t>(rows_ * session.vocab_size_)),
      half_logits_(session.ports_.logits_dtype == DType::kF32
                       ? 0
                       : logits_.size() * dtype_size(session.ports_.logits_dtype)),
      images_(session.ports_.image_dtype, with_batch(session.ports_.image_shape, rows_)),
      tokens_tensor_(
          OrtTensor::view(DType::kI64, {rows_, 1}, std::as_writable_bytes(std::span(tokens_)))),
      prefill_(session.prefill()),
      step_(session.decoder_) {
  std::iota(slots_.begin(), slots_.end(), 0);
  step_.input(kInputIds, tokens_tensor_);
  step_.input(kEncoderHiddenStates, images_);
  bind_logits(step_, 0, rows_);
}

void Decoding::bind_logits(OrtBinding& binding, int64_t slot, int64_t slots) {
  const DType dtype = session_->ports_.logits_dtype;
  const auto memory =
      half_logits_.empty() ? std::as_writable_bytes(std::span(logits_)) : std::span(half_logits_);
  const auto row_bytes = static_cast<size_t>(session_->vocab_size_) * dtype_size(dtype);
  binding.output(kLogits,
                 OrtTensor::view(dtype,
                                 {slots, 1, session_->vocab_size_},
                                 memory.subspan(static_cast<size_t>(slot) * row_bytes)));
}

void Decoding::read_logits(int64_t slot, int64_t slots) {
  if (half_logits_.empty()) {
    return;
  }
  const size_t size = dtype_size(session_->ports_.logits_dtype);
  const auto first = static_cast<size_t>(slot * session_->vocab_size_);
  const auto count = static_cast<size_t>(slots * session_->vocab_size_);
  to_float32(session_->ports_.logits_dtype,
             std::span(half_logits_).subspan(first * size, count * size),
             std::span(logits_).subspan(first, count));
}

void Decoding::prefill(int64_t image, const OrtTensor& image_tokens, std::span<const int64_t> ids) {
  const int64_t first = image * size_.beams;
  const OrtTensor input = OrtTensor::integers({1, std::ssize(ids)}, ids);
  prefill_.input(kInputIds, input);
  prefill_.input(kEncoderHiddenStates, image_tokens);
  bind_logits(prefill_, first, 1);
  cache_.bind_prefill(prefill_, first, size_.prompt);
  prefill_.run();
  cache_.end_prefill(size_.prompt);
  read_logits(first, 1);
  for (int64_t row = first + 1; row < first + size_.beams; ++row) {
    cache_.copy_slot(first, row, 0);
    std::ranges::copy(logits(first), logits(row).begin());
  }
}

void Decoding::step(std::span<const int64_t> tokens) {
  for (size_t row = 0; row < tokens.size(); ++row) {
    tokens_[static_cast<size_t>(slots_[row])] = tokens[row];
  }
  cache_.bind_step(step_);
  step_.run();
  cache_.end_step();
  read_logits(0, rows_);
}

std::span<float> Decoding::logits(int64_t row) {
  const auto vocab = static_cast<size_t>(session_->vocab_size_);
  return std::span(logits_).subspan(static_cast<size_t>(slots_[static_cast<size_t>(row)]) * vocab,
                                    vocab);
}

// The first row that goes on from a parent takes over its slot; the others get the slots that no
// row goes on from, so a copy never overwrites what is still to be read.
void Decoding::reorder(std::span<const int64_t> parents) {
  constexpr int64_t kNone = -1;
  const auto beams = static_cast<size_t>(size_.beams);
  const std::vector<int64_t> before = slots_;
  for (size_t first = 0; first < before.size(); first += beams) {
    std::vector<bool> taken(beams);
    for (size_t row = first; row < first + beams; ++row) {
      const int64_t slot = before[static_cast<size_t>(parents[row])];
      const size_t place = static_cast<size_t>(slot) - first;
      slots_[row] = taken[place] ? kNone : slot;
      taken[place] = true;
    }
    size_t place = 0;
    for (size_t row = first; row < first + beams; ++row) {
      if (slots_[row] != kNone) {
        continue;
      }
      while (taken[place]) {
        ++place;
      }
      taken[place] = true;
      slots_[row] = static_cast<int64_t>(first + place);
      cache_.copy_slot(before[static_cast<size_t>(parents[row])], slots_[row], size_.prompt);
    }
  }
}

}  // namespace lorapress
