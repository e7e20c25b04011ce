// Runs this program again as a child with other arguments, for work that needs a process of its own.
#ifndef LORAPRESS_CLI_CHILD_H_
#define LORAPRESS_CLI_CHILD_H_

#include <functional>
#include <string>
#include <vector>

namespace lorapress::cli {

// Returns what the child prints on standard output; `arguments` include --json. `on_wake` is called
// when a signal arrives and may throw, which ends the child. Throws the child's own Error, and
// kRuntime for a child that crashed.
std::string run_self(const std::vector<std::string>& arguments,
                     const std::function<void()>& on_wake);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_CHILD_H_
