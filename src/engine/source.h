// Where the engine's bytes come from: files natively, chunks of a download in the browser.
#ifndef LORAPRESS_ENGINE_SOURCE_H_
#define LORAPRESS_ENGINE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lorapress::engine {

// One file.
class Source {
 public:
  virtual ~Source() = default;
  [[nodiscard]] virtual uint64_t size() const = 0;
  // Fills `out`; the workers of a load call it at the same time. REQUIRES: offset + out.size() <= size().
  virtual void read(uint64_t offset, std::span<std::byte> out) const = 0;
};

struct TensorDef;

// A tensor of a file, and how many more times all of it is read.
struct ExpectedReads {
  const TensorDef* tensor;
  unsigned times;
};

// A graph's file and those that hold its external data, by the names that the graph says. Names are
// not trusted: open() refuses one that leaves the folder.
class Sources {
 public:
  virtual ~Sources() = default;
  [[nodiscard]] virtual const Source& graph() const = 0;
  [[nodiscard]] virtual std::shared_ptr<const Source> open(const std::string& name) const = 0;
  // Called once while a graph is loaded: nothing else is read of any file after it. For hosts that lend bytes.
  virtual void expect(std::span<const ExpectedReads> reads) const { static_cast<void>(reads); }
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_SOURCE_H_
