// Keys of PEFT's rank_pattern and alpha_pattern: Python regular expressions for the end of a
// module's name.
#ifndef LORAPRESS_CHECKPOINT_NAME_PATTERN_H_
#define LORAPRESS_CHECKPOINT_NAME_PATTERN_H_

#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace lorapress {

// One key. PEFT matches as re.match(rf"(.*\.)?({key})$", module) (utils/other.py, get_pattern_key);
// PCRE2, because it has lookarounds and backreferences as Python's re, which RE2 lacks. Every match
// has a limit of steps, so that no pattern can hang.
class NamePattern {
 public:
  // Throws kInvalidFile for a key that Python cannot compile either, kUnsupported for syntax that
  // Python and PCRE2 may read differently; the messages name `where` (file and field) and the key.
  NamePattern(std::string key, std::string where);

  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] const std::string& where() const { return where_; }
  // Whether all of `module` matches. Throws kUnsupported when the limit of steps is reached.
  [[nodiscard]] bool matches(std::string_view module) const;
  // Memory of the compiled expression; 0 for a plain name, which needs none.
  [[nodiscard]] size_t compiled_bytes() const;

 private:
  std::string key_;
  std::string where_;
  std::shared_ptr<const pcre2_real_code_8> code_;  // null for a plain name
};

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_NAME_PATTERN_H_
