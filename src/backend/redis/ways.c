/* The way from a key to a server: one server, the master that sentinels name, or the nodes of a cluster. */
#include "publish.h"
#include "store.h"

#include "base/alloc.h"
#include "base/log.h"

#include <cachekit/buf.h>

/* The only server there is. */
static ckit_status resolve_single(void *self, unsigned *attempt, uint64_t until_ms, ckiti_redis_endpoint *out,
                                  ckit_error *err) {
    (void)until_ms;
    (void)err;
    *out = ((const ckiti_redis_address *)self)->hosts[0];
    return *attempt == 0 ? CKIT_OK : CKIT_MISS;
}

static bool can_watch(const ckiti_redis_address *a) {
    return a->invalidation != CKIT_REDIS_INVALIDATION_OFF && (a->kind != CKITI_REDIS_CLUSTER || a->protocol != 2);
}

static ckit_status open_cluster(ckiti_redis_store *store, const ckiti_redis_stream_ops *streams, ckit_error *err) {
    bool braces = memchr(store->prefix.ptr, '{', store->prefix.len) != NULL;
    bool tagged = ckiti_redis_has_tag(store->prefix);
    if (braces && !tagged) {
        return ckit_fail(
            err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE,
            "key_prefix has '{' without something and '}' behind it: a cluster could not keep together what "
            "belongs to one entry");
    }
    store->cluster = ckiti_alloc_zeroed(store->alloc, 1, sizeof *store->cluster);
    if (store->cluster == NULL) {
        return ckiti_redis_no_memory(err, "a store");
    }
    ckiti_redis_cluster_init(store->cluster, &store->address, streams, store->alloc);
    store->naming.tags = tagged ? NULL : store->cluster->tags; /* such a prefix puts everything into one slot */
    if (!can_watch(&store->address)) {
        return CKIT_OK;
    }
    store->lookout = ckiti_alloc_zeroed(store->alloc, 1, sizeof *store->lookout);
    if (store->lookout == NULL) {
        return ckiti_redis_no_memory(err, "a store");
    }
    ckiti_redis_lookout_init(store->lookout, store->cluster, &store->log);
    return CKIT_OK;
}

/* ---- changes made elsewhere -------------------------------------------------------------------------------------- */

/* An operation has a new connection. Where somebody watches, it is the watch that finds out whether there is
 * tracking. */
static void on_open(void *self, const ckiti_redis_connection *c, const ckiti_redis_endpoint *at) {
    ckiti_redis_store *store = self;
    int                unknown = CKITI_REDIS_MAYBE;
    bool               watches = store->watch != NULL && store->watch->sink != NULL;
    if (c->protocol == 2 || !watches) {
        atomic_compare_exchange_strong(&store->publishing, &unknown,
                                       c->protocol == 2 ? CKITI_REDIS_PUBLISHES : CKITI_REDIS_SILENT);
    }
    if (watches) {
        ckiti_redis_watch_reached(store->watch, at);
    }
}

void ckiti_redis_count_message(ckiti_redis_store *store, bool refused, int64_t heard) {
    const ckit_watch_sink *sink = store->watch != NULL ? store->watch->sink : NULL;
    if (refused) {
        ckiti_log(&store->log, CKIT_LOG_WARNING, CKITI_REDIS_WHERE,
                  "a message about a change was not passed on: other processes may keep outdated copies");
    }
    if (sink != NULL && sink->counted != NULL) {
        sink->counted(sink->self, refused      ? CKIT_WATCH_UNPUBLISHED
                                  : heard == 0 ? CKIT_WATCH_UNHEARD
                                               : CKIT_WATCH_PUBLISHED);
    }
}

static void on_published(void *self, const ckiti_resp_item *item) {
    if (item->depth == 0) {
        ckiti_redis_count_message(self, item->type == CKITI_RESP_ERROR, item->integer);
    }
}

static ckit_status make_watch(ckiti_redis_store *store, const ckiti_redis_dial *dial) {
    if (!can_watch(&store->address)) {
        return CKIT_OK;
    }
    store->watch = ckiti_alloc_zeroed(store->alloc, 1, sizeof *store->watch);
    return store->watch == NULL ? CKIT_E_NO_MEMORY
                                : ckiti_redis_watch_init(store->watch, dial, &store->log, &store->publishing);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

ckit_status ckiti_redis_ways_open(ckiti_redis_store *store, const ckiti_redis_stream_ops *streams, ckit_error *err) {
    ckiti_redis_dial dial = {.address = &store->address,
                             .streams = streams,
                             .resolver = {.resolve = resolve_single, .self = &store->address},
                             .gathers = true,
                             .alloc = store->alloc};
    store->naming.prefix = store->prefix;
    if (store->address.kind == CKITI_REDIS_CLUSTER) {
        return open_cluster(store, streams, err);
    }
    if (store->address.kind == CKITI_REDIS_SENTINEL) {
        store->sentinel = ckiti_alloc_zeroed(store->alloc, 1, sizeof *store->sentinel);
        if (store->sentinel == NULL) {
            return ckiti_redis_no_memory(err, "a store");
        }
        ckiti_redis_sentinel_init(store->sentinel, &store->address, streams, store->alloc);
        dial.resolver = ckiti_redis_sentinel_resolver(store->sentinel);
        dial.masters_only = true;
    }
    dial.observer = (ckiti_redis_observer){.opened = on_open, .published = on_published, .self = store};
    ckit_status st = ckiti_redis_node_init(&store->node, &dial);
    st = st == CKIT_OK ? make_watch(store, &dial) : st;
    return st == CKIT_OK ? CKIT_OK : ckiti_redis_no_memory(err, "a store");
}

void ckiti_redis_ways_close(ckiti_redis_store *store) {
    ckiti_redis_node_fini(&store->node); /* first: whoever still connects there tells the watch */
    if (store->watch != NULL) {          /* before the sentinels that it asks */
        ckiti_redis_watch_fini(store->watch);
        ckiti_free(store->alloc, store->watch, sizeof *store->watch);
    }
    if (store->sentinel != NULL) {
        ckiti_redis_sentinel_fini(store->sentinel);
        ckiti_free(store->alloc, store->sentinel, sizeof *store->sentinel);
    }
    if (store->lookout != NULL) {
        ckiti_redis_lookout_stop(store->lookout);
    }
    if (store->cluster != NULL) {
        ckiti_redis_cluster_fini(store->cluster);
        ckiti_free(store->alloc, store->cluster, sizeof *store->cluster);
    }
    if (store->lookout != NULL) {
        ckiti_redis_lookout_fini(store->lookout);
        ckiti_free(store->alloc, store->lookout, sizeof *store->lookout);
    }
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_redis_ways_before_fork(ckiti_redis_store *store) {
    if (store->cluster != NULL) {
        ckiti_redis_cluster_before_fork(store->cluster);
        if (store->lookout != NULL) {
            ckiti_redis_lookout_before_fork(store->lookout);
        }
        return;
    }
    ckiti_redis_node_before_fork(&store->node);
    if (store->sentinel != NULL) {
        pthread_mutex_lock(&store->sentinel->lock);
    }
}

void ckiti_redis_ways_in_parent(ckiti_redis_store *store) {
    if (store->lookout != NULL) {
        ckiti_redis_lookout_after_fork(store->lookout);
    }
    if (store->cluster != NULL) {
        ckiti_redis_cluster_after_fork(store->cluster);
        return;
    }
    if (store->sentinel != NULL) {
        pthread_mutex_unlock(&store->sentinel->lock);
    }
    ckiti_redis_node_after_fork(&store->node);
}

void ckiti_redis_ways_in_child(ckiti_redis_store *store) {
    if (store->cluster != NULL) {
        ckiti_redis_cluster_in_child(store->cluster); /* nobody has a seat there any more */
        if (store->lookout != NULL) {
            ckiti_redis_lookout_in_child(store->lookout);
        }
        return;
    }
    if (store->sentinel != NULL) {
        pthread_mutex_unlock(&store->sentinel->lock);
    }
    ckiti_redis_node_in_child(&store->node);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

ckit_status ckiti_redis_perform(ckiti_redis_store *store, ckit_slice key, ckiti_redis_call *call,
                                uint64_t deadline_ms) {
    ckit_status st = ckiti_redis_limit(store, call, deadline_ms, call->err);
    if (st != CKIT_OK) {
        return st;
    }
    return store->cluster == NULL
               ? ckiti_redis_node_call(&store->node, call)
               : ckiti_redis_cluster_call(store->cluster, ckiti_redis_slot_of(store->prefix, key), call);
}

ckit_status ckiti_redis_hand_over(ckiti_redis_store *store, ckit_slice key, ckiti_redis_call *call,
                                  ckiti_redis_turn_call *turn) {
    return store->cluster == NULL
               ? ckiti_redis_node_submit(&store->node, call)
               : ckiti_redis_cluster_submit(store->cluster, ckiti_redis_slot_of(store->prefix, key), call, turn);
}

void ckiti_redis_ways_hurry(ckiti_redis_store *store) {
    if (store->cluster == NULL) {
        ckiti_redis_node_hurry(&store->node);
    } else {
        ckiti_redis_cluster_hurry(store->cluster);
    }
}

void ckiti_redis_ways_count(ckiti_redis_store *store, uint32_t *all, uint32_t *taken) {
    if (store->cluster == NULL) {
        ckiti_redis_node_count(&store->node, all, taken);
        return;
    }
    ckiti_redis_seat *seats[CKITI_REDIS_SEATS];
    uint32_t          count = ckiti_redis_cluster_masters(store->cluster, seats);
    *all = *taken = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t some, used;
        ckiti_redis_node_count(&seats[i]->node, &some, &used);
        *all += some;
        *taken += used;
        ckiti_redis_cluster_leave(seats[i]);
    }
}
