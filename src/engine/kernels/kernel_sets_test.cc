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
#endif
}

TEST(KernelSets, ComputeTheBitsOfTheScalarSet) {
  for (const test::Check& check : test::kChecks) {
    EXPECT_EQ(check.run(), "") << check.name;
  }
}

}  // namespace
}  // namespace lorapress::kernels
