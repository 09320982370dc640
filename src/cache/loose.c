#include "cache/loose.h"

#include "base/alloc.h"

#include <string.h>

void ckiti_loose_init(ckiti_loose *loose, const ckit_alloc *alloc) { loose->alloc = alloc; }

void ckiti_loose_fini(ckiti_loose *loose) {
    ckiti_loose_forked(loose);
    for (ckiti_loose_lock *lock; (lock = loose->first) != NULL;) {
        loose->first = lock->next;
        ckiti_loose_free(loose, lock);
    }
    loose->last = NULL;
}

void ckiti_loose_free(ckiti_loose *loose, ckiti_loose_lock *lock) {
    ckiti_free(loose->alloc, lock, sizeof *lock + lock->key_len);
    atomic_fetch_sub(&loose->count, 1);
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
    atomic_fetch_add(&loose->count, 1);
    return true;
}

static bool is_asked(const ckiti_loose *loose, const ckiti_loose_lock *lock) {
    const ckiti_loose_lock *other = loose->asked;
    while (other != NULL && (other->key_len != lock->key_len || memcmp(other->key, lock->key, lock->key_len) != 0)) {
        other = other->next;
    }
    return other != NULL;
}

size_t ckiti_loose_take(ckiti_loose *loose, uint64_t now_ms, bool all, size_t most) {
    ckiti_loose_lock **end = &loose->asked;
    size_t             count = 0;
    for (ckiti_loose_lock *lock; count < most && (lock = loose->first) != NULL && (all || lock->due_ms <= now_ms);) {
        bool over = lock->end_ms <= now_ms;
        if (!over && is_asked(loose, lock)) {
            break; /* the next time */
        }
        loose->first = lock->next;
        loose->last = loose->first == NULL ? NULL : loose->last;
        if (over) {
            ckiti_loose_free(loose, lock);
        } else {
            lock->next = NULL;
            *end = lock;
            end = &lock->next;
            count++;
        }
    }
    return count;
}

ckiti_loose_lock *ckiti_loose_answered(ckiti_loose *loose) {
    ckiti_loose_lock *lock = loose->asked;
    if (lock != NULL) {
        loose->asked = lock->next;
    }
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
}

void ckiti_loose_forked(ckiti_loose *loose) {
    for (ckiti_loose_lock *lock; (lock = ckiti_loose_answered(loose)) != NULL;) {
        ckiti_loose_put(loose, lock, lock->due_ms);
    }
}
