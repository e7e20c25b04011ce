// Runs of the engine after the first take no memory: not from the heap, not for the pool of a run. Tables that are
// looked up and multiplied are in memory once.
#include <atomic>
#include <cstdlib>
#include <gtest/gtest.h>
#include <new>

#include "lorapress/press.h"

#include "bundles/manifest.h"
#include "golden_util.h"
#include "runtime/native/native_session.h"
#include "runtime/native/pool_workers.h"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace lorapress {
namespace {

using engine::Dims;
using engine::Tensor;
using engine::Type;
using test::Golden;
using test::TempFolder;
namespace fs = std::filesystem;

// A caption of `steps` tokens by a decoder with a prefix, always in the same memory.
class Decoding {
 public:
  Decoding(const engine::Session& graph, int64_t prefix, int64_t width, int64_t steps)
      : graph_(graph),
        steps_(steps),
        capacity_(prefix + 1 + steps),
        image_(static_cast<size_t>(prefix * width), 0.25F),
        image_dims_{1, prefix, width},
        feeds_(graph.inputs().size()),
        results_(graph.outputs().size()),
        present_(graph.inputs().size(), -1),
        in_place_(graph.inputs().size()),
        memory_(graph.inputs().size()) {
    for (size_t i = 0; i < feeds_.size(); ++i) {
      const engine::Port& port = graph.inputs()[i];
      if (port.name.starts_with("past_key_values")) {
        present_[i] = graph.output("present" + port.name.substr(15));
        in_place_[i] = graph.in_place(static_cast<int>(i), present_[i]);
        memory_[i].resize(static_cast<size_t>(port.dims[1] * capacity_ * port.dims[3]));
      }
    }
  }

  void caption(engine::Run& run) {
    for (int64_t step = 0; step <= steps_; ++step) {
      const int64_t length = step == 0 ? 0 : capacity_ - 1 - steps_ + step - 1;
      for (size_t i = 0; i < feeds_.size(); ++i) {
        const engine::Port& port = graph_.inputs()[i];
        if (present_[i] >= 0) {
          const Dims dims{1, port.dims[1], length, port.dims[3]};
          if (in_place_[i]) {
            feeds_[i] = Tensor(Type::kF32, dims, memory_[i].data()).with_capacity(dims, capacity_);
          } else if (step == 0) {
            feeds_[i] = Tensor(Type::kF32, dims, nullptr);
          } else {
            feeds_[i] = std::move(results_[static_cast<size_t>(present_[i])]);
          }
        } else if (port.type == Type::kI64) {
          feeds_[i] = Tensor(Type::kI64, Dims{1, 1}, &token_);
        } else {
          feeds_[i] = Tensor(Type::kF32, image_dims_, image_.data());
        }
      }
      graph_.run(run, feeds_, results_);
    }
    std::ranges::fill(feeds_, Tensor());
    std::ranges::fill(results_, Tensor());
  }

 private:
  const engine::Session& graph_;
  int64_t steps_;
  int64_t capacity_;
  int64_t token_ = 3;
  std::vector<float> image_;
  Dims image_dims_;
  std::vector<Tensor> feeds_;
  std::vector<Tensor> results_;
  std::vector<int> present_;
  std::vector<bool> in_place_;
  std::vector<std::vector<float>> memory_;
};

TEST(EngineMemory, LaterRunsTakeNone) {
  const Golden golden("base");
  const TempFolder temp;
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    PressOptions options;
    options.source = golden.source(golden.cases().at(0));
    options.ops = ops;
    options.dtypes = {"fp32", "q8", "q4", "q4f16"};
    options.out = temp / (ops == OpDialect::kOrt ? "ort" : "standard");
    export_bundle(options);
    const Manifest manifest = read_manifest(options.out);
    for (const std::string& dtype : options.dtypes) {
      SCOPED_TRACE(dtype);
      PoolWorkers workers(2);
      const NativeSession encoder(options.out / manifest.graphs.at(dtype).at("encoder"));
      engine::Run encoding;
      encoder.graph().prepare(encoding, workers);
      const Preprocessing& size = manifest.preprocessing;
      const std::vector<float> pixels(static_cast<size_t>(3 * size.height * size.width), 0.5F);
      const Tensor image(Type::kF32, Dims{1, 3, size.height, size.width}, pixels.data());
      Tensor features;
      int64_t before = 0;
      size_t held = 0;
      for (int again = 0; again < 4; ++again) {
        before = allocations;
        held = encoding.pool.bytes();
        encoder.graph().run(encoding, {&image, 1}, {&features, 1});
      }
      EXPECT_EQ(allocations, before) << "of the encoder";
      EXPECT_EQ(encoding.pool.bytes(), held);

      const NativeSession decoder(options.out / manifest.graphs.at(dtype).at("decoder"));
      engine::Run run;
      decoder.graph().prepare(run, workers);
      Decoding decoding(decoder.graph(), manifest.image_tokens, features.dims().back(), 6);
      for (int again = 0; again < 4; ++again) {
        before = allocations;
        held = run.pool.bytes();
        decoding.caption(run);
      }
      EXPECT_EQ(allocations, before) << "of the decoder";
      EXPECT_EQ(run.pool.bytes(), held);
    }
  }
}

TEST(EngineMemory, ATiedTableIsThereOnce) {
  const Golden golden("base");
  const TempFolder temp;
  PressOptions options;
  options.source = golden.source(golden.cases().at(0));
  options.dtypes = {"fp32", "fp16", "q8", "int8", "q4", "q4f16"};
  options.out = temp / "out";
  export_bundle(options);
  const Manifest manifest = read_manifest(options.out);
  for (const std::string& dtype : options.dtypes) {
    const fs::path file = options.out / manifest.graphs.at(dtype).at("decoder");
    const auto bytes = static_cast<double>(NativeSession(file).graph().bytes());
    // Rotary tables for all positions, and numbers that float16 files have in two bytes.
    const double more = 2.4 * static_cast<double>(manifest.max_position_embeddings * 8 * 4);
    EXPECT_LT(bytes, (1.12 * static_cast<double>(fs::file_size(file))) + more) << dtype;
  }
}

}  // namespace
}  // namespace lorapress
