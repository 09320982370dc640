#include "inspect/report.h"

#include "support/output.h"

#include <cachekit/msgpack.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>

#define LABEL 20 /* columns */
#define HEX_LINE 16

inspect_part inspect_sub(const inspect_part *part, size_t from, size_t len) {
    inspect_part sub = *part;
    sub.bytes = ckit_slice_of(len == 0 ? NULL : part->bytes.ptr + from, len);
    if (part->base != INSPECT_NOWHERE) {
        sub.base = part->base + from;
    } else if (from > 0) {
        sub.origin = NULL; /* it counts from the part's own beginning */
    }
    return sub;
}

/* ---- text for people ---------------------------------------------------------------------------------------- */

static const char *coloured(const inspect_report *report, const char *state) {
    if (!report->colours) {
        return "";
    }
    return strcmp(state, "damaged") == 0 ? "\033[31m" : strcmp(state, "ok") == 0 ? "\033[32m" : "\033[33m";
}

static void add(inspect_report *report, const char *text, size_t len) {
    if (ckit_buf_append(&report->rows, ckit_slice_of(text, len)) != CKIT_OK) {
        inspect_no_memory(report);
    }
}

static void add_row(inspect_report *report, int indent, const char *label, const char *text) {
    char line[INSPECT_TEXT + 128];
    int  len = snprintf(line, sizeof line, "%*s%-*s %s\n", indent, "", LABEL - indent, label, text);
    if (len > 0 && !report->json) {
        add(report, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
    }
}

static void print_rows(inspect_report *report) {
    cli_write(ckit_buf_slice(&report->rows));
    report->rows.len = 0;
}

/* How many bytes at this place make a character; `*plain` tells whether it can be shown as it is. */
static size_t next_length(ckit_slice text, bool utf8, size_t at, bool *plain) {
    size_t bytes = 1;
    if (!utf8 && text.ptr[at] >= 0x80) {
        *plain = false;
    } else if (text.ptr[at] < 0x80) {
        *plain = text.ptr[at] >= 0x20 && text.ptr[at] != 0x7f;
    } else {
        *plain = cli_showable_at(text, at, &bytes);
    }
    return bytes;
}

static int escape(char *out, size_t size, const uint8_t *bytes, size_t len) {
    int used = 0;
    for (size_t i = 0; i < len; i++) {
        used += snprintf(out + used, size - (size_t)used, "\\x%02x", bytes[i]);
    }
    return used;
}

const char *inspect_quoted(ckit_slice bytes, char text[INSPECT_TEXT]) {
    bool   utf8 = ckit_utf8_valid(bytes);
    size_t used = 0, at = 0;
    text[used++] = '"';
    while (at < bytes.len && used < 200) {
        bool   plain;
        size_t len = next_length(bytes, utf8, at, &plain);
        if (plain && bytes.ptr[at] != '\\' && bytes.ptr[at] != '"') {
            memcpy(text + used, bytes.ptr + at, len);
            used += len;
        } else {
            used += (size_t)escape(text + used, INSPECT_TEXT - used, bytes.ptr + at, len);
        }
        at += len;
    }
    (void)snprintf(text + used, INSPECT_TEXT - used, at < bytes.len ? "\" and %zu bytes more" : "\"", bytes.len - at);
    return text;
}

void inspect_show(inspect_report *report, ckit_slice text) {
    bool utf8 = ckit_utf8_valid(text);
    bool fresh = true;
    for (size_t at = 0, len; at < text.len && !report->json && report->failure == 0; at += len) {
        bool plain;
        char escaped[24];
        len = next_length(text, utf8, at, &plain);
        if (fresh) {
            add(report, "    ", 4);
        }
        fresh = text.ptr[at] == '\n';
        if (plain || fresh || text.ptr[at] == '\t') {
            add(report, (const char *)text.ptr + at, len);
        } else {
            add(report, escaped, (size_t)escape(escaped, sizeof escaped, text.ptr + at, len));
        }
    }
    if (!fresh && !report->json) {
        add(report, "\n", 1);
    }
}

void inspect_show_hex(inspect_report *report, const inspect_part *part, size_t from, size_t len) {
    size_t end = part->bytes.len - from < len ? part->bytes.len : from + len;
    for (size_t at = from; at < end && !report->json; at += HEX_LINE) {
        char line[160];
        int  used = snprintf(line, sizeof line, "    %08zx ", part->base == INSPECT_NOWHERE ? at : part->base + at);
        for (size_t i = 0; i < HEX_LINE; i++) {
            char digits[4] = "  ";
            if (at + i < end) {
                (void)snprintf(digits, sizeof digits, "%02x", part->bytes.ptr[at + i]);
            }
            used += snprintf(line + used, sizeof line - (size_t)used, "%s%s", i % 8 == 0 ? "  " : " ", digits);
        }
        used += snprintf(line + used, sizeof line - (size_t)used, "  ");
        for (size_t i = at; i < end && i < at + HEX_LINE; i++) {
            bool shown = part->bytes.ptr[i] >= 0x20 && part->bytes.ptr[i] < 0x7f;
            used += snprintf(line + used, sizeof line - (size_t)used, "%c", shown ? part->bytes.ptr[i] : '.');
        }
        line[used++] = '\n';
        add(report, line, (size_t)used);
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static json_object *offset_json(size_t at) { return at == INSPECT_NOWHERE ? NULL : cli_json_uint(at); }

static json_object *place(inspect_report *report) { return report->layer != NULL ? report->layer : report->root; }

static void add_note(json_object *to, const char *text) {
    json_object *notes = NULL;
    if (!json_object_object_get_ex(to, "notes", &notes)) {
        notes = cli_json_array();
        cli_json_add(to, "notes", notes);
    }
    cli_json_append(notes, cli_json_text(text));
}

/* ---- layers ------------------------------------------------------------------------------------------------- */

static void end_layer(inspect_report *report) {
    if (report->layer == NULL) {
        if (!report->json) {
            print_rows(report);
        }
        return;
    }
    cli_json_add(report->layer, "state", cli_json_text(report->state));
    if (!report->json) {
        const inspect_part *part = &report->part;
        const char         *colour = coloured(report, report->state);
        cli_print("\n%-*s %s%s%s, %zu byte%s", LABEL, report->layer_name, colour, report->state,
                  *colour == '\0' ? "" : "\033[0m", part->bytes.len, part->bytes.len == 1 ? "" : "s");
        if (part->base == INSPECT_NOWHERE) {
            cli_print(", unpacked\n");
        } else {
            cli_print(" at offset %zu\n", part->base);
        }
        print_rows(report);
    }
    report->layer = NULL;
}

void inspect_layer(inspect_report *report, const char *name, const inspect_part *part) {
    end_layer(report);
    report->layer = cli_json_object();
    report->layer_name = name;
    report->part = *part;
    report->state = "ok";
    cli_json_add(report->layer, "layer", cli_json_text(name));
    cli_json_add(report->layer, "offset", offset_json(part->base));
    cli_json_add(report->layer, "size", cli_json_uint(part->bytes.len));
    cli_json_append(report->layers, report->layer);
}

void inspect_state(inspect_report *report, const char *state) { report->state = state; }

void inspect_fact(inspect_report *report, const char *name, json_object *value, const char *format, ...) {
    char    text[INSPECT_TEXT], label[32];
    va_list values;
    size_t  i = 0;
    for (; name[i] != '\0' && i + 1 < sizeof label; i++) {
        label[i] = name[i];
        if (name[i] == '_') {
            label[i] = ' ';
        }
    }
    label[i] = '\0';
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    cli_json_add(place(report), name, value);
    add_row(report, report->layer == NULL ? 0 : 2, label, text);
}

void inspect_silent_fact(inspect_report *report, const char *name, json_object *value) {
    cli_json_add(place(report), name, value);
}

void inspect_note(inspect_report *report, const char *format, ...) {
    char    text[INSPECT_TEXT];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    add_note(place(report), text);
    add_row(report, report->layer == NULL ? 0 : 2, "note", text);
}

static size_t origin_of(const inspect_part *part, size_t at) {
    if (at == INSPECT_NOWHERE) {
        return INSPECT_NOWHERE;
    }
    if (part->base != INSPECT_NOWHERE) {
        return part->base + at;
    }
    return part->origin == NULL ? INSPECT_NOWHERE : part->origin(part->context, at);
}

/* The line of the whole that holds the byte. */
static void show_around(inspect_report *report, size_t at) {
    inspect_part whole = {report->whole, 0, NULL, NULL};
    size_t       from = at - at % HEX_LINE;
    if (at <= whole.bytes.len && from < whole.bytes.len) {
        inspect_show_hex(report, &whole, from, HEX_LINE);
    }
}

static void damage_rows(inspect_report *report, size_t at, size_t origin, const char *text) {
    char line[INSPECT_TEXT + 96], from[48] = "";
    bool unpacked = report->part.base == INSPECT_NOWHERE;
    if (at == INSPECT_NOWHERE) {
        (void)snprintf(line, sizeof line, "%s", text);
    } else {
        if (unpacked && origin != INSPECT_NOWHERE) {
            (void)snprintf(from, sizeof from, ", made from byte %zu", origin);
        }
        (void)snprintf(line, sizeof line, "at byte %zu%s%s: %s", unpacked ? at : origin,
                       unpacked ? " of the unpacked ones" : "", from, text);
    }
    add_row(report, 2, "damaged", line);
}

void inspect_damage(inspect_report *report, size_t at, const char *expected, const char *found, const char *format,
                    ...) {
    char    text[INSPECT_TEXT];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    size_t       origin = origin_of(&report->part, at);
    json_object *entry = cli_json_object();
    cli_json_add(entry, "layer", cli_json_text(report->layer_name));
    cli_json_add(entry, "offset", offset_json(origin));
    cli_json_add(entry, "offset_in_layer", offset_json(at));
    cli_json_add(entry, "problem", cli_json_text(text));
    cli_json_add(entry, "expected", expected == NULL ? NULL : cli_json_text(expected));
    cli_json_add(entry, "found", found == NULL ? NULL : cli_json_text(found));
    cli_json_append(report->damage, entry);
    report->verdict = INSPECT_DAMAGED;
    report->state = "damaged";
    damage_rows(report, at, origin, text);
    if (expected != NULL) {
        add_row(report, 4, "expected", expected);
    }
    if (found != NULL) {
        add_row(report, 4, "found", found);
    }
    if (origin != INSPECT_NOWHERE) {
        show_around(report, origin);
    }
}

void inspect_checksum(inspect_report *report, size_t at, uint64_t stored, uint64_t computed) {
    char expected[24], found[24];
    (void)snprintf(expected, sizeof expected, "%016" PRIx64, computed);
    (void)snprintf(found, sizeof found, "%016" PRIx64, stored);
    inspect_fact(report, "checksum", cli_json_text(found), "%s, stored", found);
    inspect_fact(report, "computed_checksum", cli_json_text(expected), "%s, %s", expected,
                 stored == computed ? "matches" : "DOES NOT MATCH");
    inspect_silent_fact(report, "checksum_matches", cli_json_bool(stored == computed));
    if (stored != computed) {
        inspect_damage(report, at, expected, found,
                       "the stored checksum is not the content's: one of them has changed since it was written");
    }
}

void inspect_no_memory(inspect_report *report) {
    if (report->failure == 0) {
        report->failure = cli_no_memory();
    }
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

void inspect_begin(inspect_report *report, bool json, bool full) {
    *report =
        (inspect_report){.json = json, .full = full, .absent = "there is no such entry", .colours = cli_colours()};
    report->root = cli_json_object();
    report->layers = cli_json_array();
    report->damage = cli_json_array();
}

static const char *const verdict_names[] = {"readable", "sealed", "unknown", "absent", "damaged"};

static void print_verdict(const inspect_report *report) {
    static const char *const texts[] = {
        "readable",
        "sealed: it is encrypted; cachekit get opens it with the key",
        "not a form of CacheKit's: bytes as some program stored them",
        "absent: ",
        "damaged: ",
    };
    const char *colour = coloured(report, report->verdict == INSPECT_READABLE ? "ok" : verdict_names[report->verdict]);
    size_t      places = json_object_array_length(report->damage);
    cli_print("\n%s%s%s", colour, texts[report->verdict], *colour == '\0' ? "" : "\033[0m");
    if (report->verdict == INSPECT_DAMAGED) {
        cli_print("%zu place%s, see above", places, places == 1 ? "" : "s");
    }
    if (report->verdict == INSPECT_ABSENT) {
        cli_print("%s", report->absent);
    }
    cli_print(report->expired ? "; and it has expired: for every reader it is absent\n" : "\n");
}

int inspect_end(inspect_report *report) {
    end_layer(report);
    int code = report->failure;
    if (code == 0) {
        code = report->verdict == INSPECT_DAMAGED  ? CLI_FAILED
               : report->verdict == INSPECT_ABSENT ? CLI_ABSENT
                                                   : CLI_DONE;
        cli_json_add(report->root, "layers", json_object_get(report->layers));
        cli_json_add(report->root, "damage", json_object_get(report->damage));
        cli_json_add(report->root, "verdict", cli_json_text(verdict_names[report->verdict]));
        if (report->json) {
            cli_print_json(json_object_get(report->root));
        } else {
            print_verdict(report);
        }
    }
    return code;
}

void inspect_report_free(inspect_report *report) {
    json_object_put(report->root);
    json_object_put(report->layers);
    json_object_put(report->damage);
    ckit_buf_fini(&report->rows);
}
