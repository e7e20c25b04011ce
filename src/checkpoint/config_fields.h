// Fields of a config.json, checked: what the config readers of the families share. Every function
// throws kInvalidFile for an impossible value and names the file `where` and the key.
#ifndef LORAPRESS_CHECKPOINT_CONFIG_FIELDS_H_
#define LORAPRESS_CHECKPOINT_CONFIG_FIELDS_H_

#include <span>

#include "checkpoint/config.h"

namespace lorapress::config_fields {

inline constexpr int64_t kMostWide = 1 << 24;  // of one dimension: products stay far from overflow

// A dimension from 1 to `most`.
int64_t dimension(const Json& json,
                  std::string_view key,
                  int64_t fallback,
                  std::string_view where,
                  int64_t most = kMostWide);
// A number of layers or heads, with a lower limit than dimension(): each costs nodes and memory.
int64_t count(const Json& json, std::string_view key, int64_t fallback, std::string_view where);
double positive(const Json& json, std::string_view key, double fallback, std::string_view where);
void require_divisible(int64_t value, int64_t by, std::string_view what, std::string_view where);
// Throws kUnsupported where "hidden_act" is not `known`.
void require_activation(const Json& json, std::string_view known, std::string_view where);

// The function under `key`, one of `known`; the first of them is taken where there is none.
std::string activation(const Json& json,
                       std::span<const std::string_view> known,
                       std::string_view where,
                       std::string_view key = "hidden_act");

// A number or a list of them; empty where there is none.
std::vector<int64_t> token_ids(const Json& json, std::string_view key, std::string_view where);
int64_t token_id(const Json& json, std::string_view key, std::string_view where);  // -1: none
// eos_token_id, bos_token_id and pad_token_id into `config`, which holds the defaults of its class
// for keys that are absent; null means none.
void read_special_tokens(const Json& json, std::string_view where, TextConfig& config);

}  // namespace lorapress::config_fields

#endif  // LORAPRESS_CHECKPOINT_CONFIG_FIELDS_H_
