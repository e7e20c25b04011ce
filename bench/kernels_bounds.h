// What no kernel can pass: multiply-adds on registers alone, and a read of memory.
#ifndef LORAPRESS_BENCH_KERNELS_BOUNDS_H_
#define LORAPRESS_BENCH_KERNELS_BOUNDS_H_

#include <cstddef>

enum class Bound {
  kPairs8,         // pairs of 8-bit products in 16 bits, added
  kPairs8Widened,  // the same, widened to 32 bits each time
  kPairs16,        // pairs of 16-bit products, added in 32 bits
  kDot8,           // four 8-bit products added to 32 bits
  kFloats,         // multiplied, then added
  kBlocks4,  // kDot8, and after each eight of them what ends a block of 4 bits: to float, twice multiplied, added
  // The same in vectors of 512 bits.
  kDot8Wide,
  kFloatsWide,
  kBlocks4Wide,
  kTiles8,  // AMX: tiles of 16 x 64 by 64 x 16 bytes
};

inline constexpr double kRegisterMacs = 4e7;  // of one call
void multiply_registers(Bound bound);

// Reads the bytes in four streams.
void read_bytes(const std::byte* bytes, size_t size);

#endif  // LORAPRESS_BENCH_KERNELS_BOUNDS_H_
