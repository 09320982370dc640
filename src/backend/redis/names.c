#include "names.h"

#include "base/hash.h"

#define OURS "ck:"
#define KEY_MARK "ck:key:"
#define LOCK_MARK "ck:lock:"
#define OWNER_MARK "ck:own:"
#define INDEX_MARK "ck:idx:"
#define TAGGED_INDEX_MARK "ck:idx{"
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

uint16_t ckiti_redis_slot_of(ckit_slice prefix, ckit_slice key) {
    ckiti_redis_name name = ckiti_redis_entry_name(prefix, key);
    return ckiti_redis_slot(name.parts, name.count);
}

/* "ck:lock{0a3f}:" and the rest. */
static ckiti_redis_name tagged(const ckiti_redis_naming *n, const char *mark, ckit_slice key, ckit_slice rest) {
    ckit_slice tag = ckit_slice_of(n->tags[ckiti_redis_slot_of(n->prefix, key)].text, sizeof n->tags->text);
    return (ckiti_redis_name){{n->prefix, part(mark), tag, part("}:"), rest}, 5};
}

/* A name that begins or ends with the key is not in the key's slot, unless something in braces decides. */
static bool needs_tag(const ckiti_redis_naming *n, ckit_slice key) {
    return n->tags != NULL && !ckiti_redis_has_tag(key);
}

ckiti_redis_name ckiti_redis_lock_name(const ckiti_redis_naming *n, ckit_slice key) {
    if (needs_tag(n, key)) {
        return tagged(n, "ck:lock{", key, key);
    }
    return looks_like_ours(key) ? name_of(n->prefix, part(LOCK_MARK), key) : name_of(n->prefix, key, part(LOCK_END));
}

ckiti_redis_name ckiti_redis_fence_name(const ckiti_redis_naming *n, ckit_slice key) {
    return n->tags != NULL ? tagged(n, "ck:fence{", key, part("")) : name_of(n->prefix, part("ck:fence"), part(""));
}

ckiti_redis_name ckiti_redis_owner_name(const ckiti_redis_naming *n, ckit_slice key) {
    return needs_tag(n, key) ? tagged(n, "ck:own{", key, key) : name_of(n->prefix, part(OWNER_MARK), key);
}

ckiti_redis_name ckiti_redis_index_name(const ckiti_redis_naming *n, ckit_slice key, ckit_slice hash) {
    return n->tags != NULL ? tagged(n, TAGGED_INDEX_MARK, key, hash) : name_of(n->prefix, part(INDEX_MARK), hash);
}

ckit_slice ckiti_redis_index_beginning(const ckiti_redis_naming *n, ckit_slice key, char *out) {
    ckiti_redis_name name = ckiti_redis_index_name(n, key, part(""));
    size_t           len = 0;
    for (size_t i = 0; i < name.count; i++) {
        if (name.parts[i].len > 0) {
            memcpy(out + len, name.parts[i].ptr, name.parts[i].len);
        }
        len += name.parts[i].len;
    }
    return ckit_slice_of(out, len);
}

ckit_status ckiti_redis_index_pattern(const ckiti_redis_naming *n, ckit_buf *pattern, ckit_slice hash) {
    const char *mark = n->tags != NULL ? TAGGED_INDEX_MARK "????}:" : INDEX_MARK;
    ckit_status st = ckiti_redis_escape(pattern, n->prefix);
    st = st == CKIT_OK ? ckit_buf_append(pattern, part(mark)) : st;
    return st == CKIT_OK ? ckit_buf_append(pattern, hash) : st;
}

bool ckiti_redis_is_index(const ckiti_redis_naming *n, ckit_slice name) {
    const char *mark = n->tags != NULL ? TAGGED_INDEX_MARK : INDEX_MARK;
    size_t      tag = n->tags != NULL ? sizeof n->tags->text + 2 : 0;
    size_t      prefix = n->prefix.len;
    return name.len == prefix + strlen(mark) + tag + CKITI_REDIS_HASH_DIGITS &&
           (prefix == 0 || memcmp(name.ptr, n->prefix.ptr, prefix) == 0) &&
           begins(ckit_slice_of(name.ptr + prefix, name.len - prefix), mark);
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
