/* support/hex.h - bytes written as hex text.
 *
 * Whitespace is ignored, and everything from # to the end of the line. */
#ifndef CKIT_SUPPORT_HEX_H
#define CKIT_SUPPORT_HEX_H

#include <cachekit/types.h>

/* Decodes `text` into malloc'ed memory (the caller frees `ptr`). Never NULL on success, also for no bytes.
 * False when the text is not hex, a digit is missing, or memory is out; `out` is then empty. */
typedef struct hex_bytes {
    uint8_t *ptr;
    size_t   len;
} hex_bytes;
bool hex_decode(const char *text, size_t text_len, hex_bytes *out);

/* For tests: decodes a C string or fails the test. The slice lives until the program ends. */
ckit_slice hex_slice(const char *text);

/* Reads a whole file into malloc'ed memory; false with errno when that fails. */
bool hex_read_file(const char *path, hex_bytes *out);

/* The bytes as lower-case hex, terminated; the caller frees it. */
char *hex_encode(ckit_slice bytes);

#endif
