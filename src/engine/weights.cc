// Weights of a plan, from their files into packed memory.
#include <algorithm>
#include <atomic>
#include <exception>

#include "engine/linear.h"

namespace lorapress::engine {
namespace {

using kernels::WeightPart;

constexpr size_t kPiece = size_t{256}
                          << 10;  // bytes that stay in a core's cache between reading and packing

uint64_t source_bytes(const Program& program, Slot slot) {
  const Value& value = program.values[static_cast<size_t>(slot)];
  return value.stored ? value.stored->bytes : value.constant.bytes();
}

// A range of one tensor of a weight. Its bytes are in memory, or at an offset of a file.
struct Piece {
  const kernels::PackedLinear* packed;
  WeightPart part;
  size_t offset;  // in the part
  size_t size;
  const std::byte* memory;
  const Source* file;
  uint64_t file_offset;
};

class Packer {
 public:
  Packer(Program& program, const Sources& sources) : program_(program), sources_(sources) {}

  void add(Weight& weight) {
    weight.packed = kernels::start_packing(weight.source.spec, weight.memory.data());
    add(weight, WeightPart::kWeights, weight.source.weights);
    add(weight, WeightPart::kScales, weight.source.scales);
    add(weight, WeightPart::kZeroPoints, weight.source.zero_points);
  }

  void run(Workers& workers) {
    std::vector<std::vector<std::byte>> buffers(workers.count());
    for (std::vector<std::byte>& buffer : buffers) {
      buffer.resize(largest_);
    }
    for_parts(workers, std::ssize(pieces_), [&](int64_t part, unsigned worker) {
      guard([&] { pack(pieces_[static_cast<size_t>(part)], buffers[worker]); });
    });
#if defined(__cpp_exceptions)
    if (failed_) {
      std::rethrow_exception(failure_);
    }
#endif
  }

 private:
  void add(const Weight& weight, WeightPart part, Slot slot) {
    if (slot == kNoSlot) {
      return;
    }
    const Value& value = program_.values[static_cast<size_t>(slot)];
    Piece piece{&weight.packed, part, 0, 0, nullptr, nullptr, 0};
    if (!value.stored) {
      piece.memory = value.constant.data();
    } else if (!value.stored->values.empty()) {
      piece.memory = value.stored->values.data();
    } else {
      require_stored(*value.stored, sources_);
      piece.file = file_of(*value.stored);
      piece.file_offset = value.stored->offset;
    }
    const auto bytes = static_cast<size_t>(source_bytes(program_, slot));
    const size_t step = kernels::packing_step(weight.source.spec, part);
    const size_t size = std::max<size_t>(1, kPiece / step) * step;
    for (; piece.offset < bytes; piece.offset += size) {
      piece.size = std::min(size, bytes - piece.offset);
      largest_ = std::max(largest_, piece.memory == nullptr ? piece.size : 0);
      pieces_.push_back(piece);
    }
  }

  const Source* file_of(const TensorDef& tensor) {
    if (tensor.file.empty()) {
      return &sources_.graph();
    }
    files_.push_back(sources_.open(tensor.file));
    return files_.back().get();
  }

  static void pack(const Piece& piece, std::vector<std::byte>& buffer) {
    const std::byte* bytes = piece.memory + (piece.memory == nullptr ? 0 : piece.offset);
    if (piece.file != nullptr) {
      piece.file->read(piece.file_offset + piece.offset, std::span(buffer).first(piece.size));
      bytes = buffer.data();
    }
    kernels::pack_bytes(*piece.packed, piece.part, piece.offset, bytes, piece.size);
  }

  // Workers throw nothing; the first failure is thrown by the caller.
  template <typename F>
  void guard(const F& work) {  // NOLINT(readability-convert-member-functions-to-static)
#if defined(__cpp_exceptions)
    try {
      work();
    } catch (...) {
      if (!failed_.exchange(true)) {
        failure_ = std::current_exception();
      }
    }
#else
    work();
#endif
  }

  Program& program_;
  const Sources& sources_;
  std::vector<Piece> pieces_;
  std::vector<std::shared_ptr<const Source>> files_;
  size_t largest_ = 0;
#if defined(__cpp_exceptions)
  std::atomic<bool> failed_ = false;
  std::exception_ptr failure_;
#endif
};

}  // namespace

bool fits(const Program& program, const LinearSource& source) {
  if (!kernels::can_pack(source.spec)) {
    return false;
  }
  const auto has = [&](Slot slot, WeightPart part) {
    return slot == kNoSlot || source_bytes(program, slot) == kernels::part_bytes(source.spec, part);
  };
  return has(source.weights, WeightPart::kWeights) && has(source.scales, WeightPart::kScales) &&
         has(source.zero_points, WeightPart::kZeroPoints);
}

const Weight* add_weight(Program& program, const LinearSource& source) {
  for (const std::shared_ptr<Weight>& weight : program.weights) {
    if (weight->source == source) {
      return weight.get();
    }
  }
  auto weight = std::make_shared<Weight>();
  weight->source = source;
  program.weights.push_back(std::move(weight));
  return program.weights.back().get();
}

void pack_weights(Program& program, const Sources& sources, Workers& workers) {
  const std::span<const std::shared_ptr<Weight>> all = program.weights;
  // On one thread one after the other: a host that lets go of what was read then holds a model once.
  const size_t group = workers.count() == 1 ? 1 : std::max<size_t>(all.size(), 1);
  for (size_t first = 0; first < all.size(); first += group) {
    Packer packer(program, sources);
    for (const std::shared_ptr<Weight>& weight : all.subspan(first, group)) {
      const auto bytes = static_cast<int64_t>(kernels::packed_bytes(weight->source.spec));
      weight->memory = Tensor(*program.constants, Type::kU8, Dims{bytes});
      packer.add(*weight);
    }
    packer.run(workers);
  }
  for_parts(workers, std::ssize(program.weights), [&](int64_t part, unsigned) {
    kernels::finish_packing(program.weights[static_cast<size_t>(part)]->packed,
                            kernels::best_kernel_set());
  });
}

}  // namespace lorapress::engine
