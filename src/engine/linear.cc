#include "engine/linear.h"

#include <algorithm>

#include "engine/broadcast.h"

namespace lorapress::engine {
namespace {

using kernels::Epilogue;
using kernels::LinearSpec;
using kernels::WeightPart;

constexpr size_t kPiece = size_t{1} << 20;

// Bytes of a constant as packing reads them: those of the file, or of the folded tensor.
uint64_t source_bytes(const Program& program, Slot slot) {
  const Value& value = program.values[static_cast<size_t>(slot)];
  return value.stored ? value.stored->bytes : value.constant.bytes();
}

void pack_part(Program& program,
               const Sources& sources,
               const kernels::PackedLinear& packed,
               WeightPart part,
               Slot slot) {
  const Value& value = program.values[static_cast<size_t>(slot)];
  if (!value.stored) {
    kernels::pack_bytes(packed, part, 0, value.constant.data(), value.constant.bytes());
    return;
  }
  const uint64_t bytes = value.stored->bytes;
  std::vector<std::byte> piece(static_cast<size_t>(std::min<uint64_t>(bytes, kPiece)));
  for (uint64_t at = 0; at < bytes; at += piece.size()) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(piece.size(), bytes - at));
    read_stored(*value.stored, sources, at, std::span(piece).first(size));
    kernels::pack_bytes(packed, part, static_cast<size_t>(at), piece.data(), size);
  }
}

// One product; tiles are shared out to the workers.
void multiply(const Call& call, const Linear& linear, const kernels::LinearRun& whole) {
  const kernels::KernelSet& set = *call.run.kernels;
  Workers& workers = call.workers();
  const int64_t tiles = kernels::tiles(linear.weight.spec);
  const size_t scratch = (kernels::linear_scratch_bytes(linear.weight.spec) + 63) / 64 * 64;
  const Tensor memory(call.run.pool,
                      Type::kU8,
                      Dims{static_cast<int64_t>(scratch) * int64_t{workers.count()} + 64});
  // Pieces small enough that threads end together, large enough that handing out costs nothing.
  const int64_t most = workers.count() == 1 ? 1 : int64_t{workers.count()} * 4;
  const int64_t parts = std::min(tiles, most);
  for_parts(workers, parts, [&](int64_t part, unsigned worker) {
    kernels::LinearRun run = whole;
    run.first_tile = tiles * part / parts;
    run.last_tile = tiles * (part + 1) / parts;
    run.scratch = memory.data() + scratch * worker;
    set.run_linear(run);
  });
}

// `other` broadcast over y, where it is not of y's shape.
void apply(const Call& call, Epilogue epilogue, const Tensor& y, const Tensor& other) {
  const Dims dims = broadcast(call, y.dims(), other.dims());
  const Tensor out = call.out(0, Type::kF32, dims);
  const Dims* const inputs[2] = {&y.dims(), &other.dims()};
  const BroadcastWalk<2> walk(dims, inputs);
  const int last = walk.rank - 1;
  walk.rows([&](int64_t at, const int64_t(&from)[2], int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const float a = y.floats()[from[0] + i * walk.stride[0][last]];
      const float b = other.floats()[from[1] + i * walk.stride[1][last]];
      out.floats()[at + i] = epilogue == Epilogue::kAdd ? a + b : a * b;
    }
  });
}

void run_linear(Call& call) {
  const Linear& linear = *call.node.linear;
  const LinearSpec& spec = linear.weight.spec;
  const Tensor& x = call.in(0);
  call.require(x.dims().rank() > 0 && x.dims().back() == spec.inputs, "an input of another width");
  Dims dims = x.dims();
  dims[dims.rank() - 1] = spec.outputs;
  kernels::LinearRun run;
  run.linear = &linear.weight;
  run.rows = x.dims().product(0, x.dims().rank() - 1);
  run.x = x.floats();
  run.x_stride = spec.inputs;
  run.y_stride = spec.outputs;
  int next = 1;
  if (linear.biased) {
    run.bias = call.in(next++).floats();
  }
  Tensor quantized;
  if (linear.weight.form != kernels::RowForm::kFloats && run.rows > 0) {
    const size_t bytes = kernels::quantized_bytes(linear.weight.form, run.rows, spec.inputs);
    quantized = Tensor(call.run.pool, Type::kU8, Dims{static_cast<int64_t>(bytes)});
    run.quantized = {linear.weight.form, run.rows, spec.inputs, quantized.data()};
    const int64_t groups = (run.rows + 3) / 4;
    for_range(call.workers(), groups, 8, [&](int64_t first, int64_t last) {
      call.run.kernels->quantize(
          run.x, run.x_stride, run.quantized, 4 * first, std::min(4 * last, run.rows));
    });
  }
  const bool other = linear.reads_other();
  const bool inside = other && call.in(next).dims() == dims;
  const Tensor y =
      !other || inside ? call.out(0, Type::kF32, dims) : Tensor(call.run.pool, Type::kF32, dims);
  run.y = y.floats();
  run.epilogue = other && !inside ? Epilogue::kNone : linear.epilogue;
  if (inside) {
    run.other = call.in(next).floats();
    run.other_stride = spec.outputs;
  }
  if (run.rows > 0) {
    multiply(call, linear, run);
  }
  if (other && !inside) {
    apply(call, linear.epilogue, y, call.in(next));
  }
}

void run_rms_norm(Call& call) {
  const Tensor& x = call.in(0);
  const int rank = x.dims().rank();
  call.require(rank > 0 && call.in(1).count() == x.dims().back(), "a scale of another width");
  const Tensor out = call.out(0, Type::kF32, x.dims());
  kernels::NormRun run;
  run.x = x.floats();
  run.y = out.floats();
  run.gamma = call.in(1).floats();
  run.width = x.dims().back();
  run.rows = x.dims().product(0, rank - 1);
  run.epsilon = call.number(0);
  if (run.rows > 0 && run.width > 0) {
    call.run.kernels->rms_norm(run);
  }
}

}  // namespace

const OpRow kLinearRow{"engine", "Linear", 1, 3, 1, {kFloats}, OutputTypes::kFirst, {}, run_linear};
const OpRow kRmsNormRow{"engine",
                        "RmsNorm",
                        2,
                        2,
                        1,
                        {kFloats},
                        OutputTypes::kFirst,
                        {{"epsilon", AttributeKind::kNumber, 0, 0.0F}},
                        run_rms_norm};

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

std::unique_ptr<Linear> pack(Program& program, const Sources& sources, const LinearSource& source) {
  for (const Slot slot : {source.weights, source.scales, source.zero_points}) {
    if (slot != kNoSlot && program.values[static_cast<size_t>(slot)].stored) {
      require_stored(*program.values[static_cast<size_t>(slot)].stored, sources);
    }
  }
  auto linear = std::make_unique<Linear>();
  const auto bytes = static_cast<int64_t>(kernels::packed_bytes(source.spec));
  linear->memory = Tensor(*program.constants, Type::kU8, Dims{bytes});
  linear->weight = kernels::start_packing(source.spec, linear->memory.data());
  pack_part(program, sources, linear->weight, WeightPart::kWeights, source.weights);
  if (source.scales != kNoSlot) {
    pack_part(program, sources, linear->weight, WeightPart::kScales, source.scales);
  }
  if (source.zero_points != kNoSlot) {
    pack_part(program, sources, linear->weight, WeightPart::kZeroPoints, source.zero_points);
  }
  kernels::finish_packing(linear->weight, kernels::best_kernel_set());
  return linear;
}

}  // namespace lorapress::engine
