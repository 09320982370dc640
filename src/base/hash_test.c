#include "base/hash.h"

#include "support/hex.h"
#include "support/test.h"

static void check_blake2b(const char *digest_hex, size_t digest_len, ckit_slice bytes) {
    uint8_t digest[64];
    char    hex[129] = {0};
    ckiti_blake2b(digest, digest_len, bytes);
    ckiti_hex(hex, digest, digest_len);
    CHECK_STR(digest_hex, hex);
}

/* The digest length is a parameter of the hash: these are no prefixes of the 64-byte digests. */
CKIT_TEST(hash, blake2b_of_16_and_32_bytes_has_its_known_answers) {
    check_blake2b("cae66941d9efbd404e4d88758ea67670", 16, S(""));
    check_blake2b("27c35e6e9373877f29e562464e46497e", 16, S("a"));
    check_blake2b("2f67918399d2d3551998794c4b3601c7", 16, S("user:123"));
    check_blake2b("3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153", 32,
                  S_LITERAL("\x92\x91\x2a\x80"));
}

CKIT_TEST(hash, xxh3_has_its_known_answers) {
    CHECK_EQ_U(UINT64_C(0x2d06800538d394c2), ckiti_xxh3(S(""), 0));
    CHECK_EQ_U(UINT64_C(0xd123cc9bbe9da4b1), ckiti_xxh3(S("cachekit-kat"), 0));
    CHECK(ckiti_xxh3(S("cachekit-kat"), 1) != ckiti_xxh3(S("cachekit-kat"), 2));
}
