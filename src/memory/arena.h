/* memory/arena.h - the memory that entries live in: pages cut into pieces of one size each.
 *
 * One range of addresses as large as the budget is reserved at the start; pages of it are put into use one by one, each
 * charged to the books as a whole. A page belongs to one size class at a time; when all its pieces have come back it
 * serves any class again, or its memory is given back to the system. Pieces are named by 32-bit references:
 * base + reference * 8.
 *
 * Thread-safe. The lock is taken after a shard's lock and before the books'. */
#ifndef CKITI_MEMORY_ARENA_H
#define CKITI_MEMORY_ARENA_H

#include "memory/books.h"
#include "memory/entry.h"

#define CKITI_ARENA_MAX_CLASSES 200u

typedef struct ckiti_page ckiti_page;

typedef struct ckiti_class {
    uint32_t piece_bytes;
    uint32_t pieces;  /* in a page */
    uint32_t partial; /* first page with a free piece, + 1; 0 = none */
} ckiti_class;

typedef struct ckiti_arena {
    char             *base; /* where references count from */
    char             *start;
    void             *mapping; /* `start` before alignment */
    size_t            mapped;
    size_t            committed; /* bytes from `start` that are readable and writable */
    size_t            commit_step;
    size_t            page_bytes;
    unsigned          page_shift;
    bool              huge; /* 2 MiB pages are asked for */
    uint32_t          page_limit;
    uint32_t          touched;     /* pages below were in use at some time */
    uint32_t          idle;        /* first page without pieces, charged, + 1 */
    uint32_t          absent;      /* first page below `touched` whose memory was given back, + 1 */
    _Atomic uint64_t  loose_bytes; /* free pieces of pages in use; written under the lock */
    ckiti_page       *pages;
    ckiti_class       classes[CKITI_ARENA_MAX_CLASSES];
    uint32_t          class_count;
    uint8_t           small_class[65]; /* class of a size of up to 8 * index bytes */
    ckiti_books      *books;
    const ckit_alloc *alloc;
    pthread_mutex_t   lock;
} ckiti_arena;

/* `max_bytes` at least 64 KiB. The arena's own bookkeeping is charged by the caller: ckiti_arena_bytes. */
ckit_status ckiti_arena_init(ckiti_arena *arena, uint64_t max_bytes, ckiti_books *books, const ckit_alloc *alloc,
                             ckit_error *err);
/* Unmaps everything. The books are left alone. Accepts zeroed memory. */
void   ckiti_arena_fini(ckiti_arena *arena);
size_t ckiti_arena_bytes(const ckiti_arena *arena);

static inline ckiti_entry *ckiti_arena_entry(const ckiti_arena *arena, uint32_t reference) {
    return (ckiti_entry *)(void *)(arena->base + (size_t)reference * 8u);
}
static inline uint32_t ckiti_arena_reference(const ckiti_arena *arena, const ckiti_entry *entry) {
    return (uint32_t)((size_t)((const char *)entry - arena->base) / 8u);
}

/* The largest piece there is. */
size_t ckiti_arena_largest(const ckiti_arena *arena);
/* Bytes that a piece for `size` bytes takes; `size` at most the largest. */
size_t ckiti_arena_piece_bytes(const ckiti_arena *arena, size_t size);

/* A piece of at least `size` bytes, not filled, without CKITI_ENTRY_LIVE; 0 when there is no room. */
uint32_t ckiti_arena_take(ckiti_arena *arena, size_t size);
/* The same without putting another page into use. */
uint32_t ckiti_arena_take_loose(ckiti_arena *arena, size_t size);
/* Gives pieces back. Nobody reads them any more. */
void ckiti_arena_give(ckiti_arena *arena, const uint32_t *references, size_t count);

/* Gives the memory of pages without pieces back to the system until `bytes` are uncharged. Returns what was. */
uint64_t ckiti_arena_shrink(ckiti_arena *arena, uint64_t bytes);

/* Draining: chooses the page whose free pieces are most of it and takes no more pieces from it. UINT32_MAX when no
 * page has a free piece. Then list what still lives in it, get rid of that, and say that it is done. */
uint32_t ckiti_arena_drain_begin(ckiti_arena *arena);
/* Fills references of live pieces, and what `name` says about each, from piece *index on. Returns how many; 0 = end.
 * `name` is called under the lock. */
size_t ckiti_arena_drain_list(ckiti_arena *arena, uint32_t page, uint32_t *index, uint32_t *references, uint64_t *names,
                              size_t count, uint64_t (*name)(void *context, const ckiti_entry *entry), void *context);
/* True when the page came free. */
bool ckiti_arena_drain_end(ckiti_arena *arena, uint32_t page);

/* Mappings of their own, rounded up to the system's pages. NULL when the system has none. */
void  *ckiti_map(size_t bytes);
void   ckiti_unmap(void *ptr, size_t bytes);
size_t ckiti_map_round(size_t bytes);

#endif
