/* Looking into memory alone, for bindings: nothing is copied that a hit does not need. */
#include "cache/call.h"

#include <cachekit/value.h>

/* What is looked for. The key is made in front of the packed arguments where there is room for it, else in `memkey`. */
static bool make_query(ckit_function *function, ckit_args *args, ckiti_memkey *memkey, ckiti_l1_query *query) {
    const ckiti_function_record *record = function->record;
    ckit_slice                   packed;
    if (record->ns->l1 == NULL || !function->use_l1 || ckit_args_pack(args, &packed, NULL) != CKIT_OK) {
        return false;
    }
    size_t before = (size_t)(packed.ptr - args->bytes);
    if (before >= CKITI_MEMKEY_PREFIX && packed.len <= CKITI_L1_MAX_KEY_BYTES - CKITI_MEMKEY_PREFIX) {
        uint8_t *start = args->bytes + before - CKITI_MEMKEY_PREFIX;
        ckiti_memkey_begin(start, record->id, CKITI_MEMKEY_WHOLE);
        query->key = ckit_slice_of(start, packed.len + CKITI_MEMKEY_PREFIX);
    } else {
        ckiti_memkey_make(memkey, record->id, packed);
        query->key = ckiti_memkey_slice(memkey);
    }
    query->hash = ckiti_l1_hash(record->ns->l1, query->key);
    query->min_birth = ckiti_function_min_birth(function);
    query->tag = CKITI_TAG_DOCUMENT;
    return true;
}

static ckit_status counted(ckit_function *function, ckit_status st) {
    if (st != CKIT_MISS) {
        ckiti_count(&function->counters, CKITI_FN_L1_HITS, 1);
    }
    return st;
}

ckit_status ckit_peek(ckit_function *function, ckit_args *args, ckit_value *out) {
    ckit_args      none;
    ckiti_memkey   memkey;
    ckiti_l1_query query;
    if (out->release != NULL) {
        ckit_value_fini(out);
    }
    if (args == NULL) {
        ckit_args_init(&none);
        args = &none;
    }
    if (!make_query(function, args, &memkey, &query)) {
        return CKIT_MISS;
    }
    return counted(function, ckiti_l1_get(function->record->ns->l1, &query, ckiti_cache_now(function->cache), out));
}

ckit_status ckit_peek_object(ckit_function *function, ckit_args *args, void (*retain)(void *object), void **object) {
    ckit_args      none;
    ckiti_memkey   memkey;
    ckiti_l1_query query;
    if (args == NULL) {
        ckit_args_init(&none);
        args = &none;
    }
    if (!make_query(function, args, &memkey, &query)) {
        return CKIT_MISS;
    }
    return counted(function, ckiti_l1_get_object(function->record->ns->l1, &query, ckiti_cache_now(function->cache),
                                                 retain, object));
}
