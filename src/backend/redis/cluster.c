#include "cluster.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "failure.h"

#include <cachekit/buf.h>
#include <string.h>

#define CLAIMED (UINT32_C(1) << 31) /* in `users` */
#define PACE_MS 100u
#define LONGEST_PACE_MS 1000u
#define VISIT_MS 10000u /* so long a node counts as one that calls are sent to, if the map does not have it */

/* ---- seats ------------------------------------------------------------------------------------------------------- */

/* The one place of a seat. */
static ckit_status resolve_seat(void *self, unsigned *attempt, uint64_t until_ms, ckiti_redis_endpoint *out,
                                ckit_error *err) {
    (void)until_ms;
    (void)err;
    *out = ((const ckiti_redis_seat *)self)->at;
    return *attempt == 0 ? CKIT_OK : CKIT_MISS;
}

static void seat_opened(void *self, const ckiti_redis_connection *c, const ckiti_redis_endpoint *at) {
    ckiti_redis_seat                   *seat = self;
    const ckiti_redis_cluster_observer *o = &seat->of->observer;
    (void)c;
    (void)at;
    if (o->opened != NULL) {
        o->opened(o->self, seat);
    }
}

ckiti_redis_dial ckiti_redis_cluster_dial(ckiti_redis_cluster *c, ckiti_redis_seat *seat) {
    return (ckiti_redis_dial){.address = c->address,
                              .streams = c->streams,
                              .resolver = {.resolve = resolve_seat, .self = seat},
                              .observer = {.opened = seat_opened, .self = seat},
                              .alloc = c->alloc};
}

static ckiti_redis_seat *seat_number(ckiti_redis_cluster *c, uint32_t number) {
    return atomic_load_explicit(&c->seats[number - 1], memory_order_acquire);
}

/* With the lock held. */
static uint32_t find_seat(ckiti_redis_cluster *c, const ckiti_redis_endpoint *at) {
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        const ckiti_redis_seat *seat = seat_number(c, i);
        if (seat->used && seat->at.port == at->port && strcmp(seat->at.host, at->host) == 0) {
            return i;
        }
    }
    return 0;
}

static bool is_led_to(const ckiti_redis_cluster *c, uint32_t number) {
    for (uint32_t s = 0; s < CKITI_REDIS_SLOTS; s++) {
        if (atomic_load_explicit(&c->slots[s], memory_order_relaxed) == number) {
            return true;
        }
    }
    return false;
}

/* With the lock held: ends nodes that have left the cluster and that nobody uses. */
static void sweep(ckiti_redis_cluster *c) {
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        ckiti_redis_seat *seat = seat_number(c, i);
        uint32_t          nobody = 0;
        if (!seat->used || seat->listed || is_led_to(c, i) ||
            !atomic_compare_exchange_strong(&seat->users, &nobody, CLAIMED)) {
            continue;
        }
        ckiti_redis_node_fini(&seat->node);
        seat->used = false;
        atomic_fetch_sub(&seat->users, CLAIMED);
    }
}

/* With the lock held: a seat that is not used, or 0. */
static uint32_t free_seat(ckiti_redis_cluster *c) {
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        if (!seat_number(c, i)->used) {
            return i;
        }
    }
    if (c->seat_count == CKITI_REDIS_SEATS) {
        return 0;
    }
    ckiti_redis_seat *seat = ckiti_alloc_zeroed(c->alloc, 1, sizeof *seat);
    if (seat == NULL) {
        return 0;
    }
    atomic_store_explicit(&c->seats[c->seat_count], seat, memory_order_release);
    return ++c->seat_count;
}

/* With the lock held: the seat of a node, made when there is none yet; 0 when it cannot be. */
static uint32_t make_seat(ckiti_redis_cluster *c, const ckiti_redis_endpoint *at) {
    uint32_t number = find_seat(c, at);
    if (number != 0 || atomic_load(&c->closing)) {
        return number;
    }
    number = free_seat(c);
    if (number == 0) {
        sweep(c);
        number = free_seat(c);
    }
    if (number == 0) {
        return 0;
    }
    ckiti_redis_seat *seat = seat_number(c, number);
    ckiti_redis_dial  dial = ckiti_redis_cluster_dial(c, seat);
    seat->of = c;
    seat->at = *at;
    seat->listed = seat->covered = false;
    seat->visited_ms = 0;
    if (ckiti_redis_node_init(&seat->node, &dial) != CKIT_OK) {
        ckiti_redis_node_fini(&seat->node);
        return 0;
    }
    seat->used = true;
    return number;
}

/* With the lock held: calls are led there from now on. */
static void led(ckiti_redis_cluster *c, const ckiti_redis_seat *seat) {
    if (!seat->covered) {
        atomic_fetch_add(&c->strays, 1);
        if (c->observer.slots != NULL) {
            c->observer.slots(c->observer.self);
        }
    }
}

void ckiti_redis_cluster_leave(ckiti_redis_seat *seat) {
    if (seat != NULL) {
        atomic_fetch_sub(&seat->users, 1);
    }
}

ckiti_redis_seat *ckiti_redis_cluster_route(ckiti_redis_cluster *c, uint16_t slot) {
    for (;;) {
        uint16_t number = atomic_load(&c->slots[slot]);
        if (number == 0) {
            return NULL;
        }
        ckiti_redis_seat *seat = seat_number(c, number);
        atomic_fetch_add(&seat->users, 1);
        if (atomic_load(&c->slots[slot]) == number) { /* from here on it is not ended */
            return seat;
        }
        ckiti_redis_cluster_leave(seat);
    }
}

ckiti_redis_seat *ckiti_redis_cluster_at(ckiti_redis_cluster *c, const ckiti_redis_endpoint *at, uint32_t slot) {
    ckiti_redis_seat *seat = NULL;
    pthread_mutex_lock(&c->lock);
    uint32_t number = make_seat(c, at);
    if (number != 0) {
        seat = seat_number(c, number);
        atomic_fetch_add(&seat->users, 1);
        if (slot < CKITI_REDIS_SLOTS) {
            atomic_store(&c->slots[slot], (uint16_t)number);
        }
        seat->visited_ms = ckiti_system_monotonic_ms();
        led(c, seat);
    }
    pthread_mutex_unlock(&c->lock);
    return seat;
}

/* With the lock held: number `n` of the masters, then the hosts of the configuration, then the replicas. */
static uint32_t candidate(ckiti_redis_cluster *c, uint32_t n) {
    uint32_t masters = 0;
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        masters += seat_number(c, i)->listed && masters <= n;
        if (masters > n) {
            return i;
        }
    }
    n -= masters;
    if (n < c->address->host_count) {
        return make_seat(c, &c->address->hosts[n]);
    }
    n -= (uint32_t)c->address->host_count;
    return n < c->spare_count ? make_seat(c, &c->spares[n]) : 0;
}

static uint32_t candidates(const ckiti_redis_cluster *c) {
    uint32_t count = (uint32_t)c->address->host_count + c->spare_count;
    for (uint32_t i = 0; i < c->seat_count; i++) {
        count += atomic_load(&c->seats[i])->listed;
    }
    return count;
}

ckiti_redis_seat *ckiti_redis_cluster_any(ckiti_redis_cluster *c) {
    ckiti_redis_seat *seat = NULL;
    pthread_mutex_lock(&c->lock);
    uint32_t number = candidate(c, c->turn++ % candidates(c));
    if (number != 0) {
        seat = seat_number(c, number);
        atomic_fetch_add(&seat->users, 1);
    }
    pthread_mutex_unlock(&c->lock);
    return seat;
}

uint32_t ckiti_redis_cluster_masters(ckiti_redis_cluster *c, ckiti_redis_seat **out) {
    uint32_t count = 0;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        ckiti_redis_seat *seat = seat_number(c, i);
        if (seat->listed) {
            atomic_fetch_add(&seat->users, 1);
            out[count++] = seat;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return count;
}

/* With the lock held. */
static bool is_wanted(const ckiti_redis_cluster *c, uint32_t number, uint64_t now_ms) {
    const ckiti_redis_seat *seat = atomic_load_explicit(&c->seats[number - 1], memory_order_acquire);
    bool                    visited = seat->visited_ms != 0 && now_ms - seat->visited_ms < VISIT_MS;
    return seat->used && (seat->listed || visited || is_led_to(c, number));
}

uint32_t ckiti_redis_cluster_wanted(ckiti_redis_cluster *c, ckiti_redis_seat **out) {
    uint32_t count = 0;
    uint64_t now = ckiti_system_monotonic_ms();
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        if (is_wanted(c, i, now)) {
            ckiti_redis_seat *seat = seat_number(c, i);
            atomic_fetch_add(&seat->users, 1);
            out[count++] = seat;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return count;
}

void ckiti_redis_cluster_cover(ckiti_redis_cluster *c, ckiti_redis_seat *seat) {
    pthread_mutex_lock(&c->lock);
    seat->covered = true;
    pthread_mutex_unlock(&c->lock);
}

bool ckiti_redis_cluster_uncover(ckiti_redis_cluster *c, ckiti_redis_seat *seat) {
    uint64_t now = ckiti_system_monotonic_ms();
    bool     wanted = false;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        wanted = wanted || (seat_number(c, i) == seat && is_wanted(c, i, now));
    }
    seat->covered = seat->covered && wanted;
    pthread_mutex_unlock(&c->lock);
    return !wanted;
}

void ckiti_redis_cluster_hurry(ckiti_redis_cluster *c) {
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        if (seat_number(c, i)->used) {
            ckiti_redis_node_hurry(&seat_number(c, i)->node);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

unsigned ckiti_redis_cluster_chances(const ckiti_redis_cluster *c) { return (unsigned)c->address->host_count + 2; }

/* ---- a new map --------------------------------------------------------------------------------------------------- */

/* With the lock held. Slots that the map does not have stay where they are. */
static bool apply(ckiti_redis_cluster *c, const ckiti_redis_map *map) {
    bool     changed = c->version == 0;
    uint16_t numbers[CKITI_REDIS_MASTERS + 1];
    if (atomic_load(&c->closing)) { /* who closes goes through the seats without the lock */
        return false;
    }
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        seat_number(c, i)->listed = false;
    }
    for (uint16_t m = 0; m < map->count; m++) {
        uint32_t number = make_seat(c, &map->masters[m]);
        numbers[m + 1] = (uint16_t)number;
        if (number != 0) {
            seat_number(c, number)->listed = true;
            led(c, seat_number(c, number));
        }
    }
    for (uint32_t s = 0; s < CKITI_REDIS_SLOTS; s++) {
        uint16_t number = map->owner[s] == 0 ? 0 : numbers[map->owner[s]];
        if (number != 0 && number != atomic_load_explicit(&c->slots[s], memory_order_relaxed)) {
            atomic_store(&c->slots[s], number);
            changed = true;
        }
    }
    memcpy(c->spares, map->spares, sizeof c->spares);
    c->spare_count = map->spare_count;
    c->version += changed;
    if (changed && c->observer.slots != NULL) {
        c->observer.slots(c->observer.self);
    }
    sweep(c);
    return changed;
}

static void write_slots(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    (void)call;
    ckiti_resp_command(w, 2);
    ckiti_resp_text(w, "CLUSTER");
    ckiti_resp_text(w, "SLOTS");
}

static void take_slots(ckiti_redis_call *call, const ckiti_resp_item *item) {
    if (!ckiti_redis_call_refused(call, item)) {
        ckiti_redis_map_take(&((ckiti_redis_map_call *)call)->map, item);
    }
}

static void begin_slots(ckiti_redis_call *call) {
    ckiti_redis_map_call *m = (ckiti_redis_map_call *)call;
    ckiti_redis_map_init(&m->map, m->cluster->alloc, m->seat->at.host);
}

static void prepare(ckiti_redis_map_call *m, ckiti_redis_cluster *c, ckiti_redis_seat *seat, uint64_t until_ms) {
    m->cluster = c;
    m->seat = seat;
    m->call = (ckiti_redis_call){.write = write_slots,
                                 .take = take_slots,
                                 .begin = begin_slots,
                                 .replies = 1,
                                 .err = &m->why,
                                 .until_ms = until_ms};
}

/* What came of it; applied when it is a map. */
static ckit_status conclude(ckiti_redis_map_call *m, ckit_status st, bool *changed) {
    ckiti_redis_cluster *c = m->cluster;
    *changed = false;
    if (st == CKIT_OK && m->map.status != CKIT_OK) {
        st = m->map.status == CKIT_E_NO_MEMORY ? ckiti_redis_no_memory(&m->why, "the map of the cluster")
                                               : ckiti_redis_garbage(&m->why, "a map of slots that is none");
    } else if (st == CKIT_OK && m->map.count == 0) {
        st = ckit_fail(&m->why, CKIT_E_SERVER, CKITI_REDIS_WHERE, "no node of the cluster serves any slot");
    }
    if (st == CKIT_OK) {
        pthread_mutex_lock(&c->lock);
        *changed = apply(c, &m->map);
        pthread_mutex_unlock(&c->lock);
    }
    return st;
}

/* In the thread of the node that was asked. */
static void finish_refresh(ckiti_redis_call *call) {
    ckiti_redis_map_call *m = (ckiti_redis_map_call *)call;
    ckiti_redis_cluster  *c = m->cluster;
    ckiti_redis_seat     *seat = m->seat;
    bool                  changed;
    (void)conclude(m, call->status, &changed);
    pthread_mutex_lock(&c->lock);
    c->pace_ms = changed ? PACE_MS : c->pace_ms * 2 < LONGEST_PACE_MS ? c->pace_ms * 2 : LONGEST_PACE_MS;
    c->next_ms = ckiti_system_monotonic_ms() + c->pace_ms;
    c->refreshing = false;
    pthread_mutex_unlock(&c->lock);
    ckiti_redis_cluster_leave(seat);
}

/* With the lock held. */
static bool may_refresh(ckiti_redis_cluster *c, uint64_t now_ms) {
    if (c->refreshing || atomic_load(&c->closing) || now_ms < c->next_ms) {
        return false;
    }
    if (now_ms > c->next_ms + UINT64_C(10) * LONGEST_PACE_MS) { /* it has been quiet */
        c->pace_ms = PACE_MS;
    }
    return true;
}

void ckiti_redis_cluster_notice(ckiti_redis_cluster *c, ckiti_redis_seat *hint) {
    uint64_t now = ckiti_system_monotonic_ms();
    pthread_mutex_lock(&c->lock);
    bool mine = may_refresh(c, now);
    if (mine) {
        c->refreshing = true;
    }
    pthread_mutex_unlock(&c->lock);
    if (!mine) {
        return;
    }
    ckiti_redis_seat *seat = hint;
    if (seat != NULL) {
        atomic_fetch_add(&seat->users, 1);
    } else {
        seat = ckiti_redis_cluster_any(c);
    }
    ckit_status st = CKIT_E_NO_MEMORY;
    if (seat != NULL) {
        prepare(&c->refresh, c, seat, ckiti_time_after(now, c->address->connect_timeout_ms));
        c->refresh.call.finish = finish_refresh;
        st = ckiti_redis_node_submit(&seat->node, &c->refresh.call);
    }
    if (st != CKIT_PENDING) {
        pthread_mutex_lock(&c->lock);
        c->next_ms = now + c->pace_ms;
        c->refreshing = false;
        pthread_mutex_unlock(&c->lock);
        ckiti_redis_cluster_leave(seat);
    }
}

ckit_status ckiti_redis_cluster_refresh(ckiti_redis_cluster *c, uint64_t until_ms, ckit_error *err) {
    ckiti_redis_map_call *m = ckiti_alloc_zeroed(c->alloc, 1, sizeof *m);
    if (m == NULL) {
        return ckiti_redis_no_memory(err, "the map of the cluster");
    }
    pthread_mutex_lock(&c->lock);
    uint32_t count = candidates(c);
    pthread_mutex_unlock(&c->lock);
    ckit_status st = CKIT_E_UNREACHABLE;
    for (uint32_t left = count; left > 0 && st != CKIT_OK; left--) {
        bool              changed;
        uint64_t          now = ckiti_system_monotonic_ms();
        uint64_t          share = ckiti_time_left(now, until_ms) / (left > 2 ? 3 : left);
        ckiti_redis_seat *seat = ckiti_redis_cluster_any(c);
        if (seat == NULL || share == 0) {
            ckiti_redis_cluster_leave(seat);
            st = seat == NULL ? ckiti_redis_no_memory(&m->why, "a node")
                              : ckiti_redis_late(&m->why, "asking for the map");
            break;
        }
        prepare(m, c, seat, ckiti_time_after(now, share));
        st = conclude(m, ckiti_redis_node_call(&seat->node, &m->call), &changed);
        ckiti_redis_cluster_leave(seat);
    }
    if (st != CKIT_OK && err != NULL) {
        *err = m->why;
    }
    ckiti_redis_map_fini(&m->map);
    ckiti_free(c->alloc, m, sizeof *m);
    return st;
}

uint32_t ckiti_redis_cluster_version(ckiti_redis_cluster *c, uint32_t *holes) {
    *holes = 0;
    for (uint32_t s = 0; s < CKITI_REDIS_SLOTS; s++) {
        *holes += atomic_load_explicit(&c->slots[s], memory_order_relaxed) == 0;
    }
    pthread_mutex_lock(&c->lock);
    uint32_t version = c->version;
    pthread_mutex_unlock(&c->lock);
    return version;
}

/* ---- making and ending ------------------------------------------------------------------------------------------- */

void ckiti_redis_cluster_init(ckiti_redis_cluster *c, const ckiti_redis_address *address,
                              const ckiti_redis_stream_ops *streams, const ckit_alloc *alloc) {
    c->address = address;
    c->streams = streams;
    c->alloc = alloc;
    c->pace_ms = PACE_MS;
    c->refresh.map.alloc = alloc;
    pthread_mutex_init(&c->lock, NULL);
    ckiti_redis_tags_make(c->tags);
}

/* First all threads end, then what they use. */
void ckiti_redis_cluster_fini(ckiti_redis_cluster *c) {
    if (c->address == NULL) {
        return;
    }
    pthread_mutex_lock(&c->lock); /* from here on nobody changes what seats there are */
    atomic_store(&c->closing, true);
    pthread_mutex_unlock(&c->lock);
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        if (seat_number(c, i)->used) {
            ckiti_redis_pump_stop(&seat_number(c, i)->node.pump);
        }
    }
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        if (seat_number(c, i)->used) {
            ckiti_redis_node_fini(&seat_number(c, i)->node);
        }
    }
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        ckiti_free(c->alloc, seat_number(c, i), sizeof(ckiti_redis_seat));
    }
    ckiti_redis_map_fini(&c->refresh.map);
    pthread_mutex_destroy(&c->lock);
    c->address = NULL;
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_redis_cluster_before_fork(ckiti_redis_cluster *c) {
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        if (seat_number(c, i)->used) {
            ckiti_redis_node_before_fork(&seat_number(c, i)->node);
        }
    }
}

void ckiti_redis_cluster_after_fork(ckiti_redis_cluster *c) {
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        if (seat_number(c, i)->used) {
            ckiti_redis_node_after_fork(&seat_number(c, i)->node);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

/* Those who used nodes are in the parent. The map is as true here as there. */
void ckiti_redis_cluster_in_child(ckiti_redis_cluster *c) {
    for (uint32_t i = 1; i <= c->seat_count; i++) {
        ckiti_redis_seat *seat = seat_number(c, i);
        atomic_store(&seat->users, 0);
        if (seat->used) {
            ckiti_redis_node_in_child(&seat->node);
        }
    }
    if (c->refreshing) { /* half of a map may stand there */
        c->refresh.map.masters = NULL;
        c->refresh.map.room = 0;
        c->refreshing = false;
    }
    pthread_mutex_unlock(&c->lock);
}
