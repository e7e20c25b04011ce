// This program, run again as a child with other arguments: for what must have a process of its own.
#ifndef LORAPRESS_CLI_CHILD_H_
#define LORAPRESS_CLI_CHILD_H_

#include <functional>
#include <string>
#include <vector>

namespace lorapress::cli {

// What the child prints on standard output; `arguments` have --json among them. `on_wake` is called
// when a signal arrives and may throw, which ends the child. Throws the child's own Error, and
// kRuntime for a child that crashed.
std::string run_self(const std::vector<std::string>& arguments,
                     const std::function<void()>& on_wake);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_CHILD_H_
