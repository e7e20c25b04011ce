#include "graph/ports.h"

#include <fmt/format.h>

namespace lorapress {
namespace {

constexpr std::string_view prefix(CacheSide side) {
  return side == CacheSide::kPast ? "past_key_values." : "present.";
}

}  // namespace

std::string cache_port(CacheSide side, std::string_view layer, CachePart part) {
  return fmt::format("{}{}.{}", prefix(side), layer, part == CachePart::kKey ? "key" : "value");
}

std::string cache_port(CacheSide side, int64_t layer, CachePart part) {
  return cache_port(side, std::to_string(layer), part);
}

std::string cross_cache_port(CacheSide side, int64_t layer, CacheOf of, CachePart part) {
  const char* owner = of == CacheOf::kDecoder ? "decoder" : "encoder";
  return cache_port(side, fmt::format("{}.{}", layer, owner), part);
}

bool is_cache_port(std::string_view name) {
  return name.starts_with(prefix(CacheSide::kPast)) ||
         name.starts_with(prefix(CacheSide::kPresent));
}

}  // namespace lorapress
