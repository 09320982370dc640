/* What vector registers hold when sealing and opening come back. */
#include "format/seal_wipe.h"

#include <cachekit/buf.h>

#include "format/seal_ring.h"
#include "format/sealed.h"
#include "support/test.h"

#define REGISTERS 32
#define WIDEST 64
#define PIECE 8

/* Bytes that do not repeat, so that they are copied whole when they are compressed, and any piece of them is known. */
static uint8_t plaintext[8192];

static void fill_plaintext(void) {
    uint64_t state = 1;
    for (size_t i = 0; i < sizeof plaintext; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        plaintext[i] = (uint8_t)(state >> 56);
    }
}

#ifdef __x86_64__

typedef struct registers {
    uint8_t bytes[REGISTERS][WIDEST];
} registers;

#define STORE_VEX(n) "vmovdqu %%ymm" #n "," #n "*64(%0)\n\t"
#define STORE_EVEX(n) "vmovdqu64 %%zmm" #n "," #n "*64(%0)\n\t"
#define STORE_SSE(n) "movdqu %%xmm" #n "," #n "*64(%0)\n\t"

/* Of this processor. Asked before registers matter: a sanitizer looks at every read of memory by a call. */
typedef struct kinds {
    bool avx, avx512vl;
} kinds;

static kinds kinds_here(void) {
    return (kinds){__builtin_cpu_supports("avx") != 0, __builtin_cpu_supports("avx512vl") != 0};
}

/* No call, which would use them itself. */
__attribute__((always_inline)) static inline void note_registers(registers *r, kinds has) {
    if (has.avx) {
        __asm__ volatile(CKITI_LOWER(STORE_VEX) : : "r"(r->bytes) : "memory");
    } else {
        __asm__ volatile(CKITI_LOWER(STORE_SSE) : : "r"(r->bytes) : "memory");
    }
    if (has.avx512vl) {
        __asm__ volatile(CKITI_UPPER(STORE_EVEX) : : "r"(r->bytes) : "memory");
    }
}

#else

typedef struct registers {
    uint8_t bytes[1][1];
} registers;
typedef int  kinds;
static kinds kinds_here(void) { return 0; }
static void  note_registers(registers *r, kinds has) { (void)r, (void)has; }

#endif

/* Says little: registers and keys' memory are mostly zero. */
static bool is_poor(const uint8_t *piece) {
    unsigned zeros = 0;
    for (size_t i = 0; i < PIECE; i++) {
        zeros += piece[i] == 0;
    }
    return zeros > PIECE / 2;
}

/* Pieces of these bytes, wherever they begin. */
static unsigned found_in(const registers *r, const void *secret, size_t len) {
    const uint8_t *bytes = (const uint8_t *)r;
    unsigned       found = 0;
    for (size_t i = 0; i + PIECE <= sizeof *r; i++) {
        found += !is_poor(bytes + i) && memmem(secret, len, bytes + i, PIECE) != NULL;
    }
    return found;
}

static ckit_keyring *open_ring(ckit_seal_cipher cipher) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    options.master_key_hex = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
    options.cipher = cipher;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    return ring;
}

static void seal_and_open(const ckiti_sealed_place *place, const ckiti_secret *secret, ckit_slice document,
                          bool integrity) {
    static registers   after[4];
    ckit_buf           out = CKIT_BUF_INIT, back = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
    ckit_frame         frame;
    ckiti_sealed_class cls;
    ckit_status        st[4];
    const kinds        has = kinds_here();
    st[0] = ckiti_sealed_seal(place, document, integrity, 0, 0, &out, NULL);
    note_registers(&after[0], has);
    st[1] = ckiti_sealed_open(place, ckit_buf_slice(&out), integrity, 0, &back, &cls, NULL);
    note_registers(&after[1], has);
    st[2] = ckiti_sealed_read_frame(place, ckit_buf_slice(&out), 0, &back, &cls, NULL);
    note_registers(&after[2], has);
    st[3] = ckiti_sealed_read(place, ckit_buf_slice(&out), 0, &frame, &back, &scratch, &cls, NULL);
    note_registers(&after[3], has);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(st[i]);
        const unsigned of_value = found_in(&after[i], plaintext, sizeof plaintext);
        const unsigned of_key = found_in(&after[i], secret, sizeof *secret);
        CHECKF(of_value == 0, "%zu bytes, step %d: %u pieces of the value", document.len, i, of_value);
        CHECKF(of_key == 0, "%zu bytes, step %d: %u pieces of the key", document.len, i, of_key);
    }
    CHECK_BYTES(document, ckit_slice_of(back.ptr, document.len));
    ckit_buf_fini(&out);
    ckit_buf_fini(&back);
    ckit_buf_fini(&scratch);
}

CKIT_TEST(seal_wipe, neither_plaintext_nor_round_keys_stay_in_vector_registers) {
    static const size_t sizes[] = {64, 200, 1000, sizeof plaintext};
    fill_plaintext();
    for (int cipher = 0; cipher <= CKIT_SEAL_CIPHER_OPENSSL; cipher += CKIT_SEAL_CIPHER_OPENSSL) {
        const ckiti_sealed_place place = {.ring = open_ring((ckit_seal_cipher)cipher), .tenant = S("t"), .key = S("k")};
        ckiti_tenant            *tenant;
        CHECK_OK(ckiti_ring_borrow(place.ring, 0, place.tenant, &tenant, NULL));
        ckiti_cipher_sodium_expand(&tenant->cipher); /* OpenSSL makes the same of the key, elsewhere */
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            seal_and_open(&place, tenant->cipher.secret, ckit_slice_of(plaintext, sizes[i]), true);
            seal_and_open(&place, tenant->cipher.secret, ckit_slice_of(plaintext, sizes[i]), false);
        }
        ckiti_ring_give_back(place.ring, tenant);
        ckit_keyring_close(place.ring);
    }
}

CKIT_TEST(seal_wipe, plaintext_in_any_vector_register_is_seen_and_wiped) {
#ifdef __x86_64__
    static registers r;
    fill_plaintext();
#define LOAD_SSE(n) "movdqu (%0),%%xmm" #n "\n\t"
#define LOAD_VEX(n) "vmovdqu (%0),%%ymm" #n "\n\t"
#define LOAD_EVEX(n) "vmovdqu64 (%0),%%zmm" #n "\n\t"
    const kinds has = kinds_here();
    unsigned    expected = 16 * (16 - PIECE + 1);
    if (has.avx) {
        expected = 16 * (32 - PIECE + 1);
        __asm__ volatile(CKITI_LOWER(LOAD_VEX) : : "r"(plaintext) : CKITI_CLOBBERED, "memory");
    } else {
        __asm__ volatile(CKITI_LOWER(LOAD_SSE) : : "r"(plaintext) : CKITI_CLOBBERED, "memory");
    }
    if (has.avx512vl) {
        expected += 16 * (64 - PIECE + 1);
        __asm__ volatile(CKITI_UPPER(LOAD_EVEX) : : "r"(plaintext) : "memory");
    }
    note_registers(&r, has);
    CHECK_EQ_U(expected, found_in(&r, plaintext, sizeof plaintext));
    memset(&r, 0, sizeof r);
    ckiti_wipe_registers();
    note_registers(&r, has);
    CHECK_EQ_U(0, found_in(&r, plaintext, sizeof plaintext));
#else
    SKIP("registers of other processors are not known here");
#endif
}
