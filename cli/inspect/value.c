#include "inspect/layers.h"

#include "support/document_json.h"
#include "support/output.h"
#include "support/stored.h"

#include <cachekit/document.h>
#include <cachekit/frame.h>

/* ---- telling the forms apart -------------------------------------------------------------------------------- */

static const struct form_name {
    const char *name;
    const char *text;
} form_names[] = {
    [INSPECT_FORM_EMPTY] = {"empty", "an empty value"},
    [INSPECT_FORM_FRAME] = {"frame", "a frame, as the SDKs store values by default"},
    [INSPECT_FORM_LEGACY_FRAME] = {"legacy_frame", "the text form of a frame that old versions wrote"},
    [INSPECT_FORM_ENVELOPE] = {"envelope", "an envelope without a frame"},
    [INSPECT_FORM_DOCUMENT] = {"document", "a bare MessagePack document, as in interop mode"},
    [INSPECT_FORM_JSON] = {"json", "JSON text"},
    [INSPECT_FORM_TEXT] = {"text", "plain text"},
    [INSPECT_FORM_BYTES] = {"bytes", "bytes of no known form"},
};

/* Text as a person would call it; colours of a terminal are text too. */
static bool is_text(ckit_slice bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t byte = bytes.ptr[i];
        if ((byte < 0x20 && (byte < '\b' || byte > '\r') && byte != 0x1b) || byte == 0x7f) {
            return false;
        }
    }
    return ckit_utf8_valid(bytes);
}

/* Two letters may be the rest of a frame or a text; they count as the first. */
static bool is_frame(ckit_slice bytes) {
    return bytes.len >= 2 && memcmp(bytes.ptr, "CK", 2) == 0 && (bytes.len == 2 || !is_text(bytes));
}

static bool is_legacy_frame(ckit_slice text) {
    ckit_frame  frame;
    ckit_buf    scratch = CKIT_BUF_INIT;
    ckit_status st = ckit_frame_parse(text, &frame, &scratch, NULL);
    ckit_buf_fini(&scratch);
    return st == CKIT_OK || cli_stored_was_legacy_frame(text);
}

static bool is_json(ckit_slice text) { return cli_document_from_json(text, NULL, NULL) == CKIT_OK; }

/* A document or the torso of one. Any bytes that begin like an array could be meant, so only a whole array counts, and
 * a map whose first member has a name. */
static bool is_document(ckit_slice bytes) {
    ckit_reader r;
    uint8_t     first = bytes.ptr[0];
    ckit_status st = ckit_document_check(bytes, NULL);
    if (first < 0x80) {
        return false;
    }
    if (st == CKIT_OK) {
        return true;
    }
    ckit_reader_init(&r, bytes);
    ckit_type type = ckit_reader_peek(&r);
    if (st == CKIT_E_TRAILING) {
        return (type == CKIT_TYPE_MAP || type == CKIT_TYPE_ARRAY) && first != 0x80 && first != 0x90;
    }
    if (type != CKIT_TYPE_MAP) {
        return false;
    }
    (void)ckit_read_map(&r);
    ckit_slice name = ckit_read_str(&r);
    return name.len > 0 && is_text(name);
}

static inspect_form form_of(ckit_slice bytes) {
    if (bytes.len == 0) {
        return INSPECT_FORM_EMPTY;
    }
    if (is_frame(bytes)) {
        return INSPECT_FORM_FRAME;
    }
    if (cli_stored_was_envelope(bytes)) {
        return INSPECT_FORM_ENVELOPE;
    }
    if (is_document(bytes)) {
        return INSPECT_FORM_DOCUMENT;
    }
    if (!is_text(bytes)) {
        return INSPECT_FORM_BYTES;
    }
    return is_legacy_frame(bytes) ? INSPECT_FORM_LEGACY_FRAME : is_json(bytes) ? INSPECT_FORM_JSON : INSPECT_FORM_TEXT;
}

/* ---- the report --------------------------------------------------------------------------------------------- */

static void inspect_plain_text(inspect_report *report, const inspect_part *value) {
    ckit_error err = CKIT_ERROR_INIT;
    uint8_t    first = value->bytes.ptr[0];
    inspect_text(report, value);
    if ((first == '{' || first == '[') && cli_document_from_json(value->bytes, NULL, &err) == CKIT_E_MISUSE) {
        size_t at = inspect_error_offset(&err, value->bytes);
        inspect_note(report, "it begins like JSON and is %s, at byte %zu", err.text, at == INSPECT_NOWHERE ? 0 : at);
    }
    if (value->bytes.len > 2 && memcmp(value->bytes.ptr, "CK", 2) == 0) {
        inspect_note(report, "it begins like a frame: readers that expect one take it for a damaged one");
    }
}

static void inspect_unknown(inspect_report *report, const inspect_part *value) {
    ckit_error err = CKIT_ERROR_INIT;
    inspect_bytes(report, value);
    report->verdict = report->verdict == INSPECT_DAMAGED ? INSPECT_DAMAGED : INSPECT_UNKNOWN;
    if (value->bytes.ptr[0] >= 0x80 && ckit_document_check(value->bytes, &err) != CKIT_OK) {
        size_t at = inspect_error_offset(&err, value->bytes);
        inspect_note(report, "read as MessagePack it fails at byte %zu: %s", at == INSPECT_NOWHERE ? 0 : at, err.text);
    }
    inspect_note(report, "an encrypted value of interop mode looks like this too: get opens it with its key");
}

inspect_form inspect_tell_form(inspect_report *report, ckit_slice value) {
    inspect_form            form = form_of(value);
    const struct form_name *name = &form_names[form];
    inspect_fact(report, "form", cli_json_text(name->name), "%s", name->text);
    return form;
}

void inspect_value(inspect_report *report, const inspect_part *value, inspect_form form) {
    switch (form) {
    case INSPECT_FORM_FRAME:
    case INSPECT_FORM_LEGACY_FRAME: inspect_frame(report, value); break;
    case INSPECT_FORM_ENVELOPE: inspect_envelope(report, value); break;
    case INSPECT_FORM_DOCUMENT: inspect_document(report, value); break;
    case INSPECT_FORM_JSON: inspect_json(report, value); break;
    case INSPECT_FORM_TEXT: inspect_plain_text(report, value); break;
    case INSPECT_FORM_EMPTY: inspect_bytes(report, value); break;
    case INSPECT_FORM_BYTES: inspect_unknown(report, value); break;
    }
}
