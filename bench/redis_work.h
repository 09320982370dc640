/* redis_work.h - a Redis server, and what is done with it: by the store and by hiredis. */
#ifndef BENCH_REDIS_WORK_H
#define BENCH_REDIS_WORK_H

#include "support/redis_server.h"

#include <cachekit/ext/backend.h>
#include <pthread.h>

#define KEYS 1000u
#define VALUE_BYTES 64u
#define THREADS 64u
#define PEER_THREADS 32u
#define IN_FLIGHT 512u
#define MANY 100u
#define LARGE_KEYS 4u
#define LARGE_BYTES 1000000u

/* A store on the server and connections of hiredis beside it. `turns` spread the threads over the keys. */
typedef struct place {
    redis_server           *server;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    char                    keys[KEYS][104];
    uint64_t                turns[THREADS][8]; /* a cache line each */
    struct redisContext    *peers[PEER_THREADS];
    struct flight          *flight;
    uint8_t                *large; /* a value */
} place;

void require(bool good, const char *what);
/* Binds a process, 0 this thread, to a core. */
void pin(pid_t pid, size_t core);

/* Over TCP or the UNIX socket; `alloc` NULL: malloc. Ends the program when it does not work. */
place *place_make(redis_server *server, bool local, const ckit_alloc *alloc);
void   place_remove(place *p);

void get_into(place *p, unsigned thread, uint64_t operations, bool life, ckit_buf *out);

/* Works; their context is a place. */
void run_get(void *context, unsigned thread, uint64_t operations);
void run_flight(void *context, unsigned thread, uint64_t operations); /* IN_FLIGHT at a time; one thread */
void run_many(void *context, unsigned thread, uint64_t operations);
/* As many requests as ever wait at once, so that whatever they need has been allocated. */
void fill_flight(place *p);
/* The same without asking for the life that is left, so that the server does what it does for hiredis. */
void run_value(void *context, unsigned thread, uint64_t operations);
void run_many_values(void *context, unsigned thread, uint64_t operations);
void run_large_get(void *context, unsigned thread, uint64_t operations);
void run_large_set(void *context, unsigned thread, uint64_t operations);
/* By hiredis; there only where it was found. */
void run_peer_get(void *context, unsigned thread, uint64_t operations);
void run_peer_many(void *context, unsigned thread, uint64_t operations);
void run_peer_large_get(void *context, unsigned thread, uint64_t operations);
void run_peer_large_set(void *context, unsigned thread, uint64_t operations);

#endif
