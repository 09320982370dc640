/* Looking into memory alone, for bindings: nothing is copied that a hit does not need. */
#include "cache/call.h"

#include <cachekit/value.h>

/* The call's name in memory, made in front of the packed arguments where there is room for it. */
static bool name_in_place(const ckit_function *function, ckit_args *args, ckit_slice packed, ckiti_l1_query *query) {
    size_t before = (size_t)(packed.ptr - args->bytes);
    if (before < CKITI_MEMKEY_PREFIX || packed.len > CKITI_L1_MAX_KEY_BYTES - CKITI_MEMKEY_PREFIX) {
        return false;
    }
    uint8_t *start = args->bytes + before - CKITI_MEMKEY_PREFIX;
    ckiti_memkey_begin(start, function->record->id, CKITI_MEMKEY_WHOLE);
    query->key = ckit_slice_of(start, packed.len + CKITI_MEMKEY_PREFIX);
    return true;
}

/* Between making the name and hashing it, so that its bytes are at rest when the hash reads eight at once. */
static uint64_t begin_query(const ckit_function *function, ckiti_l1_query *query) {
    uint64_t now_ms = ckiti_cache_now(function->cache);
    query->min_birth = ckiti_function_min_birth(function);
    query->tag = CKITI_TAG_DOCUMENT;
    query->hash = ckiti_l1_hash(function->record->ns->l1, query->key);
    return now_ms;
}

static bool has_memory(const ckit_function *function) { return function->record->ns->l1 != NULL && function->use_l1; }

/* ---- values ---------------------------------------------------------------------------------------------------- */

ckit_status ckit_peek(ckit_function *function, ckit_args *args, ckit_value *out) {
    ckit_args    none;
    ckit_slice   packed;
    ckiti_memkey memkey;
    uint64_t     hash;
    if (function == NULL || out == NULL) {
        return CKIT_MISS;
    }
    if (out->release != NULL) {
        ckit_value_fini(out);
    }
    if (ckiti_call_pack(args, &none, &args, &packed, NULL) != CKIT_OK) {
        return CKIT_MISS;
    }
    return ckiti_op_memory(function, packed, &memkey, &hash, out);
}

/* ---- objects --------------------------------------------------------------------------------------------------- */

/* Arguments that are many or long. */
static __attribute__((noinline)) ckit_status peek_otherwise(ckit_function *function, ckit_slice  packed,
                                                            void (*retain)(void *object), void **object,
                                                            ckit_object_hint *hint) {
    ckiti_memkey   memkey;
    ckiti_l1_query query;
    ckiti_memkey_make(&memkey, function->record->id, packed);
    query.key = ckiti_memkey_slice(&memkey);
    uint64_t now_ms = begin_query(function, &query);
    return ckiti_l1_get_object(function->record->ns->l1, &query, now_ms, retain, object, hint);
}

ckit_status ckit_peek_object(ckit_function *function, ckit_args *args, void (*retain)(void *object), void **object,
                             ckit_object_hint *hint) {
    ckit_slice     packed;
    ckiti_l1_query query;
    if (!has_memory(function) || ckit_args_pack(args, &packed, NULL) != CKIT_OK) {
        return CKIT_MISS;
    }
    if (!name_in_place(function, args, packed, &query)) {
        return peek_otherwise(function, packed, retain, object, hint);
    }
    uint64_t now_ms = begin_query(function, &query);
    return ckiti_l1_get_object(function->record->ns->l1, &query, now_ms, retain, object, hint);
}

bool ckit_object_hint_holds(const ckit_function *function, const ckit_object_hint *hint) {
    return ckiti_l1_hint_holds(function->record->ns->l1, hint, ckiti_function_min_birth(function),
                               ckiti_cache_now(function->cache));
}
