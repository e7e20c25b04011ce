// A graph that is loaded and can be run.
#ifndef LORAPRESS_ENGINE_SESSION_H_
#define LORAPRESS_ENGINE_SESSION_H_

#include "engine/program.h"

namespace lorapress::engine {

// Weights and plan; nothing changes after the constructor, so several threads may run it, each with a
// Run of its own.
class Session {
 public:
  // Reads the graph and its weights; `workers` share that work and are not kept. Throws Refusal.
  Session(const Sources& sources, Workers& workers);
  explicit Session(const Sources& sources);
  // The same of a graph, or a part of one, that is read already; its weights are in `sources`.
  Session(const Sources& sources, ModelDef model, Workers& workers);

  [[nodiscard]] const std::vector<Port>& inputs() const { return program_.inputs; }
  [[nodiscard]] const std::vector<Port>& outputs() const { return program_.outputs; }
  // Index of a name; -1 where there is none.
  [[nodiscard]] int input(const std::string& name) const;
  [[nodiscard]] int output(const std::string& name) const;

  // Whether the graph only appends to this cache [rows, heads, positions, width] by GroupQueryAttention,
  // and gives it back as output `output`: a feed with capacity then becomes the result in place.
  [[nodiscard]] bool in_place(int input, int output) const;

  // Prepares the memory of runs by one thread. REQUIRES: `workers` outlives it.
  void prepare(Run& run, Workers& workers) const;
  // feeds[i] is inputs()[i]; every one is present. Outputs lie in the run's memory, or in that of a feed
  // with capacity. Refuses feeds of another type or shape.
  void run(Run& run, std::span<const Tensor> feeds, std::span<Tensor> results) const;

  // Bytes of constants.
  [[nodiscard]] size_t bytes() const { return program_.constants->bytes(); }

 private:
  Program program_;
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_SESSION_H_
