#include "bench/load.h"

#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <cachekit/value.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define STAMP_BYTES 8u /* a value begins with a number made from its key, so that a wrong one is noticed */
#define STACK_BYTES (1u << 20)
#define LIFETIME_MS UINT64_C(3600000) /* what a killed run leaves in a store goes away by itself */

typedef struct crew crew;

typedef struct worker {
    /* read by others while it runs */
    _Alignas(128) atomic_uint_fast64_t done;
    atomic_uint_fast64_t hits, lookups;

    _Alignas(128) crew *crew;
    pthread_t        thread;
    uint64_t         budget; /* operations */
    uint64_t         random;
    uint8_t         *value;
    cli_trace_batch *batch; /* with a trace */
    size_t           batch_at;
    char             key[sizeof CLI_LOAD_PREFIX + CLI_TRACE_KEY_MAX];
    ckit_value       found;
    ckit_error       err;
    cli_load_result  seen; /* its own share */
} worker;

struct crew {
    const cli_load_plan *plan;
    worker             **workers;
    ckit_entry_options   entry;
    pthread_mutex_t      mutex; /* of the three below */
    pthread_cond_t       changed;
    bool                 go;
    unsigned             running;
    uint64_t             deadline_ns; /* set before `go` */
    atomic_bool          stop;
};

static uint64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- keys and values ---------------------------------------------------------------------------------------- */

typedef struct target {
    ckit_slice key;
    uint64_t   stamp;
} target;

static uint64_t mixed(uint64_t number) { return cli_random(&number); }

static target target_of_bytes(worker *w, const uint8_t *bytes, size_t length) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    memcpy(w->key + sizeof CLI_LOAD_PREFIX - 1, bytes, length);
    return (target){ckit_slice_of(w->key, sizeof CLI_LOAD_PREFIX - 1 + length), mixed(hash)};
}

static target target_of_item(worker *w, uint64_t item) {
    uint8_t  digits[20];
    size_t   at = sizeof digits;
    uint64_t rest = item;
    do {
        digits[--at] = (uint8_t)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    return target_of_bytes(w, digits + at, sizeof digits - at);
}

static bool next_target(worker *w, target *t) {
    const cli_load_plan *plan = w->crew->plan;
    if (plan->trace == NULL) {
        *t = target_of_item(w, cli_zipf_next(&plan->keys, &w->random));
        return true;
    }
    if (w->batch_at == w->batch->count) {
        w->batch_at = 0;
        if (!cli_trace_take(plan->trace, w->batch, &w->crew->stop)) {
            return false;
        }
    }
    uint32_t start = w->batch_at == 0 ? 0 : w->batch->ends[w->batch_at - 1];
    *t = target_of_bytes(w, w->batch->bytes + start, w->batch->ends[w->batch_at] - start);
    w->batch_at++;
    return true;
}

static ckit_slice value_of(worker *w, const target *t) {
    const cli_load_plan *plan = w->crew->plan;
    uint64_t             size = plan->value_min + t->stamp % (plan->value_max - plan->value_min + 1);
    memcpy(w->value, &t->stamp, STAMP_BYTES);
    return ckit_slice_of(w->value, size);
}

/* Runs of random bytes and of text in turn: large values compress to about two thirds. */
static uint8_t *new_value(uint64_t size) {
    static const char text[] = "the same text comes here always ";
    uint8_t          *value = malloc(size + STAMP_BYTES);
    uint64_t          random = 1;
    for (uint64_t i = 0; value != NULL && i < size + STAMP_BYTES; i++) {
        value[i] = i / 32 % 2 == 0 ? (uint8_t)cli_random(&random) : (uint8_t)text[i % 32];
    }
    return value;
}

/* ---- operations --------------------------------------------------------------------------------------------- */

static void note_error(worker *w, ckit_status status, uint64_t *counter) {
    if (w->seen.get_errors + w->seen.set_errors == 0) {
        w->seen.first_error = w->err;
        w->seen.first_error.status = status;
    }
    (*counter)++;
    w->err = (ckit_error)CKIT_ERROR_INIT;
}

/* Each begins at `start` and answers when it ended. */
static uint64_t do_set(worker *w, const target *t, uint64_t start) {
    ckit_slice  value = value_of(w, t);
    ckit_status status = ckit_cache_set(w->crew->plan->cache, t->key, value, &w->crew->entry, &w->err);
    uint64_t    end = now_ns();
    cli_histogram_add(&w->seen.set_times, end - start);
    if (status == CKIT_OK) {
        w->seen.written_bytes += value.len;
    } else {
        note_error(w, status, &w->seen.set_errors);
    }
    return end;
}

static void look_at(worker *w, const target *t) {
    ckit_slice got = w->found.data;
    size_t     compared = got.len < STAMP_BYTES ? got.len : STAMP_BYTES;
    w->seen.wrong_values += compared > 0 && memcmp(got.ptr, &t->stamp, compared) != 0;
    w->seen.read_bytes += got.len;
    *(w->found.source == CKIT_SOURCE_MEMORY ? &w->seen.memory_hits : &w->seen.store_hits) += 1;
}

static uint64_t do_get(worker *w, const target *t, uint64_t start) {
    ckit_status status = ckit_cache_get(w->crew->plan->cache, t->key, &w->crew->entry, &w->found, &w->err);
    uint64_t    end = now_ns();
    cli_histogram_add(&w->seen.get_times, end - start);
    atomic_store_explicit(&w->lookups, w->seen.get_times.count, memory_order_relaxed);
    if (status == CKIT_OK) {
        look_at(w, t);
        atomic_store_explicit(&w->hits, w->seen.memory_hits + w->seen.store_hits, memory_order_relaxed);
    } else if (status == CKIT_MISS) {
        w->seen.misses++;
        w->seen.fills++;
        end = do_set(w, t, now_ns());
    } else {
        note_error(w, status, &w->seen.get_errors);
    }
    return end;
}

static bool choose_get(worker *w) {
    const cli_load_plan *plan = w->crew->plan;
    return plan->trace != NULL || (double)(cli_random(&w->random) >> 11) * 0x1p-53 < plan->get_share;
}

static void work(worker *w) {
    target   t;
    uint64_t now = 0;
    while (w->seen.operations < w->budget && now < w->crew->deadline_ns &&
           !atomic_load_explicit(&w->crew->stop, memory_order_relaxed) && next_target(w, &t)) {
        bool     is_get = choose_get(w);
        uint64_t start = now_ns();
        now = is_get ? do_get(w, &t, start) : do_set(w, &t, start);
        w->seen.operations++;
        atomic_store_explicit(&w->done, w->seen.operations, memory_order_relaxed);
    }
    ckit_value_fini(&w->found);
}

static void *run_worker(void *context) {
    worker *w = context;
    crew   *c = w->crew;
    (void)pthread_mutex_lock(&c->mutex);
    while (!c->go) {
        (void)pthread_cond_wait(&c->changed, &c->mutex);
    }
    (void)pthread_mutex_unlock(&c->mutex);
    work(w);
    (void)pthread_mutex_lock(&c->mutex);
    c->running--;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->mutex);
    return NULL;
}

/* ---- the crew ----------------------------------------------------------------------------------------------- */

static void worker_free(worker *w) {
    if (w != NULL) {
        free(w->value);
        free(w->batch);
        free(w);
    }
}

static worker *worker_new(crew *c, unsigned number) {
    const cli_load_plan *plan = c->plan;
    worker              *w = aligned_alloc(_Alignof(worker), sizeof *w);
    if (w == NULL) {
        return NULL;
    }
    memset(w, 0, sizeof *w);
    w->crew = c;
    w->random = mixed(plan->seed ^ mixed(number));
    w->budget = plan->operations;
    if (plan->operations != CLI_LOAD_UNBOUNDED && plan->trace == NULL) {
        w->budget = plan->operations / plan->threads + (number < plan->operations % plan->threads ? 1 : 0);
    }
    memcpy(w->key, CLI_LOAD_PREFIX, sizeof CLI_LOAD_PREFIX - 1);
    w->found = (ckit_value)CKIT_VALUE_INIT;
    w->err = (ckit_error)CKIT_ERROR_INIT;
    w->value = new_value(plan->value_max);
    w->batch = plan->trace == NULL ? NULL : calloc(1, sizeof *w->batch);
    if (w->value == NULL || (plan->trace != NULL && w->batch == NULL)) {
        worker_free(w);
        return NULL;
    }
    return w;
}

/* Signals go to the thread that waits for them. */
static bool start_thread(worker *w) {
    pthread_attr_t attributes;
    sigset_t       all, before;
    (void)sigfillset(&all);
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&w->thread, &attributes, run_worker, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (failed != 0) {
        cli_error("thread %u of %u cannot be started: %s: lower --threads", w->crew->running + 1,
                  w->crew->plan->threads, strerror(failed));
    }
    return failed == 0;
}

/* Starts everybody; `running` tells how many are there. */
static int gather(crew *c) {
    for (unsigned i = 0; i < c->plan->threads; i++) {
        c->workers[i] = worker_new(c, i);
        if (c->workers[i] == NULL) {
            return cli_no_memory();
        }
    }
    for (unsigned i = 0; i < c->plan->threads; i++) {
        if (!start_thread(c->workers[i])) {
            return CLI_FAILED;
        }
        (void)pthread_mutex_lock(&c->mutex);
        c->running++;
        (void)pthread_mutex_unlock(&c->mutex);
    }
    return CLI_DONE;
}

static void show_progress(const crew *c, uint64_t passed_ns) {
    static uint64_t last_done, last_ns;
    uint64_t        done = 0, hits = 0, lookups = 0;
    char            passed[CLI_UNITS_TEXT];
    for (unsigned i = 0; i < c->plan->threads; i++) {
        done += atomic_load_explicit(&c->workers[i]->done, memory_order_relaxed);
        hits += atomic_load_explicit(&c->workers[i]->hits, memory_order_relaxed);
        lookups += atomic_load_explicit(&c->workers[i]->lookups, memory_order_relaxed);
    }
    cli_progress("%s: %.0f operations/s, hit ratio %.1f %%", cli_duration_text(passed_ns / 1000000, passed),
                 (double)(done - last_done) * 1e9 / (double)(passed_ns - last_ns),
                 lookups == 0 ? 0.0 : 100.0 * (double)hits / (double)lookups);
    last_done = done;
    last_ns = passed_ns;
}

/* Until all are done. */
static void watch(crew *c, uint64_t start_ns) {
    uint64_t shown_ns = start_ns;
    (void)pthread_mutex_lock(&c->mutex);
    while (c->running > 0) {
        uint64_t        wake = now_ns() + 100000000u;
        struct timespec at = {.tv_sec = (time_t)(wake / 1000000000u), .tv_nsec = (long)(wake % 1000000000u)};
        (void)pthread_cond_timedwait(&c->changed, &c->mutex, &at);
        uint64_t now = now_ns();
        if (cli_interrupted() != 0 || now >= c->deadline_ns) {
            atomic_store_explicit(&c->stop, true, memory_order_relaxed);
        }
        if (now - shown_ns >= 1000000000u) {
            (void)pthread_mutex_unlock(&c->mutex);
            show_progress(c, now - start_ns);
            (void)pthread_mutex_lock(&c->mutex);
            shown_ns = now;
        }
    }
    (void)pthread_mutex_unlock(&c->mutex);
    cli_progress_end();
}

static uint64_t open_gate(crew *c) {
    (void)pthread_mutex_lock(&c->mutex);
    uint64_t start = now_ns();
    uint64_t duration = c->plan->duration_ms;
    c->deadline_ns = duration < UINT64_MAX / 2000000u ? start + duration * 1000000u : UINT64_MAX;
    c->go = true;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->mutex);
    return start;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

static void add_up(cli_load_result *sum, const cli_load_result *one) {
    if (sum->get_errors + sum->set_errors == 0) {
        sum->first_error = one->first_error;
    }
    cli_histogram_merge(&sum->get_times, &one->get_times);
    cli_histogram_merge(&sum->set_times, &one->set_times);
    sum->operations += one->operations;
    sum->fills += one->fills;
    sum->memory_hits += one->memory_hits;
    sum->store_hits += one->store_hits;
    sum->misses += one->misses;
    sum->read_bytes += one->read_bytes;
    sum->written_bytes += one->written_bytes;
    sum->get_errors += one->get_errors;
    sum->set_errors += one->set_errors;
    sum->wrong_values += one->wrong_values;
}

static uint64_t ns_of(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

/* Means of the best of a few short runs: nobody else was using the processor then. */
#define MEASURE_RUNS 8
#define MEASURE_STEPS 1000

static double measure_clock(void) {
    uint64_t best = UINT64_MAX;
    for (int run = 0; run < MEASURE_RUNS; run++) {
        uint64_t start = now_ns(), last = start;
        for (int i = 0; i < MEASURE_STEPS; i++) {
            last = now_ns();
        }
        best = last - start < best ? last - start : best;
    }
    return (double)best / MEASURE_STEPS;
}

/* What a worker does around the call of the cache. `w` has been joined. */
static double measure_generator(worker *w) {
    uint64_t best = UINT64_MAX;
    for (int run = 0; run < MEASURE_RUNS; run++) {
        uint64_t start = now_ns(), last = start;
        for (int i = 0; i < MEASURE_STEPS; i++) {
            target t = {.stamp = 0}; /* of a trace that has ended there is none */
            (void)next_target(w, &t);
            (void)choose_get(w);
            (void)value_of(w, &t);
            uint64_t before = now_ns();
            last = now_ns();
            cli_histogram_add(&w->seen.get_times, last - before);
        }
        best = last - start < best ? last - start : best;
    }
    return (double)best / MEASURE_STEPS;
}

static void collect(crew *c, cli_load_result *result, const struct rusage *before) {
    struct rusage after;
    (void)getrusage(RUSAGE_SELF, &after);
    for (unsigned i = 0; i < c->plan->threads; i++) {
        add_up(result, &c->workers[i]->seen);
    }
    result->user_ns = ns_of(after.ru_utime) - ns_of(before->ru_utime);
    result->system_ns = ns_of(after.ru_stime) - ns_of(before->ru_stime);
    result->clock_ns = measure_clock();
    result->generator_ns = c->plan->trace == NULL ? measure_generator(c->workers[0]) : 0;
}

static void crew_init(crew *c, const cli_load_plan *plan) {
    pthread_condattr_t attributes;
    *c = (crew){.plan = plan, .entry = CKIT_ENTRY_OPTIONS_INIT};
    c->entry.namespace_name = CLI_LOAD_NAMESPACE;
    c->entry.ttl_ms = LIFETIME_MS;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&c->mutex, NULL);
    c->workers = calloc(plan->threads, sizeof *c->workers);
}

static void crew_fini(crew *c) {
    for (unsigned i = 0; c->workers != NULL && i < c->plan->threads; i++) {
        worker_free(c->workers[i]);
    }
    free(c->workers);
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->mutex);
}

int cli_load_run(const cli_load_plan *plan, cli_load_result *result) {
    crew          c;
    struct rusage before;
    memset(result, 0, sizeof *result);
    crew_init(&c, plan);
    int      code = c.workers == NULL ? cli_no_memory() : gather(&c);
    unsigned started = c.running;
    atomic_store(&c.stop, code != CLI_DONE);
    (void)getrusage(RUSAGE_SELF, &before);
    uint64_t start = open_gate(&c);
    watch(&c, start);
    result->elapsed_ns = now_ns() - start;
    for (unsigned i = 0; i < started; i++) {
        (void)pthread_join(c.workers[i]->thread, NULL);
    }
    if (code == CLI_DONE) {
        collect(&c, result, &before);
    }
    crew_fini(&c);
    return code;
}
