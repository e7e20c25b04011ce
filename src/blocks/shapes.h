// Shape arithmetic and logic that blocks share.
#ifndef LORAPRESS_BLOCKS_SHAPES_H_
#define LORAPRESS_BLOCKS_SHAPES_H_

#include <string>

#include "blocks/builder.h"

namespace lorapress {

// The length along `axis` as int64 [1].
Value length_of(const Builder& b, const std::string& name, const Value& x, int64_t axis);

// A tensor filled with `scalar`; `dims` are int64 [1] values, one per axis.
Value filled(const Builder& b,
             const std::string& name,
             const Value& scalar,
             const std::vector<Value>& dims);

// bool of any shape -> bool scalar.
Value all_of(const Builder& b, const std::string& scope, const Value& x);
Value any_of(const Builder& b, const std::string& scope, const Value& x);

// int64 of any shape -> bool of the same shape: whether it is one of `ids` (at least one).
Value is_one_of(const Builder& b,
                const std::string& scope,
                const Value& x,
                const std::vector<int64_t>& ids);

Value to_dtype(const Builder& b, const std::string& name, const Value& x, DType dtype);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_SHAPES_H_
