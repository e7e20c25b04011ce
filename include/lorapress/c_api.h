/* The C ABI: what bindings of other languages call (python/ does). Plain C; the only header of the project that is.
 *
 * Commands take their options as one JSON object. Its keys are the long flags of the command line with underscores
 * ("max_new_tokens" for --max-new-tokens), positional arguments have the names of their help in small letters
 * ("checkpoint", "out"), flags are booleans, and what may be given several times is a list. An unknown key is an error.
 * Texts are UTF-8 and end with a zero byte. Reports are the objects that the program prints with --json.
 *
 * Every function that can fail returns LORAPRESS_OK or the error's code, and then describes it in *error, where the
 * caller gave one: a code and one line. An outgoing parameter is written only on success, but for *error, which every
 * call writes. What a call hands out belongs to the caller: texts until lorapress_free_text(), errors until
 * lorapress_free_error(), captioners until lorapress_captioner_close().
 *
 * Functions may be called from any thread. Calls of one captioner wait for each other; different captioners work at the
 * same time. The library never prints, never exits, installs no signal handlers, and lets no exception out.
 *
 * Stability: a library works for callers of the same LORAPRESS_ABI_VERSION. Functions and option keys may be added
 * within a version; an existing one changes its meaning only with a new version.
 */
#ifndef LORAPRESS_C_API_H_
#define LORAPRESS_C_API_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define LORAPRESS_API __declspec(dllexport)
#else
#define LORAPRESS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LORAPRESS_ABI_VERSION 1

/* The codes of error.h in its order, and two of this interface. */
enum {
  LORAPRESS_OK = 0,
  LORAPRESS_INVALID_ARGUMENT = 1,
  LORAPRESS_NOT_FOUND = 2,
  LORAPRESS_EXISTS = 3,
  LORAPRESS_INVALID_FILE = 4,
  LORAPRESS_UNSUPPORTED = 5,
  LORAPRESS_MISMATCH = 6,
  LORAPRESS_IO = 7,
  LORAPRESS_RUNTIME = 8,
  LORAPRESS_CANCELLED = 100 /* the progress callback asked for it */
};

typedef struct lorapress_error {
  int32_t code;
  char* message; /* one line; null where code is LORAPRESS_OK */
} lorapress_error;

/* Returns 0 to go on, anything else to cancel: the work stops, nothing half-written stays behind, and the call returns
 * LORAPRESS_CANCELLED. `phase` is "fetch", "write", "check", "caption", ...; `done` and `total` are bytes for the first two,
 * else steps. Called from threads of the library, but never from two at once. */
typedef int32_t (*lorapress_progress_fn)(void* user,
                                         const char* phase,
                                         uint64_t done,
                                         uint64_t total);

typedef struct lorapress_captioner lorapress_captioner;

enum { LORAPRESS_IMAGE_PATH = 0, LORAPRESS_IMAGE_BYTES = 1, LORAPRESS_IMAGE_PIXELS = 2 };

/* An image, which is only read, and not kept after the call. Where `data` points, by `kind`:
 *   PATH    the name of a file, `size` bytes without a zero at the end
 *   BYTES   `size` bytes of a JPEG, PNG, WebP, GIF, BMP or TIFF file
 *   PIXELS  8-bit RGB [height, width, 3], upright; the strides are the bytes from a sample to the same one of the next row
 *           and column, and to the next channel, and may be negative or 0 */
typedef struct lorapress_image {
  int32_t kind;
  const void* data;
  size_t size;
  int64_t height;
  int64_t width;
  int64_t row_stride;
  int64_t column_stride;
  int64_t channel_stride;
} lorapress_image;

LORAPRESS_API int32_t lorapress_abi_version(void);
LORAPRESS_API const char* lorapress_version(void); /* "0.1.0" */
/* "invalid_argument", ..., "cancelled", "ok"; null for a number that is no code. */
LORAPRESS_API const char* lorapress_code_name(int32_t code);

LORAPRESS_API void lorapress_free_text(char* text); /* null: nothing */
LORAPRESS_API void lorapress_free_error(
    lorapress_error* error); /* its message; the struct is the caller's */

/* The commands. `options`: a JSON object; `progress` may be null; `report`: the JSON object of --json. */
LORAPRESS_API int32_t lorapress_press(const char* options,
                                      lorapress_progress_fn progress,
                                      void* user,
                                      char** report,
                                      lorapress_error* error);
/* press without running the result. */
LORAPRESS_API int32_t lorapress_export(const char* options,
                                       lorapress_progress_fn progress,
                                       void* user,
                                       char** report,
                                       lorapress_error* error);
LORAPRESS_API int32_t lorapress_merge(const char* options,
                                      lorapress_progress_fn progress,
                                      void* user,
                                      char** report,
                                      lorapress_error* error);
LORAPRESS_API int32_t lorapress_quantize(const char* options,
                                         lorapress_progress_fn progress,
                                         void* user,
                                         char** report,
                                         lorapress_error* error);
/* A folder that differs is no error: "passed" of the report is false. */
LORAPRESS_API int32_t lorapress_verify(const char* options,
                                       lorapress_progress_fn progress,
                                       void* user,
                                       char** report,
                                       lorapress_error* error);
LORAPRESS_API int32_t lorapress_inspect(const char* path, char** report, lorapress_error* error);

/* Loads a folder that press wrote. `options`: "dtype", "threads", "engine" as flags of `lorapress caption`, and "at_once",
 * the groups of images that are worked on at a time, each on its share of the threads (1; 0: as many as threads, which is
 * fastest for many images); null: none. */
LORAPRESS_API int32_t lorapress_captioner_open(const char* folder,
                                               const char* options,
                                               lorapress_captioner** captioner,
                                               lorapress_error* error);
/* {"dtypes": {"encoder", "prefill", "decoder"}, "engine": {"name", "version", "note"}, "at_once", "height",
 * "width"}. */
LORAPRESS_API int32_t lorapress_captioner_info(lorapress_captioner* captioner,
                                               char** info,
                                               lorapress_error* error);
/* Captions `count` images. `options`: batch (images that are decoded together, 1 to 256: 8), prompt, system, raw_prompt,
 * seed and the generation settings of generation_settings.h; null: the folder's own. *captions gets a JSON list with one
 * object for each image: {"text", "ids", "score" (of beams), "encode_ms", "prefill_ms", "decode_ms"}, or {"error":
 * {"code", "message"}} for an image that cannot be captioned, which is no error of the call. */
LORAPRESS_API int32_t lorapress_captioner_caption(lorapress_captioner* captioner,
                                                  const lorapress_image* images,
                                                  size_t count,
                                                  const char* options,
                                                  char** captions,
                                                  lorapress_error* error);
/* Waits for no call: the caller sees to it that none is running. null: nothing. */
LORAPRESS_API void lorapress_captioner_close(lorapress_captioner* captioner);

#ifdef __cplusplus
}
#endif

#endif /* LORAPRESS_C_API_H_ */
