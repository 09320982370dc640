/* Listing and removing what belongs to somebody: keys that tell it themselves are found by SCAN, the others in the index
 * of their namespace. */
#include "owner.h"
#include "publish.h"
#include "reply.h"

#include <cachekit/key.h>
#include <stdio.h>
#include <stdlib.h>

#define SCAN_COUNT 1000u

typedef struct walk {
    ckiti_redis_store *store;
    const ckit_scope  *scope;
    uint64_t           deadline_ms;
    ckiti_redis_asker  scan; /* names, a portion at a time */
    ckiti_redis_asker  work; /* what is asked about them, or done to them */
    ckit_buf           pattern;
    ckit_buf           indexes;        /* hashes of the namespaces that have an index */
    ckit_buf           namespace_name; /* of the scope, as in keys */
    ckit_buf           function;
    ckit_list_fn       each; /* NULL: remove */
    void              *context;
    ckit_deleted       deleted;
    ckit_error        *err;
} walk;

/* An entry that was found. */
typedef struct found {
    ckit_slice key;
    ckit_slice namespace_name;
    ckit_slice function;
} found;

/* ---- what the scope means in keys ---------------------------------------------------------------------------------------- */

static ckit_status no_memory(const walk *w) { return ckiti_redis_no_memory(w->err, "walking through entries"); }

static ckit_status append(walk *w, ckit_buf *out, const char *text) {
    return ckit_buf_append(out, ckit_slice_str(text)) == CKIT_OK ? CKIT_OK : no_memory(w);
}

/* As keys have them: blanks and line ends replaced. */
static ckit_status as_in_keys(walk *w) {
    const ckit_scope *scope = w->scope;
    if (ckit_buf_append(&w->namespace_name, scope->namespace_name) != CKIT_OK) {
        return no_memory(w);
    }
    for (size_t i = 0; i < w->namespace_name.len; i++) {
        uint8_t *c = &w->namespace_name.ptr[i];
        *c = *c == ' ' || *c == '\n' || *c == '\r' ? (uint8_t)'_' : *c;
    }
    ckit_status st = CKIT_OK;
    if (scope->kind == CKIT_SCOPE_FUNCTION && scope->function.len > 0) {
        st = ckit_key_function(scope->function, &w->function, NULL);
    }
    return st == CKIT_E_NO_MEMORY ? no_memory(w) : CKIT_OK; /* a name that is no text stands in no key */
}

static ckit_status make_pattern(walk *w) {
    ckit_buf   *p = &w->pattern;
    ckit_status st = ckiti_redis_escape(p, w->store->prefix);
    if (st == CKIT_OK && w->scope->kind != CKIT_SCOPE_ALL) {
        if (w->namespace_name.len > 0) {
            st = append(w, p, "ns:");
            st = st == CKIT_OK ? ckiti_redis_escape(p, ckit_buf_slice(&w->namespace_name)) : st;
            st = st == CKIT_OK ? append(w, p, ":") : st;
        }
        st = st == CKIT_OK ? append(w, p, "func:") : st;
        st = st == CKIT_OK ? ckiti_redis_escape(p, ckit_buf_slice(&w->function)) : st;
        if (w->function.len > 0) {
            st = st == CKIT_OK ? append(w, p, ":args:") : st;
        }
    }
    st = st == CKIT_OK ? append(w, p, "*") : st;
    return st == CKIT_OK ? CKIT_OK : no_memory(w);
}

static bool in_scope(const walk *w, const ckit_key_parts *parts) {
    switch (w->scope->kind) {
    case CKIT_SCOPE_ALL: return true;
    case CKIT_SCOPE_NAMESPACE: return ckit_slice_equal(parts->namespace_name, ckit_buf_slice(&w->namespace_name));
    default:
        return w->function.len > 0 && ckit_slice_equal(parts->namespace_name, ckit_buf_slice(&w->namespace_name)) &&
               ckit_slice_equal(parts->function, ckit_buf_slice(&w->function));
    }
}

/* ---- listing --------------------------------------------------------------------------------------------------------------- */

static void ask_about(const walk *w, ckiti_resp_writer *writer, ckit_slice key) {
    ckiti_redis_name name = ckiti_redis_entry_name(w->store->prefix, key);
    ckiti_resp_command(writer, 2);
    ckiti_resp_text(writer, "STRLEN");
    ckiti_redis_put_name(writer, &name);
    ckiti_resp_command(writer, 2);
    ckiti_resp_text(writer, "PTTL");
    ckiti_redis_put_name(writer, &name);
}

/* `size` and `pttl` are what the server answered about it. False for what is gone, and for what is no entry. */
static bool is_live(const ckiti_redis_part *size, const ckiti_redis_part *pttl) {
    return size->type == CKITI_RESP_INTEGER && pttl->type == CKITI_RESP_INTEGER && pttl->integer != -2;
}

static ckit_status tell(const walk *w, const found *f, const ckiti_redis_part *size, const ckiti_redis_part *pttl) {
    char             room[256];
    ckit_listed      listed = {.key = f->key,
                               .namespace_name = f->namespace_name,
                               .function = f->function,
                               .size = (uint64_t)size->integer,
                               .life_ms = pttl->integer == -1  ? CKIT_LIFE_NO_EXPIRY
                                          : pttl->integer <= 0 ? 1
                                                               : (uint64_t)pttl->integer};
    ckiti_redis_name name = ckiti_redis_entry_name(w->store->prefix, f->key);
    size_t           used = 0;
    for (size_t i = 0; i < name.count; i++) { /* for people: cut when it is very long */
        size_t n = name.parts[i].len < sizeof room - used ? name.parts[i].len : sizeof room - used;
        if (n > 0) {
            memcpy(room + used, name.parts[i].ptr, n);
        }
        used += n;
    }
    listed.name = ckit_slice_of(room, used);
    return w->each(w->context, &listed);
}

/* ---- keys that tell --------------------------------------------------------------------------------------------------------- */

/* The element's key, when it is an entry of the scope. */
static bool find_telling(const walk *w, size_t index, found *f) {
    ckiti_redis_part part = ckiti_redis_part_at(&w->scan, index);
    ckit_slice       key;
    if (part.type != CKITI_RESP_BULK ||
        !ckiti_redis_key_of(w->store->prefix, ckiti_redis_part_text(&w->scan, &part), &key)) {
        return false;
    }
    ckit_key_parts parts = ckit_key_describe(key);
    *f = (found){key, parts.namespace_name, parts.function};
    return parts.automatic && !parts.shortened && in_scope(w, &parts);
}

static ckit_status list_telling(walk *w, size_t first, size_t end) {
    ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->work);
    found             f;
    uint32_t          count = 0;
    for (size_t i = first; i < end; i++) {
        if (find_telling(w, i, &f)) {
            ask_about(w, &writer, f.key);
            count++;
        }
    }
    ckit_status st = ckiti_redis_asker_run(&w->work, &writer, 2 * count, w->deadline_ms);
    size_t      at = 0;
    for (size_t i = first; st == CKIT_OK && i < end; i++) {
        if (find_telling(w, i, &f)) {
            ckiti_redis_part size = ckiti_redis_part_at(&w->work, at);
            ckiti_redis_part pttl = ckiti_redis_part_at(&w->work, at + 1);
            at += 2;
            st = is_live(&size, &pttl) ? tell(w, &f, &size, &pttl) : CKIT_OK;
        }
    }
    return st;
}

static ckit_status remove_telling(walk *w, size_t first, size_t end) {
    ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->work);
    found             f;
    uint64_t          count = 0;
    for (size_t i = first; i < end; i++) {
        count += find_telling(w, i, &f);
    }
    if (count == 0) {
        return CKIT_OK;
    }
    ckiti_resp_command(&writer, 1 + count);
    ckiti_resp_text(&writer, "UNLINK");
    for (size_t i = first; i < end; i++) {
        if (find_telling(w, i, &f)) {
            ckiti_redis_name name = ckiti_redis_entry_name(w->store->prefix, f.key);
            ckiti_redis_put_name(&writer, &name);
        }
    }
    w->work.tolerant = false;
    ckit_status st = ckiti_redis_asker_run(&w->work, &writer, 1, w->deadline_ms);
    w->work.tolerant = true;
    if (st == CKIT_OK) {
        w->deleted.deleted += (uint64_t)ckiti_redis_part_at(&w->work, 0).integer;
    }
    return st;
}

/* The index of a namespace that the scan came by. */
static ckit_status note_index(walk *w, size_t index) {
    ckiti_redis_part part = ckiti_redis_part_at(&w->scan, index);
    ckit_slice       name = ckiti_redis_part_text(&w->scan, &part);
    size_t           mark = strlen(CKITI_REDIS_INDEX_MARK);
    size_t           prefix = w->store->prefix.len;
    if (part.type != CKITI_RESP_BULK || name.len != prefix + mark + CKITI_REDIS_HASH_DIGITS ||
        (prefix > 0 && memcmp(name.ptr, w->store->prefix.ptr, prefix) != 0) ||
        memcmp(name.ptr + prefix, CKITI_REDIS_INDEX_MARK, mark) != 0) {
        return CKIT_OK;
    }
    ckit_slice hash = ckit_slice_of(name.ptr + prefix + mark, CKITI_REDIS_HASH_DIGITS);
    for (size_t at = 0; at < w->indexes.len; at += hash.len) { /* SCAN may show a key twice */
        if (memcmp(w->indexes.ptr + at, hash.ptr, hash.len) == 0) {
            return CKIT_OK;
        }
    }
    return ckit_buf_append(&w->indexes, hash) == CKIT_OK ? CKIT_OK : no_memory(w);
}

/* A reply of SCAN or ZSCAN: the cursor, and then the elements from the fourth part on. False at the end. */
static bool next_cursor(const ckiti_redis_asker *scan, char cursor[24]) {
    ckiti_redis_part part = ckiti_redis_part_at(scan, 1);
    ckit_slice       text = ckiti_redis_part_text(scan, &part);
    size_t           len = text.len < 23 ? text.len : 23;
    memcpy(cursor, len == 0 ? (const uint8_t *)"" : text.ptr, len);
    cursor[len] = '\0';
    return strcmp(cursor, "0") != 0 && len > 0;
}

static ckit_status walk_telling(walk *w) {
    char        cursor[24] = "0";
    ckit_status st;
    do {
        ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->scan);
        ckiti_resp_command(&writer, 6);
        ckiti_resp_text(&writer, "SCAN");
        ckiti_resp_text(&writer, cursor);
        ckiti_resp_text(&writer, "MATCH");
        ckiti_resp_bytes(&writer, ckit_buf_slice(&w->pattern));
        ckiti_resp_text(&writer, "COUNT");
        ckiti_resp_number(&writer, SCAN_COUNT);
        st = ckiti_redis_asker_run(&w->scan, &writer, 1, w->deadline_ms);
        size_t end = ckiti_redis_part_count(&w->scan);
        if (st == CKIT_OK) {
            st = w->each != NULL ? list_telling(w, 3, end) : remove_telling(w, 3, end);
        }
        for (size_t i = 3; st == CKIT_OK && i < end && w->scope->kind == CKIT_SCOPE_ALL; i++) {
            st = note_index(w, i);
        }
    } while (st == CKIT_OK && next_cursor(&w->scan, cursor));
    return st;
}

/* ---- keys that do not ---------------------------------------------------------------------------------------------------------- */

static ckit_slice member(const walk *w, size_t index) {
    ckiti_redis_part part = ckiti_redis_part_at(&w->scan, index);
    return ckiti_redis_part_text(&w->scan, &part);
}

/* Whether the member at `index`, number `at` among those asked about, is a live entry of the scope. An entry that was
 * stored again for somebody else is in his index too, and counts there. */
static bool find_indexed(walk *w, size_t index, size_t at, ckit_slice hash, found *f) {
    ckiti_redis_part  record = ckiti_redis_part_at(&w->work, 3 * at);
    ckiti_redis_part  size = ckiti_redis_part_at(&w->work, 3 * at + 1);
    ckiti_redis_part  pttl = ckiti_redis_part_at(&w->work, 3 * at + 2);
    ckiti_redis_owner owner = {0};
    *f = (found){.key = member(w, index)};
    if (!is_live(&size, &pttl)) {
        return false;
    }
    if (record.type != CKITI_RESP_BULK || !ckiti_redis_owner_read(ckiti_redis_part_text(&w->work, &record), &owner)) {
        bool whole = w->scope->kind != CKIT_SCOPE_FUNCTION;
        w->deleted.unindexed += !whole;
        return whole;
    }
    f->namespace_name = owner.namespace_name;
    f->function = owner.function;
    return ckit_slice_equal(owner.hash, hash) &&
           (w->scope->kind != CKIT_SCOPE_FUNCTION || ckit_slice_equal(owner.function, w->scope->function));
}

static ckit_status ask_members(walk *w, size_t end) {
    ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->work);
    uint32_t          count = 0;
    for (size_t i = 3; i + 1 < end; i += 2) {
        ckiti_redis_name owner = ckiti_redis_owner_name(w->store->prefix, member(w, i));
        ckiti_resp_command(&writer, 2);
        ckiti_resp_text(&writer, "GET");
        ckiti_redis_put_name(&writer, &owner);
        ask_about(w, &writer, member(w, i));
        count++;
    }
    return ckiti_redis_asker_run(&w->work, &writer, 3 * count, w->deadline_ms);
}

static void put_removal(walk *w, ckiti_resp_writer *writer, ckit_slice key, ckit_slice hash) {
    ckiti_redis_name names[] = {ckiti_redis_entry_name(w->store->prefix, key),
                                ckiti_redis_owner_name(w->store->prefix, key)};
    ckiti_redis_name index = ckiti_redis_index_name(w->store->prefix, hash);
    for (size_t i = 0; i < 2; i++) {
        ckiti_resp_command(writer, 2);
        ckiti_resp_text(writer, "UNLINK");
        ckiti_redis_put_name(writer, &names[i]);
    }
    ckiti_resp_command(writer, 3);
    ckiti_resp_text(writer, "ZREM");
    ckiti_redis_put_name(writer, &index);
    ckiti_resp_bytes(writer, key);
}

static ckit_status remove_members(walk *w, size_t end, ckit_slice hash) {
    ckit_buf          commands;
    ckiti_resp_writer writer;
    found             f;
    uint32_t          count = 0;
    ckit_buf_init(&commands, w->store->alloc);
    ckiti_resp_writer_init(&writer, &commands, SIZE_MAX);
    for (size_t i = 3, at = 0; i + 1 < end; i += 2, at++) {
        if (find_indexed(w, i, at, hash, &f)) {
            put_removal(w, &writer, f.key, hash);
            count++;
        }
    }
    ckit_buf old = w->work.commands;
    w->work.commands = commands;
    ckit_buf_fini(&old);
    w->work.tolerant = false;
    ckit_status st = ckiti_redis_asker_run(&w->work, &writer, 3 * count, w->deadline_ms);
    w->work.tolerant = true;
    for (uint32_t i = 0; st == CKIT_OK && i < count; i++) {
        w->deleted.deleted += (uint64_t)ckiti_redis_part_at(&w->work, 3 * i).integer;
    }
    return st;
}

static ckit_status list_members(walk *w, size_t end, ckit_slice hash) {
    ckit_status st = CKIT_OK;
    found       f;
    for (size_t i = 3, at = 0; st == CKIT_OK && i + 1 < end; i += 2, at++) {
        if (find_indexed(w, i, at, hash, &f)) {
            ckiti_redis_part size = ckiti_redis_part_at(&w->work, 3 * at + 1);
            ckiti_redis_part pttl = ckiti_redis_part_at(&w->work, 3 * at + 2);
            st = tell(w, &f, &size, &pttl);
        }
    }
    return st;
}

static ckit_status walk_index(walk *w, ckit_slice hash) {
    ckiti_redis_name index = ckiti_redis_index_name(w->store->prefix, hash);
    char             cursor[24] = "0";
    ckit_status      st;
    do {
        ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->scan);
        ckiti_resp_command(&writer, 5);
        ckiti_resp_text(&writer, "ZSCAN");
        ckiti_redis_put_name(&writer, &index);
        ckiti_resp_text(&writer, cursor);
        ckiti_resp_text(&writer, "COUNT");
        ckiti_resp_number(&writer, SCAN_COUNT);
        st = ckiti_redis_asker_run(&w->scan, &writer, 1, w->deadline_ms);
        size_t end = ckiti_redis_part_count(&w->scan);
        if (st == CKIT_OK && end > 3) {
            st = ask_members(w, end);
            if (st == CKIT_OK) {
                st = w->each != NULL ? list_members(w, end, hash) : remove_members(w, end, hash);
            }
        }
    } while (st == CKIT_OK && next_cursor(&w->scan, cursor));
    return st;
}

/* ---- the walk --------------------------------------------------------------------------------------------------------------- */

static void walk_init(walk *w, ckiti_redis_store *store, const ckit_scope *scope, uint64_t deadline_ms,
                      ckit_error *err) {
    *w = (walk){.store = store, .scope = scope, .deadline_ms = deadline_ms, .err = err};
    ckiti_redis_asker_init(&w->scan, store, err);
    ckiti_redis_asker_init(&w->work, store, err);
    w->work.tolerant = true;
    ckit_buf *const buffers[] = {&w->pattern, &w->indexes, &w->namespace_name, &w->function};
    for (size_t i = 0; i < 4; i++) {
        ckit_buf_init(buffers[i], store->alloc);
    }
}

static void walk_fini(walk *w) {
    ckiti_redis_asker_fini(&w->scan);
    ckiti_redis_asker_fini(&w->work);
    ckit_buf_fini(&w->pattern);
    ckit_buf_fini(&w->indexes);
    ckit_buf_fini(&w->namespace_name);
    ckit_buf_fini(&w->function);
}

static ckit_status run_walk(walk *w) {
    ckit_status st = as_in_keys(w);
    if (st == CKIT_OK) {
        st = make_pattern(w);
    }
    if (st == CKIT_OK) {
        st = walk_telling(w);
    }
    if (st == CKIT_OK && w->scope->kind != CKIT_SCOPE_ALL) {
        char hash[CKITI_REDIS_HASH_DIGITS];
        ckiti_redis_namespace_hash(hash, w->scope->namespace_name);
        return walk_index(w, ckit_slice_of(hash, sizeof hash));
    }
    for (size_t at = 0; st == CKIT_OK && at < w->indexes.len; at += CKITI_REDIS_HASH_DIGITS) {
        st = walk_index(w, ckit_slice_of(w->indexes.ptr + at, CKITI_REDIS_HASH_DIGITS));
    }
    return st;
}

ckit_status ckiti_redis_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each,
                             void *context, ckit_error *err) {
    walk w;
    walk_init(&w, self, scope, deadline_ms, err);
    w.each = each;
    w.context = context;
    ckit_status st = run_walk(&w);
    walk_fini(&w);
    return st;
}

ckit_status ckiti_redis_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                     ckit_error *err) {
    walk w;
    walk_init(&w, self, scope, deadline_ms, err);
    ckit_status st = run_walk(&w);
    *out = w.deleted;
    if (w.store->publishing != CKITI_REDIS_SILENT) { /* also when not all of it went */
        ckiti_resp_writer writer = ckiti_redis_asker_begin(&w.work);
        ckiti_redis_put_scope_news(&writer, scope);
        w.work.call.err = NULL;
        (void)ckiti_redis_asker_run(&w.work, &writer, 1, deadline_ms);
    }
    walk_fini(&w);
    return st;
}
