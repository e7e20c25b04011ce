// The comparison of all kernel sets with the scalar one, as a module for a page.
#include "engine/kernels/kernel_sets_test_util.h"

// The names of the sets that run here, then of each check what differs first: a C string; "" behind the last check is null.
extern "C" __attribute__((export_name("set_name"))) const char* set_name(unsigned index) {
  const auto sets = lorapress::kernels::test::other_sets();
  return index < sets.size() ? sets[index]->name : nullptr;
}

extern "C" __attribute__((export_name("check"))) const char* check(unsigned index) {
  static std::string found;
  if (index >= std::size(lorapress::kernels::test::kChecks)) {
    return nullptr;
  }
  found = lorapress::kernels::test::kChecks[index].run();
  return found.c_str();
}

// Of the C library, for the checks alone.
extern "C" double ldexp(double value, int power) {
  for (; power > 0; --power) {
    value *= 2;
  }
  for (; power < 0; ++power) {
    value /= 2;
  }
  return value;
}

// std::to_string of floats, in messages.
extern "C" int snprintf(char* /*to*/, size_t /*size*/, const char* /*format*/, ...) {
  return 0;
}
