#include "weights/weight.h"

#include <algorithm>
#include <cstring>

#include "base/buffer.h"
#include "base/checked.h"
#include "base/convert.h"
#include "base/fail.h"
#include "weights/float_rows.h"
#include "weights/transposed.h"

namespace lorapress {
namespace {

int64_t row_count(const Shape& shape) {
  return shape.size() < 2 ? 1 : shape[0];
}

int64_t column_count(const Shape& shape) {
  const std::span<const int64_t> all(shape);
  const auto product = checked_product(shape.size() < 2 ? all : all.subspan(1));
  if (!product || !checked_product(all)) {
    fail(ErrorCode::kInvalidFile, "a tensor of shape [{}] is too large", fmt::join(shape, ", "));
  }
  return *product;
}

class FileWeight final : public Weight {
 public:
  FileWeight(DType dtype, Shape shape, Extent extent)
      : Weight(dtype, std::move(shape)), extent_(std::move(extent)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    const size_t size = dtype_size(dtype());
    const auto at = [&](int64_t row, int64_t col) {
      return extent_.offset + static_cast<uint64_t>(row * cols() + col) * size;
    };
    if (block.cols == cols()) {
      extent_.file->read_at(at(block.row, 0), out);
      return;
    }
    const size_t stripe = static_cast<size_t>(block.cols) * size;
    if (stripe >= kStripe) {
      for (int64_t row = 0; row < block.rows; ++row) {
        extent_.file->read_at(at(block.row + row, block.col),
                              out.subspan(static_cast<size_t>(row) * stripe, stripe));
      }
      return;
    }
    read_narrow(block, stripe, out);
  }

  [[nodiscard]] std::optional<Extent> extent() const override { return extent_; }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& other) const override {
    const Extent& theirs = static_cast<const FileWeight&>(other).extent_;
    return extent_.file == theirs.file && extent_.offset == theirs.offset;
  }

 private:
  // For fewer bytes per row than this, whole rows are read and cut: fewer calls beat fewer bytes.
  static constexpr size_t kStripe = 1024;

  void read_narrow(const Block& block, size_t stripe, std::span<std::byte> out) const {
    const size_t size = dtype_size(dtype());
    const size_t pitch = static_cast<size_t>(cols()) * size;
    const size_t batch = std::max<size_t>(1, (size_t{256} << 10) / std::max<size_t>(pitch, 1));
    Buffer<std::byte> rows(std::min(batch, static_cast<size_t>(block.rows)) * pitch);
    const size_t count = static_cast<size_t>(block.rows);
    for (size_t first = 0; first < count; first += batch) {
      const size_t step = std::min(batch, count - first);
      extent_.file->read_at(extent_.offset + (static_cast<uint64_t>(block.row) + first) * pitch,
                            rows.span().first(step * pitch));
      for (size_t row = 0; row < step; ++row) {
        std::memcpy(out.data() + (first + row) * stripe,
                    rows.data() + row * pitch + static_cast<size_t>(block.col) * size,
                    stripe);
      }
    }
  }

  Extent extent_;
};

class ConstantWeight final : public Weight {
 public:
  ConstantWeight(DType dtype, Shape shape, std::vector<std::byte> bytes)
      : Weight(dtype, std::move(shape)), bytes_(std::move(bytes)) {
    if (bytes_.size() != this->bytes()) {
      fail(ErrorCode::kInvalidArgument,
           "a constant of {} bytes, expected {}",
           bytes_.size(),
           this->bytes());
    }
  }

  void read(const Block& block, std::span<std::byte> out) const override {
    const size_t size = dtype_size(dtype());
    const size_t stripe = static_cast<size_t>(block.cols) * size;
    for (int64_t row = 0; row < block.rows; ++row) {
      const auto from = static_cast<size_t>((block.row + row) * cols() + block.col) * size;
      std::memcpy(out.data() + static_cast<size_t>(row) * stripe, bytes_.data() + from, stripe);
    }
  }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& other) const override {
    return bytes_ == static_cast<const ConstantWeight&>(other).bytes_;
  }

 private:
  std::vector<std::byte> bytes_;
};

class ZeroWeight final : public Weight {
 public:
  using Weight::Weight;
  void read(const Block& /*block*/, std::span<std::byte> out) const override {
    std::ranges::fill(out, std::byte{0});
  }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& /*other*/) const override { return true; }
};

class CastWeight final : public Weight {
 public:
  CastWeight(WeightPtr source, DType to)
      : Weight(to, source->shape(), {source}), source_(*source) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    Buffer<float> scratch;
    const size_t pitch = static_cast<size_t>(block.cols) * dtype_size(dtype());
    for_float_rows(source_, block, scratch, [&](int64_t first, const FloatRows& rows) {
      // Rows without gaps are converted at once.
      const int64_t step = rows.pitch == block.cols ? rows.rows : 1;
      for (int64_t row = 0; row < rows.rows; row += step) {
        const std::span values(rows.data + row * rows.pitch,
                               static_cast<size_t>(step * block.cols));
        from_float32(dtype(), values, out.subspan(static_cast<size_t>(first + row) * pitch));
      }
    });
  }

  // The values of a cast to float32 are the source's own, so they need no conversion and no copy.
  void read_floats(const Block& block, std::span<float> out) const override {
    dtype() == DType::kF32 ? source_.read_floats(block, out) : Weight::read_floats(block, out);
  }
  [[nodiscard]] std::optional<FloatRows> view(const Block& block) const override {
    return dtype() == DType::kF32 ? source_.view(block) : std::nullopt;
  }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& /*other*/) const override { return true; }

 private:
  const Weight& source_;
};

class ReshapedWeight final : public Weight {
 public:
  ReshapedWeight(WeightPtr source, Shape shape)
      : Weight(source->dtype(), std::move(shape), {source}), source_(*source) {
    if (source_.bytes() != this->bytes()) {
      fail(ErrorCode::kMismatch,
           "cannot reshape [{}] to [{}]",
           fmt::join(source_.shape(), ", "),
           fmt::join(this->shape(), ", "));
    }
  }

  void read(const Block& block, std::span<std::byte> out) const override {
    const size_t size = dtype_size(dtype());
    const bool whole_rows = block.cols == cols();
    const int64_t pieces = whole_rows ? 1 : block.rows;
    const size_t stripe = out.size() / static_cast<size_t>(std::max<int64_t>(pieces, 1));
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const auto from = static_cast<uint64_t>((block.row + piece) * cols() + block.col) * size;
      read_bytes(source_, from, out.subspan(static_cast<size_t>(piece) * stripe, stripe));
    }
  }

  [[nodiscard]] std::optional<Extent> extent() const override { return source_.extent(); }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& /*other*/) const override { return true; }

 private:
  const Weight& source_;
};

Shape concat_shape(const std::vector<WeightPtr>& weights) {
  Shape shape = weights.at(0)->shape();
  shape.at(0) = 0;
  for (const WeightPtr& weight : weights) {
    shape[0] += weight->shape().at(0);
  }
  return shape;
}

class ConcatWeight final : public Weight {
 public:
  explicit ConcatWeight(const std::vector<WeightPtr>& parts)
      : Weight(parts.at(0)->dtype(), concat_shape(parts), parts) {
    for (const WeightPtr& part : sources()) {
      if (part->dtype() != dtype() || (shape().size() > 1 && part->cols() != cols())) {
        fail(ErrorCode::kMismatch,
             "cannot join {} [{}] to {} [{}]",
             dtype_name(part->dtype()),
             fmt::join(part->shape(), ", "),
             dtype_name(dtype()),
             fmt::join(shape(), ", "));
      }
    }
  }

  void read(const Block& block, std::span<std::byte> out) const override {
    const bool vector = shape().size() < 2;  // one row: the parts follow along the columns
    const int64_t begin = vector ? block.col : block.row;
    const int64_t end = begin + (vector ? block.cols : block.rows);
    const size_t unit = dtype_size(dtype()) * static_cast<size_t>(vector ? 1 : block.cols);
    int64_t start = 0;
    for (const WeightPtr& part : sources()) {
      const int64_t count = part->shape()[0];
      const int64_t first = std::max(begin, start);
      const int64_t last = std::min(end, start + count);
      if (first < last) {
        const Block piece = vector ? Block{0, 1, first - start, last - first}
                                   : Block{first - start, last - first, block.col, block.cols};
        part->read(piece,
                   out.subspan(static_cast<size_t>(first - begin) * unit,
                               static_cast<size_t>(last - first) * unit));
      }
      start += count;
    }
  }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& /*other*/) const override { return true; }
};

}  // namespace

Weight::Weight(DType dtype, Shape shape, std::vector<WeightPtr> sources)
    : dtype_(dtype),
      shape_(std::move(shape)),
      rows_(row_count(shape_)),
      cols_(column_count(shape_)),
      sources_(std::move(sources)) {}

WeightPtr file_weight(DType dtype, Shape shape, Extent extent) {
  return std::make_shared<FileWeight>(dtype, std::move(shape), std::move(extent));
}

WeightPtr constant_weight(DType dtype, Shape shape, std::vector<std::byte> bytes) {
  return std::make_shared<ConstantWeight>(dtype, std::move(shape), std::move(bytes));
}

WeightPtr float_constant(Shape shape, std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  return constant_weight(DType::kF32, std::move(shape), {bytes.begin(), bytes.end()});
}

WeightPtr zeros(DType dtype, Shape shape) {
  return std::make_shared<ZeroWeight>(dtype, std::move(shape));
}

WeightPtr cast(WeightPtr weight, DType to) {
  if (weight->dtype() == to) {
    return weight;
  }
  if (WeightPtr made = weight->in_dtype(to)) {
    return made;
  }
  return std::make_shared<CastWeight>(std::move(weight), to);
}

WeightPtr reshape(WeightPtr weight, Shape shape) {
  return weight->shape() == shape
             ? weight
             : std::make_shared<ReshapedWeight>(std::move(weight), std::move(shape));
}

WeightPtr transpose(WeightPtr weight) {
  if (const auto* transposed = dynamic_cast<const TransposedWeight*>(weight.get())) {
    return transposed->sources()[0];
  }
  return std::make_shared<TransposedWeight>(std::move(weight));
}

WeightPtr concat_rows(std::vector<WeightPtr> weights) {
  return weights.size() == 1 ? weights[0] : std::make_shared<ConcatWeight>(weights);
}

}  // namespace lorapress
