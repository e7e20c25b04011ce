// Patterns of one list of nodes and of the bodies in it.
#ifndef LORAPRESS_ENGINE_FUSE_LIST_H_
#define LORAPRESS_ENGINE_FUSE_LIST_H_

#include "engine/linear.h"

namespace lorapress::engine {

// `readers` of each value: nodes of all lists that read it, and outputs that it is.
void fuse_list(Program& program, const Sources& sources, Steps& steps, std::vector<int>& readers);

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_FUSE_LIST_H_
