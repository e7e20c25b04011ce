// A lazy weight: it knows its dtype and shape, and produces any block of itself when asked. Merging
// an adapter, casting and transposing are weights around weights, so nothing is held in memory.
#ifndef LORAPRESS_WEIGHTS_WEIGHT_H_
#define LORAPRESS_WEIGHTS_WEIGHT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"

namespace lorapress {

using Shape = std::vector<int64_t>;

// A rectangle of the matrix view of a weight.
struct Block {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t col = 0;
  int64_t cols = 0;
  [[nodiscard]] size_t elements() const { return static_cast<size_t>(rows * cols); }
};

// The place in a file whose bytes are the weight's bytes, in order.
struct Extent {
  std::shared_ptr<const InputFile> file;
  uint64_t offset = 0;
};

// Rows that stand in memory as float32: row i begins at data + i * pitch. They stay while `owner`
// is held.
struct FloatRows {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t pitch = 0;
  std::shared_ptr<const void> owner;
};

// Matrix view: rows() is the first dimension, cols() the product of the others; a weight of rank 0
// or 1 is one row. Row-major, little endian. Thread safe.
class Weight {
 public:
  Weight(DType dtype, Shape shape);
  virtual ~Weight() = default;
  Weight(const Weight&) = delete;
  Weight& operator=(const Weight&) = delete;

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] int64_t rows() const { return rows_; }
  [[nodiscard]] int64_t cols() const { return cols_; }
  [[nodiscard]] uint64_t values() const {
    return static_cast<uint64_t>(rows_) * static_cast<uint64_t>(cols_);
  }
  [[nodiscard]] uint64_t bytes() const { return values() * dtype_size(dtype_); }

  // REQUIRES: the block lies inside, out.size() == block.elements() * dtype_size(dtype()).
  virtual void read(const Block& block, std::span<std::byte> out) const = 0;
  // The block as float32, for float dtypes. A merged weight gives the sums before they are rounded
  // to its dtype, so that cast(merged, float32) loses nothing.
  virtual void read_floats(const Block& block, std::span<float> out) const;
  // The first rows of the block as read_floats() gives them, where they stand in memory already.
  [[nodiscard]] virtual std::optional<FloatRows> lend(const Block& /*block*/) const {
    return std::nullopt;
  }
  // Whether any block costs little more than a copy, for a weight of so many values that is made of
  // this one: all of them stay where they can be lent.
  [[nodiscard]] virtual bool lends(uint64_t values) const {
    return source() != nullptr && source()->lends(values);
  }
  // The weight (or one of those) that this one is a view of; null where there is none.
  [[nodiscard]] virtual const Weight* source() const { return nullptr; }
  // Whether a few rows cost only those rows. A transposed weight reads (nearly) all of its source
  // for any stripe, so writers ask it for large blocks.
  [[nodiscard]] virtual bool row_wise() const {
    return source() == nullptr || source()->row_wise();
  }
  // Set where the bytes stand in a file unchanged, so that a writer may copy them in the kernel.
  [[nodiscard]] virtual std::optional<Extent> extent() const { return std::nullopt; }

 private:
  DType dtype_;
  Shape shape_;
  int64_t rows_;
  int64_t cols_;
};

using WeightPtr = std::shared_ptr<const Weight>;

// Leaves.
WeightPtr file_weight(DType dtype, Shape shape, Extent extent);
WeightPtr constant_weight(DType dtype, Shape shape, std::vector<std::byte> bytes);
WeightPtr float_constant(Shape shape, std::span<const float> values);
WeightPtr zeros(DType dtype, Shape shape);  // takes no memory

// Views. Each keeps the dtype unless it says otherwise.
// Through float32; the same dtype is free. Casting stays inside of a transposition, so that it sees
// whole rows.
WeightPtr cast(WeightPtr weight, DType to);
WeightPtr reshape(WeightPtr weight, Shape shape);  // same number of elements and columns or any
// Rank 2: [n, k] -> [k, n]. Turning a turned weight gives back its source, which is how passes get
// at whole rows of a weight that is not row-wise.
WeightPtr transpose(WeightPtr weight);
WeightPtr concat_rows(std::vector<WeightPtr> weights);  // along dimension 0; same dtype and columns

// What is left when all views are taken off: weights with the same root are made of the same bytes.
const Weight& root_of(const Weight& weight);

// All of a small weight as float32.
std::vector<float> read_all_float32(const Weight& weight);
// Bytes [offset, offset + out.size()) of the row-major content.
void read_bytes(const Weight& weight, uint64_t offset, std::span<std::byte> out);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_WEIGHT_H_
