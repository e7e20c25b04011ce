// Any bytes are the name of a tensor, whatever folder it comes from, or belong to nothing.

#include "checkpoint/adapter.h"
#include "fuzz_util.h"

namespace {

using namespace lorapress;

void check(const std::optional<TensorName>& name) {
  if (!name) {
    return;
  }
  fuzz::require(!name->canonical.empty());
  const bool delta = name->role != TensorRole::kBase && name->role != TensorRole::kReplacement;
  if (delta) {  // filed under the base weight, whatever the name
    fuzz::require(
        name->canonical.ends_with(name->role == TensorRole::kLoraBBias ? "bias" : "weight"));
    Adapter adapter;
    adapter.add(*name, zeros(DType::kF32, {2, 2}));
    fuzz::require(adapter.modules.begin()->first.ends_with("weight"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view name = fuzz::as_text(data, size);
  for (const Layout layout : {Layout::kComposite, Layout::kText, Layout::kVision}) {
    check(parse_tensor_name(name, layout));
  }
  check(parse_adapter_name(name));
  return 0;
}
