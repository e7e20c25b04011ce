// Reading a weight by other means than its blocks: as floats, whole, or by the byte.
#include <algorithm>
#include <cstring>
#include <typeinfo>

#include "base/buffer.h"
#include "base/convert.h"
#include "weights/weight.h"

namespace lorapress {

void Weight::read_floats(const Block& block, std::span<float> out) const {
  if (dtype_ == DType::kF32) {
    read(block, std::as_writable_bytes(out));
    return;
  }
  Buffer<std::byte> stored(block.elements() * dtype_size(dtype_));
  read(block, stored.span());
  to_float32(dtype_, stored.span(), out);
}

bool Weight::stays_in_memory(uint64_t values) const {
  return !sources_.empty() && std::ranges::all_of(sources_, [&](const WeightPtr& source) {
    return source->stays_in_memory(values);
  });
}

bool Weight::row_wise() const {
  return std::ranges::all_of(sources_, [](const WeightPtr& source) { return source->row_wise(); });
}

bool Weight::same_as(const Weight& other) const {
  const auto same = [](const WeightPtr& a, const WeightPtr& b) { return a->same_as(*b); };
  return this == &other ||
         (typeid(*this) == typeid(other) && dtype_ == other.dtype_ && shape_ == other.shape_ &&
          std::ranges::equal(sources_, other.sources_, same) && same_parameters(other));
}

const Weight& root_of(const Weight& weight) {
  const Weight* root = &weight;
  while (!root->sources().empty()) {
    root = root->sources()[0].get();
  }
  return *root;
}

std::vector<float> read_all_float32(const Weight& weight) {
  const Block all{0, weight.rows(), 0, weight.cols()};
  std::vector<float> values(all.elements());
  weight.read_floats(all, values);
  return values;
}

void read_bytes(const Weight& weight, uint64_t offset, std::span<std::byte> out) {
  if (out.empty()) {
    return;
  }
  if (const auto extent = weight.extent()) {
    extent->file->read_at(extent->offset + offset, out);
    return;
  }
  const size_t size = dtype_size(weight.dtype());
  const uint64_t pitch = static_cast<uint64_t>(weight.cols()) * size;
  const uint64_t first = offset / pitch;
  const uint64_t last = (offset + out.size() - 1) / pitch;
  const auto rows = [&](uint64_t row, uint64_t count) {
    return Block{static_cast<int64_t>(row), static_cast<int64_t>(count), 0, weight.cols()};
  };
  if (first == last) {  // inside one row: the columns that cover it
    const uint64_t begin = (offset % pitch) / size;
    const uint64_t end = (offset % pitch + out.size() + size - 1) / size;
    Buffer<std::byte> cover(static_cast<size_t>((end - begin) * size));
    weight.read({static_cast<int64_t>(first),
                 1,
                 static_cast<int64_t>(begin),
                 static_cast<int64_t>(end - begin)},
                cover.span());
    std::memcpy(out.data(), cover.data() + (offset % pitch - begin * size), out.size());
    return;
  }
  const Block cover_rows = rows(first, last - first + 1);
  if (offset % pitch == 0 && out.size() % pitch == 0) {
    weight.read(cover_rows, out);
    return;
  }
  // Ragged ends: one read of all rows touched. Reading an end by itself would cost a transposed
  // weight a pass over its whole source.
  Buffer<std::byte> cover(static_cast<size_t>((last - first + 1) * pitch));
  weight.read(cover_rows, cover.span());
  std::memcpy(out.data(), cover.data() + offset % pitch, out.size());
}

}  // namespace lorapress
