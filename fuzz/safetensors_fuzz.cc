// Any bytes are a safetensors file or an Error; every byte of what is accepted can be read, and the
// header that is written for it is accepted again.

#include <algorithm>

#include "checkpoint/safetensors.h"
#include "fuzz_util.h"

namespace {

using namespace lorapress;

void read_all(const Weight& weight) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(weight.bytes()));
  read_bytes(weight, 0, bytes);
  if (dtype_row(weight.dtype()).is_float) {
    read_all_float32(weight);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::expect_no_more_than_error([&] {
    const fuzz::MemoryFile file(fuzz::as_text(data, size));
    std::vector<NamedWeight> tensors;
    std::size_t bytes = 0;
    for (const auto& [name, weight] : open_safetensors(file.path())) {
      read_all(*weight);
      bytes += static_cast<std::size_t>(weight->bytes());
      tensors.push_back({name, weight});
    }
    fuzz::require(bytes <= size);
    const fuzz::MemoryFile again(safetensors_header(tensors) + std::string(bytes, '\0'));
    fuzz::require(open_safetensors(again.path()).size() == tensors.size());
  });
  return 0;
}
