// The vectors of the instruction set that a file is compiled for, in compilers' own vector types, and the few
// instructions that need a name: products of integers and float16. All else of the vector kernels is written once.
#ifndef LORAPRESS_ENGINE_KERNELS_ISA_H_
#define LORAPRESS_ENGINE_KERNELS_ISA_H_

#include "engine/kernels/layout.h"
#include "engine/kernels/math.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

// Before a loop of a few rounds whose number is known: the arrays that it indexes stay in registers.
#if defined(__clang__)
#define LORAPRESS_UNROLLED _Pragma("unroll")
#else
#define LORAPRESS_UNROLLED _Pragma("GCC unroll 16")
#endif

// For steps of a loop whose sums are arrays in registers.
#define LORAPRESS_STEP __attribute__((always_inline)) static inline

namespace lorapress::kernels {

// LORAPRESS_VECTORS512: of a file that is compiled for vectors of 512 bits.
#if defined(LORAPRESS_VECTORS512)
inline constexpr int64_t kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int64_t kLanes = 8;
#else
inline constexpr int64_t kLanes = 4;
#endif
// WebAssembly's compilers unroll nothing and look for an end to wait in each round of a loop.
#if defined(__wasm__)
inline constexpr bool kLoopIsDear = true;
#else
inline constexpr bool kLoopIsDear = false;
#endif
inline constexpr int kVectorBytes = 4 * static_cast<int>(kLanes);

using Ints = int32_t __attribute__((vector_size(kVectorBytes)));
using Words = uint32_t __attribute__((vector_size(kVectorBytes)));
using Shorts = int16_t __attribute__((vector_size(kVectorBytes)));
using Floats = float __attribute__((vector_size(kVectorBytes)));
using Floats8 = float __attribute__((vector_size(32)));
using Ints8 = int32_t __attribute__((vector_size(32)));
using Words8 = uint32_t __attribute__((vector_size(32)));

template <typename Vector>
static inline Vector load(const void* from) {
  Vector value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
template <typename Vector>
static inline void store(void* to, Vector value) {
  __builtin_memcpy(to, &value, sizeof value);
}

static inline Ints broadcast(const void* from) {
  int32_t value = 0;
  __builtin_memcpy(&value, from, 4);
#if defined(LORAPRESS_VECTORS512)
  return reinterpret_cast<Ints>(_mm512_set1_epi32(value));
#elif defined(__AVX2__)
  return Ints{value, value, value, value, value, value, value, value};
#else
  return Ints{value, value, value, value};
#endif
}
static inline Floats broadcast(float value) {
#if defined(LORAPRESS_VECTORS512)
  return reinterpret_cast<Floats>(_mm512_set1_ps(value));
#elif defined(__AVX2__)
  return Floats{value, value, value, value, value, value, value, value};
#else
  return Floats{value, value, value, value};
#endif
}
static inline Ints broadcast_int(int32_t value) {
  return broadcast(&value);
}
static inline Floats to_floats(Ints value) {
  return __builtin_convertvector(value, Floats);
}
static inline Ints add16(Ints a, Ints b) {
  return reinterpret_cast<Ints>(reinterpret_cast<Shorts>(a) + reinterpret_cast<Shorts>(b));
}
static inline Ints multiply16(Ints a, Ints b) {
  return reinterpret_cast<Ints>(reinterpret_cast<Shorts>(a) * reinterpret_cast<Shorts>(b));
}
static inline Ints shift_right(Ints value, int count) {
  return reinterpret_cast<Ints>(reinterpret_cast<Words>(value) >> count);
}

// Of the two 16-bit halves each.
static inline Ints shift_right16(Ints value, int count) {
  using Halves = uint16_t __attribute__((vector_size(kVectorBytes)));
  return reinterpret_cast<Ints>(reinterpret_cast<Halves>(value) >> static_cast<uint16_t>(count));
}

// Keeps compilers from reordering integer sums, which costs more registers than there are; in WebAssembly the loads
// between them, too. No code.
static inline void pin(Ints& value) {
#if defined(__x86_64__)
  asm("" : "+v"(value));
#elif defined(__wasm__)
  asm volatile("" : "+r"(value));
#elif defined(__ARM_NEON)
  asm("" : "+w"(value));
#endif
}
// For WebAssembly alone, which has no registers: whoever compiles it follows the order of its instructions.
static inline void pin_wasm([[maybe_unused]] Floats& value) {
#if defined(__wasm__)
  asm volatile("" : "+r"(value));
#endif
}
// Keeps compilers from computing an address anew for each of its offsets.
template <typename Element>
static inline void pin_wasm([[maybe_unused]] const Element*& address) {
#if defined(__wasm__)
  asm("" : "+r"(address));
#endif
}

// ---- products ------------------------------------------------------------------------------------
//
// sum_pairs(a, b):    a0 b0 + a1 b1 of 16-bit halves of each 32-bit lane
// pairs8(w, x):       w0 x0 + w1 x1 | w2 x2 + w3 x3 in 16 bits, w unsigned, x signed
// dot8(sum, w, x):    sum + w0 x0 + w1 x1 + w2 x2 + w3 x3, w unsigned, x signed

#if defined(LORAPRESS_VECTORS512)
inline constexpr Products kProducts = Products::k8;
static inline Ints sum_pairs(Ints a, Ints b) {
  return reinterpret_cast<Ints>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
static inline Ints pairs8(Ints w, Ints x) {
  return reinterpret_cast<Ints>(
      _mm512_maddubs_epi16(reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(x)));
}
static inline Ints dot8(Ints sum, Ints w, Ints x) {
  return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(x)));
}
#elif defined(__AVX2__)
static inline Ints sum_pairs(Ints a, Ints b) {
  return reinterpret_cast<Ints>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
static inline Ints pairs8(Ints w, Ints x) {
  return reinterpret_cast<Ints>(
      _mm256_maddubs_epi16(reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(x)));
}
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
inline constexpr Products kProducts = Products::k8;
static inline Ints dot8(Ints sum, Ints w, Ints x) {
  return reinterpret_cast<Ints>(_mm256_dpbusd_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(x)));
}
#elif defined(__AVXVNNI__)
inline constexpr Products kProducts = Products::k8;
static inline Ints dot8(Ints sum, Ints w, Ints x) {
  return reinterpret_cast<Ints>(_mm256_dpbusd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(x)));
}
#else
inline constexpr Products kProducts = Products::kPairs8;
#endif
#elif defined(__wasm_relaxed_simd__)
static inline Ints sum_pairs(Ints a, Ints b) {
  return reinterpret_cast<Ints>(
      wasm_i32x4_dot_i16x8(reinterpret_cast<v128_t>(a), reinterpret_cast<v128_t>(b)));
}
// The second operand is of 7 bits, in which all processors agree.
#if defined(LORAPRESS_RELAXED_DOT)
inline constexpr Products kProducts = Products::k8;
static inline Ints dot8(Ints sum, Ints w, Ints x) {
  return reinterpret_cast<Ints>(wasm_i32x4_relaxed_dot_i8x16_i7x16_add(
      reinterpret_cast<v128_t>(x), reinterpret_cast<v128_t>(w), reinterpret_cast<v128_t>(sum)));
}
#else
inline constexpr Products kProducts = Products::kPairs7;
static inline Ints pairs8(Ints w, Ints x) {
  return reinterpret_cast<Ints>(
      wasm_i16x8_relaxed_dot_i8x16_i7x16(reinterpret_cast<v128_t>(x), reinterpret_cast<v128_t>(w)));
}
#endif
#elif defined(__wasm_simd128__)
inline constexpr Products kProducts = Products::k16;
static inline Ints sum_pairs(Ints a, Ints b) {
  return reinterpret_cast<Ints>(
      wasm_i32x4_dot_i16x8(reinterpret_cast<v128_t>(a), reinterpret_cast<v128_t>(b)));
}
#elif defined(__SSE2__)
inline constexpr Products kProducts = Products::k16;
static inline Ints sum_pairs(Ints a, Ints b) {
  return reinterpret_cast<Ints>(
      _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
}
#elif defined(__ARM_NEON)
static inline Ints sum_pairs(Ints a, Ints b) {
  const int16x8_t x = reinterpret_cast<int16x8_t>(a);
  const int16x8_t y = reinterpret_cast<int16x8_t>(b);
  const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
  const int32x4_t high = vmull_s16(vget_high_s16(x), vget_high_s16(y));
  return reinterpret_cast<Ints>(vpaddq_s32(low, high));
}
#if defined(__ARM_FEATURE_MATMUL_INT8)
inline constexpr Products kProducts = Products::k8;
static inline Ints dot8(Ints sum, Ints w, Ints x) {
  return reinterpret_cast<Ints>(vusdotq_s32(reinterpret_cast<int32x4_t>(sum),
                                            reinterpret_cast<uint8x16_t>(w),
                                            reinterpret_cast<int8x16_t>(x)));
}
#else
inline constexpr Products kProducts = Products::k16;
#endif
#endif

// ---- eight floats, as math.h wants them ----------------------------------------------------------

struct F8 {
  Floats8 v;
  F8() = default;
  // Never called, at any optimization: the linker would keep one copy for all sets, and those with
  // and without AVX pass vectors differently.
  [[gnu::always_inline]] explicit F8(Floats8 value) : v(value) {}
  [[gnu::always_inline]] explicit F8(float value)
      : v{value, value, value, value, value, value, value, value} {}
};
static inline F8 operator+(F8 a, F8 b) {
  return F8(a.v + b.v);
}
static inline F8 operator-(F8 a, F8 b) {
  return F8(a.v - b.v);
}
static inline F8 operator*(F8 a, F8 b) {
  return F8(a.v * b.v);
}
static inline F8 operator/(F8 a, F8 b) {
  return F8(a.v / b.v);
}
#if defined(__AVX2__)  // which compilers do not always make of the other form
static inline F8 max(F8 a, F8 b) {
  return F8(reinterpret_cast<Floats8>(
      _mm256_max_ps(reinterpret_cast<__m256>(a.v), reinterpret_cast<__m256>(b.v))));
}
static inline F8 min(F8 a, F8 b) {
  return F8(reinterpret_cast<Floats8>(
      _mm256_min_ps(reinterpret_cast<__m256>(a.v), reinterpret_cast<__m256>(b.v))));
}
#else
static inline F8 max(F8 a, F8 b) {
  return F8(a.v > b.v ? a.v : b.v);
}
static inline F8 min(F8 a, F8 b) {
  return F8(a.v < b.v ? a.v : b.v);
}
#endif
static inline Words8 bits(F8 value) {
  return reinterpret_cast<Words8>(value.v);
}
static inline F8 from_bits(Words8 value) {
  return F8(reinterpret_cast<Floats8>(value));
}
static inline F8 abs(F8 value) {
  return from_bits(bits(value) & 0x7FFFFFFFU);
}
static inline F8 copy_sign(F8 magnitude, F8 sign) {
  return from_bits((bits(magnitude) & 0x7FFFFFFFU) | (bits(sign) & 0x80000000U));
}
static inline F8 select_less(F8 less, F8 than, F8 yes, F8 no) {
  return F8(less.v < than.v ? yes.v : no.v);
}
static inline F8 keep_nan(F8 x, F8 value) {
  return F8(x.v == x.v ? value.v : x.v);
}
static inline F8 power_of_two(F8 shifted) {
  return from_bits((bits(shifted) - 0x4B400000U + 127U) << 23U);
}
static inline F8 add_exponent(F8 value, F8 shifted) {
  return from_bits(bits(value) + (bits(shifted) << 23U));
}
static inline F8 load8(const float* from) {
  return F8(load<Floats8>(from));
}
static inline void store8(float* to, F8 value) {
  store(to, value.v);
}

// Eight float16 numbers that stand one after another.
static inline F8 load_halves8(const std::byte* from) {
#if defined(__AVX2__)
  return F8(reinterpret_cast<Floats8>(
      _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))));
#else
  using Halves8 = uint16_t __attribute__((vector_size(16)));
  const Words8 half = __builtin_convertvector(load<Halves8>(from), Words8);
  const F8 magnitude = from_bits((half & 0x7FFFU) << 13U) * F8(0x1p112F);
  return from_bits(bits(magnitude) | ((half & 0x8000U) << 16U));
#endif
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_ISA_H_
