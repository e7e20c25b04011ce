#include "graph/ports.h"

#include <fmt/format.h>

namespace lorapress {
namespace {

constexpr std::string_view prefix(CacheSide side) {
  return side == CacheSide::kPast ? "past_key_values." : "present.";
}

}  // namespace

std::string cache_port(CacheSide side, std::string_view layer, CachePart part, CacheKind kind) {
  return fmt::format("{}{}.{}{}",
                     prefix(side),
                     layer,
                     kind == CacheKind::kOnly      ? ""
                     : kind == CacheKind::kDecoder ? "decoder."
                                                   : "encoder.",
                     part == CachePart::kKey ? "key" : "value");
}

std::string cache_port(CacheSide side, int64_t layer, CachePart part, CacheKind kind) {
  return cache_port(side, std::to_string(layer), part, kind);
}

bool is_cache_port(std::string_view name) {
  return name.starts_with(prefix(CacheSide::kPast)) ||
         name.starts_with(prefix(CacheSide::kPresent));
}

bool is_encoder_cache_port(std::string_view name) {
  return is_cache_port(name) && name.find(".encoder.") != std::string_view::npos;
}

}  // namespace lorapress
