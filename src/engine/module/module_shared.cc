#include "engine/module/module_workers.h"

// -DLORAPRESS_SHARED=1 in the links for shared memory.
extern "C" {
extern const int lorapress_shared_memory;
const int lorapress_shared_memory = LORAPRESS_SHARED;
}
