#include "entry.h"

#include "base/hash.h"
#include "bytes.h"

#include <string.h>

static const uint8_t expected_start[4] = {'C', 'K', 1, 0};

/* Four bytes as eight digits at once: a name is made for every call, and digit by digit took a tenth of a read. */
static void hex_of_four(char *out, const uint8_t *bytes) {
    const uint64_t nibbles = UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t       x = bytes[0] | (uint64_t)bytes[1] << 16 | (uint64_t)bytes[2] << 32 | (uint64_t)bytes[3] << 48;
    x = ((x >> 4) | (x << 8)) & nibbles; /* the high digit comes first */
    uint64_t letters = ((x + UINT64_C(0x0606060606060606)) >> 4) & UINT64_C(0x0101010101010101);
    x += UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10);
    memcpy(out, &x, sizeof x); /* little-endian, as bytes.h asserts */
}

void ckiti_file_name_of_hash(ckiti_file_name *out, const uint8_t hash[CKITI_FILE_HASH_BYTES]) {
    for (size_t i = 0; i < CKITI_FILE_HASH_BYTES; i += 4) {
        hex_of_four(out->text + 2 * i, hash + i);
    }
    out->text[CKITI_FILE_NAME_CHARS] = '\0';
}

void ckiti_file_name_of_key(ckiti_file_name *out, ckit_slice key) {
    uint8_t hash[CKITI_FILE_HASH_BYTES];
    ckiti_blake2b(hash, sizeof hash, key);
    ckiti_file_name_of_hash(out, hash);
}

/* 0 to 15, or -1 for anything but a lower-case hex digit. */
static int digit_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool ckiti_file_is_entry_name(const char *name) {
    for (size_t i = 0; i < CKITI_FILE_NAME_CHARS; i++) {
        if (digit_value(name[i]) < 0) {
            return false;
        }
    }
    return name[CKITI_FILE_NAME_CHARS] == '\0';
}

void ckiti_file_name_to_hash(uint8_t hash[CKITI_FILE_HASH_BYTES], const char *name) {
    for (size_t i = 0; i < CKITI_FILE_HASH_BYTES; i++) {
        hash[i] = (uint8_t)((unsigned)digit_value(name[2 * i]) << 4 | (unsigned)digit_value(name[2 * i + 1]));
    }
}

ckiti_file_header_state ckiti_file_header_parse(const uint8_t *bytes, size_t len, uint64_t *expiry_s) {
    if (len < CKITI_FILE_HEADER_BYTES || memcmp(bytes, expected_start, 3) != 0) {
        return CKITI_HEADER_CORRUPT;
    }
    if (bytes[3] != 0 || bytes[4] != 0 || bytes[5] != 0) {
        return CKITI_HEADER_NEWER;
    }
    *expiry_s = get_u64(bytes + CKITI_FILE_EXPIRY_OFFSET);
    return CKITI_HEADER_OK;
}

void ckiti_file_header_write(uint8_t out[CKITI_FILE_HEADER_BYTES], uint64_t expiry_s) {
    memcpy(out, expected_start, sizeof expected_start);
    out[4] = out[5] = 0;
    put_u64(out + CKITI_FILE_EXPIRY_OFFSET, expiry_s);
}

uint64_t ckiti_file_expiry_stamp(int64_t now_ms, uint64_t ttl_ms) {
    if (ttl_ms == CKIT_TTL_NO_EXPIRY) {
        return 0;
    }
    int64_t end_ms;
    if (ttl_ms > INT64_MAX || __builtin_add_overflow(now_ms, (int64_t)ttl_ms, &end_ms)) {
        return 0;
    }
    if (end_ms <= 1000) {
        return 1; /* a clock before 1970: 0 would mean for ever */
    }
    return ((uint64_t)end_ms + 999u) / 1000u;
}

uint64_t ckiti_file_life(uint64_t expiry_s, int64_t now_ms) {
    if (expiry_s == 0) {
        return CKIT_LIFE_NO_EXPIRY;
    }
    int64_t end_ms, left_ms;
    if (expiry_s > INT64_MAX || __builtin_mul_overflow((int64_t)expiry_s, (int64_t)1000, &end_ms) ||
        __builtin_sub_overflow(end_ms, now_ms, &left_ms)) {
        return CKIT_TTL_MAX_MS;
    }
    if (left_ms <= 0) {
        return 0;
    }
    return (uint64_t)left_ms < CKIT_TTL_MAX_MS ? (uint64_t)left_ms : CKIT_TTL_MAX_MS;
}
