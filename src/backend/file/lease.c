#include "lease.h"

#include "base/hash.h"
#include "base/random.h"
#include "bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define NAME_START ".ck-lock-"
#define NAME_BYTES (sizeof NAME_START + CKITI_FILE_NAME_CHARS)
#define FENCE_NAME ".ck-fence"

/* Magic, token, fence, lease length, end on the wall clock, end on the boot clock, boot id, XXH3-64; big-endian. */
#define RECORD_BYTES 80u
#define RECORD_SUMMED 72u
static const uint8_t record_magic[8] = {'C', 'K', 'L', 'E', 'A', 'S', 'E', '1'};

typedef struct lease_record {
    uint8_t  token[16];
    uint64_t fence;
    uint64_t length_ms;
    int64_t  wall_end_ms;
    uint64_t boot_end_ms; /* 0 when the writer had a clock of its own */
    uint8_t  boot_id[16];
} lease_record;

/* ---- time ------------------------------------------------------------------------------------------------------ */

static uint64_t boot_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Which boot the boot clock counts from; a hash of the kernel's id. All zero when it cannot be told. */
static void read_boot_id(uint8_t id[16]) {
    char text[40];
    int  fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    memset(id, 0, 16);
    if (fd < 0) {
        return;
    }
    ssize_t got = read(fd, text, sizeof text);
    if (got > 0) {
        ckiti_blake2b(id, 16, (ckit_slice){(const uint8_t *)text, (size_t)got});
    }
    close(fd);
}

static void set_end(const ckiti_file_store *store, lease_record *r, uint64_t length_ms) {
    r->length_ms = length_ms < CKIT_TTL_MAX_MS ? length_ms : CKIT_TTL_MAX_MS;
    r->wall_end_ms = ckiti_wall_ms(store->clock) + (int64_t)r->length_ms;
    r->boot_end_ms = 0;
    memset(r->boot_id, 0, sizeof r->boot_id);
    if (store->clock == NULL) {
        r->boot_end_ms = boot_ms() + r->length_ms;
        read_boot_id(r->boot_id);
    }
}

/* On the same boot the boot clock decides: nobody can set it. Otherwise the wall clock, believed for at most the length
 * of the lease, so that a clock that was set back cannot keep a lock for ever. */
static bool is_held(const ckiti_file_store *store, const lease_record *r) {
    static const uint8_t unknown[16];
    if (store->clock == NULL && r->boot_end_ms != 0 && memcmp(r->boot_id, unknown, sizeof unknown) != 0) {
        uint8_t here[16];
        read_boot_id(here);
        if (memcmp(here, unknown, sizeof unknown) != 0) {
            return memcmp(here, r->boot_id, sizeof here) == 0 && boot_ms() < r->boot_end_ms;
        }
    }
    int64_t now_ms = ckiti_wall_ms(store->clock);
    return now_ms < r->wall_end_ms && r->wall_end_ms - now_ms <= (int64_t)r->length_ms;
}

/* ---- the record --------------------------------------------------------------------------------------------------- */

static bool record_load(const ckiti_file_store *store, int fd, lease_record *out) {
    uint8_t      raw[RECORD_BYTES];
    struct iovec part = {raw, sizeof raw};
    if (ckiti_file_read_all(store->io, fd, &part, 1, 0) != RECORD_BYTES ||
        memcmp(raw, record_magic, sizeof record_magic) != 0 ||
        get_u64(raw + RECORD_SUMMED) != ckiti_xxh3((ckit_slice){raw, RECORD_SUMMED}, 0)) {
        return false;
    }
    memcpy(out->token, raw + 8, sizeof out->token);
    out->fence = get_u64(raw + 24);
    out->length_ms = get_u64(raw + 32);
    out->wall_end_ms = (int64_t)get_u64(raw + 40);
    out->boot_end_ms = get_u64(raw + 48);
    memcpy(out->boot_id, raw + 56, sizeof out->boot_id);
    return out->length_ms <= CKIT_TTL_MAX_MS;
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
    put_u64(raw + RECORD_SUMMED, ckiti_xxh3((ckit_slice){raw, RECORD_SUMMED}, 0));
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

/* ---- names and leftovers --------------------------------------------------------------------------------------------- */

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
    if (ckiti_file_lock_name(store, name, &mode, &fd, &st, NULL) != CKIT_OK) {
        return; /* somebody is at it */
    }
    if (!record_load(store, fd, &r) || !is_held(store, &r)) {
        store->io->unlink(store->io->self, store->dir_fd, name);
    }
    ckiti_file_unlock_close(store, fd);
}

/* ---- the operations ----------------------------------------------------------------------------------------------------- */

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
    if (status == CKIT_OK) {
        out->valid = record_load(store, out->fd, &out->record);
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

ckit_status ckiti_file_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                                ckit_error *err) {
    ckiti_file_store *store = self;
    held_file         file;
    ckit_status       status = check_length(lease_ms, err);
    if (status == CKIT_OK) {
        status = open_lock(store, key, true, deadline_ms, &file, err);
    }
    if (status != CKIT_OK) {
        return status;
    }
    if (file.valid && is_held(store, &file.record)) {
        status = CKIT_MISS;
    } else {
        lease_record fresh = {.fence = 0};
        ckiti_random_bytes(fresh.token, sizeof fresh.token);
        status = next_fence(store, deadline_ms, &fresh.fence, err);
        if (status == CKIT_OK) {
            set_end(store, &fresh, lease_ms);
            status = record_store(store, file.fd, &fresh, err);
        }
        if (status == CKIT_OK) {
            memcpy(lease->token, fresh.token, sizeof lease->token);
            lease->fence = fresh.fence;
        } else {
            store->io->unlink(store->io->self, store->dir_fd, file.name);
        }
    }
    ckiti_file_unlock_close(store, file.fd);
    return status;
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
    return status;
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
        return status;
    }
    status = open_owned(store, key, lease, deadline_ms, &file, err);
    if (status != CKIT_OK) {
        ckiti_file_write_abandon(store, &write);
        return status;
    }
    status = ckiti_file_write_publish(store, &write, err);
    ckiti_file_unlock_close(store, file.fd);
    return status;
}
