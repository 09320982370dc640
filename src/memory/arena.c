#include "memory/arena.h"

#include "base/alloc.h"
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
/* What only the arena refers to (objects of a binding) is no leak. */
#define __lsan_register_root_region(ptr, size) ((void)(ptr), (void)(size))
#define __lsan_unregister_root_region(ptr, size) ((void)(ptr), (void)(size))
#define ASAN_POISON_MEMORY_REGION(ptr, size) ((void)(ptr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(ptr, size) ((void)(ptr), (void)(size))
#endif

#define SMALLEST_PIECE 40u
#define LAST_FINE_PIECE 512u /* up to here a class every 8 bytes */
#define STEPS_A_DOUBLING 16u
#define MIN_PAGE_SHIFT 12u
#define COMMON_PAGE_SHIFT 16u
#define MAX_PAGE_SHIFT 20u
#define HUGE_BYTES ((size_t)2 << 20)
#define HUGE_FROM_BYTES (UINT64_C(32) << 20) /* smaller tiers would be full after few of them */
#define MAX_ARENA_BYTES (UINT64_C(32) << 30) /* what 32-bit references to 8 bytes can name */

enum { PAGE_USED, PAGE_DRAINING, PAGE_IDLE };

struct ckiti_page {
    uint32_t next, prev; /* page numbers + 1, in the list of its class or of idle or absent pages */
    uint32_t free;       /* first piece that came back; linked through node.next */
    uint32_t fresh;      /* pieces from this index on were never handed out */
    uint32_t used;       /* pieces handed out */
    uint8_t  class_index;
    uint8_t  state;
};

/* ---- mappings -------------------------------------------------------------------------------------------- */

static size_t system_page(void) { return (size_t)sysconf(_SC_PAGESIZE); }

size_t ckiti_map_round(size_t bytes) { return (bytes + system_page() - 1) & ~(system_page() - 1); }

void *ckiti_map(size_t bytes) {
    void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return ptr == MAP_FAILED ? NULL : ptr;
}

void ckiti_unmap(void *ptr, size_t bytes) { munmap(ptr, bytes); }

/* ---- classes --------------------------------------------------------------------------------------------- */

static void add_class(ckiti_arena *arena, size_t piece_bytes) {
    arena->classes[arena->class_count++] =
        (ckiti_class){(uint32_t)piece_bytes, (uint32_t)(arena->page_bytes / piece_bytes), 0};
}

/* Every 8 bytes, then a sixteenth of the power of two, then what divides a page without a rest. */
static void make_classes(ckiti_arena *arena) {
    size_t page = arena->page_bytes;
    size_t size = SMALLEST_PIECE;
    while (size <= page / 16) {
        add_class(arena, size);
        size_t step = 8;
        for (size_t power = LAST_FINE_PIECE; size >= power; power *= 2) {
            step = power / STEPS_A_DOUBLING;
        }
        size += step;
    }
    for (size_t pieces = 15; pieces >= 2; pieces--) {
        size_t rounded = page / pieces & ~(size_t)7;
        if (rounded > arena->classes[arena->class_count - 1].piece_bytes) {
            add_class(arena, rounded);
        }
    }
    uint8_t index = 0;
    for (size_t i = 0; i < sizeof arena->small_class; i++) {
        while (arena->classes[index].piece_bytes < i * 8u) {
            index++;
        }
        arena->small_class[i] = index;
    }
}

static uint32_t class_of(const ckiti_arena *arena, size_t size) {
    if (size <= LAST_FINE_PIECE) {
        return arena->small_class[(size + 7) / 8];
    }
    uint32_t low = arena->small_class[LAST_FINE_PIECE / 8];
    uint32_t high = arena->class_count - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (arena->classes[middle].piece_bytes < size) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t ckiti_arena_largest(const ckiti_arena *arena) { return arena->classes[arena->class_count - 1].piece_bytes; }

size_t ckiti_arena_piece_bytes(const ckiti_arena *arena, size_t size) {
    return arena->classes[class_of(arena, size)].piece_bytes;
}

/* ---- beginning and end ----------------------------------------------------------------------------------- */

/* Small enough that the pages which are only partly used stay a small share of a small budget, and large enough that a
 * value with a mapping of its own (from half a page on) is worth the system calls. */
static unsigned choose_page_shift(uint64_t max_bytes) {
    unsigned shift = MIN_PAGE_SHIFT;
    while (shift < COMMON_PAGE_SHIFT && (max_bytes >> 6) >= UINT64_C(2) << shift) {
        shift++;
    }
    while (shift >= COMMON_PAGE_SHIFT && shift < MAX_PAGE_SHIFT && (max_bytes >> 10) >= UINT64_C(2) << shift) {
        shift++;
    }
    return shift;
}

static ckit_status reserve(ckiti_arena *arena, ckit_error *err) {
    size_t bytes = (size_t)arena->page_limit << arena->page_shift;
    size_t align = arena->huge ? HUGE_BYTES : system_page();
    bytes = (bytes + align - 1) & ~(align - 1);
    size_t spare = arena->huge ? HUGE_BYTES : 0;
    void  *ptr = mmap(NULL, bytes + spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ptr == MAP_FAILED) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "memory", "no %zu bytes of addresses for the arena", bytes + spare);
    }
    __lsan_register_root_region(ptr, bytes + spare);
    arena->mapping = ptr;
    arena->mapped = bytes + spare;
    arena->start = (char *)ptr + ((size_t)(-(uintptr_t)ptr) & (align - 1));
    arena->base = arena->start - 8; /* so that the first piece is not number 0 */
    arena->commit_step = arena->huge ? HUGE_BYTES : arena->page_bytes;
    if (arena->huge) {
        madvise(arena->start, bytes, MADV_HUGEPAGE); /* advice: small pages do as well */
    }
    return CKIT_OK;
}

ckit_status ckiti_arena_init(ckiti_arena *arena, uint64_t max_bytes, ckiti_books *books, const ckit_alloc *alloc,
                             ckit_error *err) {
    memset(arena, 0, sizeof *arena);
    pthread_mutex_init(&arena->lock, NULL);
    arena->books = books;
    arena->alloc = alloc;
    arena->page_shift = choose_page_shift(max_bytes);
    arena->page_bytes = (size_t)1 << arena->page_shift;
    arena->huge = max_bytes >= HUGE_FROM_BYTES;
    uint64_t bytes = max_bytes < MAX_ARENA_BYTES ? max_bytes : MAX_ARENA_BYTES;
    arena->page_limit = (uint32_t)(bytes >> arena->page_shift);
    make_classes(arena);
    arena->pages = ckiti_alloc_zeroed(alloc, arena->page_limit, sizeof *arena->pages);
    if (arena->pages == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "memory", "no memory for a table of %u pages", arena->page_limit);
    }
    return reserve(arena, err);
}

void ckiti_arena_fini(ckiti_arena *arena) {
    if (arena->page_bytes == 0) {
        return;
    }
    if (arena->mapping != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(arena->start, arena->committed);
        __lsan_unregister_root_region(arena->mapping, arena->mapped);
        munmap(arena->mapping, arena->mapped);
    }
    ckiti_free(arena->alloc, arena->pages, arena->page_limit * sizeof *arena->pages);
    pthread_mutex_destroy(&arena->lock);
    memset(arena, 0, sizeof *arena);
}

size_t ckiti_arena_bytes(const ckiti_arena *arena) { return arena->page_limit * sizeof *arena->pages; }

/* ---- pages ----------------------------------------------------------------------------------------------- */

static char *page_start(const ckiti_arena *arena, uint32_t page) {
    return arena->start + ((size_t)page << arena->page_shift);
}

static void push_page(ckiti_arena *arena, uint32_t *list, uint32_t page) {
    ckiti_page *self = &arena->pages[page];
    self->prev = 0;
    self->next = *list;
    if (*list != 0) {
        arena->pages[*list - 1].prev = page + 1;
    }
    *list = page + 1;
}

static void unlink_page(ckiti_arena *arena, uint32_t *list, uint32_t page) {
    ckiti_page *self = &arena->pages[page];
    if (self->prev != 0) {
        arena->pages[self->prev - 1].next = self->next;
    } else {
        *list = self->next;
    }
    if (self->next != 0) {
        arena->pages[self->next - 1].prev = self->prev;
    }
}

static void add_loose(ckiti_arena *arena, uint64_t bytes) {
    uint64_t loose = atomic_load_explicit(&arena->loose_bytes, memory_order_relaxed);
    atomic_store_explicit(&arena->loose_bytes, loose + bytes, memory_order_relaxed);
}

static bool commit(ckiti_arena *arena, uint32_t page) {
    size_t end = ((size_t)page + 1) << arena->page_shift;
    if (end <= arena->committed) {
        return true;
    }
    size_t step = arena->commit_step;
    size_t target = (end + step - 1) / step * step;
    if (mprotect(arena->start + arena->committed, target - arena->committed, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    arena->committed = target;
    return true;
}

/* A page without pieces, charged; UINT32_MAX when there is none to be had. */
static uint32_t get_page(ckiti_arena *arena) {
    uint32_t *list = arena->idle != 0 ? &arena->idle : &arena->absent;
    if (list == &arena->idle || (*list != 0 && ckiti_books_take(arena->books, arena->page_bytes))) {
        uint32_t page = *list - 1;
        unlink_page(arena, list, page);
        return page;
    }
    if (arena->touched == arena->page_limit || *list != 0 || !ckiti_books_take(arena->books, arena->page_bytes)) {
        return UINT32_MAX;
    }
    if (!commit(arena, arena->touched)) {
        ckiti_books_give(arena->books, arena->page_bytes);
        return UINT32_MAX;
    }
    return arena->touched++;
}

static bool put_page_into_use(ckiti_arena *arena, uint32_t class_index) {
    uint32_t page = get_page(arena);
    if (page == UINT32_MAX) {
        return false;
    }
    ckiti_class *class = &arena->classes[class_index];
    arena->pages[page] = (ckiti_page){.class_index = (uint8_t)class_index, .state = PAGE_USED};
    push_page(arena, &class->partial, page);
    add_loose(arena, (uint64_t) class->pieces * class->piece_bytes);
    return true;
}

uint64_t ckiti_arena_shrink(ckiti_arena *arena, uint64_t bytes) {
    uint64_t given = 0;
    pthread_mutex_lock(&arena->lock);
    while (given < bytes && arena->idle != 0) {
        uint32_t page = arena->idle - 1;
        char    *start = page_start(arena, page);
        unlink_page(arena, &arena->idle, page);
        if (arena->huge) {
            /* Or the kernel would fill the hole again to make one large page of it. */
            char *huge_page = arena->start + ((size_t)(start - arena->start) & ~(HUGE_BYTES - 1));
            madvise(huge_page, HUGE_BYTES, MADV_NOHUGEPAGE);
        }
        madvise(start, arena->page_bytes, MADV_DONTNEED);
        push_page(arena, &arena->absent, page);
        ckiti_books_give(arena->books, arena->page_bytes);
        given += arena->page_bytes;
    }
    pthread_mutex_unlock(&arena->lock);
    return given;
}

/* ---- pieces ---------------------------------------------------------------------------------------------- */

static uint32_t take_from(ckiti_arena *arena, ckiti_class *class) {
    uint32_t     page = class->partial - 1;
    ckiti_page  *self = &arena->pages[page];
    uint32_t     reference = self->free;
    ckiti_entry *entry;
    if (reference != 0) {
        entry = ckiti_arena_entry(arena, reference);
        self->free = entry->node.next;
    } else {
        entry = (ckiti_entry *)(void *)(page_start(arena, page) + (size_t)self->fresh++ * class->piece_bytes);
        reference = ckiti_arena_reference(arena, entry);
        atomic_store_explicit(&entry->life, 0, memory_order_relaxed); /* the page may have had another class */
    }
    ASAN_UNPOISON_MEMORY_REGION(entry, class->piece_bytes);
    add_loose(arena, -(uint64_t) class->piece_bytes);
    if (++self->used == class->pieces) {
        unlink_page(arena, &class->partial, page);
    }
    return reference;
}

static uint32_t take(ckiti_arena *arena, size_t size, bool more_pages) {
    uint32_t index = class_of(arena, size);
    uint32_t reference = 0;
    pthread_mutex_lock(&arena->lock);
    if (arena->classes[index].partial != 0 || (more_pages && put_page_into_use(arena, index))) {
        reference = take_from(arena, &arena->classes[index]);
    }
    pthread_mutex_unlock(&arena->lock);
    return reference;
}

uint32_t ckiti_arena_take(ckiti_arena *arena, size_t size) { return take(arena, size, true); }
uint32_t ckiti_arena_take_loose(ckiti_arena *arena, size_t size) { return take(arena, size, false); }

/* All pieces are free: the page serves any class again. */
static void retire_page(ckiti_arena *arena, uint32_t page) {
    ckiti_class *class = &arena->classes[arena->pages[page].class_index];
    add_loose(arena, -(uint64_t) class->pieces * class->piece_bytes);
    arena->pages[page].state = PAGE_IDLE;
    ASAN_UNPOISON_MEMORY_REGION(page_start(arena, page), arena->page_bytes);
    push_page(arena, &arena->idle, page);
}

static void give_one(ckiti_arena *arena, uint32_t reference) {
    ckiti_entry *entry = ckiti_arena_entry(arena, reference);
    uint32_t     page = (uint32_t)((size_t)((char *)entry - arena->start) >> arena->page_shift);
    ckiti_page  *self = &arena->pages[page];
    ckiti_class *class = &arena->classes[self->class_index];
    atomic_store_explicit(&entry->life, 0, memory_order_relaxed);
    entry->node.next = self->free;
    self->free = reference;
    add_loose(arena, class->piece_bytes);
    ASAN_POISON_MEMORY_REGION((char *)entry + sizeof *entry, class->piece_bytes - sizeof *entry);
    bool was_full = self->used == class->pieces;
    self->used--;
    if (self->state == PAGE_DRAINING) {
        return;
    }
    if (self->used == 0) {
        if (!was_full) {
            unlink_page(arena, &class->partial, page);
        }
        retire_page(arena, page);
    } else if (was_full) {
        push_page(arena, &class->partial, page);
    }
}

void ckiti_arena_give(ckiti_arena *arena, const uint32_t *references, size_t count) {
    pthread_mutex_lock(&arena->lock);
    for (size_t i = 0; i < count; i++) {
        give_one(arena, references[i]);
    }
    pthread_mutex_unlock(&arena->lock);
}

/* ---- draining -------------------------------------------------------------------------------------------- */

uint32_t ckiti_arena_drain_begin(ckiti_arena *arena) {
    uint32_t best = UINT32_MAX;
    uint64_t most = 0;
    pthread_mutex_lock(&arena->lock);
    for (uint32_t page = 0; page < arena->touched; page++) {
        const ckiti_page *self = &arena->pages[page];
        if (self->state != PAGE_USED || self->used == 0) {
            continue;
        }
        const ckiti_class *class = &arena->classes[self->class_index];
        uint64_t free_bytes = (uint64_t)(class->pieces - self->used) * class->piece_bytes;
        if (free_bytes > most) {
            most = free_bytes;
            best = page;
        }
    }
    if (best != UINT32_MAX) {
        unlink_page(arena, &arena->classes[arena->pages[best].class_index].partial, best);
        arena->pages[best].state = PAGE_DRAINING;
    }
    pthread_mutex_unlock(&arena->lock);
    return best;
}

size_t ckiti_arena_drain_list(ckiti_arena *arena, uint32_t page, uint32_t *index, uint32_t *references, uint64_t *names,
                              size_t count, uint64_t (*name)(void *context, const ckiti_entry *entry), void *context) {
    size_t found = 0;
    pthread_mutex_lock(&arena->lock);
    const ckiti_page *self = &arena->pages[page];
    size_t            piece_bytes = arena->classes[self->class_index].piece_bytes;
    for (; *index < self->fresh && found < count; (*index)++) {
        ckiti_entry *entry = (ckiti_entry *)(void *)(page_start(arena, page) + *index * piece_bytes);
        uint64_t     life = atomic_load_explicit(&entry->life, memory_order_acquire);
        if ((ckiti_life_flags(life) & CKITI_ENTRY_LIVE) != 0) {
            references[found] = ckiti_arena_reference(arena, entry);
            names[found++] = name(context, entry);
        }
    }
    pthread_mutex_unlock(&arena->lock);
    return found;
}

bool ckiti_arena_drain_end(ckiti_arena *arena, uint32_t page) {
    pthread_mutex_lock(&arena->lock);
    ckiti_page *self = &arena->pages[page];
    ckiti_class *class = &arena->classes[self->class_index];
    bool empty = self->used == 0;
    self->state = PAGE_USED;
    if (empty) {
        retire_page(arena, page);
    } else if (self->used < class->pieces) {
        push_page(arena, &class->partial, page);
    }
    pthread_mutex_unlock(&arena->lock);
    return empty;
}
