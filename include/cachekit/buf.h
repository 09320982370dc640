/* cachekit/buf.h - slices and growing buffers.
 *
 * A buffer is used by one thread at a time. */
#ifndef CACHEKIT_BUF_H
#define CACHEKIT_BUF_H

#include <cachekit/error.h>
#include <cachekit/types.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Looks at `len` bytes, or at a C string without its terminating zero. */
static inline ckit_slice ckit_slice_of(const void *ptr, size_t len) {
    ckit_slice slice;
    slice.ptr = (const uint8_t *)ptr;
    slice.len = len;
    return slice;
}
static inline ckit_slice ckit_slice_str(const char *text) {
    return ckit_slice_of(text, text == NULL ? 0 : strlen(text));
}
static inline bool ckit_slice_equal(ckit_slice a, ckit_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline ckit_slice ckit_buf_slice(const ckit_buf *buf) { return ckit_slice_of(buf->ptr, buf->len); }

/* Starts an empty buffer on `alloc` (NULL = malloc). Allocates nothing. */
CKIT_API void ckit_buf_init(ckit_buf *buf, const ckit_alloc *alloc);
/* Frees the bytes and leaves the buffer empty and usable. Accepts NULL and zeroed memory. */
CKIT_API void ckit_buf_fini(ckit_buf *buf);

/* Makes room for `extra` more bytes behind `len`. Grows at least by half, so appending is linear in total.
 * CKIT_E_NO_MEMORY leaves the buffer as it was. */
CKIT_API ckit_status ckit_buf_reserve(ckit_buf *buf, size_t extra);
/* The same without spare room: for buffers whose final size is known. */
CKIT_API ckit_status ckit_buf_reserve_exact(ckit_buf *buf, size_t extra);
/* Appends a copy of `bytes`, which do not lie in the buffer. CKIT_E_NO_MEMORY leaves the buffer as it was. */
CKIT_API ckit_status ckit_buf_append(ckit_buf *buf, ckit_slice bytes);

#ifdef __cplusplus
}
#endif
#endif
