#include "engine/kernels/sets.h"

namespace lorapress::kernels {
namespace {

bool equal(const char* a, const char* b) {
  for (; *a == *b; ++a, ++b) {
    if (*a == '\0') {
      return true;
    }
  }
  return false;
}

}  // namespace

KernelSets kernel_sets() {
  struct Table {
    const KernelSet* sets[6] = {};
    size_t count = 0;
    Table() {
      const KernelSet* const all[] = {&scalar_set(),
                                      vector128_set(),
                                      relaxed_dot_set(),
                                      avx2_set(),
                                      avx_vnni_set(),
                                      avx512_vnni_set()};
      for (const KernelSet* set : all) {
        if (set != nullptr) {
          sets[count++] = set;
        }
      }
    }
  };
  static const Table kTable;
  return {kTable.sets, kTable.count};
}

const KernelSet& best_kernel_set() {
  const KernelSets all = kernel_sets();
  size_t best = 0;
  for (size_t i = 0; i < all.count; ++i) {
    if (all.sets[i]->runs_here()) {
      best = i;
    }
  }
  return *all.sets[best];
}

const KernelSet* find_kernel_set(const char* name) {
  const KernelSets all = kernel_sets();
  for (size_t i = 0; i < all.count; ++i) {
    if (equal(all.sets[i]->name, name) && all.sets[i]->runs_here()) {
      return all.sets[i];
    }
  }
  return nullptr;
}

}  // namespace lorapress::kernels
