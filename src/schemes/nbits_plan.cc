#include "schemes/nbits_plan.h"

namespace lorapress {
namespace {

// True if quantized blocks take less than half the bytes.
bool worth_it(const Weight& matrix, int64_t block_size) {
  const int64_t blocks = (matrix.cols() + block_size - 1) / block_size;
  const auto quantized = static_cast<uint64_t>(
      matrix.rows() * blocks * (block_size / 2 + static_cast<int64_t>(dtype_size(matrix.dtype()))));
  return matrix.rows() * matrix.cols() >= 2 * block_size && quantized * 2 < matrix.bytes();
}

}  // namespace

std::map<std::string, PlannedMatrix> plan_matrices(ConstantMatrices& matrices, int64_t block_size) {
  std::map<std::string, PlannedMatrix> planned;
  for (const auto& [name, found] : matrices.uses()) {
    WeightPtr matrix = found.rows_are_outputs ? found.weight : transpose(found.weight);
    const bool table = found.products != 0 || matrix->rows() >= 2 * matrix->cols();
    if (!table) {
      matrices.add_reason(name, "a table of less than twice as many rows as columns");
    } else if (!worth_it(*matrix, block_size)) {
      matrices.add_reason(name, "blocks would not make it half as small");
    } else if (found.constant_indices) {
      matrices.add_reason(name, "looked up by constant indices");
    } else if (found.replaceable && !found.unranked_indices) {
      planned[name] = {std::move(matrix), found.lookups != 0};
    }
  }
  return planned;
}

}  // namespace lorapress
