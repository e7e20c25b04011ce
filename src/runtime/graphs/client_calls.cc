#include "runtime/graphs/client_calls.h"

#include <algorithm>
#include <iterator>

#include "base/fail.h"
#include "graph/ports.h"

namespace lorapress {
namespace {

CacheLayout layout_of(const std::vector<GraphPort>& inputs) {
  const auto find = [&](const std::string& name) {
    return std::ranges::find(inputs, name, &GraphPort::name);
  };
  const auto states = find(kEncoderHiddenStates);
  const bool cross =
      states != inputs.end() && states->shape.size() == 3 &&
      find(cache_port(CacheSide::kPast, 0, CachePart::kKey, CacheKind::kEncoder)) != inputs.end();
  const auto past_key = [&](int64_t layer) {
    return cache_port(
        CacheSide::kPast, layer, CachePart::kKey, cross ? CacheKind::kDecoder : CacheKind::kOnly);
  };
  const auto key = find(past_key(0));
  if (key == inputs.end() || key->shape.size() != 4 || key->shape[1] < 1 || key->shape[3] < 1) {
    fail(ErrorCode::kUnsupported,
         "the decoder has no input {} [batch, heads, length, head_dim] of known heads and head_dim",
         past_key(0));
  }
  CacheLayout layout{0, key->shape[1], key->shape[3], key->dtype};
  layout.encoder_tokens = cross ? states->shape[1] : 0;
  while (find(past_key(layout.layers)) != inputs.end()) {
    ++layout.layers;
  }
  const std::string encoder =
      cache_port(CacheSide::kPast, layout.layers - 1, CachePart::kKey, CacheKind::kEncoder);
  if (cross && find(encoder) == inputs.end()) {
    layout.ids = true;
    --layout.layers;
  }
  return layout;
}

}  // namespace

ClientCalls::ClientCalls(const CacheLayout& layout) : layout_(layout) {
  const auto add = [&](CacheKind kind, int64_t pairs) {
    for (int64_t layer = 0; layer < pairs; ++layer) {
      for (const CachePart part : kCacheParts) {
        past_.push_back(cache_port(CacheSide::kPast, layer, part, kind));
        outputs_.push_back(cache_port(CacheSide::kPresent, layer, part, kind));
      }
    }
  };
  add(layout.kind(), layout.pairs());
  if (layout.encoder_tokens != 0) {
    add(CacheKind::kEncoder, layout.layers);
  }
}

ClientCalls::ClientCalls(const GraphSession& decoder) : ClientCalls(layout_of(decoder.inputs())) {}

std::vector<GraphTensor> ClientCalls::empty_cache(int64_t rows) const {
  std::vector<GraphTensor> cache;
  for (size_t i = 0; i < past_.size(); ++i) {
    cache.emplace_back(layout_.dtype, Shape{rows, layout_.heads, 0, layout_.head_dim});
  }
  return cache;
}

std::vector<GraphFeed> ClientCalls::feeds(const GraphTensor& ids,
                                          const GraphTensor* image,
                                          std::span<const GraphTensor> cache) const {
  std::vector<GraphFeed> feeds{{kInputIds, &ids}};
  if (image != nullptr) {
    feeds.push_back({kEncoderHiddenStates, image});
  }
  add_cache(cache, feeds);
  return feeds;
}

std::vector<GraphFeed> ClientCalls::embeds_feeds(const GraphTensor& embeddings,
                                                 std::span<const GraphTensor> cache) const {
  std::vector<GraphFeed> feeds{{kInputsEmbeds, &embeddings}};
  add_cache(cache, feeds);
  return feeds;
}

void ClientCalls::add_cache(std::span<const GraphTensor> cache,
                            std::vector<GraphFeed>& feeds) const {
  for (size_t i = 0; i < past_.size(); ++i) {
    feeds.push_back({past_[i], &cache[i]});
  }
}

void ClientCalls::keep_encoder(Step& step, std::span<const GraphTensor> cache) const {
  for (size_t i = 0; i < past_.size(); ++i) {
    if (is_encoder_cache_port(past_[i]) && cache[i].shape()[2] != 0) {
      step.cache[i] = cache[i].converted(layout_.dtype);
    }
  }
}

std::vector<GraphFeed> ClientCalls::text_feeds(const GraphTensor& ids,
                                               const GraphTensor& mask,
                                               std::span<const GraphTensor> cache) const {
  std::vector<GraphFeed> feeds{{kInputIds, &ids}, {kAttentionMask, &mask}};
  add_cache(cache, feeds);
  return feeds;
}

ClientCalls::Step ClientCalls::to_step(std::vector<GraphTensor> outputs) {
  Step step{std::move(outputs[0]), {}};
  std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(step.cache));
  return step;
}

}  // namespace lorapress
