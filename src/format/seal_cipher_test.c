/* The building blocks against their standards, and the two ciphers against each other. Of seal_openssl.c and
 * seal_sodium.c. */
#include <cachekit/buf.h>

#include "base/random.h"
#include "format/seal_cipher.h"
#include "format/seal_secret.h"
#include "support/hex.h"
#include "support/test.h"

#include <pthread.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const ckiti_cipher_ops *const ciphers[] = {&ckiti_cipher_sodium, &ckiti_cipher_openssl};

typedef struct ready {
    const ckiti_cipher_ops *ops;
    void                   *self;
    ckiti_cipher_key        key;
} ready;

/* False where this machine does not have it. */
static bool ready_init(ready *r, const ckiti_cipher_ops *ops, ckit_slice key) {
    memset(r, 0, sizeof *r);
    r->ops = ops;
    ckit_status st = ops->load(NULL, &r->self, NULL);
    if (st == CKIT_E_UNSUPPORTED) {
        return false;
    }
    CHECK_OK(st);
    r->key.secret = ckiti_secret_alloc(sizeof *r->key.secret);
    CHECK(r->key.secret != NULL);
    CHECK_EQ_U(CKITI_SEAL_KEY, key.len);
    memcpy(r->key.secret->key, key.ptr, key.len);
    if (ops == &ckiti_cipher_sodium) {
        ckiti_cipher_sodium_expand(&r->key);
    }
    return true;
}

static void ready_fini(ready *r) {
    r->ops->forget(r->self, &r->key);
    ckiti_secret_free(r->key.secret);
    r->ops->unload(NULL, r->self);
}

#define KEY_15 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define PLAIN_16                                                                                                       \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657" \
    "ba637b39"
#define CIPHER_16                                                                                                      \
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a" \
    "bcc9f662"
#define ZEROS_16 "00000000000000000000000000000000"

/* "The Galois/Counter Mode of Operation", which NIST SP 800-38D refers to: its test cases 13 to 16. */
static const struct {
    const char *key, *nonce, *additional, *plain, *sealed, *tag;
} gcm[] = {
    {ZEROS_16 ZEROS_16, "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {ZEROS_16 ZEROS_16, "000000000000000000000000", "", ZEROS_16, "cea7403d4d606b6e074ec5d3baf39d18",
     "d0d1c8a799996bf0265b98b5d48ab919"},
    {KEY_15, "cafebabefacedbaddecaf888", "", PLAIN_16 "1aafd255", CIPHER_16 "898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {KEY_15, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", PLAIN_16, CIPHER_16,
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

CKIT_TEST(seal_cipher, the_known_answers_of_galois_counter_mode) {
    for (size_t c = 0; c < COUNT(ciphers); c++) {
        for (size_t i = 0; i < COUNT(gcm); i++) {
            ready r;
            if (!ready_init(&r, ciphers[c], hex_slice(gcm[i].key))) {
                break;
            }
            const ckit_slice plain = hex_slice(gcm[i].plain), additional = hex_slice(gcm[i].additional);
            const uint8_t   *nonce = hex_slice(gcm[i].nonce).ptr;
            uint8_t          out[64], back[64], tag[16];
            CHECK_OK(r.ops->seal(r.self, &r.key, nonce, additional, plain, out, tag, NULL));
            CHECK_BYTES(hex_slice(gcm[i].sealed), ckit_slice_of(out, plain.len));
            CHECK_BYTES(hex_slice(gcm[i].tag), S_ARRAY(tag));
            CHECK_OK(r.ops->open(r.self, &r.key, nonce, additional, ckit_slice_of(out, plain.len), tag, back, NULL));
            CHECK_BYTES(plain, ckit_slice_of(back, plain.len));
            ready_fini(&r);
        }
    }
}

CKIT_TEST(seal_cipher, what_one_seals_the_other_opens) {
    uint8_t key[32], plain[700], sealed[700], back[700], nonce[12], additional[300], tag[16];
    ready   r[2];
    ckiti_random_bytes(key, sizeof key);
    ckiti_random_bytes(plain, sizeof plain);
    ckiti_random_bytes(additional, sizeof additional);
    if (!ready_init(&r[0], ciphers[0], S_ARRAY(key))) {
        SKIP("this processor has no AES instructions");
    }
    CHECK(ready_init(&r[1], ciphers[1], S_ARRAY(key)));
    for (size_t len = 0; len <= sizeof plain; len += 7) {
        const ckit_slice aad = ckit_slice_of(additional, len * 3 % sizeof additional);
        for (int who = 0; who < 2; who++) {
            const ready *writer = &r[who], *reader = &r[1 - who];
            ckiti_random_bytes(nonce, sizeof nonce);
            memcpy(sealed, plain, sizeof plain); /* in place */
            CHECK_OK(writer->ops->seal(writer->self, &r[who].key, nonce, aad, ckit_slice_of(sealed, len), sealed, tag,
                                       NULL));
            CHECK_OK(reader->ops->open(reader->self, &r[1 - who].key, nonce, aad, ckit_slice_of(sealed, len), tag, back,
                                       NULL));
            CHECK_BYTES(ckit_slice_of(plain, len), ckit_slice_of(back, len));
        }
    }
    ready_fini(&r[0]);
    ready_fini(&r[1]);
}

CKIT_TEST(seal_cipher, no_plaintext_comes_out_when_the_tag_is_wrong) {
    for (size_t c = 0; c < COUNT(ciphers); c++) {
        ready         r;
        const uint8_t nonce[12] = {1}, zeros[40] = {0};
        uint8_t       sealed[40], back[40], tag[16];
        if (!ready_init(&r, ciphers[c], hex_slice(KEY_15))) {
            continue;
        }
        CHECK_OK(r.ops->seal(r.self, &r.key, nonce, S("a"), S("forty bytes of plaintext, forty bytes..."), sealed, tag,
                             NULL));
        tag[15] ^= 1;
        memset(back, 0x55, sizeof back);
        CHECK_STATUS(CKIT_E_AUTH_TAG, r.ops->open(r.self, &r.key, nonce, S("a"), S_ARRAY(sealed), tag, back, NULL));
        CHECK_BYTES(S_ARRAY(zeros), S_ARRAY(back));
        tag[15] ^= 1; /* the failure leaves nothing behind */
        CHECK_OK(r.ops->open(r.self, &r.key, nonce, S("a"), S_ARRAY(sealed), tag, back, NULL));
        ready_fini(&r);
    }
}

static void *seal_and_open(void *arg) {
    ready  *r = arg;
    uint8_t sealed[100], back[100], plain[100], nonce[12], tag[16];
    ckiti_random_bytes(plain, sizeof plain);
    for (int i = 0; i < 300; i++) {
        ckiti_random_bytes(nonce, sizeof nonce);
        CHECK_OK(r->ops->seal(r->self, &r->key, nonce, S("a"), S_ARRAY(plain), sealed, tag, NULL));
        CHECK_OK(r->ops->open(r->self, &r->key, nonce, S("a"), S_ARRAY(sealed), tag, back, NULL));
        CHECK_BYTES(S_ARRAY(plain), S_ARRAY(back));
    }
    return NULL;
}

CKIT_TEST(seal_cipher, more_threads_than_contexts_share_a_key) {
    for (size_t c = 0; c < COUNT(ciphers); c++) {
        ready     r;
        pthread_t threads[CKITI_SEAL_CONTEXTS + 4];
        if (!ready_init(&r, ciphers[c], hex_slice(KEY_15))) {
            continue;
        }
        for (size_t i = 0; i < COUNT(threads); i++) {
            CHECK_EQ_I(0, pthread_create(&threads[i], NULL, seal_and_open, &r));
        }
        for (size_t i = 0; i < COUNT(threads); i++) {
            pthread_join(threads[i], NULL);
        }
        ready_fini(&r);
    }
}

/* RFC 5869, appendix A.1 to A.3. */
static const struct {
    const char *input, *salt, *info, *output;
} hkdf[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637"
     "38393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
     "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f9091929394959697"
     "98999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7"
     "e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8"
     "367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

CKIT_TEST(seal_cipher, the_known_answers_of_hkdf) {
    for (size_t i = 0; i < COUNT(hkdf); i++) {
        const ckit_slice expected = hex_slice(hkdf[i].output);
        uint8_t          out[128];
        ckiti_hkdf_sha256(hex_slice(hkdf[i].salt), hex_slice(hkdf[i].input), hex_slice(hkdf[i].info), out,
                          expected.len);
        CHECK_BYTES(expected, ckit_slice_of(out, expected.len));
    }
}

/* What the released SDKs make of three master keys (all bytes equal: the first column) for four tenants. */
static const struct {
    uint8_t     master;
    const char *tenant, *salt, *encryption, *authentication, *cache_keys, *fingerprint;
} derived[] = {
    {0x61, "default", "63616368656b69745f76315f0a656e6372797074696f6e000764656661756c74",
     "92e214391c4ec7e399a35e9bd973449ed39488a17219da2dd87778f139a8a696",
     "569077164c92db0c1bb90c406ef67177fd66af7770b38d111bbf7087cc5c4210",
     "b894bc1bc5dc7cd5e64dccac16688ceddaff5f6a926ee26d9306fa34ad716230", "52d54c97f8e5efaa5bdf58a301f92726"},
    {0x61, "00000000-0000-0000-0000-000000000001",
     "63616368656b69745f76315f0a656e6372797074696f6e002430303030303030302d303030302d303030302d303030302d303030303030303"
     "030303031",
     "2a2cbd15d05c97ec5b82306cde5d08f7607193bf2a12c3937e1f992608dd71b6",
     "ba17760a8fe220305aee5f9774701db3190638386c82110f179cb12fb873914c",
     "1c3b1984c619eb2e211f416cf20725448adc61f702976308917bee63ce281113", "33afb25a45ad1762dc4df32cffa3dde5"},
    {0x61, "cross-sdk-test", "63616368656b69745f76315f0a656e6372797074696f6e000e63726f73732d73646b2d74657374",
     "cf7fc0bcba58980ed702558db1c2efa3fa01c930636f2321515cccf66f656440",
     "d9d65d7522279b162578c015de0403612bc806290b2c567bde844c9c6b62cf2b",
     "d1c961521c3aa91815933375e082c04015b17b3ab0eb58055883feaca99c9795", "96179a9bc881aa7ca83f04b78a66afd3"},
    {0x61, "tenant-123", "63616368656b69745f76315f0a656e6372797074696f6e000a74656e616e742d313233",
     "c6eab4f03f4fc1c7b208460f9b620adaa0ab521b8104270804a0aa1b6e6a166e",
     "fd0fd044cbb56e81f7a2a26c848599e31d5940a787a55cf0bd7bf0d4e380a3e2",
     "88737c63c041ac53abd0c4daadd3a462e3af67e686a29880d3798252ba97034a", "ef623cf0bc01723e982b1fd0cdb6cf60"},
    {0x11, "default", "63616368656b69745f76315f0a656e6372797074696f6e000764656661756c74",
     "ab11e390e4ed28445e19a7938a79d545eeab15434be740f712c4a577d3eec89b",
     "d04da71c4abc01fb9a15d71f4d1f3632000abae3bc1f7c081ca7dbff46933de5",
     "04733f58db4e63de1dfee699762f71eee832231665a2d45d1926cfb1f30d06aa", "f330dfa841d391e1c467a85c02fd9836"},
    {0x11, "00000000-0000-0000-0000-000000000001",
     "63616368656b69745f76315f0a656e6372797074696f6e002430303030303030302d303030302d303030302d303030302d303030303030303"
     "030303031",
     "6adff0f2caaba72ece806dd74c041255c46860d26a6c7d5af2c0ea7c5c9eabc6",
     "774c97ac674c75e623e6cdf0fbb802911bfd8e4943b7d69a89957c9af9644db1",
     "1b030d667fe5e723c2a19d44a662271f5ff49e74f6f2ecb9bdf63e620bc1e2ea", "048f1ced3e7be963d7dd06e5d98cf048"},
    {0x11, "cross-sdk-test", "63616368656b69745f76315f0a656e6372797074696f6e000e63726f73732d73646b2d74657374",
     "7829f49bc36a306523c54e5c98a951fdc831ba0c07fcb8b405a2935a9804681b",
     "34cacd3828d1622fbb0beaa15e51b69abfdcc96558bb6ab3335ec3202f80c20a",
     "1a58958ae57c8e4a744bb95cc37301811179dab8a9f977a61bb276a6536bc830", "92d4395f0cbe73a1fb8374c507a06b56"},
    {0x11, "tenant-123", "63616368656b69745f76315f0a656e6372797074696f6e000a74656e616e742d313233",
     "6e96b4a28b5bfd681adb2e94d67cd8f58dc86b1e31763bead3e15e074f223bd8",
     "5ac274d801508376c5e257695f57c2358e5c067f9ef198dea554694298c2490b",
     "2bee49886121ea0f07d48e29dc267d7cd7054070a57266dd1d1ea4a697f2ef90", "32a84f793e7aa871d6cd521011eb0d59"},
    {0x22, "default", "63616368656b69745f76315f0a656e6372797074696f6e000764656661756c74",
     "18f1ec9adc65ff05eff2656c489c113fb098f311058145490e759f0408d3c1e5",
     "4c2d7f25dfd115cbf9d36691f6f03f325e524618b2c304bae0b81f38aac0fafc",
     "e12453e80d5df3bd4ff10380c2228eac74c0474a1d1523f83493add95e58bd0b", "eb502cc6d8fa6d70629587e8d971dd68"},
    {0x22, "00000000-0000-0000-0000-000000000001",
     "63616368656b69745f76315f0a656e6372797074696f6e002430303030303030302d303030302d303030302d303030302d303030303030303"
     "030303031",
     "10866fa7dbfe68d6c903d54299720941d44b2828870826975ecf699f7b2fe40d",
     "0695865ee18bd0c2a176fee6788ee15195577973c4ad767d3b6f383ec2c4cebe",
     "e8a4e50d4cb885f196aaab6dbf69fea572dfa1bad9bfe337a38691007855d1e0", "41fdf18ed00724551a282a8dae67ed7b"},
    {0x22, "cross-sdk-test", "63616368656b69745f76315f0a656e6372797074696f6e000e63726f73732d73646b2d74657374",
     "2fbe3c08f0e061db37f1c86c93fea564c79160579effc9272218773a681f8248",
     "ef1692f628b10bf7b746473feb6d1f32766f5ec363e9f039f989c880ce70404f",
     "60f6a3bb30c014619b54bb1ed108fb8e5a175a894491134383340614b214ba89", "ae2b093ff125cd366065079eaf7d0b04"},
    {0x22, "tenant-123", "63616368656b69745f76315f0a656e6372797074696f6e000a74656e616e742d313233",
     "5ff80d507f832aeac87ad43969b01776201b4ef183af70d27ae0d29035c8ac7b",
     "4e699ba3079133130cbcbdbc299c87f4b5a37e0588865d5318f67113d707d0c9",
     "0fadcb3f4f08981c91b421b6209b944fc8ee139ec95249826ef650d0f3994916", "c59062368101e8406d531fb1232e89d7"},
};

CKIT_TEST(seal_cipher, tenants_keys_and_fingerprints_are_those_of_the_sdks) {
    for (size_t i = 0; i < COUNT(derived); i++) {
        const ckit_slice tenant = S(derived[i].tenant);
        uint8_t          master[32], key[32], salt[CKITI_TENANT_SALT_MAX], fingerprint[CKITI_FINGERPRINT];
        memset(master, derived[i].master, sizeof master);
        const size_t len = ckiti_tenant_salt("encryption", tenant, salt);
        CHECK_BYTES(hex_slice(derived[i].salt), ckit_slice_of(salt, len));
        ckiti_tenant_key(S_ARRAY(master), "authentication", tenant, key);
        CHECK_BYTES(hex_slice(derived[i].authentication), S_ARRAY(key));
        ckiti_tenant_key(S_ARRAY(master), "cache_keys", tenant, key);
        CHECK_BYTES(hex_slice(derived[i].cache_keys), S_ARRAY(key));
        ckiti_tenant_key(S_ARRAY(master), "encryption", tenant, key);
        CHECK_BYTES(hex_slice(derived[i].encryption), S_ARRAY(key));
        ckiti_key_fingerprint(key, fingerprint);
        CHECK_BYTES(hex_slice(derived[i].fingerprint), S_ARRAY(fingerprint));
    }
    uint8_t      salt[CKITI_TENANT_SALT_MAX];
    const size_t len = ckiti_tenant_salt("cache", S("tenant-123"), salt);
    CHECK_BYTES(hex_slice("63616368656b69745f76315f056361636865000a74656e616e742d313233"), ckit_slice_of(salt, len));
}

CKIT_TEST(seal_cipher, bytes_are_the_same_only_when_each_of_them_is) {
    uint8_t a[70], b[70];
    ckiti_random_bytes(a, sizeof a);
    for (size_t len = 0; len <= sizeof a; len++) {
        memcpy(b, a, sizeof b);
        CHECK(ckiti_same_bytes(ckit_slice_of(a, len), ckit_slice_of(b, len)));
        CHECK(len == 0 || !ckiti_same_bytes(ckit_slice_of(a, len), ckit_slice_of(b, len - 1)));
        for (size_t bit = 0; bit < 8 * len; bit++) {
            b[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(!ckiti_same_bytes(ckit_slice_of(a, len), ckit_slice_of(b, len)));
            b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}
