#include "usage.h"

#include "bytes.h"
#include "evict.h"
#include "record.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* The record: magic, bytes, count, when it was counted (Unix seconds), zeros, the sum. */
#define RECORD_BYTES 64u
#define RECORD_NAME ".ck-usage"
static const uint8_t record_magic[CKITI_FILE_MAGIC_BYTES] = {'C', 'K', 'U', 'S', 'A', 'G', 'E', '1'};

#define RECOUNT_AFTER_S 300   /* also when nothing looks wrong: other programs write here too */
#define REREAD_AFTER_MS 1000u /* how long the sums of other processes may lag behind */
#define BATCH_PART 128        /* a process reports after changing this part of a limit */
#define RETRY_EVICTION_MS 1000u
#define HIGH_PERCENT 90u
#define LOW_PERCENT 70u
#define UNREPORTED_PERCENT 2 /* of a limit: nobody writes on further than this without having reported */

typedef struct record {
    int64_t bytes;
    int64_t count;
    int64_t counted_s;
} record;

static int64_t system_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec;
}

static bool record_load(const ckiti_file_store *store, int fd, record *out) {
    uint8_t raw[RECORD_BYTES];
    if (ckiti_file_record_read(store, fd, record_magic, raw, sizeof raw, NULL) != CKIT_OK) {
        return false;
    }
    out->bytes = (int64_t)get_u64(raw + 8);
    out->count = (int64_t)get_u64(raw + 16);
    out->counted_s = (int64_t)get_u64(raw + 24);
    int64_t age_s = system_seconds() - out->counted_s;
    return age_s >= 0 && age_s < RECOUNT_AFTER_S;
}

/* A failure leaves a record whose checksum is wrong, or the old one: both mean counting again sooner or later. */
static void record_store(const ckiti_file_store *store, int fd, const record *r) {
    uint8_t raw[RECORD_BYTES] = {0};
    put_u64(raw + 8, (uint64_t)r->bytes);
    put_u64(raw + 16, (uint64_t)r->count);
    put_u64(raw + 24, (uint64_t)r->counted_s);
    (void)ckiti_file_record_write(store, fd, record_magic, raw, sizeof raw);
}

void ckiti_file_usage_add(ckiti_file_store *store, int64_t bytes, int64_t count) {
    atomic_fetch_add_explicit(&store->usage.pending_bytes, bytes, memory_order_relaxed);
    if (count != 0) {
        atomic_fetch_add_explicit(&store->usage.pending_count, count, memory_order_relaxed);
    }
}

void ckiti_file_usage_forget(ckiti_file_store *store) {
    atomic_store(&store->usage.pending_bytes, 0);
    atomic_store(&store->usage.pending_count, 0);
    atomic_store(&store->usage.read_at_ms, 0);
}

static void take_pending(ckiti_file_usage *usage, record *r) {
    r->bytes += atomic_exchange(&usage->pending_bytes, 0);
    r->count += atomic_exchange(&usage->pending_count, 0);
}

static void publish(ckiti_file_store *store, const record *r) {
    atomic_store(&store->usage.known_bytes, r->bytes);
    atomic_store(&store->usage.known_count, r->count);
    atomic_store(&store->usage.read_at_ms, ckiti_now_ms(store->clock) + 1);
}

/* With the record locked: the sums with this process' changes in them. Counts the directory when the record does not
 * hold up. False when that fails too. */
static bool settle(ckiti_file_store *store, int fd, record *r) {
    bool sound = record_load(store, fd, r);
    if (sound) {
        take_pending(&store->usage, r);
        sound = r->bytes >= 0 && r->count >= 0;
    }
    if (!sound) {
        record            dropped = {0, 0, 0}; /* the count will see it */
        ckiti_file_census census;
        take_pending(&store->usage, &dropped);
        if (ckiti_file_census_take(store, &census, NULL) != CKIT_OK) {
            return false;
        }
        *r = (record){(int64_t)census.bytes, (int64_t)census.count, system_seconds()};
    }
    record_store(store, fd, r);
    publish(store, r);
    return true;
}

static bool refresh(ckiti_file_store *store, bool wait, uint64_t deadline_ms, record *out) {
    ckiti_file_lock_mode mode = {.create = true, .wait = wait, .deadline_ms = deadline_ms};
    struct stat          st;
    int                  fd;
    if (ckiti_file_lock_name(store, RECORD_NAME, &mode, &fd, &st, NULL) != CKIT_OK) {
        return false;
    }
    bool settled = settle(store, fd, out);
    ckiti_file_unlock_close(store, fd);
    return settled;
}

void ckiti_file_usage_flush(ckiti_file_store *store) {
    record r;
    if (atomic_load(&store->usage.pending_bytes) != 0 || atomic_load(&store->usage.pending_count) != 0) {
        (void)refresh(store, false, CKIT_NO_DEADLINE, &r);
    }
}

bool ckiti_file_usage_read(ckiti_file_store *store, uint64_t deadline_ms, uint64_t *bytes, uint64_t *count) {
    record r;
    if (!refresh(store, true, deadline_ms, &r)) {
        return false;
    }
    *bytes = (uint64_t)r.bytes;
    *count = (uint64_t)r.count;
    return true;
}

/* ---- making room ------------------------------------------------------------------------------------------------ */

static record estimate(const ckiti_file_usage *usage) {
    return (record){.bytes = atomic_load_explicit(&usage->known_bytes, memory_order_relaxed) +
                             atomic_load_explicit(&usage->pending_bytes, memory_order_relaxed),
                    .count = atomic_load_explicit(&usage->known_count, memory_order_relaxed) +
                             atomic_load_explicit(&usage->pending_count, memory_order_relaxed)};
}

static int64_t percent_of(uint64_t limit, unsigned percent) {
    return (int64_t)(limit / 100 * percent + limit % 100 * percent / 100);
}

static bool above(const ckiti_file_store *store, const record *r, unsigned percent) {
    return r->bytes > percent_of(store->options.max_size_bytes, percent) ||
           r->count > percent_of(store->options.max_entry_count, percent);
}

/* The estimate is old, or this process has changed so much that others should know. */
static bool worth_refreshing(const ckiti_file_store *store, uint64_t now_ms) {
    const ckiti_file_usage *usage = &store->usage;
    uint64_t                read_at = atomic_load_explicit(&usage->read_at_ms, memory_order_relaxed);
    int64_t                 bytes = atomic_load_explicit(&usage->pending_bytes, memory_order_relaxed);
    int64_t                 count = atomic_load_explicit(&usage->pending_count, memory_order_relaxed);
    int64_t                 many_bytes = (int64_t)(store->options.max_size_bytes / BATCH_PART);
    int64_t                 many = (int64_t)(store->options.max_entry_count / BATCH_PART);
    return read_at == 0 || now_ms + 1 - read_at > REREAD_AFTER_MS || bytes > many_bytes || -bytes > many_bytes ||
           count > many || -count > many;
}

/* With the record locked (or, on a full disk, without): evicts, and settles the sums on what was counted. */
static uint64_t evict_locked(ckiti_file_store *store, int fd, const ckiti_file_census *target, uint64_t deadline_ms) {
    record            r = {0, 0, 0};
    ckiti_file_census found;
    uint64_t          removed = 0;
    take_pending(&store->usage, &r); /* the count will see it; from here on pending is what happens meanwhile */
    ckit_status st = ckiti_file_evict(store, target, deadline_ms, &found, &removed, NULL);
    /* Half a walk is no count: then a stamp so old that the next one counts again. */
    r = (record){(int64_t)found.bytes, (int64_t)found.count, st == CKIT_OK ? system_seconds() : 0};
    take_pending(&store->usage, &r);
    if (fd >= 0) {
        record_store(store, fd, &r);
    }
    publish(store, &r);
    return removed;
}

static record plus(record r, int64_t bytes, int64_t count) {
    return (record){r.bytes + bytes, r.count + count, r.counted_s};
}

/* Above the limits themselves; for an overwrite the count does not matter. */
static bool exceeds(const ckiti_file_store *store, const record *r, int64_t more_entries) {
    return r->bytes > (int64_t)store->options.max_size_bytes ||
           (more_entries > 0 && r->count > (int64_t)store->options.max_entry_count);
}

/* What other processes do not know yet of this one's changes, in percent of a limit. */
static int64_t unreported(const ckiti_file_store *store) {
    int64_t bytes = atomic_load_explicit(&store->usage.pending_bytes, memory_order_relaxed);
    int64_t count = atomic_load_explicit(&store->usage.pending_count, memory_order_relaxed);
    int64_t bytes_percent = bytes / (int64_t)(store->options.max_size_bytes / 100);
    int64_t count_percent = count * 100 / (int64_t)store->options.max_entry_count;
    return bytes_percent > count_percent ? bytes_percent : count_percent;
}

typedef enum outcome {
    EVICT_DONE,    /* by us or by somebody else: look again */
    EVICT_BUSY,    /* somebody had the record all the time */
    EVICT_HELPLESS /* nothing could be removed */
} outcome;

/* Evicts to 70 %, unless somebody else has just done so. `wait`: for somebody who is at it. */
static outcome evict_to_low(ckiti_file_store *store, int64_t bytes, int64_t count, bool wait, uint64_t deadline_ms) {
    ckiti_file_lock_mode mode = {.create = true, .wait = wait, .deadline_ms = deadline_ms};
    struct stat          st;
    int                  fd;
    record               r = {0, 0, 0};
    outcome              result = EVICT_DONE;
    if (ckiti_file_lock_name(store, RECORD_NAME, &mode, &fd, &st, NULL) != CKIT_OK) {
        return EVICT_BUSY;
    }
    bool settled = settle(store, fd, &r);
    r = plus(r, bytes, count);
    if (settled && above(store, &r, HIGH_PERCENT)) {
        /* A large newcomer must fit below the high mark too. */
        int64_t           low = percent_of(store->options.max_size_bytes, LOW_PERCENT);
        int64_t           high = percent_of(store->options.max_size_bytes, HIGH_PERCENT) - bytes;
        ckiti_file_census target = {(uint64_t)(low < high ? low : high),
                                    (uint64_t)percent_of(store->options.max_entry_count, LOW_PERCENT)};
        result = evict_locked(store, fd, &target, deadline_ms) > 0 ? EVICT_DONE : EVICT_HELPLESS;
    } else if (!settled) {
        result = EVICT_HELPLESS;
    }
    ckiti_file_unlock_close(store, fd);
    return result;
}

ckit_status ckiti_file_usage_make_room(ckiti_file_store *store, int64_t bytes, int64_t count, uint64_t deadline_ms,
                                       ckit_error *err) {
    ckiti_file_usage *usage = &store->usage;
    uint64_t          now_ms = ckiti_now_ms(store->clock);
    record            r;
    if (worth_refreshing(store, now_ms)) {
        (void)refresh(store, unreported(store) > UNREPORTED_PERCENT, deadline_ms, &r);
    }
    outcome last = EVICT_DONE;
    bool    wait = false;
    for (int turn = 0; turn < 8 && last != EVICT_HELPLESS && !(last == EVICT_BUSY && wait); turn++) {
        r = plus(estimate(usage), bytes, count);
        wait = exceeds(store, &r, count) || unreported(store) > UNREPORTED_PERCENT;
        if (!above(store, &r, HIGH_PERCENT) || now_ms < atomic_load(&usage->retry_evict_at_ms) ||
            (last == EVICT_BUSY && !wait)) {
            break;
        }
        last = evict_to_low(store, bytes, count, wait, deadline_ms);
    }
    if (last == EVICT_HELPLESS) { /* then not each time */
        atomic_store(&usage->retry_evict_at_ms, now_ms + RETRY_EVICTION_MS);
    }
    r = plus(estimate(usage), bytes, count);
    if (!exceeds(store, &r, count)) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_NO_SPACE, CKITI_FILE_WHERE,
                     "%" PRId64 " bytes in %" PRId64 " entries cannot be evicted, limits %" PRIu64 " and %" PRIu32,
                     r.bytes - bytes, r.count - count, store->options.max_size_bytes, store->options.max_entry_count);
}

bool ckiti_file_usage_relieve(ckiti_file_store *store, uint64_t deadline_ms) {
    ckiti_file_lock_mode mode = {.create = true, .wait = true, .deadline_ms = deadline_ms};
    struct stat          st;
    int                  fd = -1;
    /* A disk without room for the record must still be relieved: then without the lock. */
    ckit_status       status = ckiti_file_lock_name(store, RECORD_NAME, &mode, &fd, &st, NULL);
    ckiti_file_census census;
    if (status == CKIT_E_LOCK_TIMEOUT || ckiti_file_census_take(store, &census, NULL) != CKIT_OK) {
        census.count = 0;
    }
    uint64_t removed = 0;
    if (census.count > 0) {
        ckiti_file_census target = {census.bytes / 100 * LOW_PERCENT, census.count * LOW_PERCENT / 100};
        removed = evict_locked(store, fd, &target, deadline_ms);
    }
    if (fd >= 0) {
        ckiti_file_unlock_close(store, fd);
    }
    return removed > 0;
}
