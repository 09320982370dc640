/* A guard from making to closing: options, statistics, fork. */
#include "guard/guard.h"

#include "base/alloc.h"
#include "base/range.h"

#include <stdio.h>
#include <string.h>

static const char where[] = "guard";

#define HOUR_MS 3600000u
#define DAY_MS 86400000u

void ckit_guard_options_init(ckit_guard_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

void ckit_guard_stats_init(ckit_guard_stats *stats, size_t struct_size) {
    memset(stats, 0, struct_size);
    stats->struct_size = struct_size;
}

const char *ckit_breaker_state_name(ckit_breaker_state state) {
    switch (state) {
    case CKIT_BREAKER_CLOSED: return "closed";
    case CKIT_BREAKER_OPEN: return "open";
    case CKIT_BREAKER_HALF_OPEN: return "half_open";
    }
    return "unknown";
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void fill(uint32_t *field, uint32_t value) {
    if (*field == 0) {
        *field = value;
    }
}

static void fill_defaults(ckit_guard_options *o) {
    fill(&o->failure_threshold, 5);
    fill(&o->success_threshold, 3);
    fill(&o->recovery_timeout_ms, 30000);
    fill(&o->half_open_requests, 3);
    fill(&o->timeout_min_ms, 100);
    fill(&o->timeout_max_ms, 10000);
    if (o->timeout_initial_ms == 0) {
        uint32_t usual = 1000;
        usual = usual < o->timeout_min_ms ? o->timeout_min_ms : usual;
        o->timeout_initial_ms = usual > o->timeout_max_ms ? o->timeout_max_ms : usual;
    }
    fill(&o->timeout_window, 1000);
    if (o->timeout_percentile == 0) {
        o->timeout_percentile = 95;
    }
    fill(&o->max_concurrent, 100);
    fill(&o->queue_size, 1000);
    fill(&o->queue_timeout_ms, 100);
    fill(&o->max_retries, 3);
    fill(&o->retry_delay_ms, 100);
}

static uint32_t number_of(uint32_t field) { return field == CKIT_GUARD_NONE ? 0 : field; }

static ckit_status check_numbers(const ckit_guard_options *o, ckit_error *err) {
    const ckiti_range ranges[] = {
        {"enabled", (uint64_t)o->enabled, CKIT_DEFAULT, CKIT_OFF},
        {"breaker", (uint64_t)o->breaker, CKIT_DEFAULT, CKIT_OFF},
        {"failure_threshold", o->failure_threshold, 1, UINT32_MAX},
        {"success_threshold", o->success_threshold, 1, UINT32_MAX},
        {"recovery_timeout_ms", number_of(o->recovery_timeout_ms), 0, DAY_MS},
        {"half_open_requests", o->half_open_requests, 1, CKITI_BREAKER_PROBES_MAX},
        {"adaptive_timeout", (uint64_t)o->adaptive_timeout, CKIT_DEFAULT, CKIT_OFF},
        {"timeout_max_ms", o->timeout_max_ms, 1, HOUR_MS},
        {"timeout_min_ms", o->timeout_min_ms, 1, HOUR_MS},
        {"timeout_initial_ms", o->timeout_initial_ms, 1, HOUR_MS},
        {"timeout_window", o->timeout_window, CKITI_TIMEOUT_FEWEST, 100000},
        {"backpressure", (uint64_t)o->backpressure, CKIT_DEFAULT, CKIT_OFF},
        {"max_concurrent", o->max_concurrent, 1, UINT32_MAX},
        {"queue_size", number_of(o->queue_size), 0, UINT32_MAX},
        {"queue_timeout_ms", number_of(o->queue_timeout_ms), 0, HOUR_MS},
        {"retry", (uint64_t)o->retry, CKIT_DEFAULT, CKIT_OFF},
        {"retry_on_timeout", (uint64_t)o->retry_on_timeout, CKIT_DEFAULT, CKIT_OFF},
        {"max_retries", o->max_retries, 1, 100},
        {"retry_delay_ms", o->retry_delay_ms, 1, HOUR_MS},
    };
    return ckiti_check_ranges(where, ranges, sizeof ranges / sizeof ranges[0], err);
}

static ckit_status check_timeouts(const ckit_guard_options *o, ckit_error *err) {
    if (o->timeout_min_ms > o->timeout_max_ms) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "timeout_min_ms is %u, above timeout_max_ms, which is %u: raise the one or lower the other",
                         o->timeout_min_ms, o->timeout_max_ms);
    }
    if (o->timeout_initial_ms < o->timeout_min_ms || o->timeout_initial_ms > o->timeout_max_ms) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "timeout_initial_ms is %u, not from timeout_min_ms (%u) to timeout_max_ms (%u): change one of "
                         "the three",
                         o->timeout_initial_ms, o->timeout_min_ms, o->timeout_max_ms);
    }
    return CKIT_OK;
}

static ckit_status check_options(const ckit_guard_options *o, ckit_error *err) {
    const uint32_t sick =
        CKIT_KIND_BIT(CKIT_KIND_TRANSIENT) | CKIT_KIND_BIT(CKIT_KIND_TIMEOUT) | CKIT_KIND_BIT(CKIT_KIND_UNKNOWN);
    ckit_status st = check_numbers(o, err);
    if (st != CKIT_OK || (st = check_timeouts(o, err)) != CKIT_OK) {
        return st;
    }
    if (!(o->timeout_percentile > 0 && o->timeout_percentile <= 100)) { /* also what is no number */
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "timeout_percentile is %g, allowed is above 0, up to 100",
                         o->timeout_percentile);
    }
    if (o->breaker != CKIT_OFF && (o->excluded_kinds & sick) == sick) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "every kind of failure that counts is excluded: switch the breaker off instead");
    }
    return CKIT_OK;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static void sleep_ms(uint64_t ms) {
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};
    (void)nanosleep(&pause, NULL); /* a signal makes the pause shorter, which is no harm */
}

static void keep_env(ckiti_guard *guard, const ckit_backend_env *env) {
    guard->alloc = env->alloc;
    if (env->clock != NULL) {
        guard->clock_copy = *env->clock;
        guard->clock = &guard->clock_copy;
    }
    if (env->log != NULL) {
        guard->log = *env->log;
    }
}

static void prepare_parts(ckiti_guard *guard, const ckit_guard_options *o) {
    const ckiti_breaker_options breaker = {.failure_threshold = o->failure_threshold,
                                           .success_threshold = o->success_threshold,
                                           .most_probes = o->half_open_requests,
                                           .recovery_ms = number_of(o->recovery_timeout_ms)};
    guard->breaks = o->breaker != CKIT_OFF;
    guard->presses_back = o->backpressure != CKIT_OFF;
    guard->excluded_kinds = o->excluded_kinds;
    guard->retry = (ckiti_retry_options){.most = o->retry == CKIT_OFF ? 0 : o->max_retries,
                                         .delay_ms = o->retry_delay_ms,
                                         .on_timeout = o->retry_on_timeout != CKIT_OFF};
    guard->sleep_ms = sleep_ms;
    ckiti_breaker_init(&guard->breaker, &breaker);
    guard->options = *o;
    guard->options.shared = NULL;
    guard->options.status_dir = NULL; /* its caller's */
    ckiti_backpressure_init(&guard->backpressure, o->max_concurrent, number_of(o->queue_size),
                            number_of(o->queue_timeout_ms));
}

static ckit_status make_timeouts(ckiti_guard *guard, const ckit_guard_options *o, ckit_error *err) {
    const ckiti_timeout_options timeout = {.adapts = o->adaptive_timeout != CKIT_OFF,
                                           .initial_ms = o->timeout_initial_ms,
                                           .min_ms = o->timeout_min_ms,
                                           .max_ms = o->timeout_max_ms,
                                           .window = o->timeout_window,
                                           .percentile = o->timeout_percentile};
    ckit_status                 st = ckiti_timeout_init(&guard->data, &timeout, guard->alloc, err);
    return st == CKIT_OK ? ckiti_timeout_init(&guard->locks, &timeout, guard->alloc, err) : st;
}

static void fork_prepare(void *self) {
    ckiti_guard *guard = self;
    ckiti_breaker_fork_prepare(&guard->breaker);
    ckiti_backpressure_fork_prepare(&guard->backpressure);
}

static void fork_parent(void *self) {
    ckiti_guard *guard = self;
    ckiti_backpressure_fork_parent(&guard->backpressure);
    ckiti_breaker_fork_parent(&guard->breaker);
}

static void fork_child(void *self) {
    ckiti_guard *guard = self;
    ckiti_backpressure_fork_child(&guard->backpressure);
    ckiti_breaker_fork_child(&guard->breaker);
    ckiti_timeout_fork_child(&guard->data);
    ckiti_timeout_fork_child(&guard->locks);
    ckiti_notice_fork_child(&guard->notice);
}

/* Also of one that was never finished. */
static void free_guard(ckiti_guard *guard) {
    ckiti_timeout_fini(&guard->data);
    ckiti_timeout_fini(&guard->locks);
    ckiti_backpressure_fini(&guard->backpressure);
    ckiti_breaker_fini(&guard->breaker);
    ckiti_free(guard->alloc, guard, sizeof *guard);
}

void ckit_guard_release(ckit_guard *guard) {
    if (guard != NULL && atomic_fetch_sub_explicit(&guard->references, 1, memory_order_acq_rel) == 1) {
        ckiti_notice_end(guard);
        ckiti_fork_unregister(&guard->fork);
        free_guard(guard);
    }
}

static ckiti_guard *share(ckiti_guard *guard) {
    atomic_fetch_add_explicit(&guard->references, 1, memory_order_relaxed);
    return guard;
}

/* `o` has been checked. */
static ckit_status make_guard(const ckit_guard_options *o, const ckit_backend_env *env, const char *name,
                              ckiti_guard **out, ckit_error *err) {
    ckiti_guard *guard = ckiti_alloc_zeroed(env->alloc, 1, sizeof *guard);
    *out = NULL;
    if (guard == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a guard");
    }
    atomic_init(&guard->references, 1);
    (void)snprintf(guard->name, sizeof guard->name, "%s", name);
    keep_env(guard, env);
    prepare_parts(guard, o);
    ckit_status st = make_timeouts(guard, o, err);
    if (st != CKIT_OK) {
        free_guard(guard);
        return st;
    }
    guard->fork = (ckiti_fork_hooks){fork_prepare, fork_parent, fork_child, guard, NULL, NULL};
    ckiti_fork_register(&guard->fork);
    if (o->status_dir != NULL) {
        ckiti_notice_begin(guard, o->status_dir);
    }
    *out = guard;
    return CKIT_OK;
}

static void close_guarded(void *self) {
    ckiti_guarded *at = self;
    ckit_backend_close(at->backend);
    ckit_guard_release(at->guard);
    ckiti_free(at->alloc, at, sizeof *at);
}

/* Takes backend and guard, also when this fails. */
static ckit_status put_in_front(ckit_backend *backend, ckiti_guard *guard, const ckit_backend_env *env,
                                ckit_backend **out, ckit_error *err) {
    ckiti_guarded *at = ckiti_alloc_zeroed(env->alloc, 1, sizeof *at);
    if (at == NULL) {
        ckit_backend_close(backend);
        ckit_guard_release(guard);
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a guarded store");
    }
    *at = (ckiti_guarded){.inner = ckit_backend_operations(backend),
                          .store = ckit_backend_self(backend),
                          .backend = backend,
                          .guard = guard,
                          .alloc = env->alloc};
    ckiti_guard_fill_table(&at->ops, at->inner);
    at->ops.close = close_guarded;
    ckit_status st = ckit_backend_new(&at->ops, at, env, out, err);
    if (st != CKIT_OK) {
        close_guarded(at);
    }
    return st;
}

/* The options of the caller, complete. `o` has been initialized, as `env` of take_env. */
static ckit_status take_options(const ckit_guard_options *given, ckit_guard_options *o, ckit_error *err) {
    if (given != NULL && given->struct_size == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, where,
                         "struct_size of the options is not set: begin with CKIT_GUARD_OPTIONS_INIT");
    }
    if (given != NULL) {
        memcpy(o, given, given->struct_size < sizeof *o ? given->struct_size : sizeof *o);
        o->struct_size = sizeof *o;
    }
    fill_defaults(o);
    return o->shared != NULL ? CKIT_OK : check_options(o, err);
}

static void take_env(const ckit_backend_env *given, ckit_backend_env *env) {
    if (given != NULL) {
        memcpy(env, given, given->struct_size < sizeof *env ? given->struct_size : sizeof *env);
    }
}

ckit_status ckit_guard_new(const ckit_guard_options *options, const ckit_backend_env *env, ckit_guard **out,
                           ckit_error *err) {
    ckit_guard_options o = CKIT_GUARD_OPTIONS_INIT;
    ckit_backend_env   e = CKIT_BACKEND_ENV_INIT;
    if (out == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "no place for the guard");
    }
    *out = NULL;
    take_env(env, &e);
    ckit_status st = take_options(options, &o, err);
    if (st == CKIT_OK && o.shared != NULL) {
        st = ckit_fail(err, CKIT_E_MISUSE, where, "a guard by itself shares no other");
    }
    return st == CKIT_OK ? make_guard(&o, &e, "guard", out, err) : st;
}

ckit_status ckit_backend_guard(ckit_backend *backend, const ckit_guard_options *options, const ckit_backend_env *env,
                               ckit_backend **out, ckit_error *err) {
    ckit_guard_options o = CKIT_GUARD_OPTIONS_INIT;
    ckit_backend_env   e = CKIT_BACKEND_ENV_INIT;
    ckiti_guard       *guard = NULL;
    if (out != NULL) {
        *out = NULL;
    }
    ckit_status st = backend == NULL || out == NULL
                         ? ckit_fail(err, CKIT_E_MISUSE, where, "%s",
                                     backend == NULL ? "no store to guard" : "no place for the guarded store")
                         : take_options(options, &o, err);
    if (st != CKIT_OK) {
        ckit_backend_close(backend);
        return st;
    }
    if (o.enabled == CKIT_OFF || ckiti_guarded_of(backend) != NULL) {
        *out = backend;
        return CKIT_OK;
    }
    take_env(env, &e);
    if (o.shared != NULL) {
        guard = share(o.shared);
    } else if ((st = make_guard(&o, &e, ckit_backend_name(backend), &guard, err)) != CKIT_OK) {
        ckit_backend_close(backend);
        return st;
    }
    return put_in_front(backend, guard, &e, out, err);
}

/* ---- looking inside ---------------------------------------------------------------------------------------------- */

ckiti_guarded *ckiti_guarded_of(const ckit_backend *backend) {
    bool guarded = backend != NULL && ckit_backend_operations(backend)->close == close_guarded;
    return guarded ? ckit_backend_self(backend) : NULL;
}

ckiti_guard *ckiti_guard_of(const ckit_backend *backend) {
    ckiti_guarded *at = ckiti_guarded_of(backend);
    return at == NULL ? NULL : at->guard;
}

ckit_guard *ckit_backend_get_guard(const ckit_backend *backend) {
    ckiti_guard *guard = ckiti_guard_of(backend);
    return guard == NULL ? NULL : share(guard);
}

static void fill_stats(ckiti_guard *guard, ckit_guard_stats *out) {
    ckiti_breaker_counts counts;
    uint64_t             now_ms = ckiti_guard_now_us(guard) / 1000;
    ckiti_breaker_look(&guard->breaker, now_ms, &counts);
    out->last_failure_ms_ago = counts.failures == 0        ? UINT64_MAX
                               : now_ms > counts.failed_ms ? now_ms - counts.failed_ms
                                                           : 0;
    out->state = counts.state;
    out->failures_in_a_row = counts.failures_in_a_row;
    out->probe_successes = counts.successes_in_a_row;
    out->probes = counts.probes;
    out->recovery_in_ms = counts.recovery_in_ms;
    out->failures = counts.failures;
    out->refused = counts.refused;
    out->opened = counts.opened;
    out->half_opened = counts.half_opened;
    out->closed = counts.closed;
    out->in_flight = ckiti_backpressure_in_flight(&guard->backpressure);
    out->waiting = atomic_load(&guard->backpressure.waiting);
    out->waited = atomic_load(&guard->backpressure.waited);
    out->rejected = atomic_load(&guard->backpressure.rejected);
    out->accepting = out->waiting == 0 || out->waiting < guard->backpressure.queue_size * 0.8;
    out->retries = atomic_load(&guard->retries);
    out->recovered = atomic_load(&guard->recovered);
    ckiti_timeout_look(&guard->data, &out->data);
    ckiti_timeout_look(&guard->locks, &out->locks);
}

void ckit_guard_get_stats(ckit_guard *guard, ckit_guard_stats *out) {
    ckit_guard_stats all = CKIT_GUARD_STATS_INIT;
    if (guard == NULL || out == NULL) {
        return;
    }
    size_t size = out->struct_size < sizeof all ? out->struct_size : sizeof all;
    fill_stats(guard, &all);
    all.struct_size = out->struct_size;
    memcpy(out, &all, size);
}

void ckit_guard_get_options(const ckit_guard *guard, ckit_guard_options *out) {
    if (guard == NULL || out == NULL) {
        return;
    }
    ckit_guard_options all = guard->options;
    size_t             size = out->struct_size < sizeof all ? out->struct_size : sizeof all;
    all.struct_size = out->struct_size;
    memcpy(out, &all, size);
}

bool ckit_backend_guard_stats(const ckit_backend *backend, ckit_guard_stats *out) {
    ckiti_guard *guard = ckiti_guard_of(backend);
    if (guard != NULL) {
        ckit_guard_get_stats(guard, out);
    }
    return guard != NULL;
}

bool ckiti_guard_shuts(ckiti_guard *guard) {
    return guard != NULL && guard->breaks && ckiti_breaker_shuts(&guard->breaker, ckiti_guard_now_us(guard) / 1000);
}

void ckit_guard_reset(ckit_guard *guard) {
    bool moved = false;
    if (guard == NULL) {
        return;
    }
    ckiti_breaker_reset(&guard->breaker, &moved);
    if (moved) {
        ckiti_guard_say_state(guard, NULL);
    }
}

bool ckit_backend_guard_reset(const ckit_backend *backend) {
    ckiti_guard *guard = ckiti_guard_of(backend);
    if (guard != NULL) {
        ckit_guard_reset(guard);
    }
    return guard != NULL;
}
