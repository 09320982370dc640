/* format/interop_args.c - the canonical encoder of interop mode, and the arguments of one call. */
#include "format/interop_canonical.h"

#include "base/hash.h"
#include "format/msgpack_code.h"

#define ROOT_HEAD 5 /* room in front of the arguments for the longest head of their array */
#define FIRST_ROOM 128
#define UUID_TEXT 36

/* ---- begin and end --------------------------------------------------------------------------------------- */

static void begin_any(ckit_interop_args *args, ckit_buf *out, bool is_value) {
    args->out = out;
    args->start = out->len;
    args->max_bytes = is_value ? SIZE_MAX : CKIT_INTEROP_ARGS_MAX_BYTES;
    args->max_depth = is_value ? CKIT_MSGPACK_MAX_DEPTH : CKIT_INTEROP_ARGS_MAX_DEPTH;
    args->depth = 0;
    args->count = 0;
    args->status = CKIT_OK;
    args->why = NULL;
    args->is_value = is_value;
}

void ckiti_interop_begin_value(ckit_interop_args *args, ckit_buf *out) { begin_any(args, out, true); }

void ckit_interop_args_init(ckit_interop_args *args, const ckit_alloc *alloc) {
    ckit_buf_init(&args->own, alloc);
    begin_any(args, &args->own, false);
    if (ckit_buf_reserve(&args->own, FIRST_ROOM) != CKIT_OK) {
        ckiti_interop_fail(args, CKIT_E_NO_MEMORY, "no memory for the arguments");
        return;
    }
    args->own.len = args->start = ROOT_HEAD;
}

void ckit_interop_args_fini(ckit_interop_args *args) {
    if (args != NULL) {
        ckit_buf_fini(&args->own);
        ckiti_interop_fail(args, CKIT_E_MISUSE, "arguments that have ended");
    }
}

void ckiti_interop_fail(ckit_interop_args *args, ckit_status status, const char *why) {
    if (args->status == CKIT_OK) {
        args->status = status;
        args->why = why;
    }
}

void ckiti_interop_refuse(ckit_interop_args *args, const char *why) {
    ckiti_interop_fail(args, args->is_value ? CKIT_E_VALUE_TYPE : CKIT_E_KEY_ARGUMENT, why);
}

void ckit_interop_args_refuse(ckit_interop_args *args, const char *why) { ckiti_interop_refuse(args, why); }

/* ---- one value ------------------------------------------------------------------------------------------- */

static bool at_key(const ckit_interop_args *args) {
    if (args->depth == 0) {
        return false;
    }
    const ckit_interop_frame *frame = &args->frames[args->depth - 1];
    return frame->kind == CKITI_INTEROP_MAP && frame->left % 2 == 0;
}

/* Room for a head and `len` bytes where the next value goes; NULL after a failure. */
static uint8_t *begin(ckit_interop_args *args, size_t len, bool is_text) {
    if (args->status != CKIT_OK) {
        return NULL;
    }
    if (!is_text && at_key(args)) {
        ckiti_interop_refuse(args, "the key of a map is not text");
        return NULL;
    }
    const size_t used = args->out->len - args->start;
    if (len > UINT32_MAX || used > args->max_bytes || len > args->max_bytes - used) {
        ckiti_interop_fail(args, CKIT_E_TOO_LARGE, "larger than its limit");
        return NULL;
    }
    if (len > SIZE_MAX - CKITI_MSGPACK_HEAD || ckit_buf_reserve(args->out, CKITI_MSGPACK_HEAD + len) != CKIT_OK) {
        ckiti_interop_fail(args, CKIT_E_NO_MEMORY, "no memory for it");
        return NULL;
    }
    return args->out->ptr + args->out->len;
}

/* A value of `len` bytes is there, and with it perhaps the containers that it was the last of. */
static void end(ckit_interop_args *args, size_t len) {
    args->out->len += len;
    while (args->depth > 0) {
        ckit_interop_frame *frame = &args->frames[args->depth - 1];
        if (--frame->left > 0) {
            return;
        }
        if (frame->kind != CKITI_INTEROP_ARRAY) {
            ckiti_interop_sort(args, frame);
            if (args->status != CKIT_OK) {
                return;
            }
        }
        args->depth--;
    }
    args->count++;
}

void ckit_interop_args_nil(ckit_interop_args *args) {
    uint8_t *p = begin(args, 0, false);
    if (p != NULL) {
        *p = 0xc0;
        end(args, 1);
    }
}

void ckit_interop_args_bool(ckit_interop_args *args, bool value) {
    uint8_t *p = begin(args, 0, false);
    if (p != NULL) {
        *p = value ? 0xc3 : 0xc2;
        end(args, 1);
    }
}

void ckit_interop_args_int(ckit_interop_args *args, int64_t value) {
    uint8_t *p = begin(args, 0, false);
    if (p != NULL) {
        end(args, ckiti_put_int(p, value));
    }
}

void ckit_interop_args_uint(ckit_interop_args *args, uint64_t value) {
    uint8_t *p = begin(args, 0, false);
    if (p != NULL) {
        end(args, ckiti_put_uint(p, value));
    }
}

void ckit_interop_args_integer(ckit_interop_args *args, ckit_slice text) {
    const bool     below = text.len > 0 && text.ptr[0] == '-';
    const uint64_t most = below ? UINT64_C(1) << 63 : UINT64_MAX;
    uint64_t       size = 0;
    bool           fits = true;
    if (text.len == (below ? 1u : 0u)) {
        ckiti_interop_fail(args, CKIT_E_MISUSE, "an integer without digits");
        return;
    }
    for (size_t i = below ? 1 : 0; i < text.len; i++) {
        const unsigned digit = (unsigned)text.ptr[i] - '0';
        if (digit > 9) {
            ckiti_interop_fail(args, CKIT_E_MISUSE, "an integer with something else than decimal digits");
            return;
        }
        fits = fits && !__builtin_mul_overflow(size, 10u, &size) && !__builtin_add_overflow(size, digit, &size);
    }
    if (!fits || size > most) {
        ckiti_interop_refuse(args, below ? "an integer below -2^63" : "an integer above 2^64-1");
    } else if (below) {
        ckit_interop_args_int(args, (int64_t)(0 - size));
    } else {
        ckit_interop_args_uint(args, size);
    }
}

/* A float without a fraction, in the range of integers. Both bounds are powers of two and exact; the upper one is no
 * 64-bit integer any more. */
static size_t put_collapsed(uint8_t *p, double value) {
    if (value >= 0 && value < 18446744073709551616.0) {
        const uint64_t whole = (uint64_t)value;
        if ((double)whole >= value) {
            return ckiti_put_uint(p, whole);
        }
    } else if (value < 0 && value >= -9223372036854775808.0) {
        const int64_t whole = (int64_t)value;
        if ((double)whole <= value) {
            return ckiti_put_int(p, whole);
        }
    }
    return ckiti_put_double(p, value);
}

void ckit_interop_args_double(ckit_interop_args *args, double value) {
    uint8_t *p = begin(args, 0, false);
    if (p == NULL) {
        return;
    }
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits >> 52 & 0x7ff) == 0x7ff) {
        ckiti_interop_refuse(args, (bits << 12) != 0 ? "a float that is not a number (NaN)" : "an infinite float");
        return;
    }
    end(args, args->is_value ? ckiti_put_double(p, value) : put_collapsed(p, value));
}

void ckit_interop_args_str(ckit_interop_args *args, ckit_slice text) {
    uint8_t *p = begin(args, text.len, true);
    if (p == NULL) {
        return;
    }
    if (!ckiti_is_text(text.ptr, text.len)) {
        ckiti_interop_refuse(args, "text that is not UTF-8");
        return;
    }
    const size_t head = ckiti_put_str_head(p, (uint32_t)text.len);
    ckiti_copy(p + head, text.ptr, text.len);
    end(args, head + text.len);
}

void ckit_interop_args_cstr(ckit_interop_args *args, const char *text) {
    ckit_interop_args_str(args, ckit_slice_str(text));
}

void ckit_interop_args_bytes(ckit_interop_args *args, ckit_slice bytes) {
    uint8_t *p = begin(args, bytes.len, false);
    if (p != NULL) {
        const size_t head = ckiti_put_bin_head(p, (uint32_t)bytes.len);
        ckiti_copy(p + head, bytes.ptr, bytes.len);
        end(args, head + bytes.len);
    }
}

/* ---- arrays, maps, sets ---------------------------------------------------------------------------------- */

static void open_container(ckit_interop_args *args, uint32_t kind, uint32_t count) {
    uint8_t *p = begin(args, 0, false);
    if (p == NULL) {
        return;
    }
    if (args->depth >= args->max_depth) {
        ckiti_interop_fail(args, CKIT_E_DEPTH, "nested deeper than the limit");
        return;
    }
    const bool   is_map = kind == CKITI_INTEROP_MAP;
    const size_t head = is_map ? ckiti_put_map_head(p, count) : ckiti_put_array_head(p, count);
    if (count == 0) {
        end(args, head);
        return;
    }
    args->out->len += head;
    args->frames[args->depth++] = (ckit_interop_frame){
        .left = is_map ? 2 * (uint64_t)count : count, .start = args->out->len, .count = count, .kind = kind};
}

void ckit_interop_args_array(ckit_interop_args *args, uint32_t count) {
    open_container(args, CKITI_INTEROP_ARRAY, count);
}

void ckit_interop_args_map(ckit_interop_args *args, uint32_t count) { open_container(args, CKITI_INTEROP_MAP, count); }

void ckit_interop_args_set(ckit_interop_args *args, uint32_t count) { open_container(args, CKITI_INTEROP_SET, count); }

/* ---- what becomes a number or a text --------------------------------------------------------------------- */

/* Days since 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day is their last. */
static int64_t days_of(const ckit_datetime *d) {
    const int64_t year = d->year - (d->month <= 2 ? 1 : 0);
    const int64_t month = d->month > 2 ? d->month - 3 : d->month + 9;
    const int64_t leaps = year / 4 - year / 100 + year / 400;
    return year * 365 + leaps + (153 * month + 2) / 5 + d->day - 1 - 719468;
}

void ckit_interop_args_datetime(ckit_interop_args *args, const ckit_datetime *value) {
    char text[CKIT_TEMPORAL_TEXT];
    if (ckit_datetime_text(value, text) == 0) {
        ckiti_interop_fail(args, CKIT_E_MISUSE, "a datetime out of its ranges");
        return;
    }
    if (!value->has_offset) {
        ckiti_interop_refuse(args, "a datetime without an offset is no instant: attach one");
        return;
    }
    const int64_t minutes = (days_of(value) * 24 + value->hour) * 60 + value->minute;
    const int64_t seconds = minutes * 60 + value->second - value->offset_seconds;
    const int64_t microseconds = seconds * 1000000 + value->microsecond;
    ckit_interop_args_double(args, (double)microseconds / 1000000.0);
}

void ckit_interop_args_uuid(ckit_interop_args *args, const uint8_t uuid[16]) {
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    uint8_t             *p = begin(args, UUID_TEXT, false);
    if (p == NULL) {
        return;
    }
    const size_t head = ckiti_put_str_head(p, UUID_TEXT);
    char        *out = (char *)p + head;
    for (size_t i = 0; i < sizeof groups; i++) {
        if (i > 0) {
            *out++ = '-';
        }
        ckiti_hex(out, uuid, groups[i]);
        out += (size_t)2 * groups[i];
        uuid += groups[i];
    }
    end(args, head + UUID_TEXT);
}

/* ---- documents ------------------------------------------------------------------------------------------- */

/* What the reader refuses is never added: a zero in its place could be refused for another reason. */
static bool was_read(ckit_interop_args *args, const ckit_reader *r) {
    if (r->status != CKIT_OK) {
        ckiti_interop_fail(args, r->status, r->why);
    }
    return r->status == CKIT_OK;
}

#define COPY(type, read, add)                                                                                          \
    {                                                                                                                  \
        const type value = read(r);                                                                                    \
        if (was_read(args, r)) {                                                                                       \
            add(args, value);                                                                                          \
        }                                                                                                              \
        break;                                                                                                         \
    }

static void copy_token(ckit_interop_args *args, ckit_reader *r) {
    switch (ckit_reader_peek(r)) {
    case CKIT_TYPE_BOOL: COPY(bool, ckit_read_bool, ckit_interop_args_bool)
    case CKIT_TYPE_INT: COPY(int64_t, ckit_read_int, ckit_interop_args_int)
    case CKIT_TYPE_UINT: COPY(uint64_t, ckit_read_uint, ckit_interop_args_uint)
    case CKIT_TYPE_DOUBLE: COPY(double, ckit_read_double, ckit_interop_args_double)
    case CKIT_TYPE_STR: COPY(ckit_slice, ckit_read_str, ckit_interop_args_str)
    case CKIT_TYPE_BIN: COPY(ckit_slice, ckit_read_bin, ckit_interop_args_bytes)
    case CKIT_TYPE_ARRAY: COPY(uint32_t, ckit_read_array, ckit_interop_args_array)
    case CKIT_TYPE_MAP: COPY(uint32_t, ckit_read_map, ckit_interop_args_map)
    case CKIT_TYPE_EXT: ckiti_interop_refuse(args, "an extension type"); break;
    default: /* nil, and everything that fails */
        ckit_read_nil(r);
        if (was_read(args, r)) {
            ckit_interop_args_nil(args);
        }
        break;
    }
}

void ckiti_interop_copy(ckit_interop_args *args, ckit_reader *r) {
    const uint32_t before = args->count;
    do {
        copy_token(args, r);
    } while (args->status == CKIT_OK && r->depth > 0);
    if (args->status == CKIT_OK && r->pos < r->end) {
        ckiti_interop_fail(args, CKIT_E_TRAILING, "bytes behind the end of the document");
        args->count = before; /* so that the failure has this argument's number */
    }
}

void ckit_interop_args_document(ckit_interop_args *args, ckit_slice document) {
    ckit_reader r;
    ckit_reader_init(&r, document);
    if (args->status == CKIT_OK) {
        ckiti_interop_copy(args, &r);
    }
}

/* ---- packing --------------------------------------------------------------------------------------------- */

ckit_status ckit_interop_args_pack(ckit_interop_args *args, ckit_slice *packed, ckit_error *err) {
    uint8_t head[CKITI_MSGPACK_HEAD];
    *packed = ckit_slice_of(NULL, 0);
    if (args->status != CKIT_OK) {
        return ckit_fail(err, args->status, "interop", "argument %llu: %s", (unsigned long long)args->count + 1,
                         args->why);
    }
    if (args->depth > 0) {
        return ckit_fail(err, CKIT_E_MISUSE, "interop", "argument %llu: values are missing (%u containers are open)",
                         (unsigned long long)args->count + 1, args->depth);
    }
    const size_t size = ckiti_put_array_head(head, args->count);
    memcpy(args->own.ptr + ROOT_HEAD - size, head, size);
    *packed = ckit_slice_of(args->own.ptr + ROOT_HEAD - size, args->own.len - (ROOT_HEAD - size));
    return CKIT_OK;
}
