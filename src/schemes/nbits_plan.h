// Chooses the constant matrices of a model that become 4-bit blocks.
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

// The replaceable matrices, by the name of the weight, except those of less than two blocks, those
// that would keep more than half their bytes, and those looked up by indices that are constant or
// of unknown rank. A table that only lookups read is included if it has at least twice as many rows
// as columns, which position tables seldom have. The reasons for the exceptions are recorded in
// `matrices`.
std::map<std::string, PlannedMatrix> plan_matrices(ConstantMatrices& matrices, int64_t block_size);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_NBITS_PLAN_H_
