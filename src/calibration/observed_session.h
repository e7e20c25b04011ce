// Calibration: a graph that is run to observe the inputs of its linear layers.
#ifndef LORAPRESS_CALIBRATION_OBSERVED_SESSION_H_
#define LORAPRESS_CALIBRATION_OBSERVED_SESSION_H_

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/scratch_file.h"
#include "calibration/calibrate.h"
#include "quant/error_feedback.h"
#include "rewrite/observe.h"
#include "runtime/graphs/graph_session.h"
#include "schemes/scheme.h"

namespace lorapress {

// A session over a copy of the graph, which stays in options.scratch as long as the session exists. Second
// moments of all layers may need more memory than the model itself, so layers are observed in
// groups: the same inputs are run once for each.
class ObservedSession {
 public:
  // Without `observe` the graph only runs, in one group that observes nothing. Throws kUnsupported
  // for a graph in which nothing can be observed.
  ObservedSession(Model model, bool observe, const CalibrationOptions& options);
  ~ObservedSession();
  ObservedSession(const ObservedSession&) = delete;
  ObservedSession& operator=(const ObservedSession&) = delete;

  [[nodiscard]] const GraphSession& session() const { return *session_; }
  [[nodiscard]] size_t groups() const { return groups_.size(); }

  void begin(size_t group);
  // As GraphSession::run; adds up the inputs of the group's layers.
  std::vector<GraphTensor> run(const std::vector<GraphFeed>& feeds,
                               std::vector<std::string> wanted);
  // Moves the group's observations into `stats`.
  void finish(ActivationStats& stats);

 private:
  void write(const Model& model);
  void divide_into_groups();

  std::map<std::string, ObservedInput> observed_;  // by weight
  std::filesystem::path scratch_;
  unsigned threads_;
  std::vector<std::filesystem::path> files_;
  std::shared_ptr<ScratchFile> factors_;
  std::unique_ptr<GraphSession> session_;
  std::vector<std::vector<ObservedInput>> groups_;
  size_t group_ = 0;
  std::vector<InputMoments> moments_;  // of the group
};

}  // namespace lorapress

#endif  // LORAPRESS_CALIBRATION_OBSERVED_SESSION_H_
