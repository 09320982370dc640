/* From JSON to a document: see document_json.h.
 *
 * MessagePack tells the number of members before the first one, JSON never. So a container begins as one byte, which is
 * enough for 15 members, and is moved when it closes with more. */
#include "document_json.h"

#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <cachekit/msgpack.h>
#include <math.h>
#include <stdlib.h>

#define NUMBER_MAX 1100 /* characters; the longest exact form of a double has less */

/* A member of a map, as offsets in `out`. */
typedef struct member {
    size_t start;
    size_t value;
    size_t end;
} member;

typedef struct container {
    size_t start; /* of its header in `out` */
    size_t first; /* of its members */
    size_t count;
    bool   map;
} container;

/* A name with the number of its member, for finding names that come again. */
typedef struct name_at {
    const uint8_t *name;
    size_t         len;
    size_t         index;
} name_at;

typedef struct parser {
    const uint8_t *begin;
    const uint8_t *at;
    const uint8_t *end;
    ckit_buf      *out;
    ckit_buf       text;    /* a string without its escapes */
    member        *members; /* of all open maps */
    size_t         member_count;
    size_t         member_cap;
    ckit_status    status;
    const char    *why;
    size_t         depth;
    container      open[CKIT_MSGPACK_MAX_DEPTH];
    ckit_writer    writer; /* here, because it is large */
} parser;

static bool fail(parser *p, ckit_status status, const char *why) {
    if (p->status == CKIT_OK) {
        p->status = status;
        p->why = why;
    }
    return false;
}

static bool wrong(parser *p, const char *why) { return fail(p, CKIT_E_MISUSE, why); }
static bool no_memory(parser *p) { return fail(p, CKIT_E_NO_MEMORY, "out of memory"); }

static void skip_space(parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) {
        p->at++;
    }
}

/* The next byte that counts; 0 at the end (and for a zero byte, which is as wrong as the end). */
static uint8_t next(parser *p) {
    skip_space(p);
    return p->at < p->end ? *p->at : 0;
}

/* ---- plain values ------------------------------------------------------------------------------------------- */

static ckit_writer *begin_value(parser *p) {
    ckit_writer_init(&p->writer, p->out);
    return &p->writer;
}

static bool end_value(parser *p, const char *why) {
    ckit_status st = ckit_writer_finish(&p->writer, NULL);
    if (st == CKIT_E_NO_MEMORY) {
        return no_memory(p);
    }
    return st == CKIT_OK || fail(p, st == CKIT_E_VALUE_TYPE ? CKIT_E_MISUSE : st, why);
}

static bool take_word(parser *p, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0) {
        return wrong(p, "expected a value");
    }
    p->at += length;
    ckit_writer *w = begin_value(p);
    if (*word == 'n') {
        ckit_write_nil(w);
    } else {
        ckit_write_bool(w, *word == 't');
    }
    return end_value(p, word);
}

static size_t digits_at(const uint8_t *at, const uint8_t *end) {
    size_t count = 0;
    while (at + count < end && at[count] >= '0' && at[count] <= '9') {
        count++;
    }
    return count;
}

/* The length of the number by the grammar of RFC 8259, 0 when it is none. */
static size_t number_length(const parser *p, bool *whole) {
    const uint8_t *at = p->at + (*p->at == '-' ? 1 : 0);
    size_t         digits = digits_at(at, p->end);
    if (digits == 0 || (digits > 1 && *at == '0')) {
        return 0;
    }
    at += digits;
    *whole = true;
    if (at < p->end && *at == '.') {
        digits = digits_at(++at, p->end);
        if (digits == 0) {
            return 0;
        }
        at += digits;
        *whole = false;
    }
    if (at < p->end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < p->end && (*at == '+' || *at == '-') ? 1 : 0;
        digits = digits_at(at, p->end);
        if (digits == 0) {
            return 0;
        }
        at += digits;
        *whole = false;
    }
    return (size_t)(at - p->at);
}

/* False when the digits make no integer of 64 bits. */
static bool whole_number(const char *text, ckit_writer *w) {
    bool     negative = *text == '-';
    uint64_t number = 0;
    for (const char *at = text + (negative ? 1 : 0); *at != '\0'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (negative && number > UINT64_C(1) << 63) {
        return false;
    }
    if (negative && number > 0) {
        ckit_write_int(w, -(int64_t)(number - 1) - 1);
    } else {
        ckit_write_uint(w, number);
    }
    return true;
}

static bool take_number(parser *p) {
    char   text[NUMBER_MAX + 1];
    bool   whole = false;
    size_t length = number_length(p, &whole);
    if (length == 0 || length > NUMBER_MAX) {
        return wrong(p, length == 0 ? "this is no number" : "a number of more than 1100 characters");
    }
    memcpy(text, p->at, length);
    text[length] = '\0';
    ckit_writer *w = begin_value(p);
    if (!whole || !whole_number(text, w)) {
        double number = strtod(text, NULL);
        if (isinf(number)) {
            return wrong(p, "a number beyond the range of floats");
        }
        ckit_write_double(w, number);
    }
    p->at += length;
    return end_value(p, "this is no number");
}

/* ---- strings ------------------------------------------------------------------------------------------------ */

static bool take_hex(parser *p, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        uint8_t c = p->at < p->end ? *p->at : 0;
        uint8_t lower = c | 0x20;
        if ((c < '0' || c > '9') && (lower < 'a' || lower > 'f')) {
            return wrong(p, "\\u needs four hexadecimal digits");
        }
        *code = *code << 4 | (uint32_t)(c <= '9' ? c - '0' : lower - 'a' + 10);
    }
    return true;
}

/* Behind "\u". Two halves of a surrogate pair make one character; half a pair is none. */
static bool take_code_point(parser *p) {
    uint32_t code, low;
    uint8_t  utf8[4];
    size_t   length;
    if (!take_hex(p, &code)) {
        return false;
    }
    if (code >= 0xd800 && code < 0xe000) {
        bool pair = code < 0xdc00 && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u';
        p->at += pair ? 2 : 0;
        if (!pair || !take_hex(p, &low) || low < 0xdc00 || low > 0xdfff) {
            return wrong(p, "half of a surrogate pair is no character");
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code < 0x80) {
        length = 1;
        utf8[0] = (uint8_t)code;
    } else if (code < 0x800) {
        length = 2;
        utf8[0] = (uint8_t)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        length = 3;
        utf8[0] = (uint8_t)(0xe0 | code >> 12);
    } else {
        length = 4;
        utf8[0] = (uint8_t)(0xf0 | code >> 18);
    }
    for (size_t i = 1; i < length; i++) {
        utf8[i] = (uint8_t)(0x80 | (code >> (6 * (length - 1 - i)) & 0x3f));
    }
    return ckit_buf_append(&p->text, ckit_slice_of(utf8, length)) == CKIT_OK || no_memory(p);
}

/* Behind a backslash. */
static bool take_escape(parser *p) {
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    uint8_t           letter = p->at < p->end ? *p->at : 0;
    const char       *found = letter == 0 ? NULL : strchr(letters, letter);
    if (letter == 'u') {
        p->at++;
        return take_code_point(p);
    }
    if (found == NULL) {
        return wrong(p, "there is no such escape");
    }
    p->at++;
    return ckit_buf_append(&p->text, ckit_slice_of(&meanings[found - letters], 1)) == CKIT_OK || no_memory(p);
}

static bool take_string(parser *p) {
    const uint8_t *opening = p->at++;
    const uint8_t *plain = p->at;
    p->text.len = 0;
    while (p->at < p->end && *p->at != '"') {
        if (*p->at < 0x20) {
            return wrong(p, "a control character in a string: write it as \\n, \\t or \\u00XX");
        }
        if (*p->at++ != '\\') {
            continue;
        }
        if (ckit_buf_append(&p->text, ckit_slice_of(plain, (size_t)(p->at - 1 - plain))) != CKIT_OK) {
            return no_memory(p);
        }
        if (!take_escape(p)) {
            return false;
        }
        plain = p->at;
    }
    if (p->at == p->end) {
        p->at = opening;
        return wrong(p, "a string without its end");
    }
    ckit_slice text = ckit_slice_of(plain, (size_t)(p->at - plain));
    if (p->text.len > 0) {
        if (ckit_buf_append(&p->text, text) != CKIT_OK) {
            return no_memory(p);
        }
        text = ckit_buf_slice(&p->text);
    }
    ckit_write_str(begin_value(p), text);
    const uint8_t *behind = p->at + 1;
    p->at = opening;
    if (!end_value(p, "a string that is not UTF-8")) {
        return false;
    }
    p->at = behind;
    return true;
}

/* ---- arrays and maps ---------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b) {
    const name_at *x = a, *y = b;
    int            order = x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(x->name, y->name, x->len);
    return order != 0 ? order : x->index < y->index ? -1 : 1;
}

/* For every member which one's value counts: its own or that of the last of the name; SIZE_MAX for all of a name but
 * the first. Answers whether any name comes again. */
static bool find_again(const name_at *sorted, size_t count, size_t *value_of) {
    bool again = false;
    for (size_t i = 0, j; i < count; i = j) {
        for (j = i + 1;
             j < count && sorted[j].len == sorted[i].len && memcmp(sorted[j].name, sorted[i].name, sorted[i].len) == 0;
             j++) {
            value_of[sorted[j].index] = SIZE_MAX;
            again = true;
        }
        value_of[sorted[i].index] = sorted[j - 1].index;
    }
    return again;
}

/* Writes the members of a map anew, each name once. */
static bool write_once(parser *p, container *c, const member *members, const size_t *value_of) {
    ckit_buf once = CKIT_BUF_INIT;
    size_t   kept = 0;
    bool     good = true;
    for (size_t i = 0; i < c->count && good; i++) {
        if (value_of[i] != SIZE_MAX) {
            const member *m = &members[i], *v = &members[value_of[i]];
            good = ckit_buf_append(&once, ckit_slice_of(p->out->ptr + m->start, m->value - m->start)) == CKIT_OK &&
                   ckit_buf_append(&once, ckit_slice_of(p->out->ptr + v->value, v->end - v->value)) == CKIT_OK;
            kept++;
        }
    }
    if (good) {
        memcpy(p->out->ptr + c->start + 1, once.ptr, once.len);
        p->out->len = c->start + 1 + once.len;
        c->count = kept;
    }
    ckit_buf_fini(&once);
    return good || no_memory(p);
}

static bool drop_repeated(parser *p, container *c) {
    const member *members = p->members + c->first;
    name_at      *sorted = malloc(c->count * sizeof *sorted);
    size_t       *value_of = malloc(c->count * sizeof *value_of);
    bool          good = sorted != NULL && value_of != NULL;
    if (good) {
        for (size_t i = 0; i < c->count; i++) {
            sorted[i] = (name_at){p->out->ptr + members[i].start, members[i].value - members[i].start, i};
        }
        qsort(sorted, c->count, sizeof *sorted, compare_names);
        good = !find_again(sorted, c->count, value_of) || write_once(p, c, members, value_of);
    } else {
        (void)no_memory(p);
    }
    free(sorted);
    free(value_of);
    return good;
}

static bool write_header(parser *p, const container *c) {
    size_t   more = c->count < 16 ? 0 : c->count < 65536 ? 2 : 4;
    uint8_t *at;
    if (more > 0 && ckit_buf_reserve(p->out, more) != CKIT_OK) {
        return no_memory(p);
    }
    at = p->out->ptr + c->start;
    if (more == 0) {
        *at = (uint8_t)((c->map ? 0x80 : 0x90) | c->count);
        return true;
    }
    memmove(at + 1 + more, at + 1, p->out->len - c->start - 1);
    p->out->len += more;
    *at = (uint8_t)((c->map ? 0xde : 0xdc) + (more == 4 ? 1 : 0));
    for (size_t i = 0; i < more; i++) {
        at[1 + i] = (uint8_t)(c->count >> (8 * (more - 1 - i)));
    }
    return true;
}

static bool open_container(parser *p, bool map) {
    if (p->depth == CKIT_MSGPACK_MAX_DEPTH) {
        return fail(p, CKIT_E_DEPTH, "nested deeper than 512 levels");
    }
    p->open[p->depth++] = (container){.start = p->out->len, .first = p->member_count, .map = map};
    p->at++;
    return ckit_buf_append(p->out, ckit_slice_of("", 1)) == CKIT_OK || no_memory(p);
}

static bool close_container(parser *p) {
    container *c = &p->open[p->depth - 1];
    bool       good = (!c->map || c->count < 2 || drop_repeated(p, c)) && write_header(p, c);
    p->member_count = c->first;
    p->depth--;
    p->at++;
    return good;
}

static bool add_member(parser *p) {
    if (p->member_count == p->member_cap) {
        size_t  cap = p->member_cap == 0 ? 64 : p->member_cap * 2;
        member *more = realloc(p->members, cap * sizeof *more);
        if (more == NULL) {
            return no_memory(p);
        }
        p->members = more;
        p->member_cap = cap;
    }
    p->members[p->member_count++] = (member){.start = p->out->len};
    return true;
}

static bool take_name(parser *p) {
    if (next(p) != '"') {
        return wrong(p, "expected the name of a member, in quotation marks");
    }
    if (!add_member(p) || !take_string(p)) {
        return false;
    }
    p->members[p->member_count - 1].value = p->out->len;
    if (next(p) != ':') {
        return wrong(p, "expected a colon");
    }
    p->at++;
    return true;
}

/* One value, or the beginning of a container. `*whole` tells which. */
static bool take_value(parser *p, bool *whole) {
    uint8_t c = next(p);
    *whole = true;
    if (c == '{' || c == '[') {
        if (!open_container(p, c == '{')) {
            return false;
        }
        if (next(p) == c + 2) { /* "}" and "]" */
            return close_container(p);
        }
        *whole = false;
        return c == '[' || take_name(p);
    }
    if (c == '"') {
        return take_string(p);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return take_number(p);
    }
    if (p->at == p->end) {
        return wrong(p, "the text ends where a value should be");
    }
    return take_word(p, c == 't' ? "true" : c == 'f' ? "false" : "null");
}

/* Behind a value: closes what it completes, up to a container that goes on or the whole text (depth 0). */
static bool go_on(parser *p) {
    while (p->depth > 0) {
        container *c = &p->open[p->depth - 1];
        uint8_t    byte = next(p);
        c->count++;
        if (c->map) {
            p->members[p->member_count - 1].end = p->out->len;
        }
        if (byte == ',') {
            p->at++;
            return !c->map || take_name(p);
        }
        if (byte != (c->map ? '}' : ']')) {
            return wrong(p, c->map ? "expected a comma or }" : "expected a comma or ]");
        }
        if (!close_container(p)) {
            return false;
        }
    }
    return true;
}

static bool take_text(parser *p) {
    do {
        bool whole;
        if (!take_value(p, &whole) || (whole && !go_on(p))) {
            return false;
        }
    } while (p->depth > 0);
    (void)next(p);
    return p->at == p->end || wrong(p, "more text behind the value");
}

static ckit_status tell(const parser *p, ckit_error *err) {
    size_t line = 1, column = 1;
    if (p->status == CKIT_E_NO_MEMORY) {
        return ckit_fail(err, p->status, "json", "no memory for the document of a text");
    }
    for (const uint8_t *at = p->begin; at < p->at; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n';
    }
    return ckit_fail(err, p->status, "json", "%s at line %zu, byte %zu: %s",
                     p->status == CKIT_E_MISUSE ? "not JSON" : "JSON", line, column, p->why);
}

ckit_status cli_document_from_json(ckit_slice text, ckit_buf *out, ckit_error *err) {
    size_t      start = out->len;
    ckit_status st = CKIT_OK;
    if (text.len > CKIT_ENVELOPE_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, "json", "a text of %zu bytes, limit %llu", text.len,
                         (unsigned long long)CKIT_ENVELOPE_MAX_BYTES);
    }
    parser *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "json", "out of memory");
    }
    p->begin = p->at = text.len == 0 ? (const uint8_t *)"" : text.ptr;
    p->end = p->begin + text.len;
    p->out = out;
    if (!take_text(p)) {
        st = tell(p, err);
        out->len = start;
    }
    ckit_buf_fini(&p->text);
    free(p->members);
    free(p);
    return st;
}
