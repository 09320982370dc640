/* shelf.h - a store of one's own for CacheKit: entries in a small table of this process.
 *
 * Written as somebody outside the project would: with the installed headers alone. */
#ifndef SHELF_H
#define SHELF_H

#include <cachekit/ext/backend.h>

#define SHELF_MAX_KEY_BYTES 1024u
#define SHELF_MAX_VALUE_BYTES (1024u * 1024u)

/* `env` may be NULL: malloc and the system's clock. */
ckit_status shelf_open(const ckit_backend_env *env, ckit_backend **out, ckit_error *err);

#endif
