/* chaos.h - breaks what a cache stands on and watches what its callers get.
 *
 * A row breaks one thing while threads call and judges what they saw. Two caches over one store play two processes,
 * "sides". Side s alone changes the entries "s-0", "s-1", ...: each new value is a larger number, so whoever reads a
 * smaller one than the last that was written or removed before he asked has been given an older value. */
#ifndef CKIT_TESTS_CHAOS_H
#define CKIT_TESTS_CHAOS_H

#include "support/fault_proxy.h"
#include "support/redis_server.h"

#include <cachekit/cachekit.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define SIDES 2u
#define CALLERS 3u /* threads of each side that call the function */
#define ARGUMENTS 32
#define ENTRIES 16u

/* What the caches of the rows are set to. */
#define TTL_MS 400u
#define STALE_MS 800u
#define TIMEOUT_MS 500u /* the longest that one operation of the store may take */
#define RECOVERY_MS 1000u
#define FLIGHT_MS 1000u
#define LEASE_MS 1000u
#define LOCK_WAIT_MS 500u
#define FUNCTION_MS 2u
#define AGREE_MS 3000u

typedef struct plan {
    bool        quick; /* small counts, and times are not judged */
    const char *self;  /* this program */
} plan;

/* What a row came to. */
typedef struct outcome {
    const char *fault;
    uint64_t    calls;
    uint64_t    fresh; /* from memory or the store */
    uint64_t    stale;
    uint64_t    computed;  /* by this call or by one it waited for */
    uint64_t    errors;    /* that callers saw and that were not the function's own */
    uint64_t    runs;      /* of the function */
    uint64_t    most_runs; /* 0: not bounded */
    uint64_t    older;     /* values older than one that had been replaced or removed */
    uint64_t    worst_ms;
    uint64_t    bound_ms;
    int64_t     agreed_ms; /* after the fault had ended; -1: not asked for */
    char        note[120];
    char        broken[160]; /* "": all bounds hold */
    bool        skipped;
} outcome;

/* ---- judging (report.c) ------------------------------------------------------------------------------------------ */

/* The row does not hold; the first reason stays. */
void broken(outcome *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
void skip(outcome *o, const char *why);
/* Errors, older values, runs, and unless `quick` the times. */
void judge(const plan *p, outcome *o);
void print_head(void);
void print_row(const outcome *o);
bool write_json(const char *path, const outcome *rows, size_t count, double seconds);

/* ---- the world (world.c) ----------------------------------------------------------------------------------------- */

typedef struct side {
    struct world    *world;
    unsigned         number;
    fault_proxy      proxy;
    ckit_cache      *cache;
    ckit_function   *function;
    _Atomic uint64_t newest[ENTRIES]; /* of its own entries; odd: it has been removed since */
    _Atomic uint64_t floor[ENTRIES];  /* nothing below may be read any more */
} side;

typedef struct world {
    const plan      *plan;
    redis_server     server;
    bool             has_server;
    char             dir[64];       /* of the file store */
    _Atomic int64_t  clock_step_ms; /* of the wall clock of the caches */
    ckit_clock       clock;
    bool             own_clock;
    side             sides[SIDES];
    _Atomic bool     stops;
    _Atomic uint64_t calls, fresh, stale, computed, errors, own_errors, runs, older, worst_us;
    _Atomic uint64_t fails;    /* so many of the next runs of the function fail */
    char             why[200]; /* the first error of a caller, or older value */
    pthread_mutex_t  mu;
    pthread_t        threads[SIDES * (CALLERS + 1)];
} world;

uint64_t now_us(void);
uint64_t now_ms(void);
void     nap_ms(uint64_t ms);

typedef struct settings {
    uint32_t max_concurrent; /* 0: the guard's default */
    uint32_t flight_wait_ms;
    uint32_t lock_wait_ms;
    bool     no_lock;
    bool     no_breaker;
    bool     plain; /* values live for an hour and are never stale */
} settings;

/* A Redis server, with a proxy for each side. False: there is none; the row is skipped. */
bool world_open_redis(world *w, const plan *p, const settings *s, outcome *o);
/* A file store in `dir`; side 1 has no memory of its own. */
bool world_open_files(world *w, const plan *p, const settings *s, const char *dir, outcome *o);
void world_close(world *w);
void each_proxy(world *w, void (*set)(fault_proxy *proxy, uint32_t value), uint32_t value);

/* One call of the function; counted, and its time too. Returns it. */
ckit_source call_function(side *s, int64_t argument);
/* Threads call, write, remove and read until world_rest. */
void world_work(world *w);
void world_rest(world *w);
/* After the fault has ended and the threads rest: until nobody reads anything older, and a while longer. */
int64_t await_agreement(world *w);
/* Takes the counters. */
void world_tell(const world *w, outcome *o);

/* ---- the rows ---------------------------------------------------------------------------------------------------- */

typedef struct row {
    const char *fault;
    void (*run)(const plan *p, outcome *o);
} row;

extern const row    rows_of_store[];
extern const size_t rows_of_store_count;
extern const row    rows_of_files[];
extern const size_t rows_of_files_count;
extern const row    rows_of_leaders[];
extern const size_t rows_of_leaders_count;

/* A process of its own that takes the lock of one call and never returns; to be killed. */
int lead_for_ever(const char *url);

#endif
