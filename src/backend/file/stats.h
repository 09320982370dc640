/* stats.h - what the store counts, over all processes that use the directory.
 *
 * Each process counts in atomics of its own and adds them to a small shared record (`.ck-stats`) about once a second
 * while operations happen, and at close. Counting never fails an operation and never waits for anybody, but at close
 * for some milliseconds: what cannot be added stays pending. A process that is killed loses what it had not added; a
 * record that is missing or damaged begins again at zero. */
#ifndef CKITI_FILE_STATS_H
#define CKITI_FILE_STATS_H

#include "store.h"

#define CKITI_FILE_STATS_EVERY_MS 1000u

static inline void ckiti_file_count(ckiti_file_store *store, ckiti_file_counter which, uint64_t more) {
    atomic_fetch_add_explicit(&store->stats.pending[which], more, memory_order_relaxed);
}
/* Counts what became of an operation that is not in order; CKIT_OK and CKIT_MISS count nothing. */
void ckiti_file_count_failure(ckiti_file_store *store, ckit_status status);

/* Counting begins: the first batch is due in a while. */
void ckiti_file_stats_begin(ckiti_file_store *store);
/* Adds a batch that is due to the record, unless somebody else has it. */
void ckiti_file_stats_add_due(ckiti_file_store *store, uint64_t now_ms, uint64_t due_ms);
/* Adds what is pending, waiting a little for the record. */
void ckiti_file_stats_flush(ckiti_file_store *store);
/* In a forked child: what was pending is the parent's to add. */
void ckiti_file_stats_forget(ckiti_file_store *store);

/* What an operation that counts ends with. */
static inline void ckiti_file_stats_tick(ckiti_file_store *store) {
    uint64_t now_ms = ckiti_now_ms(store->clock);
    uint64_t due_ms = atomic_load_explicit(&store->stats.due_ms, memory_order_relaxed);
    /* Further away than ever set: the clock went back. */
    if (now_ms >= due_ms || due_ms - now_ms > CKITI_FILE_STATS_EVERY_MS) {
        ckiti_file_stats_add_due(store, now_ms, due_ms);
    }
}

/* The operations `stats` and `sweep` of the contract. */
ckit_status ckiti_file_stats(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context, int64_t *since_wall_ms,
                             ckit_error *err);
ckit_status ckiti_file_sweep_now(void *self, uint64_t deadline_ms, ckit_deleted *out, ckit_error *err);

#endif
