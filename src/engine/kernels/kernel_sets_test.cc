// Every kernel of every set that runs here, bit by bit against the scalar set.
#include <gtest/gtest.h>

#include "engine/kernels/kernel_sets_test_util.h"

namespace lorapress::kernels {
namespace test {
namespace {

// FNV-1a of what the kernels of a set give, the same on every processor and from every compiler. NaNs count as one value: their
// sign is the processor's.
uint64_t fingerprint(const KernelSet& set) {
  uint64_t hash = 0xCBF29CE484222325U;
  const auto add = [&hash](const std::vector<float>& values) {
    for (const float value : values) {
      uint32_t bits = 0x7FC00000U;
      if (!std::isnan(value)) {
        std::memcpy(&bits, &value, sizeof bits);
      }
      for (int byte = 0; byte < 4; ++byte) {
        hash = (hash ^ ((bits >> (8 * byte)) & 0xFFU)) * 0x100000001B3U;
      }
    }
  };
  uint32_t seed = 0;
  for (Case each : all_weights()) {
    ++seed;
    each.spec.inputs = 576;
    each.spec.outputs = 49;
    Numbers numbers(seed);
    const SourceWeight weight = make_weight(each.spec, each.extent, numbers);
    const Product how{kEpilogues[seed % std::size(kEpilogues)], true, 1};
    add(multiply(set, weight, numbers.normals(5 * each.spec.inputs), 5, how, seed));
  }
  for (const AttentionSize& size : kAttention) {
    add(attend(set, size, ++seed));
  }
  for (int form = 0; form < 4; ++form) {
    add(normalize(set, 100, form));
  }
  add(functions(set, 1000));
  return hash;
}

}  // namespace
}  // namespace test

namespace {

TEST(KernelSets, AreFoundByName) {
  EXPECT_STREQ(find_kernel_set("scalar")->name, "scalar");
  EXPECT_EQ(find_kernel_set("abacus"), nullptr);
  EXPECT_TRUE(best_kernel_set().runs_here());
  for (size_t i = 1; i < kernel_sets().count; ++i) {
    const KernelSet& set = *kernel_sets().sets[i];
    EXPECT_EQ(find_kernel_set(set.name), set.runs_here() ? &set : nullptr);
  }
#if defined(__x86_64__)
  EXPECT_NE(find_kernel_set("sse2"), nullptr);
#elif defined(__ARM_FEATURE_MATMUL_INT8)
  EXPECT_NE(find_kernel_set("neon_i8mm"), nullptr);
#elif defined(__ARM_NEON)
  EXPECT_NE(find_kernel_set("neon"), nullptr);
#endif
}

TEST(KernelSets, ComputeTheBitsOfTheScalarSet) {
  for (const test::Check& check : test::kChecks) {
    EXPECT_EQ(check.run(), "") << check.name;
  }
}

// The number is that of an x86-64 processor; packaging/test_kernels.sh runs this for another one.
TEST(KernelSets, GiveTheSameBitsOnEveryProcessor) {
  for (size_t i = 0; i < kernel_sets().count; ++i) {
    const KernelSet& set = *kernel_sets().sets[i];
    if (set.runs_here()) {
      EXPECT_EQ(test::fingerprint(set), 0x117320E41B41D653U) << set.name;
    }
  }
}

}  // namespace
}  // namespace lorapress::kernels
