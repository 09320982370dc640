#include "cache/changes.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <cachekit/key.h>
#include <string.h>

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static ckiti_change_list *list_of(ckiti_changes *c, const ckiti_change *change) {
    return change->is_later ? &c->later : &c->soon;
}

static void take_out(ckiti_changes *c, ckiti_change *change) {
    ckiti_change_list *list = list_of(c, change);
    *(change->prev != NULL ? &change->prev->next : &list->first) = change->next;
    *(change->next != NULL ? &change->next->prev : &list->last) = change->prev;
}

static void put_behind(ckiti_changes *c, ckiti_change *change, ckiti_change *prev) {
    ckiti_change_list *list = list_of(c, change);
    change->prev = prev;
    change->next = prev != NULL ? prev->next : list->first;
    *(prev != NULL ? &prev->next : &list->first) = change;
    *(change->next != NULL ? &change->next->prev : &list->last) = change;
}

static void put_last(ckiti_changes *c, ckiti_change *change) {
    change->is_later = false;
    put_behind(c, change, c->soon.last);
}

void ckiti_changes_put_off(ckiti_changes *c, ckiti_change *change, uint64_t due_ms) {
    take_out(c, change);
    change->is_later = true;
    change->due_ms = due_ms;
    ckiti_change *prev = c->later.last;
    while (prev != NULL && prev->due_ms > due_ms) {
        prev = prev->prev;
    }
    put_behind(c, change, prev);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Keys hold the names of namespaces with blanks and line ends replaced. */
static uint8_t written_as(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' ? '_' : c; }

static bool is_written_as(ckit_slice name, ckit_slice text) {
    size_t i = 0;
    while (i < name.len && name.len == text.len && written_as(name.ptr[i]) == text.ptr[i]) {
        i++;
    }
    return i == name.len && name.len == text.len;
}

/* The same for a namespace's name and for what keys hold of it (FNV-1a). */
static ckiti_change **scopes_of(ckiti_changes *c, ckit_slice namespace_name) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < namespace_name.len; i++) {
        hash = (hash ^ written_as(namespace_name.ptr[i])) * UINT64_C(1099511628211);
    }
    return &c->scopes[hash % CKITI_CHANGES_SCOPE_BUCKETS];
}

static ckiti_change **keys_of(ckiti_changes *c, uint64_t hash) { return &c->keys[hash % CKITI_CHANGES_BUCKETS]; }

static ckiti_change **bucket_of(ckiti_changes *c, const ckiti_change *change) {
    return change->kind == CKITI_CHANGE_KEY ? keys_of(c, change->hash) : scopes_of(c, ckiti_change_name(change));
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static size_t size_of(size_t key_len, size_t function_len) { return sizeof(ckiti_change) + key_len + function_len; }

static ckiti_change *change_new(const ckiti_changes *c, ckiti_change_kind kind, ckit_slice key, ckit_slice function) {
    ckiti_change *change = ckiti_alloc_zeroed(c->alloc, 1, size_of(key.len, function.len));
    if (change != NULL) {
        change->kind = kind;
        change->key_len = (uint32_t)key.len;
        change->function_len = (uint32_t)function.len;
        if (key.len > 0) {
            memcpy(change->bytes, key.ptr, key.len);
        }
        if (function.len > 0) {
            memcpy(change->bytes + key.len, function.ptr, function.len);
        }
    }
    return change;
}

static void change_free(const ckiti_changes *c, ckiti_change *change) {
    if (change != NULL) {
        ckiti_free(c->alloc, change, size_of(change->key_len, change->function_len));
    }
}

ckit_status ckiti_changes_init(ckiti_changes *c, const ckit_alloc *alloc, uint64_t seed) {
    c->alloc = alloc;
    c->seed = seed;
    c->everything = change_new(c, CKITI_CHANGE_SCOPE, ckit_slice_of(NULL, 0), ckit_slice_of(NULL, 0));
    if (c->everything == NULL) {
        return CKIT_E_NO_MEMORY;
    }
    c->everything->scope = CKIT_SCOPE_ALL;
    return CKIT_OK;
}

void ckiti_changes_fini(ckiti_changes *c) {
    while (c->soon.first != NULL || c->later.first != NULL) {
        ckiti_changes_forget(c, c->soon.first != NULL ? c->soon.first : c->later.first);
    }
    ckiti_free(c->alloc, c->keys, CKITI_CHANGES_BUCKETS * sizeof c->keys[0]);
    change_free(c, c->everything);
    c->keys = NULL;
    c->everything = NULL;
}

static void count(ckiti_changes *c, ptrdiff_t by) {
    atomic_store_explicit(&c->count, atomic_load(&c->count) + (size_t)by, memory_order_release);
}

void ckiti_changes_forget(ckiti_changes *c, ckiti_change *change) {
    take_out(c, change);
    count(c, -1);
    if (change == c->everything) {
        change->listed = change->rest = false;
        return;
    }
    ckiti_change **at = bucket_of(c, change);
    while (*at != change) {
        at = &(*at)->chain;
    }
    *at = change->chain;
    c->scope_count -= change->kind == CKITI_CHANGE_SCOPE;
    c->bytes -= change->key_len + change->function_len;
    change_free(c, change);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

uint64_t ckiti_changes_hash(const ckiti_changes *c, ckit_slice key) { return ckiti_xxh3(key, c->seed); }

ckiti_change *ckiti_changes_find_key(ckiti_changes *c, ckit_slice key, uint64_t hash) {
    ckiti_change *change = c->keys != NULL ? *keys_of(c, hash) : NULL;
    while (change != NULL && (change->hash != hash || !ckit_slice_equal(ckiti_change_name(change), key))) {
        c->looked_at++;
        change = change->chain;
    }
    return change;
}

ckiti_change *ckiti_changes_find_scope(ckiti_changes *c, const ckit_scope *scope) {
    if (scope->kind == CKIT_SCOPE_ALL) {
        return c->everything->listed ? c->everything : NULL;
    }
    ckiti_change *change = *scopes_of(c, scope->namespace_name);
    while (change != NULL &&
           (change->scope != scope->kind || !ckit_slice_equal(ckiti_change_name(change), scope->namespace_name) ||
            !ckit_slice_equal(ckiti_change_function(change), scope->function))) {
        c->looked_at++;
        change = change->chain;
    }
    return change;
}

/* The key may belong to the scope: a shortened one does not tell its function. */
static bool may_be_in(const ckiti_change *scope, const ckit_key_parts *parts) {
    return is_written_as(ckiti_change_name(scope), parts->namespace_name) &&
           (scope->scope == CKIT_SCOPE_NAMESPACE || parts->shortened ||
            ckit_slice_equal(ckiti_change_function(scope), parts->function));
}

static bool is_in_a_scope(ckiti_changes *c, const ckit_key_parts *parts) {
    const ckiti_change *scope = *scopes_of(c, parts->namespace_name);
    while (scope != NULL && !may_be_in(scope, parts)) {
        c->looked_at++;
        scope = scope->chain;
    }
    return scope != NULL;
}

bool ckiti_changes_doubt(ckiti_changes *c, ckit_slice key, uint64_t hash) {
    if (ckiti_changes_find_key(c, key, hash) != NULL || ckiti_changes_covering(c) != NULL) {
        return true;
    }
    if (c->scope_count == 0 && !c->everything->listed) {
        return false;
    }
    ckit_key_parts parts = ckit_key_describe(key);
    if (!parts.automatic) { /* nobody knows whose it is */
        return true;
    }
    return parts.namespace_known ? is_in_a_scope(c, &parts) : c->scope_count > 0;
}

/* ---- remembering ------------------------------------------------------------------------------------------------- */

/* The newest failure of it. */
static void stamp(ckiti_changes *c, ckiti_change *change, bool late) {
    change->serial = ++c->serial;
    change->late |= late;
    change->once = change->rest = false;
    change->refusals = 0;
}

void ckiti_changes_renew(ckiti_changes *c, ckiti_change *change, bool late) {
    stamp(c, change, late);
    take_out(c, change);
    put_last(c, change);
}

static bool has_room(const ckiti_changes *c, size_t bytes) {
    return atomic_load(&c->count) < CKITI_CHANGES_MOST && bytes <= CKITI_CHANGES_BYTES - c->bytes;
}

static ckiti_change *add(ckiti_changes *c, ckiti_change *change, bool late) {
    if (change != NULL) {
        ckiti_change **bucket = bucket_of(c, change);
        change->chain = *bucket;
        *bucket = change;
        c->bytes += change->key_len + change->function_len;
        stamp(c, change, late);
        put_last(c, change);
        count(c, 1);
    }
    return change;
}

static bool make_buckets(ckiti_changes *c) {
    if (c->keys == NULL) {
        c->keys = ckiti_alloc_zeroed(c->alloc, CKITI_CHANGES_BUCKETS, sizeof c->keys[0]);
    }
    return c->keys != NULL;
}

ckiti_change *ckiti_changes_add_key(ckiti_changes *c, ckit_slice key, uint64_t hash, bool late) {
    ckiti_change *change =
        has_room(c, key.len) && make_buckets(c) ? change_new(c, CKITI_CHANGE_KEY, key, ckit_slice_of(NULL, 0)) : NULL;
    if (change != NULL) {
        change->hash = hash;
    }
    return add(c, change, late);
}

ckiti_change *ckiti_changes_add_scope(ckiti_changes *c, const ckit_scope *scope, bool late) {
    bool room = c->scope_count < CKITI_CHANGES_SCOPES && has_room(c, scope->namespace_name.len + scope->function.len);
    ckiti_change *change = room ? change_new(c, CKITI_CHANGE_SCOPE, scope->namespace_name, scope->function) : NULL;
    if (change != NULL) {
        change->scope = scope->kind;
        c->scope_count++;
    }
    return add(c, change, late);
}

static size_t forget_list(ckiti_changes *c, const ckiti_change_list *list) {
    size_t forgotten = 0;
    for (ckiti_change *change = list->first; change != NULL;) {
        ckiti_change *next = change->next;
        if (change != c->everything) {
            ckiti_changes_forget(c, change);
            forgotten++;
        }
        change = next;
    }
    return forgotten;
}

size_t ckiti_changes_merge(ckiti_changes *c) {
    size_t forgotten = forget_list(c, &c->soon) + forget_list(c, &c->later);
    if (c->everything->listed) {
        take_out(c, c->everything);
    } else {
        c->everything->listed = true;
        count(c, 1);
    }
    stamp(c, c->everything, true);
    put_last(c, c->everything);
    return forgotten;
}
