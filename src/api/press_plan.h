// What a press will write, before anything is written: the checkpoint, the bundle that takes it and
// the bundle's graphs, checked, with weights that are still lazy.
#ifndef LORAPRESS_API_PRESS_PLAN_H_
#define LORAPRESS_API_PRESS_PLAN_H_

#include <future>
#include <vector>

#include "lorapress/press.h"

#include "bundles/bundle.h"
#include "bundles/hub_place.h"
#include "graph/model.h"
#include "graph/source_order.h"
#include "weights/shared.h"

namespace lorapress {

// One graph of the bundle, in float32.
struct PlannedGraph {
  BundleGraph bundle_graph;
  Model model;
  SourceOrder order;  // of the initializers, the same in all dtypes
};

class PressPlan {
 public:
  // Opens the checkpoint and checks the options against it; fills the notes, the bundle and the
  // counts of `report`. `options` must outlive the plan. Throws what open_checkpoint() throws,
  // kInvalidArgument and kUnsupported.
  PressPlan(const PressOptions& options, PressReport& report);
  PressPlan(const PressPlan&) = delete;
  PressPlan& operator=(const PressPlan&) = delete;

  // Authors the graphs and runs the ONNX checker over them.
  void author(std::vector<std::string>& notes);

  // Throws what is wrong with tokenizer.json, which a thread of its own parses meanwhile.
  void finish_tokenizer_check() const { tokenizer_check_.get(); }
  // Frees the merged rows that the files of several dtypes share.
  void drop_shared_rows() { shared_.clear(); }

  // Refers to the plan.
  [[nodiscard]] BundleRequest request() const;
  [[nodiscard]] const PressOptions& options() const { return options_; }
  [[nodiscard]] const std::vector<std::string>& dtypes() const { return dtypes_; }
  // Where the model lies on a hub. REQUIRES: the bundle's folder is on one.
  [[nodiscard]] HubPlace place() const;
  // The folder to write.
  [[nodiscard]] std::filesystem::path folder() const;
  [[nodiscard]] const Checkpoint& checkpoint() const { return checkpoint_; }
  [[nodiscard]] const Bundle& bundle() const { return bundle_; }
  [[nodiscard]] const Preprocessing& preprocessing() const { return preprocessing_; }
  [[nodiscard]] const TokenizerFiles& tokenizer() const { return tokenizer_; }
  [[nodiscard]] const std::vector<PlannedGraph>& graphs() const { return graphs_; }

 private:
  void find_settings(std::vector<std::string>& notes);
  void check_model() const;
  void note_prompts(std::vector<std::string>& notes) const;
  void check_bundle_options() const;
  void keep_to_hub(std::vector<std::string>& notes);
  void start_tokenizer_check();

  const PressOptions& options_;
  std::vector<std::string> dtypes_;
  Checkpoint checkpoint_;
  const Bundle& bundle_;
  SharedReads shared_;
  Preprocessing preprocessing_;
  TokenizerFiles tokenizer_;
  std::shared_future<void> tokenizer_check_;
  std::vector<PlannedGraph> graphs_;
};

}  // namespace lorapress

#endif  // LORAPRESS_API_PRESS_PLAN_H_
