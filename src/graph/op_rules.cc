#include "graph/op_rules.h"

#include <algorithm>

#include "base/fail.h"
#include "graph/graph.h"

namespace lorapress::op_rules {
namespace {

Types reduced(const TensorType& from, std::vector<int64_t> axes, bool keep) {
  TensorType type = from;
  std::ranges::sort(axes, std::greater{});
  for (const int64_t axis : axes) {
    const size_t at = axis_of(axis, from.dims.size());
    if (keep) {
      type.dims[at] = Dim(1);
    } else {
      type.dims.erase(type.dims.begin() + static_cast<ptrdiff_t>(at));
    }
  }
  return {type};
}

// A dim that is equal before and after an iteration; unknown where both differ.
Dim common(const Dim& a, const Dim& b) {
  return a == b ? a : Dim();
}

}  // namespace

Types split(const OpContext& op) {
  const TensorType& from = op.input(0).type;
  const size_t axis = axis_of(op.integer("axis", 0), from.dims.size());
  if (!op.input(1).constant) {
    bad("Split with sizes that are not constant");
  }
  Types types;
  for (const int64_t size : *op.input(1).constant) {
    types.push_back(from);
    types.back().dims[axis] = Dim(size);
  }
  return types;
}

// Without axes the rule reduces over all axes.
Types reduce(const OpContext& op) {
  const TensorType& from = op.input(0).type;
  const auto* attribute = op.integers("axes");
  const bool has_input = op.inputs.size() > 1 && op.inputs[1].present;
  std::vector<int64_t> axes;
  if (attribute != nullptr) {
    axes = *attribute;
  } else if (has_input) {
    if (!op.inputs[1].constant) {
      bad("axes that are not constant");
    }
    axes = *op.inputs[1].constant;
  } else {
    for (size_t i = 0; i < from.dims.size(); ++i) {
      axes.push_back(static_cast<int64_t>(i));
    }
  }
  for (int64_t& axis : axes) {
    axis = static_cast<int64_t>(axis_of(axis, from.dims.size()));
  }
  return reduced(from, std::move(axes), op.integer("keepdims", 1) != 0);
}

Types arg_max(const OpContext& op) {
  const TensorType from{DType::kI64, op.input(0).type.dims};
  const size_t axis = axis_of(op.integer("axis", 0), from.dims.size());
  return reduced(from, {static_cast<int64_t>(axis)}, op.integer("keepdims", 1) != 0);
}

// Values and indices, along `axis`.
Types top_k(const OpContext& op) {
  TensorType values = op.input(0).type;
  const auto& k = op.input(1).constant;
  values.dims[axis_of(op.integer("axis", -1), values.dims.size())] =
      k && k->size() == 1 ? Dim(k->at(0)) : Dim();
  return {values, {DType::kI64, values.dims}};
}

// The last dim of the indices is the number of axes after batch_dims that they index.
Types gather_nd(const OpContext& op) {
  const TensorType& data = op.input(0).type;
  Dims dims = op.input(1).type.dims;
  const int64_t named = dims.at(dims.size() - 1).value;
  const int64_t behind = op.integer("batch_dims", 0) + named;
  if (named < 1 || behind > static_cast<int64_t>(data.dims.size())) {
    bad(fmt::format("GatherND of {} by {}", to_string(data), to_string(op.input(1).type)));
  }
  dims.pop_back();
  dims.insert(dims.end(), data.dims.begin() + static_cast<ptrdiff_t>(behind), data.dims.end());
  return {{data.dtype, std::move(dims)}};
}

// Inputs: trip count, condition, initial values. Body: (iteration, condition, values) ->
// (condition, values, scanned slices). Outputs: the last values, then the slices stacked.
Types loop(const OpContext& op) {
  const Body& body = op.body();
  const size_t carried = op.inputs.size() < 2 ? 0 : op.inputs.size() - 2;
  if (op.inputs.size() < 2 || body.input_types.size() != carried + 2 ||
      body.output_types.size() < carried + 1) {
    bad(fmt::format("a body of {} inputs and {} outputs for {} carried values",
                    body.input_types.size(),
                    body.output_types.size(),
                    carried));
  }
  const TensorType& condition = body.output_types[0];
  if (body.input_types[0].dtype != DType::kI64 || body.input_types[1].dtype != DType::kBool ||
      condition.dtype != DType::kBool || condition.dims.size() > 1) {
    bad("a body begins with (int64 iteration, bool condition) -> bool condition");
  }
  Types types;
  for (size_t i = 0; i < carried; ++i) {
    const TensorType& before = op.input(i + 2).type;
    const TensorType& during = body.input_types[i + 2];
    const TensorType& after = body.output_types[i + 1];
    if (before.dtype != during.dtype || during.dtype != after.dtype ||
        before.dims.size() != during.dims.size() || during.dims.size() != after.dims.size()) {
      bad(fmt::format("carried value {} begins as {}, is read as {} and given back as {}",
                      i,
                      to_string(before),
                      to_string(during),
                      to_string(after)));
    }
    TensorType type = during;
    for (size_t axis = 0; axis < type.dims.size(); ++axis) {
      const Dim& declared = during.dims[axis];
      for (const Dim* other : {&before.dims[axis], &after.dims[axis]}) {
        if (declared.known() && other->known() && declared != *other) {
          bad(fmt::format("dim {} of carried value {} is declared {} and is also {}",
                          axis,
                          i,
                          declared.value,
                          other->value));
        }
        type.dims[axis] = common(type.dims[axis], *other);
      }
    }
    types.push_back(std::move(type));
  }
  for (size_t i = carried + 1; i < body.output_types.size(); ++i) {
    types.push_back(body.output_types[i]);
    types.back().dims.insert(types.back().dims.begin(), Dim());
  }
  return types;
}

// Both branches take no inputs and return the same dtypes and ranks.
Types if_else(const OpContext& op) {
  const auto branch = [&](std::string_view name) -> const Body& {
    const auto found = std::ranges::find(op.attributes, name, &Attribute::name);
    const auto* body = found == op.attributes.end() ? nullptr : std::get_if<BodyPtr>(&found->value);
    if (body == nullptr || !*body || !(*body)->inputs.empty()) {
      bad(fmt::format("{} is missing or has inputs", name));
    }
    return **body;
  };
  Types types = branch("then_branch").output_types;
  const Types& others = branch("else_branch").output_types;
  if (op.input(0).type.dtype != DType::kBool || types.size() != others.size()) {
    bad("a condition that is not bool, or branches of different outputs");
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i].dtype != others[i].dtype || types[i].dims.size() != others[i].dims.size()) {
      bad(fmt::format("branches give {} and {}", to_string(types[i]), to_string(others[i])));
    }
    for (size_t axis = 0; axis < types[i].dims.size(); ++axis) {
      types[i].dims[axis] = common(types[i].dims[axis], others[i].dims[axis]);
    }
  }
  return types;
}

}  // namespace lorapress::op_rules
