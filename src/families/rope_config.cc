#include "families/rope_config.h"

#include <array>
#include <cmath>

#include "base/fail.h"
#include "checkpoint/config_fields.h"

namespace lorapress {
namespace {

using namespace config_fields;

// The object that has the rope's fields; null where there is none.
const Json* rope_fields(const Json& json) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto found = json.find(key);
    if (found != json.end() && found->is_object()) {
      return &*found;
    }
  }
  return nullptr;
}

void require_rope_type(const std::string& type, std::string_view where) {
  constexpr std::array<std::string_view, 4> kTypes = {"default", "linear", "llama3", "longrope"};
  if (std::ranges::find(kTypes, type) == kTypes.end()) {
    fail(ErrorCode::kUnsupported,
         "{}: rope_type \"{}\" is not supported (default, linear, llama3 and longrope are)",
         where,
         type);
  }
}

// transformers 5 has rope_parameters for each type of layer in some models (Gemma 3).
void refuse_nested(const Json& fields, std::string_view where) {
  for (const auto& [key, value] : fields.items()) {
    if (value.is_object()) {
      fail(ErrorCode::kUnsupported,
           "{}: rope_parameters of their own for \"{}\" are not supported for this model type",
           where,
           key);
    }
  }
}

// int(head_dim * partial_rotary_factor); transformers looks for the factor at both places.
int64_t read_rotary_dim(
    const Json& json, const Json& fields, std::string_view where, bool partial, int64_t head_dim) {
  const double outside = positive(json, "partial_rotary_factor", 1.0, where);
  const double factor = positive(fields, "partial_rotary_factor", outside, where);
  if (!partial && factor != 1.0) {
    fail(ErrorCode::kUnsupported,
         "{}: partial_rotary_factor {} is not supported for this model type, expected 1",
         where,
         factor);
  }
  const auto width = static_cast<int64_t>(static_cast<double>(head_dim) * std::min(factor, 2.0));
  if (width < 2 || width > head_dim || width % 2 != 0) {
    fail(ErrorCode::kInvalidFile,
         "{}: partial_rotary_factor {} rotates {} of the {} numbers of a head, expected an even "
         "number from 2 to {}",
         where,
         factor,
         width,
         head_dim,
         head_dim);
  }
  return width;
}

void read_llama3(const Json& fields, std::string_view where, RopeConfig& rope) {
  rope.low_freq_factor = positive(fields, "low_freq_factor", 1.0, where);
  rope.high_freq_factor = positive(fields, "high_freq_factor", 4.0, where);
  if (rope.rope_type == "llama3" && rope.high_freq_factor <= rope.low_freq_factor) {
    fail(ErrorCode::kInvalidFile,
         "{}: high_freq_factor {} is not above low_freq_factor {}",
         where,
         rope.high_freq_factor,
         rope.low_freq_factor);
  }
}

std::vector<double> read_divisors(const Json& fields,
                                  const char* key,
                                  std::string_view where,
                                  int64_t count) {
  const auto found = fields.find(key);
  std::vector<double> divisors;
  if (found != fields.end() && found->is_array() && std::ssize(*found) == count) {
    for (const Json& value : *found) {
      const Json one{{key, value}};
      divisors.push_back(value.is_null() ? 0.0 : positive(one, key, 0.0, where));
    }
  }
  if (std::ssize(divisors) != count || std::ranges::find(divisors, 0.0) != divisors.end()) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" of longrope is not a list of {} positive numbers, one for each frequency",
         where,
         key,
         count);
  }
  return divisors;
}

// transformers' _compute_longrope_parameters.
void read_longrope(const Json& fields,
                   std::string_view where,
                   RopeConfig& rope,
                   TextConfig& config) {
  rope.short_factor = read_divisors(fields, "short_factor", where, rope.rotary_dim / 2);
  const std::vector<double> long_factor =
      read_divisors(fields, "long_factor", where, rope.rotary_dim / 2);
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double ratio = static_cast<double>(config.max_position_embeddings) / original;
  const double factor = positive(fields, "factor", ratio, where);
  const double scaling =
      factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(std::max(original, 2.0)));
  rope.attention_factor = positive(fields, "attention_factor", scaling, where);
  if (rope.short_factor != long_factor &&
      config.max_position_embeddings > rope.original_max_position_embeddings) {
    config.notes.push_back(fmt::format(
        "{}: longrope has other frequencies for sequences of more than {} positions "
        "(original_max_position_embeddings); the graphs have those of shorter sequences and "
        "{} positions in place of {}",
        where,
        rope.original_max_position_embeddings,
        rope.original_max_position_embeddings,
        config.max_position_embeddings));
    config.max_position_embeddings = rope.original_max_position_embeddings;
  }
}

}  // namespace

RopeConfig read_rope(const Json& json,
                     std::string_view where,
                     const RopeConfig& defaults,
                     TextConfig& config) {
  RopeConfig rope = defaults;
  rope.rope_theta = positive(json, "rope_theta", rope.rope_theta, where);
  const Json none = Json::object();
  const Json* const found = rope_fields(json);
  const Json& fields = found == nullptr ? none : *found;
  refuse_nested(fields, where);
  rope.rope_theta = positive(fields, "rope_theta", rope.rope_theta, where);
  const auto type = json_or<std::string>(fields, "type", rope.rope_type, where);
  rope.rope_type = json_or<std::string>(fields, "rope_type", type, where);
  require_rope_type(rope.rope_type, where);
  rope.rotary_dim = read_rotary_dim(json, fields, where, rope.partial, config.head_dim);
  rope.factor = positive(fields, "factor", 1.0, where);
  // Phi-3 has it beside the rope's fields, which then counts.
  const int64_t inside =
      dimension(fields, "original_max_position_embeddings", config.max_position_embeddings, where);
  rope.original_max_position_embeddings =
      dimension(json, "original_max_position_embeddings", inside, where);
  read_llama3(fields, where, rope);
  if (rope.rope_type == "longrope") {
    read_longrope(fields, where, rope, config);
  }
  return rope;
}

}  // namespace lorapress
