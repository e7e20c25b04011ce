// Which LoraPress this is, and what it was built of.
#ifndef LORAPRESS_VERSION_H_
#define LORAPRESS_VERSION_H_

#include <string>
#include <vector>

namespace lorapress {

struct Dependency {
  std::string name;  // as upstream spells it
  std::string version;
};

struct BuildInfo {
  std::string version;   // of LoraPress
  std::string target;    // operating system and processor, as "linux x86_64"
  std::string compiler;  // as "clang 22.1.8"
  // Libraries that are linked, as they name themselves, and the Rust crates of the tokenizer by
  // their lock file; sorted by name. libexif tells no version and is not here.
  std::vector<Dependency> dependencies;
};

// Opens nothing and never fails.
BuildInfo build_info();

}  // namespace lorapress

#endif  // LORAPRESS_VERSION_H_
