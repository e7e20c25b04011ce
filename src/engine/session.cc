#include "engine/session.h"

#include <algorithm>

#include "engine/linear.h"

namespace lorapress::engine {
namespace {

void require_fits(const Port& port, const Tensor& feed) {
  bool fits = feed.present() && feed.type() == port.type && feed.dims().rank() == port.dims.rank();
  for (int axis = 0; fits && axis < port.dims.rank(); ++axis) {
    fits = port.dims[axis] < 0 || port.dims[axis] == feed.dims()[axis];
  }
  if (!fits) {
    refuse(Problem::kRun,
           "input " + port.name + ": " + type_name(feed.type()) + feed.dims().text() +
               ", expected " + type_name(port.type) + port.dims.text() + " (-1 is any)");
  }
}

int find(const std::vector<Port>& ports, const std::string& name) {
  for (size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].name == name) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

}  // namespace

void expect_reads(const Program& program, const Sources& sources) {
  std::vector<unsigned> times(program.values.size());
  for (const std::shared_ptr<Weight>& weight : program.weights) {
    const LinearSource& source = weight->source;
    for (const Slot slot : {source.weights, source.scales, source.zero_points}) {
      if (slot != kNoSlot) {
        ++times[static_cast<size_t>(slot)];
      }
    }
  }
  std::vector<bool> kept(program.values.size());  // what finish() reads, once
  const auto keep = [&](const std::vector<Slot>& slots) {
    for (const Slot slot : slots) {
      if (slot != kNoSlot && !program.values[static_cast<size_t>(slot)].constant.present()) {
        kept[static_cast<size_t>(slot)] = true;
      }
    }
  };
  for_each_node(program.steps, [&](const Node& node) {
    keep(node.inputs);
    for (const Steps& body : node.bodies) {
      keep(body.outputs);
    }
  });
  keep(program.steps.outputs);
  std::vector<ExpectedReads> reads;
  for (size_t i = 0; i < times.size(); ++i) {
    const unsigned all = times[i] + (kept[i] ? 1 : 0);
    if (program.values[i].stored && all > 0) {
      reads.push_back({&*program.values[i].stored, all});
    }
  }
  sources.expect(reads);
}

Session::Session(const Sources& sources, Workers& workers)
    : Session(sources, read_onnx_file(sources.graph()), workers) {}

Session::Session(const Sources& sources, ModelDef model, Workers& workers)
    : program_(compile(std::move(model))) {
  fold(program_, sources);
  fuse(program_, sources, workers);
  finish(program_, sources);
}

Session::Session(const Sources& sources) : Session(sources, *std::make_unique<Workers>()) {}

int Session::input(const std::string& name) const {
  return find(program_.inputs, name);
}

int Session::output(const std::string& name) const {
  return find(program_.outputs, name);
}

bool Session::in_place(int input, int output) const {
  const Slot past = program_.inputs[static_cast<size_t>(input)].slot;
  const Slot present = program_.outputs[static_cast<size_t>(output)].slot;
  bool appends = false;
  bool other = false;
  for_each_node(program_.steps, [&](const Node& node) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != past || node.row->name == std::string("Shape")) {
        continue;
      }
      const bool cache = node.row->name == std::string("GroupQueryAttention") && (i == 3 || i == 4);
      appends = appends || (cache && i - 2 < node.outputs.size() && node.outputs[i - 2] == present);
      other = other || !cache;
    }
    other = other || std::count(node.outputs.begin(), node.outputs.end(), past) != 0;
  });
  return appends && !other;
}

void Session::prepare(Run& run, Workers& workers) const {
  run.workers = &workers;
  run.slots.clear();
  run.slots.resize(program_.values.size());
  for (size_t i = 0; i < program_.values.size(); ++i) {
    if (const Tensor& constant = program_.values[i].constant; constant.present()) {
      run.slots[i] = Tensor(constant.type(), constant.dims(), constant.data());
    }
  }
}

void Session::run(Run& run, std::span<const Tensor> feeds, std::span<Tensor> results) const {
  if (feeds.size() != program_.inputs.size()) {
    refuse(Problem::kRun, "another number of inputs");
  }
  for (size_t i = 0; i < feeds.size(); ++i) {
    require_fits(program_.inputs[i], feeds[i]);
    run.slots[static_cast<size_t>(program_.inputs[i].slot)] = feeds[i];
  }
  run_steps(program_.steps, run);
  for (size_t i = 0; i < results.size() && i < program_.outputs.size(); ++i) {
    results[i] = run.slots[static_cast<size_t>(program_.outputs[i].slot)];
  }
  for (size_t i = 0; i < program_.values.size(); ++i) {
    if (!program_.values[i].constant.present()) {
      run.slots[i] = Tensor();
    }
  }
}

}  // namespace lorapress::engine
