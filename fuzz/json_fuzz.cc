// Any bytes are one bounded JSON value or an Error; what is read is written as the same value.

#include "base/json.h"
#include "fuzz_util.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lorapress;
  fuzz::expect_no_more_than_error([&] {
    const Json json = parse_json(fuzz::as_text(data, size), "fuzz");
    fuzz::require(parse_json(json.dump(), "fuzz") == json);
    for (const char* key : {"a", "b"}) {
      fuzz::expect_no_more_than_error([&] { json_or<bool>(json, key, false, "fuzz"); });
      fuzz::expect_no_more_than_error([&] { json_or<int64_t>(json, key, 0, "fuzz"); });
      fuzz::expect_no_more_than_error([&] { json_or<double>(json, key, 0.0, "fuzz"); });
      fuzz::expect_no_more_than_error([&] { json_or<std::string>(json, key, "", "fuzz"); });
    }
  });
  return 0;
}
