// Which constant matrices of a model become blocks of 4 bits.
#ifndef LORAPRESS_SCHEMES_NBITS_PLAN_H_
#define LORAPRESS_SCHEMES_NBITS_PLAN_H_

#include <map>
#include <string>

#include "rewrite/constant_matrices.h"

namespace lorapress {

struct PlannedMatrix {
  WeightPtr matrix;        // [outputs, inputs]
  bool looked_up = false;  // a Gather reads it
};

// The replaceable matrices, by the name of the weight, but for those below two blocks, those that
// would not become half as small and those looked up by indices that are constant or of unknown rank.
// A table that only lookups read is one when it has at least twice as many rows as columns; position
// tables seldom do. `matrices` gets the reasons.
std::map<std::string, PlannedMatrix> plan_matrices(ConstantMatrices& matrices, int64_t block_size);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_NBITS_PLAN_H_
