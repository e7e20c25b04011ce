// What the engine computes with: typed numbers of up to 8 dimensions in memory that is reused from run to run.
// The engine is portable C++20 that includes nothing else of the project.
#ifndef LORAPRESS_ENGINE_TENSOR_H_
#define LORAPRESS_ENGINE_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lorapress::engine {

// float16 has no row: the engine computes such graphs in float32, and widens their weights at load.
enum class Type : uint8_t { kF32, kI64, kI32, kI8, kU8, kBool };
inline constexpr int kTypes = 6;
const char* type_name(Type type);
size_t type_size(Type type);

// Why a graph is not run.
enum class Problem : uint8_t {
  kUnsupported,  // an operator, attribute or type that the engine does not know
  kInvalid,      // no ONNX graph, or one that contradicts itself
  kRun,          // inputs that do not fit the graph
  kMismatch,     // a graph that is not the one that its host describes
};
// Thrown by refuse(). A build without exceptions keeps the message for its caller and traps.
struct Refusal {
  Problem problem;
  std::string message;  // one line
};
[[noreturn]] void refuse(Problem problem, std::string message);

inline constexpr int kMostDims = 8;

class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> sizes);
  // Refuses more than kMostDims.
  explicit Dims(std::span<const int64_t> sizes);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int64_t operator[](int axis) const { return size_[axis]; }
  int64_t& operator[](int axis) { return size_[axis]; }
  // The last dimension is -1.
  [[nodiscard]] int64_t back(int from_end = 1) const { return size_[rank_ - from_end]; }
  void push_back(int64_t size);
  void insert(int axis, int64_t size);
  void erase(int axis);
  // The number of elements; refuses what no memory holds.
  [[nodiscard]] int64_t count() const;
  // The product of the dimensions first ... last - 1.
  [[nodiscard]] int64_t product(int first, int last) const;
  [[nodiscard]] std::string text() const;
  bool operator==(const Dims& other) const;
  [[nodiscard]] std::span<const int64_t> span() const {
    return {size_, static_cast<size_t>(rank_)};
  }
  [[nodiscard]] const int64_t* begin() const { return size_; }
  [[nodiscard]] const int64_t* end() const { return size_ + rank_; }

 private:
  int rank_ = 0;
  int64_t size_[kMostDims] = {};
};

// Memory that runs use again: blocks go back to the pool when the last tensor leaves them. One thread
// at a time.
class Pool {
 public:
  struct Block {
    Pool* pool;
    size_t capacity;
    int64_t tensors;  // that lie in it
    [[nodiscard]] std::byte* data() { return reinterpret_cast<std::byte*>(this) + kHeader; }
  };
  static constexpr size_t kHeader = 64;

  // Whether blocks that no tensor lies in are kept for later ones, in sizes of which there are few.
  enum class Blocks : uint8_t { kKept, kFreed };
  // Refuses more than `limit` bytes.
  explicit Pool(size_t limit = SIZE_MAX, Blocks blocks = Blocks::kKept)
      : limit_(limit), blocks_(blocks) {}
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // At least that many bytes, aligned to 64, with 32 more behind them.
  Block* take(size_t bytes);
  void give_back(Block* block);
  // Bytes of all blocks.
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  std::vector<Block*> free_;
  std::vector<Block*> all_;
  size_t bytes_ = 0;
  size_t limit_;
  Blocks blocks_;
};

// Copies are views of the same memory.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Pool& pool, Type type, const Dims& dims);
  // Memory of someone else, which outlives the tensor.
  Tensor(Type type, const Dims& dims, const void* data);
  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(const Tensor& other);
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor() { leave(); }

  [[nodiscard]] bool present() const { return data_ != nullptr; }
  [[nodiscard]] Type type() const { return type_; }
  [[nodiscard]] const Dims& dims() const { return dims_; }
  [[nodiscard]] int64_t count() const { return dims_.count(); }
  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(count()) * type_size(type_); }
  [[nodiscard]] std::byte* data() const { return data_; }
  template <typename T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  [[nodiscard]] float* floats() const { return as<float>(); }
  [[nodiscard]] int64_t* integers() const { return as<int64_t>(); }

  // The same memory in another shape of as many elements.
  [[nodiscard]] Tensor shaped(const Dims& dims) const;
  // A cache [rows, heads, positions, width] in which every head has room for `capacity` positions;
  // 0: positions are packed, as everything else is.
  [[nodiscard]] int64_t capacity() const { return capacity_; }
  [[nodiscard]] Tensor with_capacity(const Dims& dims, int64_t capacity) const;
  // Such a cache whose first positions lie elsewhere, once for several rows: those of row r are in
  // [heads, room, width] number r / rows at `data`. The tensor's own memory begins at position `positions`,
  // of which its capacity has no part.
  struct Shared {
    const float* data = nullptr;  // null: nothing is shared
    int64_t positions = 0;        // a multiple of kernels::kTile
    int64_t room = 0;
    int64_t rows = 1;
    bool tiled = false;  // of keys: they stand in tiles (kernels::tile_keys)
  };
  [[nodiscard]] const Shared& shared() const { return shared_; }
  [[nodiscard]] Tensor with_shared(const Shared& shared) const;

 private:
  void leave();

  Type type_ = Type::kF32;
  Dims dims_;
  int64_t capacity_ = 0;
  Shared shared_;
  std::byte* data_ = nullptr;
  Pool::Block* block_ = nullptr;  // null: someone else's
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_TENSOR_H_
