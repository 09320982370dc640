/* format/msgpack_read.c - values one after the other from a slice.
 *
 * `left` counts what the innermost container still holds; a container that is read to its end is left at once, so
 * `depth` is the number of containers around the next value. Outside of all containers `left` means nothing. */
#include <cachekit/msgpack.h>

#include "format/msgpack_code.h"

const struct ckiti_form ckiti_forms[32] = {
    {CKIT_TYPE_NIL, 0},   {CKIT_TYPE_INVALID, 0}, {CKIT_TYPE_BOOL, 0},   {CKIT_TYPE_BOOL, 0},   /* c0 */
    {CKIT_TYPE_BIN, 1},   {CKIT_TYPE_BIN, 2},     {CKIT_TYPE_BIN, 4},    {CKIT_TYPE_EXT, 1},    /* c4 */
    {CKIT_TYPE_EXT, 2},   {CKIT_TYPE_EXT, 4},     {CKIT_TYPE_DOUBLE, 4}, {CKIT_TYPE_DOUBLE, 8}, /* c8 */
    {CKIT_TYPE_UINT, 1},  {CKIT_TYPE_UINT, 2},    {CKIT_TYPE_UINT, 4},   {CKIT_TYPE_UINT, 8},   /* cc */
    {CKIT_TYPE_INT, 1},   {CKIT_TYPE_INT, 2},     {CKIT_TYPE_INT, 4},    {CKIT_TYPE_INT, 8},    /* d0 */
    {CKIT_TYPE_EXT, 0},   {CKIT_TYPE_EXT, 0},     {CKIT_TYPE_EXT, 0},    {CKIT_TYPE_EXT, 0},    /* d4 */
    {CKIT_TYPE_EXT, 0},   {CKIT_TYPE_STR, 1},     {CKIT_TYPE_STR, 2},    {CKIT_TYPE_STR, 4},    /* d8 */
    {CKIT_TYPE_ARRAY, 2}, {CKIT_TYPE_ARRAY, 4},   {CKIT_TYPE_MAP, 2},    {CKIT_TYPE_MAP, 4},    /* dc */
};

void ckit_reader_init(ckit_reader *r, ckit_slice input) {
    /* A place to point to, so that no arithmetic is ever done on a null pointer. */
    static const uint8_t nothing[1] = {0};
    r->max_depth = CKIT_MSGPACK_MAX_DEPTH;
    r->any_text = false;
    r->depth = 0;
    r->begin = input.ptr == NULL ? nothing : input.ptr;
    r->pos = r->begin;
    r->end = r->begin + input.len;
    r->left = 0;
    r->status = CKIT_OK;
    r->failed_at = 0;
    r->why = NULL;
    r->wanted = r->found = CKIT_TYPE_END;
}

void ckit_reader_fail(ckit_reader *r, ckit_status status, const char *why) {
    if (r->status == CKIT_OK) {
        r->status = status;
        r->failed_at = (size_t)(r->pos - r->begin);
        r->why = why;
    }
}

void ckiti_reader_fail_type(ckit_reader *r, ckit_type wanted, ckit_type found) {
    if (r->status == CKIT_OK) {
        ckit_reader_fail(r, CKIT_E_VALUE_TYPE, "a value of another type");
        r->wanted = wanted;
        r->found = found;
    }
}

ckit_type ckit_reader_peek(const ckit_reader *r) {
    if (r->status != CKIT_OK) {
        return CKIT_TYPE_INVALID;
    }
    if (r->pos == r->end) {
        return CKIT_TYPE_END;
    }
    const ckiti_head head = ckiti_head_at(r->pos, r->end);
    return head.type != CKIT_TYPE_END ? head.type : (ckit_type)ckiti_forms[*r->pos - 0xc0].type;
}

/* Looks at the head of the next value; false after a failure. */
static inline bool look(ckit_reader *r, ckiti_head *head) {
    if (__builtin_expect(r->status != CKIT_OK, 0)) {
        return false;
    }
    if (__builtin_expect(r->pos == r->end, 0)) {
        ckit_reader_fail(r, CKIT_E_TRUNCATED, "the input ends where a value should be");
        return false;
    }
    *head = ckiti_head_at(r->pos, r->end);
    if (__builtin_expect(head->type == CKIT_TYPE_END, 0)) {
        ckit_reader_fail(r, CKIT_E_TRUNCATED, "the input ends inside a value");
        return false;
    }
    return true;
}

/* The next value is none of `wanted`. */
static void refuse(ckit_reader *r, ckit_type wanted, ckit_type found) {
    if (found == CKIT_TYPE_INVALID) {
        ckit_reader_fail(r, CKIT_E_DECODE, "no value begins with this byte");
    } else if (found == CKIT_TYPE_EXT) {
        ckit_reader_fail(r, CKIT_E_DECODE, "an extension type");
    } else {
        ckiti_reader_fail_type(r, wanted, found);
    }
}

static inline bool look_for(ckit_reader *r, ckit_type wanted, ckiti_head *head) {
    if (!look(r, head)) {
        return false;
    }
    if (__builtin_expect(head->type != wanted, 0)) {
        refuse(r, wanted, head->type);
        return false;
    }
    return true;
}

/* The value that was read may have been the last of its containers. */
static inline void count_value(ckit_reader *r) {
    if (r->depth > 0) {
        r->left--;
        while (r->left == 0 && r->depth > 0) {
            r->left = r->stack[--r->depth];
        }
    }
}

static inline void advance(ckit_reader *r, size_t len) {
    r->pos += len;
    count_value(r);
}

void ckit_read_nil(ckit_reader *r) {
    ckiti_head head;
    if (look_for(r, CKIT_TYPE_NIL, &head)) {
        advance(r, head.size);
    }
}

bool ckit_read_bool(ckit_reader *r) {
    ckiti_head head;
    if (!look_for(r, CKIT_TYPE_BOOL, &head)) {
        return false;
    }
    advance(r, head.size);
    return head.number != 0;
}

int64_t ckit_read_int(ckit_reader *r) {
    ckiti_head head;
    if (!look(r, &head)) {
        return 0;
    }
    if (head.type == CKIT_TYPE_UINT && head.number > INT64_MAX) {
        ckit_reader_fail(r, CKIT_E_DECODE, "an integer above 2^63-1");
        return 0;
    }
    if (head.type != CKIT_TYPE_UINT && head.type != CKIT_TYPE_INT) {
        refuse(r, CKIT_TYPE_UINT, head.type);
        return 0;
    }
    advance(r, head.size);
    return (int64_t)head.number;
}

uint64_t ckit_read_uint(ckit_reader *r) {
    ckiti_head head;
    if (!look(r, &head)) {
        return 0;
    }
    if (head.type == CKIT_TYPE_INT) {
        ckit_reader_fail(r, CKIT_E_DECODE, "an integer below zero");
        return 0;
    }
    if (head.type != CKIT_TYPE_UINT) {
        refuse(r, CKIT_TYPE_UINT, head.type);
        return 0;
    }
    advance(r, head.size);
    return head.number;
}

double ckit_read_double(ckit_reader *r) {
    ckiti_head head;
    if (!look_for(r, CKIT_TYPE_DOUBLE, &head)) {
        return 0;
    }
    advance(r, head.size);
    return ckiti_head_double(head);
}

/* The bytes behind the head of text or bytes. */
static inline bool payload(ckit_reader *r, ckiti_head head, ckit_slice *bytes) {
    if (__builtin_expect(head.number > (size_t)(r->end - r->pos) - head.size, 0)) {
        ckit_reader_fail(r, CKIT_E_TRUNCATED, "a length beyond the end of the input");
        return false;
    }
    *bytes = ckit_slice_of(r->pos + head.size, (size_t)head.number);
    if (head.type == CKIT_TYPE_STR && !ckiti_is_text(bytes->ptr, bytes->len) && !r->any_text) {
        ckit_reader_fail(r, CKIT_E_DECODE, "text that is not UTF-8");
        return false;
    }
    return true;
}

static ckit_slice read_bytes(ckit_reader *r, ckit_type wanted) {
    ckiti_head head;
    ckit_slice bytes = {NULL, 0};
    if (!look_for(r, wanted, &head) || !payload(r, head, &bytes)) {
        return (ckit_slice){NULL, 0};
    }
    advance(r, head.size + bytes.len);
    return bytes;
}

ckit_slice ckit_read_str(ckit_reader *r) { return read_bytes(r, CKIT_TYPE_STR); }
ckit_slice ckit_read_bin(ckit_reader *r) { return read_bytes(r, CKIT_TYPE_BIN); }

/* Whether a container of this head may be entered at `depth`: every value in it takes at least one byte. */
static inline bool may_enter(ckit_reader *r, ckiti_head head, uint64_t values, uint32_t depth) {
    if (depth >= r->max_depth || depth >= CKIT_MSGPACK_MAX_DEPTH) {
        ckit_reader_fail(r, CKIT_E_DEPTH, "arrays and maps nested deeper than the limit");
        return false;
    }
    if (values > (size_t)(r->end - r->pos) - head.size) {
        ckit_reader_fail(r, CKIT_E_TRUNCATED, "a count beyond what the input can hold");
        return false;
    }
    return true;
}

static inline uint64_t values_of(ckiti_head head) { return head.type == CKIT_TYPE_MAP ? 2 * head.number : head.number; }

static uint32_t enter(ckit_reader *r, ckit_type wanted) {
    ckiti_head head;
    if (!look_for(r, wanted, &head) || !may_enter(r, head, values_of(head), r->depth)) {
        return 0;
    }
    if (head.number == 0) {
        advance(r, head.size);
        return 0;
    }
    r->pos += head.size;
    r->stack[r->depth++] = r->left - 1; /* outside of all containers this is never looked at */
    r->left = values_of(head);
    return (uint32_t)head.number;
}

uint32_t ckit_read_array(ckit_reader *r) { return enter(r, CKIT_TYPE_ARRAY); }
uint32_t ckit_read_map(ckit_reader *r) { return enter(r, CKIT_TYPE_MAP); }

/* Passes over one plain value, or over the head of a container. */
static inline bool pass(ckit_reader *r, ckiti_head head, uint64_t *values, uint32_t depth) {
    *values = 0;
    switch (head.type) {
    case CKIT_TYPE_STR:
    case CKIT_TYPE_BIN: {
        ckit_slice bytes;
        if (!payload(r, head, &bytes)) {
            return false;
        }
        r->pos += bytes.len;
        break;
    }
    case CKIT_TYPE_ARRAY:
    case CKIT_TYPE_MAP:
        *values = values_of(head);
        if (!may_enter(r, head, *values, depth)) {
            return false;
        }
        break;
    case CKIT_TYPE_INVALID:
    case CKIT_TYPE_EXT: refuse(r, CKIT_TYPE_NIL, head.type); return false;
    default: break;
    }
    r->pos += head.size;
    return true;
}

/* The free part of the reader's stack holds, for each container on the way, the number of values to come: so no
 * recursion, whatever the input says. */
void ckit_read_skip(ckit_reader *r) {
    uint32_t depth = r->depth;
    uint64_t left = 1;
    for (;;) {
        ckiti_head head;
        uint64_t   values;
        if (!look(r, &head)) {
            return;
        }
        if (!pass(r, head, &values, depth)) {
            return;
        }
        left--;
        if (values > 0) {
            r->stack[depth++] = left;
            left = values;
        }
        while (left == 0) {
            if (depth == r->depth) {
                count_value(r);
                return;
            }
            left = r->stack[--depth];
        }
    }
}

ckit_slice ckit_read_raw(ckit_reader *r) {
    const uint8_t *from = r->pos;
    ckit_read_skip(r);
    return r->status == CKIT_OK ? ckit_slice_of(from, (size_t)(r->pos - from)) : (ckit_slice){NULL, 0};
}

ckit_status ckit_reader_finish(const ckit_reader *r, ckit_error *err) {
    if (r->status == CKIT_OK) {
        if (r->pos == r->end) {
            return CKIT_OK;
        }
        return ckit_fail(err, CKIT_E_TRAILING, "msgpack", "%zu bytes behind the value, which ends at offset %zu",
                         (size_t)(r->end - r->pos), (size_t)(r->pos - r->begin));
    }
    if (r->wanted != CKIT_TYPE_END) {
        return ckit_fail(err, r->status, "msgpack", "%s at offset %zu where %s was expected", ckit_type_name(r->found),
                         r->failed_at, ckit_type_name(r->wanted));
    }
    return ckit_fail(err, r->status, "msgpack", "%s, at offset %zu of %zu", r->why, r->failed_at,
                     (size_t)(r->end - r->begin));
}

const uint8_t *ckiti_value_end(const uint8_t *p, const uint8_t *end) {
    for (uint64_t left = 1; left > 0; left--) {
        const ckiti_head head = ckiti_head_at(p, end);
        p += head.size;
        if (head.type == CKIT_TYPE_STR || head.type == CKIT_TYPE_BIN) {
            p += head.number;
        } else if (head.type == CKIT_TYPE_ARRAY || head.type == CKIT_TYPE_MAP) {
            left += values_of(head);
        }
    }
    return p;
}
