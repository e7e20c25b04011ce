#include "runtime/ort/client_calls.h"

#include <algorithm>
#include <iterator>

#include "base/fail.h"
#include "graph/ports.h"

namespace lorapress {
namespace {

CacheLayout layout_of(const std::vector<OrtPort>& inputs) {
  const auto past_key = [](int64_t layer) {
    return cache_port(CacheSide::kPast, layer, CachePart::kKey);
  };
  const auto key = std::ranges::find(inputs, past_key(0), &OrtPort::name);
  if (key == inputs.end() || key->shape.size() != 4 || key->shape[1] < 1 || key->shape[3] < 1) {
    fail(ErrorCode::kUnsupported,
         "the decoder has no input {} [batch, heads, length, head_dim] of known heads and head_dim",
         past_key(0));
  }
  CacheLayout layout{0, key->shape[1], key->shape[3], key->dtype};
  while (std::ranges::count(inputs, past_key(layout.layers), &OrtPort::name) != 0) {
    ++layout.layers;
  }
  return layout;
}

}  // namespace

ClientCalls::ClientCalls(const CacheLayout& layout) : layout_(layout) {
  for (int64_t layer = 0; layer < layout.layers; ++layer) {
    for (const CachePart part : kCacheParts) {
      past_.push_back(cache_port(CacheSide::kPast, layer, part));
      outputs_.push_back(cache_port(CacheSide::kPresent, layer, part));
    }
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
  std::vector<OrtSession::Feed> feeds{{kInputIds, &ids}};
  if (image != nullptr) {
    feeds.push_back({kEncoderHiddenStates, image});
  }
  add_cache(cache, feeds);
  return feeds;
}

std::vector<OrtSession::Feed> ClientCalls::embeds_feeds(const OrtTensor& embeddings,
                                                        std::span<const OrtTensor> cache) const {
  std::vector<OrtSession::Feed> feeds{{kInputsEmbeds, &embeddings}};
  add_cache(cache, feeds);
  return feeds;
}

void ClientCalls::add_cache(std::span<const OrtTensor> cache,
                            std::vector<OrtSession::Feed>& feeds) const {
  for (size_t i = 0; i < past_.size(); ++i) {
    feeds.push_back({past_[i], &cache[i]});
  }
}

std::vector<OrtSession::Feed> ClientCalls::text_feeds(const OrtTensor& ids,
                                                      const OrtTensor& mask,
                                                      std::span<const OrtTensor> cache) const {
  std::vector<OrtSession::Feed> feeds{{kInputIds, &ids}, {kAttentionMask, &mask}};
  add_cache(cache, feeds);
  return feeds;
}

ClientCalls::Step ClientCalls::to_step(std::vector<OrtTensor> outputs) {
  Step step{std::move(outputs[0]), {}};
  std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(step.cache));
  return step;
}

}  // namespace lorapress
