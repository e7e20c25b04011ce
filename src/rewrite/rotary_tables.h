// Rotary tables that a runtime computes when it loads a graph, so that clients do not download
// them.
#ifndef LORAPRESS_REWRITE_ROTARY_TABLES_H_
#define LORAPRESS_REWRITE_ROTARY_TABLES_H_

#include "graph/model.h"

namespace lorapress {

// Replaces the constant cosine and sine tables [positions, width] that GroupQueryAttention and
// RotaryEmbedding of com.microsoft read by
//
//  Range(0, positions) ── Cast ── Unsqueeze ── Mul(frequencies [width]) ── Cos and Sin (── Cast)
//
// which runtimes fold into the same tables when a session is made. The frequencies are derived from
// the tables; tables that the frequencies do not reproduce within the rounding of their dtype are
// not changed.
void compute_rotary_tables(Model& model);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_ROTARY_TABLES_H_
