#include "stats.h"

#include "bytes.h"
#include "evict.h"
#include "record.h"
#include "usage.h"

#include <errno.h>
#include <fcntl.h>

/* The record: magic, when counting began (Unix milliseconds), the counters in the order of ckiti_file_counter, zeros
 * where later counters will be, the sum. Counters that we do not know are kept. */
#define RECORD_BYTES 256u
#define RECORD_NAME ".ck-stats"
#define SINCE_AT 8u
#define COUNTERS_AT 16u
#define SLOTS ((RECORD_BYTES - COUNTERS_AT - 8u) / 8u)
static const uint8_t record_magic[CKITI_FILE_MAGIC_BYTES] = {'C', 'K', 'S', 'T', 'A', 'T', 'S', '1'};
_Static_assert(CKITI_FILE_COUNTERS <= SLOTS, "the record has no room");

#define LONGEST_WAIT_MS 50u
#define UNLOCKED_READINGS 3 /* one may meet a writer half way */

static const char *const names[CKITI_FILE_COUNTERS] = {
    [CKITI_FILE_HITS] = "hits",
    [CKITI_FILE_MISSES] = "misses",
    [CKITI_FILE_BYTES_READ] = "bytes_read",
    [CKITI_FILE_WRITES] = "writes",
    [CKITI_FILE_BYTES_WRITTEN] = "bytes_written",
    [CKITI_FILE_REMOVES] = "removes",
    [CKITI_FILE_EXPIRED] = "expired",
    [CKITI_FILE_EVICTED] = "evicted",
    [CKITI_FILE_CORRUPT] = "corrupt",
    [CKITI_FILE_TOO_LARGE] = "too_large",
    [CKITI_FILE_NO_SPACE] = "no_space",
    [CKITI_FILE_FAILURES] = "failures",
    [CKITI_FILE_LOCKS_TAKEN] = "locks_taken",
    [CKITI_FILE_LOCKS_BUSY] = "locks_busy",
    [CKITI_FILE_LOCKS_LOST] = "locks_lost",
};

void ckiti_file_count_failure(ckiti_file_store *store, ckit_status status) {
    if (status >= CKIT_E_FIRST) {
        ckiti_file_count(store,
                         status == CKIT_E_TOO_LARGE  ? CKITI_FILE_TOO_LARGE
                         : status == CKIT_E_NO_SPACE ? CKITI_FILE_NO_SPACE
                                                     : CKITI_FILE_FAILURES,
                         1);
    }
}

/* ---- the record ------------------------------------------------------------------------------------------------- */

typedef struct totals {
    int64_t  since_ms; /* 0 = unknown */
    uint64_t value[SLOTS];
} totals;

/* CKIT_MISS: there is no record, and all is zero. */
static ckit_status totals_load(const ckiti_file_store *store, int fd, totals *out, ckit_error *err) {
    uint8_t     raw[RECORD_BYTES];
    ckit_status st = ckiti_file_record_read(store, fd, record_magic, raw, sizeof raw, err);
    *out = (totals){0};
    if (st == CKIT_OK) {
        out->since_ms = (int64_t)get_u64(raw + SINCE_AT);
        for (size_t i = 0; i < SLOTS; i++) {
            out->value[i] = get_u64(raw + COUNTERS_AT + i * 8);
        }
    }
    return st;
}

static bool totals_store(const ckiti_file_store *store, int fd, const totals *t) {
    uint8_t raw[RECORD_BYTES];
    put_u64(raw + SINCE_AT, (uint64_t)t->since_ms);
    for (size_t i = 0; i < SLOTS; i++) {
        put_u64(raw + COUNTERS_AT + i * 8, t->value[i]);
    }
    return ckiti_file_record_write(store, fd, record_magic, raw, sizeof raw);
}

/* A clock that was set back must not tell of a beginning in the future: then it was now at the latest. */
static int64_t believable(const ckiti_file_store *store, int64_t since_ms) {
    int64_t now_ms = ckiti_wall_ms(store->clock);
    return since_ms < now_ms ? since_ms : now_ms;
}

/* ---- what is pending --------------------------------------------------------------------------------------------- */

static bool any_pending(const ckiti_file_store *store) {
    for (size_t i = 0; i < CKITI_FILE_COUNTERS; i++) {
        if (atomic_load_explicit(&store->stats.pending[i], memory_order_relaxed) != 0) {
            return true;
        }
    }
    return false;
}

/* With the record locked: adds to it, and tells the sums. False when that fails: then everything stays pending. */
static bool add_pending(ckiti_file_store *store, int fd, totals *t) {
    uint64_t    taken[CKITI_FILE_COUNTERS];
    ckit_status st = totals_load(store, fd, t, NULL);
    if (st >= CKIT_E_FIRST) { /* what cannot be read may well be in order */
        return false;
    }
    t->since_ms = believable(store, st == CKIT_OK ? t->since_ms : INT64_MAX);
    for (size_t i = 0; i < CKITI_FILE_COUNTERS; i++) {
        taken[i] = atomic_exchange_explicit(&store->stats.pending[i], 0, memory_order_relaxed);
        t->value[i] += taken[i];
    }
    if (totals_store(store, fd, t)) {
        return true;
    }
    for (size_t i = 0; i < CKITI_FILE_COUNTERS; i++) {
        ckiti_file_count(store, (ckiti_file_counter)i, taken[i]);
    }
    return false;
}

/* Locks the record and adds to it. With nothing to add, none is made. */
static bool settle(ckiti_file_store *store, bool wait, uint64_t deadline_ms, totals *t) {
    uint64_t             soon_ms = ckiti_time_after(ckiti_now_ms(store->clock), LONGEST_WAIT_MS);
    ckiti_file_lock_mode mode = {
        .create = any_pending(store), .wait = wait, .deadline_ms = deadline_ms < soon_ms ? deadline_ms : soon_ms};
    struct stat st;
    int         fd;
    if (ckiti_file_lock_name(store, RECORD_NAME, &mode, &fd, &st, NULL) != CKIT_OK) {
        return false;
    }
    bool settled = add_pending(store, fd, t);
    ckiti_file_unlock_close(store, fd);
    return settled;
}

void ckiti_file_stats_begin(ckiti_file_store *store) {
    atomic_store(&store->stats.due_ms, ckiti_now_ms(store->clock) + CKITI_FILE_STATS_EVERY_MS);
}

void ckiti_file_stats_add_due(ckiti_file_store *store, uint64_t now_ms, uint64_t due_ms) {
    totals   t;
    uint64_t next_ms = now_ms + CKITI_FILE_STATS_EVERY_MS;
    /* One thread goes; whether it gets there or not, the next turn comes later. */
    if (atomic_compare_exchange_strong(&store->stats.due_ms, &due_ms, next_ms) && any_pending(store)) {
        (void)settle(store, false, CKIT_NO_DEADLINE, &t);
    }
}

void ckiti_file_stats_flush(ckiti_file_store *store) {
    totals t;
    if (any_pending(store)) {
        (void)settle(store, true, CKIT_NO_DEADLINE, &t);
    }
}

void ckiti_file_stats_forget(ckiti_file_store *store) {
    for (size_t i = 0; i < CKITI_FILE_COUNTERS; i++) {
        atomic_store_explicit(&store->stats.pending[i], 0, memory_order_relaxed);
    }
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

/* Without the lock, for a directory that cannot be written or a record that somebody keeps locked. */
static ckit_status read_unlocked(const ckiti_file_store *store, totals *t, ckit_error *err) {
    ckiti_file_opened file;
    *t = (totals){0};
    ckit_status st = ckiti_file_entry_open(store, RECORD_NAME, O_RDONLY, &file, err);
    if (st == CKIT_OK) {
        int turn = 0;
        do {
            st = totals_load(store, file.fd, t, err);
        } while (st == CKIT_MISS && ++turn < UNLOCKED_READINGS);
        store->io->close(store->io->self, file.fd);
    }
    if (st >= CKIT_E_FIRST) {
        return st;
    }
    t->since_ms = believable(store, t->since_ms);
    for (size_t i = 0; i < CKITI_FILE_COUNTERS; i++) {
        t->value[i] += atomic_load_explicit(&store->stats.pending[i], memory_order_relaxed);
    }
    return CKIT_OK;
}

/* How full it is, from the shared sums, or by counting where these cannot be kept. */
static ckit_status read_levels(ckiti_file_store *store, uint64_t deadline_ms, ckiti_file_census *out, ckit_error *err) {
    return ckiti_file_usage_read(store, deadline_ms, &out->bytes, &out->count)
               ? CKIT_OK
               : ckiti_file_census_take(store, out, err);
}

ckit_status ckiti_file_stats(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context, int64_t *since_wall_ms,
                             ckit_error *err) {
    ckiti_file_store *store = self;
    totals            t;
    ckiti_file_census census = {0, 0};
    ckit_status       st = ckiti_file_check_deadline(store, deadline_ms, err);
    if (st == CKIT_OK && !settle(store, true, deadline_ms, &t)) {
        st = read_unlocked(store, &t, err);
    }
    if (st == CKIT_OK) {
        st = read_levels(store, deadline_ms, &census, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    *since_wall_ms = t.since_ms;
    for (size_t i = 0; st == CKIT_OK && i < CKITI_FILE_COUNTERS; i++) {
        st = each(context, &(ckit_stat){.name = names[i], .counter = true, .value = t.value[i]});
    }
    const ckit_stat levels[] = {
        {.name = "entries", .value = census.count},
        {.name = "bytes", .value = census.bytes},
        {.name = "limit_entries", .value = store->options.max_entry_count},
        {.name = "limit_bytes", .value = store->options.max_size_bytes},
    };
    for (size_t i = 0; st == CKIT_OK && i < sizeof levels / sizeof levels[0]; i++) {
        st = each(context, &levels[i]);
    }
    return st;
}
