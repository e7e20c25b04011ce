#include "runtime/native/native_graph.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "base/fail.h"
#include "engine/pieces.h"
#include "runtime/native/native_session.h"
#include "runtime/native/pool_workers.h"

namespace lorapress {
namespace {

using engine::Tensor;

struct NativeType {
  engine::Type type;
  DType dtype;
};
constexpr NativeType kNativeTypes[] = {
    {engine::Type::kF32, DType::kF32},
    {engine::Type::kI64, DType::kI64},
    {engine::Type::kI32, DType::kI32},
    {engine::Type::kI8, DType::kI8},
    {engine::Type::kU8, DType::kU8},
    {engine::Type::kBool, DType::kBool},
};
static_assert(std::size(kNativeTypes) == engine::kTypes);

DType dtype_of(engine::Type type) {
  return std::ranges::find(kNativeTypes, type, &NativeType::type)->dtype;
}

std::vector<GraphPort> native_ports(const std::vector<engine::Port>& ports) {
  std::vector<GraphPort> made;
  for (const engine::Port& port : ports) {
    const std::span<const int64_t> dims = port.dims.span();
    made.push_back({port.name, dtype_of(port.type), Shape(dims.begin(), dims.end())});
  }
  return made;
}

Tensor feed_of(const GraphTensor& tensor, const std::filesystem::path& file) {
  const auto* row = std::ranges::find(kNativeTypes, tensor.dtype(), &NativeType::dtype);
  if (row == std::end(kNativeTypes)) {
    fail(ErrorCode::kRuntime,
         "{}: an input is {}, which the engine computes as float32",
         file.string(),
         dtype_name(tensor.dtype()));
  }
  static constexpr std::byte kNothing[1] = {};  // an empty view may have no memory
  const std::byte* data = tensor.bytes().data();
  return {row->type, engine::Dims(tensor.shape()), data == nullptr ? kNothing : data};
}

unsigned thread_count(unsigned threads) {
  return threads != 0 ? threads : std::max(1U, std::thread::hardware_concurrency());
}

// What both ways of running share: names, and tensors of either side.
class NativeGraph : public GraphSession {
 public:
  [[nodiscard]] const std::vector<GraphPort>& inputs() const override { return inputs_; }
  [[nodiscard]] const std::vector<GraphPort>& outputs() const override { return outputs_; }

  [[nodiscard]] std::vector<GraphTensor> run(
      const std::vector<GraphFeed>& feeds, const std::vector<std::string>& wanted) const override {
    std::vector<Tensor> given(inputs_.size());
    for (const GraphFeed& feed : feeds) {
      given[index(inputs_, feed.name)] = feed_of(*feed.tensor, file_);
    }
    for (size_t i = 0; i < given.size(); ++i) {
      if (!given[i].present()) {
        fail(ErrorCode::kRuntime, "{}: {} is not given", file_.string(), inputs_[i].name);
      }
    }
    std::vector<Tensor> results(outputs_.size());
    naming_file(file_, [&] { run_graph(given, results); });
    std::vector<GraphTensor> tensors;
    for (const std::string& name : wanted) {
      const Tensor& result = results[index(outputs_, name)];
      const std::span<const int64_t> dims = result.dims().span();
      GraphTensor& made =
          tensors.emplace_back(dtype_of(result.type()), Shape(dims.begin(), dims.end()));
      std::copy_n(result.data(), result.bytes(), made.writable().data());
    }
    return tensors;
  }

 protected:
  NativeGraph(std::filesystem::path file, unsigned threads)
      : file_(std::move(file)), workers_(thread_count(threads)) {}
  void set_ports(const std::vector<engine::Port>& inputs,
                 const std::vector<engine::Port>& outputs) {
    inputs_ = native_ports(inputs);
    outputs_ = native_ports(outputs);
  }
  virtual void run_graph(std::span<const Tensor> feeds, std::span<Tensor> results) const = 0;

  std::filesystem::path file_;
  mutable PoolWorkers workers_;

 private:
  [[nodiscard]] size_t index(const std::vector<GraphPort>& ports, const std::string& name) const {
    const auto found = std::ranges::find(ports, name, &GraphPort::name);
    if (found == ports.end()) {
      fail(ErrorCode::kRuntime, "{}: no input or output {}", file_.string(), name);
    }
    return static_cast<size_t>(found - ports.begin());
  }

  std::vector<GraphPort> inputs_;
  std::vector<GraphPort> outputs_;
};

class LoadedGraph final : public NativeGraph {
 public:
  LoadedGraph(const GraphSource& source, unsigned threads) : NativeGraph(source.file, threads) {
    naming_file(file_, [&] {
      const std::unique_ptr<engine::Sources> sources = folder_sources(file_);
      engine::ModelDef model = engine::read_onnx_file(sources->graph());
      for (const std::string& name : source.more_outputs) {
        model.graph.outputs.push_back({name, 0, {}});
      }
      session_.emplace(*sources, std::move(model), workers_);
    });
    set_ports(session_->inputs(), session_->outputs());
    session_->prepare(run_, workers_);
  }

 private:
  void run_graph(std::span<const Tensor> feeds, std::span<Tensor> results) const override {
    session_->run(run_, feeds, results);
  }

  std::optional<engine::Session> session_;
  mutable engine::Run run_;
};

class GraphInPieces final : public NativeGraph {
 public:
  GraphInPieces(const GraphSource& source, unsigned threads)
      : NativeGraph(source.file, threads), sources_(folder_sources(source.file)) {
    naming_file(file_, [&] { pieces_.emplace(*sources_, source.most_weights); });
    set_ports(pieces_->inputs(), pieces_->outputs());
  }

 private:
  void run_graph(std::span<const Tensor> feeds, std::span<Tensor> results) const override {
    pieces_->run(workers_, feeds, results, memory_);
  }

  std::unique_ptr<engine::Sources> sources_;
  std::optional<engine::Pieces> pieces_;
  mutable engine::Pool memory_;
};

}  // namespace

std::unique_ptr<GraphSession> open_native_graph(const GraphSource& source, unsigned threads) {
  if (source.most_weights != 0) {
    return std::make_unique<GraphInPieces>(source, threads);
  }
  return std::make_unique<LoadedGraph>(source, threads);
}

void check_native_graph(const std::filesystem::path& file) {
  const std::unique_ptr<engine::Sources> sources = folder_sources(file);
  naming_file(file, [&] { static_cast<void>(engine::Pieces(*sources, UINT64_MAX)); });
}

}  // namespace lorapress
