#include "support/stored.h"

#include "support/document_json.h"

#include <cachekit/buf.h>
#include <cachekit/document.h>
#include <cachekit/envelope.h>

static const char where[] = "stored value";

#define CHECKSUM_BYTES 8

static bool is(ckit_slice text, const char *word) { return ckit_slice_equal(text, ckit_slice_str(word)); }

static bool begins(ckit_slice bytes, const char *head, size_t at) {
    size_t length = strlen(head);
    return bytes.len >= at + length && memcmp(bytes.ptr + at, head, length) == 0;
}

static ckit_slice behind(ckit_slice bytes, size_t count) { return ckit_slice_of(bytes.ptr + count, bytes.len - count); }

/* ---- what damaged bytes once were --------------------------------------------------------------------------- */

/* The MessagePack of bytes: `bin` or an array of integers. `count` of them, 0 being any number. */
static bool is_bytes(ckit_slice raw, uint32_t count) {
    ckit_reader r;
    ckit_reader_init(&r, raw);
    if (ckit_reader_peek(&r) == CKIT_TYPE_BIN) {
        return ckit_read_bin(&r).len >= count;
    }
    bool     good = ckit_reader_peek(&r) == CKIT_TYPE_ARRAY;
    uint32_t found = good ? ckit_read_array(&r) : 0;
    good = good && (count == 0 || found == count);
    for (uint32_t i = 0; i < found && good; i++) {
        good = ckit_reader_peek(&r) == CKIT_TYPE_UINT && ckit_read_uint(&r) <= UINT8_MAX;
    }
    return good;
}

static bool is_envelope_array(ckit_slice bytes, ckit_reader *r) {
    ckit_slice parts[4], format;
    if (ckit_read_array(r) != 4) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        parts[i] = ckit_read_raw(r);
    }
    if (parts[3].ptr == NULL) { /* no document at all: the beginning must do */
        return begins(bytes, "\x94\xc4", 0) || begins(bytes, "\x94\xc5", 0) || begins(bytes, "\x94\xc6", 0);
    }
    bool named = (ckit_document_str(parts[3], &format, NULL) == CKIT_OK ||
                  ckit_document_bin(parts[3], &format, NULL) == CKIT_OK) &&
                 is(format, "msgpack");
    return is_bytes(parts[0], 0) && (is_bytes(parts[1], CHECKSUM_BYTES) || named);
}

/* Fields have their names, or their positions for names. */
static bool is_envelope_map(ckit_reader *r) {
    bool block = false, checksum = false;
    for (uint32_t count = ckit_read_map(r); count > 0; count--) {
        ckit_type  type = ckit_reader_peek(r);
        uint64_t   position = type == CKIT_TYPE_UINT ? ckit_read_uint(r) : UINT64_MAX;
        ckit_slice name = type == CKIT_TYPE_STR   ? ckit_read_str(r)
                          : type == CKIT_TYPE_BIN ? ckit_read_bin(r)
                                                  : ckit_slice_of(NULL, 0);
        if ((type != CKIT_TYPE_UINT && type != CKIT_TYPE_STR && type != CKIT_TYPE_BIN) ||
            ckit_read_raw(r).ptr == NULL) {
            break;
        }
        block = block || position == 0 || is(name, "compressed_data");
        checksum = checksum || position == 1 || is(name, "checksum");
    }
    return block && checksum;
}

bool cli_stored_was_envelope(ckit_slice bytes) {
    ckit_reader r;
    ckit_reader_init(&r, bytes);
    switch (ckit_reader_peek(&r)) {
    case CKIT_TYPE_ARRAY: return is_envelope_array(bytes, &r);
    case CKIT_TYPE_MAP: return is_envelope_map(&r);
    default: return false;
    }
}

static bool has(ckit_slice text, const char *word) { return memmem(text.ptr, text.len, word, strlen(word)) != NULL; }

bool cli_stored_was_legacy_frame(ckit_slice text) {
    while (text.len > 0 && (text.ptr[0] == ' ' || (text.ptr[0] >= '\t' && text.ptr[0] <= '\r'))) {
        text = behind(text, 1);
    }
    return begins(text, "{", 0) && has(text, "\"data\"") && has(text, "\"metadata\"") && has(text, "\"serializer\"") &&
           has(text, "\"version\"");
}

/* ---- checksums ---------------------------------------------------------------------------------------------- */

/* The library's public way to an XXH3-64 is an envelope: its second element. */
ckit_status cli_stored_checksum(ckit_slice content, uint64_t *sum, ckit_error *err) {
    ckit_buf              envelope = CKIT_BUF_INIT;
    ckit_reader           r;
    ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
    options.compression_level = CKIT_COMPRESSION_OFF;
    ckit_status st = ckit_envelope_store(content, ckit_slice_of(NULL, 0), &options, &envelope, err);
    if (st == CKIT_OK) {
        ckit_reader_init(&r, ckit_buf_slice(&envelope));
        (void)ckit_read_array(&r);
        ckit_read_skip(&r);
        (void)ckit_read_array(&r);
        *sum = 0;
        for (int i = 0; i < CHECKSUM_BYTES; i++) {
            *sum = *sum << 8 | ckit_read_uint(&r);
        }
    }
    ckit_buf_fini(&envelope);
    return st;
}

uint64_t cli_stored_front_checksum(ckit_slice payload) {
    uint64_t sum = 0;
    for (size_t i = 0; i < CHECKSUM_BYTES; i++) {
        sum = sum << 8 | payload.ptr[i];
    }
    return sum;
}

/* Content with its checksum in front. */
static ckit_status open_checked(ckit_slice payload, ckit_slice *content, ckit_error *err) {
    uint64_t    sum;
    ckit_slice  rest = behind(payload, CHECKSUM_BYTES);
    ckit_status st = cli_stored_checksum(rest, &sum, err);
    if (st == CKIT_OK && sum != cli_stored_front_checksum(payload)) {
        st = ckit_fail(err, CKIT_E_CHECKSUM, where, "the checksum in front of %zu bytes does not match", rest.len);
    }
    *content = st == CKIT_OK ? rest : *content;
    return st;
}

/* ---- payloads ----------------------------------------------------------------------------------------------- */

static ckit_status set_document(cli_stored *out, cli_form form, ckit_slice document, ckit_error *err) {
    ckit_status st = ckit_document_check(document, err);
    if (st == CKIT_OK) {
        out->form = form;
        out->content = document;
        return CKIT_OK;
    }
    return st;
}

static ckit_status open_envelope(cli_stored *out, cli_form form, ckit_slice envelope, ckit_error *err) {
    ckit_status st = ckit_envelope_open(envelope, NULL, &out->content_bytes, NULL, err);
    if (st == CKIT_OK) {
        st = set_document(out, form, ckit_buf_slice(&out->content_bytes), err);
    }
    if (st != CKIT_OK) {
        ckit_buf_fini(&out->content_bytes);
    }
    return st;
}

/* JSON is text, so it never begins like the checksum that may stand in front of it, but by chance: then the one that is
 * JSON throughout is right. */
static ckit_status open_json(cli_stored *out, ckit_slice payload, ckit_error *err) {
    ckit_status st = cli_document_from_json(payload, NULL, NULL);
    out->form = CLI_FORM_JSON;
    out->content = payload;
    if (st == CKIT_OK || st == CKIT_E_NO_MEMORY || st == CKIT_E_TOO_LARGE) {
        return st == CKIT_OK ? st : ckit_fail(err, st, where, "JSON of %zu bytes", payload.len);
    }
    if (payload.len <= CHECKSUM_BYTES) {
        return ckit_fail(err, CKIT_E_DECODE, where, "JSON expected, found %zu bytes that are none", payload.len);
    }
    return open_checked(payload, &out->content, err);
}

static ckit_status open_foreign(cli_stored *out, ckit_slice payload, ckit_error *err) {
    bool array = is(out->frame.original_type, "numpy") && begins(payload, "NUMPY_RAW", CHECKSUM_BYTES);
    bool table = is(out->frame.format, "arrow") && begins(payload, "ARROW1", CHECKSUM_BYTES);
    out->form = CLI_FORM_FOREIGN;
    out->content = payload;
    return array || table ? open_checked(payload, &out->content, err) : CKIT_OK;
}

/* Old versions of the serializer auto said of either that it was the other. */
static ckit_status open_documents(cli_stored *out, ckit_slice payload, ckit_error *err) {
    bool envelope = is(out->frame.serializer, "auto") ? cli_stored_was_envelope(payload) : out->frame.compressed;
    return envelope ? open_envelope(out, CLI_FORM_FRAME, payload, err)
                    : set_document(out, CLI_FORM_FRAME, payload, err);
}

static ckit_status open_payload(cli_stored *out, ckit_error *err) {
    const ckit_frame *frame = &out->frame;
    bool known = frame->serializer.len == 0 || is(frame->serializer, "default") || is(frame->serializer, "auto") ||
                 is(frame->serializer, "unknown");
    if (frame->encrypted) {
        out->form = CLI_FORM_ENCRYPTED;
        out->content = frame->payload;
        return CKIT_OK;
    }
    if (is(frame->format, "orjson")) {
        return open_json(out, frame->payload, err);
    }
    if (known && is(frame->format, "msgpack") && !is(frame->original_type, "numpy")) {
        return open_documents(out, frame->payload, err);
    }
    return open_foreign(out, frame->payload, err);
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static void be_raw(cli_stored *out, ckit_slice stored) {
    cli_stored_fini(out);
    out->content = stored;
}

ckit_status cli_stored_open(ckit_slice stored, cli_stored *out, ckit_error *err) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = ckit_frame_parse(stored, &out->frame, &out->frame_bytes, &why);
    if (st == CKIT_OK) {
        out->framed = true;
        st = open_payload(out, &why);
    } else if (st != CKIT_E_NO_MEMORY && !begins(stored, "CK\x03", 0) && !cli_stored_was_legacy_frame(stored)) {
        st = CKIT_OK; /* nobody's frame, so somebody's bytes */
    }
    if (st != CKIT_OK || !out->framed) {
        be_raw(out, stored);
    }
    if (st != CKIT_OK && err != NULL) {
        *err = why;
    }
    return st;
}

ckit_status cli_stored_open_bare(cli_stored *out, ckit_error *err) {
    ckit_slice stored = out->content;
    if (out->form != CLI_FORM_RAW) {
        return CKIT_OK;
    }
    ckit_status st = cli_document_from_json(stored, NULL, NULL);
    if (st == CKIT_OK) {
        out->form = CLI_FORM_JSON;
        return CKIT_OK;
    }
    if (st == CKIT_E_NO_MEMORY) {
        return ckit_fail(err, st, where, "no memory for JSON of %zu bytes", stored.len);
    }
    if (cli_stored_was_envelope(stored)) {
        return open_envelope(out, CLI_FORM_ENVELOPE, stored, err);
    }
    if (set_document(out, CLI_FORM_DOCUMENT, stored, NULL) == CKIT_OK) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_DECODE, where, "%zu bytes that are no JSON, no envelope and no document", stored.len);
}

bool cli_stored_is_document(const cli_stored *stored) {
    return stored->form == CLI_FORM_FRAME || stored->form == CLI_FORM_ENVELOPE || stored->form == CLI_FORM_DOCUMENT;
}

ckit_status cli_stored_to_json(const cli_stored *stored, bool pretty, ckit_buf *out, ckit_error *err) {
    if (cli_stored_is_document(stored)) {
        return cli_document_to_json(stored->content, pretty, out, err);
    }
    if (stored->form != CLI_FORM_JSON) {
        return ckit_fail(err, CKIT_E_VALUE_TYPE, where, "a value of the form \"%s\" cannot be shown as JSON",
                         cli_form_name(stored->form));
    }
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = cli_document_from_json(stored->content, &document, &why);
    if (st == CKIT_OK) {
        st = cli_document_to_json(ckit_buf_slice(&document), pretty, out, &why);
    } else if (st == CKIT_E_MISUSE) { /* of whoever wrote it, not of the caller */
        why.status = st = CKIT_E_DECODE;
        why.kind = ckit_status_kind(st);
    }
    if (st != CKIT_OK && err != NULL) {
        *err = why;
    }
    ckit_buf_fini(&document);
    return st;
}

void cli_stored_fini(cli_stored *stored) {
    ckit_buf_fini(&stored->content_bytes);
    ckit_buf_fini(&stored->frame_bytes);
    *stored = (cli_stored){.form = CLI_FORM_RAW};
}

const char *cli_form_name(cli_form form) {
    static const char *const names[] = {"raw", "document", "json", "foreign", "encrypted", "envelope", "bare document"};
    return names[form];
}

ckit_status cli_stored_seal(ckit_slice document, ckit_buf *out, ckit_error *err) {
    const ckit_slice msgpack = ckit_slice_str("msgpack");
    const ckit_frame frame = {.serializer = ckit_slice_str("default"),
                              .format = msgpack,
                              .has_original_type = true,
                              .original_type = msgpack,
                              .compressed = true};
    size_t           start = out->len;
    ckit_status      st = ckit_frame_write(&frame, out, err);
    if (st == CKIT_OK) {
        st = ckit_envelope_store(document, msgpack, NULL, out, err);
    }
    if (st != CKIT_OK) {
        out->len = start;
    }
    return st;
}
