// Graphs run by the project's own engine and by ONNX Runtime.
#ifndef LORAPRESS_TESTS_CC_ENGINE_UTIL_H_
#define LORAPRESS_TESTS_CC_ENGINE_UTIL_H_

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/convert.h"
#include "graph/model.h"
#include "graph/write.h"
#include "runtime/native/native_session.h"
#include "runtime/native/pool_workers.h"
#include "runtime/ort/ort.h"
#include "test_util.h"
#include "weights/stream.h"

namespace lorapress::test {

// An input of a graph, or a constant of it.
struct EngineInput {
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<double> values;
};

inline EngineInput random_input(std::mt19937& random, const Shape& shape, double scale = 1.0) {
  std::normal_distribution<double> normal(0.0, scale);
  EngineInput input{DType::kF32, shape, {}};
  int64_t count = 1;
  for (const int64_t size : shape) {
    count *= size;
  }
  for (int64_t i = 0; i < count; ++i) {
    input.values.push_back(static_cast<double>(static_cast<float>(normal(random))));
  }
  return input;
}

inline EngineInput random_integers(
    std::mt19937& random, DType dtype, const Shape& shape, int64_t low, int64_t high) {
  EngineInput input = random_input(random, shape);
  input.dtype = dtype;
  std::uniform_int_distribution<int64_t> uniform(low, high);
  for (double& value : input.values) {
    value = static_cast<double>(uniform(random));
  }
  return input;
}

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<double>& values) {
  std::vector<T> typed;
  for (const double value : values) {
    typed.push_back(static_cast<T>(value));
  }
  const auto bytes = std::as_bytes(std::span(typed));
  return {bytes.begin(), bytes.end()};
}

inline std::vector<std::byte> to_bytes(const EngineInput& input) {
  switch (input.dtype) {
    case DType::kF32:
      return bytes_of<float>(input.values);
    case DType::kI64:
      return bytes_of<int64_t>(input.values);
    case DType::kI32:
      return bytes_of<int32_t>(input.values);
    case DType::kI8:
      return bytes_of<int8_t>(input.values);
    case DType::kF16: {
      std::vector<float> floats;
      for (const double value : input.values) {
        floats.push_back(static_cast<float>(value));
      }
      std::vector<std::byte> halves(2 * floats.size());
      from_float32(DType::kF16, floats, halves);
      return halves;
    }
    default:
      return bytes_of<uint8_t>(input.values);
  }
}

// Results of one graph as numbers, with their shapes.
struct EngineResult {
  Shape shape;
  std::vector<double> values;
};

template <typename T>
std::vector<double> numbers_of(const std::byte* data, size_t count) {
  std::vector<double> numbers;
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    numbers.push_back(static_cast<double>(value));
  }
  return numbers;
}

inline std::vector<double> numbers_of(DType dtype, const std::byte* data, size_t count) {
  switch (dtype) {
    case DType::kF32:
      return numbers_of<float>(data, count);
    case DType::kI64:
      return numbers_of<int64_t>(data, count);
    case DType::kI32:
      return numbers_of<int32_t>(data, count);
    case DType::kI8:
      return numbers_of<int8_t>(data, count);
    case DType::kF16: {
      std::vector<float> floats(count);
      to_float32(DType::kF16, {data, 2 * count}, floats);
      return {floats.begin(), floats.end()};
    }
    default:
      return numbers_of<uint8_t>(data, count);
  }
}

inline size_t count_of(const Shape& shape) {
  size_t count = 1;
  for (const int64_t size : shape) {
    count *= static_cast<size_t>(size);
  }
  return count;
}

inline std::vector<EngineResult> run_ort(const fs::path& file,
                                         const std::map<std::string, EngineInput>& inputs) {
  const OrtSession session(file, 1);
  std::vector<std::vector<std::byte>> bytes;
  std::vector<OrtTensor> tensors;
  std::vector<OrtSession::Feed> feeds;
  bytes.reserve(inputs.size());
  tensors.reserve(inputs.size());
  for (const auto& [name, input] : inputs) {
    bytes.push_back(to_bytes(input));
    tensors.push_back(OrtTensor::view(input.dtype, input.shape, bytes.back()));
    feeds.push_back({name, &tensors.back()});
  }
  std::vector<std::string> wanted;
  for (const OrtPort& port : session.outputs()) {
    wanted.push_back(port.name);
  }
  std::vector<EngineResult> results;
  for (const OrtTensor& tensor : session.run(feeds, wanted)) {
    results.push_back(
        {tensor.shape(),
         numbers_of(tensor.dtype(), tensor.bytes().data(), count_of(tensor.shape()))});
  }
  return results;
}

inline DType dtype_of(engine::Type type) {
  static constexpr DType kTypes[] = {
      DType::kF32, DType::kI64, DType::kI32, DType::kI8, DType::kU8, DType::kBool};
  return kTypes[static_cast<size_t>(type)];
}

inline std::vector<EngineResult> run_native(const fs::path& file,
                                            const std::map<std::string, EngineInput>& inputs,
                                            unsigned threads = 1) {
  const NativeSession session(file);
  PoolWorkers workers(threads);
  engine::Run run;
  session.graph().prepare(run, workers);
  std::vector<std::vector<std::byte>> bytes;
  std::vector<engine::Tensor> feeds;
  for (const engine::Port& port : session.graph().inputs()) {
    EngineInput input = inputs.at(port.name);
    if (input.dtype == DType::kF16) {  // float32 in the engine
      input.dtype = DType::kF32;
    }
    bytes.push_back(to_bytes(input));
    feeds.emplace_back(port.type, engine::Dims(input.shape), bytes.back().data());
  }
  std::vector<EngineResult> results;
  for (int again = 0; again < 2; ++again) {  // memory of the first run serves the second
    std::vector<engine::Tensor> outputs(session.graph().outputs().size());
    session.run(run, feeds, outputs);
    results.clear();
    for (const engine::Tensor& tensor : outputs) {
      const auto dims = tensor.dims().span();
      const Shape shape(dims.begin(), dims.end());
      results.push_back(
          {shape, numbers_of(dtype_of(tensor.type()), tensor.data(), count_of(shape))});
    }
  }
  return results;
}

// Each output within `tolerance` of the other's largest magnitude; integers equal with tolerance 0.
inline void expect_close(const std::vector<EngineResult>& found,
                         const std::vector<EngineResult>& expected,
                         double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].shape, expected[i].shape) << "output " << i;
    double most = 0.0;
    double largest = 1e-6;
    for (size_t j = 0; j < found[i].values.size(); ++j) {
      if (std::isnan(found[i].values[j]) && std::isnan(expected[i].values[j])) {
        continue;
      }
      const double off = std::fabs(found[i].values[j] - expected[i].values[j]);
      most = off > most || std::isnan(off) ? off : most;
      largest = std::max(largest, std::fabs(expected[i].values[j]));
    }
    EXPECT_LE(most, tolerance * largest) << "output " << i << ", largest " << largest;
  }
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_ENGINE_UTIL_H_
