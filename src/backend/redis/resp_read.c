#include "resp.h"

#include "base/alloc.h"

#include <string.h>

#define LINE_MAX_BYTES (CKITI_RESP_BUFFER_BYTES / 2)

ckit_status ckiti_resp_reader_init(ckiti_resp_reader *r, const ckit_alloc *alloc) {
    memset(r, 0, sizeof *r);
    r->alloc = alloc;
    r->cap = CKITI_RESP_BUFFER_BYTES;
    r->buffer = ckiti_alloc(alloc, r->cap);
    return r->buffer == NULL ? CKIT_E_NO_MEMORY : CKIT_OK;
}

void ckiti_resp_reader_fini(ckiti_resp_reader *r) {
    if (r != NULL) {
        ckiti_free(r->alloc, r->buffer, r->cap);
        r->buffer = NULL;
    }
}

void ckiti_resp_reader_reset(ckiti_resp_reader *r) {
    uint8_t          *buffer = r->buffer;
    size_t            cap = r->cap;
    const ckit_alloc *alloc = r->alloc;
    memset(r, 0, sizeof *r);
    r->buffer = buffer;
    r->cap = cap;
    r->alloc = alloc;
}

/* ---- feeding --------------------------------------------------------------------------------------------------- */

int ckiti_resp_room(ckiti_resp_reader *r, struct iovec parts[2]) {
    int count = 0;
    if (r->start == r->end) {
        r->start = r->end = r->scanned = 0;
    } else if (r->cap - r->end < r->cap / 4) {
        memmove(r->buffer, r->buffer + r->start, r->end - r->start);
        r->end -= r->start;
        r->scanned -= r->scanned < r->start ? r->scanned : r->start;
        r->start = 0;
    }
    /* Bytes of the body that are buffered already go first: then the buffer is not empty and they are moved by next. */
    if (r->body && r->placed && r->into != NULL && r->start == r->end && r->body_left > 0) {
        parts[count++] = (struct iovec){r->into, (size_t)r->body_left};
    }
    parts[count++] = (struct iovec){r->buffer + r->end, r->cap - r->end};
    return count;
}

void ckiti_resp_fed(ckiti_resp_reader *r, size_t bytes) {
    if (r->body && r->placed && r->into != NULL && r->start == r->end && r->body_left > 0) {
        size_t direct = bytes < r->body_left ? bytes : (size_t)r->body_left;
        r->into += direct;
        r->body_left -= direct;
        bytes -= direct;
    }
    r->end += bytes;
}

void ckiti_resp_into(ckiti_resp_reader *r, uint8_t *into) {
    r->into = into;
    r->placed = true;
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

static ckiti_resp_result bad(ckiti_resp_reader *r, const char *why) {
    r->why = why;
    return CKITI_RESP_BAD;
}

/* The line at the start without its end; false when it is not complete. Sets `why` when it cannot become one. */
static bool take_line(ckiti_resp_reader *r, ckit_slice *line) {
    size_t from = r->scanned > r->start ? r->scanned : r->start;
    while (from < r->end) {
        const uint8_t *at = memchr(r->buffer + from, '\r', r->end - from);
        if (at == NULL) {
            from = r->end;
            break;
        }
        from = (size_t)(at - r->buffer);
        if (from + 1 == r->end) {
            break;
        }
        if (r->buffer[from + 1] != '\n') {
            r->why = "a line with a carriage return inside";
            return false;
        }
        if (from - r->start > LINE_MAX_BYTES) {
            break;
        }
        *line = ckit_slice_of(r->buffer + r->start, from - r->start);
        r->start = from + 2;
        return true;
    }
    r->scanned = from;
    if (r->end - r->start > LINE_MAX_BYTES) {
        r->why = "a line without end";
    }
    return false;
}

/* A whole number; false when it is none or does not fit. */
static bool parse_integer(ckit_slice text, int64_t *out) {
    size_t   i = 0;
    bool     negative = false;
    uint64_t value = 0;
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        negative = text.ptr[0] == '-';
        i = 1;
    }
    if (i == text.len || text.len - i > 19) {
        return false;
    }
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)text.ptr[i] - '0';
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit; /* 19 digits fit */
    }
    if (value > (uint64_t)INT64_MAX + (negative ? 1u : 0u)) {
        return false;
    }
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static bool only(ckit_slice text, const char *allowed) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\0' || strchr(allowed, text.ptr[i]) == NULL) {
            return false;
        }
    }
    return text.len > 0;
}

/* ---- structure -------------------------------------------------------------------------------------------------- */

/* One element is complete: closes what is complete with it. True when that is the whole reply. */
static bool element_done(ckiti_resp_reader *r) {
    while (r->depth > 0) {
        ckiti_resp_frame *frame = &r->frames[r->depth - 1];
        if (--frame->left > 0) {
            return false;
        }
        r->depth--;
        if (frame->attribute) { /* what it is about still comes */
            r->attributes--;
            return false;
        }
    }
    r->elements = 0;
    return true;
}

/* An item is there; inside an attribute nobody sees it. */
static bool show(ckiti_resp_reader *r, ckiti_resp_item *item) {
    bool hidden = r->attributes > 0;
    item->depth = r->depth;
    item->push = r->push;
    item->ends = element_done(r);
    if (item->ends) {
        r->push = false;
    }
    return !hidden;
}

static ckiti_resp_result open_aggregate(ckiti_resp_reader *r, ckiti_resp_item *item, char mark, int64_t count,
                                        bool *shown) {
    bool pairs = mark == '%' || mark == '|';
    bool attribute = mark == '|';
    if (count < 0 || (uint64_t)count > CKITI_RESP_MAX_ELEMENTS / (pairs ? 2 : 1) ||
        (r->elements += (uint64_t)count * (pairs ? 2 : 1)) > CKITI_RESP_MAX_ELEMENTS) {
        return bad(r, "an aggregate with too many elements");
    }
    if (mark == '>' && (r->depth > 0 || count == 0)) {
        return bad(r, "a push message in a wrong place");
    }
    uint64_t items = (uint64_t)count * (pairs ? 2 : 1);
    item->type = mark == '~' ? CKITI_RESP_SET : mark == '%' ? CKITI_RESP_MAP : CKITI_RESP_ARRAY;
    item->integer = (int64_t)items;
    r->push = r->push || mark == '>';
    if (items == 0) {
        *shown = !attribute && show(r, item);
        return CKITI_RESP_ITEM;
    }
    if (r->depth == CKITI_RESP_MAX_DEPTH) {
        return bad(r, "nested too deep");
    }
    item->depth = r->depth;
    item->push = r->push;
    item->ends = false;
    r->attributes += attribute;
    *shown = r->attributes == 0;
    r->frames[r->depth++] = (ckiti_resp_frame){items, attribute};
    return CKITI_RESP_ITEM;
}

/* ---- bulks ------------------------------------------------------------------------------------------------------- */

static void strip_format(ckiti_resp_item *item) {
    if (item->text.len >= 4 && item->text.ptr[3] == ':') { /* "txt:" */
        item->text.ptr += 4;
        item->text.len -= 4;
        item->integer -= 4;
    }
}

/* The header has been taken; `header` is where it began, to go back to. */
static ckiti_resp_result take_bulk(ckiti_resp_reader *r, ckiti_resp_item *item, char mark, int64_t len, size_t header,
                                   bool *shown) {
    if (len < 0 || (uint64_t)len > CKITI_RESP_MAX_BULK) {
        return bad(r, "a bulk string longer than any value");
    }
    if (mark != '$' && len > (int64_t)LINE_MAX_BYTES) {
        return bad(r, "a text longer than any text");
    }
    size_t here = r->end - r->start;
    item->integer = len;
    item->type = mark == '$' ? CKITI_RESP_BULK : mark == '!' ? CKITI_RESP_ERROR : CKITI_RESP_VERBATIM;
    if ((uint64_t)here >= (uint64_t)len + 2) {
        const uint8_t *p = r->buffer + r->start;
        if (p[len] != '\r' || p[len + 1] != '\n') {
            return bad(r, "a bulk string of another length than announced");
        }
        item->text = ckit_slice_of(p, (size_t)len);
        r->start += (size_t)len + 2;
        if (mark == '=') {
            strip_format(item);
        }
        *shown = show(r, item);
        return CKITI_RESP_ITEM;
    }
    if (mark != '$' || len < (int64_t)CKITI_RESP_STREAM_MIN) {
        r->start = header;
        r->scanned = header;
        return CKITI_RESP_MORE;
    }
    r->body = true;
    r->body_len = r->body_left = (uint64_t)len;
    r->ending_left = 2;
    r->placed = r->attributes > 0;
    r->into = NULL;
    item->depth = r->depth;
    item->push = r->push;
    item->streamed = true;
    return r->placed ? CKITI_RESP_ITEM : CKITI_RESP_BODY;
}

static ckiti_resp_result go_on_with_body(ckiti_resp_reader *r, ckiti_resp_item *item, bool *shown) {
    size_t here = r->end - r->start;
    size_t part = here < r->body_left ? here : (size_t)r->body_left;
    if (!r->placed) {
        item->type = CKITI_RESP_BULK;
        item->integer = (int64_t)r->body_len;
        item->streamed = true;
        return CKITI_RESP_BODY;
    }
    if (part > 0 && r->into != NULL) {
        memcpy(r->into, r->buffer + r->start, part);
        r->into += part;
    }
    r->start += part;
    r->body_left -= part;
    while (r->body_left == 0 && r->ending_left > 0 && r->start < r->end) {
        if (r->buffer[r->start++] != (r->ending_left == 2 ? '\r' : '\n')) {
            return bad(r, "a bulk string of another length than announced");
        }
        r->ending_left--;
    }
    if (r->body_left > 0 || r->ending_left > 0) {
        return CKITI_RESP_MORE;
    }
    r->body = false;
    item->type = CKITI_RESP_BULK;
    item->integer = (int64_t)r->body_len;
    item->streamed = true;
    *shown = show(r, item);
    return CKITI_RESP_ITEM;
}

/* ---- items ------------------------------------------------------------------------------------------------------- */

static ckiti_resp_result take_scalar(ckiti_resp_reader *r, ckiti_resp_item *item, char mark, bool *shown) {
    bool good = true;
    switch (mark) {
    case '+': item->type = CKITI_RESP_SIMPLE; break;
    case '-': item->type = CKITI_RESP_ERROR; break;
    case ':':
        item->type = CKITI_RESP_INTEGER;
        good = parse_integer(item->text, &item->integer);
        break;
    case '_':
        item->type = CKITI_RESP_NIL;
        good = item->text.len == 0;
        break;
    case '#':
        item->type = CKITI_RESP_BOOLEAN;
        good = item->text.len == 1 && (item->text.ptr[0] == 't' || item->text.ptr[0] == 'f');
        item->integer = good && item->text.ptr[0] == 't';
        break;
    case ',':
        item->type = CKITI_RESP_DOUBLE;
        good = only(item->text, "0123456789+-.eEinfaINFA");
        break;
    case '(':
        item->type = CKITI_RESP_BIG_NUMBER;
        good = only(item->text, "0123456789+-");
        break;
    default: return bad(r, "a reply of no known type");
    }
    if (!good) {
        return bad(r, "a scalar that cannot be read");
    }
    *shown = show(r, item);
    return CKITI_RESP_ITEM;
}

static ckiti_resp_result take_one(ckiti_resp_reader *r, ckiti_resp_item *item, bool *shown) {
    size_t     header = r->start;
    ckit_slice line;
    *shown = false;
    if (r->body) {
        return go_on_with_body(r, item, shown);
    }
    if (!take_line(r, &line)) {
        return r->why != NULL ? CKITI_RESP_BAD : CKITI_RESP_MORE;
    }
    if (line.len == 0) {
        return bad(r, "an empty line in place of a reply");
    }
    char       mark = (char)line.ptr[0];
    ckit_slice rest = {line.ptr + 1, line.len - 1};
    if (strchr("$*%~>|!=", mark) == NULL || mark == '\0') {
        item->text = rest;
        return take_scalar(r, item, mark, shown);
    }
    int64_t count;
    if (!parse_integer(rest, &count)) {
        return bad(r, "a length that is no number");
    }
    if (count == -1 && (mark == '$' || mark == '*')) { /* RESP2's null */
        item->type = CKITI_RESP_NIL;
        *shown = show(r, item);
        return CKITI_RESP_ITEM;
    }
    if (mark == '$' || mark == '!' || mark == '=') {
        return take_bulk(r, item, mark, count, header, shown);
    }
    return open_aggregate(r, item, mark, count, shown);
}

ckiti_resp_result ckiti_resp_next(ckiti_resp_reader *r, ckiti_resp_item *item) {
    for (;;) {
        if (r->why != NULL) {
            return CKITI_RESP_BAD;
        }
        *item = (ckiti_resp_item){.type = CKITI_RESP_NIL};
        bool              shown = false;
        ckiti_resp_result result = take_one(r, item, &shown);
        if (result != CKITI_RESP_ITEM || shown) {
            return result;
        }
    }
}
