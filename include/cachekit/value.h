/* cachekit/value.h - giving a value back, and reading the simple ones.
 *
 *     ckit_value value = CKIT_VALUE_INIT;
 *     if (ckit_cache_get(cache, ckit_slice_str("greeting"), NULL, &value, &err) == CKIT_OK)
 *         fwrite(value.data.ptr, 1, value.data.len, stdout);
 *     ckit_value_fini(&value); */
#ifndef CACHEKIT_VALUE_H
#define CACHEKIT_VALUE_H

#include <cachekit/error.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Starts an empty value (the same as CKIT_VALUE_INIT, for callers without macros). */
CKIT_API void ckit_value_init(ckit_value *value);
/* Gives the bytes back and leaves the value empty, ready to be filled again. From any thread, also after the cache
 * was closed. Accepts NULL, an empty value, and being called twice. */
CKIT_API void ckit_value_fini(ckit_value *value);

/* Moves what `from` holds to `to`, which must be empty, and leaves `from` empty: a ckit_value cannot be assigned. */
CKIT_API void ckit_value_move(ckit_value *to, ckit_value *from);

/* "memory", "store", "function", "flight" or "none". Static text, never NULL. */
CKIT_API const char *ckit_source_name(ckit_source source);

/* Fills `value` with bytes of its own: a copy, or the buffer's bytes without copying (the buffer is left empty).
 * Whatever it held is given back first; CKIT_E_NO_MEMORY leaves it empty. `alloc` (NULL = malloc; of the other one the
 * buffer's) must outlive the value. */
CKIT_API ckit_status ckit_value_copy(ckit_value *value, ckit_slice bytes, const ckit_alloc *alloc);
CKIT_API void        ckit_value_take(ckit_value *value, ckit_buf *buf);

#ifdef __cplusplus
}
#endif
#endif
