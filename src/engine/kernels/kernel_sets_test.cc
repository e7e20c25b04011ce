// Every kernel of every set that runs here, bit by bit against the scalar set.
#include <gtest/gtest.h>

#include "engine/kernels/kernel_sets_test_util.h"

namespace lorapress::kernels {
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
