#include "cache/cache_fixture.h"

#include "cache/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE_S 30

/* ---- the cache --------------------------------------------------------------------------------------------------- */

static void write_line(void *self, ckit_log_level level, const char *component, const char *line) {
    log_sink *sink = self;
    (void)level;
    pthread_mutex_lock(&sink->mu);
    sink->lines++;
    int len = snprintf(sink->text + sink->len, sizeof sink->text - sink->len, "%s: %s\n", component, line);
    if (len > 0 && sink->len + (size_t)len < sizeof sink->text) {
        sink->len += (size_t)len;
    }
    pthread_mutex_unlock(&sink->mu);
}

void fixture_prepare(fixture *f) {
    memset(f, 0, sizeof *f);
    fake_clock_init(&f->time);
    pthread_mutex_init(&f->log.mu, NULL);
    f->log.log = (ckit_log){write_line, &f->log, CKIT_LOG_DEBUG};
    f->options = (ckit_cache_options)CKIT_CACHE_OPTIONS_INIT;
    f->options.clock = &f->time.clock;
    f->options.log = &f->log.log;
}

ckit_cache *fixture_cache(fixture *f, fake_kind kind) {
    ckit_cache *cache = NULL;
    ckit_error  err = CKIT_ERROR_INIT;
    if (f->store == NULL) {
        f->store = fake_store_open(&f->time);
    }
    CHECK_OK_ERR(ckit_cache_new(&f->options, fake_connect(f->store, kind), &cache, &err), &err);
    return cache;
}

void fixture_start(fixture *f, fake_kind kind) { f->cache = fixture_cache(f, kind); }

void fixture_start_memory(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_cache_new(&f->options, NULL, &f->cache, &err), &err);
}

void fixture_open(fixture *f, fake_kind kind) {
    fixture_prepare(f);
    fixture_start(f, kind);
}

void fixture_open_memory(fixture *f) {
    fixture_prepare(f);
    fixture_start_memory(f);
}

void fixture_close(fixture *f) {
    ckit_cache_close(f->cache);
    if (f->store != NULL) {
        fake_store_close(f->store);
    }
    pthread_mutex_destroy(&f->log.mu);
}

ckit_cache_stats stats_of(ckit_cache *cache) {
    ckit_cache_stats stats = {.struct_size = sizeof stats};
    ckit_cache_get_stats(cache, &stats);
    return stats;
}

static void wake(ckiti_workers *workers) {
    pthread_mutex_lock(&workers->mu);
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->mu);
}

void pass(fixture *f, uint64_t ms) {
    fake_clock_advance(&f->time, ms);
    wake(&f->cache->workers);
    wake(&f->cache->leases.pool);
}

void breathe(void) {
    struct timespec moment = {0, 1000000};
    nanosleep(&moment, NULL);
}

void wait_for(bool (*is_so)(void *context), void *context) {
    for (unsigned i = 0; i < PATIENCE_S * 1000 && !is_so(context); i++) {
        breathe();
    }
    CHECK(is_so(context));
}

typedef struct target {
    const _Atomic uint64_t *counter;
    uint64_t                value;
} target;

static bool has_reached(void *context) {
    const target *t = context;
    return atomic_load(t->counter) >= t->value;
}

void wait_until(const _Atomic uint64_t *counter, uint64_t value) {
    target t = {counter, value};
    wait_for(has_reached, &t);
}

typedef struct waits {
    ckit_cache *cache;
    uint64_t    value;
} waits;

static bool has_waited(void *context) {
    const waits *w = context;
    return stats_of(w->cache).flight_waits >= w->value;
}

void wait_flight_waits(ckit_cache *cache, uint64_t waited) {
    waits w = {cache, waited};
    wait_for(has_waited, &w);
}

/* ---- the function ------------------------------------------------------------------------------------------------ */

void loader_init(loader *l) {
    memset(l, 0, sizeof *l);
    atomic_init(&l->result, 1);
    pthread_mutex_init(&l->mu, NULL);
    ckiti_cond_init(&l->changed);
}

static void stand_at_gate(loader *l) {
    pthread_mutex_lock(&l->mu);
    if (l->shut) {
        l->waiting++;
        pthread_cond_broadcast(&l->changed);
        while (l->shut && l->tickets == 0) {
            pthread_cond_wait(&l->changed, &l->mu);
        }
        l->tickets -= l->shut;
        l->waiting--;
    }
    pthread_mutex_unlock(&l->mu);
}

static bool takes_failure(loader *l) {
    uint64_t left = atomic_load(&l->failures);
    while (left != 0 && left != UINT64_MAX && !atomic_compare_exchange_weak(&l->failures, &left, left - 1)) {}
    return left != 0;
}

ckit_status loader_run(void *context, ckit_load *load, ckit_error *err) {
    loader     *l = context;
    uint64_t    number = atomic_load(&l->result);
    ckit_status st = takes_failure(l) ? (ckit_status)atomic_load(&l->status) : CKIT_OK;
    atomic_fetch_add(&l->runs, 1);
    stand_at_gate(l);
    load->ttl_ms = atomic_load(&l->ttl_ms);
    if (st == CKIT_OK && !atomic_load(&l->silent)) {
        write_number(load->result, number, atomic_load(&l->size));
    }
    atomic_fetch_add(&l->ended, 1);
    return st == CKIT_OK
               ? st
               : ckit_fail(err, st, "loader", "failed as told, run %llu", (unsigned long long)atomic_load(&l->runs));
}

static void set_gate(loader *l, bool shut) {
    pthread_mutex_lock(&l->mu);
    l->shut = shut;
    l->tickets = 0;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mu);
}

void loader_shut(loader *l) { set_gate(l, true); }
void loader_open(loader *l) { set_gate(l, false); }

void loader_let_one(loader *l) {
    pthread_mutex_lock(&l->mu);
    l->tickets++;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mu);
}

void loader_wait_stopped(loader *l, unsigned runs) {
    struct timespec until;
    int             late = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&l->mu);
    while (l->waiting < runs && late == 0) {
        late = pthread_cond_timedwait(&l->changed, &l->mu, &until);
    }
    unsigned waiting = l->waiting;
    pthread_mutex_unlock(&l->mu);
    CHECKF(waiting >= runs, "%u runs are held up, %u were to come", waiting, runs);
}

void loader_fail(loader *l, ckit_status status, uint64_t times) {
    atomic_store(&l->status, (int)status);
    atomic_store(&l->failures, times);
}

ckit_function *function_of(ckit_cache *cache, const char *name, loader *l, const ckit_function_options *options) {
    ckit_function *function = NULL;
    ckit_error     err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_function_new(cache, name, l == NULL ? NULL : loader_run, l, options, &function, &err), &err);
    return function;
}

/* ---- a cache, a function and another process --------------------------------------------------------------------- */

void stage_prepare(stage *s) {
    memset(s, 0, sizeof *s);
    fixture_prepare(&s->f);
    loader_init(&s->l);
}

void stage_start(stage *s, fake_kind kind, const ckit_function_options *options) {
    fixture_start(&s->f, kind);
    s->fn = function_of(s->f.cache, "test.load", &s->l, options);
}

void stage_start_memory(stage *s, const ckit_function_options *options) {
    fixture_start_memory(&s->f);
    s->fn = function_of(s->f.cache, "test.load", &s->l, options);
}

void stage_open(stage *s, fake_kind kind, const ckit_function_options *options) {
    stage_prepare(s);
    stage_start(s, kind, options);
}

void stage_open_memory(stage *s, const ckit_function_options *options) {
    stage_prepare(s);
    stage_start_memory(s, options);
}

void stage_join(stage *s, fake_kind kind, const ckit_function_options *options) {
    s->other = fixture_cache(&s->f, kind);
    s->there = function_of(s->other, "test.load", &s->l, options);
}

void stage_open_two(stage *s, fake_kind kind) {
    stage_open(s, kind, NULL);
    stage_join(s, kind, NULL);
}

void stage_close(stage *s) {
    ckit_function_close(s->there);
    ckit_cache_close(s->other);
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

void write_number(ckit_writer *w, uint64_t number, size_t size) {
    if (size == 0) {
        ckit_write_uint(w, number);
        return;
    }
    uint8_t *bytes = malloc(size);
    CHECK(bytes != NULL);
    memset(bytes, (int)(number & 0xff), size);
    memcpy(bytes, &number, size < sizeof number ? size : sizeof number);
    ckit_write_bin(w, ckit_slice_of(bytes, size));
    free(bytes);
}

uint64_t read_number(const ckit_value *value) {
    uint64_t   number = 0;
    ckit_slice bytes;
    if (ckit_document_bin(value->data, &bytes, NULL) == CKIT_OK) {
        CHECK(bytes.len >= sizeof number);
        memcpy(&number, bytes.ptr, sizeof number);
        for (size_t i = sizeof number; i < bytes.len; i++) {
            CHECKF(bytes.ptr[i] == (uint8_t)number, "byte %zu of a value", i);
        }
    } else {
        CHECK_OK(ckit_document_uint(value->data, &number, NULL));
    }
    return number;
}

static answer ask(ckit_status (*how)(ckit_function *, ckit_args *, ckit_value *, ckit_error *), ckit_function *function,
                  int64_t argument) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    answer     a = {.error = CKIT_ERROR_INIT};
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    a.status = how(function, &args, &value, &a.error);
    if (a.status == CKIT_OK) {
        a.number = read_number(&value);
        a.life_ms = value.life_ms;
        a.source = value.source;
        a.stale = value.stale;
    }
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return a;
}

answer call(ckit_function *function, int64_t argument) { return ask(ckit_call, function, argument); }

answer refresh(ckit_function *function, int64_t argument) { return ask(ckit_refresh, function, argument); }

void check_call(const char *file, int line, ckit_function *function, int64_t argument, ckit_source source,
                uint64_t number) {
    answer a = call(function, argument);
    ckit_check_status_err(file, line, "the call", CKIT_OK, a.status, &a.error);
    ckit_check_u(file, line, "its source", source, a.source);
    ckit_check_u(file, line, "its number", number, a.number);
}

ckit_status begin_with(ckit_start start, int64_t argument, ckit_op **op, ckit_value *value) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    start.struct_size = sizeof start;
    start.args = &args;
    ckit_status st = ckit_begin(&start, op, value, NULL);
    ckit_args_fini(&args);
    return st;
}

ckit_status begin_op(ckit_function *function, int64_t argument, ckit_op **op, ckit_value *value) {
    return begin_with((ckit_start){.function = function}, argument, op, value);
}

ckit_status invalidate(ckit_function *function, int64_t argument) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    ckit_status st = ckit_invalidate(function, &args, NULL);
    ckit_args_fini(&args);
    return st;
}

bool serves_fresh(void *function) {
    answer a = call(function, 7);
    return !a.stale && a.source == CKIT_SOURCE_MEMORY;
}

ckit_buf key_of(ckit_function *function, int64_t argument) {
    ckit_args args;
    ckit_buf  key = CKIT_BUF_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    CHECK_OK(ckit_function_key(function, &args, &key, NULL));
    ckit_args_fini(&args);
    return key;
}

static void *run_call(void *arg) {
    threaded_call *c = arg;
    c->answer = c->refreshes ? refresh(c->function, c->argument) : call(c->function, c->argument);
    return NULL;
}

void call_start(threaded_call *c, ckit_function *function, int64_t argument) {
    c->function = function;
    c->argument = argument;
    CHECK_EQ_I(0, pthread_create(&c->thread, NULL, run_call, c));
}

answer call_join(threaded_call *c) {
    pthread_join(c->thread, NULL);
    return c->answer;
}

void call_stop_in_loader(threaded_call *c, ckit_function *function, int64_t argument, loader *l) {
    loader_shut(l);
    call_start(c, function, argument);
    loader_wait_stopped(l, 1);
}

void call_stop_in_store(threaded_call *c, ckit_function *function, int64_t argument, fake_store *store, fake_op op,
                        fake_when when) {
    fake_shut(store, op, when);
    call_start(c, function, argument);
    fake_wait_stopped(store, op, 1);
}

bool fixture_has(const fixture *f, ckit_function *function, int64_t argument, const char *suffix) {
    ckit_buf key = key_of(function, argument);
    CHECK_OK(ckit_buf_append(&key, S(suffix)));
    bool there = fake_has(f->store, ckit_buf_slice(&key));
    ckit_buf_fini(&key);
    return there;
}

bool stage_has_key(const stage *s, int64_t argument) { return fixture_has(&s->f, s->fn, argument, ""); }
bool stage_has_late(const stage *s, int64_t argument) { return fixture_has(&s->f, s->fn, argument, ":stale"); }
