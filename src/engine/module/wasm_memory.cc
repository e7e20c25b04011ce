// The module's heap, and what of the C library it calls: one thread allocates.
//
//   blocks of up to 1 KiB    lists of free ones by size, in steps of 16 bytes, cut from runs of 64 KiB and never joined
//   larger                   best fit of free ones in the order of their addresses, joined with free neighbours
//
// Before each block lies its size (16 bytes). Larger ones begin behind a multiple of 64 less 16, so that all of them are
// aligned to 64; a graph's weights and a run's buffers are such blocks, a few hundred.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "engine/kernels/math.h"
#include "engine/module/module.h"

namespace {

constexpr size_t kHeader = 16;
constexpr size_t kMostSmall = 1024;
constexpr size_t kStep = 16;
constexpr size_t kRun = size_t{64} << 10;
constexpr size_t kPage = size_t{64} << 10;
constexpr size_t kLine = 64;

struct Free {
  size_t size;  // with the header
  Free* next;
};
Free* small_blocks[kMostSmall / kStep + 1];
Free* large_blocks;  // in the order of addresses

extern "C" char __heap_base;  // of the linker  // NOLINT(bugprone-reserved-identifier)
uintptr_t heap_end;           // what lies behind it up to the memory's end has not been used

char* bytes_of(void* at) {
  return static_cast<char*>(at);
}

// Puts a block among the free ones.
void release(Free* block) {
  Free** link = &large_blocks;
  Free* before = nullptr;
  while (*link != nullptr && *link < block) {
    before = *link;
    link = &(*link)->next;
  }
  block->next = *link;
  *link = block;
  if (block->next != nullptr && bytes_of(block) + block->size == bytes_of(block->next)) {
    block->size += block->next->size;
    block->next = block->next->next;
  }
  if (before != nullptr && bytes_of(before) + before->size == bytes_of(block)) {
    before->size += block->size;
    before->next = block->next;
  }
}

// More memory behind the heap, as a free block.
bool grow(size_t size) {
  if (heap_end == 0) {
    heap_end = (reinterpret_cast<uintptr_t>(&__heap_base) + kLine - 1) / kLine * kLine;
  }
  size_t have = __builtin_wasm_memory_size(0) * kPage - heap_end;
  Free* last = large_blocks;
  while (last != nullptr && last->next != nullptr) {
    last = last->next;
  }
  const bool joins = last != nullptr && reinterpret_cast<uintptr_t>(last) + last->size == heap_end;
  const size_t wanted = joins ? size - last->size : size;
  if (have < wanted) {
    const size_t pages = (wanted - have + kPage - 1) / kPage;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) {
      return false;
    }
    have += pages * kPage;
  }
  auto* block = reinterpret_cast<Free*>(heap_end);
  block->size = have / kLine * kLine;
  heap_end += block->size;
  release(block);
  return true;
}

// A block of `size` with its header, a multiple of kLine; null where memory ends.
Free* take_large(size_t size) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    Free** best = nullptr;
    for (Free** link = &large_blocks; *link != nullptr; link = &(*link)->next) {
      if ((*link)->size >= size && (best == nullptr || (*link)->size < (*best)->size)) {
        best = link;
      }
    }
    if (best != nullptr) {
      Free* block = *best;
      if (block->size > size) {
        auto* rest = reinterpret_cast<Free*>(bytes_of(block) + size);
        rest->size = block->size - size;
        rest->next = block->next;
        *best = rest;
        block->size = size;
      } else {
        *best = block->next;
      }
      return block;
    }
    if (!grow(size)) {
      return nullptr;
    }
  }
  return nullptr;
}

// Cuts a run into blocks of one size.
bool cut(size_t size) {
  Free* run = take_large(kRun);
  if (run == nullptr) {
    return false;
  }
  char* at = bytes_of(run);
  for (size_t used = 0; used + size <= kRun; used += size) {
    auto* block = reinterpret_cast<Free*>(at + used);
    block->size = size;
    block->next = small_blocks[size / kStep];
    small_blocks[size / kStep] = block;
  }
  return true;
}

}  // namespace

extern "C" {

void* malloc(size_t bytes) {
  if (bytes > PTRDIFF_MAX - 2 * kLine) {
    return nullptr;
  }
  const size_t small = (bytes + kHeader + kStep - 1) / kStep * kStep;
  if (small <= kMostSmall) {
    Free*& list = small_blocks[small / kStep];
    if (list == nullptr && !cut(small)) {
      return nullptr;
    }
    Free* block = list;
    list = block->next;
    return bytes_of(block) + kHeader;
  }
  // The content begins at the block's second line; what is between holds the size.
  Free* block = take_large((bytes + 2 * kLine - 1) / kLine * kLine);
  if (block == nullptr) {
    return nullptr;
  }
  char* content = bytes_of(block) + kLine;
  std::memcpy(content - kHeader, &block->size, sizeof(block->size));
  return content;
}

void free(void* content) {
  if (content == nullptr) {
    return;
  }
  size_t size = 0;
  std::memcpy(&size, bytes_of(content) - kHeader, sizeof(size));
  if (size <= kMostSmall) {
    auto* block = reinterpret_cast<Free*>(bytes_of(content) - kHeader);
    block->next = small_blocks[size / kStep];
    small_blocks[size / kStep] = block;
    return;
  }
  auto* block = reinterpret_cast<Free*>(bytes_of(content) - kLine);
  block->size = size;
  release(block);
}

// REQUIRES: at most 64.
void* aligned_alloc(size_t alignment, size_t bytes) {
  static_cast<void>(alignment);
  return malloc(bytes < kMostSmall ? kMostSmall : bytes);
}

int strcmp(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) {
    ++a;
    ++b;
  }
  return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

// std::find of 32-bit numbers.
wchar_t* wmemchr(const wchar_t* from, wchar_t wanted, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (from[i] == wanted) {
      return const_cast<wchar_t*>(from + i);
    }
  }
  return nullptr;
}

float powf(float x, float y) {
  if (x == 1.0F || y == 0.0F) {
    return 1.0F;
  }
  if (y == 2.0F) {
    return x * x;
  }
  const bool whole = __builtin_floorf(y) == y;
  if (x < 0 && !whole && !__builtin_isinf(y)) {
    return __builtin_nanf("");
  }
  const bool odd = whole && __builtin_floorf(y / 2) * 2 != y;
  const double size = exp(static_cast<double>(y) * log(static_cast<double>(__builtin_fabsf(x))));
  const bool negative = odd && __builtin_signbit(x) != 0;
  return static_cast<float>(negative ? -size : size);
}

float erff(float x) {
  return lorapress::kernels::erf(x);
}

void __wasm_call_ctors();  // of the linker  // NOLINT(bugprone-reserved-identifier)
__attribute__((export_name("_initialize"))) void lorapress_initialize() {
  __wasm_call_ctors();
}

int __cxa_atexit(void (*)(void*),
                 void*,
                 void*) {  // instances do not end  // NOLINT(bugprone-reserved-identifier)
  return 0;
}

void __cxa_pure_virtual() {  // NOLINT(bugprone-reserved-identifier)
  __builtin_trap();
}

}  // extern "C"

void* operator new(size_t bytes) {
  void* memory = malloc(bytes);
  if (memory == nullptr) {
    lp_host_refused(LP_PROBLEM_RUN, "no memory");
    __builtin_trap();
  }
  return memory;
}
void* operator new[](size_t bytes) {
  return operator new(bytes);
}
void operator delete(void* memory) noexcept {
  free(memory);
}
void operator delete(void* memory, size_t /*bytes*/) noexcept {
  free(memory);
}
void operator delete[](void* memory) noexcept {
  free(memory);
}
void operator delete[](void* memory, size_t /*bytes*/) noexcept {
  free(memory);
}

_LIBCPP_BEGIN_NAMESPACE_STD
// What the C++ library calls where a container's bounds are broken.
void __libcpp_verbose_abort(const char* /*format*/, ...) noexcept {  // NOLINT
  __builtin_trap();
}
_LIBCPP_END_NAMESPACE_STD
