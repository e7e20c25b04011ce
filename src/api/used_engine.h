// What the public calls say of the engine that runs a folder.
#ifndef LORAPRESS_API_USED_ENGINE_H_
#define LORAPRESS_API_USED_ENGINE_H_

#include "lorapress/caption.h"

#include "runtime/engines.h"

namespace lorapress {

inline UsedEngine used_engine(const OpenedDecoder& opened) {
  return {std::string(opened.engine->name), opened.engine->version(), opened.note};
}

}  // namespace lorapress

#endif  // LORAPRESS_API_USED_ENGINE_H_
