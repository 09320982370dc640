#include "spread.h"

#include "base/alloc.h"

#include <cachekit/buf.h>
#include <errno.h>

/* Bundles that are under way in other threads. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t  open;
    uint32_t        left;
} gate;

/* The calls of one node as one. */
typedef struct bundle {
    ckiti_redis_call   call;
    ckiti_redis_call **calls;
    bool              *alone;
    uint16_t          *which; /* of the calls */
    size_t             count;
    size_t             at;   /* in `which`: whose reply comes next */
    uint32_t           left; /* of its replies; 0: not begun */
    ckiti_redis_seat  *seat; /* NULL: there is one server alone */
    gate              *gate;
    ckit_error         why;
} bundle;

/* ---- one bundle -------------------------------------------------------------------------------------------------- */

static void write_bundle(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const bundle *b = (const bundle *)call;
    for (size_t i = 0; i < b->count; i++) {
        const ckiti_redis_call *one = b->calls[b->which[i]];
        ckiti_redis_call_write(one, w);
    }
}

static void begin_bundle(ckiti_redis_call *call) {
    bundle *b = (bundle *)call;
    b->at = 0;
    b->left = 0;
    for (size_t i = 0; i < b->count; i++) {
        ckiti_redis_call_begin(b->calls[b->which[i]]);
        b->alone[b->which[i]] = false;
    }
}

/* The call whose reply comes now. */
static ckiti_redis_call *current(bundle *b) {
    ckiti_redis_call *one = b->calls[b->which[b->at]];
    uint32_t          replies = ckiti_redis_call_replies(one);
    b->left = b->left == 0 ? replies : b->left;
    one->got = replies - b->left;
    return one;
}

static void take_bundle(ckiti_redis_call *call, const ckiti_resp_item *item) {
    bundle                 *b = (bundle *)call;
    ckiti_redis_call       *one = current(b);
    ckiti_redis_redirection to;
    if (item->depth == 0 && item->type == CKITI_RESP_ERROR &&
        ckiti_redis_redirection_read(item->text, &to) != CKITI_REDIS_NOT_TURNED) {
        b->alone[b->which[b->at]] = true;
    } else if (one->got < one->replies) {
        one->take(one, item);
        call->strange = one->strange;
    }
    if (item->ends && --b->left == 0) {
        b->at++;
    }
}

static uint8_t *place_bundle(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_call *one = current((bundle *)call);
    return one->place == NULL ? NULL : one->place(one, item);
}

static void finish_bundle(ckiti_redis_call *call) {
    bundle           *b = (bundle *)call;
    ckiti_redis_seat *seat = b->seat;
    gate             *g = b->gate;
    pthread_mutex_lock(&g->lock);
    if (--g->left == 0) {
        pthread_cond_signal(&g->open);
    }
    pthread_mutex_unlock(&g->lock);
    ckiti_redis_cluster_leave(seat);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

typedef struct spreading {
    ckiti_redis_store *store;
    bundle            *bundles;
    size_t             count;
    uint16_t           of[CKITI_REDIS_PORTION];    /* whose bundle: its number, from 1 */
    uint16_t           which[CKITI_REDIS_PORTION]; /* of the bundles, one behind the other */
} spreading;

/* The bundle of the node that has the key, from 1; 0 when none is known, or when it must go alone. */
static uint16_t bundle_of(spreading *s, ckit_slice key) {
    if (s->store->cluster == NULL) {
        s->bundles[0] = (bundle){.seat = NULL};
        s->count = 1;
        return 1;
    }
    ckiti_redis_seat *seat = ckiti_redis_cluster_route(s->store->cluster, ckiti_redis_slot_of(s->store->prefix, key));
    if (seat == NULL) {
        return 0;
    }
    for (size_t i = 0; i < s->count; i++) {
        if (s->bundles[i].seat == seat) {
            ckiti_redis_cluster_leave(seat);
            return (uint16_t)(i + 1);
        }
    }
    s->bundles[s->count] = (bundle){.seat = seat};
    return (uint16_t)++s->count;
}

static void fill(spreading *s, ckiti_redis_call **calls, bool *alone, size_t count, const ckiti_redis_call *limits,
                 gate *g) {
    size_t at = 0;
    for (size_t b = 0; b < s->count; b++) {
        bundle *one = &s->bundles[b];
        one->call = (ckiti_redis_call){.write = write_bundle,
                                       .take = take_bundle,
                                       .place = place_bundle,
                                       .begin = begin_bundle,
                                       .finish = finish_bundle,
                                       .until_ms = limits->until_ms,
                                       .patient = limits->patient,
                                       .err = &one->why};
        one->calls = calls;
        one->alone = alone;
        one->gate = g;
        one->which = s->which + at;
        for (size_t i = 0; i < count; i++) {
            if (s->of[i] == b + 1) {
                s->which[at++] = (uint16_t)i;
                one->count++;
                one->call.once |= calls[i]->once;
                one->call.replies += ckiti_redis_call_replies(calls[i]);
            }
        }
    }
}

/* The nodes' own threads serve all bundles but the first, which this thread serves itself. */
static void run_bundles(spreading *s, gate *g) {
    bool         mine[CKITI_REDIS_PORTION];
    const size_t count = s->count;
    for (size_t b = 0; b < count; b++) {
        mine[b] = true;
        if (b > 0) {
            pthread_mutex_lock(&g->lock);
            g->left++;
            pthread_mutex_unlock(&g->lock);
            mine[b] = ckiti_redis_node_submit(&s->bundles[b].seat->node, &s->bundles[b].call) != CKIT_PENDING;
            pthread_mutex_lock(&g->lock);
            g->left -= mine[b];
            pthread_mutex_unlock(&g->lock);
        }
    }
    for (size_t b = 0; b < count; b++) {
        if (mine[b]) {
            ckiti_redis_seat *seat = s->bundles[b].seat;
            s->bundles[b].call.finish = NULL;
            (void)ckiti_redis_node_call(seat != NULL ? &seat->node : &s->store->node, &s->bundles[b].call);
            if (seat != NULL) {
                ckiti_redis_cluster_leave(seat);
            }
        }
    }
    pthread_mutex_lock(&g->lock);
    while (g->left > 0) {
        pthread_cond_wait(&g->open, &g->lock);
    }
    pthread_mutex_unlock(&g->lock);
}

/* What failed as a whole failed for each of its calls. */
static ckit_status conclude(spreading *s, ckit_error *err) {
    size_t        failed = 0;
    const bundle *first = NULL;
    for (size_t b = 0; b < s->count; b++) {
        bundle *one = &s->bundles[b];
        for (size_t i = 0; one->call.unheard && i < one->count; i++) {
            one->calls[one->which[i]]->unheard = true;
        }
        if (one->call.status < CKIT_E_FIRST) {
            continue;
        }
        failed++;
        first = first == NULL || first->why.sys_errno == EAGAIN ? one : first; /* rather one that has news */
        for (size_t i = 0; i < one->count; i++) {
            one->calls[one->which[i]]->status = one->call.status;
            one->alone[one->which[i]] = false;
        }
    }
    if (failed > 0 && s->store->cluster != NULL) {
        ckiti_redis_cluster_notice(s->store->cluster, NULL);
    }
    if (failed == 0 || failed < s->count) {
        return CKIT_OK;
    }
    if (err != NULL) {
        *err = first->why;
    }
    return first->call.status;
}

/* Without a map every call would have to be turned away first. */
static ckit_status need_map(ckiti_redis_store *store, uint64_t until_ms, ckit_error *err) {
    uint32_t holes;
    return store->cluster == NULL || ckiti_redis_cluster_version(store->cluster, &holes) > 0
               ? CKIT_OK
               : ckiti_redis_cluster_refresh(store->cluster, until_ms, err);
}

ckit_status ckiti_redis_spread(ckiti_redis_store *store, const ckit_slice *keys, ckiti_redis_call **calls, bool *alone,
                               size_t count, uint64_t deadline_ms, ckit_error *err) {
    spreading        s = {.store = store};
    gate             g = {.left = 0};
    ckiti_redis_call limits = {.err = NULL};
    ckit_status      st = ckiti_redis_limit(store, &limits, deadline_ms, err);
    if (st == CKIT_OK) {
        st = need_map(store, limits.until_ms, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    s.bundles = ckiti_alloc(store->alloc, count * sizeof *s.bundles);
    if (s.bundles == NULL) {
        return ckiti_redis_no_memory(err, "calls to the nodes");
    }
    for (size_t i = 0; i < count; i++) {
        s.of[i] = calls[i] == NULL || calls[i]->large ? 0 : bundle_of(&s, keys[i]);
        alone[i] = calls[i] != NULL && s.of[i] == 0;
    }
    pthread_mutex_init(&g.lock, NULL);
    pthread_cond_init(&g.open, NULL);
    fill(&s, calls, alone, count, &limits, &g);
    run_bundles(&s, &g);
    pthread_cond_destroy(&g.open);
    pthread_mutex_destroy(&g.lock);
    st = conclude(&s, err);
    for (size_t i = 0; i < count; i++) { /* those that go alone may go well */
        st = alone[i] ? CKIT_OK : st;
    }
    ckiti_free(store->alloc, s.bundles, count * sizeof *s.bundles);
    return st;
}
