/* Tenants of others, as a walk over a store without a prefix finds them: whoever keeps entries of a tenant under
 * "t:TENANT:" has indexes of his own there, of the keys that do not tell by themselves whose they are. */
#include "owner.h"
#include "walk.h"

static ckit_status no_memory(const ckiti_redis_walk *w) {
    return ckiti_redis_no_memory(w->err, "walking through entries");
}

/* Indexes of the scope's namespace; for all, the walk comes by them anyway. */
ckit_status ckiti_redis_tenants_pattern(ckiti_redis_walk *w, ckit_slice hash) {
    if (w->store->prefix.len > 0 || w->scope->kind == CKIT_SCOPE_ALL) {
        return CKIT_OK;
    }
    if (ckit_buf_append(&w->tenant_pattern, ckit_slice_str("t:*:")) != CKIT_OK ||
        ckiti_redis_index_pattern(&w->store->naming, &w->tenant_pattern, hash) != CKIT_OK) {
        return no_memory(w);
    }
    return CKIT_OK;
}

/* The mark of the tenant whose index this is; empty when it is none. */
static ckit_slice tenant_of(const ckiti_redis_walk *w, ckit_slice name) {
    ckiti_redis_naming naming = {.tags = w->store->naming.tags};
    ckit_slice         rest = ckiti_redis_behind_tenants(name);
    naming.prefix = ckit_slice_of(name.ptr, name.len - rest.len);
    return naming.prefix.len > 0 && ckiti_redis_is_index(&naming, name) ? naming.prefix : ckit_slice_of(NULL, 0);
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

ckit_status ckiti_redis_tenants_note(ckiti_redis_walk *w, ckit_slice name) {
    const uint32_t len = (uint32_t)name.len;
    if (w->store->prefix.len > 0 || tenant_of(w, name).len == 0) {
        return CKIT_OK;
    }
    for (ckit_slice rest = ckit_buf_slice(&w->tenant_indexes); rest.len > 0;) { /* SCAN may show a key twice */
        if (ckit_slice_equal(take_name(&rest), name)) {
            return CKIT_OK;
        }
    }
    if (ckit_buf_append(&w->tenant_indexes, ckit_slice_of(&len, sizeof len)) != CKIT_OK ||
        ckit_buf_append(&w->tenant_indexes, name) != CKIT_OK) {
        return no_memory(w);
    }
    return CKIT_OK;
}

static ckit_status find_them(ckiti_redis_walk *w) {
    char        cursor[24] = "0";
    bool        more = w->tenant_pattern.len > 0;
    ckit_status st = CKIT_OK;
    while (st == CKIT_OK && more) {
        st = ckiti_redis_scan(w, cursor, &w->tenant_pattern, &more);
        for (size_t i = CKITI_REDIS_SCANNED; st == CKIT_OK && i < ckiti_redis_part_count(&w->scan); i++) {
            st = ckiti_redis_tenants_note(w, ckiti_redis_scanned(w, i));
        }
    }
    return st;
}

ckit_status ckiti_redis_walk_tenants(ckiti_redis_walk *w) {
    ckit_status st = find_them(w);
    for (ckit_slice rest = ckit_buf_slice(&w->tenant_indexes); st == CKIT_OK && rest.len > 0;) {
        ckit_slice name = take_name(&rest);
        w->naming.prefix = tenant_of(w, name);
        st = ckiti_redis_walk_index(w, name);
    }
    w->naming = w->store->naming;
    return st;
}
