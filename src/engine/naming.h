// Which part of a model refuses.
#ifndef LORAPRESS_ENGINE_NAMING_H_
#define LORAPRESS_ENGINE_NAMING_H_

#include <string>

#include "engine/tensor.h"

namespace lorapress::engine {

#if defined(__cpp_exceptions)
// work(); "NAME: " stands before what it refuses.
template <typename Work>
void naming(const std::string& name, const Work& work) {
  try {
    work();
  } catch (Refusal& refusal) {
    refusal.message.insert(0, name.empty() ? "" : name + ": ");
    throw;
  }
}
#else
// Without exceptions: what is before the text that lorapress_engine_refused gets, for its function to read.
inline const std::string* refused_name = nullptr;
template <typename Work>
void naming(const std::string& name, const Work& work) {
  refused_name = &name;
  work();
  refused_name = nullptr;
}
#endif

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_NAMING_H_
