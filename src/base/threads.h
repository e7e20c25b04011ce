// Runs work on a few threads. All threads start here, so that a build without threads replaces one
// file.
#ifndef LORAPRESS_BASE_THREADS_H_
#define LORAPRESS_BASE_THREADS_H_

#include <cstddef>
#include <functional>
#include <future>

namespace lorapress {

// Runs task(index, worker) for every index below `count`; free workers take the indices in order.
// The first exception stops the other workers and is rethrown. `threads` 0 means one per core, at
// most 4.
void parallel_for(size_t count,
                  unsigned threads,
                  const std::function<void(size_t index, unsigned worker)>& task);

unsigned resolve_threads(unsigned threads);

// Runs the task beside the caller's own work. get() waits and throws what the task threw; the
// destructor of the last copy waits, too.
std::shared_future<void> run_async(std::function<void()> task);

}  // namespace lorapress

#endif  // LORAPRESS_BASE_THREADS_H_
