#include "names.h"

#include "base/hash.h"

#define OURS "ck:"
#define KEY_MARK "ck:key:"
#define LOCK_MARK "ck:lock:"
#define OWNER_MARK "ck:own:"
#define LOCK_END ":lock"

static ckit_slice part(const char *text) { return ckit_slice_str(text); }

static bool begins(ckit_slice text, const char *with) {
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.ptr, with, len) == 0;
}

static bool ends(ckit_slice text, const char *with) {
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.ptr + text.len - len, with, len) == 0;
}

/* A key that would be taken for bookkeeping as it is. */
static bool looks_like_ours(ckit_slice key) { return begins(key, OURS) || ends(key, LOCK_END); }

static ckiti_redis_name name_of(ckit_slice a, ckit_slice b, ckit_slice c) { return (ckiti_redis_name){{a, b, c}, 3}; }

ckiti_redis_name ckiti_redis_entry_name(ckit_slice prefix, ckit_slice key) {
    return name_of(prefix, part(looks_like_ours(key) ? KEY_MARK : ""), key);
}

ckiti_redis_name ckiti_redis_lock_name(ckit_slice prefix, ckit_slice key) {
    return looks_like_ours(key) ? name_of(prefix, part(LOCK_MARK), key) : name_of(prefix, key, part(LOCK_END));
}

ckiti_redis_name ckiti_redis_fence_name(ckit_slice prefix) { return name_of(prefix, part("ck:fence"), part("")); }

ckiti_redis_name ckiti_redis_owner_name(ckit_slice prefix, ckit_slice key) {
    return name_of(prefix, part(OWNER_MARK), key);
}

ckiti_redis_name ckiti_redis_index_name(ckit_slice prefix, ckit_slice hash) {
    return name_of(prefix, part(CKITI_REDIS_INDEX_MARK), hash);
}

void ckiti_redis_namespace_hash(char out[CKITI_REDIS_HASH_DIGITS], ckit_slice namespace_name) {
    uint8_t digest[CKITI_REDIS_HASH_DIGITS / 2];
    ckiti_blake2b(digest, sizeof digest, namespace_name);
    ckiti_hex(out, digest, sizeof digest);
}

bool ckiti_redis_key_of(ckit_slice prefix, ckit_slice name, ckit_slice *key) {
    if (name.len <= prefix.len || (prefix.len > 0 && memcmp(name.ptr, prefix.ptr, prefix.len) != 0)) {
        return false;
    }
    ckit_slice rest = ckit_slice_of(name.ptr + prefix.len, name.len - prefix.len);
    if (begins(rest, KEY_MARK)) {
        size_t mark = strlen(KEY_MARK);
        *key = ckit_slice_of(rest.ptr + mark, rest.len - mark);
        return key->len > 0 && looks_like_ours(*key);
    }
    *key = rest;
    return !looks_like_ours(rest);
}

ckit_status ckiti_redis_escape(ckit_buf *pattern, ckit_slice text) {
    if (ckit_buf_reserve(pattern, 2 * text.len) != CKIT_OK) {
        return CKIT_E_NO_MEMORY;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '\0' && strchr("*?[]^-\\", text.ptr[i]) != NULL) {
            pattern->ptr[pattern->len++] = '\\';
        }
        pattern->ptr[pattern->len++] = text.ptr[i];
    }
    return CKIT_OK;
}
