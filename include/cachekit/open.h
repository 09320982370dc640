/* cachekit/open.h - opening a cache from a URL or from the environment.
 *
 *     memory:                                  this process only
 *     file:///var/cache/app?max_size_mb=512    memory in front, files behind
 *     NULL                                     what the environment says (docs/configuration.md), else files under
 *                                              $TMPDIR/cachekit (or cachekit-UID beside it)
 */
#ifndef CACHEKIT_OPEN_H
#define CACHEKIT_OPEN_H

#include <cachekit/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a cache. A field of `options` that is not zero wins over the URL's parameters, these win over the environment's
 * CACHEKIT_* variables, and these over the defaults.
 *
 * CKIT_E_CONFIGURATION  a setting is wrong: the text names it, its value (secrets masked) and the allowed range
 * CKIT_E_UNSUPPORTED    a store that this version does not have
 * or what opening the store gives. */
CKIT_API ckit_status ckit_cache_open(const char *url, const ckit_cache_options *options, ckit_cache **out,
                                     ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
