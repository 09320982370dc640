/* Listing and removing what belongs to somebody: keys that tell it themselves are found by SCAN, the others in the
 * index of their namespace. */
#include "owner.h"
#include "publish.h"
#include "walk.h"

#include <cachekit/key.h>
#include <stdio.h>
#include <stdlib.h>

#define SCAN_COUNT 1000u

typedef ckiti_redis_walk walk;

/* An entry that was found. */
typedef struct found {
    ckit_slice key;
    ckit_slice namespace_name;
    ckit_slice function;
} found;

/* ---- what the scope means in keys -------------------------------------------------------------------------------- */

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
        st = append(w, p, "*"); /* perhaps tenants */
        if (st == CKIT_OK && w->namespace_name.len > 0) {
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

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static void ask_about(const walk *w, ckiti_resp_writer *writer, ckit_slice key) {
    ckiti_redis_name name = ckiti_redis_entry_name(w->naming.prefix, key);
    ckiti_resp_command(writer, 2);
    ckiti_resp_text(writer, "STRLEN");
    ckiti_redis_put_name(writer, &name);
    ckiti_resp_command(writer, 2);
    ckiti_resp_text(writer, "PTTL");
    ckiti_redis_put_name(writer, &name);
}

/* The key's slot is not, or not quite, at this node any more. */
static bool is_turned(const ckiti_redis_asker *asker, const ckiti_redis_part *part) {
    ckiti_redis_redirection to;
    return part->type == CKITI_RESP_ERROR &&
           ckiti_redis_redirection_read(ckiti_redis_part_text(asker, part), &to) != CKITI_REDIS_NOT_TURNED;
}

/* One of the answers says so: the key's slot is looked through again. */
static void note_turned(walk *w, ckit_slice key, const ckiti_redis_part *parts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (is_turned(&w->work, &parts[i])) {
            w->unsure = true;
            ckiti_redis_slot_set_add(&w->moved, ckiti_redis_slot_of(w->naming.prefix, key));
            return;
        }
    }
}

/* `size` and `pttl` are what the server answered about it. False for what is gone, and for what is no entry. */
static bool is_live(const ckiti_redis_part *size, const ckiti_redis_part *pttl) {
    return size->type == CKITI_RESP_INTEGER && pttl->type == CKITI_RESP_INTEGER && pttl->integer != -2;
}

/* What the user of this store calls a key that the index of a tenant has. */
static ckit_status whole_key(walk *w, ckit_slice *key) {
    if (w->naming.prefix.len == w->store->prefix.len) {
        return CKIT_OK;
    }
    w->whole.len = 0;
    if (ckit_buf_append(&w->whole, w->naming.prefix) != CKIT_OK || ckit_buf_append(&w->whole, *key) != CKIT_OK) {
        return no_memory(w);
    }
    *key = ckit_buf_slice(&w->whole);
    return CKIT_OK;
}

static ckit_status tell(walk *w, const found *f, const ckiti_redis_part *size, const ckiti_redis_part *pttl) {
    if (w->again && !ckiti_redis_slot_set_has(&w->moved, ckiti_redis_slot_of(w->naming.prefix, f->key))) {
        return CKIT_OK;
    }
    char             room[256];
    ckit_listed      listed = {.key = f->key,
                               .namespace_name = f->namespace_name,
                               .function = f->function,
                               .size = (uint64_t)size->integer,
                               .life_ms = pttl->integer == -1  ? CKIT_LIFE_NO_EXPIRY
                                          : pttl->integer <= 0 ? 1
                                                               : (uint64_t)pttl->integer};
    ckiti_redis_name name = ckiti_redis_entry_name(w->naming.prefix, f->key);
    size_t           used = 0;
    for (size_t i = 0; i < name.count; i++) { /* for people: cut when it is very long */
        size_t n = name.parts[i].len < sizeof room - used ? name.parts[i].len : sizeof room - used;
        if (n > 0) {
            memcpy(room + used, name.parts[i].ptr, n);
        }
        used += n;
    }
    listed.name = ckit_slice_of(room, used);
    ckit_status st = whole_key(w, &listed.key);
    return st == CKIT_OK ? w->each(w->context, &listed) : st;
}

/* ---- keys that tell ---------------------------------------------------------------------------------------------- */

/* The element's key, when it is an entry of the scope. */
static bool find_telling(const walk *w, size_t index, found *f) {
    ckiti_redis_part part = ckiti_redis_part_at(&w->scan, index);
    ckit_slice       key;
    if (part.type != CKITI_RESP_BULK ||
        !ckiti_redis_key_of(w->store->prefix, ckiti_redis_part_text(&w->scan, &part), &key)) {
        return false;
    }
    ckit_key_parts parts = ckit_key_describe(ckiti_redis_behind_tenants(key));
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
            ckiti_redis_part answers[] = {ckiti_redis_part_at(&w->work, at), ckiti_redis_part_at(&w->work, at + 1)};
            at += 2;
            note_turned(w, f.key, answers, 2);
            st = is_live(&answers[0], &answers[1]) ? tell(w, &f, &answers[0], &answers[1]) : CKIT_OK;
        }
    }
    return st;
}

/* What a node does not have any more is removed where it is. */
static ckit_status remove_elsewhere(walk *w, ckit_slice key) {
    ckit_status st = whole_key(w, &key);
    if (st != CKIT_OK) {
        return st;
    }
    st = ckiti_redis_remove(w->store, key, w->deadline_ms, w->err);
    w->deleted.deleted += st == CKIT_OK;
    return st == CKIT_MISS ? CKIT_OK : st;
}

/* An answer to UNLINK. */
static ckit_status take_removal(walk *w, size_t index, ckit_slice key) {
    ckiti_redis_part part = ckiti_redis_part_at(&w->work, index);
    if (part.type == CKITI_RESP_INTEGER) {
        w->deleted.deleted += (uint64_t)part.integer;
        return CKIT_OK;
    }
    return is_turned(&w->work, &part)      ? remove_elsewhere(w, key)
           : part.type == CKITI_RESP_ERROR ? ckiti_redis_refusal(w->err, ckiti_redis_part_text(&w->work, &part))
                                           : ckiti_redis_garbage(w->err, "a reply of another type than UNLINK has");
}

/* Behind a tenant it may be in the index, too. */
static bool is_of_tenant(const found *f) { return ckiti_redis_behind_tenants(f->key).ptr != f->key.ptr; }

static uint32_t put_removals_of_tenants(walk *w, ckiti_resp_writer *writer, size_t first, size_t end) {
    found    f;
    uint32_t count = 0;
    char     indexes[CKITI_REDIS_INDEX_ROOM];
    for (size_t i = first; i < end; i++) {
        if (find_telling(w, i, &f) && is_of_tenant(&f)) {
            ckiti_redis_name names[] = {ckiti_redis_entry_name(w->store->prefix, f.key),
                                        ckiti_redis_owner_name(&w->store->naming, f.key)};
            ckiti_redis_put_script(writer, &ckiti_redis_script_remove, true, 2, 4);
            ckiti_redis_put_name(writer, &names[0]);
            ckiti_redis_put_name(writer, &names[1]);
            ckiti_resp_bytes(writer, ckiti_redis_index_beginning(&w->store->naming, f.key, indexes));
            ckiti_resp_bytes(writer, f.key);
            count++;
        }
    }
    return count;
}

/* In a cluster a command each: keys of one command must share a slot. */
static uint32_t put_removals(walk *w, ckiti_resp_writer *writer, size_t first, size_t end) {
    found    f;
    uint32_t count = 0;
    bool     one_each = w->store->cluster != NULL;
    for (size_t i = first; i < end; i++) {
        count += find_telling(w, i, &f) && !is_of_tenant(&f);
    }
    if (count > 0 && !one_each) {
        ckiti_resp_command(writer, 1 + (uint64_t)count);
        ckiti_resp_text(writer, "UNLINK");
    }
    for (size_t i = first; i < end; i++) {
        if (find_telling(w, i, &f) && !is_of_tenant(&f)) {
            ckiti_redis_name name = ckiti_redis_entry_name(w->store->prefix, f.key);
            if (one_each) {
                ckiti_resp_command(writer, 2);
                ckiti_resp_text(writer, "UNLINK");
            }
            ckiti_redis_put_name(writer, &name);
        }
    }
    return one_each ? count : count > 0;
}

/* The answers about keys with a tenant, or without, one each. */
static ckit_status take_removals(walk *w, size_t first, size_t end, bool of_tenants, size_t *at) {
    found       f;
    ckit_status st = CKIT_OK;
    for (size_t i = first; st == CKIT_OK && i < end; i++) {
        if (find_telling(w, i, &f) && is_of_tenant(&f) == of_tenants) {
            st = take_removal(w, (*at)++, f.key);
        }
    }
    return st;
}

static ckit_status remove_telling(walk *w, size_t first, size_t end) {
    ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->work);
    uint32_t          plain = put_removals(w, &writer, first, end);
    uint32_t          tenants = put_removals_of_tenants(w, &writer, first, end);
    ckit_status       st = ckiti_redis_asker_run(&w->work, &writer, plain + tenants, w->deadline_ms);
    size_t            at = 0;
    if (st == CKIT_OK && plain > 0 && w->store->cluster == NULL) {
        st = take_removal(w, at++, ckit_slice_of(NULL, 0));
        plain = 0;
    }
    st = st == CKIT_OK && plain > 0 ? take_removals(w, first, end, false, &at) : st;
    return st == CKIT_OK && tenants > 0 ? take_removals(w, first, end, true, &at) : st;
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

ckit_status ckiti_redis_scan(walk *w, char cursor[24], const ckit_buf *pattern, bool *more) {
    ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->scan);
    ckiti_resp_command(&writer, 6);
    ckiti_resp_text(&writer, "SCAN");
    ckiti_resp_text(&writer, cursor);
    ckiti_resp_text(&writer, "MATCH");
    ckiti_resp_bytes(&writer, ckit_buf_slice(pattern));
    ckiti_resp_text(&writer, "COUNT");
    ckiti_resp_number(&writer, SCAN_COUNT);
    ckit_status st = ckiti_redis_asker_run(&w->scan, &writer, 1, w->deadline_ms);
    *more = st == CKIT_OK && next_cursor(&w->scan, cursor);
    return st;
}

ckit_slice ckiti_redis_scanned(const walk *w, size_t index) {
    ckiti_redis_part part = ckiti_redis_part_at(&w->scan, index);
    return part.type == CKITI_RESP_BULK ? ckiti_redis_part_text(&w->scan, &part) : ckit_slice_of(NULL, 0);
}

static ckit_status walk_telling(walk *w) {
    char        cursor[24] = "0";
    bool        more = true;
    ckit_status st = CKIT_OK;
    while (st == CKIT_OK && more) {
        st = ckiti_redis_scan(w, cursor, &w->pattern, &more);
        size_t end = ckiti_redis_part_count(&w->scan);
        if (st == CKIT_OK) {
            st = w->each != NULL ? list_telling(w, CKITI_REDIS_SCANNED, end)
                                 : remove_telling(w, CKITI_REDIS_SCANNED, end);
        }
        st = st == CKIT_OK && w->scope->kind == CKIT_SCOPE_ALL ? ckiti_redis_indexes_scanned(w) : st;
    }
    return st;
}

/* ---- keys that do not -------------------------------------------------------------------------------------------- */

static ckit_slice member(const walk *w, size_t index) {
    ckiti_redis_part part = ckiti_redis_part_at(&w->scan, index);
    return ckiti_redis_part_text(&w->scan, &part);
}

/* Entries of the scope that the scan finds as well. */
static bool tells_behind_tenants(const walk *w, const found *f) {
    const ckit_key_parts parts = ckit_key_describe(ckiti_redis_behind_tenants(f->key));
    return is_of_tenant(f) && parts.automatic && !parts.shortened && in_scope(w, &parts);
}

/* Whether the member at `index`, number `at` among those asked about, is a live entry of the scope. An entry that was
 * stored again for somebody else is in his index too, and counts there. */
static bool find_indexed(walk *w, size_t index, size_t at, ckit_slice name, found *f) {
    ckit_slice        hash = {name.ptr + name.len - CKITI_REDIS_HASH_DIGITS, CKITI_REDIS_HASH_DIGITS};
    ckiti_redis_part  answers[3];
    ckiti_redis_owner owner = {0};
    *f = (found){.key = member(w, index)};
    if (w->each != NULL && tells_behind_tenants(w, f)) {
        return false; /* the scan shows it */
    }
    for (size_t i = 0; i < 3; i++) {
        answers[i] = ckiti_redis_part_at(&w->work, 3 * at + i);
    }
    note_turned(w, f->key, answers, 3);
    if (!is_live(&answers[1], &answers[2])) { /* the scan has removed it: what is beside it goes too */
        return w->each == NULL && tells_behind_tenants(w, f);
    }
    if (answers[0].type != CKITI_RESP_BULK ||
        !ckiti_redis_owner_read(ckiti_redis_part_text(&w->work, &answers[0]), &owner)) {
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
        ckiti_redis_name owner = ckiti_redis_owner_name(&w->naming, member(w, i));
        ckiti_resp_command(&writer, 2);
        ckiti_resp_text(&writer, "GET");
        ckiti_redis_put_name(&writer, &owner);
        ask_about(w, &writer, member(w, i));
        count++;
    }
    return ckiti_redis_asker_run(&w->work, &writer, 3 * count, w->deadline_ms);
}

static void put_removal(walk *w, ckiti_resp_writer *writer, ckit_slice key, ckit_slice index) {
    ckiti_redis_name names[] = {ckiti_redis_entry_name(w->naming.prefix, key), ckiti_redis_owner_name(&w->naming, key)};
    for (size_t i = 0; i < 2; i++) {
        ckiti_resp_command(writer, 2);
        ckiti_resp_text(writer, "UNLINK");
        ckiti_redis_put_name(writer, &names[i]);
    }
    ckiti_resp_command(writer, 3);
    ckiti_resp_text(writer, "ZREM");
    ckiti_resp_bytes(writer, index);
    ckiti_resp_bytes(writer, key);
}

/* The answers about the members are needed until all of them have been decided on: what is to go is noted first. */
static ckit_status remove_members(walk *w, size_t end, ckit_slice name) {
    ckit_buf          commands, goes;
    ckiti_resp_writer writer;
    found             f;
    uint32_t          count = 0;
    ckit_status       st = CKIT_OK;
    ckit_buf_init(&commands, w->store->alloc);
    ckit_buf_init(&goes, w->store->alloc);
    ckiti_resp_writer_init(&writer, &commands, SIZE_MAX);
    for (size_t i = 3, at = 0; i + 1 < end; i += 2, at++) {
        if (find_indexed(w, i, at, name, &f)) {
            put_removal(w, &writer, f.key, name);
            st = st == CKIT_OK ? ckit_buf_append(&goes, ckit_slice_of(&f.key, sizeof f.key)) : st;
            count++;
        }
    }
    ckit_buf old = w->work.commands;
    w->work.commands = commands;
    ckit_buf_fini(&old);
    st = st == CKIT_OK ? ckiti_redis_asker_run(&w->work, &writer, 3 * count, w->deadline_ms) : no_memory(w);
    for (size_t i = 0; st == CKIT_OK && i < count; i++) {
        memcpy(&f.key, goes.ptr + i * sizeof f.key, sizeof f.key);
        st = take_removal(w, 3 * i, f.key);
        for (size_t part = 3 * i + 1; part < 3 * i + 3; part++) { /* an entry in place, its bookkeeping not */
            ckiti_redis_part answer = ckiti_redis_part_at(&w->work, part);
            note_turned(w, f.key, &answer, 1);
        }
    }
    ckit_buf_fini(&goes);
    return st;
}

static ckit_status list_members(walk *w, size_t end, ckit_slice name) {
    ckit_status st = CKIT_OK;
    found       f;
    for (size_t i = 3, at = 0; st == CKIT_OK && i + 1 < end; i += 2, at++) {
        if (find_indexed(w, i, at, name, &f)) {
            ckiti_redis_part size = ckiti_redis_part_at(&w->work, 3 * at + 1);
            ckiti_redis_part pttl = ckiti_redis_part_at(&w->work, 3 * at + 2);
            st = tell(w, &f, &size, &pttl);
        }
    }
    return st;
}

ckit_status ckiti_redis_walk_index(walk *w, ckit_slice name) {
    char        cursor[24] = "0";
    ckit_status st;
    do {
        ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->scan);
        ckiti_resp_command(&writer, 5);
        ckiti_resp_text(&writer, "ZSCAN");
        ckiti_resp_bytes(&writer, name);
        ckiti_resp_text(&writer, cursor);
        ckiti_resp_text(&writer, "COUNT");
        ckiti_resp_number(&writer, SCAN_COUNT);
        w->scan.tolerant = true;
        st = ckiti_redis_asker_run(&w->scan, &writer, 1, w->deadline_ms);
        w->scan.tolerant = false;
        ckiti_redis_part first = ckiti_redis_part_at(&w->scan, 0);
        if (st == CKIT_OK && is_turned(&w->scan, &first)) {
            w->unsure = true;
            ckiti_redis_slot_set_add(&w->moved, ckiti_redis_slot(&name, 1));
            return CKIT_OK;
        }
        if (st == CKIT_OK && first.type == CKITI_RESP_ERROR) {
            return ckiti_redis_refusal(w->err, ckiti_redis_part_text(&w->scan, &first));
        }
        size_t end = ckiti_redis_part_count(&w->scan);
        if (st == CKIT_OK && end > 3) {
            st = ask_members(w, end);
            if (st == CKIT_OK) {
                st = w->each != NULL ? list_members(w, end, name) : remove_members(w, end, name);
            }
        }
    } while (st == CKIT_OK && next_cursor(&w->scan, cursor));
    return st;
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

static void walk_init(walk *w, ckiti_redis_store *store, const ckit_scope *scope, uint64_t deadline_ms,
                      ckit_error *err) {
    *w = (walk){.store = store, .scope = scope, .deadline_ms = deadline_ms, .err = err};
    ckiti_redis_asker_init(&w->scan, store, err);
    ckiti_redis_asker_init(&w->work, store, err);
    w->work.tolerant = true;
    w->naming = store->naming;
    ckit_buf *const buffers[] = {&w->pattern, &w->index_pattern,  &w->tenant_pattern, &w->indexes,
                                 &w->whole,   &w->namespace_name, &w->function};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        ckit_buf_init(buffers[i], store->alloc);
    }
}

static void walk_fini(walk *w) {
    ckiti_redis_asker_fini(&w->scan);
    ckiti_redis_asker_fini(&w->work);
    ckit_buf_fini(&w->pattern);
    ckit_buf_fini(&w->index_pattern);
    ckit_buf_fini(&w->tenant_pattern);
    ckit_buf_fini(&w->indexes);
    ckit_buf_fini(&w->whole);
    ckit_buf_fini(&w->namespace_name);
    ckit_buf_fini(&w->function);
}

static ckit_status make_patterns(walk *w) {
    ckit_status st = as_in_keys(w);
    st = st == CKIT_OK ? make_pattern(w) : st;
    return st == CKIT_OK ? ckiti_redis_indexes_patterns(w) : st;
}

ckit_status ckiti_redis_walk_node(walk *w, ckiti_redis_node *node) {
    w->scan.node = w->work.node = node;
    ckit_status st = walk_telling(w);
    return st == CKIT_OK && w->scope->kind != CKIT_SCOPE_ALL ? ckiti_redis_indexes_walk(w) : st;
}

static ckit_status run_walk(walk *w) {
    ckit_status st = make_patterns(w);
    if (st != CKIT_OK) {
        return st;
    }
    return w->store->cluster == NULL ? ckiti_redis_walk_node(w, &w->store->node) : ckiti_redis_walk_cluster(w);
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

/* Every node of a cluster passes it on. */
static void tell_others(walk *w) {
    ckiti_redis_seat *seat = w->store->cluster == NULL ? NULL : ckiti_redis_cluster_any(w->store->cluster);
    ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->work);
    ckiti_redis_put_scope_news(&writer, w->scope);
    w->work.node = seat != NULL ? &seat->node : &w->store->node;
    w->work.call.err = NULL;
    if (seat != NULL || w->store->cluster == NULL) {
        ckit_status st = ckiti_redis_asker_run(&w->work, &writer, 1, w->deadline_ms);
        if (st != CKIT_OK || ckiti_redis_part_count(&w->work) > 0) {
            ckiti_redis_count_message(w->store, st != CKIT_OK,
                                      st == CKIT_OK ? ckiti_redis_part_at(&w->work, 0).integer : 0);
        }
    }
    ckiti_redis_cluster_leave(seat);
}

ckit_status ckiti_redis_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                     ckit_error *err) {
    walk w;
    walk_init(&w, self, scope, deadline_ms, err);
    ckit_status st = run_walk(&w);
    *out = w.deleted;
    if (w.store->publishing != CKITI_REDIS_SILENT) { /* also when not all of it went */
        tell_others(&w);
    }
    walk_fini(&w);
    return st;
}
