/* Calls that memory cannot answer by their arguments alone: their values are sealed, or belong to tenants. The ordinary
 * way to a hit knows nothing of this; it finds that these functions have no memory, and comes here. */
#include "cache/op.h"

#include "format/args.h"

#include <cachekit/value.h>

static const char where[] = "function";

/* ---- tenants ---------------------------------------------------------------------------------------------------- */

static ckit_status check_tenant(ckit_slice tenant, ckit_error *err) {
    if (tenant.len == 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "the call has no tenant: ckit_args_tenant or tenant_of tells it");
    }
    if (tenant.len > CKIT_TENANT_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "a tenant of %zu bytes, allowed are 1 to %u", tenant.len,
                         CKIT_TENANT_MAX_BYTES);
    }
    return ckit_utf8_valid(tenant) ? CKIT_OK : ckit_fail(err, CKIT_E_CONFIGURATION, where, "the tenant is not UTF-8");
}

/* Appends the tenant's name. */
static ckit_status ask_tenant(const ckit_function *function, const ckit_args *args, ckit_buf *out, ckit_error *err) {
    ckit_slice told = ckiti_args_tenant(args);
    if (told.len > 0 || function->tenant_of == NULL) {
        return ckit_buf_append(out, told);
    }
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = function->tenant_of(function->context, args, out, &why);
    return st == CKIT_OK
               ? st
               : ckit_fail(err, CKIT_E_CONFIGURATION, where, "the tenant cannot be told (%s)", ckit_status_code(st));
}

ckit_status ckiti_call_join(const ckit_function *function, const ckit_args *args, ckiti_joined *joined,
                            ckit_slice *packed, ckit_error *err) {
    uint16_t  len = 0;
    ckit_buf *bytes = &joined->bytes;
    ckit_buf_init(bytes, function->cache->alloc);
    if (!function->tenants) {
        return CKIT_OK;
    }
    ckit_status st = ckit_buf_append(bytes, ckit_slice_of(&len, sizeof len));
    if (st == CKIT_OK) {
        st = ask_tenant(function, args, bytes, err);
    }
    if (st == CKIT_OK) {
        st = check_tenant(ckit_slice_of(bytes->ptr + sizeof len, bytes->len - sizeof len), err);
    }
    if (st == CKIT_OK) {
        len = (uint16_t)(bytes->len - sizeof len);
        memcpy(bytes->ptr, &len, sizeof len);
        st = ckit_buf_append(bytes, *packed);
    }
    *packed = ckit_buf_slice(bytes);
    return st == CKIT_E_NO_MEMORY ? ckit_fail(err, st, where, "no memory for the name of a call") : st;
}

void ckiti_call_join_end(ckiti_joined *joined) { ckit_buf_fini(&joined->bytes); }

ckit_slice ckiti_call_split(const ckit_function *function, ckit_slice *packed) {
    uint16_t len;
    if (!function->tenants) {
        return ckit_slice_of(NULL, 0);
    }
    memcpy(&len, packed->ptr, sizeof len);
    ckit_slice tenant = ckit_slice_of(packed->ptr + sizeof len, len);
    *packed = ckit_slice_of(packed->ptr + sizeof len + len, packed->len - sizeof len - len);
    return tenant;
}

ckit_slice ckiti_bare_key(const ckit_function *function, ckit_slice key) {
    if (!function->tenants) {
        return key;
    }
    size_t at = 2; /* behind "t:", where an encoded name has no colon */
    while (key.ptr[at] != ':') {
        at++;
    }
    return ckit_slice_of(key.ptr + at + 1, key.len - at - 1);
}

/* ---- sealed values ----------------------------------------------------------------------------------------------- */

void ckiti_value_take_plain(const ckit_function *function, ckit_value *value, ckit_buf *buf) {
    if (function->sealed) {
        ckiti_value_take_secret(function->cache, value, buf);
    } else {
        ckit_value_take(value, buf);
    }
}

static ckiti_sealed_value sealed_value(const ckit_function *function, ckit_slice tenant, ckit_slice key) {
    return (ckiti_sealed_value){.cache = function->cache,
                                .tenant = tenant,
                                .key = ckiti_bare_key(function, key),
                                .stored_key = key,
                                .form = function->raw       ? CKITI_FORM_RAW
                                        : function->interop ? CKITI_FORM_INTEROP
                                                            : CKITI_FORM_DOCUMENT,
                                .integrity = function->integrity,
                                .compression_level = function->compression_level};
}

ckiti_sealed_value ckiti_op_sealed_value(const ckit_op *op) {
    return sealed_value(op->function, ckit_buf_slice(&op->tenant), ckit_buf_slice(&op->key));
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* *out holds sealed bytes, and then what they open to. */
static ckit_status open_in_memory(ckit_function *function, ckit_slice packed, ckit_value *out, ckit_error *err) {
    ckit_buf   key, plain;
    ckit_slice arguments = packed;
    ckit_buf_init(&key, function->cache->alloc);
    ckit_buf_init(&plain, ckiti_plain_alloc(function));
    ckit_slice  tenant = ckiti_call_split(function, &arguments);
    ckit_status st = ckiti_call_key(function, packed, &key, NULL);
    if (st == CKIT_OK) {
        const ckiti_sealed_value v = sealed_value(function, tenant, ckit_buf_slice(&key));
        st = ckiti_value_open(&v, CKITI_TIER_L1, out->data, &plain, err);
    } else {
        st = CKIT_MISS; /* asking the store says why */
    }
    if (st == CKIT_OK) {
        const uint64_t    life_ms = out->life_ms;
        const ckit_source source = out->source;
        const bool        stale = out->stale;
        ckiti_value_take_plain(function, out, &plain);
        out->life_ms = life_ms;
        out->source = source;
        out->stale = stale;
    }
    ckit_buf_fini(&plain);
    ckit_buf_fini(&key);
    return st;
}

ckit_status ckiti_careful_memory(ckit_function *function, ckit_slice packed, const ckiti_memkey *memkey, uint64_t hash,
                                 ckit_value *out, ckit_error *err) {
    ckiti_l1      *l1 = function->record->ns->l1;
    ckiti_l1_query query = {.key = ckiti_memkey_slice(memkey),
                            .hash = hash,
                            .min_birth = ckiti_function_min_birth(function),
                            .tag = ckiti_function_tag(function)};
    if (l1 == NULL || !function->careful) {
        return CKIT_MISS;
    }
    ckit_status st = ckiti_l1_get(l1, &query, ckiti_cache_now(function->cache), out);
    if (st == CKIT_MISS) {
        return st;
    }
    if (function->sealed) {
        ckit_status opened = open_in_memory(function, packed, out, err);
        if (opened != CKIT_OK) {
            ckit_value_fini(out);
            (void)ckiti_l1_remove(l1, query.key, hash);
            return opened;
        }
    }
    ckiti_count(&function->counters, CKITI_FN_L1_HITS, 1);
    return st;
}
