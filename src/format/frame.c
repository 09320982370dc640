#include <cachekit/buf.h>
#include <cachekit/frame.h>
#include <cachekit/msgpack.h>

#include "base/misuse.h"
#include "format/frame_header.h"

#define WHERE "frame"

/* ---- writing --------------------------------------------------------------------------------------------- */

/* Room for the texts between the fields, and how much one byte of a field can grow ("\u0001"). */
#define FIXED_TEXT 320
#define LONGEST_ESCAPE 6

static uint8_t *put(uint8_t *at, const char *text) {
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

static uint8_t *put_escape(uint8_t *at, uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    switch (byte) {
    case '"': return put(at, "\\\"");
    case '\\': return put(at, "\\\\");
    case '\b': return put(at, "\\b");
    case '\f': return put(at, "\\f");
    case '\n': return put(at, "\\n");
    case '\r': return put(at, "\\r");
    case '\t': return put(at, "\\t");
    default: break;
    }
    at = put(at, "\\u00");
    *at++ = (uint8_t)digits[byte >> 4];
    *at++ = (uint8_t)digits[byte & 15];
    return at;
}

static bool is_plain(uint8_t byte) { return byte >= 0x20 && byte <= 0x7e && byte != '"' && byte != '\\'; }

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define HIGH_BITS (0x80 * EACH_BYTE)

/* The same of eight bytes at once. May say no to plain ones behind one that is not. */
static bool are_plain(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    const uint64_t quotes = word ^ '"' * EACH_BYTE, backslashes = word ^ '\\' * EACH_BYTE;
    const uint64_t others = (word - 0x20 * EACH_BYTE) | (word + EACH_BYTE) | word; /* below, 0x7f, above */
    return ((others | (quotes - EACH_BYTE) | (backslashes - EACH_BYTE)) & HIGH_BITS) == 0;
}

/* How many bytes at the beginning are ASCII that stands for itself in a string of JSON. */
static size_t plain_bytes(const uint8_t *bytes, size_t len) {
    size_t count = 0;
    while (len - count >= 8 && are_plain(bytes + count)) {
        count += 8;
    }
    while (count < len && is_plain(bytes[count])) {
        count++;
    }
    return count;
}

/* As Python's json.dumps(..., ensure_ascii=False). */
static uint8_t *put_string(uint8_t *at, ckit_slice text) {
    *at++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        const size_t plain = plain_bytes(text.ptr + i, text.len - i);
        memcpy(at, text.ptr + i, plain);
        at += plain;
        i += plain;
        if (i == text.len) {
            break;
        }
        const uint8_t byte = text.ptr[i];
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            at = put_escape(at, byte);
        } else {
            *at++ = byte;
        }
    }
    *at++ = '"';
    return at;
}

static uint8_t *put_header(uint8_t *at, const ckit_frame *frame) {
    at = put_string(put(at, "{\"s\": "), frame->serializer);
    at = put_string(put(at, ", \"m\": {\"format\": "), frame->format);
    at = put_string(put(at, ", \"encoding\": "), frame->encoding.len == 0 ? ckit_slice_str("utf-8") : frame->encoding);
    at = put(at, frame->compressed ? ", \"compressed\": true" : ", \"compressed\": false");
    at = put(at, ", \"original_type\": ");
    at = frame->has_original_type ? put_string(at, frame->original_type) : put(at, "null");
    if (frame->encrypted) {
        at = put_string(put(at, ", \"encrypted\": true, \"tenant_id\": "), frame->tenant_id);
        at = put_string(put(at, ", \"encryption_algorithm\": "), frame->encryption_algorithm);
        at = put_string(put(at, ", \"key_fingerprint\": "), frame->key_fingerprint);
    }
    return put(at, CKITI_FRAME_END);
}

/* The number of bytes of all texts, or a failure. */
static ckit_status check_texts(const ckit_frame *frame, size_t *total, ckit_error *err) {
    const ckit_slice texts[] = {frame->serializer,     frame->format,    frame->encoding,
                                frame->original_type,  frame->tenant_id, frame->encryption_algorithm,
                                frame->key_fingerprint};
    *total = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].len > CKIT_FRAME_MAX_HEADER_BYTES) {
            return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "text of %zu bytes for a header, limit %u", texts[i].len,
                             CKIT_FRAME_MAX_HEADER_BYTES);
        }
        if (!ckit_utf8_valid(texts[i])) {
            return ckit_fail(err, CKIT_E_MISUSE, WHERE, "a text for the header is not UTF-8");
        }
        *total += texts[i].len;
    }
    return CKIT_OK;
}

ckit_status ckit_frame_write(const ckit_frame *frame, ckit_buf *out, ckit_error *err) {
    size_t text_bytes;
    if (frame == NULL || out == NULL) {
        return ckiti_there_is_no(err, WHERE, frame == NULL ? "frame" : "place for its bytes");
    }
    ckit_status st = check_texts(frame, &text_bytes, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (frame->serializer.len == 0 || frame->format.len == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, WHERE, "a frame needs a serializer and a format");
    }
    if (frame->encrypted && frame->tenant_id.len == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, WHERE, "an encrypted frame needs a tenant");
    }
    size_t room = CKITI_FRAME_PREFIX_LEN + FIXED_TEXT + LONGEST_ESCAPE * text_bytes;
    if (__builtin_add_overflow(room, frame->payload.len, &room) || ckit_buf_reserve(out, room) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for a payload of %zu bytes", frame->payload.len);
    }
    uint8_t *start = out->ptr + out->len;
    uint8_t *header = start + CKITI_FRAME_PREFIX_LEN;
    uint8_t *end = put_header(header, frame);
    size_t   len = (size_t)(end - header);
    if (len > CKIT_FRAME_MAX_HEADER_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "header of %zu bytes, limit %u", len,
                         CKIT_FRAME_MAX_HEADER_BYTES);
    }
    const uint8_t prefix[CKITI_FRAME_PREFIX_LEN] = {
        'C', 'K', CKITI_FRAME_VERSION, 0, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(start, prefix, sizeof prefix);
    if (frame->payload.len > 0) {
        memcpy(end, frame->payload.ptr, frame->payload.len);
    }
    out->len += CKITI_FRAME_PREFIX_LEN + len + frame->payload.len;
    return CKIT_OK;
}

/* ---- reading what writers really emit -------------------------------------------------------------------- */

typedef struct cursor {
    const uint8_t *at;
    const uint8_t *end;
} cursor;

static bool skip(cursor *c, const char *text) {
    size_t len = strlen(text);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0) {
        return false;
    }
    c->at += len;
    return true;
}

/* A string of plain ASCII without escapes: anything else is left to the JSON library. */
static bool plain_string(cursor *c, ckit_slice *text) {
    if (c->at == c->end || *c->at != '"') {
        return false;
    }
    const uint8_t *begin = c->at + 1;
    const size_t   len = plain_bytes(begin, (size_t)(c->end - begin));
    if (begin + len == c->end || begin[len] != '"') {
        return false;
    }
    *text = ckit_slice_of(begin, len);
    c->at = begin + len + 1;
    return true;
}

static bool plain_boolean(cursor *c, bool *value) {
    *value = skip(c, "true");
    return *value || skip(c, "false");
}

static bool plain_string_or_null(cursor *c, ckit_slice *text, bool *present) {
    *present = plain_string(c, text);
    return *present || skip(c, "null");
}

static void set_default_fields(ckit_frame *frame, bool compressed) {
    frame->serializer = ckit_slice_of("default", 7);
    frame->format = ckit_slice_of("msgpack", 7);
    frame->encoding = ckit_slice_of("utf-8", 5);
    frame->original_type = frame->format;
    frame->has_original_type = true;
    frame->compressed = compressed;
}

/* The beginning that most headers have, compared as a whole. */
static bool read_default_start(cursor *c, ckit_frame *frame) {
    const bool compressed = skip(c, CKITI_FRAME_DEFAULT_START("true"));
    if (compressed || skip(c, CKITI_FRAME_DEFAULT_START("false"))) {
        set_default_fields(frame, compressed);
        return true;
    }
    return false;
}

static bool read_start(cursor *c, ckit_frame *frame) {
    return skip(c, "{\"s\": ") && plain_string(c, &frame->serializer) && skip(c, ", \"m\": {\"format\": ") &&
           plain_string(c, &frame->format) && skip(c, ", \"encoding\": ") && plain_string(c, &frame->encoding) &&
           skip(c, ", \"compressed\": ") && plain_boolean(c, &frame->compressed) && skip(c, ", \"original_type\": ") &&
           plain_string_or_null(c, &frame->original_type, &frame->has_original_type);
}

/* What follows the original type in the header of an encrypted frame. */
static bool read_encryption(cursor *c, ckit_frame *frame) {
    frame->encrypted = true;
    if (!plain_string(c, &frame->tenant_id)) {
        return false;
    }
    if (skip(c, ", \"encryption_algorithm\": \"AES-256-GCM\", \"key_fingerprint\": ")) { /* the usual one, as a whole */
        frame->encryption_algorithm = ckit_slice_of("AES-256-GCM", 11);
    } else if (!skip(c, ", \"encryption_algorithm\": ") || !plain_string(c, &frame->encryption_algorithm) ||
               !skip(c, ", \"key_fingerprint\": ")) {
        return false;
    }
    return plain_string(c, &frame->key_fingerprint);
}

/* The header exactly as put_header spells it, with plain strings. False means only that another look is needed; `frame`
 * may be half filled then. */
static bool read_usual_header(ckit_slice text, ckit_frame *frame) {
    cursor c = {text.ptr, text.ptr + text.len};
    if (!read_default_start(&c, frame) && !read_start(&c, frame)) {
        return false;
    }
    if (skip(&c, ", \"encrypted\": true, \"tenant_id\": ") && !read_encryption(&c, frame)) {
        return false;
    }
    return skip(&c, CKITI_FRAME_END) && c.at == c.end;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static ckit_status read_header(ckit_slice text, ckit_frame *frame, bool *usual, ckit_buf *scratch, ckit_error *err) {
    *usual = read_usual_header(text, frame);
    if (*usual) {
        return CKIT_OK;
    }
    *frame = (ckit_frame){.verdict = CKIT_FRAME_UNDECIDED};
    return ckiti_frame_read_header(text, frame, scratch, err);
}

static ckit_status truncated(ckit_frame *frame, ckit_error *err, size_t len, size_t needed) {
    frame->verdict = CKIT_FRAME_MALFORMED;
    return ckit_fail(err, CKIT_E_TRUNCATED, WHERE, "%zu bytes, the frame's head alone needs %zu", len, needed);
}

/* `stored` begins with "CK". */
static ckit_status read_framed(ckit_slice stored, ckit_frame *frame, bool *usual, ckit_buf *scratch, ckit_error *err) {
    const uint8_t *p = stored.ptr;
    if (stored.len < CKITI_FRAME_PREFIX_LEN) {
        return truncated(frame, err, stored.len, CKITI_FRAME_PREFIX_LEN);
    }
    if (p[2] == 1) {
        return CKITI_FRAME_REJECT(frame, CKIT_FRAME_MALFORMED, err,
                                  "this is a cache file with its file header (version 1), not a stored value");
    }
    if (p[2] != CKITI_FRAME_VERSION) {
        return CKITI_FRAME_REJECT(frame, CKIT_FRAME_MALFORMED, err, "frame version %d, only %d is known", p[2],
                                  CKITI_FRAME_VERSION);
    }
    size_t len = (size_t)p[3] << 24 | (size_t)p[4] << 16 | (size_t)p[5] << 8 | p[6];
    if (len > stored.len - CKITI_FRAME_PREFIX_LEN) {
        return truncated(frame, err, stored.len, CKITI_FRAME_PREFIX_LEN + len);
    }
    if (len > CKIT_FRAME_MAX_HEADER_BYTES) {
        return CKITI_FRAME_REJECT(frame, CKIT_FRAME_MALFORMED, err, "header of %zu bytes, limit %u", len,
                                  CKIT_FRAME_MAX_HEADER_BYTES);
    }
    ckit_status st = read_header(ckit_slice_of(p + CKITI_FRAME_PREFIX_LEN, len), frame, usual, scratch, err);
    frame->payload = ckit_slice_of(p + CKITI_FRAME_PREFIX_LEN + len, stored.len - CKITI_FRAME_PREFIX_LEN - len);
    return st;
}

/* What the fields must be, whoever reads them. */
static ckit_status judge(ckit_frame *frame, ckit_error *err) {
    static const char *const formats[] = {"msgpack", "orjson", "arrow"};
    bool                     known = false;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0] && !known; i++) {
        known = ckit_slice_equal(frame->format, ckit_slice_str(formats[i]));
    }
    if (!known) {
        return CKITI_FRAME_REJECT(frame, CKIT_FRAME_MALFORMED, err, "the format is not msgpack, orjson or arrow");
    }
    if (frame->encrypted && frame->tenant_id.len == 0) {
        return CKITI_FRAME_REJECT(frame, CKIT_FRAME_SUSPICIOUS, err, "encrypted, and no tenant named");
    }
    return CKIT_OK;
}

ckit_status ckiti_frame_parse(ckit_slice stored, ckit_frame *out, bool *usual, ckit_buf *scratch, ckit_error *err) {
    *usual = false;
    ckit_frame  frame = {.verdict = CKIT_FRAME_UNDECIDED};
    ckit_status st = stored.len >= 2 && stored.ptr[0] == 'C' && stored.ptr[1] == 'K'
                         ? read_framed(stored, &frame, usual, scratch, err)
                         : ckiti_frame_read_legacy(stored, &frame, scratch, err);
    if (st == CKIT_OK) {
        st = judge(&frame, err);
    }
    if (st == CKIT_OK) {
        frame.verdict = CKIT_FRAME_READABLE;
        *out = frame;
    } else {
        *out = (ckit_frame){.verdict = frame.verdict};
    }
    return st;
}

ckit_status ckit_frame_parse(ckit_slice stored, ckit_frame *out, ckit_buf *scratch, ckit_error *err) {
    bool usual;
    if (out == NULL || scratch == NULL) {
        return ckiti_there_is_no(err, WHERE, out == NULL ? "place for the frame" : "buffer for its texts");
    }
    return ckiti_frame_parse(stored, out, &usual, scratch, err);
}
