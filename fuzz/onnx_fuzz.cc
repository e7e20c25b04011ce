// Any bytes are an ONNX model or an Error.

#include "fuzz_util.h"
#include "graph/onnx_summary.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lorapress;
  fuzz::expect_no_more_than_error([&] {
    const fuzz::MemoryFile file(fuzz::as_text(data, size));
    const OnnxSummary summary = summarise_onnx(file.path());
    fuzz::require(!summary.opsets.empty());
  });
  return 0;
}
