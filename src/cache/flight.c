#include "cache/flight.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <cachekit/buf.h>
#include <cachekit/value.h>
#include <time.h>

typedef struct ckiti_flight {
    struct ckiti_flight  *next;
    struct ckiti_flight **link; /* what points at this one in its list; NULL: an orphan */
    ckiti_seat           *leader;
    ckiti_seat           *first; /* followers, longest wait first */
    ckiti_seat           *last;
    ckit_slice            key; /* the leader's; a successor's after a hand-over */
    uint64_t              hash;
    const void           *scope;
} ckiti_flight;

void ckiti_flights_init(ckiti_flights *flights, const ckit_alloc *alloc) {
    *flights = (ckiti_flights){.alloc = alloc};
    for (unsigned i = 0; i < CKITI_FLIGHT_SHARDS; i++) {
        pthread_mutex_init(&flights->shards[i].mu, NULL);
    }
}

static void free_chain(ckiti_flights *flights, ckiti_flight *flight) {
    while (flight != NULL) {
        ckiti_flight *next = flight->next;
        ckiti_free(flights->alloc, flight, sizeof *flight);
        flight = next;
    }
}

void ckiti_flights_fini(ckiti_flights *flights) {
    for (unsigned i = 0; i < CKITI_FLIGHT_SHARDS; i++) {
        for (unsigned c = 0; c < CKITI_FLIGHT_CHAINS; c++) {
            free_chain(flights, flights->shards[i].chains[c]);
        }
        free_chain(flights, flights->shards[i].overtaken);
        pthread_mutex_destroy(&flights->shards[i].mu);
    }
    free_chain(flights, flights->orphans);
}

static ckiti_flight_shard *shard_of(ckiti_flights *flights, uint64_t hash) {
    return &flights->shards[(hash >> 40) % CKITI_FLIGHT_SHARDS];
}

static ckiti_flight **chain_of(ckiti_flight_shard *shard, uint64_t hash) {
    return &shard->chains[(hash >> 48) % CKITI_FLIGHT_CHAINS];
}

static ckiti_flight *find(ckiti_flight *flight, const ckiti_seat *seat) {
    while (flight != NULL &&
           (flight->hash != seat->hash || flight->scope != seat->scope || !ckit_slice_equal(flight->key, seat->key))) {
        flight = flight->next;
    }
    return flight;
}

static void put_into(ckiti_flight **list, ckiti_flight *flight) {
    flight->next = *list;
    flight->link = list;
    if (flight->next != NULL) {
        flight->next->link = &flight->next;
    }
    *list = flight;
}

static void take_out(ckiti_flight *flight) {
    *flight->link = flight->next;
    if (flight->next != NULL) {
        flight->next->link = flight->link;
    }
}

static void take_lead(ckiti_flight *flight, ckiti_seat *seat) {
    flight->leader = seat;
    flight->key = seat->key;
    seat->flight = flight;
    seat->state = CKITI_SEAT_LEADER;
}

static void start_flight(ckiti_flights *flights, ckiti_flight **chain, ckiti_seat *seat) {
    ckiti_flight *flight = ckiti_alloc(flights->alloc, sizeof *flight);
    seat->state = CKITI_SEAT_LEADER;
    seat->flight = NULL;
    if (flight != NULL) {
        *flight = (ckiti_flight){.hash = seat->hash, .scope = seat->scope};
        put_into(chain, flight);
        take_lead(flight, seat);
    }
}

static void stand_in_line(ckiti_flight *flight, ckiti_seat *seat) {
    seat->flight = flight;
    seat->next = NULL;
    seat->prev = flight->last;
    if (flight->last != NULL) {
        flight->last->next = seat;
    } else {
        flight->first = seat;
    }
    flight->last = seat;
    seat->state = CKITI_SEAT_WAITING;
    if (seat->wake == NULL) {
        seat->changed(seat);
    }
}

/* The function calls itself with the same arguments: waiting would be for ever. */
static bool would_wait_for_itself(const ckiti_flight *flight, const ckiti_seat *seat) {
    return (seat->wake != NULL || seat->blocks) && !flight->leader->elsewhere &&
           pthread_equal(flight->leader->thread, seat->thread);
}

ckiti_seat_state ckiti_flight_join(ckiti_flights *flights, ckiti_seat *seat, bool may_wait) {
    ckiti_flight_shard *shard = shard_of(flights, seat->hash);
    ckiti_seat_state    state = CKITI_SEAT_NONE;
    seat->thread = pthread_self();
    pthread_mutex_lock(&shard->mu);
    ckiti_flight **chain = chain_of(shard, seat->hash);
    ckiti_flight  *flight = find(*chain, seat);
    if (flight != NULL && flight->leader->overtaken != NULL && flight->leader->overtaken(flight->leader)) {
        take_out(flight);
        put_into(&shard->overtaken, flight);
        flight = NULL;
    }
    if (flight == NULL) {
        start_flight(flights, chain, seat);
        state = CKITI_SEAT_LEADER;
    } else if (may_wait && would_wait_for_itself(flight, seat)) {
        seat->flight = NULL;
        seat->reentrant = true;
        state = seat->state = CKITI_SEAT_LEADER;
    } else if (may_wait) {
        stand_in_line(flight, seat);
        state = CKITI_SEAT_WAITING;
    }
    pthread_mutex_unlock(&shard->mu);
    return state;
}

ckiti_seat_state ckiti_flight_wait(ckiti_flights *flights, ckiti_seat *seat, uint64_t wait_ms) {
    ckiti_flight_shard *shard = shard_of(flights, seat->hash);
    struct timespec     until = ckiti_real_time_in(wait_ms);
    int                 waited = 0;
    pthread_mutex_lock(&shard->mu);
    while (seat->state == CKITI_SEAT_WAITING && waited == 0) {
        waited = pthread_cond_timedwait(seat->wake, &shard->mu, &until);
    }
    ckiti_seat_state state = seat->state;
    pthread_mutex_unlock(&shard->mu);
    return state;
}

static void tell(ckiti_seat *seat) {
    if (seat->wake != NULL) {
        pthread_cond_signal(seat->wake);
    } else {
        seat->changed(seat);
    }
}

/* With the lock held. */
static void step_out_of_line(ckiti_seat *seat) {
    ckiti_flight *flight = seat->flight;
    if (seat->prev != NULL) {
        seat->prev->next = seat->next;
    } else {
        flight->first = seat->next; /* NOLINT(clang-analyzer-core.NullDereference): who stands in line has one */
    }
    if (seat->next != NULL) {
        seat->next->prev = seat->prev;
    } else {
        flight->last = seat->prev;
    }
    seat->next = seat->prev = NULL;
    seat->flight = NULL;
}

static void remove_flight(ckiti_flights *flights, ckiti_flight *flight) {
    if (flight->link != NULL) { /* else it is an orphan, kept until the end */
        take_out(flight);
        ckiti_free(flights->alloc, flight, sizeof *flight);
    }
}

/* With the lock held. True when somebody leads on, false when the flight is over. */
static bool end_flight(ckiti_flights *flights, ckiti_flight *flight) {
    ckiti_seat *successor = flight->first;
    if (successor == NULL) {
        remove_flight(flights, flight);
        return false;
    }
    step_out_of_line(successor);
    take_lead(flight, successor);
    tell(successor);
    return true;
}

/* With the lock held: others may look at the seat until it is given back. */
static void leave_seat(ckiti_seat *seat) {
    seat->flight = NULL;
    seat->state = CKITI_SEAT_NONE;
}

void ckiti_flight_land(ckiti_flights *flights, ckiti_seat *seat, bool computed, ckiti_lend_fn lend, void *context,
                       uint64_t life_ms) {
    ckiti_flight_shard *shard = shard_of(flights, seat->hash);
    pthread_mutex_lock(&shard->mu);
    ckiti_flight *flight = seat->flight;
    for (ckiti_seat *follower = flight != NULL ? flight->first : NULL, *next; follower != NULL; follower = next) {
        next = follower->next;
        if (follower->computed_only && !computed) {
            continue;
        }
        if (!lend(context, &follower->value)) {
            break;
        }
        step_out_of_line(follower);
        follower->value.life_ms = life_ms;
        follower->value.source = CKIT_SOURCE_FLIGHT;
        follower->state = CKITI_SEAT_LANDED;
        tell(follower);
    }
    if (flight != NULL) {
        (void)end_flight(flights, flight);
    }
    leave_seat(seat);
    pthread_mutex_unlock(&shard->mu);
}

bool ckiti_flight_abandon(ckiti_flights *flights, ckiti_seat *seat) {
    ckiti_flight_shard *shard = shard_of(flights, seat->hash);
    pthread_mutex_lock(&shard->mu);
    bool handed_over = seat->flight != NULL && end_flight(flights, seat->flight);
    leave_seat(seat);
    pthread_mutex_unlock(&shard->mu);
    return handed_over;
}

bool ckiti_flight_leave(ckiti_flights *flights, ckiti_seat *seat) {
    ckiti_flight_shard *shard = shard_of(flights, seat->hash);
    pthread_mutex_lock(&shard->mu);
    bool waiting = seat->state == CKITI_SEAT_WAITING;
    if (waiting) {
        step_out_of_line(seat);
        seat->state = CKITI_SEAT_NONE;
    }
    pthread_mutex_unlock(&shard->mu);
    return waiting;
}

void ckiti_flight_move_away(ckiti_flights *flights, ckiti_seat *seat) {
    ckiti_flight_shard *shard = shard_of(flights, seat->hash);
    pthread_mutex_lock(&shard->mu);
    seat->elsewhere = true;
    pthread_mutex_unlock(&shard->mu);
}

void ckiti_flight_move_here(ckiti_flights *flights, ckiti_seat *seat) {
    ckiti_flight_shard *shard = shard_of(flights, seat->hash);
    pthread_mutex_lock(&shard->mu);
    seat->thread = pthread_self();
    seat->elsewhere = false;
    pthread_mutex_unlock(&shard->mu);
}

void ckiti_flights_fork_prepare(ckiti_flights *flights) {
    for (unsigned i = 0; i < CKITI_FLIGHT_SHARDS; i++) {
        pthread_mutex_lock(&flights->shards[i].mu);
    }
}

void ckiti_flights_fork_parent(ckiti_flights *flights) {
    for (unsigned i = 0; i < CKITI_FLIGHT_SHARDS; i++) {
        pthread_mutex_unlock(&flights->shards[i].mu);
    }
}

static void orphan_chain(ckiti_flights *flights, ckiti_flight **chain) {
    while (*chain != NULL) {
        ckiti_flight *flight = *chain;
        while (flight->first != NULL) {
            ckiti_seat *follower = flight->first;
            step_out_of_line(follower);
            follower->state = CKITI_SEAT_NONE;
        }
        take_out(flight);
        flight->link = NULL;
        flight->next = flights->orphans;
        flights->orphans = flight;
    }
}

/* Leaders in other threads are gone, and so are followers (their stacks are still there); the thread that forked may
 * lead one itself, so the flights are put aside, not freed. */
void ckiti_flights_fork_child(ckiti_flights *flights) {
    for (unsigned i = 0; i < CKITI_FLIGHT_SHARDS; i++) {
        for (unsigned c = 0; c < CKITI_FLIGHT_CHAINS; c++) {
            orphan_chain(flights, &flights->shards[i].chains[c]);
        }
        orphan_chain(flights, &flights->shards[i].overtaken);
    }
    ckiti_flights_fork_parent(flights);
}
