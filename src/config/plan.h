/* config/plan.h - opening a cache up to the point where something is opened: which store, with which options. */
#ifndef CKITI_CONFIG_PLAN_H
#define CKITI_CONFIG_PLAN_H

#include "config/tenant.h"

#include <cachekit/cache.h>
#include <cachekit/file.h>
#include <cachekit/redis.h>
#include <cachekit/settings.h>

/* The options point into the plan (and at what the caller's options point at). */
typedef struct ckiti_plan {
    ckit_settings      settings;
    ckit_cache_options cache;     /* complete: no field is left to a default of the cache, but alloc, clock and log */
    ckit_guard_options guard;     /* what cache.guard points at, when there is a store behind a cache */
    bool               alone;     /* the store without a cache in front of it */
    bool               has_store; /* files; otherwise memory, or Redis */
    ckit_file_options  file;      /* when has_store */
    bool               has_redis;
    ckit_redis_options redis;                       /* when has_redis; the URL is the caller's, or the environment's */
    char               prefix[CKITI_TENANT_PREFIX]; /* what redis.key_prefix points at when entries are a tenant's */
    const char        *reason;                      /* what chose the store, for people */
    ckit_log           log;                         /* what cache.log points at; cache and store copy it */
} ckiti_plan;

/* `url` NULL = the environment decides; `options` may be NULL. Touches nothing but the name of the default directory
 * and allocates nothing. */
ckit_status ckiti_plan_make(ckiti_plan *plan, const char *url, const ckit_cache_options *options,
                            const char *const *environment, ckit_error *err);

/* The same for the store alone: no store is chosen by default (CKIT_E_NO_URL), and what keeps a cache from writing in
 * the clear does not matter. `env` may be NULL. */
ckit_status ckiti_plan_make_store(ckiti_plan *plan, const char *url, const ckit_backend_env *env,
                                  const char *const *environment, ckit_error *err);

/* One information line about the choice, and advice about variables that are not read. */
void ckiti_plan_announce(const ckiti_plan *plan, const char *const *environment);

#endif
