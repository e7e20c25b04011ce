/* Opens liblorapress_c as bindings do, by name, and captions an image through it.
 * usage: try_c_api LIBRARY FOLDER IMAGE   prints version, a refusal, and text and ids of the caption */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lorapress/c_api.h"

#ifdef _WIN32
#include <windows.h>
static void* find(const char* library, const char* name) {
  HMODULE module = LoadLibraryA(library);
  if (module == NULL) {
    fprintf(stderr, "try_c_api: %s: error %lu\n", library, GetLastError());
    exit(1);
  }
  return (void*)GetProcAddress(module, name);
}
#else
#include <dlfcn.h>
static void* find(const char* library, const char* name) {
  void* module = dlopen(library, RTLD_NOW);
  if (module == NULL) {
    fprintf(stderr, "try_c_api: %s\n", dlerror());
    exit(1);
  }
  return dlsym(module, name);
}
#endif

static const char* library;

#define FUNCTION(name) __typeof__(&lorapress_##name) name = need("lorapress_" #name)
static void* need(const char* name) {
  void* found = find(library, name);
  if (found == NULL) {
    fprintf(stderr, "try_c_api: %s has no %s\n", library, name);
    exit(1);
  }
  return found;
}

static void check(int32_t code, const lorapress_error* error) {
  if (code != LORAPRESS_OK) {
    fprintf(stderr, "try_c_api: error %d: %s\n", code, error->message);
    exit(1);
  }
}

/* Prints a value of a JSON object, which ends with `end`. The times beside it differ from run to run. */
static void print_field(const char* json, const char* key, char end) {
  const char* from = strstr(json, key);
  const char* to = from == NULL ? NULL : strchr(from + strlen(key), end);
  if (to == NULL) {
    fprintf(stderr, "try_c_api: no %s in %s\n", key, json);
    exit(1);
  }
  printf("%.*s\n", (int)(to + 1 - from), from);
}

int main(int count, char** arguments) {
  if (count != 4) {
    fprintf(stderr, "usage: try_c_api LIBRARY FOLDER IMAGE\n");
    return 2;
  }
  library = arguments[1];
  FUNCTION(abi_version);
  FUNCTION(version);
  FUNCTION(code_name);
  FUNCTION(free_text);
  FUNCTION(free_error);
  FUNCTION(captioner_open);
  FUNCTION(captioner_caption);
  FUNCTION(captioner_close);
  printf("ABI %d, version %s\n", abi_version(), version());

  lorapress_captioner* captioner = NULL;
  lorapress_error error = {0, NULL};
  const int32_t code = captioner_open("no-such-folder", NULL, &captioner, &error);
  printf("no-such-folder: %s\n", code_name(code));
  free_error(&error);

  check(captioner_open(arguments[2], NULL, &captioner, &error), &error);
  const lorapress_image image = {.kind = LORAPRESS_IMAGE_PATH, .data = arguments[3], .size = strlen(arguments[3])};
  char* captions = NULL;
  check(captioner_caption(captioner, &image, 1, NULL, &captions, &error), &error);
  print_field(captions, "\"text\":\"", '"');
  print_field(captions, "\"ids\":", ']');
  free_text(captions);
  captioner_close(captioner);
  return 0;
}
