/* soak_world.h - what the processes of the fleet's rehearsal share: the truth about every key, and what each thread is
 * at.
 *
 * A key is a slot and a generation. The versions of a slot only grow; `floor` is the version below which nobody who has
 * heard of the last change may see anything. A write whose fate is unknown (it failed, or its process was killed) may
 * still take effect at any time, so its key is given up: the slot goes on with the next generation. */
#ifndef CKIT_SCENARIOS_SOAK_WORLD_H
#define CKIT_SCENARIOS_SOAK_WORLD_H

#include <cachekit/buf.h>
#include <cachekit/cachekit.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOAK_WORKERS 4u
#define SOAK_THREADS 4u  /* of a worker; the last one listens */
#define SOAK_ENTRIES 48u /* slots that are set and deleted */
#define SOAK_SLOTS 80u   /* the others are calls of a function */
#define SOAK_LOCKS 4u
#define SOAK_REMARKS 16u
#define SOAK_REMARK_SIZE 200u

typedef enum soak_op {
    SOAK_GET,
    SOAK_GET_MANY,
    SOAK_SET,
    SOAK_DELETE,
    SOAK_CALL,
    SOAK_REFRESH,
    SOAK_INVALIDATE,
    SOAK_SCOPE,
    SOAK_LOCK,
    SOAK_FENCE,
    SOAK_OPEN,
    SOAK_CLOSE,
    SOAK_OPS
} soak_op;

typedef struct soak_slot {
    pthread_mutex_t  writing; /* robust, of all processes; entries alone: one writer at a time */
    _Atomic uint32_t generation;
    _Atomic uint64_t version; /* the last one handed out; of a call: what its function would answer */
    _Atomic uint64_t floor;
} soak_slot;

typedef struct soak_row {
    _Atomic uint64_t done, failed, slowest_ms;
} soak_row;

typedef struct soak_place {    /* what a thread is at */
    _Atomic uint64_t since_ms; /* 0: between operations */
    _Atomic int      op;
    _Atomic uint32_t slot; /* the call or write it is in, + 1 */
} soak_place;

typedef struct soak_world {
    soak_slot        slots[SOAK_SLOTS];
    soak_place       places[SOAK_WORKERS][SOAK_THREADS];
    soak_row         rows[SOAK_OPS];
    _Atomic uint64_t lock_fence[SOAK_LOCKS];
    _Atomic bool     ends;
    bool             cluster;     /* keys are at several servers, and each tells of its own */
    _Atomic uint64_t told_checks; /* reads compared with what the worker had been told */
    _Atomic uint64_t own_checks;  /* and with its own last write */
    _Atomic uint64_t given_up;    /* keys whose last write has an unknown fate */
    _Atomic uint64_t from_memory;
    _Atomic uint64_t guarded, lost; /* watches */
    _Atomic uint64_t wrong, stale, fences_back;
    _Atomic uint32_t remarks;
    char             remark[SOAK_REMARKS][SOAK_REMARK_SIZE];
} soak_world;

uint64_t    soak_now_ms(void);
void        soak_nap(uint64_t us);
uint64_t    soak_random(uint64_t *state);
const char *soak_op_name(soak_op op);

/* Of memory that processes share; NULL when there is none. */
soak_world *soak_world_new(void);
void        soak_world_free(soak_world *w);
/* What went wrong, for people: the first few are kept. */
void soak_remark(soak_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void soak_raise(_Atomic uint64_t *to, uint64_t value);
void soak_give_up(soak_world *w, unsigned slot);
/* Of a worker that was killed. */
void soak_bury(soak_world *w, unsigned worker);
/* The table; true when all went well. */
bool soak_report(const soak_world *w, const char *headline, uint64_t hangs, uint64_t crashes, const char *path);

/* A value that says whose it is. `bytes` of filler. */
void soak_write_value(ckit_buf *out, unsigned slot, uint32_t generation, uint64_t version, size_t bytes);
/* The version, or 0 for what is not a value of that key. */
uint64_t soak_read_value(ckit_slice value, unsigned slot, uint32_t generation);

/* ---- a worker ---------------------------------------------------------------------------------------------------- */

/* The life of a worker process, until the world ends. */
_Noreturn void soak_work(soak_world *w, unsigned self, const char *url, uint64_t seed);

#endif
