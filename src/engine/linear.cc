#include "engine/linear.h"

#include <algorithm>

#include "engine/broadcast.h"

namespace lorapress::engine {
namespace {

using kernels::Epilogue;
using kernels::LinearSpec;

// One product; tiles are shared out to the workers.
void multiply(const Call& call, const Linear& linear, const kernels::LinearRun& whole) {
  const kernels::KernelSet& set = *call.run.kernels;
  Workers& workers = call.workers();
  const int64_t tiles = kernels::tiles(linear.weight->packed.spec);
  const size_t scratch = (kernels::linear_scratch_bytes(linear.weight->packed.spec) + 63) / 64 * 64;
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
  const LinearSpec& spec = linear.weight->packed.spec;
  const Tensor& x = call.in(0);
  call.require(x.dims().rank() > 0 && x.dims().back() == spec.inputs, "an input of another width");
  Dims dims = x.dims();
  dims[dims.rank() - 1] = spec.outputs;
  kernels::LinearRun run;
  run.linear = &linear.weight->packed;
  run.rows = x.dims().product(0, x.dims().rank() - 1);
  run.x = x.floats();
  run.x_stride = spec.inputs;
  run.y_stride = spec.outputs;
  int next = 1;
  if (linear.biased) {
    run.bias = call.in(next++).floats();
  }
  Tensor quantized;
  if (linear.weight->packed.form != kernels::RowForm::kFloats && run.rows > 0) {
    const size_t bytes =
        kernels::quantized_bytes(linear.weight->packed.form, run.rows, spec.inputs);
    quantized = Tensor(call.run.pool, Type::kU8, Dims{static_cast<int64_t>(bytes)});
    run.quantized = {linear.weight->packed.form, run.rows, spec.inputs, quantized.data()};
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

void run_lookup(Call& call) {
  const kernels::PackedLinear& table = call.node.linear->weight->packed;
  const Tensor& ids = call.in(0);
  Dims dims = ids.dims();
  dims.push_back(table.spec.inputs);
  const Tensor out = call.out(0, Type::kF32, dims);
  const Tensor rows(call.run.pool, Type::kI64, ids.dims());
  for (int64_t i = 0; i < ids.count(); ++i) {
    const int64_t id = ids.type() == Type::kI64 ? ids.integers()[i] : ids.as<int32_t>()[i];
    const int64_t row = id < 0 ? id + table.spec.outputs : id;
    if (row < 0 || row >= table.spec.outputs) {
      call.bad("index " + std::to_string(id) + " of " + std::to_string(table.spec.outputs));
    }
    rows.integers()[i] = row;
  }
  for_range(call.workers(), ids.count(), 8, [&](int64_t first, int64_t last) {
    call.run.kernels->gather(table,
                             rows.integers() + first,
                             last - first,
                             out.floats() + (first * table.spec.inputs),
                             table.spec.inputs);
  });
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
const OpRow kLookupRow{
    "engine", "Lookup", 1, 1, 1, {kInt64s | kInt32s}, OutputTypes::kFirst, {}, run_lookup};
const OpRow kRmsNormRow{"engine",
                        "RmsNorm",
                        2,
                        2,
                        1,
                        {kFloats},
                        OutputTypes::kFirst,
                        {{"epsilon", AttributeKind::kNumber, 0, 0.0F}},
                        run_rms_norm};

}  // namespace lorapress::engine
