#include "lookout.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "failure.h"

#include <signal.h>
#include <string.h>

typedef ckiti_redis_lookout_member member;

/* ---- what the watches and the cluster tell ----------------------------------------------------------------------- */

static void rouse(ckiti_redis_lookout *l) {
    pthread_mutex_lock(&l->lock);
    l->dirty = true;
    pthread_cond_signal(&l->word);
    pthread_mutex_unlock(&l->lock);
}

static void member_changed(void *self, ckit_slice key) {
    const ckit_watch_sink *sink = ((member *)self)->of->sink;
    sink->changed(sink->self, key);
}

static void member_call_changed(void *self, ckit_slice namespace_name, ckit_slice hash) {
    const ckit_watch_sink *sink = ((member *)self)->of->sink;
    sink->call_changed(sink->self, namespace_name, hash);
}

static void member_scope_changed(void *self, const ckit_scope *scope) {
    const ckit_watch_sink *sink = ((member *)self)->of->sink;
    sink->scope_changed(sink->self, scope);
}

/* At once: before this link is a new one, over which something later could be told. */
static void member_lost(void *self) {
    member              *m = self;
    ckiti_redis_lookout *l = m->of;
    atomic_store(&m->guarded, false);
    atomic_fetch_add(&l->losses, 1);
    pthread_mutex_lock(&l->telling);
    if (atomic_exchange(&l->guarded, false)) {
        l->sink->lost(l->sink->self);
    }
    pthread_mutex_unlock(&l->telling);
    rouse(l);
}

/* Before this link tells anything: what was read while there was none may be older than that, and other nodes may be
 * away for long, so that the whole is not guarded yet. */
static void member_guarded(void *self, unsigned what) {
    member              *m = self;
    ckiti_redis_lookout *l = m->of;
    (void)what; /* all that tracking can */
    pthread_mutex_lock(&l->telling);
    if (!atomic_load(&l->guarded) || atomic_load(&l->cluster->strays) != l->seen_strays) {
        atomic_store(&l->guarded, false);
        l->sink->lost(l->sink->self);
    }
    pthread_mutex_unlock(&l->telling);
    atomic_store(&m->guarded, true);
    rouse(l);
}

/* With the cluster's lock held. */
static void on_slots(void *self) { rouse(self); }

static void on_open(void *self, const ckiti_redis_seat *seat) {
    ckiti_redis_lookout *l = self;
    pthread_mutex_lock(&l->lock);
    for (member *m = l->members; m != NULL; m = m->next) {
        if (m->seat == seat) {
            ckiti_redis_watch_reached(&m->watch, &seat->at);
        }
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

static member *member_of(const ckiti_redis_lookout *l, const ckiti_redis_seat *seat) {
    member *m = l->members;
    while (m != NULL && m->seat != seat) {
        m = m->next;
    }
    return m;
}

/* Its thread and link have ended, or never were. */
static void free_member(ckiti_redis_lookout *l, member *m) {
    ckiti_redis_watch_fini(&m->watch);
    ckiti_redis_cluster_leave(m->seat);
    ckiti_free(l->cluster->alloc, m, sizeof *m);
}

/* Takes over the caller's hold of the seat. False when there is no memory. */
static bool add_member(ckiti_redis_lookout *l, ckiti_redis_seat *seat) {
    member *m = ckiti_alloc_zeroed(l->cluster->alloc, 1, sizeof *m);
    if (m == NULL) {
        ckiti_redis_cluster_leave(seat);
        return false;
    }
    ckiti_redis_dial dial = ckiti_redis_cluster_dial(l->cluster, seat);
    m->of = l;
    m->seat = seat;
    m->wanted = true;
    m->sink = (ckit_watch_sink){.self = m,
                                .changed = member_changed,
                                .call_changed = member_call_changed,
                                .scope_changed = member_scope_changed,
                                .lost = member_lost,
                                .guarded = member_guarded};
    if (ckiti_redis_watch_init(&m->watch, &dial, l->log, &m->publishing) != CKIT_OK) {
        free_member(l, m);
        return false;
    }
    m->watch.only_tracking = true;
    ckiti_redis_watch_begin(&m->watch, &m->sink);
    pthread_mutex_lock(&l->lock);
    m->next = l->members;
    l->members = m;
    pthread_mutex_unlock(&l->lock);
    return true;
}

static void remove_member(ckiti_redis_lookout *l, member *gone) {
    pthread_mutex_lock(&l->lock);
    member **place = &l->members;
    while (*place != gone) {
        place = &(*place)->next;
    }
    *place = gone->next;
    pthread_mutex_unlock(&l->lock);
    free_member(l, gone);
}

/* Makes the members those that are wanted; false when one is missing. *left: one is not watched any more. */
static bool follow_map(ckiti_redis_lookout *l, bool *left) {
    bool     whole = true;
    uint32_t count = ckiti_redis_cluster_wanted(l->cluster, l->seats);
    for (member *m = l->members; m != NULL; m = m->next) {
        m->wanted = false;
    }
    for (uint32_t i = 0; i < count; i++) {
        member *m = member_of(l, l->seats[i]);
        if (m != NULL) {
            m->wanted = true;
            ckiti_redis_cluster_leave(l->seats[i]); /* it has a hold already */
        } else {
            whole = add_member(l, l->seats[i]) && whole;
        }
    }
    for (member *m = l->members, *next; m != NULL; m = next) {
        next = m->next;
        if (!m->wanted && ckiti_redis_cluster_uncover(l->cluster, m->seat)) {
            *left = true;
            remove_member(l, m);
        } else {
            ckiti_redis_watch_wake(&m->watch);
        }
    }
    return whole && count > 0;
}

/* ---- what it amounts to ------------------------------------------------------------------------------------------ */

static bool all_guarded(const ckiti_redis_lookout *l) {
    for (const member *m = l->members; m != NULL; m = m->next) {
        if (!atomic_load(&m->guarded)) {
            return false;
        }
    }
    return true;
}

static void cover_all(const ckiti_redis_lookout *l) {
    for (const member *m = l->members; m != NULL; m = m->next) {
        ckiti_redis_cluster_cover(l->cluster, m->seat);
    }
}

/* What happens after one of the counts has been read the second time shows in the next round. */
static void judge(ckiti_redis_lookout *l) {
    uint32_t holes;
    bool     left = false;
    uint64_t strays = atomic_load(&l->cluster->strays);
    uint64_t losses = atomic_load(&l->losses);
    bool     mapped = ckiti_redis_cluster_version(l->cluster, &holes) > 0 && holes == 0;
    bool     whole = follow_map(l, &left) && mapped && all_guarded(l);
    if (whole) {
        cover_all(l); /* from here on only what is news to us counts as astray */
    }
    pthread_mutex_lock(&l->telling);
    bool changed = left || strays != l->seen_strays || losses != l->seen_losses;
    if ((!whole || changed) && atomic_exchange(&l->guarded, false)) {
        l->sink->lost(l->sink->self);
    }
    bool settled = losses == atomic_load(&l->losses) && strays == atomic_load(&l->cluster->strays);
    if (whole && settled && !atomic_load(&l->guarded)) {
        atomic_store(&l->guarded, true);
        l->seen_strays = strays;
        l->seen_losses = losses;
        l->sink->guarded(l->sink->self, CKIT_GUARDS_READS | CKIT_GUARDS_WRITES);
    }
    pthread_mutex_unlock(&l->telling);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* Waits for something to look at; false at the end. */
static bool await_turn(ckiti_redis_lookout *l) {
    uint64_t        wait_ms = atomic_load(&l->guarded) ? CKITI_REDIS_LOOKOUT_MAP_MS : CKITI_REDIS_LOOKOUT_RETRY_MS;
    uint64_t        next = ckiti_system_monotonic_ms() + wait_ms;
    struct timespec until = {.tv_sec = (time_t)(next / 1000), .tv_nsec = (long)(next % 1000) * 1000000};
    int             code = 0;
    pthread_mutex_lock(&l->lock);
    while (!l->stop && !l->dirty && code == 0) {
        code = pthread_cond_timedwait(&l->word, &l->lock, &until);
    }
    l->dirty = false;
    bool go = !l->stop;
    pthread_mutex_unlock(&l->lock);
    if (go && code != 0) {
        ckiti_redis_cluster_notice(l->cluster, NULL);
    }
    return go;
}

static void *run(void *arg) {
    ckiti_redis_lookout *l = arg;
    do {
        judge(l);
    } while (await_turn(l));
    return NULL;
}

/* The program's signals are not for this thread. */
void ckiti_redis_lookout_start(ckiti_redis_lookout *l) {
    sigset_t all, before;
    if (!atomic_exchange(&l->due, false)) {
        return;
    }
    sigfillset(&all);
    pthread_mutex_lock(&l->lock);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = l->running || l->stop ? 0 : pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->running = l->running || (code == 0 && !l->stop);
    pthread_mutex_unlock(&l->lock);
    if (code != 0) { /* memory keeps copies for a second until there is a thread */
        atomic_store(&l->due, true);
    }
}

/* ---- beginning and ending ---------------------------------------------------------------------------------------- */

void ckiti_redis_lookout_init(ckiti_redis_lookout *l, ckiti_redis_cluster *c, const ckit_log *log) {
    l->cluster = c;
    l->log = log;
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->telling, NULL);
    ckiti_cond_init(&l->word);
    c->observer = (ckiti_redis_cluster_observer){.slots = on_slots, .opened = on_open, .self = l};
}

void ckiti_redis_lookout_begin(ckiti_redis_lookout *l, const ckit_watch_sink *sink) {
    l->sink = sink;
    atomic_store(&l->due, true);
}

void ckiti_redis_lookout_stop(ckiti_redis_lookout *l) {
    pthread_mutex_lock(&l->lock);
    bool running = l->running;
    l->stop = true;
    pthread_cond_signal(&l->word);
    pthread_mutex_unlock(&l->lock);
    if (running) {
        pthread_join(l->thread, NULL);
    }
    while (l->members != NULL) {
        remove_member(l, l->members);
    }
}

void ckiti_redis_lookout_fini(ckiti_redis_lookout *l) {
    pthread_cond_destroy(&l->word);
    pthread_mutex_destroy(&l->telling);
    pthread_mutex_destroy(&l->lock);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_redis_lookout_before_fork(ckiti_redis_lookout *l) {
    pthread_mutex_lock(&l->lock);
    for (member *m = l->members; m != NULL; m = m->next) {
        ckiti_redis_watch_before_fork(&m->watch);
    }
}

void ckiti_redis_lookout_after_fork(ckiti_redis_lookout *l) {
    for (member *m = l->members; m != NULL; m = m->next) {
        ckiti_redis_watch_after_fork(&m->watch);
    }
    pthread_mutex_unlock(&l->lock);
}

/* The members stay, with links of their own. In the child nobody has a hold of their seats any more, so it is taken
 * again. What the cache holds it has dropped itself. */
void ckiti_redis_lookout_in_child(ckiti_redis_lookout *l) {
    for (member *m = l->members; m != NULL; m = m->next) {
        ckiti_redis_watch_in_child(&m->watch);
        atomic_store(&m->guarded, false);
        atomic_fetch_add(&m->seat->users, 1);
        m->seat->covered = false;
    }
    ckiti_cond_init(&l->word);
    pthread_mutex_init(&l->telling, NULL); /* whoever held it stayed behind */
    atomic_store(&l->guarded, false);
    l->running = l->dirty = false;
    atomic_store(&l->due, l->sink != NULL && !l->stop);
    pthread_mutex_unlock(&l->lock);
}
