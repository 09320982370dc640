#include "evict.h"

#include "base/alloc.h"
#include "stats.h"
#include "usage.h"

#include <fcntl.h>
#include <string.h>

typedef struct counting {
    ckiti_file_store  *store;
    ckiti_file_census *out;
} counting;

static bool count_each(void *context, const char *name) {
    counting   *c = context;
    struct stat st;
    if (!ckiti_file_is_entry_name(name)) {
        ckiti_file_sweep_name(c->store, name);
    } else if (c->store->io->stat_name(c->store->io->self, c->store->dir_fd, name, &st) == 0 &&
               ckiti_file_is_ours(c->store, &st)) {
        c->out->bytes += (uint64_t)st.st_size;
        c->out->count++;
    }
    return true;
}

ckit_status ckiti_file_census_take(ckiti_file_store *store, ckiti_file_census *out, ckit_error *err) {
    *out = (ckiti_file_census){0, 0};
    counting c = {store, out};
    return ckiti_file_dir_walk(store, count_each, &c, err);
}

/* ---- candidates: a heap with the least recently read on top --------------------------------------------------- */

typedef struct candidate {
    int64_t  used_ns; /* last read or written */
    uint64_t size;
    ino_t    inode;
    uint8_t  hash[CKITI_FILE_HASH_BYTES];
} candidate;

typedef struct evicting {
    ckiti_file_store  *store;
    ckiti_file_census *found;
    ckiti_file_census  left;
    uint64_t           removed;
    candidate         *heap;
    size_t             count;
    size_t             capacity;
} evicting;

static void sift_up(candidate *heap, size_t at) {
    while (at > 0 && heap[at].used_ns < heap[(at - 1) / 2].used_ns) {
        candidate held = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = held;
        at = (at - 1) / 2;
    }
}

static void sift_down(candidate *heap, size_t count, size_t at) {
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            if (heap[child].used_ns < heap[least].used_ns) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        candidate held = heap[at];
        heap[at] = heap[least];
        heap[least] = held;
        at = least;
    }
}

static bool push(evicting *e, const candidate *c) {
    if (e->count == e->capacity) {
        size_t     capacity = e->capacity == 0 ? 1024 : e->capacity * 2;
        candidate *grown =
            ckiti_resize(e->store->alloc, e->heap, e->capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        e->heap = grown;
        e->capacity = capacity;
    }
    e->heap[e->count] = *c;
    sift_up(e->heap, e->count++);
    return true;
}

/* A file's stamp may be any 64 bits of seconds; the end of the range stands for what lies beyond it. */
static int64_t nanoseconds(const struct timespec *t) {
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)t->tv_sec, (int64_t)1000000000, &ns) ||
        __builtin_add_overflow(ns, (int64_t)t->tv_nsec, &ns)) {
        return t->tv_sec < 0 ? INT64_MIN : INT64_MAX;
    }
    return ns;
}

static void remember(evicting *e, const char *name, const struct stat *st) {
    int64_t   read_ns = nanoseconds(&st->st_atim);
    int64_t   written_ns = nanoseconds(&st->st_mtim);
    candidate c = {
        .used_ns = read_ns > written_ns ? read_ns : written_ns, .size = (uint64_t)st->st_size, .inode = st->st_ino};
    ckiti_file_name_to_hash(c.hash, name);
    (void)push(e, &c); /* without memory for all, those that fit are enough to make some room */
}

static bool is_stale(const ckiti_file_store *store, const ckiti_file_opened *entry) {
    uint64_t          life_ms;
    ckiti_file_peeked now = ckiti_file_entry_peek(store, entry->fd, &life_ms);
    return now == CKITI_PEEK_EXPIRED || now == CKITI_PEEK_CORRUPT;
}

static bool survey_each(void *context, const char *name) {
    evicting         *e = context;
    ckiti_file_opened entry;
    if (!ckiti_file_is_entry_name(name)) {
        ckiti_file_sweep_name(e->store, name);
        return true;
    }
    ckit_status st = ckiti_file_entry_open(e->store, name, O_RDONLY, &entry, NULL);
    if (st == CKIT_MISS) {
        return true;
    }
    if (st != CKIT_OK) { /* ours, but closed to us: it takes room all the same */
        if (e->store->io->stat_name(e->store->io->self, e->store->dir_fd, name, &entry.st) != 0 ||
            !ckiti_file_is_ours(e->store, &entry.st)) {
            return true;
        }
        entry.fd = -1;
    }
    e->found->bytes += (uint64_t)entry.st.st_size;
    e->found->count++;
    if (entry.fd >= 0 && is_stale(e->store, &entry) && ckiti_file_entry_discard(e->store, name, &entry)) {
        e->removed++;
    } else {
        e->left.bytes += (uint64_t)entry.st.st_size;
        e->left.count++;
        remember(e, name, &entry.st);
    }
    if (entry.fd >= 0) {
        e->store->io->close(e->store->io->self, entry.fd);
    }
    return true;
}

/* An entry that was rewritten since it was looked at is not old any more. */
static bool remove_candidate(evicting *e, const candidate *c) {
    const ckiti_file_io *io = e->store->io;
    ckiti_file_name      name;
    struct stat          st;
    ckiti_file_name_of_hash(&name, c->hash);
    if (io->stat_name(io->self, e->store->dir_fd, name.text, &st) != 0 || st.st_ino != c->inode ||
        !ckiti_file_is_ours(e->store, &st) || io->unlink(io->self, e->store->dir_fd, name.text) != 0) {
        return false;
    }
    ckiti_file_usage_add(e->store, -(int64_t)st.st_size, -1);
    ckiti_file_count(e->store, CKITI_FILE_EVICTED, 1);
    return true;
}

static void remove_oldest(evicting *e, const ckiti_file_census *target, uint64_t deadline_ms) {
    for (size_t turn = 0; e->count > 0 && (e->left.bytes > target->bytes || e->left.count > target->count); turn++) {
        candidate oldest = e->heap[0];
        e->heap[0] = e->heap[--e->count];
        sift_down(e->heap, e->count, 0);
        if (remove_candidate(e, &oldest)) {
            e->removed++;
            e->left.bytes -= oldest.size;
            e->left.count--;
        }
        if (turn % 64 == 63 && ckiti_file_check_deadline(e->store, deadline_ms, NULL) != CKIT_OK) {
            return; /* what is done is done */
        }
    }
}

ckit_status ckiti_file_evict(ckiti_file_store *store, const ckiti_file_census *target, uint64_t deadline_ms,
                             ckiti_file_census *found, uint64_t *removed, ckit_error *err) {
    *found = (ckiti_file_census){0, 0};
    evicting    e = {.store = store, .found = found};
    ckit_status st = ckiti_file_dir_walk(store, survey_each, &e, err);
    if (st == CKIT_OK) {
        remove_oldest(&e, target, deadline_ms);
    }
    ckiti_free(store->alloc, e.heap, e.capacity * sizeof *e.heap);
    *removed = e.removed;
    return st;
}
