#include "index_record.h"

#include "base/hash.h"
#include "bytes.h"

#include <string.h>

static const uint8_t header_magic[8] = {'C', 'K', 'I', 'N', 'D', 'E', 'X', '1'};
static const uint8_t record_magic[4] = {'C', 'K', 'I', 'X'};

#define BODY_AT 16u
#define LENGTHS_AT 40u

void ckiti_index_header_write(uint8_t out[CKITI_INDEX_HEADER_BYTES], const ckiti_index_header *header) {
    memcpy(out, header_magic, sizeof header_magic);
    put_u64(out + 8, header->salt);
    put_u64(out + 16, header->base);
    put_u64(out + 24, ckiti_xxh3((ckit_slice){out, 24}, 0));
}

bool ckiti_index_header_parse(ckit_slice bytes, ckiti_index_header *out) {
    if (bytes.len < CKITI_INDEX_HEADER_BYTES || memcmp(bytes.ptr, header_magic, sizeof header_magic) != 0 ||
        get_u64(bytes.ptr + 24) != ckiti_xxh3((ckit_slice){bytes.ptr, 24}, 0)) {
        return false;
    }
    out->salt = get_u64(bytes.ptr + 8);
    out->base = get_u64(bytes.ptr + 16);
    return true;
}

size_t ckiti_index_record_size(const ckiti_index_record *record) {
    if (record->key.len > CKITI_INDEX_MAX_TEXT || record->namespace_name.len > CKITI_INDEX_MAX_TEXT ||
        record->function.len > CKITI_INDEX_MAX_TEXT) {
        return 0;
    }
    return CKITI_INDEX_FIXED_BYTES + record->key.len + record->namespace_name.len + record->function.len;
}

static uint8_t *put_text(uint8_t *out, ckit_slice text) {
    if (text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
    return out + text.len;
}

void ckiti_index_record_write(uint8_t *out, const ckiti_index_record *record, uint64_t salt) {
    size_t body = ckiti_index_record_size(record) - BODY_AT;
    memcpy(out, record_magic, sizeof record_magic);
    put_u32(out + 4, (uint32_t)body);
    memcpy(out + BODY_AT, record->hash, sizeof record->hash);
    put_u64(out + 32, (uint64_t)record->created_ms);
    put_u32(out + LENGTHS_AT, (uint32_t)record->key.len);
    put_u32(out + LENGTHS_AT + 4, (uint32_t)record->namespace_name.len);
    put_u32(out + LENGTHS_AT + 8, (uint32_t)record->function.len);
    uint8_t *text = put_text(out + CKITI_INDEX_FIXED_BYTES, record->key);
    text = put_text(text, record->namespace_name);
    put_text(text, record->function);
    put_u64(out + 8, ckiti_xxh3((ckit_slice){out + BODY_AT, body}, salt));
}

/* A whole record at the beginning of `bytes`? Its size, or 0. Lengths are compared before anything is summed, so that
 * garbage is refused cheaply. */
static size_t parse_record(ckit_slice bytes, uint64_t salt, ckiti_index_record *out) {
    if (bytes.len < CKITI_INDEX_FIXED_BYTES || memcmp(bytes.ptr, record_magic, sizeof record_magic) != 0) {
        return 0;
    }
    const uint8_t *p = bytes.ptr;
    size_t         body = get_u32(p + 4);
    size_t         key = get_u32(p + LENGTHS_AT);
    size_t         name = get_u32(p + LENGTHS_AT + 4);
    size_t         function = get_u32(p + LENGTHS_AT + 8);
    if (key > CKITI_INDEX_MAX_TEXT || name > CKITI_INDEX_MAX_TEXT || function > CKITI_INDEX_MAX_TEXT ||
        body != CKITI_INDEX_FIXED_BYTES - BODY_AT + key + name + function || body > bytes.len - BODY_AT ||
        get_u64(p + 8) != ckiti_xxh3((ckit_slice){p + BODY_AT, body}, salt)) {
        return 0;
    }
    const uint8_t *texts = p + CKITI_INDEX_FIXED_BYTES;
    memcpy(out->hash, p + BODY_AT, sizeof out->hash);
    out->created_ms = (int64_t)get_u64(p + 32);
    out->key = (ckit_slice){texts, key};
    out->namespace_name = (ckit_slice){texts + key, name};
    out->function = (ckit_slice){texts + key + name, function};
    return BODY_AT + body;
}

bool ckiti_index_record_next(ckit_slice bytes, uint64_t salt, size_t *at, size_t *start, ckiti_index_record *out) {
    while (*at < bytes.len) {
        ckit_slice rest = {bytes.ptr + *at, bytes.len - *at};
        size_t     size = parse_record(rest, salt, out);
        if (size > 0) {
            *start = *at;
            *at += size;
            return true;
        }
        const uint8_t *next =
            rest.len < 2 ? NULL : memmem(rest.ptr + 1, rest.len - 1, record_magic, sizeof record_magic);
        *at = next == NULL ? bytes.len : (size_t)(next - bytes.ptr);
    }
    return false;
}
