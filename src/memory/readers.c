#include "memory/readers.h"

#include "base/alloc.h"
#include "base/random.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif

_Static_assert(sizeof(ckiti_reader) == 128, "a record fills two cache lines");

#define FIRST_REAP 64u

_Thread_local ckiti_reader_cached ckiti_reader_cache[CKITI_READER_CACHE];

/* ---- the barrier ----------------------------------------------------------------------------------------- */

static bool membarrier_works(void) {
#if defined(__linux__) && !defined(CKITI_TSAN)
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#else
    return false;
#endif
}

void ckiti_readers_barrier(const ckiti_readers *readers) {
#ifdef CKITI_TSAN
    (void)readers;
#else
    if (ckiti_readers_fenced(readers)) {
        atomic_thread_fence(memory_order_seq_cst);
        return;
    }
#ifdef __linux__
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0); /* cannot fail once registered */
#endif
#endif
}

/* ---- records --------------------------------------------------------------------------------------------- */

/* Never 0, the id in an empty cache, and even: see cached_id. */
static uint64_t fresh_id(void) { return (ckiti_random_u64() | 1u << 8) & ~UINT64_C(1); }

/* Readers that need fences are cached under another id, so that ckiti_reader_quick does not find them. */
static uint64_t cached_id(const ckiti_readers *readers) {
    return atomic_load_explicit(&readers->id, memory_order_relaxed) | (ckiti_readers_fenced(readers) ? 1u : 0u);
}

void ckiti_readers_init(ckiti_readers *readers, const ckit_alloc *alloc) {
    memset(readers, 0, sizeof *readers);
    pthread_mutex_init(&readers->lock, NULL);
    atomic_store(&readers->id, fresh_id());
    atomic_store(&readers->fenced, !membarrier_works());
    readers->reap_at = FIRST_REAP;
    readers->alloc = alloc;
}

void ckiti_readers_fini(ckiti_readers *readers) {
    if (atomic_load(&readers->id) == 0) {
        return;
    }
    ckiti_reader *reader = atomic_load(&readers->first);
    while (reader != NULL) {
        ckiti_reader *next = reader->next;
        ckiti_free(readers->alloc, reader->block, 2 * sizeof *reader);
        reader = next;
    }
    pthread_mutex_destroy(&readers->lock);
    memset(readers, 0, sizeof *readers);
}

size_t ckiti_readers_bytes(const ckiti_readers *readers) { return readers->count * 2 * sizeof(ckiti_reader); }

/* Exchanged, not stored: the last reads of the thread that ended come before whatever is freed from now on by the rules
 * of the language too, not only because that thread is gone. */
static void let_go(ckiti_reader *reader) {
    (void)atomic_exchange(&reader->table, NULL);
    (void)atomic_exchange(&reader->entry, 0);
    atomic_store(&reader->owner, 0);
}

void ckiti_readers_after_fork(ckiti_readers *readers) {
#ifndef CKITI_TSAN /* which does not know that the other threads are gone, with all that they were reading */
    for (ckiti_reader *reader = atomic_load(&readers->first); reader != NULL; reader = reader->next) {
        let_go(reader);
    }
#endif
    atomic_store(&readers->id, fresh_id());
    atomic_store(&readers->fenced, !membarrier_works());
}

/* 0 where the system does not number threads: their readers then take the shard's lock. */
static pid_t this_thread(void) {
#ifdef __linux__
    return (pid_t)syscall(SYS_gettid);
#else
    return 0;
#endif
}

/* A thread that ended while it was announcing something cannot be: threads end between calls. */
static void reap(ckiti_readers *readers) {
    size_t live = 0;
    for (ckiti_reader *reader = atomic_load(&readers->first); reader != NULL; reader = reader->next) {
        pid_t owner = atomic_load(&reader->owner);
#ifdef __linux__
        if (owner != 0 && syscall(SYS_tgkill, getpid(), owner, 0) != 0 && errno == ESRCH) {
            let_go(reader);
            owner = 0;
        }
#endif
        live += owner != 0;
    }
    readers->reap_at = live * 2 > FIRST_REAP ? live * 2 : FIRST_REAP;
}

static ckiti_reader *record_of(const ckiti_readers *readers, pid_t owner) {
    ckiti_reader *reader = atomic_load(&readers->first);
    while (reader != NULL && atomic_load(&reader->owner) != owner) {
        reader = reader->next;
    }
    return reader;
}

static ckiti_reader *new_record(ckiti_readers *readers) {
    char *block = ckiti_alloc_zeroed(readers->alloc, 2, sizeof(ckiti_reader));
    if (block == NULL) {
        return NULL;
    }
    size_t        shift = (size_t)(-(uintptr_t)block & (sizeof(ckiti_reader) - 1));
    ckiti_reader *reader = (ckiti_reader *)(void *)(block + shift);
    reader->block = block;
    reader->next = atomic_load(&readers->first);
    atomic_store(&readers->first, reader);
    readers->count++;
    return reader;
}

/* The cache is a set of pairs; the most recent instance is the first of its pair. */
static void remember(uint64_t id, ckiti_reader *reader) {
    size_t way = id % CKITI_READER_CACHE & ~(size_t)1;
    ckiti_reader_cache[way + 1] = ckiti_reader_cache[way];
    ckiti_reader_cache[way] = (ckiti_reader_cached){id, reader};
}

static ckiti_reader *recall(uint64_t id) {
    size_t way = id % CKITI_READER_CACHE & ~(size_t)1;
    for (size_t i = way; i < way + 2; i++) {
        if (ckiti_reader_cache[i].id == id) {
            return ckiti_reader_cache[i].reader;
        }
    }
    return NULL;
}

static ckiti_reader *obtain(ckiti_readers *readers, pid_t self) {
    ckiti_reader *reader = record_of(readers, self);
    if (reader == NULL) {
        reader = record_of(readers, 0);
    }
    if (reader == NULL && readers->count >= readers->reap_at) {
        reap(readers);
        reader = record_of(readers, 0);
    }
    if (reader == NULL) {
        reader = new_record(readers);
    }
    if (reader != NULL) {
        atomic_store(&reader->owner, self);
    }
    return reader;
}

ckiti_reader *ckiti_reader_find(ckiti_readers *readers) {
    ckiti_reader *reader = recall(cached_id(readers));
    pid_t         self = reader == NULL ? this_thread() : 0;
    if (self == 0) {
        return reader;
    }
    pthread_mutex_lock(&readers->lock);
    reader = obtain(readers, self);
    pthread_mutex_unlock(&readers->lock);
    if (reader != NULL) {
        remember(cached_id(readers), reader);
    }
    return reader;
}
