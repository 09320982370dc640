/* store.h - the Redis store as its own files see it. */
#ifndef CKITI_REDIS_STORE_H
#define CKITI_REDIS_STORE_H

#include "base/clock.h"
#include "base/fork.h"
#include "failure.h"
#include "lookout.h"
#include "names.h"
#include "node.h"
#include "redirect.h"
#include "sentinel.h"
#include "submit.h"
#include "watch.h"

#define CKITI_REDIS_MAX_KEY_BYTES 65536u
#define CKITI_REDIS_REMEMBERED 1024u

typedef struct ckiti_redis_store {
    ckiti_redis_address     address;
    struct ckiti_redis_tls *tls;    /* NULL: nothing is encrypted */
    ckit_slice              prefix; /* in address */
    ckiti_redis_naming      naming;
    const ckit_alloc       *alloc;
    const ckit_clock       *clock;
    ckit_log                log;
    ckiti_redis_cluster    *cluster;  /* NULL: there is one server, `node` */
    ckiti_redis_sentinel   *sentinel; /* NULL: no sentinels */
    ckiti_redis_node        node;
    ckiti_redis_spare       spare;
    ckiti_redis_watch      *watch;      /* NULL: nobody hears of changes here, or `lookout` does */
    ckiti_redis_lookout    *lookout;    /* of a cluster */
    _Atomic int             publishing; /* publish.h */
    ckiti_fork_hooks        fork_hooks;
    uint64_t                seed;
    /* Keys whose values were large when last seen, by hash: such values are fetched apart from the others. */
    _Atomic uint32_t large[CKITI_REDIS_REMEMBERED];
} ckiti_redis_store;

/* ckit_redis_open over other streams; with `others` parameters of the URL that are not this store's are passed over. */
ckit_status ckiti_redis_open_with(const ckit_redis_options *options, const ckit_backend_env *env,
                                  const ckiti_redis_stream_ops *streams, bool others, ckit_backend **out,
                                  ckit_error *err);

/* ---- what operations begin with ---------------------------------------------------------------------------------- */

/* Refuses keys outside 1 byte .. 64 KiB. */
ckit_status ckiti_redis_check_key(ckit_slice key, ckit_error *err);
ckit_status ckiti_redis_check_value(const ckiti_redis_store *store, ckit_slice value, ckit_error *err);
/* Puts the deadline, which is one of the store's clock, into the call. CKIT_E_TIMEOUT when it has passed. */
ckit_status ckiti_redis_limit(const ckiti_redis_store *store, ckiti_redis_call *call, uint64_t deadline_ms,
                              ckit_error *err);
/* ckiti_redis_limit, then the call, on the server that has `key`: at most CKITI_REDIS_TURNABLE replies. */
ckit_status ckiti_redis_perform(ckiti_redis_store *store, ckit_slice key, ckiti_redis_call *call, uint64_t deadline_ms);

bool ckiti_redis_was_large(const ckiti_redis_store *store, ckit_slice key);
void ckiti_redis_remember_size(ckiti_redis_store *store, ckit_slice key, uint64_t bytes);

/* Counts a message that was published, by the server's reply: how many heard it, or an error (`refused`). */
void ckiti_redis_count_message(ckiti_redis_store *store, bool refused, int64_t heard);

/* ---- the way to servers (ways.c) --------------------------------------------------------------------------------- */

ckit_status ckiti_redis_ways_open(ckiti_redis_store *store, const ckiti_redis_stream_ops *streams, ckit_error *err);
/* Accepts what was opened halfway, or not at all. */
void ckiti_redis_ways_close(ckiti_redis_store *store);
void ckiti_redis_ways_before_fork(ckiti_redis_store *store);
void ckiti_redis_ways_in_parent(ckiti_redis_store *store);
void ckiti_redis_ways_in_child(ckiti_redis_store *store);
/* Ends pauses between attempts to connect. */
void ckiti_redis_ways_hurry(ckiti_redis_store *store);
/* How many connections there are, and how many are in use at this moment. */
void ckiti_redis_ways_count(ckiti_redis_store *store, uint32_t *all, uint32_t *taken);
/* Hands a call over to the server that has `key`; `turn` lasts until call->finish is told. CKIT_PENDING, or why it was
 * not taken. */
ckit_status ckiti_redis_hand_over(ckiti_redis_store *store, ckit_slice key, ckiti_redis_call *call,
                                  ckiti_redis_turn_call *turn);

/* ---- operations -------------------------------------------------------------------------------------------------- */

ckit_status ckiti_redis_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                            ckit_error *err);
ckit_status ckiti_redis_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                            uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_redis_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_redis_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_redis_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err);
ckit_status ckiti_redis_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_redis_get_many(void *self, const ckit_slice *keys, size_t count, uint64_t deadline_ms, ckit_buf *out,
                                 uint64_t *life_ms, ckit_status *answers, ckit_error *err);
ckit_status ckiti_redis_set_many(void *self, const ckit_slice *keys, const ckit_slice *values,
                                 const ckit_entry_info *infos, size_t count, uint64_t deadline_ms, ckit_status *answers,
                                 ckit_error *err);
ckit_status ckiti_redis_submit(void *self, ckit_request *request, ckit_error *err);
ckit_status ckiti_redis_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each,
                             void *context, ckit_error *err);
ckit_status ckiti_redis_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                     ckit_error *err);
ckit_status ckiti_redis_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                                 ckit_error *err);
ckit_status ckiti_redis_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                   uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_redis_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                     ckit_error *err);
ckit_status ckiti_redis_replace(void *self, ckit_slice key, ckit_slice expected, ckit_slice value, uint64_t deadline_ms,
                                ckit_error *err);
ckit_status ckiti_redis_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                     const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_redis_lock_try_many(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                                      uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers, ckit_error *err);
ckit_status ckiti_redis_lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                        uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
ckit_status ckiti_redis_lock_release_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                          uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
ckit_status ckiti_redis_set_many_if_owner(void *self, const ckit_slice *keys, const ckit_slice *values,
                                          const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                          uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
void        ckiti_redis_health(void *self, uint64_t deadline_ms, ckit_health *out);
ckit_status ckiti_redis_stats(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context,
                              int64_t *since_wall_ms, ckit_error *err);

#endif
