#include "inspect/foreign.h"
#include "inspect/layers.h"

#include "support/document_json.h"
#include "support/output.h"
#include "support/stored.h"

#include <cachekit/document.h>
#include <cachekit/frame.h>
#include <cachekit/msgpack.h>
#include <json-c/json.h>
#include <sodium.h>
#include <stdio.h>

#define PREFIX 7 /* "CK", version, length of the header */
#define VERSION 3
#define NONCE 12 /* AES-256-GCM: nonce, ciphertext, tag */
#define TAG 16
#define HEADER_DEPTH 32

/* A frame being looked at. */
typedef struct framed {
    inspect_part value;
    inspect_part head;   /* the whole frame but its payload */
    inspect_part header; /* the JSON text; empty when there is none */
    bool         has_header;
    bool         legacy;
    ckit_frame   frame;
} framed;

static bool equals(ckit_slice text, const char *word) { return ckit_slice_equal(text, ckit_slice_str(word)); }

/* ---- the header's members ----------------------------------------------------------------------------------- */

static json_object *parse_header(ckit_slice text) {
    json_tokener *tokener = json_tokener_new_ex(HEADER_DEPTH);
    json_object  *root = NULL;
    if (tokener != NULL && text.len > 0 && text.len <= INT32_MAX && ckit_utf8_valid(text)) {
        root = json_tokener_parse_ex(tokener, (const char *)text.ptr, (int)text.len);
    }
    if (tokener != NULL) {
        json_tokener_free(tokener);
    }
    return root;
}

/* The name of a member's fact. Members that nobody writes get a name that can be no other fact's. */
static const char *fact_name(const char *name, char text[INSPECT_TEXT]) {
    static const char *const names[][2] = {
        {"s", "serializer"},
        {"serializer", "serializer"},
        {"v", "header_version"},
        {"version", "header_version"},
        {"format", "format"},
        {"encoding", "encoding"},
        {"compressed", "compressed"},
        {"original_type", "original_type"},
        {"encrypted", "encrypted"},
        {"tenant_id", "tenant"},
        {"encryption_algorithm", "algorithm"},
        {"key_fingerprint", "key_fingerprint"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i][0], name) == 0) {
            return names[i][1];
        }
    }
    char quoted[INSPECT_TEXT];
    (void)snprintf(text, INSPECT_TEXT, "member %.400s", inspect_quoted(ckit_slice_str(name), quoted));
    return text;
}

static void tell_members(inspect_report *report, json_object *from, bool outer) {
    json_object_object_foreach(from, name, value) {
        char name_text[INSPECT_TEXT], text[INSPECT_TEXT];
        if (outer && (json_object_is_type(value, json_type_object) || strcmp(name, "data") == 0)) {
            continue;
        }
        ckit_slice shown = ckit_slice_str(json_object_get_string(value));
        if (json_object_is_type(value, json_type_string)) {
            shown.len = (size_t)json_object_get_string_len(value);
            (void)inspect_quoted(shown, text);
        } else {
            (void)snprintf(text, sizeof text, "%.*s", 200, value == NULL ? "null" : (const char *)shown.ptr);
        }
        inspect_fact(report, fact_name(name, name_text), json_object_get(value), "%s", text);
    }
}

static void tell_header(inspect_report *report, const framed *f) {
    json_object *root = parse_header(f->header.bytes), *metadata = NULL;
    if (json_object_is_type(root, json_type_object)) {
        tell_members(report, root, true);
        if (json_object_object_get_ex(root, f->legacy ? "metadata" : "m", &metadata) &&
            json_object_is_type(metadata, json_type_object)) {
            tell_members(report, metadata, false);
        }
    }
    json_object_put(root);
}

/* Readers compare the name with their own. */
static void tell_serializer(inspect_report *report, ckit_slice name) {
    static const char *const known[] = {"default", "auto", "orjson", "arrow", "unknown", ""};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (equals(name, known[i])) {
            return;
        }
    }
    inspect_note(report, "no SDK has a serializer of this name: only a program that brings it reads the value");
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

/* Where a member of this name stands in the head; its beginning when there is none. */
static size_t member_offset(const framed *f, const char *name) {
    char   text[64];
    size_t start = f->legacy ? 0 : PREFIX;
    int    len = snprintf(text, sizeof text, "\"%s\"", name);
    void  *at = f->header.bytes.len == 0 ? NULL : memmem(f->header.bytes.ptr, f->header.bytes.len, text, (size_t)len);
    return at == NULL ? start : start + (size_t)((const uint8_t *)at - f->header.bytes.ptr);
}

/* The library says what is wrong with which member. */
static void blame_member(inspect_report *report, const framed *f, const ckit_error *err) {
    char        name[32] = "";
    const char *expected = NULL;
    if (sscanf(err->text, "member %31s", name) != 1) {
        bool encryption = strstr(err->text, "encrypted") != NULL;
        bool format = strstr(err->text, "format") != NULL;
        (void)snprintf(name, sizeof name, "%s", encryption ? "encrypted" : format ? "format" : "");
        expected = encryption ? "a tenant_id" : format ? "\"msgpack\", \"orjson\" or \"arrow\"" : NULL;
    }
    inspect_damage(report, member_offset(f, name), expected, NULL, "%s", err->text);
}

static void blame_header(inspect_report *report, const framed *f, const ckit_error *err) {
    ckit_error  json = CKIT_ERROR_INIT;
    ckit_status st = cli_document_from_json(f->header.bytes, NULL, &json);
    if (st == CKIT_E_NO_MEMORY) {
        inspect_no_memory(report);
    } else if (st != CKIT_OK) {
        size_t at = inspect_error_offset(&json, f->header.bytes);
        inspect_damage(report, at == INSPECT_NOWHERE ? at : at + (f->legacy ? 0 : PREFIX), NULL, NULL,
                       "the header is %s", json.text);
    } else {
        blame_member(report, f, err);
    }
}

static uint32_t header_length(ckit_slice stored) {
    const uint8_t *p = stored.ptr;
    return (uint32_t)p[3] << 24 | (uint32_t)p[4] << 16 | (uint32_t)p[5] << 8 | p[6];
}

/* A frame without a whole header. */
static void blame_head(inspect_report *report, const framed *f) {
    ckit_slice stored = f->value.bytes;
    char       expected[64], found[64];
    (void)snprintf(found, sizeof found, "%zu", stored.len);
    if (stored.len >= 3 && stored.ptr[2] != VERSION) {
        (void)snprintf(found, sizeof found, "%u", stored.ptr[2]);
        inspect_damage(report, 2, "3", found, "%s",
                       stored.ptr[2] == 1 ? "this is a cache file with its header, stored as a value: readers refuse it"
                                          : "no such version of the frame is known: damaged, or a newer program's");
    } else if (stored.len < PREFIX) {
        inspect_damage(report, stored.len, "at least 7 bytes", found, "the value ends inside the frame's first bytes");
    } else if (header_length(stored) > CKIT_FRAME_MAX_HEADER_BYTES) {
        (void)snprintf(expected, sizeof expected, "at most %u", CKIT_FRAME_MAX_HEADER_BYTES);
        (void)snprintf(found, sizeof found, "%u", header_length(stored));
        inspect_damage(report, 3, expected, found, "the length of the header is beyond its limit");
    } else {
        (void)snprintf(expected, sizeof expected, "at least %zu bytes", (size_t)PREFIX + header_length(stored));
        inspect_damage(
            report, stored.len, expected, found,
            "the value ends inside the frame's header: it was cut off, or its length (bytes 3 to 6) is damaged");
    }
}

/* ---- what is in it ------------------------------------------------------------------------------------------ */

static void hex_fact(inspect_report *report, const char *name, const uint8_t *bytes, size_t len) {
    char hex[2 * TAG + 1];
    (void)sodium_bin2hex(hex, sizeof hex, bytes, len);
    inspect_fact(report, name, cli_json_text(hex), "%s", hex);
}

static void inspect_sealed(inspect_report *report, const framed *f, const inspect_part *payload) {
    char   tenant[INSPECT_TEXT], found[32];
    size_t len = payload->bytes.len;
    inspect_layer(report, "encryption", payload);
    inspect_state(report, "sealed");
    inspect_fact(report, "tenant", cli_json_bytes(f->frame.tenant_id), "%s",
                 inspect_quoted(f->frame.tenant_id, tenant));
    if (len < NONCE + TAG) {
        (void)snprintf(found, sizeof found, "%zu bytes", len);
        inspect_damage(report, len, "at least 28 bytes (a nonce of 12 and a tag of 16)", found,
                       "the sealed bytes were cut off");
        return;
    }
    hex_fact(report, "nonce", payload->bytes.ptr, NONCE);
    inspect_fact(report, "ciphertext_size", cli_json_uint(len - NONCE - TAG), "%zu bytes, as many as were encrypted",
                 len - NONCE - TAG);
    hex_fact(report, "tag", payload->bytes.ptr + len - TAG, TAG);
    if (!equals(f->frame.encryption_algorithm, "AES-256-GCM")) {
        inspect_note(report, "the header does not name AES-256-GCM, the one algorithm there is");
    }
    inspect_note(report, "inspect does not open it; inside is %s",
                 f->frame.compressed ? "an envelope, by the header's word" : "a document, by the header's word");
    if (report->verdict == INSPECT_READABLE) {
        report->verdict = INSPECT_SEALED;
    }
}

/* The header says whether it is an envelope or a bare document. Of what `auto` wrote in its early days that may be
 * wrong. */
static void inspect_msgpack(inspect_report *report, const framed *f, const inspect_part *payload) {
    bool   compressed = f->frame.compressed, envelope = cli_stored_was_envelope(payload->bytes);
    size_t said_at = member_offset(f, "compressed");
    if (!compressed && envelope) {
        inspect_note(report, "the header says that the payload is no envelope, and it is one");
    }
    if (envelope || (compressed && ckit_document_check(payload->bytes, NULL) != CKIT_OK)) {
        inspect_envelope(report, payload);
        return;
    }
    if (compressed && equals(f->frame.serializer, "auto")) {
        inspect_note(report, "the header promises an envelope, and the payload is a bare document");
    } else if (compressed) {
        inspect_damage(report, said_at, "an envelope", "a bare document",
                       "the payload is not what the header promises");
    }
    inspect_document(report, payload);
}

static void inspect_payload(inspect_report *report, const framed *f, const inspect_part *payload) {
    const ckit_frame *frame = &f->frame;
    tell_serializer(report, frame->serializer);
    if (frame->encrypted) {
        inspect_sealed(report, f, payload);
    } else if (equals(frame->format, "orjson")) {
        inspect_checked_json(report, payload);
    } else if (equals(frame->format, "arrow")) {
        inspect_arrow(report, payload);
    } else if (equals(frame->original_type, "numpy")) {
        inspect_numpy(report, payload);
    } else {
        inspect_msgpack(report, f, payload);
    }
}

/* The legacy form's payload is unpacked from base64: where in the text it stands, when it stands there without
 * escapes. */
static size_t base64_origin(const void *context, size_t at) {
    const framed *f = context;
    ckit_slice    text = f->value.bytes;
    size_t        from = member_offset(f, "data") + strlen("\"data\"");
    while (from < text.len && text.ptr[from] != '"') {
        from++;
    }
    size_t start = from + 1, offset = start + at / 3 * 4 + at % 3;
    for (size_t i = start; i < offset; i++) {
        if (i >= text.len || text.ptr[i] == '\\' || text.ptr[i] == ' ' || text.ptr[i] == '"') {
            return INSPECT_NOWHERE;
        }
    }
    return offset;
}

/* ---- the frame ---------------------------------------------------------------------------------------------- */

static void cut_head(framed *f) {
    ckit_slice stored = f->value.bytes;
    size_t     head = stored.len;
    bool       known = !f->legacy && stored.len >= PREFIX && stored.ptr[2] == VERSION;
    f->has_header = f->legacy || (known && header_length(stored) <= stored.len - PREFIX &&
                                  header_length(stored) <= CKIT_FRAME_MAX_HEADER_BYTES);
    if (f->legacy) {
        f->header = f->value;
    } else if (f->has_header) {
        head = PREFIX + header_length(stored);
        f->header = inspect_sub(&f->value, PREFIX, head - PREFIX);
    }
    f->head = inspect_sub(&f->value, 0, head);
}

static void tell_verdict(inspect_report *report, ckit_frame_verdict verdict) {
    static const char *const names[] = {"readable", "malformed", "corrupt", "suspicious", "undecided"};
    static const char *const texts[] = {
        "readable",
        "malformed: readers treat it as absent and keep it",
        "corrupt: readers treat it as absent and delete it",
        "suspicious: readers treat it as absent and delete it",
        "undecided",
    };
    inspect_fact(report, "verdict", cli_json_text(names[verdict]), "%s", texts[verdict]);
}

void inspect_frame(inspect_report *report, const inspect_part *value) {
    framed     f = {.value = *value};
    ckit_slice stored = value->bytes;
    ckit_buf   scratch = CKIT_BUF_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    f.legacy = stored.len < 2 || memcmp(stored.ptr, "CK", 2) != 0;
    ckit_status st = ckit_frame_parse(stored, &f.frame, &scratch, &err);
    cut_head(&f);
    inspect_layer(report, f.legacy ? "legacy frame" : "frame", &f.head);
    if (!f.legacy && stored.len >= 3) {
        inspect_fact(report, "version", cli_json_uint(stored.ptr[2]), "%u", stored.ptr[2]);
    }
    if (!f.legacy && stored.len >= PREFIX) {
        inspect_fact(report, "header_length", cli_json_uint(header_length(stored)), "%u bytes", header_length(stored));
    }
    tell_header(report, &f);
    tell_verdict(report, f.frame.verdict);
    if (st == CKIT_OK && f.legacy) {
        inspect_part payload = {f.frame.payload, INSPECT_NOWHERE, base64_origin, &f};
        inspect_note(report, "the text form of old versions, which is only read");
        inspect_payload(report, &f, &payload);
    } else if (st == CKIT_OK) {
        inspect_part payload = inspect_sub(value, f.head.bytes.len, stored.len - f.head.bytes.len);
        inspect_payload(report, &f, &payload);
    } else if (st == CKIT_E_NO_MEMORY) {
        inspect_no_memory(report);
    } else if (f.has_header) {
        blame_header(report, &f, &err);
    } else {
        blame_head(report, &f);
    }
    ckit_buf_fini(&scratch);
}
