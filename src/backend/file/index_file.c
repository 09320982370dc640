#include "index_file.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/random.h"

#include <cachekit/buf.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LOADED_BYTES ((off_t)256 * 1024 * 1024) /* of a larger index only the end is read */
#define COMPACT_SLACK_BYTES 262144u
#define YOUNG_MS 60000 /* a record this new may belong to an entry that is just being written */

/* ---- the table ------------------------------------------------------------------------------------------------- */

static ckit_slice table_bytes(const ckiti_index_table *table) { return (ckit_slice){table->bytes, table->len}; }

/* The slot of `hash`: the one that has it, or the free one where it belongs. */
static size_t slot_of(const ckiti_index_table *table, const uint8_t *hash, ckiti_index_record *found) {
    size_t mask = table->slot_count - 1;
    size_t slot = (size_t)ckiti_xxh3((ckit_slice){hash, CKITI_FILE_HASH_BYTES}, table->salt) & mask;
    for (; table->slots[slot] != 0; slot = (slot + 1) & mask) {
        /* Whole records have been checked when they were entered: here only the name is compared. */
        if (memcmp(table->bytes + table->slots[slot] + 16, hash, CKITI_FILE_HASH_BYTES) == 0) {
            size_t at = table->slots[slot], start;
            if (found != NULL) {
                (void)ckiti_index_record_next(table_bytes(table), table->salt, &at, &start, found);
            }
            break;
        }
    }
    return slot;
}

bool ckiti_index_find(const ckiti_index_table *table, const uint8_t hash[CKITI_FILE_HASH_BYTES],
                      ckiti_index_record *out) {
    return table->slot_count > 0 && table->slots[slot_of(table, hash, out)] != 0;
}

void ckiti_index_table_fini(ckiti_index_table *table) {
    ckiti_free(table->alloc, table->bytes, table->capacity);
    ckiti_free(table->alloc, table->slots, table->slot_count * sizeof *table->slots);
    *table = (ckiti_index_table){.alloc = table->alloc};
}

static ckit_status make_slots(ckiti_index_table *table, size_t records, ckit_error *err) {
    size_t count = 16;
    while (count < records * 2) {
        count *= 2;
    }
    table->slots = ckiti_alloc_zeroed(table->alloc, count, sizeof *table->slots);
    if (table->slots == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory for an index of %zu records", records);
    }
    table->slot_count = count;
    return CKIT_OK;
}

static ckit_status enter_records(ckiti_index_table *table, ckit_error *err) {
    ckiti_index_record record;
    size_t             at = CKITI_INDEX_HEADER_BYTES, start, records = 0;
    while (ckiti_index_record_next(table_bytes(table), table->salt, &at, &start, &record)) {
        records++;
    }
    ckit_status st = make_slots(table, records, err);
    at = CKITI_INDEX_HEADER_BYTES;
    while (st == CKIT_OK && ckiti_index_record_next(table_bytes(table), table->salt, &at, &start, &record)) {
        size_t slot = slot_of(table, record.hash, NULL);
        table->used += table->slots[slot] == 0;
        table->slots[slot] = start; /* the latest wins */
    }
    return st;
}

static ckit_status read_file(const ckiti_file_store *store, int fd, ckiti_index_table *table, ckit_error *err) {
    struct stat st;
    if (store->io->stat_fd(store->io->self, fd, &st) != 0) {
        return ckiti_file_fail(err, errno, "looking at the index");
    }
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)CKITI_INDEX_HEADER_BYTES) {
        return CKIT_OK;
    }
    off_t  skipped = st.st_size > MAX_LOADED_BYTES ? st.st_size - MAX_LOADED_BYTES : 0;
    size_t size = (size_t)(st.st_size - skipped);
    table->bytes = ckiti_alloc(table->alloc, size);
    if (table->bytes == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory for an index of %zu bytes", size);
    }
    table->capacity = size;
    table->cut = skipped > 0;
    struct iovec head = {table->bytes, CKITI_INDEX_HEADER_BYTES};
    struct iovec rest = {table->bytes + CKITI_INDEX_HEADER_BYTES, size - CKITI_INDEX_HEADER_BYTES};
    ssize_t      got = ckiti_file_read_all(store->io, fd, &head, 1, 0);
    ssize_t      more = got < 0 ? -1 : ckiti_file_read_all(store->io, fd, &rest, 1, skipped + got);
    if (more < 0) {
        return ckiti_file_fail(err, errno, "reading the index");
    }
    ckiti_index_header header;
    if (ckiti_index_header_parse((ckit_slice){table->bytes, (size_t)got}, &header)) {
        table->salt = header.salt;
        table->len = (size_t)(got + more);
    }
    return CKIT_OK;
}

ckit_status ckiti_index_load(ckiti_file_store *store, int fd, ckiti_index_table *out, ckit_error *err) {
    *out = (ckiti_index_table){.alloc = store->alloc};
    bool own = fd < 0;
    if (own) {
        fd = store->io->open(store->io->self, store->dir_fd, CKITI_INDEX_NAME,
                             O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
        if (fd < 0) {
            return errno == ENOENT || errno == ELOOP ? CKIT_OK : ckiti_file_fail(err, errno, "opening the index");
        }
    }
    ckit_status st = read_file(store, fd, out, err);
    if (own) {
        store->io->close(store->io->self, fd);
    }
    if (st == CKIT_OK) {
        st = enter_records(out, err);
    }
    if (st != CKIT_OK) {
        ckiti_index_table_fini(out);
    }
    return st;
}

/* ---- compaction -------------------------------------------------------------------------------------------------- */

/* Keeps what belongs to an entry that is there. */
typedef struct keeping {
    ckiti_file_store        *store;
    const ckiti_index_table *table;
    bool                    *kept; /* by slot */
} keeping;

static bool keep_each(void *context, const char *name) {
    keeping *k = context;
    uint8_t  hash[CKITI_FILE_HASH_BYTES];
    if (ckiti_file_is_entry_name(name) && k->table->slot_count > 0) {
        ckiti_file_name_to_hash(hash, name);
        k->kept[slot_of(k->table, hash, NULL)] = true;
    }
    return true;
}

static ckit_status copy_kept(const keeping *k, uint64_t salt, ckit_buf *out) {
    int64_t now_ms = ckiti_wall_ms(k->store->clock);
    for (size_t slot = 0; slot < k->table->slot_count; slot++) {
        ckiti_index_record record;
        size_t             at = k->table->slots[slot], start;
        if (at == 0 || !ckiti_index_record_next(table_bytes(k->table), k->table->salt, &at, &start, &record)) {
            continue;
        }
        if (!k->kept[slot] && llabs((long long)(now_ms - record.created_ms)) > YOUNG_MS) {
            continue;
        }
        size_t size = ckiti_index_record_size(&record);
        if (ckit_buf_reserve(out, size) != CKIT_OK) {
            return CKIT_E_NO_MEMORY;
        }
        ckiti_index_record_write(out->ptr + out->len, &record, salt);
        out->len += size;
    }
    return CKIT_OK;
}

/* Header and the kept records. The salt stays, since every entry that is there keeps its record; a fresh one tells the
 * processes that what they remember about the index is out of date. */
static ckit_status build_compacted(const keeping *k, ckit_buf *out) {
    bool               fresh = k->table->cut || k->table->salt == 0;
    ckiti_index_header header = {.salt = fresh ? ckiti_random_u64() | 1u : k->table->salt};
    ckit_status        st = ckit_buf_reserve(out, CKITI_INDEX_HEADER_BYTES);
    if (st == CKIT_OK) {
        out->len = CKITI_INDEX_HEADER_BYTES;
        st = copy_kept(k, header.salt, out);
    }
    if (st == CKIT_OK) {
        header.base = out->len;
        ckiti_index_header_write(out->ptr, &header);
    }
    return st;
}

static ckit_status replace_index(ckiti_file_store *store, const ckit_buf *content, ckit_error *err) {
    struct iovec    part = {content->ptr, content->len};
    ckiti_file_temp temp;
    ckit_status     st = ckiti_file_temp_write(store, CKITI_INDEX_NAME, &part, 1, false, &temp, err);
    if (st == CKIT_OK && store->io->rename(store->io->self, store->dir_fd, temp.name, CKITI_INDEX_NAME, true) != 0) {
        st = ckiti_file_fail(err, errno, "putting the index in place");
        store->io->unlink(store->io->self, store->dir_fd, temp.name);
    }
    return st;
}

/* With the index locked through `fd`. */
static ckit_status compact_locked(ckiti_file_store *store, int fd, ckit_error *err) {
    ckiti_index_table table;
    ckit_status       st = ckiti_index_load(store, fd, &table, err);
    if (st != CKIT_OK) {
        return st;
    }
    keeping  k = {store, &table, ckiti_alloc_zeroed(store->alloc, table.slot_count, sizeof *k.kept)};
    ckit_buf content;
    ckit_buf_init(&content, store->alloc);
    if (k.kept == NULL) {
        st = ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory to compact the index");
    } else {
        st = ckiti_file_dir_walk(store, keep_each, &k, err);
    }
    if (st == CKIT_OK && k.kept != NULL && build_compacted(&k, &content) != CKIT_OK) {
        st = ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory to compact the index");
    }
    if (st == CKIT_OK) {
        st = replace_index(store, &content, err);
    }
    ckit_buf_fini(&content);
    ckiti_free(store->alloc, k.kept, table.slot_count * sizeof *k.kept);
    ckiti_index_table_fini(&table);
    return st;
}

ckit_status ckiti_index_compact(ckiti_file_store *store, uint64_t deadline_ms, ckit_error *err) {
    ckiti_file_lock_mode mode = {.create = false, .wait = true, .deadline_ms = deadline_ms};
    struct stat          st;
    int                  fd;
    ckit_status          status = ckiti_file_lock_name(store, CKITI_INDEX_NAME, &mode, &fd, &st, err);
    if (status == CKIT_OK) {
        status = compact_locked(store, fd, err);
        ckiti_file_unlock_close(store, fd);
    }
    return status == CKIT_MISS ? CKIT_OK : status;
}

/* ---- appending --------------------------------------------------------------------------------------------------- */

/* The header of a locked index; makes one in an empty file. CKIT_PENDING: it was no index and is gone now. */
static ckit_status ready_header(ckiti_file_store *store, int fd, struct stat *st, ckiti_index_header *header,
                                ckit_error *err) {
    const ckiti_file_io *io = store->io;
    uint8_t              raw[CKITI_INDEX_HEADER_BYTES];
    if (st->st_size == 0) {
        *header = (ckiti_index_header){.salt = ckiti_random_u64() | 1u, .base = sizeof raw};
        ckiti_index_header_write(raw, header);
        ssize_t put = io->write_at(io->self, fd, raw, sizeof raw, 0);
        st->st_size = (off_t)sizeof raw;
        return put == (ssize_t)sizeof raw ? CKIT_OK
                                          : ckiti_file_fail(err, put < 0 ? errno : ENOSPC, "beginning the index");
    }
    struct iovec part = {raw, sizeof raw};
    ssize_t      got = ckiti_file_read_all(io, fd, &part, 1, 0);
    if (got < 0) {
        return ckiti_file_fail(err, errno, "reading the index");
    }
    if (ckiti_index_header_parse((ckit_slice){raw, (size_t)got}, header)) {
        return CKIT_OK;
    }
    return io->unlink(io->self, store->dir_fd, CKITI_INDEX_NAME) == 0 || errno == ENOENT
               ? CKIT_PENDING
               : ckiti_file_fail(err, errno, "removing a damaged index");
}

static ckit_status append_locked(ckiti_file_store *store, int fd, struct stat *st, const ckiti_index_record *record,
                                 uint64_t *identity, ckit_error *err) {
    ckiti_index_header header = {0, 0};
    ckit_status        status = ready_header(store, fd, st, &header, err);
    if (status != CKIT_OK) {
        return status;
    }
    *identity = header.salt;
    uint8_t  small[1024];
    size_t   size = ckiti_index_record_size(record);
    uint8_t *bytes = size <= sizeof small ? small : ckiti_alloc(store->alloc, size);
    if (bytes == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory for an index record");
    }
    ckiti_index_record_write(bytes, record, header.salt);
    ssize_t put = store->io->write_at(store->io->self, fd, bytes, size, st->st_size);
    int     failed = put < 0 ? errno : ENOSPC;
    if (bytes != small) {
        ckiti_free(store->alloc, bytes, size);
    }
    if (put != (ssize_t)size) {
        return ckiti_file_fail(err, failed, "writing the index"); /* a torn record: readers step over it */
    }
    if ((uint64_t)st->st_size + size > header.base * 2 + COMPACT_SLACK_BYTES) {
        (void)compact_locked(store, fd, NULL); /* the record itself is in; next time then */
    }
    return CKIT_OK;
}

ckit_status ckiti_index_append(ckiti_file_store *store, const ckiti_index_record *record, uint64_t deadline_ms,
                               uint64_t *identity, ckit_error *err) {
    ckiti_file_lock_mode mode = {.create = true, .wait = true, .deadline_ms = deadline_ms};
    for (int turn = 0; turn < 3; turn++) {
        struct stat st;
        int         fd = -1;
        ckit_status status = ckiti_file_lock_name(store, CKITI_INDEX_NAME, &mode, &fd, &st, err);
        if (status != CKIT_OK) {
            return status;
        }
        status = append_locked(store, fd, &st, record, identity, err);
        ckiti_file_unlock_close(store, fd);
        if (status != CKIT_PENDING) {
            return status;
        }
    }
    return ckit_fail(err, CKIT_E_IO, CKITI_FILE_WHERE, "the index is damaged all the time");
}

uint64_t ckiti_index_identity(ckiti_file_store *store) {
    const ckiti_file_io *io = store->io;
    int fd = io->open(io->self, store->dir_fd, CKITI_INDEX_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0) {
        return 0;
    }
    uint8_t            raw[CKITI_INDEX_HEADER_BYTES];
    struct iovec       part = {raw, sizeof raw};
    ssize_t            got = ckiti_file_read_all(io, fd, &part, 1, 0);
    ckiti_index_header header = {0, 0};
    if (got > 0) {
        (void)ckiti_index_header_parse((ckit_slice){raw, (size_t)got}, &header);
    }
    io->close(io->self, fd);
    return header.salt;
}
