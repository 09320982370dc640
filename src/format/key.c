/* format/key.c - the names of entries: automatic keys, keys by the program's own text, and keys taken apart. */
#include <cachekit/key.h>

#include "base/hash.h"
#include "base/misuse.h"
#include "format/key_of_hash.h"

#define DIGEST 32
#define HASH_DIGITS 64
#define TAIL 3          /* ":1s" */
#define SHORT_HEAD 50   /* characters of a shortened key that are kept */
#define SHORT_DIGITS 32 /* digits of its hash */

static const char NAMESPACE_MARK[] = "ns:";
static const char FUNCTION_MARK[] = "func:";
static const char ARGUMENTS_MARK[] = ":args:";
#define LEN(literal) (sizeof(literal) - 1)

/* ---- text ------------------------------------------------------------------------------------------------ */

static ckit_status no_memory(ckit_error *err, size_t len) {
    return ckit_fail(err, CKIT_E_NO_MEMORY, "key", "no memory for a key of %zu bytes", len);
}

static bool begins_character(uint8_t byte) { return (byte & 0xc0u) != 0x80; }

static size_t count_characters(ckit_slice text) {
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += begins_character(text.ptr[i]) ? 1 : 0;
    }
    return count;
}

/* How many bytes the first `characters` characters take; the text has more. */
static size_t bytes_of_characters(ckit_slice text, size_t characters) {
    size_t i = 0;
    for (; i < text.len; i++) {
        if (begins_character(text.ptr[i]) && characters-- == 0) {
            break;
        }
    }
    return i;
}

/* The caller has reserved room. */
static void put(ckit_buf *out, const void *bytes, size_t len) {
    if (len > 0) {
        memcpy(out->ptr + out->len, bytes, len);
        out->len += len;
    }
}

static void replace_blanks(uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (p[i] == ' ' || p[i] == '\n' || p[i] == '\r') {
            p[i] = '_';
        }
    }
}

/* ---- FUNCTION -------------------------------------------------------------------------------------------- */

static bool is_name_byte(uint8_t b) {
    return (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') || b == '_' || b == '.';
}

static ckit_status check_function(ckit_slice function, ckit_error *err) {
    if (function.len == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, "key", "the function has no name");
    }
    if (!ckit_utf8_valid(function)) {
        return ckit_fail(err, CKIT_E_MISUSE, "key", "the function's name of %zu bytes is not UTF-8", function.len);
    }
    return CKIT_OK;
}

/* Writes at most CKIT_KEY_FUNCTION_MAX bytes, which the caller has reserved. */
static void put_function(ckit_buf *out, ckit_slice function) {
    const size_t start = out->len;
    for (size_t i = 0; i < function.len && out->len - start < CKIT_KEY_FUNCTION_MAX; i++) {
        const uint8_t byte = function.ptr[i];
        if (!begins_character(byte)) {
            continue; /* one underscore stands for the whole character */
        }
        if (byte == '.' && out->len > start && out->ptr[out->len - 1] == '.') {
            continue;
        }
        out->ptr[out->len++] = is_name_byte(byte) ? byte : (uint8_t)'_';
    }
}

ckit_status ckit_key_function(ckit_slice function, ckit_buf *out, ckit_error *err) {
    if (out == NULL) {
        return ckiti_there_is_no(err, "key", "place for the name");
    }
    const ckit_status st = check_function(function, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (ckit_buf_reserve(out, CKIT_KEY_FUNCTION_MAX) != CKIT_OK) {
        return no_memory(err, CKIT_KEY_FUNCTION_MAX);
    }
    put_function(out, function);
    return CKIT_OK;
}

/* ---- automatic keys -------------------------------------------------------------------------------------- */

static ckit_status check_spec(const ckit_key_spec *spec, ckit_error *err) {
    if (!ckit_utf8_valid(spec->namespace_name)) {
        return ckit_fail(err, CKIT_E_MISUSE, "key", "the namespace of %zu bytes is not UTF-8",
                         spec->namespace_name.len);
    }
    if (spec->code != '\0' && (spec->code < 'a' || spec->code > 'z')) {
        return ckit_fail(err, CKIT_E_MISUSE, "key", "the serializer's code 0x%02x is no lowercase letter",
                         (unsigned)(unsigned char)spec->code);
    }
    return check_function(spec->function, err);
}

ckit_status ckit_key_prefix_init(ckit_key_prefix *prefix, const ckit_key_spec *spec, const ckit_alloc *alloc,
                                 ckit_error *err) {
    if (prefix == NULL || spec == NULL) {
        return ckiti_there_is_no(err, "key", spec == NULL ? "description of the key" : "place for the prefix");
    }
    ckit_buf *text = &prefix->text;
    ckit_buf_init(text, alloc);
    prefix->characters = 0;
    const ckit_status st = check_spec(spec, err);
    if (st != CKIT_OK) {
        return st;
    }
    const ckit_slice space = spec->namespace_name;
    const size_t     fixed = LEN(NAMESPACE_MARK) + 1 + LEN(FUNCTION_MARK) + CKIT_KEY_FUNCTION_MAX + LEN(ARGUMENTS_MARK);
    if (space.len > SIZE_MAX - fixed || ckit_buf_reserve_exact(text, fixed + space.len) != CKIT_OK) {
        return no_memory(err, space.len);
    }
    if (space.len > 0) {
        put(text, NAMESPACE_MARK, LEN(NAMESPACE_MARK));
        put(text, space.ptr, space.len);
        put(text, ":", 1);
    }
    put(text, FUNCTION_MARK, LEN(FUNCTION_MARK));
    put_function(text, spec->function);
    put(text, ARGUMENTS_MARK, LEN(ARGUMENTS_MARK));
    replace_blanks(text->ptr, text->len);
    prefix->characters = count_characters(ckit_buf_slice(text));
    prefix->tail[0] = ':';
    prefix->tail[1] = spec->integrity ? '1' : '0';
    prefix->tail[2] = 's';
    if (spec->code != '\0') {
        prefix->tail[2] = spec->code;
    }
    return CKIT_OK;
}

void ckit_key_prefix_fini(ckit_key_prefix *prefix) {
    if (prefix != NULL) {
        ckit_buf_fini(&prefix->text);
    }
}

/* Turns the key that begins at `start` into its beginning and a hash of all of it. */
static void shorten(ckit_buf *out, size_t start) {
    const ckit_slice whole = ckit_slice_of(out->ptr + start, out->len - start);
    uint8_t          digest[DIGEST];
    ckiti_blake2b(digest, sizeof digest, whole);
    out->len = start + bytes_of_characters(whole, SHORT_HEAD);
    put(out, ":", 1);
    ckiti_hex((char *)out->ptr + out->len, digest, SHORT_DIGITS / 2);
    out->len += SHORT_DIGITS;
}

static ckit_status put_around_hash(const ckit_key_prefix *prefix, const char hash[HASH_DIGITS], ckit_buf *out,
                                   ckit_error *err) {
    const size_t size = prefix->text.len + HASH_DIGITS + TAIL;
    if (ckit_buf_reserve(out, size) != CKIT_OK) {
        return no_memory(err, size);
    }
    const size_t start = out->len;
    put(out, prefix->text.ptr, prefix->text.len);
    put(out, hash, HASH_DIGITS);
    put(out, prefix->tail, TAIL);
    if (prefix->characters + HASH_DIGITS + TAIL > CKIT_KEY_MAX_CHARACTERS) {
        shorten(out, start);
    }
    return CKIT_OK;
}

ckit_status ckit_key_from_prefix(const ckit_key_prefix *prefix, ckit_slice packed, ckit_buf *out, ckit_error *err) {
    uint8_t digest[DIGEST];
    char    hash[HASH_DIGITS + 1];
    if (prefix == NULL || out == NULL) {
        return ckiti_there_is_no(err, "key", prefix == NULL ? "beginning of the key" : "place for the key");
    }
    ckiti_blake2b(digest, sizeof digest, packed);
    ckiti_hex(hash, digest, sizeof digest);
    return put_around_hash(prefix, hash, out, err);
}

ckit_status ckit_key_automatic(const ckit_key_spec *spec, ckit_slice packed, ckit_buf *out, ckit_error *err) {
    ckit_key_prefix prefix;
    if (spec == NULL || out == NULL) {
        return ckiti_there_is_no(err, "key", spec == NULL ? "description of the key" : "place for the key");
    }
    ckit_status st = ckit_key_prefix_init(&prefix, spec, out->alloc, err);
    if (st == CKIT_OK) {
        st = ckit_key_from_prefix(&prefix, packed, out, err);
    }
    ckit_key_prefix_fini(&prefix);
    return st;
}

/* ---- keys by the program's own text ---------------------------------------------------------------------- */

ckit_status ckit_key_custom(ckit_slice namespace_name, ckit_slice text, ckit_buf *out, ckit_error *err) {
    if (out == NULL) {
        return ckiti_there_is_no(err, "key", "place for the key");
    }
    if (!ckit_utf8_valid(namespace_name) || !ckit_utf8_valid(text)) {
        return ckit_fail(err, CKIT_E_MISUSE, "key", "a key of the program's own is not UTF-8");
    }
    if (namespace_name.len == 0) {
        namespace_name = ckit_slice_str("default");
    }
    size_t size;
    if (__builtin_add_overflow(namespace_name.len + 1, text.len, &size) || ckit_buf_reserve(out, size) != CKIT_OK) {
        return no_memory(err, text.len);
    }
    put(out, namespace_name.ptr, namespace_name.len);
    put(out, ":", 1);
    put(out, text.ptr, text.len);
    return CKIT_OK;
}

/* ---- keys taken apart ------------------------------------------------------------------------------------ */

static bool are_hex_digits(const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

static bool begins_with(ckit_slice text, const char *start, size_t len) {
    return text.len >= len && memcmp(text.ptr, start, len) == 0;
}

static bool ends_with(ckit_slice text, const char *end, size_t len) {
    return text.len >= len && memcmp(text.ptr + text.len - len, end, len) == 0;
}

static ckit_slice first_bytes(ckit_slice text, size_t len) { return ckit_slice_of(text.ptr, len); }

static ckit_slice last_bytes(ckit_slice text, size_t len) { return ckit_slice_of(text.ptr + text.len - len, len); }

/* Cuts the whole form up from its end: FUNCTION has no colon, so its mark is found exactly, whatever the namespace
 * holds. */
static bool describe_whole(ckit_slice key, ckit_key_parts *parts) {
    const size_t after = LEN(ARGUMENTS_MARK) + HASH_DIGITS + TAIL;
    if (key.len < after) {
        return false;
    }
    const ckit_slice back = last_bytes(key, after);
    const uint8_t   *hash = back.ptr + LEN(ARGUMENTS_MARK), *tail = hash + HASH_DIGITS;
    if (!begins_with(back, ARGUMENTS_MARK, LEN(ARGUMENTS_MARK)) || !are_hex_digits(hash, HASH_DIGITS) ||
        tail[0] != ':' || (tail[1] != '0' && tail[1] != '1') || tail[2] < 'a' || tail[2] > 'z') {
        return false;
    }
    ckit_slice front = first_bytes(key, key.len - after);
    size_t     name = 0;
    while (name < front.len && is_name_byte(front.ptr[front.len - name - 1])) {
        name++;
    }
    parts->function = last_bytes(front, name);
    front = first_bytes(front, front.len - name);
    if (name == 0 || name > CKIT_KEY_FUNCTION_MAX || !ends_with(front, FUNCTION_MARK, LEN(FUNCTION_MARK))) {
        return false;
    }
    front = first_bytes(front, front.len - LEN(FUNCTION_MARK));
    if (front.len > 0) {
        if (front.len < LEN(NAMESPACE_MARK) + 2 || !begins_with(front, NAMESPACE_MARK, LEN(NAMESPACE_MARK)) ||
            !ends_with(front, ":", 1)) {
            return false;
        }
        parts->namespace_name = ckit_slice_of(front.ptr + LEN(NAMESPACE_MARK), front.len - LEN(NAMESPACE_MARK) - 1);
    }
    parts->hash = ckit_slice_of(hash, HASH_DIGITS);
    parts->namespace_known = true;
    parts->integrity = tail[1] == '1';
    parts->code = (char)tail[2];
    return true;
}

ckit_status ckiti_key_of_hash(const ckit_key_prefix *prefix, ckit_slice hash, ckit_buf *out, ckit_error *err) {
    if (hash.len != HASH_DIGITS || !are_hex_digits(hash.ptr, HASH_DIGITS)) {
        return ckit_fail(err, CKIT_E_MISUSE, "key", "a hash of %zu bytes, not %d lower-case digits", hash.len,
                         HASH_DIGITS);
    }
    return put_around_hash(prefix, (const char *)hash.ptr, out, err);
}

/* The namespace of a shortened key, where all of it is left. */
static void find_short_namespace(ckit_slice front, ckit_key_parts *parts) {
    static const char mark[] = ":func:";
    if (!begins_with(front, NAMESPACE_MARK, LEN(NAMESPACE_MARK))) {
        parts->namespace_known = true;
        return;
    }
    const ckit_slice rest = ckit_slice_of(front.ptr + LEN(NAMESPACE_MARK), front.len - LEN(NAMESPACE_MARK));
    size_t           found = 0, times = 0;
    for (size_t i = 1; i + LEN(mark) <= rest.len; i++) {
        if (memcmp(rest.ptr + i, mark, LEN(mark)) == 0) {
            found = times++ == 0 ? i : found;
        }
    }
    if (times == 1) {
        parts->namespace_known = true;
        parts->namespace_name = first_bytes(rest, found);
    }
}

static bool describe_shortened(ckit_slice key, ckit_key_parts *parts) {
    if (key.len < SHORT_HEAD + 1 + SHORT_DIGITS || !ckit_utf8_valid(key)) {
        return false;
    }
    const ckit_slice back = last_bytes(key, 1 + SHORT_DIGITS);
    const ckit_slice front = first_bytes(key, key.len - back.len);
    if (back.ptr[0] != ':' || !are_hex_digits(back.ptr + 1, SHORT_DIGITS) || count_characters(front) != SHORT_HEAD ||
        !(begins_with(front, NAMESPACE_MARK, LEN(NAMESPACE_MARK)) ||
          begins_with(front, FUNCTION_MARK, LEN(FUNCTION_MARK)))) {
        return false;
    }
    parts->shortened = true;
    find_short_namespace(front, parts);
    return true;
}

ckit_key_parts ckit_key_describe(ckit_slice key) {
    static const ckit_key_parts nothing;
    ckit_key_parts              parts = nothing;
    parts.automatic = describe_whole(key, &parts);
    if (!parts.automatic) {
        parts = nothing;
        parts.automatic = describe_shortened(key, &parts);
    }
    return parts.automatic ? parts : nothing;
}
