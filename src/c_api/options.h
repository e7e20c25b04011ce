// The options of a call of the C ABI: a JSON object whose members are taken one by one, so that what nobody took is
// refused by its name.
#ifndef LORAPRESS_C_API_OPTIONS_H_
#define LORAPRESS_C_API_OPTIONS_H_

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/caption.h"
#include "lorapress/quantize.h"
#include "lorapress/source.h"

#include "base/json.h"

namespace lorapress::c_api {

// UTF-8 on every system. Throws kInvalidArgument for a zero byte, at which the system would end the path.
std::filesystem::path to_path(std::string_view text);

class Options {
 public:
  // null: no options. Throws kInvalidArgument for anything but a JSON object.
  void parse(const char* text);

  // Writes the member `key` to `field`, which stays where the member is absent or null. Throws kInvalidArgument, with
  // the key, for another type and for a number that the field cannot hold.
  void take(const char* key, bool& field);
  void take(const char* key, double& field);
  void take(const char* key, int64_t& field);
  void take(const char* key, int& field);
  void take(const char* key, uint32_t& field);
  void take(const char* key, std::string& field);
  void take(const char* key, std::filesystem::path& field);
  void take(const char* key, std::vector<std::string>& field);  // one text is a list of one
  template <typename T>
  void take(const char* key, std::optional<T>& field) {
    if (member(key) != nullptr) {
      take(key, field.emplace());
    }
  }
  // As `take`; absent is kInvalidArgument.
  void require(const char* key, std::filesystem::path& field);
  void require(const char* key, std::string& field);

  Source source();                    // checkpoint, adapter, base
  SchemeOptions scheme();             // and `calibrate`, which take() gives to its own field
  std::vector<std::string> dtypes();  // "q4,fp32", or a list
  GenerateOptions generation();

  // Throws kInvalidArgument for a member that nobody took. Call it before the work begins.
  void finish() const;
  // `text` with the names that the call's options have here.
  [[nodiscard]] std::string renamed(std::string_view text) const;
  void rename(std::vector<std::string>& texts) const;

 private:
  const Json* member(const char* key);
  int64_t whole_number(const Json& value, const char* key, int64_t least, int64_t most) const;

  Json json_ = Json::object();
  std::set<std::string, std::less<>> known_;
};

}  // namespace lorapress::c_api

#endif  // LORAPRESS_C_API_OPTIONS_H_
