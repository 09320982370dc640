/* The locks of the fake store. */
#include "support/fake_parts.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <stdlib.h>

fake_lock *fake_lock_of(fake_store *store, ckit_slice key) {
    fake_lock *l = store->locks;
    while (l != NULL && !ckit_slice_equal(ckit_buf_slice(&l->key), key))
        l = l->next;
    if (l == NULL) {
        l = calloc(1, sizeof *l);
        CHECK(l != NULL);
        (void)ckit_buf_append(&l->key, key);
        l->next = store->locks;
        store->locks = l;
    }
    if (l->held && fake_now(store) >= l->end_ms) l->held = false;
    return l;
}

bool fake_take_lock(fake_store *store, ckit_slice key, uint64_t lease_ms, ckit_lease *lease) {
    fake_lock *l = fake_lock_of(store, key);
    if (l->held) return false;
    l->held = true;
    l->fence = ++store->fences;
    l->end_ms = fake_end_of(store, lease_ms);
    *lease = (ckit_lease){.fence = l->fence};
    return true;
}

/* Nobody hears of it. */
static ckit_status lose_lock(fake_store *store, ckit_slice key, uint64_t lease_ms, ckit_lease *lease) {
    store->lost_locks.times--;
    if (fake_take_lock(store, key, lease_ms, lease)) {
        fake_lock *l = fake_lock_of(store, key);
        l->arrives = store->lost_locks.late;
        l->held = !l->arrives;
    }
    return store->lost_locks.status;
}

static ckit_status try_lock(fake_store *store, ckit_slice key, uint64_t lease_ms, ckit_lease *lease) {
    if (store->lost_locks.times > 0) return lose_lock(store, key, lease_ms, lease);
    return fake_take_lock(store, key, lease_ms, lease) ? CKIT_OK : CKIT_MISS;
}

static bool owns(fake_store *store, ckit_slice key, const ckit_lease *lease) {
    const fake_lock *l = fake_lock_of(store, key);
    return l->held && l->fence == lease->fence;
}

ckit_status fake_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                          ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (fake_begin(store, FAKE_LOCK_TRY, deadline_ms, &st)) st = try_lock(store, key, lease_ms, lease);
    return fake_end(store, FAKE_LOCK_TRY, st, err);
}

ckit_status fake_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                            uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (fake_begin(store, FAKE_LOCK_RENEW, deadline_ms, &st)) {
        st = owns(store, key, lease) ? CKIT_OK : CKIT_MISS;
        if (st == CKIT_OK) fake_lock_of(store, key)->end_ms = fake_end_of(store, lease_ms);
    }
    return fake_end(store, FAKE_LOCK_RENEW, st, err);
}

ckit_status fake_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                              ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (fake_begin(store, FAKE_LOCK_RELEASE, deadline_ms, &st)) {
        st = owns(store, key, lease) ? CKIT_OK : CKIT_MISS;
        if (st == CKIT_OK) fake_lock_of(store, key)->held = false;
    }
    return fake_end(store, FAKE_LOCK_RELEASE, st, err);
}

ckit_status fake_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                              const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (fake_begin(store, FAKE_SET, deadline_ms, &st)) {
        store->calls[FAKE_SET_IF_OWNER]++;
        bool fails = store->failures[FAKE_SET_IF_OWNER].times > 0;
        if (fails) store->failures[FAKE_SET_IF_OWNER].times--;
        st = fails ? store->failures[FAKE_SET_IF_OWNER].status : owns(store, key, lease) ? CKIT_OK : CKIT_MISS;
        if (st == CKIT_OK) fake_write_with(store, key, value, info);
    }
    return fake_end(store, FAKE_SET, st, err);
}

/* ---- locks of many keys ------------------------------------------------------------------------------------------ */

ckit_status fake_lock_try_many(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                               uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (fake_begin(store, FAKE_LOCK_TRY_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fake_fails_alone(store, FAKE_LOCK_TRY, &answers[i])) {
                answers[i] = try_lock(store, keys[i], lease_ms, &leases[i]);
            }
        }
    }
    return fake_end(store, FAKE_LOCK_TRY_MANY, st, err);
}

ckit_status fake_lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                 uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (fake_begin(store, FAKE_LOCK_RENEW_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fake_fails_alone(store, FAKE_LOCK_RENEW, &answers[i])) {
                answers[i] = owns(store, keys[i], &leases[i]) ? CKIT_OK : CKIT_MISS;
            }
            if (answers[i] == CKIT_OK) fake_lock_of(store, keys[i])->end_ms = fake_end_of(store, lease_ms);
        }
    }
    return fake_end(store, FAKE_LOCK_RENEW_MANY, st, err);
}

ckit_status fake_lock_release_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                   uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (fake_begin(store, FAKE_LOCK_RELEASE_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fake_fails_alone(store, FAKE_LOCK_RELEASE, &answers[i])) {
                answers[i] = owns(store, keys[i], &leases[i]) ? CKIT_OK : CKIT_MISS;
            }
            if (answers[i] == CKIT_OK) fake_lock_of(store, keys[i])->held = false;
        }
    }
    return fake_end(store, FAKE_LOCK_RELEASE_MANY, st, err);
}

ckit_status fake_set_many_if_owner(void *self, const ckit_slice *keys, const ckit_slice *values,
                                   const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                   uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (fake_begin(store, FAKE_SET_MANY_IF_OWNER, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fake_fails_alone(store, FAKE_SET_IF_OWNER, &answers[i])) {
                answers[i] = owns(store, keys[i], &leases[i]) ? CKIT_OK : CKIT_MISS;
            }
            if (answers[i] == CKIT_OK) fake_write_with(store, keys[i], values[i], &infos[i]);
        }
    }
    return fake_end(store, FAKE_SET_MANY_IF_OWNER, st, err);
}
