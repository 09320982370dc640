/* cache/flight.h - one computation per key in this process: the first caller leads, the others wait for it.
 *
 * A leader ends its flight in one of two ways: it lands with a document, which everybody who waits gets, or it abandons
 * it (the function failed, the call was cancelled), and the caller that has waited longest leads on. So no failure of a
 * leader hangs a follower, and each caller sees only errors of its own run of the function.
 *
 * Who comes after an invalidation must not get what was computed before it: a flight whose leader was overtaken takes
 * no more followers, and the next caller leads a new one. */
#ifndef CKITI_CACHE_FLIGHT_H
#define CKITI_CACHE_FLIGHT_H

#include <cachekit/types.h>
#include <pthread.h>

#define CKITI_FLIGHT_SHARDS 8u
#define CKITI_FLIGHT_CHAINS 512u /* of a shard: a batch leads thousands */

typedef enum ckiti_seat_state {
    CKITI_SEAT_NONE = 0, /* in no flight */
    CKITI_SEAT_WAITING,  /* follower */
    CKITI_SEAT_LEADER,
    CKITI_SEAT_LANDED /* was a follower; the document is in `value` */
} ckiti_seat_state;

/* A caller's place in a flight; part of the caller's operation. */
typedef struct ckiti_seat {
    ckiti_seat_state     state; /* guarded by the shard's lock while WAITING */
    ckit_slice           key;   /* the memory tier's key; stays valid as long as the seat is taken */
    uint64_t             hash;
    const void          *scope; /* keys of different scopes are different */
    struct ckiti_flight *flight;
    struct ckiti_seat   *next; /* the line of followers */
    struct ckiti_seat   *prev;
    ckit_value           value;
    pthread_cond_t      *wake; /* a blocking follower's condition; NULL: `changed` is called instead */
    /* Called with the shard's lock held when a follower is WAITING, became LEADER or LANDED: it may only take leaf
     * locks. */
    void (*changed)(struct ckiti_seat *seat);
    /* Of a leader, called with the shard's lock held: its work began before an invalidation. NULL: never. */
    bool (*overtaken)(const struct ckiti_seat *seat);
    bool      blocks;        /* waits in its thread though it has no `wake`: one of a batch */
    bool      reentrant;     /* leads nothing: this thread computes the key already */
    bool      elsewhere;     /* this thread does not run what the seat is for: a background refresh */
    bool      computed_only; /* takes no result that was only found: its caller has rejected one */
    pthread_t thread;        /* that took the seat */
} ckiti_seat;

typedef struct ckiti_flight_shard {
    pthread_mutex_t      mu; /* before locks of stripes, workers and polls; never held across the store or a function */
    struct ckiti_flight *chains[CKITI_FLIGHT_CHAINS];
    struct ckiti_flight *overtaken; /* no longer found, but not over */
} ckiti_flight_shard;

typedef struct ckiti_flights {
    ckiti_flight_shard   shards[CKITI_FLIGHT_SHARDS];
    struct ckiti_flight *orphans; /* flights whose leaders a fork left behind */
    const ckit_alloc    *alloc;
} ckiti_flights;

void ckiti_flights_init(ckiti_flights *flights, const ckit_alloc *alloc);
void ckiti_flights_fini(ckiti_flights *flights);

/* Takes a seat: LEADER of a new flight, WAITING in one under way (only when `may_wait`, else NONE), or LEADER without a
 * flight when there is no memory, or when a blocking caller would wait for itself (the same thread leads it). */
ckiti_seat_state ckiti_flight_join(ckiti_flights *flights, ckiti_seat *seat, bool may_wait);
/* Waits until the seat changes or `wait_ms` of real time are over; returns its state. Only with `wake`. */
ckiti_seat_state ckiti_flight_wait(ckiti_flights *flights, ckiti_seat *seat, uint64_t wait_ms);
/* Fills an empty value with the result; called with the shard's lock held. False: it is not to be had any more. */
typedef bool (*ckiti_lend_fn)(void *context, ckit_value *out);
/* The leader lands with a result that was `computed`, or else found: every follower who takes it is lent it. Where
 * lending fails, and to who is left, the flight is handed over. */
void ckiti_flight_land(ckiti_flights *flights, ckiti_seat *seat, bool computed, ckiti_lend_fn lend, void *context,
                       uint64_t life_ms);
/* The leader gives up: the first follower leads. True when there was one. */
bool ckiti_flight_abandon(ckiti_flights *flights, ckiti_seat *seat);
/* A follower leaves; false when it is no follower any more (then it leads or has landed). */
bool ckiti_flight_leave(ckiti_flights *flights, ckiti_seat *seat);

/* Another thread is going to run the function, and no thread does until it says so. */
void ckiti_flight_move_away(ckiti_flights *flights, ckiti_seat *seat);
/* The calling thread is the one that runs the function from here on. */
void ckiti_flight_move_here(ckiti_flights *flights, ckiti_seat *seat);

void ckiti_flights_fork_prepare(ckiti_flights *flights);
void ckiti_flights_fork_parent(ckiti_flights *flights);
/* Nobody waits any more: seats of followers become NONE. */
void ckiti_flights_fork_child(ckiti_flights *flights);

#endif
