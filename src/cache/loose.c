#include "cache/loose.h"

#include "base/alloc.h"

#include <string.h>

void ckiti_loose_init(ckiti_loose *loose, const ckit_alloc *alloc) { loose->alloc = alloc; }

void ckiti_loose_fini(ckiti_loose *loose) {
    ckiti_loose_lock *lock;
    while ((lock = ckiti_loose_take(loose, UINT64_MAX)) != NULL) {
        ckiti_loose_free(loose, lock);
    }
}

bool ckiti_loose_add(ckiti_loose *loose, ckit_slice key, const ckit_lease *lease, bool may_come, uint64_t due_ms,
                     uint64_t end_ms) {
    if (atomic_load(&loose->count) >= CKITI_LOOSE_MOST) {
        return false;
    }
    ckiti_loose_lock *lock = ckiti_alloc_zeroed(loose->alloc, 1, sizeof *lock + key.len);
    if (lock == NULL) {
        return false;
    }
    lock->end_ms = end_ms;
    lock->lease = *lease;
    lock->may_come = may_come;
    lock->key_len = key.len;
    if (key.len > 0) {
        memcpy(lock->key, key.ptr, key.len);
    }
    ckiti_loose_put(loose, lock, due_ms);
    return true;
}

ckiti_loose_lock *ckiti_loose_take(ckiti_loose *loose, uint64_t now_ms) {
    ckiti_loose_lock *lock = loose->first;
    if (lock == NULL || lock->due_ms > now_ms) {
        return NULL;
    }
    loose->first = lock->next;
    if (loose->first == NULL) {
        loose->last = NULL;
    }
    atomic_fetch_sub(&loose->count, 1);
    return lock;
}

/* Most are due last. */
void ckiti_loose_put(ckiti_loose *loose, ckiti_loose_lock *lock, uint64_t due_ms) {
    ckiti_loose_lock **at = loose->last != NULL && loose->last->due_ms <= due_ms ? &loose->last->next : &loose->first;
    while (*at != NULL && (*at)->due_ms <= due_ms) {
        at = &(*at)->next;
    }
    lock->due_ms = due_ms;
    lock->next = *at;
    *at = lock;
    if (lock->next == NULL) {
        loose->last = lock;
    }
    atomic_fetch_add(&loose->count, 1);
}

void ckiti_loose_free(const ckiti_loose *loose, ckiti_loose_lock *lock) {
    ckiti_free(loose->alloc, lock, sizeof *lock + lock->key_len);
}
