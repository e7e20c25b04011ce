// Patterns of one list of nodes and of the bodies in it.
#ifndef LORAPRESS_ENGINE_FUSE_LIST_H_
#define LORAPRESS_ENGINE_FUSE_LIST_H_

#include "engine/linear.h"

namespace lorapress::engine {

// `readers` of each value: nodes of all lists that read it, and outputs that it is.
void fuse_list(Program& program, const Sources& sources, Steps& steps, std::vector<int>& readers);

// Attention, rotary embeddings and activations of the standard dialect become one node each.
void fuse_compositions(Program& program,
                       const Sources& sources,
                       Steps& steps,
                       std::vector<int>& readers);

// Lookups in tables that a product reads, too, take their rows from the packed weight.
void fuse_lookups(Program& program,
                  const Sources& sources,
                  Steps& steps,
                  std::vector<int>& readers);

// Leaves out nodes whose outputs no one reads, and what only they read.
void drop_unread(Steps& steps, std::vector<int>& readers);

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_FUSE_LIST_H_
