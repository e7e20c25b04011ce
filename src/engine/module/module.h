// The engine as a WebAssembly module: one model, at the level of web/src/engine/engine_api.ts.
//
// FILES  tools/engine_wasm.sh [FOLDER] builds four variants of the same source into FOLDER (default build-wasm/engine):
//
//   engine_relaxed.wasm            relaxed SIMD; one thread
//   engine_relaxed_threads.wasm    relaxed SIMD, atomics, shared memory
//   engine_simd128.wasm            SIMD128, for browsers without relaxed SIMD (Safari); one thread
//   engine_simd128_threads.wasm    the same with atomics and shared memory
//
// The variants of one kind of vectors give the same bits for any number of threads.
//
// LIFE   One instance is one model. What ends it frees everything: drop the instance (and terminate its workers).
//
//   _initialize()                          once, first of all; not in workers
//   lp_threads(n)                          *_threads only, before lp_open
//   lp_open(...)                           once: the numbers of lorapress.json
//   lp_file(...), lp_file(...), lp_load()  for each part, in any order
//   lp_encode  lp_prefill  lp_step ...     one call at a time
//
// A host that wants the encoder's memory back for the system gives the encoder an instance of its own: lp_image moves
// an image's features from one to the other. Inside one instance lp_unload frees a part's weights for other uses.
//
// POINTERS AND HANDLES are uint32 (JavaScript: use `>>> 0`); 0 is none. Any call may grow the memory, so
// views of memory.buffer that are older than the last call are to be made anew (with shared memory they stay valid,
// but do not reach what was added). Texts are UTF-8 that ends with a 0. Sizes and offsets in files are doubles.
// All pointers that the module returns are multiples of 8.
//
// ERRORS come in two ways.
//   1. A call returns 0 (false): the arguments do not fit the model. lp_error() is the reason, in one line.
//      Nothing else has happened and the instance goes on.
//   2. The import `refused` is called: a file that is no graph, a graph with something that the engine does not know, or
//      memory that ends. It must not return: let it throw. The exception leaves the export that was
//      called, and the instance is dead: throw it away; a new instance of the same compiled module loads another graph.
//      The same holds for exceptions of other imports, and for traps (WebAssembly.RuntimeError), which no
//      file should cause. One exception: after LP_PROBLEM_RUN in lp_encode, lp_prefill or lp_step the instance goes on, if the
//      host puts back the value that exports.__stack_pointer had before the call, and frees the sequences of that lp_step.
//
// THREADS  With *_threads the host makes the memory:
//   new WebAssembly.Memory({initial: LP_INITIAL_PAGES, maximum: any up to 65536, shared: true}), import "env" "memory".
// lp_threads(n) says how many threads there will be with the caller's, at most LP_MOST_THREADS. Then each of n - 1 workers
// instantiates the same compiled module with the same memory and the same imports and calls, instead of _initialize,
//   exports.__stack_pointer.value = lp_worker_stack(i)  (called by the first thread, i = 1 ... n - 1, and sent to the worker)
//   exports.lp_worker_run(i)                            which does not return: end workers by terminate()
// Workers may come late or never: the caller takes the parts that nobody has taken. In a worker only `now` is
// called. A caller whose worker has lost its processor waits with memory.atomic.wait32, which the main
// thread of a page must not do: with n > 1 every call is made in a worker. Without lp_threads all is done by the caller.
//
// LOADING  lp_load asks for bytes with `read`, synchronously. All bytes of the part's files must be at hand when it is
// called: in memory, or in a file that can be read synchronously (OPFS). The order is about that of the
// file, with small tensors first. `done` says which bytes are not read again: the ranges of one file do not overlap and
// together are the whole file, in any order. A host that counts them for each chunk and drops a chunk
// (ArrayBuffer.transfer(0)) when all its bytes are done holds little more than the model once.
// The module writes each weight from `read` to its place through a buffer of 1 MB at most; nothing of a file is kept.
//
// IMPORTS, module "lorapress", the same for all variants:
//   read(file: i32, offset: f64, to: i32, bytes: i32)   bytes offset ... offset + bytes - 1 of file number `file` to address `to`
//   done(file: i32, begin: f64, end: f64)               see LOADING
//   refused(problem: i32, text: i32)                    see ERRORS; problem is an LP_PROBLEM
//   now(): f64                                          milliseconds: performance.now()
// and in *_threads "env" "memory". There are no others.
//
// EXPORTS  `memory`, `_initialize`, `__stack_pointer` (a mutable global) and the functions below.
#ifndef LORAPRESS_ENGINE_MODULE_MODULE_H_
#define LORAPRESS_ENGINE_MODULE_MODULE_H_

#include <stdint.h>

#if defined(__wasm__)
#define LP_EXPORT(name) __attribute__((export_name(#name)))
#define LP_IMPORT(name) __attribute__((import_module("lorapress"), import_name(#name)))
#else  // in a test: the imports are functions lp_host_*
#define LP_EXPORT(name)
#define LP_IMPORT(name)
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
  LP_VERSION = 1,
  LP_INITIAL_PAGES = 64,  // of 64 KiB: the least that a memory for *_threads must have
  LP_MOST_THREADS = 16,
};

enum lp_problem {
  LP_PROBLEM_UNSUPPORTED =
      0,  // a graph with something that the engine does not know: ONNX Runtime may run it
  LP_PROBLEM_INVALID = 1,   // no ONNX graph, one that contradicts itself, an incomplete file
  LP_PROBLEM_RUN = 2,       // inputs that do not fit the graph, memory that ends
  LP_PROBLEM_MISMATCH = 3,  // a graph that is not that of the numbers of lp_open
};

enum lp_part {
  LP_ENCODER = 0,
  LP_EMBEDDINGS = 1,     // tokens to embeddings, where lp_open has an image token
  LP_DECODER = 2,        // every call of the decoder, or the later ones
  LP_FIRST_DECODER = 3,  // the first call (prefill), if another graph does it
};

// ---- imports -----------------------------------------------------------------------------------------------

LP_IMPORT(read) void lp_host_read(int32_t file, double offset, void* to, uint32_t bytes);
LP_IMPORT(done) void lp_host_done(int32_t file, double begin, double end);
LP_IMPORT(refused) void lp_host_refused(int32_t problem, const char* text);
LP_IMPORT(now) double lp_host_now(void);

// ---- the instance ------------------------------------------------------------------------------------------

// LP_VERSION of this header.
LP_EXPORT(lp_version) uint32_t lp_version(void);
// "wasm_relaxed", "wasm_relaxed_dot" (by what the processor has) or "wasm_simd128".
LP_EXPORT(lp_kernels) const char* lp_kernels(void);
// Why the last call returned 0; valid until the next call.
LP_EXPORT(lp_error) const char* lp_error(void);

// Memory for arguments, aligned to 64; calls `refused` where there is none. The caller frees it.
LP_EXPORT(lp_allocate) void* lp_allocate(uint32_t bytes);
LP_EXPORT(lp_free) void lp_free(void* memory);

// Bytes of weights, caches and buffers that the model holds now. (memory.buffer.byteLength is the most that it ever held.)
LP_EXPORT(lp_bytes) double lp_bytes(void);

// Threads, the caller's included; see THREADS. Nothing happens in variants without threads.
LP_EXPORT(lp_threads) void lp_threads(uint32_t count);
// The stack pointer of worker `index`, 1 <= index < count: 0 without threads.
LP_EXPORT(lp_worker_stack) uint32_t lp_worker_stack(uint32_t index);
LP_EXPORT(lp_worker_run) void lp_worker_run(uint32_t index);

// ---- loading -----------------------------------------------------------------------------------------------

// The numbers of a ModelShape. `image_height` 0: a decoder alone. `image_token_id` -1: none. `image_tokens`: positions of
// an image (or tile), -1 where the host does not know them. `cross_attention`, `ids_in_cache`: 0 or 1.
LP_EXPORT(lp_open)
int32_t lp_open(int32_t image_height,
                int32_t image_width,
                int32_t image_tokens,
                int32_t vocab_size,
                int32_t num_hidden_layers,
                int32_t num_key_value_heads,
                int32_t head_dim,
                int32_t image_token_id,
                int32_t cross_attention,
                int32_t ids_in_cache);

// A file of the part that the next lp_load loads: first the graph, then its weight files by the names that the graph
// has for them (the last component of their path). Returns the number that `read` gets: 0, 1, ... `name` is copied.
LP_EXPORT(lp_file) int32_t lp_file(const char* name, double size);
// Loads a part (lp_part) from the files that lp_file named, which are forgotten afterwards. A part that was loaded before is
// replaced.
LP_EXPORT(lp_load) int32_t lp_load(int32_t part);
// Frees a part's weights. Sequences and images stay.
LP_EXPORT(lp_unload) void lp_unload(int32_t part);

// ---- images ------------------------------------------------------------------------------------------------

// `pixels`: float32, `tiles` times [3, image_height, image_width], the caller's. Returns an image.
LP_EXPORT(lp_encode) uint32_t lp_encode(const float* pixels, int32_t tiles);
// An image of `positions` rows of `width` numbers that the caller writes to lp_image_data().
LP_EXPORT(lp_image) uint32_t lp_image(int32_t positions, int32_t width);
LP_EXPORT(lp_image_data) float* lp_image_data(uint32_t image);
LP_EXPORT(lp_image_positions) int32_t lp_image_positions(uint32_t image);
LP_EXPORT(lp_image_width) int32_t lp_image_width(uint32_t image);
// Sequences that began with it do not need it.
LP_EXPORT(lp_free_image) void lp_free_image(uint32_t image);

// ---- sequences ---------------------------------------------------------------------------------------------

// One row. `ids`: as Engine.prefill of engine_api.ts has them, `count` at least 1. `image`: 0 for none. `room`: how many
// steps are expected; more are possible. Returns sequences.
LP_EXPORT(lp_prefill)
uint32_t lp_prefill(uint32_t image, const int32_t* ids, int32_t count, int32_t room);
// Row i of `sequences` becomes what row parents[i] was, and then tokens[i]; there are then `rows` rows.
// Image and prompt are stored once for all rows; what rows share is not copied. Returns 1, or 0.
LP_EXPORT(lp_step)
int32_t lp_step(uint32_t sequences, const int32_t* parents, const int32_t* tokens, int32_t rows);
// float32 [rows, vocab_size] for the next token, after lp_prefill or lp_step. The caller may write over it; valid until the
// next call that gets these sequences.
LP_EXPORT(lp_logits) float* lp_logits(uint32_t sequences);
LP_EXPORT(lp_free_sequences) void lp_free_sequences(uint32_t sequences);

#ifdef __cplusplus
}
#endif

#endif  // LORAPRESS_ENGINE_MODULE_MODULE_H_
