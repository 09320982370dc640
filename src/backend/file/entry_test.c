#include "entry.h"

#include "support/hex.h"
#include "support/test.h"

CKIT_TEST(entry, names_are_those_of_the_released_sdks) {
    char long_key[251];
    memset(long_key, 'x', 250);
    long_key[250] = '\0';
    const struct {
        const char *key, *name;
    } rows[] = {
        {"", "cae66941d9efbd404e4d88758ea67670"},
        {"a", "27c35e6e9373877f29e562464e46497e"},
        {"user:123", "2f67918399d2d3551998794c4b3601c7"},
        {"ns:app:func:m.f:args:abc:v1", "bcb35ae6f64fa65b2770ab3af631b1ce"},
        {"__health_check__", "c9129749a7b535e8f80f6ab3bdc7fe54"},
        {"\xc3\x9cn\xc3\xaf"
         "code-\xe9\x94\xae",
         "2214a16193591283447302aee1d1e31d"},
        {long_key, "8a2490d09258a25348b097204a9d43e8"},
        {"ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s",
         "3350d2fcfdb91acb120e8664660fb141"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ckiti_file_name name;
        ckiti_file_name_of_key(&name, S(rows[i].key));
        CHECK_STR(rows[i].name, name.text);
    }
}

CKIT_TEST(entry, headers_are_those_of_the_released_sdks) {
    const struct {
        uint64_t    expiry_s;
        const char *hex;
    } rows[] = {
        {0, "434b010000000000000000000000"},
        {1, "434b010000000000000000000001"},
        {1700000000, "434b01000000000000006553f100"},
        {4102444800, "434b0100000000000000f4865700"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t  header[CKITI_FILE_HEADER_BYTES];
        uint64_t back = 42;
        ckiti_file_header_write(header, rows[i].expiry_s);
        CHECK_BYTES(hex_slice(rows[i].hex), S_ARRAY(header));
        CHECK(ckiti_file_header_parse(header, sizeof header, &back) == CKITI_HEADER_OK);
        CHECK_EQ_U(rows[i].expiry_s, back);
    }
}

CKIT_TEST(entry, every_short_or_foreign_header_is_corrupt_and_a_newer_one_is_told_apart) {
    uint8_t  good[CKITI_FILE_HEADER_BYTES];
    uint64_t expiry_s;
    ckiti_file_header_write(good, 7);
    for (size_t len = 0; len < sizeof good; len++) {
        CHECK(ckiti_file_header_parse(good, len, &expiry_s) == CKITI_HEADER_CORRUPT);
    }
    for (size_t at = 0; at < CKITI_FILE_EXPIRY_OFFSET; at++) {
        uint8_t changed[CKITI_FILE_HEADER_BYTES];
        memcpy(changed, good, sizeof good);
        changed[at] ^= 0x80;
        ckiti_file_header_state expected = at < 3 ? CKITI_HEADER_CORRUPT : CKITI_HEADER_NEWER;
        CHECKF(ckiti_file_header_parse(changed, sizeof changed, &expiry_s) == expected, "byte %zu", at);
    }
}

CKIT_TEST(entry, only_32_lower_case_hex_digits_are_an_entry_name) {
    CHECK(ckiti_file_is_entry_name("0123456789abcdef0123456789abcdef"));
    CHECK(!ckiti_file_is_entry_name("0123456789abcdef0123456789abcde"));
    CHECK(!ckiti_file_is_entry_name("0123456789abcdef0123456789abcdef0"));
    CHECK(!ckiti_file_is_entry_name("0123456789ABCDEF0123456789abcdef"));
    CHECK(!ckiti_file_is_entry_name("0123456789abcdef0123456789abcdeg"));
    CHECK(!ckiti_file_is_entry_name(""));
    CHECK(!ckiti_file_is_entry_name(".ck-index"));
}

CKIT_TEST(entry, a_name_and_its_bytes_are_each_other) {
    uint8_t         hash[CKITI_FILE_HASH_BYTES];
    ckiti_file_name name;
    ckiti_file_name_to_hash(hash, "00ff456789abcdef0123456789abcdef");
    CHECK_BYTES(hex_slice("00ff456789abcdef0123456789abcdef"), S_ARRAY(hash));
    ckiti_file_name_of_hash(&name, hash);
    CHECK_STR("00ff456789abcdef0123456789abcdef", name.text);
}

CKIT_TEST(entry, a_lifetime_is_rounded_up_to_whole_seconds) {
    CHECK_EQ_U(0, ckiti_file_expiry_stamp(5000, CKIT_TTL_NO_EXPIRY));
    CHECK_EQ_U(6, ckiti_file_expiry_stamp(5000, 1000));
    CHECK_EQ_U(6, ckiti_file_expiry_stamp(5000, 1));
    CHECK_EQ_U(7, ckiti_file_expiry_stamp(5001, 1000));
    CHECK_EQ_U(1, ckiti_file_expiry_stamp(-99999, 1000)); /* a clock before 1970 must not make it eternal */
}

CKIT_TEST(entry, life_ends_when_the_clock_reaches_the_stamp) {
    CHECK_EQ_U(CKIT_LIFE_NO_EXPIRY, ckiti_file_life(0, 5000));
    CHECK_EQ_U(1, ckiti_file_life(6, 5999));
    CHECK_EQ_U(0, ckiti_file_life(6, 6000));
    CHECK_EQ_U(0, ckiti_file_life(6, 7000));
}

CKIT_TEST(entry, a_damaged_stamp_is_never_worth_more_than_the_longest_lifetime) {
    CHECK_EQ_U(CKIT_TTL_MAX_MS, ckiti_file_life(UINT64_MAX, 5000));
    CHECK_EQ_U(CKIT_TTL_MAX_MS, ckiti_file_life(UINT64_MAX / 2000, 5000));
    CHECK_EQ_U(CKIT_TTL_MAX_MS, ckiti_file_life(9000000000000000, INT64_MIN));
}
