#include "runtime/ort/kv_cache.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/checked.h"
#include "graph/ports.h"
#include "runtime/engine/slots.h"

namespace lorapress {

KvCache::KvCache(const CacheLayout& layout, int64_t slots, int64_t capacity)
    : layout_(layout), slots_(slots), capacity_(capacity) {
  position_bytes_ = static_cast<size_t>(layout.head_dim) * dtype_size(layout.dtype);
  const auto element_bytes = static_cast<int64_t>(dtype_size(layout.dtype));
  require_cache_memory(
      slots,
      capacity + layout.encoder_tokens,
      checked_product(std::array{layout.heads, layout.head_dim, 4 * layout.pairs(), element_bytes})
          .value_or(INT64_MAX));
  const size_t bytes = static_cast<size_t>(slots * layout.heads * capacity) * position_bytes_;
  for (int64_t layer = 0; layer < layout.pairs(); ++layer) {
    for (const CachePart part : kCacheParts) {
      Entry entry{cache_port(CacheSide::kPast, layer, part, layout.kind()),
                  cache_port(CacheSide::kPresent, layer, part, layout.kind()),
                  layout.in_place && layer > 0 && layer < layout.layers,
                  {}};
      entry.arenas[0] = std::make_unique_for_overwrite<std::byte[]>(bytes);
      if (!entry.in_place) {
        entry.arenas[1] = std::make_unique_for_overwrite<std::byte[]>(bytes);
      }
      entries_.push_back(std::move(entry));
      if (layout.encoder_tokens != 0 && layer < layout.layers) {
        const auto all = static_cast<size_t>(slots * layout.heads * layout.encoder_tokens);
        encoder_.push_back({cache_port(CacheSide::kPast, layer, part, CacheKind::kEncoder),
                            cache_port(CacheSide::kPresent, layer, part, CacheKind::kEncoder),
                            std::make_unique_for_overwrite<std::byte[]>(all * position_bytes_)});
      }
    }
  }
}

OrtTensor KvCache::encoder_view(EncoderEntry& entry,
                                int64_t slot,
                                int64_t slots,
                                int64_t tokens) const {
  const size_t slot_bytes =
      static_cast<size_t>(layout_.heads * layout_.encoder_tokens) * position_bytes_;
  const size_t bytes = static_cast<size_t>(slots * layout_.heads * tokens) * position_bytes_;
  return OrtTensor::view(layout_.dtype,
                         {slots, layout_.heads, tokens, layout_.head_dim},
                         {entry.arena.get() + static_cast<size_t>(slot) * slot_bytes, bytes});
}

OrtTensor KvCache::view(
    Entry& entry, size_t arena, int64_t slot, int64_t slots, int64_t length, int64_t stride) {
  const size_t slot_bytes = static_cast<size_t>(layout_.heads * stride) * position_bytes_;
  const size_t bytes = static_cast<size_t>(slots * layout_.heads * length) * position_bytes_;
  std::byte* const begin = entry.arenas[arena].get() + static_cast<size_t>(slot) * slot_bytes;
  return OrtTensor::view(
      layout_.dtype, {slots, layout_.heads, length, layout_.head_dim}, {begin, bytes});
}

void KvCache::bind_prefill(OrtBinding& binding, int64_t slot, int64_t length) {
  for (Entry& entry : entries_) {
    if (entry.in_place) {
      const OrtTensor whole = view(entry, 0, slot, 1, capacity_, capacity_);
      binding.input(entry.past, whole);
      binding.output(entry.present, whole);
    } else {
      binding.input(entry.past, view(entry, 1 - front_, slot, 1, 0, length));
      binding.output(entry.present, view(entry, front_, slot, 1, length, length));
    }
  }
  for (EncoderEntry& entry : encoder_) {
    binding.input(entry.past, encoder_view(entry, slot, 1, 0));
    binding.output(entry.present, encoder_view(entry, slot, 1, layout_.encoder_tokens));
  }
}

void KvCache::bind_step(OrtBinding& binding) {
  for (Entry& entry : entries_) {
    if (!entry.in_place) {
      binding.input(entry.past, view(entry, front_, 0, slots_, length_, length_));
      binding.output(entry.present, view(entry, 1 - front_, 0, slots_, length_ + 1, length_ + 1));
    } else if (!step_bound_) {
      const OrtTensor whole = view(entry, 0, 0, slots_, capacity_, capacity_);
      binding.input(entry.past, whole);
      binding.output(entry.present, whole);
    }
  }
  if (!step_bound_) {
    for (EncoderEntry& entry : encoder_) {
      binding.input(entry.past, encoder_view(entry, 0, slots_, layout_.encoder_tokens));
    }
  }
  step_bound_ = true;
}

void KvCache::end_step() {
  front_ = 1 - front_;
  ++length_;
}

void KvCache::copy_slot(int64_t from, int64_t to, int64_t first) {
  const size_t count = static_cast<size_t>(length_ - first) * position_bytes_;
  for (Entry& entry : entries_) {
    const int64_t stride = entry.in_place ? capacity_ : length_;
    std::byte* const arena = entry.arenas[entry.in_place ? 0 : front_].get();
    for (int64_t head = 0; head < layout_.heads; ++head) {
      const auto at = [&](int64_t slot) {
        const int64_t position = (slot * layout_.heads + head) * stride + first;
        return arena + static_cast<size_t>(position) * position_bytes_;
      };
      std::memcpy(at(to), at(from), count);
    }
  }
}

void KvCache::copy_encoder(int64_t from, int64_t to) {
  const size_t bytes =
      static_cast<size_t>(layout_.heads * layout_.encoder_tokens) * position_bytes_;
  for (EncoderEntry& entry : encoder_) {
    std::byte* const arena = entry.arena.get();
    std::memcpy(
        arena + static_cast<size_t>(to) * bytes, arena + static_cast<size_t>(from) * bytes, bytes);
  }
}

}  // namespace lorapress
