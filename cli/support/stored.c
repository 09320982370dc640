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

/* ---- checksums in front ------------------------------------------------------------------------------------- */

/* The library's public way to an XXH3-64 is an envelope: its second element. */
static ckit_status checksum_of(ckit_slice bytes, uint8_t sum[CHECKSUM_BYTES], ckit_error *err) {
    ckit_buf              envelope = CKIT_BUF_INIT;
    ckit_reader           r;
    ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
    options.compression_level = CKIT_COMPRESSION_OFF;
    ckit_status st = ckit_envelope_store(bytes, ckit_slice_str("msgpack"), &options, &envelope, err);
    if (st == CKIT_OK) {
        ckit_reader_init(&r, ckit_buf_slice(&envelope));
        (void)ckit_read_array(&r);
        ckit_read_skip(&r);
        (void)ckit_read_array(&r);
        for (int i = 0; i < CHECKSUM_BYTES; i++) {
            sum[i] = (uint8_t)ckit_read_uint(&r);
        }
    }
    ckit_buf_fini(&envelope);
    return st;
}

/* Content with its checksum in front. */
static ckit_status open_checked(ckit_slice payload, ckit_slice *content, ckit_error *err) {
    uint8_t     sum[CHECKSUM_BYTES];
    ckit_slice  rest = behind(payload, CHECKSUM_BYTES);
    ckit_status st = checksum_of(rest, sum, err);
    if (st == CKIT_OK && memcmp(sum, payload.ptr, CHECKSUM_BYTES) != 0) {
        st = ckit_fail(err, CKIT_E_CHECKSUM, where, "the checksum in front of %zu bytes does not match", rest.len);
    }
    *content = st == CKIT_OK ? rest : *content;
    return st;
}

/* ---- payloads ----------------------------------------------------------------------------------------------- */

static ckit_status set_document(cli_stored *out, cli_form form, ckit_slice document, ckit_error *err) {
    ckit_status st = ckit_document_check(document, err);
    if (st == CKIT_OK || st == CKIT_E_VALUE_TYPE) { /* keys that are no text: other SDKs may have written them */
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

/* Old versions of the serializer auto wrote envelopes and said that they were none. */
static ckit_status open_documents(cli_stored *out, ckit_slice payload, ckit_error *err) {
    if (out->frame.compressed) {
        return open_envelope(out, CLI_FORM_FRAME, payload, err);
    }
    if (is(out->frame.serializer, "auto") && open_envelope(out, CLI_FORM_FRAME, payload, NULL) == CKIT_OK) {
        return CKIT_OK;
    }
    return set_document(out, CLI_FORM_FRAME, payload, err);
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
    } else if (st != CKIT_E_NO_MEMORY && !begins(stored, "CK\x03", 0)) {
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
    if (cli_document_from_json(stored, NULL, NULL) == CKIT_OK) {
        out->form = CLI_FORM_JSON;
        return CKIT_OK;
    }
    if (open_envelope(out, CLI_FORM_ENVELOPE, stored, NULL) == CKIT_OK ||
        set_document(out, CLI_FORM_DOCUMENT, stored, NULL) == CKIT_OK) {
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
