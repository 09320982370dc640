/* What tests do to the fake store, and what they see of it. */
#include "support/fake_parts.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <time.h>

#define PATIENCE_S 30

void fake_fail(fake_store *store, fake_op op, ckit_status status, uint64_t times) {
    fake_fail_errno(store, op, status, 0, times);
}

void fake_fail_errno(fake_store *store, fake_op op, ckit_status status, int sys_errno, uint64_t times) {
    pthread_mutex_lock(&store->mu);
    store->failures[op].status = status;
    store->failures[op].sys_errno = sys_errno;
    store->failures[op].times = times;
    pthread_mutex_unlock(&store->mu);
}

void fake_lose_locks(fake_store *store, ckit_status status, bool late, uint64_t times) {
    pthread_mutex_lock(&store->mu);
    store->lost_locks.status = status;
    store->lost_locks.late = late;
    store->lost_locks.times = times;
    pthread_mutex_unlock(&store->mu);
}

void fake_arrive(fake_store *store) {
    pthread_mutex_lock(&store->mu);
    for (fake_lock *l = store->locks; l != NULL; l = l->next) {
        l->held |= l->arrives;
        l->arrives = false;
    }
    pthread_mutex_unlock(&store->mu);
}

void fake_dawdle(fake_store *store, bool dawdles) {
    pthread_mutex_lock(&store->mu);
    store->dawdles = dawdles;
    pthread_mutex_unlock(&store->mu);
}

void fake_hide_lives(fake_store *store, bool hide) {
    pthread_mutex_lock(&store->mu);
    store->hide_lives = hide;
    pthread_mutex_unlock(&store->mu);
}

void fake_hide_lives_of_values(fake_store *store, bool hide) {
    pthread_mutex_lock(&store->mu);
    store->hide_lives_of_values = hide;
    pthread_mutex_unlock(&store->mu);
}

static void set_gate(fake_store *store, fake_op op, bool shut, fake_when when) {
    pthread_mutex_lock(&store->mu);
    store->gates[op].shut = shut;
    store->gates[op].when = when;
    store->gates[op].tickets = 0;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->mu);
}

void fake_shut(fake_store *store, fake_op op, fake_when when) { set_gate(store, op, true, when); }

void fake_open_gate(fake_store *store, fake_op op) { set_gate(store, op, false, FAKE_BEFORE); }

void fake_let_one(fake_store *store, fake_op op) {
    pthread_mutex_lock(&store->mu);
    store->gates[op].tickets++;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->mu);
}

static struct timespec patience(void) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    return until;
}

void fake_wait_stopped(fake_store *store, fake_op op, unsigned calls) {
    struct timespec until = patience();
    int             late = 0;
    pthread_mutex_lock(&store->mu);
    while (store->gates[op].waiting < calls && late == 0)
        late = pthread_cond_timedwait(&store->changed, &store->mu, &until);
    unsigned waiting = store->gates[op].waiting;
    pthread_mutex_unlock(&store->mu);
    CHECKF(waiting >= calls, "%u calls of %s stand at the gate, %u were to come", waiting, fake_op_names[op], calls);
}

void fake_wait_calls(fake_store *store, fake_op op, uint64_t calls) {
    struct timespec until = patience();
    int             late = 0;
    pthread_mutex_lock(&store->mu);
    while (store->calls[op] < calls && late == 0)
        late = pthread_cond_timedwait(&store->changed, &store->mu, &until);
    uint64_t seen = store->calls[op];
    pthread_mutex_unlock(&store->mu);
    CHECKF(seen >= calls, "%s was called %u times, %u were to come", fake_op_names[op], (unsigned)seen,
           (unsigned)calls);
}

size_t fake_count(fake_store *store) {
    size_t count = 0;
    pthread_mutex_lock(&store->mu);
    for (unsigned i = 0; i < FAKE_CHAINS; i++) {
        for (fake_entry *e = store->chains[i]; e != NULL; e = e->next)
            count += fake_now(store) < e->end_ms;
    }
    pthread_mutex_unlock(&store->mu);
    return count;
}

bool fake_has(fake_store *store, ckit_slice key) {
    pthread_mutex_lock(&store->mu);
    bool has = fake_find(store, key) != NULL;
    pthread_mutex_unlock(&store->mu);
    return has;
}

static const fake_entry *only_entry(fake_store *store) {
    CHECK_EQ_U(1, fake_count(store));
    const fake_entry *only = NULL;
    for (unsigned i = 0; i < FAKE_CHAINS; i++) {
        for (fake_entry *e = store->chains[i]; e != NULL; e = e->next) {
            only = fake_now(store) < e->end_ms ? e : only;
        }
    }
    CHECK(only != NULL);
    return only;
}

ckit_slice fake_only_key(fake_store *store) { return ckit_buf_slice(&only_entry(store)->key); }

ckit_slice fake_only_value(fake_store *store) { return ckit_buf_slice(&only_entry(store)->value); }

void fake_put(fake_store *store, ckit_slice key, ckit_slice value, uint64_t life_ms) {
    pthread_mutex_lock(&store->mu);
    fake_write(store, key, value, life_ms, ckit_slice_of(NULL, 0), ckit_slice_of(NULL, 0));
    pthread_mutex_unlock(&store->mu);
}

void fake_damage(fake_store *store, long at) {
    pthread_mutex_lock(&store->mu);
    for (unsigned i = 0; i < FAKE_CHAINS; i++) {
        for (fake_entry *e = store->chains[i]; e != NULL; e = e->next) {
            size_t place = at < 0 ? e->value.len - (size_t)-at : (size_t)at;
            if (place < e->value.len) e->value.ptr[place] ^= 0x55;
        }
    }
    pthread_mutex_unlock(&store->mu);
}

void fake_lock_elsewhere(fake_store *store, ckit_slice key) {
    ckit_lease lease;
    pthread_mutex_lock(&store->mu);
    bool taken = fake_take_lock(store, key, CKIT_LIFE_NO_EXPIRY, &lease);
    pthread_mutex_unlock(&store->mu);
    CHECK(taken);
}

void fake_unlock_elsewhere(fake_store *store, ckit_slice key) {
    pthread_mutex_lock(&store->mu);
    fake_lock_of(store, key)->held = false;
    pthread_mutex_unlock(&store->mu);
}

size_t fake_locks(fake_store *store) {
    size_t held = 0;
    pthread_mutex_lock(&store->mu);
    for (const fake_lock *l = store->locks; l != NULL; l = l->next)
        held += l->held;
    pthread_mutex_unlock(&store->mu);
    return held;
}

bool fake_is_locked(fake_store *store) { return fake_locks(store) > 0; }

uint64_t fake_last_ttl(fake_store *store) {
    pthread_mutex_lock(&store->mu);
    uint64_t ttl_ms = store->last_ttl_ms;
    pthread_mutex_unlock(&store->mu);
    return ttl_ms;
}

const char *fake_last_namespace(fake_store *store) { return store->last_namespace; }

const char *fake_last_function(fake_store *store) { return store->last_function; }

uint64_t fake_last_deadline(fake_store *store, fake_op op) {
    pthread_mutex_lock(&store->mu);
    uint64_t deadline_ms = store->deadlines[op];
    pthread_mutex_unlock(&store->mu);
    return deadline_ms;
}

uint64_t fake_calls(fake_store *store, fake_op op) {
    pthread_mutex_lock(&store->mu);
    uint64_t calls = store->calls[op];
    pthread_mutex_unlock(&store->mu);
    return calls;
}

void fake_forget_calls(fake_store *store) {
    pthread_mutex_lock(&store->mu);
    memset(store->calls, 0, sizeof store->calls);
    store->log_len = 0;
    store->log[0] = 0;
    pthread_mutex_unlock(&store->mu);
}

const char *fake_log(fake_store *store) { return store->log; }
