// Collects the tensors of model folders under their canonical names, and the adapters found among
// them.
#ifndef LORAPRESS_CHECKPOINT_ASSEMBLE_H_
#define LORAPRESS_CHECKPOINT_ASSEMBLE_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/resolve.h"

namespace lorapress {

class Assembler {
 public:
  explicit Assembler(Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // Adds the folder's tensors; a tensor of an earlier folder is kept. Throws kInvalidFile for a
  // tensor under two names, kMismatch for unexpected keys, kUnsupported where it is unknown which
  // of several adapters is active.
  void add_model(const ModelFolder& model);
  // The active adapters inside the folders, unchecked.
  [[nodiscard]] std::vector<Adapter> take_adapters() { return std::move(pending_); }

 private:
  void drop_foreign(const ModelFolder& model,
                    const std::set<std::string>& earlier,
                    std::map<std::string, Adapter>& embedded);
  void choose_embedded(const ModelFolder& model, std::map<std::string, Adapter> embedded);

  Checkpoint& checkpoint_;
  std::vector<Adapter> pending_;
  std::vector<std::string> unexpected_keys_;
};

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ASSEMBLE_H_
