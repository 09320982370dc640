/* format/interop_value.c - values of interop mode: made canonical, examined, and read as other SDKs wrote them. */
#include "base/misuse.h"
#include "format/interop_canonical.h"
#include "format/marked.h"
#include "format/msgpack_code.h"

/* ---- examining ------------------------------------------------------------------------------------------- */

/* What is asked for, the widest first. */
typedef enum demand {
    DEMAND_READABLE, /* the keys of maps are text or bytes */
    DEMAND_VALUE,    /* canonical, as values are */
    DEMAND_ARGUMENTS /* canonical, as arguments are */
} demand;

/* A container around the next value. */
typedef struct level {
    uint64_t   left;
    bool       is_map;
    ckit_slice before; /* the last key of a map; NULL: none yet */
} level;

typedef struct examination {
    ckit_reader r;
    demand      wanted;
    ckit_status status; /* the first failure that is not the reader's */
    const char *why;
    size_t      at; /* where the value begins that was read last */
    uint32_t    depth;
    level       levels[CKIT_MSGPACK_MAX_DEPTH];
} examination;

static void outside(examination *e, const char *why) {
    e->status = e->wanted == DEMAND_READABLE ? CKIT_E_DECODE : CKIT_E_VALUE_TYPE;
    e->why = why;
}

static void otherwise(examination *e, const char *why) {
    if (e->wanted != DEMAND_READABLE) {
        e->status = CKIT_E_DECODE;
        e->why = why;
    }
}

static level *key_of(examination *e) {
    level *l = e->depth > 0 ? &e->levels[e->depth - 1] : NULL;
    return l != NULL && l->is_map && l->left % 2 == 0 ? l : NULL;
}

/* Keys come in the order of their bytes. */
static void examine_key(examination *e, level *map, ckit_slice key) {
    const ckit_slice before = map->before;
    map->before = key;
    if (before.ptr == NULL || e->wanted == DEMAND_READABLE) {
        return;
    }
    int order = memcmp(before.ptr, key.ptr, before.len < key.len ? before.len : key.len);
    order = order != 0 ? order : (before.len > key.len) - (before.len < key.len);
    if (order == 0) {
        outside(e, "two keys of a map are equal");
    } else if (order > 0) {
        otherwise(e, "the keys of a map are not sorted");
    }
}

static bool may_be_integer(double value) {
    return value >= -9223372036854775808.0 && value < 18446744073709551616.0 &&
           (value < 0 ? (double)(int64_t)value <= value : (double)(uint64_t)value >= value);
}

static void examine_double(examination *e, double value, size_t size) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (e->wanted == DEMAND_READABLE) {
        return;
    }
    if ((bits >> 52 & 0x7ff) == 0x7ff) {
        outside(e, (bits << 12) != 0 ? "a float that is not a number (NaN)" : "an infinite float");
    } else if (size != CKITI_MSGPACK_HEAD) {
        otherwise(e, "a float of 32 bits");
    } else if (e->wanted == DEMAND_ARGUMENTS && may_be_integer(value)) {
        otherwise(e, "a float that is an integer");
    }
}

static void enter(examination *e, uint32_t count, bool is_map) {
    if (count > 0) {
        e->levels[e->depth++] = (level){is_map ? 2 * (uint64_t)count : count, is_map, {NULL, 0}};
    }
}

/* A value is complete, and with it perhaps the containers that it was the last of. */
static void leave(examination *e) {
    while (e->depth > 0 && --e->levels[e->depth - 1].left == 0) {
        e->depth--;
    }
}

/* Reads a plain value or the head of a container; says whether values follow that belong to it. */
static bool examine_token(examination *e) {
    uint8_t         head[CKITI_MSGPACK_HEAD];
    size_t          shortest = 1, payload = 0;
    uint32_t        count = 0;
    ckit_slice      bytes = {NULL, 0};
    ckit_reader    *r = &e->r;
    const uint8_t  *at = r->pos;
    const ckit_type type = ckit_reader_peek(r);
    level          *map = key_of(e);
    e->at = (size_t)(at - r->begin);
    switch (type) {
    case CKIT_TYPE_BOOL: (void)ckit_read_bool(r); break;
    case CKIT_TYPE_INT: shortest = ckiti_put_int(head, ckit_read_int(r)); break;
    case CKIT_TYPE_UINT: shortest = ckiti_put_uint(head, ckit_read_uint(r)); break;
    case CKIT_TYPE_DOUBLE: {
        const double value = ckit_read_double(r);
        shortest = (size_t)(r->pos - at);
        examine_double(e, value, shortest);
        break;
    }
    case CKIT_TYPE_STR:
        bytes = ckit_read_str(r);
        payload = bytes.len;
        shortest = ckiti_put_str_head(head, (uint32_t)payload);
        break;
    case CKIT_TYPE_BIN:
        bytes = ckit_read_bin(r);
        payload = bytes.len;
        shortest = ckiti_put_bin_head(head, (uint32_t)payload);
        break;
    case CKIT_TYPE_ARRAY: shortest = ckiti_put_array_head(head, count = ckit_read_array(r)); break;
    case CKIT_TYPE_MAP: shortest = ckiti_put_map_head(head, count = ckit_read_map(r)); break;
    case CKIT_TYPE_EXT:
        if (e->wanted != DEMAND_READABLE) {
            outside(e, "an extension type");
            return false;
        }
        ckit_read_nil(r);
        break;
    default: ckit_read_nil(r); break;
    }
    if (r->status != CKIT_OK || e->status != CKIT_OK) {
        return false;
    }
    if (map != NULL && type != CKIT_TYPE_STR && (type != CKIT_TYPE_BIN || e->wanted != DEMAND_READABLE)) {
        outside(e, e->wanted == DEMAND_READABLE ? "the key of a map is neither text nor bytes"
                                                : "the key of a map is not text");
    } else if ((size_t)(r->pos - at) - payload != shortest) {
        otherwise(e, "an encoding that is longer than needed");
    } else if (type == CKIT_TYPE_UINT && memcmp(at, head, shortest) != 0) {
        otherwise(e, "a signed encoding of an integer that is not below zero");
    } else if (map != NULL) {
        examine_key(e, map, bytes);
    }
    enter(e, count, type == CKIT_TYPE_MAP);
    return count > 0;
}

static ckit_status examine(ckit_slice document, demand wanted, ckit_error *err) {
    examination e;
    ckit_reader_init(&e.r, document);
    e.wanted = wanted;
    e.status = CKIT_OK;
    e.depth = 0;
    do {
        if (!examine_token(&e)) {
            leave(&e);
        }
    } while (e.depth > 0 && e.status == CKIT_OK && e.r.status == CKIT_OK);
    if (e.status != CKIT_OK) {
        return ckit_fail(err, e.status, "interop", "%s, at offset %zu of %zu", e.why, e.at, document.len);
    }
    return ckit_reader_finish(&e.r, err);
}

ckit_status ckit_interop_value_check(ckit_slice document, ckit_error *err) {
    return examine(document, DEMAND_VALUE, err);
}

ckit_status ckit_interop_args_check(ckit_slice packed, ckit_error *err) {
    ckit_reader r;
    ckit_reader_init(&r, packed);
    const ckit_type type = ckit_reader_peek(&r);
    if (type != CKIT_TYPE_ARRAY && type != CKIT_TYPE_END && type != CKIT_TYPE_INVALID) {
        return ckit_fail(err, CKIT_E_VALUE_TYPE, "interop", "%s where the array of arguments was expected",
                         ckit_type_name(type));
    }
    return examine(packed, DEMAND_ARGUMENTS, err);
}

ckit_status ckit_interop_value_accept(ckit_slice stored, ckit_error *err) {
    if (stored.len >= 2 && stored.ptr[0] == 'C' && stored.ptr[1] == 'K') {
        return ckit_fail(err, CKIT_E_DECODE, "interop",
                         "a frame (CK) of the automatic mode under an interop key: two modes share this name");
    }
    return examine(stored, DEMAND_READABLE, err);
}

/* ---- making canonical ------------------------------------------------------------------------------------ */

ckit_status ckit_interop_value_normalise(ckit_slice document, ckit_buf *out, ckit_error *err) {
    if (out == NULL) {
        return ckiti_there_is_no(err, "interop", "place for the value");
    }
    if (ckit_interop_value_check(document, NULL) == CKIT_OK) {
        return ckit_buf_append(out, document) == CKIT_OK
                   ? CKIT_OK
                   : ckit_fail(err, CKIT_E_NO_MEMORY, "interop", "no memory for a value of %zu bytes", document.len);
    }
    ckit_interop_args encoder;
    ckit_reader       r;
    const size_t      start = out->len;
    ckiti_interop_begin_value(&encoder, out);
    ckit_reader_init(&r, document);
    ckiti_interop_copy(&encoder, &r);
    if (encoder.status == CKIT_OK) {
        return CKIT_OK;
    }
    out->len = start;
    return ckit_fail(err, encoder.status, "interop", "%s (read to offset %zu of %zu)", encoder.why,
                     (size_t)(r.pos - r.begin), document.len);
}

/* ---- dates and times ------------------------------------------------------------------------------------- */

typedef struct marked {
    ckit_type  type; /* CKIT_TYPE_MAP: none of them */
    ckit_slice text;
} marked;

static void read_member(ckit_reader *r, bool is_true[CKITI_MARKERS], ckit_slice *text) {
    const bool       named = ckit_reader_peek(r) == CKIT_TYPE_STR;
    const ckit_slice name = ckit_read_raw(r);
    const ckit_type  type = ckit_reader_peek(r);
    const ckit_slice value = ckit_read_raw(r);
    if (!named || r->status != CKIT_OK) {
        return;
    }
    ckit_slice name_text, value_text = {NULL, 0};
    (void)ckit_document_str(name, &name_text, NULL);
    for (size_t i = 0; i < CKITI_MARKERS; i++) {
        if (ckit_slice_equal(name_text, ckit_slice_str(ckiti_markers[i].name))) {
            is_true[i] = value.len == 1 && value.ptr[0] == 0xc3;
            return;
        }
    }
    if (ckit_slice_equal(name_text, ckit_slice_str("value"))) {
        *text = type == CKIT_TYPE_STR && ckit_document_str(value, &value_text, NULL) == CKIT_OK
                    ? value_text
                    : ckit_slice_of(NULL, 0);
    }
}

/* Reads the map that comes next. Of members with the same name the last one counts. */
static marked read_marked(ckit_reader *r) {
    marked map = {CKIT_TYPE_MAP, {NULL, 0}};
    bool   is_true[CKITI_MARKERS] = {false};
    for (uint32_t pairs = ckit_read_map(r); pairs > 0 && r->status == CKIT_OK; pairs--) {
        read_member(r, is_true, &map.text);
    }
    for (size_t i = 0; i < CKITI_MARKERS && map.type == CKIT_TYPE_MAP && map.text.ptr != NULL; i++) {
        map.type = is_true[i] ? ckiti_markers[i].type : map.type;
    }
    return map;
}

/* The map that comes next, and the reader behind it; where it is no temporal value, or none that can be read, the
 * reader stays and has not failed. */
static marked take_marked(ckit_reader *r) {
    if (ckit_reader_peek(r) != CKIT_TYPE_MAP) {
        return (marked){ckit_reader_peek(r), {NULL, 0}};
    }
    const ckiti_place_read place = ckiti_reader_place(r);
    marked                 map = read_marked(r);
    if (r->status != CKIT_OK) {
        map.type = CKIT_TYPE_MAP;
    }
    if (map.type == CKIT_TYPE_MAP) {
        ckiti_reader_back(r, place);
    }
    return map;
}

ckit_type ckit_interop_peek(ckit_reader *r) {
    const uint8_t  *pos = r->pos;
    const uint32_t  depth = r->depth;
    const uint64_t  left = r->left;
    const ckit_type type = take_marked(r).type;
    r->pos = pos;
    r->depth = depth;
    r->left = left;
    return type;
}

/* The text of the value that comes next, without a "z" at its end; false after a failure. */
static bool read_temporal(ckit_reader *r, ckit_type wanted, ckit_slice *text, bool *utc) {
    const uint8_t  *at = r->pos;
    const ckit_type type = ckit_interop_peek(r);
    if (type != wanted) {
        ckit_read_skip(r); /* what cannot be read is told as that */
        r->pos = r->status == CKIT_OK ? at : r->pos;
        ckiti_reader_fail_type(r, wanted, type);
        return false;
    }
    *text = take_marked(r).text;
    *utc = text->len > 0 && text->ptr[text->len - 1] == 'z';
    text->len -= *utc ? 1 : 0;
    return true;
}

#define DATE_LENGTH 10 /* "2025-11-14": an offset stands behind a time of day */

void ckit_interop_read_datetime(ckit_reader *r, ckit_datetime *out) {
    ckit_slice text;
    bool       utc;
    *out = (ckit_datetime){0};
    if (!read_temporal(r, CKIT_TYPE_DATETIME, &text, &utc)) {
        return;
    }
    if (ckit_datetime_parse(text, out, NULL) != CKIT_OK || (utc && (out->has_offset || text.len <= DATE_LENGTH))) {
        *out = (ckit_datetime){0};
        ckit_reader_fail(r, CKIT_E_DECODE, "a datetime that is not ISO 8601");
        return;
    }
    out->has_offset = out->has_offset || utc;
}

void ckit_interop_read_date(ckit_reader *r, ckit_date *out) {
    ckit_slice text;
    bool       utc;
    *out = (ckit_date){0};
    if (read_temporal(r, CKIT_TYPE_DATE, &text, &utc) && (utc || ckit_date_parse(text, out, NULL) != CKIT_OK)) {
        ckit_reader_fail(r, CKIT_E_DECODE, "a date that is not ISO 8601");
    }
}

void ckit_interop_read_time(ckit_reader *r, ckit_time *out) {
    ckit_slice text;
    bool       utc;
    *out = (ckit_time){0};
    if (!read_temporal(r, CKIT_TYPE_TIME, &text, &utc)) {
        return;
    }
    if (ckit_time_parse(text, out, NULL) != CKIT_OK || (utc && out->has_offset)) {
        *out = (ckit_time){0};
        ckit_reader_fail(r, CKIT_E_DECODE, "a time that is not ISO 8601");
        return;
    }
    out->has_offset = out->has_offset || utc;
}
