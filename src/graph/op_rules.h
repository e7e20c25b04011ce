// Type rules of operators that are not in ops.cc itself, and helpers that rules share. Included
// only by ops.cc and op_rules.cc.
#ifndef LORAPRESS_GRAPH_OP_RULES_H_
#define LORAPRESS_GRAPH_OP_RULES_H_

#include "graph/ops.h"

namespace lorapress::op_rules {

using Types = std::vector<TensorType>;

[[noreturn]] void bad(std::string_view what);
size_t axis_of(int64_t axis, size_t rank);  // a negative axis counts from the end

Types split(const OpContext& op);
Types reduce(const OpContext& op);
Types arg_max(const OpContext& op);
Types top_k(const OpContext& op);
Types gather_nd(const OpContext& op);
Types loop(const OpContext& op);
Types if_else(const OpContext& op);

}  // namespace lorapress::op_rules

#endif  // LORAPRESS_GRAPH_OP_RULES_H_
