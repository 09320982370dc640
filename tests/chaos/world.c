#include "chaos.h"

#include <cachekit/document.h>
#include <cachekit/file.h>
#include <cachekit/redis.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t now_ms(void) { return now_us() / 1000; }

void nap_ms(uint64_t ms) {
    nanosleep(&(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static void note_trouble(world *w, const char *what, const char *text) {
    pthread_mutex_lock(&w->mu);
    if (w->why[0] == '\0') {
        snprintf(w->why, sizeof w->why, "%s: %s", what, text);
    }
    pthread_mutex_unlock(&w->mu);
}

/* ---- the function ------------------------------------------------------------------------------------------------ */

static ckit_status load(void *context, ckit_load *load, ckit_error *err) {
    world   *w = context;
    uint64_t left = atomic_load(&w->fails);
    atomic_fetch_add(&w->runs, 1);
    nap_ms(FUNCTION_MS);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&w->fails, &left, left - 1)) {
            return ckit_fail(err, CKIT_E_FUNCTION, "chaos", "as it was told");
        }
    }
    ckit_write_uint(load->result, now_us());
    return CKIT_OK;
}

static void raise_to(_Atomic uint64_t *worst, uint64_t value) {
    uint64_t now = atomic_load(worst);
    while (now < value && !atomic_compare_exchange_weak(worst, &now, value)) {}
}

static void count_answer(world *w, ckit_status st, const ckit_value *value, const ckit_error *err) {
    if (st == CKIT_E_FUNCTION) {
        atomic_fetch_add(&w->own_errors, 1);
    } else if (st != CKIT_OK) {
        atomic_fetch_add(&w->errors, 1);
        note_trouble(w, ckit_status_name(st), err->text);
    } else if (value->stale) {
        atomic_fetch_add(&w->stale, 1);
    } else if (value->source == CKIT_SOURCE_FUNCTION) {
        atomic_fetch_add(&w->computed, 1);
    } else {
        atomic_fetch_add(&w->fresh, 1);
    }
}

ckit_source call_function(side *s, int64_t argument) {
    world     *w = s->world;
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    uint64_t    began = now_us();
    ckit_status st = ckit_call(s->function, &args, &value, &err);
    raise_to(&w->worst_us, now_us() - began);
    atomic_fetch_add(&w->calls, 1);
    count_answer(w, st, &value, &err);
    ckit_source source = st == CKIT_OK ? value.source : CKIT_SOURCE_NONE;
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return source;
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

static ckit_slice key_of(const side *s, unsigned entry, char out[16]) {
    snprintf(out, 16, "%u-%u", s->number, entry);
    return ckit_slice_str(out);
}

/* The number that `by` reads; 0: none. False when the store failed and nobody knows. */
static bool read_entry(side *by, const side *of, unsigned entry, uint64_t *number) {
    char        key[16];
    char        text[32] = "";
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = ckit_cache_get(by->cache, key_of(of, entry, key), NULL, &value, NULL);
    if (st == CKIT_OK && value.data.len < sizeof text) {
        memcpy(text, value.data.ptr, value.data.len);
    }
    ckit_value_fini(&value);
    *number = strtoull(text, NULL, 10);
    return st == CKIT_OK || st == CKIT_MISS;
}

static void change_entry(side *s, unsigned entry, bool removes) {
    char               key[16];
    char               text[32];
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    uint64_t           number = (atomic_load(&s->newest[entry]) | 1) + 1;
    options.ttl_ms = 600000;
    snprintf(text, sizeof text, "%" PRIu64, number);
    if (removes) {
        number++;
        (void)ckit_cache_delete(s->cache, key_of(s, entry, key), NULL, NULL);
    } else {
        (void)ckit_cache_set(s->cache, key_of(s, entry, key), ckit_slice_str(text), &options, NULL);
    }
    atomic_store(&s->newest[entry], number);
    atomic_store(&s->floor[entry], number & 1 ? number + 1 : number);
}

static void check_own(side *s, unsigned entry) {
    uint64_t number;
    uint64_t floor = atomic_load(&s->floor[entry]);
    if (read_entry(s, s, entry, &number) && number != 0 && number < floor) {
        char text[80];
        snprintf(text, sizeof text, "%" PRIu64 " was read, %" PRIu64 " is the newest", number, floor);
        note_trouble(s->world, "older", text);
        atomic_fetch_add(&s->world->older, 1);
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

typedef struct caller {
    side    *side;
    uint64_t drawn;
} caller;

static uint32_t draw(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void *call_often(void *arg) {
    side    *s = arg;
    uint64_t drawn = (uint64_t)(uintptr_t)&drawn ^ now_us();
    while (!s->world->stops) {
        (void)call_function(s, draw(&drawn) % ARGUMENTS);
        nap_ms(1);
    }
    return NULL;
}

static void *change_often(void *arg) {
    side    *s = arg;
    uint64_t drawn = s->number + 1;
    while (!s->world->stops) {
        uint64_t number;
        change_entry(s, draw(&drawn) % ENTRIES, draw(&drawn) % 4 == 0);
        check_own(s, draw(&drawn) % ENTRIES);
        (void)read_entry(s, &s->world->sides[1 - s->number], draw(&drawn) % ENTRIES, &number);
        nap_ms(2);
    }
    return NULL;
}

void world_work(world *w) {
    unsigned count = 0;
    w->stops = false;
    for (unsigned i = 0; i < SIDES; i++) {
        for (unsigned c = 0; c < CALLERS; c++) {
            pthread_create(&w->threads[count++], NULL, call_often, &w->sides[i]);
        }
        pthread_create(&w->threads[count++], NULL, change_often, &w->sides[i]);
    }
}

void world_rest(world *w) {
    w->stops = true;
    for (unsigned i = 0; i < SIDES * (CALLERS + 1); i++) {
        pthread_join(w->threads[i], NULL);
    }
}

/* Nobody tells side 0 of changes in a file store: its copies live out their life. */
static bool hears_of(const side *by, const side *of) { return by->world->has_server || by->number == 1 || by == of; }

/* Everybody reads the newest value of each entry, or none. */
static bool agree(world *w) {
    for (unsigned of = 0; of < SIDES; of++) {
        for (unsigned entry = 0; entry < ENTRIES; entry++) {
            uint64_t newest = atomic_load(&w->sides[of].newest[entry]);
            for (unsigned by = 0; by < SIDES; by++) {
                uint64_t number;
                if (hears_of(&w->sides[by], &w->sides[of]) &&
                    read_entry(&w->sides[by], &w->sides[of], entry, &number) && number != 0 && number != newest) {
                    return false;
                }
            }
        }
    }
    return true;
}

int64_t await_agreement(world *w) {
    uint64_t began = now_ms();
    uint64_t agreed = began;
    uint64_t watch_ms = w->plan->quick ? 300 : 1500;
    uint64_t most_ms = w->plan->quick ? 60000 : 10000;
    for (uint64_t now = began; now < agreed + watch_ms && now < began + most_ms; now = now_ms()) {
        agreed = agree(w) ? agreed : now_ms();
        nap_ms(5);
    }
    return (int64_t)(agreed - began);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static uint64_t read_monotonic(void *self) {
    (void)self;
    return now_ms();
}

static int64_t read_wall(void *self) {
    const world    *w = self;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + w->clock_step_ms;
}

static const ckit_log quiet = {.level = CKIT_LOG_OFF};

static bool open_side(side *s, const settings *set, ckit_backend *backend, outcome *o) {
    const world          *w = s->world;
    ckit_guard_options    guard = CKIT_GUARD_OPTIONS_INIT;
    ckit_cache_options    options = CKIT_CACHE_OPTIONS_INIT;
    ckit_function_options of = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    guard.recovery_timeout_ms = RECOVERY_MS;
    guard.success_threshold = 1;
    guard.timeout_min_ms = 50;
    guard.timeout_initial_ms = 250;
    guard.timeout_max_ms = TIMEOUT_MS;
    guard.retry_delay_ms = 20;
    guard.max_concurrent = set->max_concurrent;
    guard.breaker = set->no_breaker ? CKIT_OFF : CKIT_ON;
    options.guard = &guard;
    options.log = &quiet;
    options.clock = w->own_clock ? &w->clock : NULL;
    options.store_timeout_ms = 1000;
    options.flight_wait_ms = set->flight_wait_ms != 0 ? set->flight_wait_ms : 10000;
    options.lock = set->no_lock ? CKIT_OFF : CKIT_ON;
    options.lock_lease_ms = LEASE_MS;
    options.lock_wait_ms = set->lock_wait_ms != 0 ? set->lock_wait_ms : LOCK_WAIT_MS;
    options.l1 = !w->has_server && s->number == 1 ? CKIT_OFF : CKIT_ON;
    of.ttl_ms = set->plain ? 3600000 : TTL_MS;
    of.stale_ms = set->plain ? 0 : STALE_MS;
    of.namespace_name = "chaos";
    if (ckit_cache_new(&options, backend, &s->cache, &err) != CKIT_OK ||
        ckit_function_new(s->cache, "chaos.load", load, s->world, &of, &s->function, &err) != CKIT_OK) {
        broken(o, "%s", err.text);
        return false;
    }
    return true;
}

static void world_begin(world *w, const plan *p) {
    memset(w, 0, sizeof *w);
    w->plan = p;
    w->clock = (ckit_clock){read_monotonic, read_wall, w};
    pthread_mutex_init(&w->mu, NULL);
    for (unsigned i = 0; i < SIDES; i++) {
        w->sides[i].world = w;
        w->sides[i].number = i;
    }
}

bool world_open_redis(world *w, const plan *p, const settings *set, outcome *o) {
    char why[200];
    world_begin(w, p);
    if (!redis_server_start(&w->server, NULL, why, sizeof why)) {
        skip(o, why);
        return false;
    }
    w->has_server = true;
    for (unsigned i = 0; i < SIDES; i++) {
        ckit_redis_options redis = CKIT_REDIS_OPTIONS_INIT;
        ckit_backend_env   env = CKIT_BACKEND_ENV_INIT;
        ckit_error         err = CKIT_ERROR_INIT;
        ckit_backend      *backend = NULL;
        char               url[64];
        if (!fault_proxy_start(&w->sides[i].proxy, w->server.port)) {
            broken(o, "no proxy");
            return false;
        }
        snprintf(url, sizeof url, "redis://127.0.0.1:%u/0", w->sides[i].proxy.port);
        env.log = &quiet;
        redis.url = url;
        redis.backoff_max_ms = 200;
        redis.socket_connect_timeout_ms = TIMEOUT_MS;
        if (ckit_redis_open(&redis, &env, &backend, &err) != CKIT_OK) {
            broken(o, "%s", err.text);
            return false;
        }
        if (!open_side(&w->sides[i], set, backend, o)) {
            return false;
        }
    }
    return true;
}

bool world_open_files(world *w, const plan *p, const settings *set, const char *dir, outcome *o) {
    world_begin(w, p);
    w->own_clock = true;
    for (unsigned i = 0; i < SIDES; i++) {
        ckit_file_options file = CKIT_FILE_OPTIONS_INIT;
        ckit_backend_env  env = CKIT_BACKEND_ENV_INIT;
        ckit_error        err = CKIT_ERROR_INIT;
        ckit_backend     *backend = NULL;
        env.log = &quiet;
        env.clock = &w->clock;
        file.directory = dir;
        file.sync = CKIT_FILE_SYNC_NONE;
        if (ckit_file_open(&file, &env, &backend, &err) != CKIT_OK) {
            broken(o, "%s", err.text);
            return false;
        }
        if (!open_side(&w->sides[i], set, backend, o)) {
            return false;
        }
    }
    return true;
}

void world_close(world *w) {
    for (unsigned i = 0; i < SIDES; i++) {
        side *s = &w->sides[i];
        if (s->function != NULL) {
            ckit_function_close(s->function);
        }
        ckit_cache_close(s->cache);
        if (s->proxy.links != NULL) {
            fault_proxy_stop(&s->proxy);
        }
    }
    if (w->has_server) {
        redis_server_stop(&w->server);
    }
    pthread_mutex_destroy(&w->mu);
}

void each_proxy(world *w, void (*set)(fault_proxy *proxy, uint32_t value), uint32_t value) {
    for (unsigned i = 0; i < SIDES; i++) {
        set(&w->sides[i].proxy, value);
        fault_proxy_apply(&w->sides[i].proxy);
    }
}

void world_tell(const world *w, outcome *o) {
    o->calls = w->calls;
    o->fresh = w->fresh;
    o->stale = w->stale;
    o->computed = w->computed;
    o->errors = w->errors;
    o->runs = w->runs;
    o->older = w->older;
    o->worst_ms = w->worst_us / 1000;
    if ((w->errors > 0 || w->older > 0) && w->why[0] != '\0') {
        broken(o, "%s", w->why);
    }
}
