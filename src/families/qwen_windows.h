// Which layers of Qwen2 and Qwen3 see a window of positions, transformers configuration_qwen2.py and
// configuration_qwen3.py.
#ifndef LORAPRESS_FAMILIES_QWEN_WINDOWS_H_
#define LORAPRESS_FAMILIES_QWEN_WINDOWS_H_

#include "families/llama_decoder.h"

namespace lorapress {

// "use_sliding_window" switches "sliding_window" on, for the layers of "layer_types" or those from
// "max_window_layers" on.
inline void set_qwen_windows(TextConfig& config, const Json& json, std::string_view where) {
  const bool used = json_or<bool>(json, "use_sliding_window", false, where);
  const auto full = json_or<int64_t>(json, "max_window_layers", 28, where);
  const int64_t window = used ? read_window(json, where, 4096) : 0;
  set_windows(config, json, where, window, [&](int64_t layer) { return layer >= full; });
}

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_QWEN_WINDOWS_H_
