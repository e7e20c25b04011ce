/* Hugging Face tokenizers, chat templates and hashes behind a C ABI; src/lib.rs implements it,
 * src/runtime/generation/tokenizer.cc, chat_template.cc, src/base/sha256.cc and src/hub/blob_hash.cc wrap it.
 *
 * - Text is UTF-8 as pointer and length, never NUL-terminated; errors are NUL-terminated.
 * - Functions that can fail return 0 (or NULL) and set *error, which the caller frees.
 * - Nothing unwinds out of these functions and nothing is printed.
 * - A tokenizer may be used from several threads at once.
 */
#ifndef LORAPRESS_TOKENIZER_H_
#define LORAPRESS_TOKENIZER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_tokenizer lp_tokenizer;

/* Reads the bytes of a tokenizer.json. Its truncation and padding settings are dropped. */
lp_tokenizer* lp_tokenizer_from_bytes(const uint8_t* data, size_t size, char** error);
void lp_tokenizer_free(lp_tokenizer* tokenizer);

/* On success *ids holds *count ids; free with lp_tokenizer_free_ids(*ids, *count). */
int lp_tokenizer_encode(const lp_tokenizer* tokenizer,
                        const char* text,
                        size_t size,
                        int add_special_tokens,
                        uint32_t** ids,
                        size_t* count,
                        char** error);

/* Ids without a token are skipped. On success free with lp_tokenizer_free_text(*text, *size). */
int lp_tokenizer_decode(const lp_tokenizer* tokenizer,
                        const uint32_t* ids,
                        size_t count,
                        int skip_special_tokens,
                        char** text,
                        size_t* size,
                        char** error);

/* -1: there is no such token. */
int64_t lp_tokenizer_token_to_id(const lp_tokenizer* tokenizer, const char* token, size_t size);

/* Number of tokens, the added ones included. */
size_t lp_tokenizer_vocab_size(const lp_tokenizer* tokenizer);

/* Renders a chat template. The request is a JSON object: "template" is the text, "now" (optional) the
 * seconds since 1970 that strftime_now tells, everything else is what the template sees ("messages",
 * "bos_token", "eos_token", "add_generation_prompt"). On success free with lp_tokenizer_free_text(*text,
 * *size). */
int lp_chat_render(
    const char* request, size_t request_size, char** text, size_t* size, char** error);

/* SHA-256 or SHA-1 (FIPS 180-4) of bytes that come in pieces. `finish` writes the digest, begins anew and
 * returns its size, 32 or 20; it takes room for 32. */
typedef struct lp_hash lp_hash;
lp_hash* lp_sha256_new(void);
lp_hash* lp_sha1_new(void);
void lp_hash_update(lp_hash* hash, const uint8_t* data, size_t size);
size_t lp_hash_finish(lp_hash* hash, uint8_t* digest);
void lp_hash_free(lp_hash* hash);

/* Cargo.lock, with which the crate was built; NUL-terminated, never freed. */
const char* lp_tokenizer_lock(void);

void lp_tokenizer_free_ids(uint32_t* ids, size_t count);
void lp_tokenizer_free_text(char* text, size_t size);
void lp_tokenizer_free_error(char* error);

#ifdef __cplusplus
}
#endif

#endif /* LORAPRESS_TOKENIZER_H_ */
