/* format/document.c - temporal values in documents, and documents as a whole. */
#include <cachekit/document.h>

#include "format/marked.h"
#include "format/msgpack_code.h"

const ckiti_marker ckiti_markers[CKITI_MARKERS] = {
    {"__datetime__", CKIT_TYPE_DATETIME},
    {"__date__", CKIT_TYPE_DATE},
    {"__time__", CKIT_TYPE_TIME},
};

/* ---- writing --------------------------------------------------------------------------------------------- */

static void write_marked(ckit_writer *w, const char *marker, const char *text, size_t len) {
    if (len == 0) {
        ckit_writer_fail(w, CKIT_E_VALUE_TYPE, "a date or time out of its ranges");
        return;
    }
    ckit_write_map(w, 2);
    ckit_write_cstr(w, marker);
    ckit_write_bool(w, true);
    ckit_write_cstr(w, "value");
    ckit_write_str(w, ckit_slice_of(text, len));
}

void ckit_write_datetime(ckit_writer *w, const ckit_datetime *value) {
    char text[CKIT_TEMPORAL_TEXT];
    write_marked(w, "__datetime__", text, ckit_datetime_text(value, text));
}

void ckit_write_date(ckit_writer *w, const ckit_date *value) {
    char text[CKIT_TEMPORAL_TEXT];
    write_marked(w, "__date__", text, ckit_date_text(value, text));
}

void ckit_write_time(ckit_writer *w, const ckit_time *value) {
    char text[CKIT_TEMPORAL_TEXT];
    write_marked(w, "__time__", text, ckit_time_text(value, text));
}

/* ---- reading --------------------------------------------------------------------------------------------- */

/* What a map says about itself. */
typedef struct marked {
    ckit_type  type;       /* CKIT_TYPE_MAP: no marker */
    ckit_type  value_type; /* of the "value" member; CKIT_TYPE_END: there is none */
    ckit_slice text;       /* of it, when that is text */
} marked;

/* As Python has it: NaN is true, negative zero is false. */
static bool read_truthy(ckit_reader *r) {
    const ckit_type type = ckit_reader_peek(r);
    bool            truthy = false;
    if (type == CKIT_TYPE_DOUBLE) {
        const double value = ckit_read_double(r);
        return !(value <= 0 && value >= 0);
    }
    if (type != CKIT_TYPE_END && type != CKIT_TYPE_INVALID) {
        const ckiti_head head = ckiti_head_at(r->pos, r->end);
        truthy = type != CKIT_TYPE_NIL && head.number != 0;
        ckit_read_skip(r);
    }
    return truthy;
}

static void read_member(ckit_reader *r, bool truthy[CKITI_MARKERS], marked *map) {
    if (ckit_reader_peek(r) != CKIT_TYPE_STR) {
        ckit_read_skip(r);
        ckit_read_skip(r);
        return;
    }
    const ckit_slice name = ckit_read_str(r);
    for (size_t i = 0; i < CKITI_MARKERS; i++) {
        if (ckit_slice_equal(name, ckit_slice_str(ckiti_markers[i].name))) {
            truthy[i] = read_truthy(r);
            return;
        }
    }
    if (ckit_slice_equal(name, ckit_slice_str("value"))) {
        map->value_type = ckit_reader_peek(r);
        if (map->value_type == CKIT_TYPE_STR) {
            map->text = ckit_read_str(r);
            return;
        }
    }
    ckit_read_skip(r);
}

/* Reads the map that comes next. Of members with the same name the last one counts. */
static marked read_marked(ckit_reader *r) {
    marked         map = {CKIT_TYPE_MAP, CKIT_TYPE_END, {NULL, 0}};
    bool           truthy[CKITI_MARKERS] = {false};
    const uint32_t pairs = ckit_read_map(r);
    for (uint32_t i = 0; i < pairs && r->status == CKIT_OK; i++) {
        read_member(r, truthy, &map);
    }
    for (size_t i = 0; i < CKITI_MARKERS; i++) {
        if (truthy[i]) {
            map.type = ckiti_markers[i].type;
            break;
        }
    }
    return map;
}

ckit_type ckit_document_peek(ckit_reader *r) {
    const ckit_type type = ckit_reader_peek(r);
    if (type != CKIT_TYPE_MAP) {
        return type;
    }
    const ckiti_place_read place = ckiti_reader_place(r);
    const marked           map = read_marked(r);
    const bool             readable = r->status == CKIT_OK;
    ckiti_reader_back(r, place);
    return readable ? map.type : CKIT_TYPE_MAP;
}

/* The text of the temporal value that comes next; false after a failure. */
static bool read_temporal(ckit_reader *r, ckit_type wanted, ckit_slice *text) {
    const uint8_t *at = r->pos;
    marked         map = {ckit_reader_peek(r), CKIT_TYPE_END, {NULL, 0}};
    if (map.type == CKIT_TYPE_MAP) {
        map = read_marked(r);
    } else {
        ckit_read_skip(r);
    }
    if (r->status != CKIT_OK) {
        return false;
    }
    r->pos = map.type == wanted && map.value_type == CKIT_TYPE_STR ? r->pos : at;
    if (map.type != wanted) {
        ckiti_reader_fail_type(r, wanted, map.type);
    } else if (map.value_type != CKIT_TYPE_STR) {
        ckit_reader_fail(r, CKIT_E_DECODE, "a date or time whose value is not text");
    }
    *text = map.text;
    return r->status == CKIT_OK;
}

void ckit_read_datetime(ckit_reader *r, ckit_datetime *out) {
    ckit_slice text;
    *out = (ckit_datetime){0};
    if (read_temporal(r, CKIT_TYPE_DATETIME, &text) && ckit_datetime_parse(text, out, NULL) != CKIT_OK) {
        ckit_reader_fail(r, CKIT_E_DECODE, "a datetime that is not ISO 8601");
    }
}

void ckit_read_date(ckit_reader *r, ckit_date *out) {
    ckit_slice text;
    *out = (ckit_date){0};
    if (read_temporal(r, CKIT_TYPE_DATE, &text) && ckit_date_parse(text, out, NULL) != CKIT_OK) {
        ckit_reader_fail(r, CKIT_E_DECODE, "a date that is not ISO 8601");
    }
}

void ckit_read_time(ckit_reader *r, ckit_time *out) {
    ckit_slice text;
    *out = (ckit_time){0};
    if (read_temporal(r, CKIT_TYPE_TIME, &text) && ckit_time_parse(text, out, NULL) != CKIT_OK) {
        ckit_reader_fail(r, CKIT_E_DECODE, "a time that is not ISO 8601");
    }
}

/* ---- the whole document ---------------------------------------------------------------------------------- */

ckit_status ckit_document_check(ckit_slice document, ckit_error *err) {
    ckit_reader r;
    ckit_reader_init(&r, document);
    ckit_read_skip(&r);
    return ckit_reader_finish(&r, err);
}

#define DOCUMENT_IS(read, type, zero)                                                                                  \
    ckit_reader r;                                                                                                     \
    ckit_reader_init(&r, document);                                                                                    \
    const type        value = read(&r);                                                                                \
    const ckit_status status = ckit_reader_finish(&r, err);                                                            \
    *out = status == CKIT_OK ? value : (zero);                                                                         \
    return status;

ckit_status ckit_document_bool(ckit_slice document, bool *out,
                               ckit_error *err){DOCUMENT_IS(ckit_read_bool, bool, false)}

ckit_status
    ckit_document_int(ckit_slice document, int64_t *out, ckit_error *err){DOCUMENT_IS(ckit_read_int, int64_t, 0)}

ckit_status
    ckit_document_uint(ckit_slice document, uint64_t *out, ckit_error *err){DOCUMENT_IS(ckit_read_uint, uint64_t, 0)}

ckit_status
    ckit_document_double(ckit_slice document, double *out, ckit_error *err){DOCUMENT_IS(ckit_read_double, double, 0.0)}

ckit_status ckit_document_str(ckit_slice document, ckit_slice *out,
                              ckit_error *err){DOCUMENT_IS(ckit_read_str, ckit_slice, ((ckit_slice){NULL, 0}))}

ckit_status ckit_document_bin(ckit_slice document, ckit_slice *out, ckit_error *err) {
    DOCUMENT_IS(ckit_read_bin, ckit_slice, ((ckit_slice){NULL, 0}))
}

bool ckit_document_find(ckit_slice document, const char *name, ckit_reader *r) {
    const ckit_slice wanted = ckit_slice_str(name);
    ckit_reader_init(r, document);
    if (ckit_reader_peek(r) != CKIT_TYPE_MAP) {
        return false;
    }
    for (uint32_t members = ckit_read_map(r); members > 0; members--) {
        bool found = false;
        if (ckit_reader_peek(r) == CKIT_TYPE_STR) {
            found = ckit_slice_equal(ckit_read_str(r), wanted);
        } else {
            ckit_read_skip(r);
        }
        const ckit_slice value = ckit_read_raw(r);
        if (found) {
            ckit_reader_init(r, value);
            return value.len > 0;
        }
        if (value.len == 0) {
            break;
        }
    }
    return false;
}
