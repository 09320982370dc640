#include "support/document_json.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>
#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct printer {
    ckit_reader *r;
    ckit_buf    *out;
    bool         pretty;
    bool         no_memory;
    bool         in_key; /* what is written becomes the name of a member */
    bool         failed; /* the reader remembers why */
} printer;

static void put(printer *p, ckit_slice text) {
    p->no_memory = p->no_memory || ckit_buf_append(p->out, text) != CKIT_OK;
}

static void put_text(printer *p, const char *text) { put(p, ckit_slice_str(text)); }

/* ---- plain values ------------------------------------------------------------------------------------------- */

static void put_escape(printer *p, unsigned code) {
    static const char short_forms[] = "\b\t\n\f\r\"\\";
    static const char letters[] = "btnfr\"\\";
    const char       *at = code == 0 || code > 0x7f ? NULL : strchr(short_forms, (int)code);
    char              text[8];
    if (at != NULL) {
        (void)snprintf(text, sizeof text, "\\%c", letters[at - short_forms]);
    } else {
        (void)snprintf(text, sizeof text, "\\u%04x", code);
    }
    put_text(p, text);
}

/* `text` is UTF-8. The control characters from U+007F on are no matter for JSON, but for a terminal. */
static void put_string(printer *p, ckit_slice text) {
    size_t plain = 0;
    put_text(p, "\"");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        bool    c1 = byte == 0xc2 && text.ptr[i + 1] < 0xa0;
        if (byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f || c1) {
            put(p, ckit_slice_of(text.ptr + plain, i - plain));
            i += c1;
            put_escape(p, text.ptr[i]);
            plain = i + 1;
        }
    }
    if (plain < text.len) {
        put(p, ckit_slice_of(text.ptr + plain, text.len - plain));
    }
    put_text(p, "\"");
}

static void put_base64(printer *p, ckit_slice bytes) {
    size_t room = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    put_text(p, "\"");
    if (p->no_memory || ckit_buf_reserve(p->out, room) != CKIT_OK) {
        p->no_memory = true;
        return;
    }
    (void)sodium_bin2base64((char *)p->out->ptr + p->out->len, room, bytes.ptr, bytes.len,
                            sodium_base64_VARIANT_ORIGINAL);
    p->out->len += room - 1;
    put_text(p, "\"");
}

static void put_bytes(printer *p, ckit_slice bytes) {
    put_text(p, p->pretty ? "{\"__bytes__\": " : "{\"__bytes__\":");
    put_base64(p, bytes);
    put_text(p, "}");
}

/* The shortest of the usual precisions that reads back as the same number. */
static void put_double(printer *p, double value, const char *quote) {
    char text[40];
    if (isnan(value) || isinf(value)) {
        put_text(p, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text - 2, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    if (strpbrk(text, ".e") == NULL) {
        memcpy(text + strlen(text), ".0", sizeof ".0");
    }
    put_text(p, quote);
    put_text(p, text);
    put_text(p, quote);
}

/* `quote` is empty for a value, and a quotation mark for the key of a map. */
static void put_plain(printer *p, ckit_type type, const char *quote) {
    char text[32] = "null";
    switch (type) {
    case CKIT_TYPE_NIL: ckit_read_nil(p->r); break;
    case CKIT_TYPE_BOOL: (void)snprintf(text, sizeof text, ckit_read_bool(p->r) ? "true" : "false"); break;
    case CKIT_TYPE_INT: (void)snprintf(text, sizeof text, "%" PRId64, ckit_read_int(p->r)); break;
    case CKIT_TYPE_UINT: (void)snprintf(text, sizeof text, "%" PRIu64, ckit_read_uint(p->r)); break;
    case CKIT_TYPE_DOUBLE: put_double(p, ckit_read_double(p->r), quote); return;
    default: /* nothing that can be read, or the reader has failed before */
        ckit_read_skip(p->r);
        p->failed = true;
        return;
    }
    put_text(p, quote);
    put_text(p, text);
    put_text(p, quote);
}

/* ---- arrays and maps ---------------------------------------------------------------------------------------- */

static void put_value(printer *p, int level);

static void put_line(printer *p, int level) {
    if (p->pretty) {
        put_text(p, "\n");
        for (int i = 0; i < level; i++) {
            put_text(p, "  ");
        }
    }
}

/* Only one level of quotes: each more would double the text. */
static void put_compound_key(printer *p) {
    ckit_buf text = CKIT_BUF_INIT;
    printer  inner = {.r = p->r, .out = &text, .in_key = true};
    if (p->in_key) {
        ckit_reader_fail(p->r, CKIT_E_VALUE_TYPE, "an array or a map as the key of a map inside such a key");
        p->failed = true;
        return;
    }
    put_value(&inner, 0);
    p->no_memory = p->no_memory || inner.no_memory;
    p->failed = inner.failed;
    put_string(p, ckit_buf_slice(&text));
    ckit_buf_fini(&text);
}

static void put_key(printer *p) {
    ckit_type type = ckit_reader_peek(p->r);
    if (type == CKIT_TYPE_STR) {
        put_string(p, ckit_read_str(p->r));
    } else if (type == CKIT_TYPE_BIN) {
        ckit_slice bytes = ckit_read_bin(p->r);
        if (ckit_utf8_valid(bytes)) {
            put_string(p, bytes);
        } else {
            put_base64(p, bytes);
        }
    } else if (type == CKIT_TYPE_ARRAY || type == CKIT_TYPE_MAP) {
        put_compound_key(p);
    } else {
        put_plain(p, type, "\"");
    }
    put_text(p, p->pretty ? ": " : ":");
}

static void put_members(printer *p, bool map, int level) {
    uint32_t count = map ? ckit_read_map(p->r) : ckit_read_array(p->r);
    put_text(p, map ? "{" : "[");
    for (uint32_t i = 0; i < count && !p->no_memory && !p->failed; i++) {
        put_text(p, i == 0 ? "" : ",");
        put_line(p, level + 1);
        if (map) {
            put_key(p);
        }
        put_value(p, level + 1);
    }
    if (count > 0) {
        put_line(p, level);
    }
    put_text(p, map ? "}" : "]");
}

/* As deep as the reader goes: CKIT_MSGPACK_MAX_DEPTH. */
static void put_value(printer *p, int level) {
    ckit_type type = ckit_reader_peek(p->r);
    switch (type) {
    case CKIT_TYPE_STR: put_string(p, ckit_read_str(p->r)); break;
    case CKIT_TYPE_BIN: put_bytes(p, ckit_read_bin(p->r)); break;
    case CKIT_TYPE_ARRAY:
    case CKIT_TYPE_MAP: put_members(p, type == CKIT_TYPE_MAP, level); break;
    default: put_plain(p, type, "");
    }
}

ckit_status cli_document_to_json(ckit_slice document, bool pretty, ckit_buf *out, ckit_error *err) {
    ckit_reader r;
    size_t      start = out->len;
    printer     p = {.r = &r, .out = out, .pretty = pretty};
    ckit_reader_init(&r, document);
    put_value(&p, 0);
    ckit_status st = p.no_memory
                         ? ckit_fail(err, CKIT_E_NO_MEMORY, "json", "no memory for the JSON of %zu bytes", document.len)
                         : ckit_reader_finish(&r, err);
    if (st != CKIT_OK) {
        out->len = start;
    }
    return st;
}
