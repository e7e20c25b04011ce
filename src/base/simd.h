// Function clones for wider vector units, chosen at load time. Sources are compiled with
// -ffp-contract=off, so every clone rounds alike and files are equal on every machine.
#ifndef LORAPRESS_BASE_SIMD_H_
#define LORAPRESS_BASE_SIMD_H_

// Sanitizers instrument the resolvers before they can run; clang 14 has no clones, and those for
// analysis (19) do without.
#if defined(__x86_64__) && defined(__GNUC__) && (!defined(__clang__) || __clang_major__ >= 20) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__linux__)
#define LORAPRESS_SIMD __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define LORAPRESS_SIMD
#endif

// Before a loop of at most 16 rounds whose number is known: arrays that it indexes stay in
// registers.
#if defined(__clang__)
#define LORAPRESS_UNROLL _Pragma("unroll")
#else
#define LORAPRESS_UNROLL _Pragma("GCC unroll 16")
#endif

#endif  // LORAPRESS_BASE_SIMD_H_
