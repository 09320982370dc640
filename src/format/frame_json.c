/* Headers in any spelling of JSON, and the legacy text form. */
#include "format/frame_header.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>

#include <json-c/json.h>
#include <limits.h>
#include <sodium.h>

#define WHERE "frame"

/* The JSON library builds a tree of up to some hundred bytes for each byte between strings. So these are counted
 * before it starts: real headers have two objects and some 200 bytes in all. */
#define MAX_DEPTH 32
#define MAX_CONTAINERS 1024
#define MAX_OUTSIDE_BYTES CKIT_FRAME_MAX_HEADER_BYTES

#define MALFORMED(frame, err, ...) CKITI_FRAME_REJECT(frame, CKIT_FRAME_MALFORMED, err, __VA_ARGS__)
#define CORRUPT(frame, err, ...) CKITI_FRAME_REJECT(frame, CKIT_FRAME_CORRUPT, err, __VA_ARGS__)

/* ---- before parsing -------------------------------------------------------------------------------------- */

static bool is_space(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

/* From behind a string's opening quote to behind its closing one. `*has_nul` tells of an escaped zero byte. */
static const char *scan_string(const uint8_t **at, const uint8_t *end, bool *has_nul) {
    const uint8_t *p = *at;
    *has_nul = false;
    while (p < end && *p != '"') {
        if (*p < 0x20) {
            return "a control character in a string";
        }
        if (*p == '\\') {
            *has_nul = *has_nul || (end - p >= 6 && memcmp(p, "\\u0000", 6) == 0);
            p++;
            if (p == end) {
                break;
            }
        }
        p++;
    }
    if (p >= end) {
        return "ends inside a string";
    }
    *at = p + 1;
    return NULL;
}

static bool is_member_name(const uint8_t *behind, const uint8_t *end) {
    while (behind < end && is_space(*behind)) {
        behind++;
    }
    return behind < end && *behind == ':';
}

/* Why the text must not reach the JSON library; NULL when it may. Not a check of the grammar, but of what the library
 * would let pass (control characters), misread (a zero byte ends a member's name) or pay too much memory for. */
static const char *scan(ckit_slice text) {
    if (text.len == 0) {
        return "no bytes";
    }
    const uint8_t *p = text.ptr;
    const uint8_t *end = p + text.len;
    size_t         outside = 0, containers = 0;
    while (p < end) {
        uint8_t byte = *p++;
        if (byte == '"') {
            bool        has_nul;
            const char *why = scan_string(&p, end, &has_nul);
            if (why == NULL && has_nul && is_member_name(p, end)) {
                why = "a zero byte in a member's name";
            }
            if (why != NULL) {
                return why;
            }
            continue;
        }
        if (byte < 0x20 && !is_space(byte)) {
            return "a control character";
        }
        containers += byte == '{' || byte == '[';
        if (++outside > MAX_OUTSIDE_BYTES || containers > MAX_CONTAINERS) {
            return "more structure than a header has";
        }
    }
    return NULL;
}

/* ---- parsing --------------------------------------------------------------------------------------------- */

/* CKIT_OK with *root NULL is the JSON value null. */
static ckit_status parse_json(ckit_slice text, ckit_frame *frame, json_object **root, ckit_error *err) {
    *root = NULL;
    if (text.len > INT_MAX) {
        return MALFORMED(frame, err, "text of %zu bytes", text.len);
    }
    const char *why = ckit_utf8_valid(text) ? scan(text) : "not UTF-8";
    if (why != NULL) {
        return MALFORMED(frame, err, "not JSON: %s", why);
    }
    json_tokener *tok = json_tokener_new_ex(MAX_DEPTH);
    if (tok == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for a JSON parser");
    }
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    *root = json_tokener_parse_ex(tok, (const char *)text.ptr, (int)text.len);
    if (json_tokener_get_error(tok) == json_tokener_continue) {
        *root = json_tokener_parse_ex(tok, "", 1); /* the end: completes a number */
    }
    enum json_tokener_error result = json_tokener_get_error(tok);
    json_tokener_free(tok);
    if (result != json_tokener_success) {
        return MALFORMED(frame, err, "not JSON: %s", json_tokener_error_desc(result));
    }
    return CKIT_OK;
}

/* ---- members --------------------------------------------------------------------------------------------- */

/* `scratch` has room for all strings of the text: unescaped they are no longer than written. */
static ckit_slice keep(json_object *string, ckit_buf *scratch) {
    size_t   len = (size_t)json_object_get_string_len(string);
    uint8_t *at = scratch->ptr + scratch->len;
    memcpy(at, json_object_get_string(string), len);
    scratch->len += len;
    return ckit_slice_of(at, len);
}

/* Absent and null leave *text empty. */
static ckit_status read_string(json_object *from, const char *name, ckit_frame *frame, ckit_slice *text,
                               ckit_buf *scratch, ckit_error *err) {
    json_object *value = NULL;
    if (!json_object_object_get_ex(from, name, &value) || value == NULL) {
        return CKIT_OK;
    }
    if (!json_object_is_type(value, json_type_string)) {
        return MALFORMED(frame, err, "member %s is not a string", name);
    }
    *text = keep(value, scratch);
    return CKIT_OK;
}

static ckit_status read_boolean(json_object *from, const char *name, ckit_frame *frame, bool *flag, ckit_error *err) {
    json_object *value = NULL;
    if (!json_object_object_get_ex(from, name, &value) || value == NULL) {
        return CKIT_OK;
    }
    if (!json_object_is_type(value, json_type_boolean)) {
        return MALFORMED(frame, err, "member %s is not a boolean", name);
    }
    *flag = json_object_get_boolean(value) != 0;
    return CKIT_OK;
}

static ckit_status read_metadata(json_object *root, const char *name, ckit_frame *frame, ckit_buf *scratch,
                                 ckit_error *err) {
    json_object *m = NULL;
    if (!json_object_object_get_ex(root, name, &m) || !json_object_is_type(m, json_type_object)) {
        return CORRUPT(frame, err, "member %s is missing or not an object", name);
    }
    if (!json_object_object_get_ex(m, "format", NULL)) {
        return CORRUPT(frame, err, "no format");
    }
    const struct {
        const char *name;
        ckit_slice *text;
    } strings[] = {
        {"format", &frame->format},
        {"encoding", &frame->encoding},
        {"original_type", &frame->original_type},
        {"tenant_id", &frame->tenant_id},
        {"encryption_algorithm", &frame->encryption_algorithm},
        {"key_fingerprint", &frame->key_fingerprint},
    };
    ckit_status st = CKIT_OK;
    for (size_t i = 0; i < sizeof strings / sizeof strings[0] && st == CKIT_OK; i++) {
        st = read_string(m, strings[i].name, frame, strings[i].text, scratch, err);
    }
    if (st == CKIT_OK) {
        st = read_boolean(m, "compressed", frame, &frame->compressed, err);
    }
    if (st == CKIT_OK) {
        st = read_boolean(m, "encrypted", frame, &frame->encrypted, err);
    }
    frame->has_original_type = frame->original_type.ptr != NULL;
    return st;
}

static ckit_status read_base64(json_object *root, ckit_frame *frame, ckit_buf *scratch, ckit_error *err) {
    json_object *data = NULL;
    if (!json_object_object_get_ex(root, "data", &data)) {
        return CORRUPT(frame, err, "no data");
    }
    if (!json_object_is_type(data, json_type_string)) {
        return CORRUPT(frame, err, "member data is not a string");
    }
    uint8_t *at = scratch->ptr + scratch->len;
    size_t   len = 0;
    if (sodium_base642bin(at, scratch->cap - scratch->len, json_object_get_string(data),
                          (size_t)json_object_get_string_len(data), " \t\r\n", &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
        return CORRUPT(frame, err, "member data is not base64");
    }
    scratch->len += len;
    frame->payload = ckit_slice_of(at, len);
    return CKIT_OK;
}

/* ---- the two forms --------------------------------------------------------------------------------------- */

typedef struct member_names {
    const char *serializer;
    const char *metadata;
    bool        legacy;
} member_names;

static ckit_status read_members(json_object *root, const member_names *names, ckit_frame *frame, ckit_buf *scratch,
                                ckit_error *err) {
    if (!json_object_is_type(root, json_type_object)) {
        return CORRUPT(frame, err, "the header is not a JSON object");
    }
    frame->legacy = names->legacy;
    ckit_status st = names->legacy ? read_base64(root, frame, scratch, err) : CKIT_OK;
    if (st == CKIT_OK) {
        st = read_metadata(root, names->metadata, frame, scratch, err);
    }
    if (st == CKIT_OK) {
        st = read_string(root, names->serializer, frame, &frame->serializer, scratch, err);
    }
    return st;
}

static ckit_status read_form(ckit_slice text, const member_names *names, ckit_frame *frame, ckit_buf *scratch,
                             ckit_error *err) {
    json_object *root;
    ckit_status  st = parse_json(text, frame, &root, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (ckit_buf_reserve_exact(scratch, text.len) != CKIT_OK) {
        st = ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for a header of %zu bytes", text.len);
    } else {
        st = read_members(root, names, frame, scratch, err);
    }
    json_object_put(root);
    return st;
}

ckit_status ckiti_frame_read_header(ckit_slice text, ckit_frame *frame, ckit_buf *scratch, ckit_error *err) {
    static const member_names names = {"s", "m", false};
    return read_form(text, &names, frame, scratch, err);
}

ckit_status ckiti_frame_read_legacy(ckit_slice text, ckit_frame *frame, ckit_buf *scratch, ckit_error *err) {
    static const member_names names = {"serializer", "metadata", true};
    return read_form(text, &names, frame, scratch, err);
}
