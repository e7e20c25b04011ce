#include "runtime/native/native_sequences.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"

namespace lorapress {
namespace {

using engine::Tensor;
using engine::Type;

}  // namespace

NativeSequences::NativeSequences(const NativeDecoder& decoder, const SequencesSize& size)
    : decoder_(&decoder),
      size_(size),
      rows_(size.images * size.beams),
      capacity_(size.prefix + size.new_tokens),
      slots_(size.images, size.beams) {
  const Graph& later = decoder.later_;
  int64_t position = 0;
  for (const NativeCachePort& port : later.cache) {
    position += port.heads * port.width * static_cast<int64_t>(sizeof(float));
  }
  require_cache_memory(rows_, capacity_, position);
  tokens_.resize(static_cast<size_t>(rows_));
  logits_.resize(static_cast<size_t>(rows_ * decoder.vocab_size_));
  if (later.image >= 0) {
    const int64_t width =
        later.session->graph().inputs()[static_cast<size_t>(later.image)].dims.back();
    images_.resize(static_cast<size_t>(rows_ * decoder.image_tokens_ * width));
  }
  if (later.mask >= 0) {
    ones_.resize(static_cast<size_t>(rows_ * capacity_), 1);
  }
  later.session->graph().prepare(run_, decoder.workers_);
  if (decoder.prefill_) {
    decoder.first_.session->graph().prepare(first_run_, decoder.workers_);
  }
  if (decoder.embed_) {
    decoder.embed_->graph().prepare(embed_run_, decoder.workers_);
  }
  cache_.resize(later.cache.size());
  for (size_t i = 0; i < cache_.size(); ++i) {
    if (const NativeCachePort& port = later.cache[i]; port.in_place) {
      cache_[i] =
          Tensor(memory_, Type::kF32, engine::Dims{rows_, port.heads, capacity_, port.width});
    }
  }
}

Tensor NativeSequences::past(size_t index, int64_t slot, int64_t slots) const {
  const NativeCachePort& port = decoder_->later_.cache[index];
  const bool whole = slots == rows_ && length_ > 0;
  if (port.in_place) {
    const float* begin = cache_[index].floats() + slot * port.heads * capacity_ * port.width;
    const engine::Dims dims{slots, port.heads, whole ? length_ : 0, port.width};
    return Tensor(Type::kF32, dims, begin).with_capacity(dims, capacity_);
  }
  if (whole) {
    return cache_[index];
  }
  return {Type::kF32, engine::Dims{slots, port.heads, 0, port.width}, cache_.data()};
}

// What a call gave: of one slot while the rows begin, of all later.
void NativeSequences::keep(size_t index, Tensor present, int64_t slot, int64_t slots) {
  const NativeCachePort& port = decoder_->later_.cache[index];
  const bool step = length_ > 0;
  if (port.in_place || (port.encoder && step)) {
    return;
  }
  if (step) {
    cache_[index] = std::move(present);
    return;
  }
  engine::Dims dims = present.dims();
  dims[0] = rows_;
  if (!cache_[index].present()) {
    cache_[index] = Tensor(memory_, Type::kF32, dims);
  }
  std::copy_n(present.floats(),
              present.count(),
              cache_[index].floats() + slot * (cache_[index].count() / rows_));
  static_cast<void>(slots);
}

void NativeSequences::copy_slot(size_t index, int64_t from, int64_t to, int64_t first) {
  const NativeCachePort& port = decoder_->later_.cache[index];
  const Tensor& cache = cache_[index];
  if (port.encoder && first > 0) {
    return;  // all slots of an image have the same
  }
  const int64_t stride = cache.dims()[2];
  const int64_t length = port.in_place ? length_ : stride;
  for (int64_t head = 0; head < port.heads; ++head) {
    const auto at = [&](int64_t slot) {
      return cache.floats() + ((slot * port.heads + head) * stride + first) * port.width;
    };
    std::copy_n(at(from), (length - first) * port.width, at(to));
  }
}

// Embeddings of a prompt whose image tokens become the tiles' features, in their order.
Tensor NativeSequences::prompt_embeddings(const Tensor& ids, const NativeImage& image) {
  const Tensor text = decoder_->embeddings(embed_run_, ids);
  Tensor rows(memory_, Type::kF32, text.dims());
  std::copy_n(text.floats(), text.count(), rows.floats());
  const int64_t width = text.dims().back();
  const auto wanted =
      std::count(ids.integers(), ids.integers() + ids.count(), decoder_->image_token_id_);
  if (image.width != width || wanted * width != std::ssize(image.features)) {
    fail(ErrorCode::kMismatch,
         "the prompt has {} image tokens, the image {}; the tokenizer and the processor's settings "
         "do not belong together",
         wanted,
         std::ssize(image.features) / std::max<int64_t>(image.width, 1));
  }
  const float* next = image.features.data();
  for (int64_t i = 0; i < ids.count(); ++i) {
    if (ids.integers()[i] == decoder_->image_token_id_) {
      std::copy_n(next, width, rows.floats() + i * width);
      next += width;
    }
  }
  return rows;
}

void NativeSequences::call(const Graph& graph, engine::Run& run, int64_t slot, int64_t slots) {
  for (size_t i = 0; i < graph.cache.size(); ++i) {
    feeds_[static_cast<size_t>(graph.cache[i].past)] = past(i, slot, slots);
  }
  results_.resize(graph.session->graph().outputs().size());
  graph.session->run(run, feeds_, results_);
  const Tensor& logits = results_[static_cast<size_t>(graph.logits)];
  std::copy_n(logits.floats(), logits.count(), logits_.data() + slot * decoder_->vocab_size_);
  for (size_t i = 0; i < graph.cache.size(); ++i) {
    keep(i, std::move(results_[static_cast<size_t>(graph.cache[i].present)]), slot, slots);
  }
  feeds_.clear();
  results_.clear();
}

void NativeSequences::prefill(int64_t image,
                              const EncodedImage& encoded,
                              std::span<const int64_t> ids) {
  const Graph& graph = decoder_->first_;
  const auto& pixels = static_cast<const NativeImage&>(encoded);
  const int64_t first = image * size_.beams;
  const Tensor input(Type::kI64, engine::Dims{1, std::ssize(ids)}, ids.data());
  length_ = 0;
  feeds_.resize(graph.session->graph().inputs().size());
  feeds_[static_cast<size_t>(graph.ids)] =
      decoder_->embed_ ? prompt_embeddings(input, pixels) : input;
  if (graph.image >= 0) {
    feeds_[static_cast<size_t>(graph.image)] = Tensor(
        Type::kF32, engine::Dims{1, decoder_->image_tokens_, pixels.width}, pixels.features.data());
  }
  if (graph.mask >= 0) {
    feeds_[static_cast<size_t>(graph.mask)] =
        Tensor(Type::kI64, engine::Dims{1, std::ssize(ids)}, ones_.data());
  }
  call(graph, decoder_->prefill_ ? first_run_ : run_, first, 1);
  length_ = size_.prefix;
  for (int64_t row = first + 1; row < first + size_.beams; ++row) {
    for (size_t i = 0; i < cache_.size(); ++i) {
      copy_slot(i, first, row, 0);
    }
    std::ranges::copy(logits(first), logits(row).begin());
  }
}

// Where one row becomes several, its new tokens are copied; image and prompt are the same in all.
void NativeSequences::step(std::span<const int64_t> parents, std::span<const int64_t> tokens) {
  for (const SlotTable::Copy& copy : slots_.branch(parents)) {
    for (size_t i = 0; i < cache_.size(); ++i) {
      copy_slot(i, copy.from, copy.to, size_.prefix);
    }
  }
  for (size_t row = 0; row < tokens.size(); ++row) {
    tokens_[static_cast<size_t>(slots_.slot(static_cast<int64_t>(row)))] = tokens[row];
  }
  const Graph& graph = decoder_->later_;
  const Tensor ids(Type::kI64, engine::Dims{rows_, 1}, tokens_.data());
  feeds_.resize(graph.session->graph().inputs().size());
  feeds_[static_cast<size_t>(graph.ids)] =
      decoder_->embed_ ? decoder_->embeddings(embed_run_, ids) : ids;
  if (graph.image >= 0) {
    feeds_[static_cast<size_t>(graph.image)] = Tensor(
        Type::kF32,
        engine::Dims{
            rows_, decoder_->image_tokens_, std::ssize(images_) / rows_ / decoder_->image_tokens_},
        images_.data());
  }
  if (graph.mask >= 0) {
    feeds_[static_cast<size_t>(graph.mask)] =
        Tensor(Type::kI64, engine::Dims{rows_, length_ + 1}, ones_.data());
  }
  call(graph, run_, 0, rows_);
  ++length_;
}

std::span<float> NativeSequences::logits(int64_t row) {
  const auto vocab = static_cast<size_t>(decoder_->vocab_size_);
  return std::span(logits_).subspan(static_cast<size_t>(slots_.slot(row)) * vocab, vocab);
}

}  // namespace lorapress
