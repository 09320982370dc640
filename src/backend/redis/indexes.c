/* Indexes that a walk comes by: the store's own, one for each namespace (in a cluster one for each slot in use), and
 * those of tenants, as a store without a prefix finds them: whoever keeps entries of a tenant under "t:TENANT:" has
 * indexes of his own there, of the keys that do not tell by themselves whose they are.
 *
 * There may be as many of them as there are tenants, or slots. So those of one portion of names are walked through
 * before the next portion is asked for, and none is remembered: one that SCAN shows twice is walked through twice. */
#include "owner.h"
#include "walk.h"

static ckit_status no_memory(const ckiti_redis_walk *w) {
    return ckiti_redis_no_memory(w->err, "walking through entries");
}

ckit_status ckiti_redis_indexes_patterns(ckiti_redis_walk *w) {
    char       hash[CKITI_REDIS_HASH_DIGITS];
    ckit_slice digits = ckit_slice_of(hash, sizeof hash);
    if (w->scope->kind == CKIT_SCOPE_ALL) { /* the walk comes by them anyway */
        return CKIT_OK;
    }
    ckiti_redis_namespace_hash(hash, w->scope->namespace_name);
    ckit_status st = ckiti_redis_index_pattern(&w->store->naming, &w->index_pattern, digits);
    if (st == CKIT_OK && w->store->prefix.len == 0) {
        st = ckit_buf_append(&w->tenant_pattern, ckit_slice_str("t:*:"));
        st = st == CKIT_OK ? ckiti_redis_index_pattern(&w->store->naming, &w->tenant_pattern, digits) : st;
    }
    return st == CKIT_OK ? CKIT_OK : no_memory(w);
}

/* The mark of the tenant whose index this is; empty when it is none. */
static ckit_slice tenant_of(const ckiti_redis_walk *w, ckit_slice name) {
    ckiti_redis_naming naming = {.tags = w->store->naming.tags};
    ckit_slice         rest = ckiti_redis_behind_tenants(name);
    naming.prefix = ckit_slice_of(name.ptr, name.len - rest.len);
    return naming.prefix.len > 0 && ckiti_redis_is_index(&naming, name) ? naming.prefix : ckit_slice_of(NULL, 0);
}

static bool is_any_index(const ckiti_redis_walk *w, ckit_slice name) {
    return ckiti_redis_is_index(&w->store->naming, name) || (w->store->prefix.len == 0 && tenant_of(w, name).len > 0);
}

/* Walking through them takes the place of the names that were scanned: these are copied first, each with its length. */
static ckit_status note_scanned(ckiti_redis_walk *w) {
    w->indexes.len = 0;
    for (size_t i = CKITI_REDIS_SCANNED; i < ckiti_redis_part_count(&w->scan); i++) {
        ckit_slice     name = ckiti_redis_scanned(w, i);
        const uint32_t len = (uint32_t)name.len;
        if (is_any_index(w, name) && (ckit_buf_append(&w->indexes, ckit_slice_of(&len, sizeof len)) != CKIT_OK ||
                                      ckit_buf_append(&w->indexes, name) != CKIT_OK)) {
            return no_memory(w);
        }
    }
    return CKIT_OK;
}

/* The next name, and what is behind it. */
static ckit_slice take_name(ckit_slice *rest) {
    uint32_t   len;
    ckit_slice name;
    memcpy(&len, rest->ptr, sizeof len);
    name = ckit_slice_of(rest->ptr + sizeof len, len);
    *rest = ckit_slice_of(name.ptr + len, rest->len - sizeof len - len);
    return name;
}

ckit_status ckiti_redis_indexes_scanned(ckiti_redis_walk *w) {
    ckit_status st = note_scanned(w);
    for (ckit_slice rest = ckit_buf_slice(&w->indexes); st == CKIT_OK && rest.len > 0;) {
        ckit_slice name = take_name(&rest);
        if (!ckiti_redis_is_index(&w->store->naming, name)) {
            w->naming.prefix = tenant_of(w, name);
        }
        st = ckiti_redis_walk_index(w, name);
        w->naming = w->store->naming;
    }
    return st;
}

static ckit_status find_by(ckiti_redis_walk *w, const ckit_buf *pattern) {
    char        cursor[24] = "0";
    bool        more = pattern->len > 0;
    ckit_status st = CKIT_OK;
    while (st == CKIT_OK && more) {
        st = ckiti_redis_scan(w, cursor, pattern, &more);
        st = st == CKIT_OK ? ckiti_redis_indexes_scanned(w) : st;
    }
    return st;
}

/* One server has one for a namespace, whose name is known. */
static ckit_status walk_own(ckiti_redis_walk *w) {
    char             hash[CKITI_REDIS_HASH_DIGITS];
    ckiti_redis_name name;
    w->indexes.len = 0;
    ckiti_redis_namespace_hash(hash, w->scope->namespace_name);
    name = ckiti_redis_index_name(&w->store->naming, ckit_slice_of(NULL, 0), ckit_slice_of(hash, sizeof hash));
    for (size_t i = 0; i < name.count; i++) {
        if (ckit_buf_append(&w->indexes, name.parts[i]) != CKIT_OK) {
            return no_memory(w);
        }
    }
    return ckiti_redis_walk_index(w, ckit_buf_slice(&w->indexes));
}

ckit_status ckiti_redis_indexes_walk(ckiti_redis_walk *w) {
    ckit_status st = w->store->cluster == NULL ? walk_own(w) : find_by(w, &w->index_pattern);
    return st == CKIT_OK ? find_by(w, &w->tenant_pattern) : st;
}
