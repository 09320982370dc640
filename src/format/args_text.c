/* format/args_text.c - arguments that count like a text: dates, UUIDs, decimals, paths; and vectors, which count by
 * their hash. */
#include "format/args.h"

#include "base/hash.h"
#include "format/msgpack_code.h"

void ckit_args_datetime(ckit_args *args, const ckit_datetime *value) {
    char         text[CKIT_TEMPORAL_TEXT];
    const size_t len = ckit_datetime_text(value, text);
    uint8_t     *p = ckiti_args_begin(args, CKITI_MSGPACK_HEAD + CKIT_TEMPORAL_TEXT, false);
    if (p == NULL) {
        return;
    }
    if (len == 0) {
        ckiti_args_fail(args, CKIT_E_MISUSE, "a datetime out of its ranges");
        return;
    }
    if (!value->has_offset) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "a datetime without an offset is ambiguous: attach one");
    }
    memcpy(p + CKITI_MSGPACK_HEAD, text, len);
    ckiti_args_end_text(args, p, len);
}

void ckit_args_uuid(ckit_args *args, const uint8_t uuid[16]) {
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    uint8_t             *p = ckiti_args_begin(args, CKITI_MSGPACK_HEAD + 36, false);
    if (p == NULL) {
        return;
    }
    char *out = (char *)p + CKITI_MSGPACK_HEAD;
    for (size_t i = 0; i < sizeof groups; i++) {
        if (i > 0) {
            *out++ = '-';
        }
        ckiti_hex(out, uuid, groups[i]);
        out += (size_t)2 * groups[i];
        uuid += groups[i];
    }
    ckiti_args_end_text(args, p, 36);
}

/* ---- decimals -------------------------------------------------------------------------------------------- */

/* (-1)^negative * coefficient * 10^exponent, or a word. The coefficient's digits are those of `digits` without the
 * point and without leading zeros. */
typedef struct decimal {
    bool        negative;
    const char *word; /* "NaN", "sNaN", "Infinity" or NULL */
    ckit_slice  digits;
    size_t      count; /* digits of the coefficient: at least 1 */
    size_t      zeros; /* leading zeros that do not count */
    int64_t     exponent;
} decimal;

#define DECIMAL_EXPONENT_DIGITS 15
#define DECIMAL_EXTRA 32 /* what the text may take besides the digits: sign, "0.00000", exponent */

static bool same_word(ckit_slice text, const char *word) {
    if (text.len != strlen(word)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t byte = text.ptr[i];
        if ((byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte) != (uint8_t)word[i]) {
            return false;
        }
    }
    return true;
}

static const char *special_word(ckit_slice text) {
    if (same_word(text, "inf") || same_word(text, "infinity")) {
        return "Infinity";
    }
    return same_word(text, "nan") ? "NaN" : same_word(text, "snan") ? "sNaN" : NULL;
}

/* "E", a sign and digits, or nothing. */
static bool parse_exponent(ckit_slice text, int64_t *exponent) {
    *exponent = 0;
    if (text.len == 0) {
        return true;
    }
    size_t     i = 1;
    const bool signed_one = text.len > 1 && (text.ptr[1] == '-' || text.ptr[1] == '+');
    const bool negative = signed_one && text.ptr[1] == '-';
    i += signed_one ? 1 : 0;
    if (text.len == i || text.len - i > DECIMAL_EXPONENT_DIGITS) {
        return false;
    }
    for (; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        *exponent = *exponent * 10 + (text.ptr[i] - '0');
    }
    *exponent = negative ? -*exponent : *exponent;
    return true;
}

static bool parse_decimal(ckit_slice text, decimal *d) {
    *d = (decimal){.negative = text.len > 0 && text.ptr[0] == '-'};
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        text = ckit_slice_of(text.ptr + 1, text.len - 1);
    }
    d->word = special_word(text);
    if (d->word != NULL) {
        return true;
    }
    size_t len = 0, fraction = 0, points = 0;
    for (; len < text.len && text.ptr[len] != 'e' && text.ptr[len] != 'E'; len++) {
        const uint8_t byte = text.ptr[len];
        if (byte == '.') {
            points++;
        } else if (byte < '0' || byte > '9') {
            return false;
        } else {
            d->zeros += byte == '0' && d->zeros == d->count ? 1 : 0;
            d->count++;
            fraction += points;
        }
    }
    if (points > 1 || d->count == 0 || !parse_exponent(ckit_slice_of(text.ptr + len, text.len - len), &d->exponent)) {
        return false;
    }
    d->digits = ckit_slice_of(text.ptr, len);
    d->zeros = d->zeros == d->count ? d->count - 1 : d->zeros;
    d->count -= d->zeros;
    d->exponent -= (int64_t)fraction;
    return true;
}

static char *put_text(char *p, const char *text) {
    const size_t len = strlen(text);
    memcpy(p, text, len);
    return p + len;
}

static char *put_exponent(char *p, int64_t exponent) {
    char     digits[24];
    size_t   n = sizeof digits;
    uint64_t left = (uint64_t)(exponent < 0 ? -exponent : exponent);
    do {
        digits[--n] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    *p++ = 'E';
    *p++ = exponent < 0 ? '-' : '+';
    memcpy(p, digits + n, sizeof digits - n);
    return p + (sizeof digits - n);
}

/* The General Decimal Arithmetic Specification's to-scientific-string: plain for exponents from -6 to 0. */
static size_t decimal_text(const decimal *d, char *out) {
    char *p = out;
    if (d->negative) {
        *p++ = '-';
    }
    if (d->word != NULL) {
        return (size_t)(put_text(p, d->word) - out);
    }
    const int64_t count = (int64_t)d->count;
    const int64_t left_of_point = d->exponent + count;
    const bool    plain = d->exponent <= 0 && left_of_point > -6;
    const int64_t point = plain ? left_of_point : 1;
    if (point <= 0) {
        p = put_text(p, "0.");
        for (int64_t i = point; i < 0; i++) {
            *p++ = '0';
        }
    }
    size_t skip = d->zeros;
    for (size_t i = 0, n = 0; i < d->digits.len; i++) {
        if (d->digits.ptr[i] == '.') {
            continue;
        }
        if (skip > 0) {
            skip--;
            continue;
        }
        if (n > 0 && (int64_t)n == point) {
            *p++ = '.';
        }
        *p++ = (char)d->digits.ptr[i];
        n++;
    }
    return (size_t)((plain ? p : put_exponent(p, left_of_point - point)) - out);
}

void ckit_args_decimal(ckit_args *args, ckit_slice text) {
    decimal d;
    if (text.len > CKIT_ARGS_MAX_BYTES || !parse_decimal(text, &d)) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "a text that is no decimal number");
        ckit_args_str(args, text);
        return;
    }
    uint8_t *p = ckiti_args_begin(args, CKITI_MSGPACK_HEAD + text.len + DECIMAL_EXTRA, false);
    if (p != NULL) {
        ckiti_args_end_text(args, p, decimal_text(&d, (char *)p + CKITI_MSGPACK_HEAD));
    }
}

/* ---- paths ----------------------------------------------------------------------------------------------- */

/* Writes the path as Python's PurePosixPath does. Exactly two leading slashes stay two (POSIX leaves their meaning to
 * the system). At most one byte longer than the path. */
static size_t tidy_path(ckit_slice path, char *out) {
    size_t i = 0, len = 0;
    while (i < path.len && path.ptr[i] == '/') {
        i++;
    }
    for (size_t roots = i == 2 ? 2 : i > 0 ? 1 : 0; roots > 0; roots--) {
        out[len++] = '/';
    }
    const size_t root = len;
    while (i < path.len) {
        size_t end = i;
        while (end < path.len && path.ptr[end] != '/') {
            end++;
        }
        if (end > i && !(end - i == 1 && path.ptr[i] == '.')) {
            if (len > root) {
                out[len++] = '/';
            }
            memcpy(out + len, path.ptr + i, end - i);
            len += end - i;
        }
        i = end + 1;
    }
    if (len == 0) {
        out[len++] = '.';
    }
    return len;
}

void ckit_args_path(ckit_args *args, ckit_slice path) {
    if (path.len > CKIT_ARGS_MAX_BYTES) {
        ckiti_args_fail(args, CKIT_E_TOO_LARGE, "an argument of more than 2^30 bytes");
        return;
    }
    if (!ckit_utf8_valid(path)) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "a path that is not UTF-8");
    }
    uint8_t *p = ckiti_args_begin(args, CKITI_MSGPACK_HEAD + path.len + 1, false);
    if (p != NULL) {
        ckiti_args_end_text(args, p, tidy_path(path, (char *)p + CKITI_MSGPACK_HEAD));
    }
}

/* ---- vectors --------------------------------------------------------------------------------------------- */

#define VECTOR_DIGEST ((size_t)32)

static const struct vector_form {
    const char *code;
    size_t      size;
} vector_forms[] = {
    [CKIT_VECTOR_I32] = {"i32", 4},
    [CKIT_VECTOR_I64] = {"i64", 8},
    [CKIT_VECTOR_F32] = {"f32", 4},
    [CKIT_VECTOR_F64] = {"f64", 8},
};

/* Limits in the order in which the format asks them: this vector, then all of the call. False: it is not hashed. */
static bool count_vector(ckit_args *args, size_t count, size_t size) {
    if (count > CKIT_ARGS_VECTOR_MAX_BYTES / size) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "a vector of more than 100000 bytes");
        return false;
    }
    if ((args->state & CKITI_ARGS_VECTORS) == 0) {
        args->state |= CKITI_ARGS_VECTORS;
        args->vector_bytes = 0;
    }
    if (args->vector_bytes <= CKIT_ARGS_VECTORS_MAX_BYTES) {
        args->vector_bytes += (uint32_t)(count * size);
    }
    if (args->vector_bytes > CKIT_ARGS_VECTORS_MAX_BYTES) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "vectors of more than 5000000 bytes in one call");
        return false;
    }
    return true;
}

static void hash_little_endian(uint8_t digest[VECTOR_DIGEST], const void *elements, size_t count, size_t size) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    ckiti_blake2b(digest, VECTOR_DIGEST, ckit_slice_of(elements, count * size));
#else
    uint8_t        turned[CKIT_ARGS_VECTOR_MAX_BYTES];
    const uint8_t *from = elements;
    for (size_t i = 0; i < count * size; i++) {
        turned[i] = from[i - i % size + (size - 1 - i % size)];
    }
    ckiti_blake2b(digest, VECTOR_DIGEST, ckit_slice_of(turned, count * size));
#endif
}

void ckit_args_vector(ckit_args *args, ckit_vector_type type, const void *elements, size_t count) {
    static const char name[] = "__array_v1__";
    if ((unsigned)type > CKIT_VECTOR_F64) {
        ckiti_args_fail(args, CKIT_E_MISUSE, "a vector of an unknown element type");
        return;
    }
    const struct vector_form *form = &vector_forms[type];
    const size_t              most = sizeof name + (size_t)5 * CKITI_MSGPACK_HEAD + 3 + 2 * VECTOR_DIGEST;
    uint8_t                  *p = ckiti_args_begin(args, most, false);
    if (p == NULL) {
        return;
    }
    uint8_t digest[VECTOR_DIGEST] = {0};
    if (count_vector(args, count, form->size)) {
        hash_little_endian(digest, elements, count, form->size);
    }
    uint8_t *out = p;
    out += ckiti_put_array_head(out, 4);
    out += ckiti_put_str_head(out, sizeof name - 1);
    out = (uint8_t *)put_text((char *)out, name);
    out += ckiti_put_array_head(out, 1);
    out += ckiti_put_uint(out, count);
    out += ckiti_put_str_head(out, 3);
    out = (uint8_t *)put_text((char *)out, form->code);
    out += ckiti_put_str_head(out, 2 * VECTOR_DIGEST);
    ckiti_hex((char *)out, digest, sizeof digest);
    ckiti_args_end(args, (size_t)(out - p) + 2 * VECTOR_DIGEST);
}
