#include "lease.h"

#include "base/hash.h"
#include "base/random.h"
#include "bytes.h"
#include "holder.h"
#include "stats.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define NAME_START ".ck-lock-"
#define NAME_BYTES (sizeof NAME_START + CKITI_FILE_NAME_CHARS)
#define FENCE_NAME ".ck-fence"

/* Two parts, big-endian. Magic, token, fence, lease length, end on the wall clock, end on the boot clock, boot id,
 * XXH3-64 of that; then who holds it: place, pid, start, XXH3-64 of everything before. The first part is a record of
 * its own, as earlier versions write and read it. Over a longer one they leave the second part of the holder before
 * them, whose sum then does not fit: their own holder is not known. */
#define LEASE_SUMMED 72u
#define LEASE_BYTES 80u
#define RECORD_SUMMED 128u
#define RECORD_BYTES 136u
static const uint8_t record_magic[8] = {'C', 'K', 'L', 'E', 'A', 'S', 'E', '1'};

typedef struct lease_record {
    uint8_t  token[16];
    uint64_t fence;
    uint64_t length_ms;
    int64_t  wall_end_ms;
    uint64_t boot_end_ms; /* 0 when the writer had a clock of its own */
    uint8_t  boot_id[16];
    /* Who took it. Whoever renews it or writes with it only has to show the token. */
    ckiti_file_holder holder;
} lease_record;

/* ---- time ------------------------------------------------------------------------------------------------------ */

static uint64_t boot_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void set_end(const ckiti_file_store *store, lease_record *r, uint64_t length_ms) {
    r->length_ms = length_ms < CKIT_TTL_MAX_MS ? length_ms : CKIT_TTL_MAX_MS;
    r->wall_end_ms = ckiti_wall_ms(store->clock) + (int64_t)r->length_ms;
    r->boot_end_ms = 0;
    memset(r->boot_id, 0, sizeof r->boot_id);
    if (store->clock == NULL) {
        r->boot_end_ms = boot_ms() + r->length_ms;
        ckiti_file_boot_id(r->boot_id);
    }
}

/* On the same boot the boot clock decides: nobody can set it. Otherwise (rebooted, or on another host) the wall clock,
 * believed for at most the length of the lease, so that a clock that was set back cannot keep a lock for ever. */
static bool is_held(const ckiti_file_store *store, const lease_record *r) {
    static const uint8_t unknown[16];
    if (store->clock == NULL && r->boot_end_ms != 0 && memcmp(r->boot_id, unknown, sizeof unknown) != 0) {
        uint8_t here[16];
        ckiti_file_boot_id(here);
        if (memcmp(here, r->boot_id, sizeof here) == 0) {
            return boot_ms() < r->boot_end_ms;
        }
    }
    int64_t now_ms = ckiti_wall_ms(store->clock);
    return now_ms < r->wall_end_ms && (uint64_t)r->wall_end_ms - (uint64_t)now_ms <= r->length_ms;
}

/* For taking a lock only: what a holder may still do is said by its lease alone, however others see it. */
static bool is_free(const ckiti_file_store *store, const lease_record *r) {
    return !is_held(store, r) || ckiti_file_holder_is_dead(&r->holder);
}

/* ---- the record -------------------------------------------------------------------------------------------------- */

static bool sum_fits(const uint8_t *raw, size_t summed) {
    return get_u64(raw + summed) == ckiti_xxh3((ckit_slice){raw, summed}, 0);
}

static void put_sum(uint8_t *raw, size_t summed) { put_u64(raw + summed, ckiti_xxh3((ckit_slice){raw, summed}, 0)); }

/* `valid` is false for anything that is not a record. What cannot be read may well be one: that is a failure. */
static ckit_status record_load(const ckiti_file_store *store, int fd, lease_record *out, bool *valid, ckit_error *err) {
    uint8_t      raw[RECORD_BYTES];
    struct iovec part = {raw, sizeof raw};
    ssize_t      got = ckiti_file_read_all(store->io, fd, &part, 1, 0);
    *valid = false;
    if (got < 0) {
        return ckiti_file_fail(err, errno, "reading a lock file");
    }
    if (got < (ssize_t)LEASE_BYTES || memcmp(raw, record_magic, sizeof record_magic) != 0 ||
        !sum_fits(raw, LEASE_SUMMED)) {
        return CKIT_OK;
    }
    memcpy(out->token, raw + 8, sizeof out->token);
    out->fence = get_u64(raw + 24);
    out->length_ms = get_u64(raw + 32);
    out->wall_end_ms = (int64_t)get_u64(raw + 40);
    out->boot_end_ms = get_u64(raw + 48);
    memcpy(out->boot_id, raw + 56, sizeof out->boot_id);
    out->holder = (ckiti_file_holder){.pid = 0};
    if (got == (ssize_t)RECORD_BYTES && sum_fits(raw, RECORD_SUMMED)) {
        memcpy(out->holder.place, raw + 80, sizeof out->holder.place);
        out->holder.pid = get_u64(raw + 112);
        out->holder.start_ticks = get_u64(raw + 120);
    }
    *valid = out->length_ms <= CKIT_TTL_MAX_MS;
    return CKIT_OK;
}

static ckit_status record_store(const ckiti_file_store *store, int fd, const lease_record *r, ckit_error *err) {
    uint8_t raw[RECORD_BYTES];
    memcpy(raw, record_magic, sizeof record_magic);
    memcpy(raw + 8, r->token, sizeof r->token);
    put_u64(raw + 24, r->fence);
    put_u64(raw + 32, r->length_ms);
    put_u64(raw + 40, (uint64_t)r->wall_end_ms);
    put_u64(raw + 48, r->boot_end_ms);
    memcpy(raw + 56, r->boot_id, sizeof r->boot_id);
    put_sum(raw, LEASE_SUMMED);
    memcpy(raw + 80, r->holder.place, sizeof r->holder.place);
    put_u64(raw + 112, r->holder.pid);
    put_u64(raw + 120, r->holder.start_ticks);
    put_sum(raw, RECORD_SUMMED);
    ssize_t put = store->io->write_at(store->io->self, fd, raw, sizeof raw, 0);
    return put == (ssize_t)sizeof raw ? CKIT_OK : ckiti_file_fail(err, put < 0 ? errno : ENOSPC, "writing a lock file");
}

/* Higher than any before in this directory, also when the lock's file was removed in between. The counter never starts
 * below the wall clock's microseconds, so that even a lost counter file does not bring an old fence back. */
static ckit_status next_fence(ckiti_file_store *store, uint64_t deadline_ms, uint64_t *out, ckit_error *err) {
    ckiti_file_lock_mode mode = {.create = true, .wait = true, .deadline_ms = deadline_ms};
    struct stat          st;
    int                  fd;
    ckit_status          status = ckiti_file_lock_name(store, FENCE_NAME, &mode, &fd, &st, err);
    if (status != CKIT_OK) {
        return status;
    }
    uint8_t      raw[8] = {0};
    struct iovec part = {raw, sizeof raw};
    ssize_t      got = ckiti_file_read_all(store->io, fd, &part, 1, 0);
    uint64_t     fence = got == (ssize_t)sizeof raw ? get_u64(raw) + 1 : 1;
    int64_t      wall_ms = ckiti_wall_ms(store->clock);
    uint64_t     floor = wall_ms > 0 ? (uint64_t)wall_ms * 1000u : 1;
    *out = fence > floor && fence < UINT64_MAX / 2 ? fence : floor;
    put_u64(raw, *out);
    ssize_t put = store->io->write_at(store->io->self, fd, raw, sizeof raw, 0);
    if (put != (ssize_t)sizeof raw) {
        status = ckiti_file_fail(err, put < 0 ? errno : ENOSPC, "writing the fence");
    }
    ckiti_file_unlock_close(store, fd);
    return status;
}

/* ---- names and leftovers ----------------------------------------------------------------------------------------- */

static void name_of(char out[NAME_BYTES], const ckiti_file_name *entry) {
    memcpy(out, NAME_START, sizeof NAME_START - 1);
    memcpy(out + sizeof NAME_START - 1, entry->text, sizeof entry->text);
}

bool ckiti_file_is_lock_name(const char *name) {
    return strncmp(name, NAME_START, sizeof NAME_START - 1) == 0 &&
           ckiti_file_is_entry_name(name + sizeof NAME_START - 1);
}

void ckiti_file_lease_sweep(ckiti_file_store *store, const char *name) {
    ckiti_file_lock_mode mode = {.create = false, .wait = false, .deadline_ms = CKIT_NO_DEADLINE};
    struct stat          st;
    int                  fd;
    lease_record         r;
    bool                 valid;
    if (ckiti_file_lock_name(store, name, &mode, &fd, &st, NULL) != CKIT_OK) {
        return; /* somebody is at it */
    }
    if (record_load(store, fd, &r, &valid, NULL) == CKIT_OK && (!valid || !is_held(store, &r))) {
        store->io->unlink(store->io->self, store->dir_fd, name);
    }
    ckiti_file_unlock_close(store, fd);
}

/* ---- the operations ---------------------------------------------------------------------------------------------- */

/* A lock file, locked and read. */
typedef struct held_file {
    char         name[NAME_BYTES];
    int          fd;
    bool         valid; /* `record` was read */
    lease_record record;
} held_file;

static ckit_status open_lock(ckiti_file_store *store, ckit_slice key, bool create, uint64_t deadline_ms, held_file *out,
                             ckit_error *err) {
    ckiti_file_name name;
    ckit_status     status = ckiti_file_begin(store, key, deadline_ms, &name, err);
    if (status != CKIT_OK) {
        return status;
    }
    ckiti_file_lock_mode mode = {.create = create, .wait = true, .deadline_ms = deadline_ms};
    struct stat          st;
    name_of(out->name, &name);
    status = ckiti_file_lock_name(store, out->name, &mode, &out->fd, &st, err);
    if (status != CKIT_OK) {
        return status;
    }
    status = record_load(store, out->fd, &out->record, &out->valid, err);
    if (status != CKIT_OK) {
        ckiti_file_unlock_close(store, out->fd);
    }
    return status;
}

/* The same, only when `lease` is the one in it and has not ended. CKIT_MISS otherwise, with nothing left open. */
static ckit_status open_owned(ckiti_file_store *store, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                              held_file *out, ckit_error *err) {
    ckit_status status = open_lock(store, key, false, deadline_ms, out, err);
    if (status != CKIT_OK) {
        return status;
    }
    if (out->valid && memcmp(out->record.token, lease->token, sizeof lease->token) == 0 &&
        is_held(store, &out->record)) {
        return CKIT_OK;
    }
    ckiti_file_unlock_close(store, out->fd);
    return CKIT_MISS;
}

static ckit_status check_length(uint64_t lease_ms, ckit_error *err) {
    return lease_ms > 0 ? CKIT_OK : ckit_fail(err, CKIT_E_MISUSE, CKITI_FILE_WHERE, "a lease of 0 ms");
}

/* What every operation on a lock ends with. */
static ckit_status counted(ckiti_file_store *store, ckit_status status, ckiti_file_counter missed) {
    if (status == CKIT_MISS) {
        ckiti_file_count(store, missed, 1);
    }
    ckiti_file_count_failure(store, status);
    ckiti_file_stats_tick(store);
    return status;
}

static ckit_status try_once(ckiti_file_store *store, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms,
                            ckit_lease *lease, ckit_error *err) {
    held_file   file;
    ckit_status status = check_length(lease_ms, err);
    if (status == CKIT_OK) {
        status = open_lock(store, key, true, deadline_ms, &file, err);
    }
    if (status != CKIT_OK) {
        return status;
    }
    if (file.valid && !is_free(store, &file.record)) {
        status = CKIT_MISS;
    } else {
        lease_record fresh = {.fence = 0};
        ckiti_random_bytes(fresh.token, sizeof fresh.token);
        status = next_fence(store, deadline_ms, &fresh.fence, err);
        if (status == CKIT_OK) {
            ckiti_file_holder_self(&fresh.holder);
            set_end(store, &fresh, lease_ms);
            status = record_store(store, file.fd, &fresh, err);
        }
        if (status == CKIT_OK) {
            memcpy(lease->token, fresh.token, sizeof lease->token);
            lease->fence = fresh.fence;
            ckiti_file_count(store, CKITI_FILE_LOCKS_TAKEN, 1);
        } else {
            store->io->unlink(store->io->self, store->dir_fd, file.name);
        }
    }
    ckiti_file_unlock_close(store, file.fd);
    return status;
}

ckit_status ckiti_file_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                                ckit_error *err) {
    return counted(self, try_once(self, key, lease_ms, deadline_ms, lease, err), CKITI_FILE_LOCKS_BUSY);
}

ckit_status ckiti_file_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                  uint64_t deadline_ms, ckit_error *err) {
    ckiti_file_store *store = self;
    held_file         file;
    ckit_status       status = check_length(lease_ms, err);
    if (status == CKIT_OK) {
        status = open_owned(store, key, lease, deadline_ms, &file, err);
    }
    if (status == CKIT_OK) {
        set_end(store, &file.record, lease_ms);
        status = record_store(store, file.fd, &file.record, err);
        ckiti_file_unlock_close(store, file.fd);
    }
    return counted(store, status, CKITI_FILE_LOCKS_LOST);
}

ckit_status ckiti_file_lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                       uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    ckit_status status = check_length(lease_ms, err);
    for (size_t i = 0; status == CKIT_OK && i < count; i++) {
        answers[i] = ckiti_file_lock_renew(self, keys[i], &leases[i], lease_ms, deadline_ms, NULL);
    }
    return status;
}

ckit_status ckiti_file_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                    ckit_error *err) {
    ckiti_file_store *store = self;
    held_file         file;
    ckit_status       status = open_owned(store, key, lease, deadline_ms, &file, err);
    if (status == CKIT_OK) {
        if (store->io->unlink(store->io->self, store->dir_fd, file.name) != 0 && errno != ENOENT) {
            status = ckiti_file_fail(err, errno, "removing a lock file");
        }
        ckiti_file_unlock_close(store, file.fd);
    }
    return counted(store, status, CKITI_FILE_LOCKS_LOST);
}

ckit_status ckiti_file_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                    const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    ckiti_file_store *store = self;
    ckiti_file_write  write;
    held_file         file;
    /* Everything slow first: between the look at the lease and the rename nobody else can take the lock, because its
     * file stays locked. */
    ckit_status status = ckiti_file_write_prepare(store, key, value, info, deadline_ms, &write, err);
    if (status != CKIT_OK) {
        return counted(store, status, CKITI_FILE_LOCKS_LOST);
    }
    status = open_owned(store, key, lease, deadline_ms, &file, err);
    if (status == CKIT_OK) {
        status = ckiti_file_write_publish(store, &write, err);
        ckiti_file_unlock_close(store, file.fd);
    } else {
        ckiti_file_write_abandon(store, &write);
    }
    return counted(store, status, CKITI_FILE_LOCKS_LOST);
}
