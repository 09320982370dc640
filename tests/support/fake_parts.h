/* support/fake_parts.h - the insides of the fake store, which its three parts share: what it holds and does
 * (fake_backend.c), its locks (fake_locks.c), and what tests do to it and see (fake_control.c). */
#ifndef CKIT_SUPPORT_FAKE_PARTS_H
#define CKIT_SUPPORT_FAKE_PARTS_H

#include "support/fake_backend.h"

#include <pthread.h>

#define FAKE_CHAINS 1024u
#define FAKE_LOG_BYTES 8192u

typedef struct fake_entry {
    struct fake_entry *next;
    ckit_buf           key;
    ckit_buf           value;
    uint64_t           end_ms; /* UINT64_MAX: never */
    char               namespace_name[64];
    char               function[256];
} fake_entry;

typedef struct fake_lock {
    struct fake_lock *next;
    ckit_buf          key;
    uint64_t          fence;
    uint64_t          end_ms;
    bool              held;
    bool              arrives; /* with fake_arrive */
} fake_lock;

typedef struct fake_gate {
    bool      shut;
    fake_when when;
    unsigned  waiting;
    unsigned  tickets;
} fake_gate;

typedef struct fake_waiting {
    struct fake_waiting *next;
    ckit_request        *request;
} fake_waiting;

/* mu guards everything; nothing of the library is called with it held, but buffers. */
struct fake_store {
    pthread_mutex_t   mu;
    pthread_cond_t    changed;
    const fake_clock *time;
    fake_entry       *chains[FAKE_CHAINS];
    size_t            count;
    fake_lock        *locks;
    uint64_t          fences;
    bool              hide_lives;
    bool              hide_lives_of_values;
    bool              dawdles;
    uint64_t          calls[FAKE_OP_COUNT];
    uint64_t          deadlines[FAKE_OP_COUNT];
    fake_gate         gates[FAKE_OP_COUNT];
    struct {
        ckit_status status;
        uint64_t    times;
        int         sys_errno;
    } failures[FAKE_OP_COUNT];
    struct {
        ckit_status status;
        uint64_t    times;
        bool        late;
    } lost_locks;
    char          log[FAKE_LOG_BYTES];
    size_t        log_len;
    uint64_t      last_ttl_ms;
    char          last_namespace[64];
    char          last_function[256];
    unsigned      connections;
    fake_waiting *requests;
    pthread_t     answerer;
    bool          answering;
    bool          closing;
    fake_store   *next; /* of all stores, for fork */
};

extern const char *const fake_op_names[FAKE_OP_COUNT];

/* With the lock held. */
uint64_t fake_now(const fake_store *store);
uint64_t fake_end_of(const fake_store *store, uint64_t life_ms);
/* The live entry, or NULL. */
fake_entry *fake_find(fake_store *store, ckit_slice key);
void        fake_write(fake_store *store, ckit_slice key, ckit_slice value, uint64_t life_ms, ckit_slice namespace_name,
                       ckit_slice function);
void        fake_write_with(fake_store *store, ckit_slice key, ckit_slice value, const ckit_entry_info *info);

/* An operation from its beginning, which takes the lock, to its end, which gives it back. False when it is to fail with
 * *st. */
bool        fake_begin(fake_store *store, fake_op op, uint64_t deadline_ms, ckit_status *st);
ckit_status fake_end(fake_store *store, fake_op op, ckit_status st, ckit_error *err);
/* The next key of a call of many fails as a call of its own would. */
bool fake_fails_alone(fake_store *store, fake_op op, ckit_status *st);

/* ---- fake_locks.c ---- */

fake_lock *fake_lock_of(fake_store *store, ckit_slice key);
bool       fake_take_lock(fake_store *store, ckit_slice key, uint64_t lease_ms, ckit_lease *lease);

ckit_status fake_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                          ckit_error *err);
ckit_status fake_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                            uint64_t deadline_ms, ckit_error *err);
ckit_status fake_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                              ckit_error *err);
ckit_status fake_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                              const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err);
ckit_status fake_lock_try_many(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                               uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers, ckit_error *err);
ckit_status fake_lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                 uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
ckit_status fake_lock_release_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                   uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
ckit_status fake_set_many_if_owner(void *self, const ckit_slice *keys, const ckit_slice *values,
                                   const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                   uint64_t deadline_ms, ckit_status *answers, ckit_error *err);

#endif
