// What Linux and macOS (system_posix.cc) and Windows (system_windows.cc) each do in their own way for the program.
#ifndef LORAPRESS_CLI_SYSTEM_H_
#define LORAPRESS_CLI_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace lorapress::cli {

// Before anything else. In a program started with a closed standard stream, the next file that is opened would get the
// stream's number and the output. Exceeding a file size limit becomes an ordinary write error. On Windows the streams
// carry UTF-8 and bytes as they are.
void prepare_process();
bool is_terminal(std::FILE* stream);
size_t terminal_width();  // of standard error
// Calls `handler` once when the user ends the program (Ctrl-C and the like); a second time ends it at once.
void on_ending(void (*handler)(int));
uint64_t peak_resident_bytes();  // of this process so far

// Ctrl-C and the other signals that end a program, held from the constructor on, also from threads that start later.
class Endings {
 public:
  Endings();
  ~Endings();
  Endings(const Endings&) = delete;
  Endings& operator=(const Endings&) = delete;
  // Returns when one has come.
  void wait();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Opens the address with the desktop's own command (kBrowserCommand), which returns at once.
bool open_browser(const std::string& url);
extern const char* const kBrowserCommand;

struct ChildEnd {
  std::string output;     // what it wrote on standard output
  int code = 0;           // its exit status
  std::string killed_by;  // why it ended without one; empty otherwise
};
// Runs this program with other arguments until it ends; its standard error is discarded. `on_wake` is called when a
// signal arrives and may throw, which ends the child. Throws kIo where it cannot be run.
ChildEnd run_again(const std::vector<std::string>& arguments, const std::function<void()>& on_wake);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_SYSTEM_H_
