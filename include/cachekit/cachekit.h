/* cachekit/cachekit.h - CacheKit for C: the whole library in one include.
 *
 * A cache in front of a slow function, in five lines:
 *
 *     ckit_cache *cache;
 *     ckit_cache_open("file:///var/cache/app", NULL, &cache, &err);   // memory in front, files behind
 *     ckit_function_new(cache, "app.report", make_report, NULL, NULL, &report, &err);
 *     ckit_call(report, &args, &value, &err);                         // slow once, then fast, in every process
 *
 * The pages, in reading order:
 *     open.h      opening a cache from a URL or the environment
 *     function.h  a slow function made fast: loaders, calls, refresh, invalidation
 *     cache.h     entries by key: get, set, delete, many at once, scopes, statistics
 *     types.h, buf.h, value.h  slices, buffers and values, and giving values back
 *     key.h       arguments and keys
 *     msgpack.h   reading and writing MessagePack; document.h: dates, times, single values
 *     poll.h      the same calls for event loops
 *     error.h     statuses and the error record
 *     settings.h  what can be configured, as a table
 *     envelope.h, frame.h  the bytes of stored values
 *     interop.h   keys and values of interop mode, which every SDK makes alike
 *     seal.h      keys, and values that only their holders can read; rotate.h: sealing anew with another key
 *     guard.h     what stands between a cache and its store, so that trouble there costs little
 *     file.h, redis.h, memory.h, ext/backend.h  the stores, and writing one of your own
 *
 * What holds on every page:
 *
 * Threads. A cache and what was opened with it (functions, stores, guards, key rings) may be used from many threads at
 * once, and is closed by one, when no call is under way. What a program keeps for one call (ckit_args, ckit_buf,
 * ckit_value, ckit_writer, ckit_reader, options) is used by one thread at a time. Operations, batches and polls say for
 * themselves (poll.h).
 *
 * Ownership. What `..._new` and `..._open` give is the caller's to close; closing and freeing accept NULL. A `const`
 * pointer or a slice that is handed over is borrowed for the call, unless its page says for how long. What a function
 * returns as `const` is borrowed from the object it was asked of.
 *
 * NULL. `err` may always be NULL. NULL instead of an object or of a place for a result is CKIT_E_MISUSE, told in `err`;
 * a function without a status then gives nothing (false, 0, NULL, CKIT_MISS) and does nothing. Not looked at are the
 * things for one call named above, ckit_interop_args among them, with what is put into them and asked of them; structs
 * that an `..._init` is to fill; dates and times; places for single values of a document; and what is made for bindings
 * (ckit_peek_object, ckit_object_hint_holds). A NULL text counts as an empty one. */
#ifndef CACHEKIT_CACHEKIT_H
#define CACHEKIT_CACHEKIT_H

#include <cachekit/buf.h>
#include <cachekit/cache.h>
#include <cachekit/document.h>
#include <cachekit/envelope.h>
#include <cachekit/error.h>
#include <cachekit/ext/backend.h>
#include <cachekit/file.h>
#include <cachekit/frame.h>
#include <cachekit/function.h>
#include <cachekit/guard.h>
#include <cachekit/interop.h>
#include <cachekit/key.h>
#include <cachekit/memory.h>
#include <cachekit/msgpack.h>
#include <cachekit/open.h>
#include <cachekit/poll.h>
#include <cachekit/redis.h>
#include <cachekit/rotate.h>
#include <cachekit/seal.h>
#include <cachekit/settings.h>
#include <cachekit/types.h>
#include <cachekit/value.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CKIT_VERSION_MAJOR 0
#define CKIT_VERSION_MINOR 1
#define CKIT_VERSION_PATCH 0
#define CKIT_VERSION "0.1.0"

/* The version of the library that runs (the macros tell the one compiled against). Static text. */
CKIT_API const char *ckit_version(void);

#ifdef __cplusplus
}
#endif
#endif
