/* cachekit/open.h - opening a cache, or a store alone, from a URL or from the environment.
 *
 *     memory:                                  this process only
 *     file:///var/cache/app?max_size_mb=512    memory in front, files behind
 *     redis://host:6379/0                      memory in front, a Redis server behind (redis.h)
 *     unix:///run/redis.sock                   the same over a UNIX socket
 *     NULL                                     what the environment says, else redis://localhost:6379 if it is there
 *
 * In the environment CACHEKIT_REDIS_URL or CACHEKIT_FILE_CACHE_DIR chooses the store; two such variables at once are
 * refused. REDIS_URL, which other programs read too, counts when neither is set. A Redis that was chosen by the
 * environment, or by nobody, holds entries of tenants: their keys begin with "t:default:", or the tenant of
 * ckit_cache_options, as the other SDKs of the CacheKit family write them. A Redis that was opened by its URL holds the
 * bare keys.
 *
 * With nothing configured a Redis on this machine is used if one answers. While none does, memory serves alone: one
 * warning says so, and it is looked for again every few seconds. Whoever may listen on port 6379 of this machine then
 * sees what is stored, and what he answers is believed: on machines with users who do not trust each other choose a
 * store, or memory:. */
#ifndef CACHEKIT_OPEN_H
#define CACHEKIT_OPEN_H

#include <cachekit/cache.h>
#include <cachekit/ext/backend.h>
#include <cachekit/seal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Keys: CACHEKIT_MASTER_KEY (64 hexadecimal digits or more) and CACHEKIT_PREVIOUS_MASTER_KEYS (up to three, separated
 * by commas), or CACHEKIT_MASTER_KEY_FILE (seal.h: key_file), unless `options` bring a key ring. With one a cache with
 * a store seals its values (ckit_cache_options.encryption). They are sealed for CACHEKIT_DEPLOYMENT_UUID, or without it
 * for a random UUID of this user's, in ~/.cachekit/deployment_uuid, which is made when it is not there; it keeps nobody
 * with the key from reading them, the variable does. */

/* Opens a cache. A field of `options` that is not zero wins over the URL's parameters, these win over the environment's
 * CACHEKIT_* variables, and these over the defaults.
 *
 * CKIT_E_CONFIGURATION  a setting is wrong: the text names it, its value (secrets masked) and the allowed range
 * CKIT_E_UNSUPPORTED    a store that this version does not have
 * or what opening the store gives. */
CKIT_API ckit_status ckit_cache_open(const char *url, const ckit_cache_options *options, ckit_cache **out,
                                     ckit_error *err);

/* The same over a store of the caller's own: the environment's settings of the cache hold, and `options` win over them.
 * The backend is the cache's from now on, also when this fails. ckit_cache_new (cache.h) reads no environment. */
CKIT_API ckit_status ckit_cache_open_over(ckit_backend *backend, const ckit_cache_options *options, ckit_cache **out,
                                          ckit_error *err);

/* The keys of the environment, and the deployment that ckit_cache_open seals values for: for tools that seal and open
 * stored bytes themselves (seal.h, rotate.h). CACHEKIT_DEPLOYMENT_UUID, else the user's own; with `make` he gets one
 * when he has none, as ckit_cache_open gives him. "default" where there is none. `deployment` may be NULL.
 *
 * CKIT_OK and a ring, to be ended with ckit_keyring_close; CKIT_MISS: the environment has no keys; or what
 * ckit_cache_open says of wrong ones. */
#define CKIT_DEPLOYMENT_TEXT 40u
CKIT_API ckit_status ckit_keyring_from_environment(bool make, ckit_keyring **out, char deployment[CKIT_DEPLOYMENT_TEXT],
                                                   ckit_error *err);

/* Opens the store alone, without a cache in front: for tools that look at stored bytes. URL, environment and settings
 * mean what they mean for ckit_cache_open; those of the cache itself are checked and have no effect.
 * CACHEKIT_MASTER_KEY does not matter: the caller moves stored bytes as they are, and whoever stores plain ones has
 * them stored in the clear.
 *
 * `url` NULL: the store that the environment chooses, and none where it chooses none. `memory:` is a store that begins
 * empty and ends with its handle; l1_max_size_mb bounds it. `env` may be NULL. The caller ends the store with
 * ckit_backend_close, or hands it to ckit_cache_new.
 *
 * CKIT_E_NO_URL         `url` is NULL and nothing chooses a store: the caller may have a default of its own
 * CKIT_E_CONFIGURATION, CKIT_E_UNSUPPORTED  as above
 * or what opening the store gives. */
CKIT_API ckit_status ckit_backend_open(const char *url, const ckit_backend_env *env, ckit_backend **out,
                                       ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
