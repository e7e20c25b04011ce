// Any bytes are a graph that the engine loads, or a Refusal.

#include "engine/session.h"
#include "fuzz_util.h"

namespace {

using namespace lorapress;

class Bytes final : public engine::Source {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : bytes_(data, size) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    fuzz::require(offset + out.size() <= bytes_.size());
    const auto from = std::as_bytes(bytes_).subspan(offset, out.size());
    std::copy(from.begin(), from.end(), out.begin());
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

class OneFile final : public engine::Sources {
 public:
  explicit OneFile(const Bytes& graph) : graph_(graph) {}
  [[nodiscard]] const engine::Source& graph() const override { return graph_; }
  [[nodiscard]] std::shared_ptr<const engine::Source> open(const std::string&) const override {
    engine::refuse(engine::Problem::kInvalid, "no such file");
  }

 private:
  const Bytes& graph_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  try {
    const engine::Session session{OneFile(bytes)};
    for (const engine::Port& port : session.outputs()) {
      fuzz::require(session.output(port.name) >= 0);
    }
  } catch (const engine::Refusal& refusal) {
    fuzz::require(!refusal.message.empty());
  }
  return 0;
}
