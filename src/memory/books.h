/* memory/books.h - how many bytes a tier has, of its own budget and of the one it shares.
 *
 * Thread-safe. The lock is a leaf: nothing is locked after it. It is taken once for a page, a table or a value with a
 * mapping of its own, not for every entry. */
#ifndef CKITI_MEMORY_BOOKS_H
#define CKITI_MEMORY_BOOKS_H

#include "memory/l1.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct ckiti_books {
    pthread_mutex_t  lock;
    _Atomic uint64_t used;
    uint64_t         max;
    ckiti_l1_budget *shared; /* NULL: none, or no more */
} ckiti_books;

void ckiti_books_init(ckiti_books *books, uint64_t max, ckiti_l1_budget *shared);
void ckiti_books_fini(ckiti_books *books);

/* Takes `bytes` when both budgets have room for them. */
bool ckiti_books_take(ckiti_books *books, uint64_t bytes);
/* Takes them in any case. For bookkeeping that must grow now; the tier then makes room at once. */
void ckiti_books_force(ckiti_books *books, uint64_t bytes);
void ckiti_books_give(ckiti_books *books, uint64_t bytes);

/* Bytes by which a budget is exceeded; 0 when both hold. */
uint64_t ckiti_books_excess(const ckiti_books *books);

/* Gives everything back to the shared budget and forgets it: values may outlive it. */
void ckiti_books_leave_shared(ckiti_books *books);

static inline uint64_t ckiti_books_used(const ckiti_books *books) {
    return atomic_load_explicit(&books->used, memory_order_relaxed);
}

#endif
