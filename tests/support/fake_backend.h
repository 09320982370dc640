/* support/fake_backend.h - a store in memory that does what the test tells it: counts, fails, blocks, lies.
 *
 *     fake_store *store = fake_store_open(&time);
 *     ckit_cache_new(&options, fake_connect(store, FAKE_LOCKING), &cache, &err);
 *     fake_fail(store, FAKE_SET, CKIT_E_IO, 1);
 *     ...
 *     ckit_cache_close(cache);
 *     fake_store_close(store);
 *
 * Several caches may be connected to one store, which is how tests play several processes. Thread-safe. Entries expire
 * by the fake clock. After fork the child has a copy, with every gate open. */
#ifndef CKIT_SUPPORT_FAKE_BACKEND_H
#define CKIT_SUPPORT_FAKE_BACKEND_H

#include "support/fake_clock.h"

#include <cachekit/ext/backend.h>

typedef enum fake_op {
    FAKE_GET,
    FAKE_SET,
    FAKE_REMOVE,
    FAKE_EXISTS,
    FAKE_HEALTH,
    FAKE_TTL,
    FAKE_TOUCH,
    FAKE_GET_MANY,
    FAKE_SUBMIT,
    FAKE_LIST,
    FAKE_DELETE_SCOPE,
    FAKE_LOCK_TRY,
    FAKE_LOCK_RENEW,
    FAKE_LOCK_RELEASE,
    FAKE_SET_IF_OWNER,    /* such a write is a FAKE_SET first, at its gate and in the log; then it may fail as this */
    FAKE_SET_MANY,        /* each of its keys may fail as a FAKE_SET */
    FAKE_LOCK_TRY_MANY,   /* each of its keys may fail as a FAKE_LOCK_TRY */
    FAKE_LOCK_RENEW_MANY, /* and so on */
    FAKE_LOCK_RELEASE_MANY,
    FAKE_SET_MANY_IF_OWNER,
    FAKE_HURRY, /* is counted, and nothing else */
    FAKE_OP_COUNT
} fake_op;

/* What a connection offers. */
typedef enum fake_kind {
    FAKE_REQUIRED,          /* nothing optional */
    FAKE_FULL,              /* everything but locks and submit */
    FAKE_LOCKING,           /* and locks, one by one */
    FAKE_LOCKING_MANY,      /* and many at once */
    FAKE_UNFENCED,          /* locks, but no set_if_owner */
    FAKE_SUBMITTING,        /* FAKE_FULL and submit, answered from a thread of the store's own */
    FAKE_SUBMITTING_AT_ONCE /* the same, answered before submit returns */
} fake_kind;

typedef struct fake_store fake_store;

/* `time` may be NULL: then nothing expires. */
fake_store *fake_store_open(const fake_clock *time);
/* Every backend that was connected has been closed. */
void fake_store_close(fake_store *store);

/* One more backend over the same entries; fails the test when it cannot. */
ckit_backend *fake_connect(fake_store *store, fake_kind kind);

/* ---- what it is to do ---------------------------------------------------------------------------------------- */

/* The next `times` calls of `op` answer `status` and do nothing else. Counts again from now. UINT64_MAX: all. */
void fake_fail(fake_store *store, fake_op op, ckit_status status, uint64_t times);
/* The same, and the story tells what the system said. EAGAIN: the store pauses, until somebody hurries it. */
void fake_fail_errno(fake_store *store, fake_op op, ckit_status status, int sys_errno, uint64_t times);
/* The next `times` locks that are tried for are answered `status`, and the lease is told: the store takes them all the
 * same, or, when `late`, with fake_arrive. */
void fake_lose_locks(fake_store *store, ckit_status status, bool late, uint64_t times);
void fake_arrive(fake_store *store);
/* Calls take a moment before and after what they do, so that others come between. */
void fake_dawdle(fake_store *store, bool dawdle);
/* Lives are told as CKIT_LIFE_UNKNOWN. */
void fake_hide_lives(fake_store *store, bool hide);
/* The same of values that are read: lives are told to those who ask for them. */
void fake_hide_lives_of_values(fake_store *store, bool hide);

/* Calls of `op` that come from now on stop, before they do anything or after they have done it, until they are let
 * through. A get or submit that stops afterwards has read its value. */
typedef enum fake_when { FAKE_BEFORE, FAKE_AFTER } fake_when;
void fake_shut(fake_store *store, fake_op op, fake_when when);
/* Waits until that many calls of `op` stand at its gate; fails the test when they do not come (30 s). */
void fake_wait_stopped(fake_store *store, fake_op op, unsigned calls);
/* Lets one of them through, or everybody from now on. */
void fake_let_one(fake_store *store, fake_op op);
void fake_open_gate(fake_store *store, fake_op op);

/* ---- what it has ------------------------------------------------------------------------------------------------- */

size_t fake_count(fake_store *store);
bool   fake_has(fake_store *store, ckit_slice key);
/* The only entry's key and value; fail the test when there is not exactly one. Valid until the store changes. */
ckit_slice fake_only_key(fake_store *store);
ckit_slice fake_only_value(fake_store *store);
/* Stores bytes as another program would. */
void fake_put(fake_store *store, ckit_slice key, ckit_slice value, uint64_t life_ms);
/* Damages every value: the byte at `at` (from the end when negative) is changed. */
void fake_damage(fake_store *store, long at);
/* Somebody else takes the lock of the key, or gives it up again. */
void fake_lock_elsewhere(fake_store *store, ckit_slice key);
void fake_unlock_elsewhere(fake_store *store, ckit_slice key);
bool fake_is_locked(fake_store *store);
/* How many locks are held. */
size_t fake_locks(fake_store *store);
/* Of the last set. The names stay valid until the next. */
uint64_t    fake_last_ttl(fake_store *store);
const char *fake_last_namespace(fake_store *store);
const char *fake_last_function(fake_store *store);
uint64_t    fake_last_deadline(fake_store *store, fake_op op);

/* ---- what it saw ------------------------------------------------------------------------------------------------- */

uint64_t fake_calls(fake_store *store, fake_op op);
/* Waits until `op` has been called that often; fails the test after 30 s. */
void fake_wait_calls(fake_store *store, fake_op op, uint64_t calls);
/* Counts from zero again, and forgets the log. */
void fake_forget_calls(fake_store *store);
/* "get MISS, lock_try OK, get MISS, set OK": the calls so far, in order of their ends. Valid until the next call. A
 * submitted read counts as `get`. */
const char *fake_log(fake_store *store);

#endif
