#include "graph/source_order.h"

#include <algorithm>
#include <numeric>

namespace lorapress {
namespace {

const Weight* root_of_initializer(const Model& model, const onnx::TensorProto& initializer) {
  const auto weight = model.weights.find(initializer.name());
  return weight == model.weights.end() ? nullptr : &root_of(*weight->second);
}

}  // namespace

SourceOrder::SourceOrder(const Model& model) {
  for (const onnx::TensorProto& initializer : model.proto.graph().initializer()) {
    if (const Weight* root = root_of_initializer(model, initializer)) {
      ranks_.try_emplace(root, ranks_.size() + 1);
    }
  }
}

void SourceOrder::apply(Model& model) const {
  auto& initializers = *model.proto.mutable_graph()->mutable_initializer();
  std::vector<size_t> keys;
  size_t key = 0;
  for (const onnx::TensorProto& initializer : initializers) {
    const auto rank = ranks_.find(root_of_initializer(model, initializer));
    key = rank == ranks_.end() ? key : rank->second;
    keys.push_back(key);
  }
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t index) { return keys[index]; });
  google::protobuf::RepeatedPtrField<onnx::TensorProto> sorted;
  sorted.Reserve(initializers.size());
  for (const size_t index : order) {
    *sorted.Add() = std::move(initializers[static_cast<int>(index)]);
  }
  initializers.Swap(&sorted);
}

}  // namespace lorapress
