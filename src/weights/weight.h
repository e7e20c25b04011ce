// A lazy weight: it knows its dtype and shape, and computes any block of its values on request.
// Merged, cast and transposed weights wrap other weights, so their values are not held in memory.
#ifndef LORAPRESS_WEIGHTS_WEIGHT_H_
#define LORAPRESS_WEIGHTS_WEIGHT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"

namespace lorapress {

using Shape = std::vector<int64_t>;
class Weight;
class WeightGroup;  // weights/group.h
using WeightPtr = std::shared_ptr<const Weight>;

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

// Rows that are in memory as float32: row i begins at data + i * pitch. The rows stay valid while
// `owner` is held.
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
  // `sources` are the weights that this weight is a view of: their content determines all of its
  // content. Weights that bring new values (files, constants, a merged adapter) have none.
  Weight(DType dtype, Shape shape, std::vector<WeightPtr> sources = {});
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
  // The block as float32; for float dtypes. A merged weight gives its sums before they are rounded
  // to its dtype, so that cast(merged, float32) loses nothing. REQUIRES: the block lies inside,
  // out.size() == block.elements().
  virtual void read_floats(const Block& block, std::span<float> out) const;
  // The first rows of the block, at least one, as read_floats() gives them, where these rows are in
  // memory already; else nullopt.
  [[nodiscard]] virtual std::optional<FloatRows> view(const Block& /*block*/) const {
    return std::nullopt;
  }
  // True if every block of a derived weight of `values` elements can be viewed in memory, so that
  // reading it costs about one copy.
  [[nodiscard]] virtual bool stays_in_memory(uint64_t values) const;
  [[nodiscard]] std::span<const WeightPtr> sources() const { return sources_; }
  // True if reading a few rows costs only those rows. A transposed weight reads (nearly) all of its
  // source for any stripe of rows, so writers read it in large blocks.
  [[nodiscard]] virtual bool row_wise() const;
  // A dtype that holds every value exactly; may be narrower than dtype(), in which the values are
  // stored.
  [[nodiscard]] virtual DType values_dtype() const { return dtype_; }
  // The group of weights that are computed together with this weight, such as the integers and the
  // scales of one matrix; null for a weight without a group. The group lives as long as the weight.
  [[nodiscard]] virtual const WeightGroup* group() const { return nullptr; }
  // The place in a file where this weight's bytes lie unchanged, so that a writer may copy them in
  // the kernel; else nullopt.
  [[nodiscard]] virtual std::optional<Extent> extent() const { return std::nullopt; }
  // Called by cast(): this weight through float32 in another dtype, where the class has a better
  // way than converting the blocks that it reads; else null.
  [[nodiscard]] virtual WeightPtr in_dtype(DType /*to*/) const { return nullptr; }
  // True if both certainly have the same content: the same steps over the same files, constants or
  // weights. No content is read for this, so false does not prove a difference.
  [[nodiscard]] bool same_as(const Weight& other) const;

 protected:
  // same_as() for a weight of the same class, dtype, shape and sources. False unless a class
  // overrides it, so that a class that forgets a parameter is never wrong.
  [[nodiscard]] virtual bool same_parameters(const Weight& /*other*/) const { return false; }

 private:
  DType dtype_;
  Shape shape_;
  int64_t rows_;
  int64_t cols_;
  std::vector<WeightPtr> sources_;
};

// Leaves.
WeightPtr file_weight(DType dtype, Shape shape, Extent extent);
WeightPtr constant_weight(DType dtype, Shape shape, std::vector<std::byte> bytes);
WeightPtr float_constant(Shape shape, std::span<const float> values);
WeightPtr zeros(DType dtype, Shape shape);  // takes no memory

// Views. Each keeps the dtype, except for cast(), which converts through float32 and returns
// `weight` itself where the dtype is the same.
WeightPtr cast(WeightPtr weight, DType to);
WeightPtr reshape(WeightPtr weight, Shape shape);  // any shape of as many elements
// Rank 2: [n, k] -> [k, n]. transpose(transpose(w)) is w itself; passes use this to read whole rows
// of a weight that linear() stored transposed.
WeightPtr transpose(WeightPtr weight);
WeightPtr concat_rows(std::vector<WeightPtr> weights);  // along dimension 0; same dtype and columns

// The weight under all views, found by following the first source of each view: where reading
// begins. Writers process weights with the same root at about the same time (weights/pieces.h).
const Weight& root_of(const Weight& weight);

// All of a small weight as float32.
std::vector<float> read_all_float32(const Weight& weight);
// Bytes [offset, offset + out.size()) of the row-major content.
void read_bytes(const Weight& weight, uint64_t offset, std::span<std::byte> out);

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_WEIGHT_H_
