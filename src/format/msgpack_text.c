/* format/msgpack_text.c - UTF-8, and the names of types. */
#include <cachekit/msgpack.h>
#include <string.h>

const char *ckit_type_name(ckit_type type) {
    static const char *const names[] = {
        [CKIT_TYPE_END] = "the end",
        [CKIT_TYPE_INVALID] = "no value",
        [CKIT_TYPE_NIL] = "nil",
        [CKIT_TYPE_BOOL] = "a boolean",
        [CKIT_TYPE_INT] = "a negative integer",
        [CKIT_TYPE_UINT] = "an integer",
        [CKIT_TYPE_DOUBLE] = "a float",
        [CKIT_TYPE_STR] = "text",
        [CKIT_TYPE_BIN] = "bytes",
        [CKIT_TYPE_ARRAY] = "an array",
        [CKIT_TYPE_MAP] = "a map",
        [CKIT_TYPE_EXT] = "an extension",
        [CKIT_TYPE_DATETIME] = "a datetime",
        [CKIT_TYPE_DATE] = "a date",
        [CKIT_TYPE_TIME] = "a time",
    };
    const size_t index = (size_t)type;
    return index < sizeof names / sizeof names[0] ? names[index] : "no value";
}

static bool is_continuation(uint8_t byte) { return (byte & 0xc0u) == 0x80; }

/* The length of the sequence that begins at `p` with a byte of 0x80 or above, or 0 when it is ill-formed. The range of
 * the second byte excludes overlong forms, surrogates and what lies above U+10FFFF (Unicode, table 3-7). */
static size_t sequence_at(const uint8_t *p, size_t left) {
    const uint8_t lead = p[0];
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    const size_t len = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (left < len) {
        return 0;
    }
    const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (!is_continuation(p[i])) {
            return 0;
        }
    }
    return len;
}

bool ckit_utf8_valid(ckit_slice text) {
    const uint8_t *p = text.ptr;
    size_t         left = text.len;
    while (left > 0) {
        uint64_t eight;
        while (left >= sizeof eight) {
            memcpy(&eight, p, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) != 0) {
                break;
            }
            p += sizeof eight;
            left -= sizeof eight;
        }
        while (left > 0 && *p < 0x80) {
            p++;
            left--;
        }
        if (left > 0) {
            const size_t len = sequence_at(p, left);
            if (len == 0) {
                return false;
            }
            p += len;
            left -= len;
        }
    }
    return true;
}
