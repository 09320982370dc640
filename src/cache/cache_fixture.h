/* cache/cache_fixture.h - what the tests of the pipeline share: a cache over a fake store on a fake clock, a function
 * that counts its runs and can be held up, and calls in threads of their own. */
#ifndef CKITI_CACHE_FIXTURE_H
#define CKITI_CACHE_FIXTURE_H

#include "support/fake_backend.h"
#include "support/fake_clock.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/cache.h>
#include <cachekit/document.h>
#include <cachekit/function.h>
#include <cachekit/poll.h>
#include <cachekit/value.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- the cache --------------------------------------------------------------------------------------------------- */

typedef struct log_sink {
    ckit_log        log;
    pthread_mutex_t mu;
    unsigned        lines;
    size_t          len;
    char            text[32768]; /* "component: line\n" and so on */
} log_sink;

typedef struct fixture {
    fake_clock         time;
    fake_store        *store; /* NULL: memory only */
    ckit_cache_options options;
    ckit_cache        *cache;
    log_sink           log;
} fixture;

/* A cache with default options, but the clock and the log. */
void fixture_open(fixture *f, fake_kind kind);
void fixture_open_memory(fixture *f);
/* In two steps: options may be changed between. Every connection to the store is opened with fixture_cache. */
void        fixture_prepare(fixture *f);
void        fixture_start(fixture *f, fake_kind kind);
void        fixture_start_memory(fixture *f);
ckit_cache *fixture_cache(fixture *f, fake_kind kind);
void        fixture_close(fixture *f);

ckit_cache_stats stats_of(ckit_cache *cache);
/* Waits until `*counter` is at least `value`; fails the test after 30 s. */
void wait_until(const _Atomic uint64_t *counter, uint64_t value);
/* The same for a condition. */
void wait_for(bool (*is_so)(void *context), void *context);
/* Time passes on the fake clock, and the background threads of the cache see it now: otherwise they look at the clock
 * only when they have slept for as long as they were to wait (a second at most). */
void pass(fixture *f, uint64_t ms);
/* A moment for others to run; never what a test relies on. */
void breathe(void);

/* ---- the function ------------------------------------------------------------------------------------------------ */

/* Gives the number `result` as its value, or `status` as its failure. */
typedef struct loader {
    _Atomic uint64_t runs; /* begun */
    _Atomic uint64_t ended;
    _Atomic uint64_t result;
    _Atomic int      status;
    _Atomic uint64_t failures; /* how many of the next runs fail with `status`; UINT64_MAX: all */
    _Atomic uint64_t ttl_ms;   /* chosen by the function; 0: none */
    _Atomic size_t   size;     /* bytes of the value; 0: a plain number */
    _Atomic bool     silent;   /* writes nothing */
    /* held up */
    pthread_mutex_t mu;
    pthread_cond_t  changed;
    bool            shut;
    unsigned        waiting;
    unsigned        tickets;
} loader;

void        loader_init(loader *l);
ckit_status loader_run(void *context, ckit_load *load, ckit_error *err);
/* Runs that begin from now on stop until they are let go. What they give is settled before they stop. */
void loader_shut(loader *l);
void loader_wait_stopped(loader *l, unsigned runs);
void loader_let_one(loader *l);
void loader_open(loader *l);
void loader_fail(loader *l, ckit_status status, uint64_t times);

/* A function "test.load" (or another name) with this loader. */
ckit_function *function_of(ckit_cache *cache, const char *name, loader *l, const ckit_function_options *options);

/* ---- a cache, a function and another process --------------------------------------------------------------------- */

/* A function "test.load" with its loader; after stage_join also the same function in another process, which a second
 * cache over the same store plays. */
typedef struct stage {
    fixture        f;
    loader         l; /* of both */
    ckit_function *fn;
    ckit_cache    *other; /* NULL: nobody joined */
    ckit_function *there;
} stage;

/* `options` of the function may be NULL. */
void stage_open(stage *s, fake_kind kind, const ckit_function_options *options);
void stage_open_memory(stage *s, const ckit_function_options *options);
/* In two steps: the options of the cache (s->f.options) may be changed between. */
void stage_prepare(stage *s);
void stage_start(stage *s, fake_kind kind, const ckit_function_options *options);
void stage_start_memory(stage *s, const ckit_function_options *options);
void stage_join(stage *s, fake_kind kind, const ckit_function_options *options);
void stage_close(stage *s);
/* Both at once, with options that default. */
void stage_open_two(stage *s, fake_kind kind);
/* The store has the call's own entry; the one beside it for what is served late (stale.h). */
bool stage_has_key(const stage *s, int64_t argument);
bool stage_has_late(const stage *s, int64_t argument);

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* The document that the loader writes for a number. */
void     write_number(ckit_writer *w, uint64_t number, size_t size);
uint64_t read_number(const ckit_value *value);

typedef struct answer {
    ckit_status status;
    uint64_t    number;
    uint64_t    life_ms;
    ckit_source source;
    bool        stale;
    ckit_error  error;
} answer;

/* ckit_call with one integer argument. */
answer call(ckit_function *function, int64_t argument);
answer refresh(ckit_function *function, int64_t argument);
/* ckit_call that must succeed; checks who answered and what. */
void check_call(const char *file, int line, ckit_function *function, int64_t argument, ckit_source source,
                uint64_t number);
#define CHECK_CALL(source, number, function, argument)                                                                 \
    check_call(__FILE__, __LINE__, (function), (argument), (source), (number))
/* ckit_begin with one integer argument; `start` comes without it and without its size. */
ckit_status begin_op(ckit_function *function, int64_t argument, ckit_op **op, ckit_value *value);
ckit_status begin_with(ckit_start start, int64_t argument, ckit_op **op, ckit_value *value);
ckit_status invalidate(ckit_function *function, int64_t argument);
/* For wait_for: the function's value for 7 comes fresh from memory. */
bool serves_fresh(void *function);
/* The store's key of a call; to be freed with ckit_buf_fini. */
ckit_buf key_of(ckit_function *function, int64_t argument);

/* The store has the entry under the key of a call with `suffix` behind it. */
bool fixture_has(const fixture *f, ckit_function *function, int64_t argument, const char *suffix);

/* A call in a thread of its own. */
typedef struct threaded_call {
    ckit_function *function;
    int64_t        argument;
    bool           refreshes;
    pthread_t      thread;
    answer         answer;
} threaded_call;

void   call_start(threaded_call *c, ckit_function *function, int64_t argument);
answer call_join(threaded_call *c);
/* The same, and waits until the loader, or an operation of the store, holds it up; to be opened. */
void call_stop_in_loader(threaded_call *c, ckit_function *function, int64_t argument, loader *l);
void call_stop_in_store(threaded_call *c, ckit_function *function, int64_t argument, fake_store *store, fake_op op,
                        fake_when when);
/* Waits until that many calls of the cache have waited for another call. */
void wait_flight_waits(ckit_cache *cache, uint64_t waited);

#endif
