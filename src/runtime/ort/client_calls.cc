#include "runtime/ort/client_calls.h"

#include <algorithm>
#include <iterator>

#include "base/fail.h"

namespace lorapress {
namespace {

CacheLayout layout_of(const std::vector<OrtPort>& inputs) {
  const CacheNames first = cache_names(0);
  const auto key = std::ranges::find(inputs, first.past_key, &OrtPort::name);
  if (key == inputs.end() || key->shape.size() != 4 || key->shape[1] < 1 || key->shape[3] < 1) {
    fail(ErrorCode::kUnsupported,
         "the decoder has no input {} [batch, heads, length, head_dim] of known heads and head_dim",
         first.past_key);
  }
  CacheLayout layout{0, key->shape[1], key->shape[3], key->dtype};
  while (std::ranges::count(inputs, cache_names(layout.layers).past_key, &OrtPort::name) != 0) {
    ++layout.layers;
  }
  return layout;
}

}  // namespace

ClientCalls::ClientCalls(const CacheLayout& layout) : layout_(layout) {
  for (int64_t layer = 0; layer < layout.layers; ++layer) {
    const CacheNames names = cache_names(layer);
    past_.insert(past_.end(), {names.past_key, names.past_value});
    outputs_.insert(outputs_.end(), {names.present_key, names.present_value});
  }
}

ClientCalls::ClientCalls(const OrtSession& decoder) : ClientCalls(layout_of(decoder.inputs())) {}

std::vector<OrtTensor> ClientCalls::empty_cache(int64_t rows) const {
  std::vector<OrtTensor> cache;
  for (size_t i = 0; i < past_.size(); ++i) {
    cache.emplace_back(layout_.dtype, Shape{rows, layout_.heads, 0, layout_.head_dim});
  }
  return cache;
}

std::vector<OrtSession::Feed> ClientCalls::feeds(const OrtTensor& ids,
                                                 const OrtTensor* image,
                                                 std::span<const OrtTensor> cache) const {
  std::vector<OrtSession::Feed> feeds{{"input_ids", &ids}};
  if (image != nullptr) {
    feeds.push_back({"encoder_hidden_states", image});
  }
  for (size_t i = 0; i < past_.size(); ++i) {
    feeds.push_back({past_[i], &cache[i]});
  }
  return feeds;
}

ClientCalls::Step ClientCalls::to_step(std::vector<OrtTensor> outputs) {
  Step step{std::move(outputs[0]), {}};
  std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(step.cache));
  return step;
}

}  // namespace lorapress
