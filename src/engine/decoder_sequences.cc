#include "engine/decoder_sequences.h"

#include <algorithm>
#include <numeric>

namespace lorapress::engine {
namespace {

constexpr int64_t kFirstRoom =
    64;  // positions behind the prompt, before it is known that more come
constexpr int64_t kNone = -1;

}  // namespace

Sequences::Sequences(const Decoder& decoder, int64_t images, int64_t beams, int64_t room)
    : decoder_(&decoder),
      images_(images),
      beams_(beams),
      room_(std::clamp(room, int64_t{1}, kFirstRoom)),
      slots_(static_cast<size_t>(images * beams)),
      tokens_(slots_.size()),
      logits_(slots_.size() * static_cast<size_t>(decoder.facts_.vocab_size)),
      cache_(decoder.later_.cache.size()) {
  std::iota(slots_.begin(), slots_.end(), 0);
  decoder.later_.session->prepare(run_, *decoder.workers_);
  if (decoder.embeds_apart()) {
    decoder.of(Part::kEmbeddings).session->prepare(embed_run_, *decoder.workers_);
  }
}

size_t Sequences::bytes() const {
  return run_.pool.bytes() + embed_run_.pool.bytes() + memory_.bytes() +
         (logits_.size() + ordered_.size() + blank_.size()) * sizeof(float);
}

float* Sequences::all_logits() {
  const int64_t vocab = decoder_->facts_.vocab_size;
  const bool in_order = std::is_sorted(slots_.begin(), slots_.end());  // slots are 0 ... rows - 1
  if (in_order) {
    return logits_.data();
  }
  ordered_.resize(logits_.size());
  for (int64_t row = 0; row < rows(); ++row) {
    std::copy_n(logits(row), vocab, ordered_.data() + row * vocab);
  }
  return ordered_.data();
}

// ---- the cache ---------------------------------------------------------------------------------

void Sequences::rebuild(size_t index, std::span<const int64_t> sources, int64_t capacity) {
  Cache& cache = cache_[index];
  Dims dims = cache.tensor.dims();
  const int64_t heads = dims[1];
  const int64_t width = dims[3];
  const int64_t from = dims[2];
  const int64_t to = port(index).in_place ? capacity : from;
  dims[0] = static_cast<int64_t>(sources.size());
  dims[2] = to;
  const Tensor next(memory_, Type::kF32, dims);
  const int64_t used = port(index).in_place ? length_ - shared_ : from;
  for (int64_t slot = 0; slot < dims[0]; ++slot) {
    const int64_t source = sources[static_cast<size_t>(slot)];
    for (int64_t head = 0; head < heads; ++head) {
      std::copy_n(cache.tensor.floats() + (source * heads + head) * from * width,
                  used * width,
                  next.floats() + (slot * heads + head) * to * width);
    }
  }
  cache.tensor = next;
}

// Room for `capacity` positions behind the shared ones.
void Sequences::reserve(int64_t capacity) {
  if (capacity <= capacity_) {
    return;
  }
  const bool began = capacity_ > 0;
  capacity_ = std::max(capacity, capacity_ + std::max(room_, capacity_));
  std::vector<int64_t> same(slots_.size());
  std::iota(same.begin(), same.end(), 0);
  for (size_t i = 0; i < cache_.size(); ++i) {
    if (port(i).in_place && began) {
      rebuild(i, same, capacity_);
    } else if (port(i).in_place) {
      const DecoderFacts& facts = decoder_->facts_;
      cache_[i].prefix =
          Tensor(memory_, Type::kF32, Dims{images_, facts.kv_heads, prefix_, facts.head_dim});
      cache_[i].tensor =
          Tensor(memory_, Type::kF32, Dims{rows(), facts.kv_heads, capacity_, facts.head_dim});
    }
  }
}

// Another number of rows.
void Sequences::renumber(std::span<const int64_t> parents) {
  std::vector<int64_t> sources;
  for (const int64_t parent : parents) {
    sources.push_back(slots_[static_cast<size_t>(parent)]);
  }
  for (size_t i = 0; i < cache_.size(); ++i) {
    rebuild(i, sources, capacity_);
  }
  beams_ = static_cast<int64_t>(parents.size());
  slots_.resize(parents.size());
  std::iota(slots_.begin(), slots_.end(), 0);
  tokens_.resize(parents.size());
  logits_ = std::vector<float>(slots_.size() * static_cast<size_t>(decoder_->facts_.vocab_size));
}

// The first row that continues a parent takes over its slot; the others get the slots of the image that no row
// continues, so a copy never overwrites a slot that is still to be read. Where one row becomes several, its new
// tokens are copied; image and prompt are the same in all.
void Sequences::branch(std::span<const int64_t> parents) {
  const std::vector<int64_t> before = slots_;
  std::vector<bool> taken(slots_.size());
  for (size_t row = 0; row < slots_.size(); ++row) {
    const int64_t slot = before[static_cast<size_t>(parents[row])];
    slots_[row] = taken[static_cast<size_t>(slot)] ? kNone : slot;
    taken[static_cast<size_t>(slot)] = true;
  }
  for (size_t row = 0; row < slots_.size(); ++row) {
    if (slots_[row] != kNone) {
      continue;
    }
    auto slot = static_cast<int64_t>(row) / beams_ * beams_;
    while (taken[static_cast<size_t>(slot)]) {
      ++slot;
    }
    taken[static_cast<size_t>(slot)] = true;
    slots_[row] = slot;
    for (size_t i = 0; i < cache_.size(); ++i) {
      copy_slot(i, before[static_cast<size_t>(parents[row])], slot, prefix_);
    }
  }
}

void Sequences::copy_slot(size_t index, int64_t from, int64_t to, int64_t first) {
  const Tensor& cache = cache_[index].tensor;
  if (port(index).encoder && first > 0) {
    return;  // all slots of an image have the same
  }
  const Dims& dims = cache.dims();
  const int64_t length = port(index).in_place ? length_ - shared_ : dims[2];
  first -= port(index).in_place ? std::min(first, shared_) : 0;
  for (int64_t head = 0; head < dims[1]; ++head) {
    const auto at = [&](int64_t slot) {
      return cache.floats() + ((slot * dims[1] + head) * dims[2] + first) * dims[3];
    };
    std::copy_n(at(from), (length - first) * dims[3], at(to));
  }
}

// The cache as an input of a call for these slots.
Tensor Sequences::past(size_t index, int64_t slot, int64_t slots) const {
  const int64_t heads = decoder_->facts_.kv_heads;
  const int64_t width = decoder_->facts_.head_dim;
  if (port(index).in_place) {
    const Dims dims{slots, heads, length_, width};
    const Cache& cache = cache_[index];
    if (length_ == 0) {
      const float* begin = cache.prefix.floats() + slot / beams_ * heads * prefix_ * width;
      return Tensor(Type::kF32, dims, begin).with_capacity(dims, prefix_);
    }
    return Tensor(Type::kF32, dims, cache.tensor.data())
        .with_capacity(dims, capacity_)
        .with_shared({cache.prefix.floats(), shared_, prefix_, beams_, port(index).keys});
  }
  return length_ > 0 ? cache_[index].tensor
                     : Tensor(Type::kF32, Dims{slots, heads, 0, width}, nullptr);
}

// What a call gave: of one slot while the rows begin, of all later.
void Sequences::keep(size_t index, Tensor present, int64_t slot) {
  const bool step = length_ > 0;
  if (port(index).in_place || (port(index).encoder && step)) {
    return;
  }
  Cache& cache = cache_[index];
  if (step) {
    cache.tensor = std::move(present);
    return;
  }
  Dims dims = present.dims();
  dims[0] = rows();
  if (!cache.tensor.present()) {
    cache.tensor = Tensor(memory_, Type::kF32, dims);
  }
  std::copy_n(present.floats(),
              present.count(),
              cache.tensor.floats() + slot * (cache.tensor.count() / rows()));
}

// What lies behind the shared positions of an image's prefix goes into all its slots; keys before them become tiles,
// which every step reads.
void Sequences::keep_prefix(size_t index, int64_t image) {
  const Cache& cache = cache_[index];
  const Dims& dims = cache.prefix.dims();
  for (int64_t slot = image * beams_; slot < (image + 1) * beams_; ++slot) {
    for (int64_t head = 0; head < dims[1]; ++head) {
      std::copy_n(cache.prefix.floats() + ((image * dims[1] + head) * prefix_ + shared_) * dims[3],
                  (prefix_ - shared_) * dims[3],
                  cache.tensor.floats() + (slot * dims[1] + head) * capacity_ * dims[3]);
    }
  }
  if (!port(index).keys) {
    return;
  }
  std::vector<float> rows(static_cast<size_t>(kernels::kTile * dims[3]));
  for (int64_t head = 0; head < dims[1]; ++head) {
    for (int64_t j = 0; j < shared_; j += kernels::kTile) {
      float* const tile =
          cache.prefix.floats() + ((image * dims[1] + head) * prefix_ + j) * dims[3];
      std::copy_n(tile, rows.size(), rows.data());
      kernels::tile_keys(rows.data(), dims[3], tile);
    }
  }
}

// ---- calls -------------------------------------------------------------------------------------

Tensor Sequences::embeddings(const Tensor& ids) {
  std::vector<Tensor> results(1);
  decoder_->run(Part::kEmbeddings, embed_run_, {&ids, 1}, results);
  return results[0];
}

// Embeddings of a prompt whose image tokens become the tiles' features, in their order.
Tensor Sequences::prompt_embeddings(const Tensor& ids, const Image* image) {
  const Tensor text = embeddings(ids);
  if (image == nullptr) {
    return text;
  }
  const int64_t width = text.dims().back();
  if (width != image->width) {
    refuse(Problem::kMismatch, "features of an image of another width than embeddings");
  }
  Tensor rows(memory_, Type::kF32, text.dims());
  std::copy_n(text.floats(), text.count(), rows.floats());
  const float* next = image->features.data();
  for (int64_t i = 0; i < ids.count(); ++i) {
    if (ids.integers()[i] == decoder_->facts_.image_token_id) {
      std::copy_n(next, width, rows.floats() + i * width);
      next += width;
    }
  }
  return rows;
}

void Sequences::call(const DecoderGraph& graph, Part part, Run& run, int64_t slot, int64_t slots) {
  for (size_t i = 0; i < graph.cache.size(); ++i) {
    feeds_[static_cast<size_t>(graph.cache[i].past)] = past(i, slot, slots);
  }
  results_.resize(graph.session->outputs().size());
  decoder_->run(part, run, feeds_, results_);
  const Tensor& logits = results_[static_cast<size_t>(graph.logits)];
  std::copy_n(logits.floats(), logits.count(), logits_.data() + slot * decoder_->facts_.vocab_size);
  for (size_t i = 0; i < graph.cache.size(); ++i) {
    keep(i, std::move(results_[static_cast<size_t>(graph.cache[i].present)]), slot);
  }
  feeds_.clear();
  results_.clear();
}

void Sequences::prefill(int64_t image, const Image* encoded, std::span<const int64_t> ids) {
  const bool other = decoder_->has(Part::kFirstDecoder);
  const DecoderGraph& graph = decoder_->first();
  const int64_t first = image * beams_;
  const auto count = static_cast<int64_t>(ids.size());
  prefix_ = decoder_->positions(encoded, count);
  shared_ = prefix_ / kernels::kTile * kernels::kTile;
  length_ = 0;
  reserve(prefix_ - shared_ + room_);
  ones_.resize(graph.mask >= 0 ? std::max(ones_.size(), ids.size()) : 0, 1);
  graph.session->prepare(first_run_.emplace(), *decoder_->workers_);
  const Tensor input(Type::kI64, Dims{1, count}, ids.data());
  feeds_.resize(graph.session->inputs().size());
  feeds_[static_cast<size_t>(graph.ids)] =
      decoder_->embeds_apart() ? prompt_embeddings(input, encoded) : input;
  if (graph.image >= 0) {
    image_dims_ = {1, encoded->positions(), encoded->width};
    feeds_[static_cast<size_t>(graph.image)] =
        Tensor(Type::kF32, image_dims_, encoded->features.data());
  }
  if (graph.mask >= 0) {
    feeds_[static_cast<size_t>(graph.mask)] = Tensor(Type::kI64, Dims{1, count}, ones_.data());
  }
  call(graph, other ? Part::kFirstDecoder : Part::kDecoder, *first_run_, first, 1);
  first_run_.reset();
  length_ = prefix_;
  for (size_t i = 0; i < cache_.size(); ++i) {
    if (port(i).in_place) {
      keep_prefix(i, image);
    }
  }
  for (int64_t row = first + 1; row < first + beams_; ++row) {
    for (size_t i = 0; i < cache_.size(); ++i) {
      if (!port(i).in_place) {
        copy_slot(i, first, row, 0);
      }
    }
    std::copy_n(logits(first), decoder_->facts_.vocab_size, logits(row));
  }
}

void Sequences::step(std::span<const int64_t> parents, std::span<const int64_t> tokens) {
  if (static_cast<int64_t>(parents.size()) != rows()) {
    renumber(parents);
  } else {
    branch(parents);
  }
  reserve(length_ - shared_ + 1);
  for (size_t row = 0; row < tokens.size(); ++row) {
    tokens_[static_cast<size_t>(slots_[row])] = tokens[row];
  }
  const DecoderGraph& graph = decoder_->later_;
  const Tensor ids(Type::kI64, Dims{rows(), 1}, tokens_.data());
  feeds_.resize(graph.session->inputs().size());
  feeds_[static_cast<size_t>(graph.ids)] = decoder_->embeds_apart() ? embeddings(ids) : ids;
  if (graph.image >= 0) {
    image_dims_[0] = rows();
    blank_.resize(static_cast<size_t>(image_dims_.count()));
    feeds_[static_cast<size_t>(graph.image)] = Tensor(Type::kF32, image_dims_, blank_.data());
  }
  if (graph.mask >= 0) {
    ones_.resize(std::max(ones_.size(), static_cast<size_t>(rows() * (length_ + 1))), 1);
    feeds_[static_cast<size_t>(graph.mask)] =
        Tensor(Type::kI64, Dims{rows(), length_ + 1}, ones_.data());
  }
  call(graph, Part::kDecoder, run_, 0, rows());
  ++length_;
}

}  // namespace lorapress::engine
