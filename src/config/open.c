#include "config/keys.h"

#include "backend/redis/store.h"
#include "cache/sealing.h"

#include <cachekit/file.h>
#include <cachekit/memory.h>
#include <cachekit/open.h>

static ckit_backend_env env_of(const ckiti_plan *plan) {
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    env.alloc = plan->cache.alloc;
    env.clock = plan->cache.clock;
    env.log = plan->cache.log;
    return env;
}

static ckit_status open_store(const ckiti_plan *plan, const ckit_backend_env *env, ckit_backend **out,
                              ckit_error *err) {
    if (plan->has_redis) { /* the cache has read the other parameters of the URL */
        return ckiti_redis_open_with(&plan->redis, env, &ckiti_redis_sockets, true, out, err);
    }
    return ckit_file_open(&plan->file, env, out, err);
}

/* Takes backend and ring in every case. */
static ckit_status open_cache(const ckiti_plan *plan, const ckiti_keys *keys, ckit_backend *backend, ckit_cache **out,
                              ckit_error *err) {
    ckit_status st = ckit_cache_new(&plan->cache, backend, out, err);
    ckit_keyring_close(keys->ring); /* the cache holds it */
    return st;
}

ckit_status ckit_cache_open(const char *url, const ckit_cache_options *options, ckit_cache **out, ckit_error *err) {
    ckiti_plan    plan;
    ckiti_keys    keys;
    ckit_backend *backend = NULL;
    if (out == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, "open", "no place for the cache");
    }
    *out = NULL;
    ckit_status st = ckiti_plan_make(&plan, url, options, NULL, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_plan_announce(&plan, NULL);
    st = ckiti_keys_open(&keys, &plan, NULL, err);
    if (st == CKIT_OK && (plan.has_store || plan.has_redis)) {
        ckit_backend_env env = env_of(&plan);
        st = open_store(&plan, &env, &backend, err);
        if (st != CKIT_OK) {
            ckit_keyring_close(keys.ring);
        }
    }
    return st == CKIT_OK ? open_cache(&plan, &keys, backend, out, err) : st;
}

ckit_status ckit_cache_open_over(ckit_backend *backend, const ckit_cache_options *options, ckit_cache **out,
                                 ckit_error *err) {
    ckiti_plan  plan;
    ckiti_keys  keys;
    ckit_status st = CKIT_E_MISUSE;
    if (out == NULL || backend == NULL) {
        (void)ckit_fail(err, st, "open", out == NULL ? "no place for the cache" : "no store");
    } else {
        *out = NULL;
        /* As over some other store, of which nothing is opened. */
        st = ckiti_plan_make(&plan, "file:///store", options, NULL, err);
        st = st == CKIT_OK ? ckiti_keys_open(&keys, &plan, NULL, err) : st;
    }
    if (st != CKIT_OK) {
        ckit_backend_close(backend);
        return st;
    }
    return open_cache(&plan, &keys, backend, out, err);
}

ckit_status ckit_backend_open(const char *url, const ckit_backend_env *env, ckit_backend **out, ckit_error *err) {
    ckiti_plan plan;
    if (out == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, "open", "no place for the store");
    }
    *out = NULL;
    ckit_status st = ckiti_plan_make_store(&plan, url, env, NULL, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_plan_announce(&plan, NULL);
    ckit_backend_env filled = env_of(&plan);
    if (plan.has_store || plan.has_redis) {
        return open_store(&plan, &filled, out, err);
    }
    ckit_memory_options memory = CKIT_MEMORY_OPTIONS_INIT;
    memory.max_bytes = plan.cache.l1_max_bytes;
    return ckit_memory_open(&memory, &filled, out, err);
}
