#include "support/json_look.h"

#include <cachekit/msgpack.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define NUMBER_MAX 1100 /* characters; the longest exact form of a double has less */

/* json-c's tree takes about so many bytes for an object, an array, and a value or a name; "{}," is 3 bytes of text. */
#define OBJECT_BYTES 800
#define ARRAY_BYTES 160
#define VALUE_BYTES 100
#define TREE_MAX_BYTES (UINT64_C(4) << 30)

static void stop(json_look *l, ckit_status status, const char *why) {
    l->status = status;
    l->why = why;
}

static void wrong(json_look *l, const char *why) { stop(l, CKIT_E_MISUSE, why); }

static bool fits_64_bits(const char *digits) {
    errno = 0;
    if (*digits == '-') {
        (void)strtoll(digits, NULL, 10);
    } else {
        (void)strtoull(digits, NULL, 10);
    }
    return errno != ERANGE;
}

static void look_at_number(json_look *l) {
    char   text[NUMBER_MAX + 1] = "";
    size_t length = 0;
    while (l->at + length < l->end && memchr("+-.0123456789Ee", l->at[length], 15) != NULL) {
        if (length == NUMBER_MAX) {
            wrong(l, "a number of more than 1100 characters");
            return;
        }
        text[length] = (char)l->at[length];
        length++;
    }
    const char *digits = text + (*text == '-' ? 1 : 0);
    size_t      whole = strspn(digits, "0123456789");
    if (whole == 0 || (whole > 1 && *digits == '0') ||
        (digits[whole] == '.' && (digits[whole + 1] < '0' || digits[whole + 1] > '9'))) {
        wrong(l, "this is no number");
    } else if (digits[whole] != '\0' && isinf(strtod(text, NULL))) {
        wrong(l, "a number beyond the range of floats");
    } else if (digits[whole] == '\0' && !fits_64_bits(text)) {
        wrong(l, "a whole number beyond 64 bits: with .0 behind it, it is a float");
    } else {
        l->at += length;
    }
}

/* The code of "\uXXXX", else UINT32_MAX. */
static uint32_t escape_at(const uint8_t *at, const uint8_t *end) {
    char digits[5] = "";
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') {
        return UINT32_MAX;
    }
    memcpy(digits, at + 2, 4);
    return (uint32_t)strtoul(digits, NULL, 16);
}

static bool is_name(const json_look *l, const uint8_t *behind) {
    while (behind < l->end && memchr(" \t\r\n", *behind, 4) != NULL) {
        behind++;
    }
    return behind < l->end && *behind == ':';
}

static void look_at_string(json_look *l) {
    const uint8_t *begin = l->at + 1, *at = begin;
    bool           zero = false;
    for (; at < l->end && *at != '"'; at++) {
        uint32_t code = escape_at(at, l->end);
        zero = zero || code == 0;
        if (*at < 0x20) {
            wrong(l, "a control character in a string: write it as \\n, \\t or \\u00XX");
            l->at = at;
            return;
        }
        if (code >= 0xd800 && code < 0xe000) {
            uint32_t low = escape_at(at + 6, l->end);
            if (code >= 0xdc00 || low < 0xdc00 || low > 0xdfff) {
                wrong(l, "half of a surrogate pair is no character");
                return;
            }
            at += 6;
        }
        at += *at == '\\' && at + 1 < l->end;
    }
    const uint8_t *behind = at + (at < l->end);
    if (!ckit_utf8_valid(ckit_slice_of(begin, (size_t)(at - begin)))) {
        wrong(l, "a string that is not UTF-8");
    } else if (zero && is_name(l, behind)) {
        wrong(l, "a zero character in the name of a member");
    } else {
        l->at = behind;
    }
}

static void look_at_opening(json_look *l) {
    l->tree_bytes += *l->at == '{' ? OBJECT_BYTES : ARRAY_BYTES;
    if (l->depth == CKIT_MSGPACK_MAX_DEPTH) {
        stop(l, CKIT_E_DEPTH, "nested deeper than 512 levels");
    } else {
        l->depth++;
        l->at++;
    }
}

void cli_json_look(json_look *l) {
    while (l->at < l->end && l->status == CKIT_OK) {
        uint8_t c = *l->at;
        if (c == '"') {
            look_at_string(l);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            look_at_number(l);
        } else if (c == '{' || c == '[') {
            look_at_opening(l);
        } else if (c == 'N' || c == 'I') {
            wrong(l, "NaN and infinities are no JSON");
        } else {
            l->depth -= (c == '}' || c == ']') && l->depth > 0;
            l->tree_bytes += c == ',' || c == ':' ? VALUE_BYTES : 0;
            l->at++;
        }
        if (l->tree_bytes > TREE_MAX_BYTES) {
            stop(l, CKIT_E_TOO_LARGE, "more values than 4 GiB of memory hold");
        }
    }
}
