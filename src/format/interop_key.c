/* format/interop_key.c - the names of entries in interop mode. */
#include <cachekit/interop.h>

#include "base/hash.h"
#include "base/misuse.h"

#define DIGEST 32

static bool may_begin(uint8_t b) { return (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9'); }

static bool may_follow(uint8_t b) { return may_begin(b) || b == '.' || b == '_' || b == '-'; }

ckit_status ckit_interop_name_check(ckit_slice name, const char *what, ckit_error *err) {
    if (name.len == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, "interop", "%s: empty, and interop mode needs one", what);
    }
    if (name.len > CKIT_INTEROP_NAME_MAX) {
        return ckit_fail(err, CKIT_E_MISUSE, "interop", "%s: %zu bytes, at most %d are allowed", what, name.len,
                         CKIT_INTEROP_NAME_MAX);
    }
    if (!may_begin(name.ptr[0])) {
        return ckit_fail(err, CKIT_E_MISUSE, "interop", "%s: begins with 0x%02x, not with a-z or 0-9", what,
                         (unsigned)name.ptr[0]);
    }
    for (size_t i = 1; i < name.len; i++) {
        if (!may_follow(name.ptr[i])) {
            return ckit_fail(err, CKIT_E_MISUSE, "interop", "%s: byte %zu is 0x%02x, none of a-z 0-9 . _ -", what,
                             i + 1, (unsigned)name.ptr[i]);
        }
    }
    return CKIT_OK;
}

static void put(ckit_buf *out, ckit_slice bytes, uint8_t end) {
    memcpy(out->ptr + out->len, bytes.ptr, bytes.len);
    out->len += bytes.len;
    out->ptr[out->len++] = end;
}

ckit_status ckit_interop_key(ckit_slice namespace_name, ckit_slice operation, ckit_slice packed, ckit_buf *out,
                             ckit_error *err) {
    uint8_t digest[DIGEST];
    if (out == NULL) {
        return ckiti_there_is_no(err, "interop", "place for the key");
    }
    ckit_status st = ckit_interop_name_check(namespace_name, "namespace", err);
    if (st == CKIT_OK) {
        st = ckit_interop_name_check(operation, "operation", err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    if (ckit_buf_reserve(out, CKIT_INTEROP_KEY_MAX) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "interop", "no memory for a key");
    }
    put(out, namespace_name, ':');
    put(out, operation, ':');
    ckiti_blake2b(digest, sizeof digest, packed);
    ckiti_hex((char *)out->ptr + out->len, digest, sizeof digest);
    out->len += CKIT_INTEROP_HASH_DIGITS;
    return CKIT_OK;
}

static bool is_hash(ckit_slice text) {
    if (text.len != CKIT_INTEROP_HASH_DIGITS) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t b = text.ptr[i];
        if (!((b >= '0' && b <= '9') || (b >= 'a' && b <= 'f'))) {
            return false;
        }
    }
    return true;
}

/* What stands before the first colon; `rest` is left behind it. Empty without a colon. */
static ckit_slice take_part(ckit_slice *rest) {
    const uint8_t *colon = rest->len == 0 ? NULL : memchr(rest->ptr, ':', rest->len);
    if (colon == NULL) {
        return ckit_slice_of(NULL, 0);
    }
    const ckit_slice part = ckit_slice_of(rest->ptr, (size_t)(colon - rest->ptr));
    *rest = ckit_slice_of(colon + 1, rest->len - part.len - 1);
    return part;
}

bool ckit_interop_key_describe(ckit_slice key, ckit_interop_key_parts *parts) {
    static const ckit_interop_key_parts nothing;
    if (parts == NULL) {
        return false;
    }
    parts->hash = key;
    parts->namespace_name = take_part(&parts->hash);
    parts->operation = take_part(&parts->hash);
    if (ckit_interop_name_check(parts->namespace_name, "", NULL) == CKIT_OK &&
        ckit_interop_name_check(parts->operation, "", NULL) == CKIT_OK && is_hash(parts->hash)) {
        return true;
    }
    *parts = nothing;
    return false;
}
