/* cachekit/memory.h - a store in this process's memory.
 *
 * It keeps the contract of every store (ext/backend.h) without files or a network: for tests, and for programs that
 * want two caches over one shared store. A cache that needs no store at all opens as "memory:" instead.
 *
 * Entries are bounded in bytes and leave by the memory tier's eviction. Deleting by namespace or function, and listing,
 * it cannot do. Locks hold within the process. */
#ifndef CACHEKIT_MEMORY_H
#define CACHEKIT_MEMORY_H

#include <cachekit/error.h>
#include <cachekit/ext/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means default. */
typedef struct ckit_memory_options {
    size_t   struct_size;
    uint64_t max_bytes; /* keys, values and bookkeeping; default 100 MiB; at least 64 KiB */
} ckit_memory_options;
#define CKIT_MEMORY_OPTIONS_INIT CKIT_SIZED_INIT(ckit_memory_options)
CKIT_API void ckit_memory_options_init(ckit_memory_options *options, size_t struct_size);

/* Opens an empty store. `options` and `env` may be NULL. Keys are up to 4096 bytes (else CKIT_E_TOO_LARGE).
 * CKIT_E_CONFIGURATION for an option out of its range, CKIT_E_NO_MEMORY. */
CKIT_API ckit_status ckit_memory_open(const ckit_memory_options *options, const ckit_backend_env *env,
                                      ckit_backend **out, ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
