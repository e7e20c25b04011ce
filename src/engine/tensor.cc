#include "engine/tensor.h"

#include <algorithm>
#include <cstdlib>
#if defined(_WIN32)
#include <malloc.h>
#endif
#include <new>
#include <utility>

namespace lorapress::engine {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 40;
constexpr std::byte kNothing{};  // where tensors without elements lie
constexpr size_t kSlack = 32;    // so that a vector may be read across the end

struct TypeRow {
  const char* name;
  size_t size;
};
constexpr TypeRow kTypeRows[kTypes] = {
    {"float32", 4}, {"int64", 8}, {"int32", 4}, {"int8", 1}, {"uint8", 1}, {"bool", 1}};

// Few sizes, so that blocks of a cache that grows are found again: four between a power of two and the next.
size_t block_size(size_t bytes) {
  size_t step = 1024;
  while (bytes > 8 * step) {
    step *= 2;
  }
  return (bytes + step - 1) / step * step;
}

}  // namespace

const char* type_name(Type type) {
  return kTypeRows[static_cast<size_t>(type)].name;
}

size_t type_size(Type type) {
  return kTypeRows[static_cast<size_t>(type)].size;
}

Dims::Dims(std::initializer_list<int64_t> sizes)
    : Dims(std::span<const int64_t>(sizes.begin(), sizes.size())) {}

Dims::Dims(std::span<const int64_t> sizes) {
  for (const int64_t size : sizes) {
    push_back(size);
  }
}

void Dims::push_back(int64_t size) {
  insert(rank_, size);
}

void Dims::insert(int axis, int64_t size) {
  if (rank_ == kMostDims) {
    refuse(Problem::kUnsupported, "a tensor of more than 8 dimensions");
  }
  std::copy_backward(size_ + axis, size_ + rank_, size_ + rank_ + 1);
  size_[axis] = size;
  ++rank_;
}

void Dims::erase(int axis) {
  std::copy(size_ + axis + 1, size_ + rank_, size_ + axis);
  --rank_;
}

int64_t Dims::count() const {
  return product(0, rank_);
}

int64_t Dims::product(int first, int last) const {
  int64_t product = 1;
  for (int axis = first; axis < last; ++axis) {
    if (size_[axis] < 0 || __builtin_mul_overflow(product, size_[axis], &product) ||
        product > kMostElements) {
      refuse(Problem::kRun, "a tensor " + text() + " that no memory holds");
    }
  }
  return product;
}

std::string Dims::text() const {
  std::string out = "[";
  for (int axis = 0; axis < rank_; ++axis) {
    out += (axis == 0 ? "" : ", ") + std::to_string(size_[axis]);
  }
  return out + "]";
}

bool Dims::operator==(const Dims& other) const {
  return rank_ == other.rank_ && std::equal(size_, size_ + rank_, other.size_);
}

namespace {

#if defined(_WIN32)  // its C library has no aligned_alloc()
void* allocate(size_t bytes) {
  return _aligned_malloc(bytes, 64);
}
void release(void* memory) {
  _aligned_free(memory);
}
#else
void* allocate(size_t bytes) {
  return std::aligned_alloc(64, bytes);
}
void release(void* memory) {
  std::free(memory);
}
#endif

}  // namespace

Pool::~Pool() {
  for (Block* block : all_) {
    release(block);
  }
}

Pool::Block* Pool::take(size_t bytes) {
  const size_t wanted =
      blocks_ == Blocks::kKept ? block_size(bytes + kSlack) : (bytes + kSlack + 63) / 64 * 64;
  auto best = free_.end();
  for (auto at = free_.begin(); at != free_.end(); ++at) {
    if ((*at)->capacity >= wanted && (best == free_.end() || (*at)->capacity < (*best)->capacity)) {
      best = at;
    }
  }
  if (best != free_.end() && (*best)->capacity <= 2 * wanted) {
    Block* block = *best;
    *best = free_.back();
    free_.pop_back();
    return block;
  }
  void* memory = limit_ - bytes_ < wanted ? nullptr : allocate(kHeader + wanted);
  if (memory == nullptr) {
    refuse(Problem::kRun, "no memory for " + std::to_string(wanted) + " bytes");
  }
  auto* block = new (memory) Block{this, wanted, 0};
  all_.push_back(block);
  free_.reserve(all_.size());
  bytes_ += wanted;
  return block;
}

void Pool::give_back(Block* block) {
  if (blocks_ == Blocks::kKept) {
    free_.push_back(block);
    return;
  }
  bytes_ -= block->capacity;
  *std::find(all_.begin(), all_.end(), block) = all_.back();
  all_.pop_back();
  release(block);
}

Tensor::Tensor(Pool& pool, Type type, const Dims& dims) : type_(type), dims_(dims) {
  block_ = pool.take(static_cast<size_t>(dims.count()) * type_size(type));
  ++block_->tensors;
  data_ = block_->data();
}

Tensor::Tensor(Type type, const Dims& dims, const void* data)
    : type_(type),
      dims_(dims),
      data_(static_cast<std::byte*>(const_cast<void*>(data == nullptr ? &kNothing : data))) {}

Tensor::Tensor(const Tensor& other)
    : type_(other.type_),
      dims_(other.dims_),
      capacity_(other.capacity_),
      shared_(other.shared_),
      data_(other.data_),
      block_(other.block_) {
  if (block_ != nullptr) {
    ++block_->tensors;
  }
}

Tensor::Tensor(Tensor&& other) noexcept
    : type_(other.type_),
      dims_(other.dims_),
      capacity_(other.capacity_),
      shared_(other.shared_),
      data_(std::exchange(other.data_, nullptr)),
      block_(std::exchange(other.block_, nullptr)) {}

Tensor& Tensor::operator=(const Tensor& other) {
  if (this != &other) {
    *this = Tensor(other);
  }
  return *this;
}

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  if (this != &other) {
    leave();
    type_ = other.type_;
    dims_ = other.dims_;
    capacity_ = other.capacity_;
    shared_ = other.shared_;
    data_ = std::exchange(other.data_, nullptr);
    block_ = std::exchange(other.block_, nullptr);
  }
  return *this;
}

void Tensor::leave() {
  if (block_ != nullptr && --block_->tensors == 0) {
    block_->pool->give_back(block_);
  }
  block_ = nullptr;
  data_ = nullptr;
}

Tensor Tensor::shaped(const Dims& dims) const {
  if (dims.count() != count() || capacity_ != 0) {
    refuse(Problem::kRun, "a tensor " + dims_.text() + " as " + dims.text());
  }
  Tensor other = *this;
  other.dims_ = dims;
  return other;
}

Tensor Tensor::with_shared(const Shared& shared) const {
  Tensor other = *this;
  other.shared_ = shared;
  return other;
}

Tensor Tensor::with_capacity(const Dims& dims, int64_t capacity) const {
  Tensor other = *this;
  other.dims_ = dims;
  other.capacity_ = capacity;
  return other;
}

#if defined(__cpp_exceptions)
void refuse(Problem problem, std::string message) {
  throw Refusal{problem, std::move(message)};
}
#else
extern "C" void lorapress_engine_refused(int problem, const char* message);  // the caller's
void refuse(Problem problem, std::string message) {
  lorapress_engine_refused(static_cast<int>(problem), message.c_str());
  __builtin_trap();
}
#endif

}  // namespace lorapress::engine
