// Any bytes are a model whose weights can be read and that can be written, or an Error.

#include "fuzz_util.h"
#include "graph/read_onnx.h"
#include "graph/write.h"
#include "rewrite/fold.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lorapress;
  fuzz::expect_no_more_than_error([&] {
    const fuzz::MemoryFile file(fuzz::as_text(data, size));
    Model model = read_onnx(file.path());
    fold_weights(model);
    std::uint64_t most = 0;
    for (const auto& [name, weight] : model.weights) {
      most = std::max(most, weight->bytes());
    }
    fuzz::require(most <= 8 * size || most == 0);  // nothing is larger than its file says
    for (const auto& [name, weight] : model.weights) {
      std::vector<std::byte> content(weight->bytes());
      read_bytes(*weight, 0, content);
    }
    fuzz::require(!plan_onnx(model, "m.onnx", false).empty());
  });
  return 0;
}
