/* base/alloc.h - memory through the instance's allocator; NULL means malloc. */
#ifndef CKITI_BASE_ALLOC_H
#define CKITI_BASE_ALLOC_H

#include <cachekit/types.h>

/* NULL when there is no memory. A size of 0 is asked for as 1, so that NULL always means failure. */
void *ckiti_alloc(const ckit_alloc *alloc, size_t size);
/* Zeroed; NULL also when count * size overflows. */
void *ckiti_alloc_zeroed(const ckit_alloc *alloc, size_t count, size_t size);
/* On failure the old block stays. `ptr` may be NULL (with old_size 0). */
void *ckiti_resize(const ckit_alloc *alloc, void *ptr, size_t old_size, size_t new_size);
/* `size` is what was asked for. Accepts NULL. */
void ckiti_free(const ckit_alloc *alloc, void *ptr, size_t size);
/* A zero-terminated copy; free it with ckiti_free(alloc, copy, bytes.len + 1). */
char *ckiti_strdup_slice(const ckit_alloc *alloc, ckit_slice bytes);

#endif
