#include "owner.h"

#include <cachekit/key.h>
#include <stdio.h>

#define LENGTH_DIGITS 8u /* of the namespace, hexadecimal */

bool ckiti_redis_key_tells(ckit_slice key) {
    ckit_key_parts parts = ckit_key_describe(key);
    return parts.automatic && !parts.shortened;
}

ckit_slice ckiti_redis_behind_tenants(ckit_slice key) {
    while (key.len > 2 && memcmp(key.ptr, "t:", 2) == 0) {
        const uint8_t *end = memchr(key.ptr + 2, ':', key.len - 2);
        if (end == NULL || end + 1 == key.ptr + key.len) {
            break;
        }
        key = ckit_slice_of(end + 1, key.len - (size_t)(end + 1 - key.ptr));
    }
    return key;
}

void ckiti_redis_registration_init(ckiti_redis_registration *r, const ckiti_redis_naming *naming, ckit_slice key,
                                   const ckit_entry_info *info) {
    *r = (ckiti_redis_registration){.naming = naming, .key = key, .info = info};
    ckiti_redis_namespace_hash(r->hash, info->namespace_name);
}

static void put_life(ckiti_resp_writer *w, uint64_t ttl_ms) {
    if (ttl_ms == CKIT_TTL_NO_EXPIRY) {
        ckiti_resp_text(w, "");
    } else {
        ckiti_resp_number(w, ttl_ms);
    }
}

void ckiti_redis_registration_write(const ckiti_redis_registration *r, ckiti_resp_writer *w) {
    const ckit_entry_info *info = r->info;
    ckit_slice             hash = ckit_slice_of(r->hash, sizeof r->hash);
    ckiti_redis_name       index = ckiti_redis_index_name(r->naming, r->key, hash);
    ckiti_redis_name       owner = ckiti_redis_owner_name(r->naming, r->key);
    char                   length[LENGTH_DIGITS + 1];
    ckiti_redis_put_script(w, &ckiti_redis_script_index, r->by_text, 1, 3);
    ckiti_redis_put_name(w, &index);
    ckiti_resp_bytes(w, r->key);
    put_life(w, info->ttl_ms);

    snprintf(length, sizeof length, "%08x", (unsigned)info->namespace_name.len);
    const ckit_slice record[] = {hash, ckit_slice_of(length, LENGTH_DIGITS), info->namespace_name, info->function};
    bool             ends = info->ttl_ms != CKIT_TTL_NO_EXPIRY;
    ckiti_resp_command(w, ends ? 5 : 3);
    ckiti_resp_text(w, "SET");
    ckiti_redis_put_name(w, &owner);
    ckiti_resp_joined(w, record, 4);
    if (ends) {
        ckiti_resp_text(w, "PX");
        ckiti_resp_number(w, info->ttl_ms);
    }
}

bool ckiti_redis_owner_read(ckit_slice record, ckiti_redis_owner *out) {
    size_t fixed = CKITI_REDIS_HASH_DIGITS + LENGTH_DIGITS;
    size_t length = 0;
    if (record.len < fixed) {
        return false;
    }
    for (size_t i = CKITI_REDIS_HASH_DIGITS; i < fixed; i++) {
        uint8_t c = record.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
        length = length * 16 + (size_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (length > record.len - fixed) {
        return false;
    }
    *out = (ckiti_redis_owner){ckit_slice_of(record.ptr, CKITI_REDIS_HASH_DIGITS),
                               ckit_slice_of(record.ptr + fixed, length),
                               ckit_slice_of(record.ptr + fixed + length, record.len - fixed - length)};
    return true;
}
