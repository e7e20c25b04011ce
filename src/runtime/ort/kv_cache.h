// The keys and values of a decoder for several sequences of one length, and where each call reads
// and writes them. ONNX Runtime gets views of memory that is allocated once; between calls only
// beams cause copies.
//
//   growing     [slots, heads, length, head_dim], packed: two arenas, each call reads one and
//               writes the other
//   in place    [slots, heads, capacity, head_dim]: one arena is past and present at once
//
// In place is GroupQueryAttention's own way (its documentation: past and present may share a buffer
// of the greatest length; the true lengths come from seqlens_k and total_sequence_length). Our
// decoders take the past length from the shape of the first layer's keys, so that layer always
// grows and all further layers may lie in place.
//
// Keys and values of an encoder are written by a slot's first call, [slots, heads, encoder tokens,
// head_dim], and only read from then on. All slots of an image have the same, so beams that change
// places move nothing.
#ifndef LORAPRESS_RUNTIME_ORT_KV_CACHE_H_
#define LORAPRESS_RUNTIME_ORT_KV_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/graphs/cache_layout.h"
#include "runtime/ort/ort.h"

namespace lorapress {

class KvCache {
 public:
  // Room for `capacity` positions of `slots` sequences. Throws kInvalidArgument when that
  // exceeds the limit of require_cache_memory().
  KvCache(const CacheLayout& layout, int64_t slots, int64_t capacity);

  // Binds the cache for a call that fills the empty slot with `length` positions. All slots are
  // filled with one length before the first step.
  void bind_prefill(OrtBinding& binding, int64_t slot, int64_t length);
  // After the run: the cache has that many positions.
  void end_prefill(int64_t length) { length_ = length; }

  // Binds the cache for a call that adds one position to every slot.
  void bind_step(OrtBinding& binding);
  void end_step();

  [[nodiscard]] int64_t length() const { return length_; }
  // Positions first ... length() - 1 of one slot become those of another.
  void copy_slot(int64_t from, int64_t to, int64_t first);
  // The encoder's keys and values of one slot become those of another.
  void copy_encoder(int64_t from, int64_t to);

 private:
  struct Entry {  // one tensor: the keys or the values of a layer
    std::string past;
    std::string present;
    bool in_place = false;
    std::unique_ptr<std::byte[]> arenas[2];  // the second is empty in place
  };

  struct EncoderEntry {
    std::string past;
    std::string present;
    std::unique_ptr<std::byte[]> arena;
  };

  // [slots, heads, encoder tokens or 0, head_dim] at `slot`.
  [[nodiscard]] OrtTensor encoder_view(EncoderEntry& entry,
                                       int64_t slot,
                                       int64_t slots,
                                       int64_t tokens) const;
  // [slots, heads, length, head_dim] at `slot` of an arena in which every slot has `stride`
  // positions.
  [[nodiscard]] OrtTensor view(
      Entry& entry, size_t arena, int64_t slot, int64_t slots, int64_t length, int64_t stride);

  CacheLayout layout_;
  int64_t slots_;
  int64_t capacity_;
  int64_t length_ = 0;
  size_t front_ = 0;           // the arena that growing entries read next
  bool step_bound_ = false;    // entries in place need binding only once
  size_t position_bytes_ = 0;  // of one head
  std::vector<Entry> entries_;
  std::vector<EncoderEntry> encoder_;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ORT_KV_CACHE_H_
