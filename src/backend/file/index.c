/* The index in use: which entries are noted already, listing, and deleting by scope. */
#include "index.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/log.h"
#include "index_file.h"
#include "stats.h"
#include "usage.h"

#include <cachekit/buf.h>

#include <errno.h>
#include <fcntl.h>

/* ---- what this process has noted --------------------------------------------------------------------------------- */

#define MAX_SEEN_SLOTS 131072u
#define COMPARE_EVERY_MS 1000u

static size_t slots_for(uint32_t entries) {
    size_t count = 1024;
    while (count < (size_t)entries * 2 && count < MAX_SEEN_SLOTS) {
        count *= 2;
    }
    return count;
}

/* A lossy table of fingerprints, two places for each: what falls out is noted once more, which costs an append. */
static _Atomic uint64_t *seen_slots(ckiti_file_store *store) {
    ckiti_file_seen  *seen = &store->seen;
    _Atomic uint64_t *slots = atomic_load_explicit(&seen->slots, memory_order_acquire);
    if (slots != NULL) {
        return slots;
    }
    size_t            count = slots_for(store->options.max_entry_count);
    _Atomic uint64_t *fresh = ckiti_alloc_zeroed(store->alloc, count, sizeof *fresh);
    if (fresh == NULL) {
        return NULL;
    }
    if (!atomic_compare_exchange_strong(&seen->slots, &slots, fresh)) {
        ckiti_free(store->alloc, (void *)fresh, count * sizeof *fresh);
        return slots;
    }
    return fresh;
}

void ckiti_file_index_fini(ckiti_file_store *store) {
    _Atomic uint64_t *slots = atomic_load(&store->seen.slots);
    ckiti_free(store->alloc, (void *)slots, slots_for(store->options.max_entry_count) * sizeof *slots);
}

/* Which entry, above OWNER_BITS, and whose it is, below: an entry that changes its owner takes the place of its own old
 * fingerprint. If both stayed, the way back to the first owner would not be noted. */
#define OWNER_BITS 24u

static uint64_t fingerprint(const ckiti_file_name *name, const ckit_entry_info *info) {
    uint64_t entry = ckiti_xxh3((ckit_slice){(const uint8_t *)name->text, CKITI_FILE_NAME_CHARS}, 0);
    uint64_t owner = ckiti_xxh3(info->function, ckiti_xxh3(info->namespace_name, 0));
    return (entry >> OWNER_BITS << OWNER_BITS) | owner >> (64 - OWNER_BITS) | 1u;
}

static bool same_entry(uint64_t a, uint64_t b) { return (a ^ b) >> OWNER_BITS == 0; }

static size_t slot_for(const ckiti_file_store *store, uint64_t f) {
    return (size_t)(f >> OWNER_BITS) & (slots_for(store->options.max_entry_count) - 1);
}

/* The index is the one with this salt: fingerprints that are about another one are forgotten. */
static void index_is(ckiti_file_store *store, _Atomic uint64_t *slots, uint64_t salt) {
    uint64_t before = atomic_exchange(&store->seen.index_salt, salt);
    if (before == salt || before == 0) { /* about no index there is nothing to forget */
        return;
    }
    for (size_t i = 0; i < slots_for(store->options.max_entry_count); i++) {
        atomic_store_explicit(&slots[i], 0, memory_order_relaxed);
    }
}

/* Once a second: it may have been deleted, or replaced by another process. */
static void compare_index(ckiti_file_store *store, _Atomic uint64_t *slots) {
    ckiti_file_seen *seen = &store->seen;
    uint64_t         now_ms = ckiti_now_ms(store->clock);
    uint64_t         checked = atomic_load_explicit(&seen->checked_at_ms, memory_order_relaxed);
    if (checked != 0 && now_ms + 1 - checked < COMPARE_EVERY_MS) {
        return;
    }
    atomic_store(&seen->checked_at_ms, now_ms + 1);
    index_is(store, slots, ckiti_index_identity(store));
}

static bool was_seen(const ckiti_file_store *store, _Atomic uint64_t *slots, uint64_t f) {
    size_t slot = slot_for(store, f);
    return atomic_load_explicit(&slots[slot], memory_order_relaxed) == f ||
           atomic_load_explicit(&slots[slot ^ 1u], memory_order_relaxed) == f;
}

static void set_seen(const ckiti_file_store *store, _Atomic uint64_t *slots, uint64_t f) {
    size_t   slot = slot_for(store, f);
    uint64_t pushed = atomic_exchange_explicit(&slots[slot], f, memory_order_relaxed);
    if (!same_entry(pushed, f)) {
        atomic_store_explicit(&slots[slot ^ 1u], pushed, memory_order_relaxed);
    }
}

void ckiti_file_index_note(ckiti_file_store *store, const ckiti_file_name *name, ckit_slice key,
                           const ckit_entry_info *info, bool replaces, uint64_t deadline_ms) {
    _Atomic uint64_t *slots = seen_slots(store);
    uint64_t          f = fingerprint(name, info);
    if (slots != NULL) {
        compare_index(store, slots);
        /* A new entry is noted in any case: its old record may have been dropped with the old entry. */
        if (replaces && was_seen(store, slots, f)) {
            return;
        }
    }
    ckiti_index_record record = {.created_ms = ckiti_wall_ms(store->clock),
                                 .key = key,
                                 .namespace_name = info->namespace_name,
                                 .function = info->function};
    ckiti_file_name_to_hash(record.hash, name->text);
    uint64_t    salt = 0;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = ckiti_index_record_size(&record) == 0
                         ? ckit_fail(&err, CKIT_E_TOO_LARGE, CKITI_FILE_WHERE, "namespace or function name too long")
                         : ckiti_index_append(store, &record, deadline_ms, &salt, &err);
    if (st != CKIT_OK) {
        ckiti_log(&store->log, CKIT_LOG_INFO, CKITI_FILE_WHERE, "an entry stays out of the index: %s", err.text);
    } else if (slots != NULL) {
        index_is(store, slots, salt);
        set_seen(store, slots, f);
    }
}

/* ---- by scope ---------------------------------------------------------------------------------------------------- */

typedef struct scoped {
    ckiti_file_store *store;
    const ckit_scope *scope;
    uint64_t          deadline_ms;
    ckiti_index_table table;
    size_t            turn;
    ckit_status       status; /* anything but CKIT_OK ends the walk */
    ckit_status       failed; /* the first entry that could not be looked at or removed; the others get their turn */
    ckit_error       *err;
    ckit_list_fn      each; /* list */
    void             *context;
    ckit_deleted     *deleted; /* delete_scope */
} scoped;

static bool in_scope(const ckit_scope *scope, const ckiti_index_record *record) {
    switch (scope->kind) {
    case CKIT_SCOPE_ALL: return true;
    case CKIT_SCOPE_NAMESPACE: return ckit_slice_equal(scope->namespace_name, record->namespace_name);
    case CKIT_SCOPE_FUNCTION:
        return ckit_slice_equal(scope->namespace_name, record->namespace_name) &&
               ckit_slice_equal(scope->function, record->function);
    }
    return false;
}

/* The file's own stamp: the index notes an entry once and not each of its writes. 0 = unknown: a stamp may be any 64
 * bits of seconds. */
static int64_t written_ms(const struct stat *st) {
    int64_t seconds = st->st_mtim.tv_sec;
    return seconds < 0 || seconds >= INT64_MAX / 1000 ? 0 : seconds * 1000 + st->st_mtim.tv_nsec / 1000000;
}

/* `record` NULL: the index does not know the entry. */
static void show(scoped *s, const char *name, const ckiti_file_opened *entry, uint64_t life_ms,
                 const ckiti_index_record *record) {
    ckit_listed listed = {.name = ckit_slice_of(name, CKITI_FILE_NAME_CHARS),
                          .size = (uint64_t)entry->st.st_size,
                          .life_ms = life_ms,
                          .created_wall_ms = written_ms(&entry->st)};
    if (record != NULL) {
        listed.key = record->key;
        listed.namespace_name = record->namespace_name;
        listed.function = record->function;
    }
    s->status = s->each(s->context, &listed);
}

/* The record of the first failure stays. */
static ckit_error *err_of_entry(const scoped *s) { return s->failed == CKIT_OK ? s->err : NULL; }

static ckit_status delete_entry(scoped *s, const char *name, const ckiti_file_opened *entry) {
    const ckiti_file_io *io = s->store->io;
    if (io->unlink(io->self, s->store->dir_fd, name) == 0) {
        ckiti_file_usage_add(s->store, -(int64_t)entry->st.st_size, -1);
        s->deleted->deleted++;
        ckiti_file_count(s->store, CKITI_FILE_REMOVES, 1);
        return CKIT_OK;
    }
    return errno == ENOENT ? CKIT_MISS : ckiti_file_fail(err_of_entry(s), errno, "removing an entry");
}

/* One live entry of ours: of the scope, or (`record` NULL) perhaps of it. */
static ckit_status visit_live(scoped *s, const char *name, const ckiti_file_opened *entry, uint64_t life_ms,
                              const ckiti_index_record *record) {
    bool wanted = record != NULL || s->scope->kind == CKIT_SCOPE_ALL;
    if (wanted && s->deleted != NULL) {
        return delete_entry(s, name, entry);
    }
    if (wanted) {
        show(s, name, entry, life_ms, record);
    } else if (s->deleted != NULL) {
        s->deleted->unindexed++;
    }
    return CKIT_OK;
}

static ckit_status visit_entry(scoped *s, const char *name, const ckiti_index_record *record) {
    ckiti_file_opened entry;
    uint64_t          life_ms;
    ckit_status       st = ckiti_file_entry_open(s->store, name, O_RDONLY, &entry, err_of_entry(s));
    if (st != CKIT_OK) {
        return st;
    }
    switch (ckiti_file_entry_peek(s->store, entry.fd, &life_ms)) {
    case CKITI_PEEK_LIVE: st = visit_live(s, name, &entry, life_ms, record); break;
    case CKITI_PEEK_EXPIRED:
    case CKITI_PEEK_CORRUPT: ckiti_file_entry_discard(s->store, name, &entry); break;
    case CKITI_PEEK_FAILED: st = ckiti_file_fail(err_of_entry(s), errno, "reading an entry"); break;
    case CKITI_PEEK_NEWER: break;
    }
    s->store->io->close(s->store->io->self, entry.fd);
    return st;
}

static bool visit_name(void *context, const char *name) {
    scoped            *s = context;
    uint8_t            hash[CKITI_FILE_HASH_BYTES];
    ckiti_index_record record;
    if (++s->turn % 64 == 0) {
        s->status = ckiti_file_check_deadline(s->store, s->deadline_ms, s->err);
    }
    if (s->status != CKIT_OK) {
        return false;
    }
    if (!ckiti_file_is_entry_name(name)) {
        return true;
    }
    ckiti_file_name_to_hash(hash, name);
    bool known = ckiti_index_find(&s->table, hash, &record);
    if (known && !in_scope(s->scope, &record)) {
        return true; /* without a look at the entry, which is what costs */
    }
    ckit_status st = visit_entry(s, name, known ? &record : NULL);
    if (st >= CKIT_E_FIRST && s->failed == CKIT_OK) {
        s->failed = st;
    }
    return s->status == CKIT_OK;
}

static ckit_status walk_scope(scoped *s) {
    ckit_status st = ckiti_file_check_deadline(s->store, s->deadline_ms, s->err);
    if (st == CKIT_OK) {
        st = ckiti_index_load(s->store, -1, &s->table, s->err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    st = ckiti_file_dir_walk(s->store, visit_name, s, s->err);
    ckiti_index_table_fini(&s->table);
    if (st == CKIT_OK) {
        st = s->status != CKIT_OK ? s->status : s->failed;
    }
    return st;
}

ckit_status ckiti_file_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each, void *context,
                            ckit_error *err) {
    scoped s = {
        .store = self, .scope = scope, .deadline_ms = deadline_ms, .err = err, .each = each, .context = context};
    return walk_scope(&s);
}

ckit_status ckiti_file_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                    ckit_error *err) {
    *out = (ckit_deleted){0, 0};
    scoped      s = {.store = self, .scope = scope, .deadline_ms = deadline_ms, .err = err, .deleted = out};
    ckit_status st = walk_scope(&s);
    if (out->deleted > 0) {
        (void)ckiti_index_compact(self, deadline_ms, NULL); /* names of what is gone should not stay on the disk */
    }
    ckiti_file_stats_tick(self);
    return st;
}
