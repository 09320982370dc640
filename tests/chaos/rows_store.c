/* A Redis server and the way to it fail. */
#include "chaos.h"

#include "support/test.h"

/* The longest call: a look at the store that just makes it in time, the wait for a lock whose holder's link is broken,
 * and a write that does not. Who met a timeout before asks the store for nothing more. */
#define SLOWEST_MS (TIMEOUT_MS + LOCK_WAIT_MS + TIMEOUT_MS)

static uint64_t fault_ms(const plan *p) { return p->quick ? 250 : 3000; }

/* Each side computes each argument once in a lifetime, whatever happens, and at the beginning. */
static uint64_t runs_of(const plan *p, uint64_t worked_ms) {
    (void)p;
    return SIDES * ARGUMENTS * (worked_ms / (TTL_MS / 2) + 2);
}

static const settings usual = {0};

/* Works while `during` breaks things and mends them again; what it returns is when it was mended. */
static void work_through(const plan *p, outcome *o, void (*during)(world *w)) {
    world    w;
    uint64_t began = now_ms();
    if (world_open_redis(&w, p, &usual, o)) {
        world_work(&w);
        nap_ms(p->quick ? 100 : 500);
        during(&w);
        o->agreed_ms = -1;
        world_rest(&w);
        o->agreed_ms = await_agreement(&w);
        world_tell(&w, o);
        o->bound_ms = SLOWEST_MS;
        o->most_runs = runs_of(p, now_ms() - began);
        judge(p, o);
    }
    world_close(&w);
}

static void set_delay(fault_proxy *proxy, uint32_t ms) { proxy->delay_ms = ms; }
static void set_stall(fault_proxy *proxy, uint32_t on) { proxy->stalls = on != 0; }
static void set_refusal(fault_proxy *proxy, uint32_t on) { proxy->refuses = on != 0; }
static void set_errors(fault_proxy *proxy, uint32_t percent) { proxy->error_percent = percent; }
static void set_cut(fault_proxy *proxy, uint32_t at) { proxy->cut_at = at; }

static void heal(world *w) {
    for (unsigned i = 0; i < SIDES; i++) {
        fault_proxy_heal(&w->sides[i].proxy);
    }
}

static void for_a_while(world *w, void (*set)(fault_proxy *proxy, uint32_t value), uint32_t value) {
    each_proxy(w, set, value);
    nap_ms(fault_ms(w->plan));
    heal(w);
}

static void during_nothing(world *w) { nap_ms(fault_ms(w->plan)); }
static void during_delay_10(world *w) { for_a_while(w, set_delay, 10); }
static void during_delay_1000(world *w) { for_a_while(w, set_delay, 1000); }
static void during_stall(world *w) { for_a_while(w, set_stall, 1); }
static void during_errors_1(world *w) { for_a_while(w, set_errors, 1); }
static void during_errors_50(world *w) { for_a_while(w, set_errors, 50); }
static void during_errors_100(world *w) { for_a_while(w, set_errors, 100); }
static void during_cut(world *w) { for_a_while(w, set_cut, 777); }

static void during_flapping(world *w) {
    for (uint64_t end = now_ms() + fault_ms(w->plan); now_ms() < end;) {
        each_proxy(w, set_refusal, 1);
        nap_ms(200);
        heal(w);
        nap_ms(200);
    }
}

static void during_kill(world *w) {
    char why[200];
    redis_server_kill(&w->server);
    nap_ms(fault_ms(w->plan));
    (void)redis_server_restart(&w->server, why, sizeof why);
}

static void during_partition(world *w) {
    set_stall(&w->sides[0].proxy, 1);
    nap_ms(fault_ms(w->plan));
    heal(w);
}

/* A fork, which starts the server again, holds more locks than ThreadSanitizer follows. */
static void row_kill(const plan *p, outcome *o) {
    if (UNDER_TSAN) {
        skip(o, "not with ThreadSanitizer");
    } else {
        work_through(p, o, during_kill);
    }
}

#define ROW_OF(name)                                                                                                   \
    static void row_##name(const plan *p, outcome *o) { work_through(p, o, during_##name); }
ROW_OF(nothing)
ROW_OF(delay_10)
ROW_OF(delay_1000)
ROW_OF(stall)
ROW_OF(errors_1)
ROW_OF(errors_50)
ROW_OF(errors_100)
ROW_OF(cut)
ROW_OF(flapping)
ROW_OF(partition)

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

#define HOUR_MS INT64_C(3600000)

static void step_server(world *w, int64_t ms) {
    if (w->server.clock_us != NULL) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        *w->server.clock_us = ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + ms) * 1000;
    }
}

/* The server's clock stands while it is ours, so it is moved on by hand. */
static void walk_with_step(world *w, int64_t ms) {
    for (uint64_t end = now_ms() + fault_ms(w->plan); now_ms() < end; nap_ms(20)) {
        step_server(w, ms);
    }
    *w->server.clock_us = 0;
}

static void during_step_back(world *w) { walk_with_step(w, -HOUR_MS); }
static void during_step_forward(world *w) { walk_with_step(w, HOUR_MS); }
ROW_OF(step_back)
ROW_OF(step_forward)

/* ---- demand ------------------------------------------------------------------------------------------------------ */

#define CROWD 10000u
#define PLACES 10u
#define CROWD_MS 5000u /* two waits of 100 ms for a place, and ten thousand threads on the cores that there are */
#define CROWD_STACK (256u << 10)

typedef struct crowd {
    side           *side;
    pthread_mutex_t mu;
    pthread_cond_t  all_here;
    bool            go;
    _Atomic int64_t next;
} crowd;

static void *call_once(void *arg) {
    crowd *c = arg;
    pthread_mutex_lock(&c->mu);
    while (!c->go) {
        pthread_cond_wait(&c->all_here, &c->mu);
    }
    pthread_mutex_unlock(&c->mu);
    (void)call_function(c->side, 1000 + atomic_fetch_add(&c->next, 1));
    return NULL;
}

static void row_crowd(const plan *p, outcome *o) {
    static pthread_t threads[CROWD];
    const settings   set = {.max_concurrent = PLACES, .no_lock = true, .no_breaker = true, .plain = true};
    unsigned         count = p->quick ? 100 : CROWD;
    unsigned         made = 0;
    uint32_t         most = 0;
    world            w;
    pthread_attr_t   attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CROWD_STACK);
    if (world_open_redis(&w, p, &set, o)) {
        crowd c = {.side = &w.sides[0], .mu = PTHREAD_MUTEX_INITIALIZER, .all_here = PTHREAD_COND_INITIALIZER};
        w.sides[0].proxy.delay_ms = 10;
        while (made < count && pthread_create(&threads[made], &attr, call_once, &c) == 0) {
            made++;
        }
        pthread_mutex_lock(&c.mu);
        c.go = true;
        pthread_cond_broadcast(&c.all_here);
        pthread_mutex_unlock(&c.mu);
        for (unsigned i = 0; i < 100 && w.calls < made; i++) {
            ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
            (void)ckit_cache_get_guard_stats(w.sides[0].cache, &stats);
            most = stats.in_flight > most ? (uint32_t)stats.in_flight : most;
            nap_ms(10);
        }
        for (unsigned i = 0; i < made; i++) {
            pthread_join(threads[i], NULL);
        }
        ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
        (void)ckit_cache_get_guard_stats(w.sides[0].cache, &stats);
        world_tell(&w, o);
        o->bound_ms = CROWD_MS;
        o->most_runs = made;
        snprintf(o->note, sizeof o->note, "%u threads; with the store at most %u at once; %llu found no place", made,
                 most, (unsigned long long)stats.rejected);
        if (most > PLACES) {
            broken(o, "%u operations were with the store at once", most);
        }
        if (o->calls != made || (made < count && !p->quick)) {
            broken(o, "%u threads of %u", made, count);
        }
        judge(p, o);
    }
    pthread_attr_destroy(&attr);
    world_close(&w);
}

/* ---- how long it takes ------------------------------------------------------------------------------------------- */

static uint64_t time_call(side *s, int64_t argument, ckit_source *source) {
    uint64_t began = now_us();
    *source = call_function(s, argument);
    return now_us() - began;
}

#define WAKE_MS 10 /* deadlines are whole milliseconds, and who has waited is to run again */
#define FIRST_STORED 100000
#define STORED 500

/* Breaks the way of side 0, and judges: the first answer, those that follow, and the first hit in the store
 * afterwards. */
static void time_outage(const plan *p, outcome *o, void (*set)(fault_proxy *proxy, uint32_t value)) {
    const settings set_to = {.plain = true};
    ckit_source    source;
    world          w;
    if (world_open_redis(&w, p, &set_to, o)) {
        side    *s = &w.sides[0];
        uint64_t healthy = 0;
        uint64_t later = 0;
        for (int64_t i = 0; i < STORED; i++) { /* what the store has and side 0's memory has not */
            (void)call_function(&w.sides[1], FIRST_STORED + i);
        }
        for (int64_t i = 0; i < 50; i++) {
            uint64_t us = time_call(s, i, &source);
            healthy = i > 0 && us > healthy ? us : healthy;
        }
        set(&s->proxy, 1);
        fault_proxy_apply(&s->proxy);
        ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
        (void)ckit_cache_get_guard_stats(s->cache, &stats);
        uint64_t first = time_call(s, 1000, &source);
        for (int64_t i = 0; i < 20; i++) { /* until the circuit is open */
            (void)time_call(s, 1001 + i, &source);
        }
        for (int64_t i = 0; i < 50; i++) {
            uint64_t us = time_call(s, 2000 + i, &source);
            later = us > later ? us : later;
        }
        nap_ms(p->quick ? 10 : 300);
        fault_proxy_heal(&s->proxy);
        uint64_t healed = now_ms();
        int64_t  next = FIRST_STORED;
        do {
            nap_ms(p->quick ? 20 : 5);
            (void)time_call(s, next++, &source);
        } while (source != CKIT_SOURCE_STORE && next < FIRST_STORED + STORED);
        uint64_t back = now_ms() - healed;
        world_tell(&w, o);
        o->bound_ms =
            healthy / 1000 + TIMEOUT_MS + WAKE_MS; /* of all calls; the first is judged by what it was given */
        snprintf(o->note, sizeof o->note,
                 "healthy miss %.1f ms, timeout %u ms, first answer %.1f ms, then %.1f ms; store hit %llu ms after",
                 (double)healthy / 1e3, stats.data.timeout_ms, (double)first / 1e3, (double)later / 1e3,
                 (unsigned long long)back);
        if (!p->quick && first > healthy + (stats.data.timeout_ms + WAKE_MS) * UINT64_C(1000)) {
            broken(o, "the first answer took %.1f ms, with a timeout of %u ms", (double)first / 1e3,
                   stats.data.timeout_ms);
        }
        if (source != CKIT_SOURCE_STORE) {
            broken(o, "the store is not used again");
        }
        if (!p->quick && back > RECOVERY_MS * 11 / 10) {
            broken(o, "the first hit in the store came %llu ms after the end", (unsigned long long)back);
        }
        if (!p->quick && later > healthy * 3 + 20000) {
            broken(o, "with the circuit open a call took %.1f ms", (double)later / 1e3);
        }
        judge(p, o);
    }
    world_close(&w);
}

static void row_time_killed(const plan *p, outcome *o) { time_outage(p, o, set_refusal); }
static void row_time_stalled(const plan *p, outcome *o) { time_outage(p, o, set_stall); }

const row rows_of_store[] = {
    {"none", row_nothing},
    {"each answer 10 ms late", row_delay_10},
    {"each answer 1 s late", row_delay_1000},
    {"no answer for ever", row_stall},
    {"1 % errors", row_errors_1},
    {"50 % errors", row_errors_50},
    {"100 % errors", row_errors_100},
    {"gone and back every 200 ms", row_flapping},
    {"server killed and restarted", row_kill},
    {"connections cut after 777 bytes", row_cut},
    {"one of two processes cut off", row_partition},
    {"server's clock an hour back", row_step_back},
    {"server's clock an hour ahead", row_step_forward},
    {"10,000 threads, 10 places", row_crowd},
    {"time: store refuses", row_time_killed},
    {"time: store is silent", row_time_stalled},
};
const size_t rows_of_store_count = sizeof rows_of_store / sizeof rows_of_store[0];
