#include "c_api/boundary.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>

#include "lorapress/error.h"

#include "base/fail.h"

namespace lorapress::c_api {
namespace {

struct Cancelled {};  // no std::exception, so that nothing on its way takes it for an error

constexpr int32_t to_code(ErrorCode code) {
  return static_cast<int32_t>(code) + 1;
}
static_assert(to_code(ErrorCode::kInvalidArgument) == LORAPRESS_INVALID_ARGUMENT);
static_assert(to_code(ErrorCode::kRuntime) == LORAPRESS_RUNTIME);
static_assert(kErrorCodes.size() == LORAPRESS_RUNTIME);

bool is_control(char byte) {
  return static_cast<unsigned char>(byte) < ' ';
}

// Null where there is no memory; the code still tells.
char* copied_line(std::string_view text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy != nullptr) {
    std::ranges::replace_copy_if(text, copy, is_control, ' ');
    copy[text.size()] = '\0';
  }
  return copy;
}

int32_t set_error(lorapress_error* error, int32_t code, std::string_view message) {
  if (error != nullptr) {
    *error = {code, code == LORAPRESS_OK ? nullptr : copied_line(message)};
  }
  return code;
}

}  // namespace

// The same cases as cli/main.cc.
int32_t guarded(const char* options,
                lorapress_error* error,
                const std::function<void(Options&)>& work) {
  Options parsed;
  try {
    parsed.parse(options);
    work(parsed);
    return set_error(error, LORAPRESS_OK, "");
  } catch (const Cancelled&) {
    return set_error(error, LORAPRESS_CANCELLED, "cancelled by the progress callback");
  } catch (const Error& thrown) {
    return set_error(error, to_code(thrown.code()), parsed.renamed(thrown.what()));
  } catch (const std::bad_alloc&) {
    return set_error(error, LORAPRESS_IO, "out of memory");
  } catch (const std::system_error& thrown) {
    return set_error(error, LORAPRESS_IO, thrown.what());
  } catch (const std::exception& thrown) {
    return set_error(error,
                     LORAPRESS_RUNTIME,
                     fmt::format("defect in LoraPress, please report it: {}", thrown.what()));
  } catch (...) {
    return set_error(error, LORAPRESS_RUNTIME, "defect in LoraPress, please report it");
  }
}

ProgressFn to_progress(lorapress_progress_fn progress, void* user) {
  if (progress == nullptr) {
    return {};
  }
  return [progress, user](const Progress& now) {
    if (progress(user, std::string(now.phase).c_str(), now.done, now.total) != 0) {
      throw Cancelled{};
    }
  };
}

std::string one_line(std::string text) {
  std::ranges::replace_if(text, is_control, ' ');
  return text;
}

char* hand_out(std::string_view text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) {
    throw std::bad_alloc();
  }
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

void require_pointer(const void* pointer, const char* name) {
  if (pointer == nullptr) {
    fail(ErrorCode::kInvalidArgument, "{} is null", name);
  }
}

}  // namespace lorapress::c_api

extern "C" {

int32_t lorapress_abi_version(void) {
  return LORAPRESS_ABI_VERSION;
}

const char* lorapress_version(void) {
  return LORAPRESS_VERSION;
}

const char* lorapress_code_name(int32_t code) {
  if (code == LORAPRESS_OK) {
    return "ok";
  }
  if (code == LORAPRESS_CANCELLED) {
    return "cancelled";
  }
  const auto& codes = lorapress::kErrorCodes;
  if (code < 1 || code > static_cast<int32_t>(codes.size())) {
    return nullptr;
  }
  return codes[static_cast<size_t>(code - 1)].name.data();  // of a literal
}

void lorapress_free_text(char* text) {
  std::free(text);
}

void lorapress_free_error(lorapress_error* error) {
  if (error != nullptr) {
    std::free(error->message);
    *error = {LORAPRESS_OK, nullptr};
  }
}

}  // extern "C"
