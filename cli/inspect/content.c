#include "inspect/layers.h"

#include "support/document_json.h"
#include "support/output.h"

#include <cachekit/document.h>
#include <json-c/json.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN_BYTES ((size_t)64 << 10)  /* of JSON or text, without --full */
#define WORKED_BYTES ((size_t)16 << 20) /* larger documents are not turned into JSON without --full */
#define HEAD_BYTES 64                   /* of unknown bytes */

/* ---- offsets in errors -------------------------------------------------------------------------------------- */

static size_t line_offset(ckit_slice input, size_t line) {
    size_t at = 0;
    for (; line > 1 && at < input.len; at++) {
        line -= input.ptr[at] == '\n';
    }
    return at;
}

/* Takes the piece from `from` to `to` out of the error's text. */
static void cut_out(ckit_error *err, char *from, const char *to) {
    while (from > err->text && (from[-1] == ' ' || from[-1] == ',')) {
        from--;
    }
    memmove(from, to, strlen(to) + 1);
}

size_t inspect_error_offset(ckit_error *err, ckit_slice input) {
    char  *at = strstr(err->text, "at offset ");
    char  *end;
    size_t offset;
    if (at != NULL) {
        offset = strtoull(at + strlen("at offset "), &end, 10);
        if (strncmp(end, " of ", 4) == 0) {
            (void)strtoull(end + 4, &end, 10);
        }
        cut_out(err, at, end);
        return offset <= input.len ? offset : INSPECT_NOWHERE;
    }
    at = strstr(err->text, "at line ");
    if (at == NULL) {
        return INSPECT_NOWHERE;
    }
    offset = line_offset(input, strtoull(at + strlen("at line "), &end, 10));
    if (strncmp(end, ", byte ", 7) == 0) {
        offset += strtoull(end + 7, &end, 10) - 1;
    }
    cut_out(err, at, end);
    return offset <= input.len ? offset : INSPECT_NOWHERE;
}

/* ---- JSON and text ------------------------------------------------------------------------------------------ */

/* A value of the report's JSON that is the given text. */
static json_object *json_of_text(ckit_slice text) {
    json_object *value = cli_json_object();
    char        *copy = malloc(text.len + 1);
    if (copy == NULL) {
        cli_out_of_memory();
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    json_object_set_serializer(value, json_object_userdata_to_json_string, copy, json_object_free_userdata);
    return value;
}

/* The first SHOWN_BYTES, up to the end of a line or at least of a character. */
static ckit_slice cut(const inspect_report *report, ckit_slice text) {
    if (report->full || text.len <= SHOWN_BYTES) {
        return text;
    }
    size_t len = SHOWN_BYTES;
    while (len > SHOWN_BYTES / 2 && text.ptr[len - 1] != '\n') {
        len--;
    }
    if (text.ptr[len - 1] != '\n') {
        len = SHOWN_BYTES;
        while ((text.ptr[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    return ckit_slice_of(text.ptr, len);
}

static void tell_cut(inspect_report *report, size_t shown, size_t len) {
    if (shown < len) {
        inspect_note(report, "only %zu of %zu bytes are shown: --full shows all", report->json ? 0 : shown, len);
    }
}

static void show_json(inspect_report *report, ckit_slice document) {
    ckit_error err = CKIT_ERROR_INIT;
    ckit_buf   text = CKIT_BUF_INIT;
    if (document.len > WORKED_BYTES && !report->full) {
        inspect_note(report, "a document of %zu bytes is not shown: --full shows it", document.len);
        return;
    }
    ckit_status st = cli_document_to_json(document, !report->json, &text, &err);
    if (st == CKIT_E_NO_MEMORY) {
        inspect_no_memory(report);
    } else if (st != CKIT_OK) {
        inspect_note(report, "it cannot be shown as JSON: %s", err.text);
    } else {
        ckit_slice shown = cut(report, ckit_buf_slice(&text));
        tell_cut(report, shown.len, text.len);
        if (!report->json) {
            inspect_show(report, shown);
        } else if (shown.len == text.len) {
            inspect_silent_fact(report, "value", json_of_text(shown));
        }
    }
    ckit_buf_fini(&text);
}

void inspect_json(inspect_report *report, const inspect_part *part) {
    ckit_error err = CKIT_ERROR_INIT;
    ckit_buf   document = CKIT_BUF_INIT;
    inspect_layer(report, "json", part);
    ckit_status st = cli_document_from_json(part->bytes, &document, &err);
    if (st == CKIT_OK) {
        show_json(report, ckit_buf_slice(&document));
    } else if (st == CKIT_E_NO_MEMORY) {
        inspect_no_memory(report);
    } else {
        size_t at = inspect_error_offset(&err, part->bytes);
        inspect_damage(report, at, NULL, NULL, "%s", err.text);
    }
    ckit_buf_fini(&document);
}

void inspect_text(inspect_report *report, const inspect_part *part) {
    size_t lines = part->bytes.len > 0 && part->bytes.ptr[part->bytes.len - 1] != '\n';
    for (size_t i = 0; i < part->bytes.len; i++) {
        lines += part->bytes.ptr[i] == '\n';
    }
    inspect_layer(report, "text", part);
    inspect_fact(report, "lines", cli_json_uint(lines), "%zu", lines);
    ckit_slice shown = cut(report, part->bytes);
    tell_cut(report, shown.len, part->bytes.len);
    if (!report->json) {
        inspect_show(report, shown);
    } else if (shown.len == part->bytes.len) {
        inspect_silent_fact(report, "value", cli_json_bytes(shown));
    }
}

void inspect_bytes(inspect_report *report, const inspect_part *part) {
    char   hex[2 * HEAD_BYTES + 1] = "";
    size_t shown = part->bytes.len < HEAD_BYTES ? part->bytes.len : HEAD_BYTES;
    (void)sodium_bin2hex(hex, sizeof hex, part->bytes.ptr, shown);
    inspect_layer(report, "bytes", part);
    inspect_state(report, part->bytes.len == 0 ? "empty" : "unknown");
    inspect_silent_fact(report, "head", cli_json_text(hex));
    inspect_show_hex(report, part, 0, shown);
}

/* ---- documents ---------------------------------------------------------------------------------------------- */

static const char *const kinds[] = {
    [CKIT_TYPE_NIL] = "nil",           [CKIT_TYPE_BOOL] = "boolean", [CKIT_TYPE_INT] = "integer",
    [CKIT_TYPE_UINT] = "integer",      [CKIT_TYPE_DOUBLE] = "float", [CKIT_TYPE_STR] = "text",
    [CKIT_TYPE_BIN] = "bytes",         [CKIT_TYPE_ARRAY] = "array",  [CKIT_TYPE_MAP] = "map",
    [CKIT_TYPE_DATETIME] = "datetime", [CKIT_TYPE_DATE] = "date",    [CKIT_TYPE_TIME] = "time",
};

static void tell_kind(inspect_report *report, ckit_slice document) {
    ckit_reader r;
    char        size[48] = "";
    ckit_reader_init(&r, document);
    ckit_type type = ckit_document_peek(&r);
    uint32_t  count = type == CKIT_TYPE_MAP ? ckit_read_map(&r) : type == CKIT_TYPE_ARRAY ? ckit_read_array(&r) : 0;
    if (type == CKIT_TYPE_MAP || type == CKIT_TYPE_ARRAY) {
        (void)snprintf(size, sizeof size, " of %u %s%s", count, type == CKIT_TYPE_MAP ? "member" : "value",
                       count == 1 ? "" : "s");
    } else if (type == CKIT_TYPE_STR) {
        (void)snprintf(size, sizeof size, ", %zu bytes", ckit_read_str(&r).len);
    } else if (type == CKIT_TYPE_BIN) {
        (void)snprintf(size, sizeof size, ", %zu of them", ckit_read_bin(&r).len);
    }
    const char *kind = (size_t)type < sizeof kinds / sizeof kinds[0] && kinds[type] != NULL ? kinds[type] : "unknown";
    inspect_fact(report, "kind", cli_json_text(kind), "%s%s", kind, size);
    if (ckit_document_find(document, "cachekit.run", &r)) {
        inspect_note(report, "the record of a command that cachekit run has run");
    }
}

void inspect_document(inspect_report *report, const inspect_part *part) {
    ckit_error err = CKIT_ERROR_INIT;
    ckit_slice document = part->bytes;
    inspect_layer(report, "document", part);
    ckit_status st = ckit_document_check(document, &err);
    if (st == CKIT_OK) {
        tell_kind(report, document);
        show_json(report, document);
        return;
    }
    size_t at = inspect_error_offset(&err, document);
    if (st == CKIT_E_TRAILING && at != INSPECT_NOWHERE) {
        char found[48];
        (void)snprintf(found, sizeof found, "%zu bytes more", document.len - at);
        inspect_damage(report, at, "the end", found, "bytes behind the end of the document");
        document.len = at;
        tell_kind(report, document);
        show_json(report, document);
    } else {
        inspect_damage(report, at, NULL, NULL, "the MessagePack document cannot be read on: %s", err.text);
    }
}
