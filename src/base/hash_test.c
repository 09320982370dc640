/* hash.c, and hash_avx2.c where the processor has that. */
#include "base/hash.h"

#include <cachekit/buf.h>

#include "support/hex.h"
#include "support/test.h"

#include <sodium.h>

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

/* RFC 7693, appendix A. */
CKIT_TEST(hash, blake2b_of_64_bytes_has_the_known_answer_of_its_rfc) {
    check_blake2b("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                  "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
                  64, S("abc"));
}

/* RFC 7693, appendix E: a sequence of bytes that depends on its length. */
static ckit_slice sequence(uint8_t room[1024], uint32_t len) {
    uint32_t a = UINT32_C(0xdead4bad) * len, b = 1;
    for (uint32_t i = 0; i < len; i++) {
        const uint32_t next = a + b;
        a = b;
        b = next;
        room[i] = (uint8_t)(next >> 24);
    }
    return ckit_slice_of(room, len);
}

/* The same appendix: a hash of the hashes of many lengths. Those with a key, which we have no use for, are
 * libsodium's. */
CKIT_TEST(hash, blake2b_passes_the_self_test_of_its_rfc) {
    static const uint32_t digest_lengths[] = {20, 32, 48, 64}, lengths[] = {0, 3, 128, 129, 255, 1024};
    uint8_t               hashes[4 * 6 * 2 * 64], given[1024], key[1024], *at = hashes;
    for (size_t d = 0; d < 4; d++) {
        for (size_t l = 0; l < 6; l++) {
            const ckit_slice bytes = sequence(given, lengths[l]);
            const ckit_slice keyed = sequence(key, digest_lengths[d]);
            ckiti_blake2b(at, digest_lengths[d], bytes);
            at += digest_lengths[d];
            CHECK_EQ_I(0, crypto_generichash(at, digest_lengths[d], bytes.ptr, bytes.len, keyed.ptr, keyed.len));
            at += digest_lengths[d];
        }
    }
    check_blake2b("c23a7800d98123bd10f506c61e29da5603d763b8bbad2e737f5e765a7bccd475", 32,
                  ckit_slice_of(hashes, (size_t)(at - hashes)));
}

CKIT_TEST(hash, xxh3_has_its_known_answers) {
    CHECK_EQ_U(UINT64_C(0x2d06800538d394c2), ckiti_xxh3(S(""), 0));
    CHECK_EQ_U(UINT64_C(0xd123cc9bbe9da4b1), ckiti_xxh3(S("cachekit-kat"), 0));
    CHECK(ckiti_xxh3(S("cachekit-kat"), 1) != ckiti_xxh3(S("cachekit-kat"), 2));
}

CKIT_TEST(hash, xxh3_of_contents_is_the_same_on_every_processor) {
    static uint8_t bytes[70000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 131 + (i >> 8));
    }
    for (size_t len = 0; len < sizeof bytes; len += len < 1100 ? 1 : 977) {
        const uint64_t expected = XXH3_64bits(bytes + 1, len);
        CHECK_EQ_U(expected, ckiti_xxh3_content(bytes + 1, len));
        CHECK_EQ_U(expected, ckiti_xxh3_long(bytes + 1, len));
    }
}
