/* memory/readers.h - how readers without locks keep what they read alive.
 *
 * Every thread that reads has a record of its own, in which it announces the table and the entry that it looks at.
 * Whoever wants to use the memory of something again takes it out of reach first, then calls ckiti_readers_barrier and
 * keeps what is still announced for later. A reader announces before it looks again whether the thing is still in
 * reach; if it is, the announcement was in time. A stalled reader thus keeps one entry, not everything.
 *
 * The announcement costs the reader a plain store: the barrier is made on the other side, by membarrier(2), which
 * orders every running thread of the process. Where the system has no membarrier, readers make a full fence.
 *
 * A thread finds its record through a small thread-local cache by the instance's random id. Records of threads that
 * have ended are found by asking the system for their thread ids when new ones are needed. */
#ifndef CKITI_MEMORY_READERS_H
#define CKITI_MEMORY_READERS_H

#include <cachekit/types.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#if defined(__SANITIZE_THREAD__)
#define CKITI_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CKITI_TSAN 1
#endif
#endif

/* ThreadSanitizer knows neither fences nor membarrier, so there announcements are sequentially consistent. */
#ifdef CKITI_TSAN
#define CKITI_ANNOUNCE memory_order_seq_cst  /* a reader says what it looks at */
#define CKITI_CONFIRM memory_order_seq_cst   /* a reader looks whether it is still in reach */
#define CKITI_UNPUBLISH memory_order_seq_cst /* a writer takes it out of reach */
#define CKITI_INSPECT memory_order_seq_cst   /* whoever frees looks at what is announced */
#else
#define CKITI_ANNOUNCE memory_order_release
#define CKITI_CONFIRM memory_order_acquire
#define CKITI_UNPUBLISH memory_order_release
#define CKITI_INSPECT memory_order_acquire
#endif

/* Two cache lines, so that neighbours do not disturb each other. Written by its thread only, read by all. */
typedef struct ckiti_reader {
    _Atomic(const void *) table; /* announced; NULL = none */
    _Atomic uint32_t      entry; /* announced; 0 = none */
    _Atomic pid_t         owner; /* thread id; 0 = free */
    _Atomic uint64_t      hits;
    _Atomic uint64_t      stale_hits;
    _Atomic uint64_t      misses;
    struct ckiti_reader  *next;
    void                 *block; /* what the allocator gave, before alignment */
    char                  unused[128 - 7 * 8];
} ckiti_reader;

typedef struct ckiti_readers {
    _Atomic uint64_t        id;     /* of the instance; changes only in a forked child */
    _Atomic bool            fenced; /* no membarrier: readers make the barrier; this too */
    _Atomic(ckiti_reader *) first;  /* the list only grows until the end */
    pthread_mutex_t         lock;   /* guards taking and adding records; nothing is locked after it */
    size_t                  count;
    size_t                  reap_at; /* look for ended threads before more records than this are made */
    const ckit_alloc       *alloc;
} ckiti_readers;

void ckiti_readers_init(ckiti_readers *readers, const ckit_alloc *alloc);
/* Accepts zeroed memory. */
void ckiti_readers_fini(ckiti_readers *readers);
/* In a forked child: the other threads' records become free, the own one is found anew. */
void   ckiti_readers_after_fork(ckiti_readers *readers);
size_t ckiti_readers_bytes(const ckiti_readers *readers);

/* After it, every reader either has seen what the caller took out of reach before, or its announcement is visible to
 * the caller. */
void ckiti_readers_barrier(const ckiti_readers *readers);

/* private to ckiti_reader_quick */
typedef struct ckiti_reader_cached {
    uint64_t      id;
    ckiti_reader *reader;
} ckiti_reader_cached;
#define CKITI_READER_CACHE 16u
extern _Thread_local ckiti_reader_cached ckiti_reader_cache[CKITI_READER_CACHE]
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The calling thread's record; NULL when there was no memory for one. */
ckiti_reader *ckiti_reader_find(ckiti_readers *readers);

/* The same without a call, for readers that need no fence: true when it was at hand. */
static inline bool ckiti_reader_quick(const ckiti_readers *readers, ckiti_reader **reader) {
    uint64_t                   id = atomic_load_explicit(&readers->id, memory_order_relaxed);
    const ckiti_reader_cached *cached = &ckiti_reader_cache[id % CKITI_READER_CACHE];
    *reader = cached->reader;
    return __builtin_expect(cached->id == id, 1);
}

static inline bool ckiti_readers_fenced(const ckiti_readers *readers) {
    return atomic_load_explicit(&readers->fenced, memory_order_relaxed);
}

/* Between an announcement and the look that confirms it. */
static inline void ckiti_reader_fence(bool fenced) {
#ifdef CKITI_TSAN
    (void)fenced;
#else
    if (fenced) {
        atomic_thread_fence(memory_order_seq_cst);
    } else {
        atomic_signal_fence(memory_order_seq_cst);
    }
#endif
}

/* Counters have one writer. */
static inline void ckiti_reader_count(_Atomic uint64_t *counter) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

#endif
