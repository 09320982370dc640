#include "memory/books.h"

void ckiti_books_init(ckiti_books *books, uint64_t max, ckiti_l1_budget *shared) {
    pthread_mutex_init(&books->lock, NULL);
    atomic_init(&books->used, 0);
    books->max = max;
    books->shared = shared;
}

void ckiti_books_fini(ckiti_books *books) { pthread_mutex_destroy(&books->lock); }

/* Other tiers take from the shared budget at the same time, each under a lock of its own. */
static bool take_shared(ckiti_l1_budget *shared, uint64_t bytes) {
    uint64_t used = atomic_load_explicit(&shared->used_bytes, memory_order_relaxed);
    do {
        if (used > shared->max_bytes || bytes > shared->max_bytes - used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&shared->used_bytes, &used, used + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* `used` is written under the lock only; readers of statistics look without it. */
static void set_used(ckiti_books *books, uint64_t used) {
    atomic_store_explicit(&books->used, used, memory_order_relaxed);
}

bool ckiti_books_take(ckiti_books *books, uint64_t bytes) {
    pthread_mutex_lock(&books->lock);
    uint64_t used = ckiti_books_used(books);
    bool     ok = used <= books->max && bytes <= books->max - used &&
              (books->shared == NULL || take_shared(books->shared, bytes));
    if (ok) {
        set_used(books, used + bytes);
    }
    pthread_mutex_unlock(&books->lock);
    return ok;
}

void ckiti_books_force(ckiti_books *books, uint64_t bytes) {
    pthread_mutex_lock(&books->lock);
    set_used(books, ckiti_books_used(books) + bytes);
    if (books->shared != NULL) {
        atomic_fetch_add_explicit(&books->shared->used_bytes, bytes, memory_order_relaxed);
    }
    pthread_mutex_unlock(&books->lock);
}

void ckiti_books_give(ckiti_books *books, uint64_t bytes) {
    pthread_mutex_lock(&books->lock);
    set_used(books, ckiti_books_used(books) - bytes);
    if (books->shared != NULL) {
        atomic_fetch_sub_explicit(&books->shared->used_bytes, bytes, memory_order_relaxed);
    }
    pthread_mutex_unlock(&books->lock);
}

uint64_t ckiti_books_excess(const ckiti_books *books) {
    uint64_t used = ckiti_books_used(books);
    uint64_t own = used > books->max ? used - books->max : 0;
    if (books->shared == NULL) {
        return own;
    }
    uint64_t all = atomic_load_explicit(&books->shared->used_bytes, memory_order_relaxed);
    uint64_t common = all > books->shared->max_bytes ? all - books->shared->max_bytes : 0;
    return own > common ? own : common;
}

void ckiti_books_leave_shared(ckiti_books *books) {
    pthread_mutex_lock(&books->lock);
    if (books->shared != NULL) {
        atomic_fetch_sub_explicit(&books->shared->used_bytes, ckiti_books_used(books), memory_order_relaxed);
        books->shared = NULL;
    }
    pthread_mutex_unlock(&books->lock);
}
