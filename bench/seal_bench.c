/* Sealed values: bytes of content compressed, hashed and encrypted a second, and back, against liblz4, XXH3 and
 * OpenSSL's EVP alone.
 *
 * The floor compresses and hashes as that of the envelopes does, and encrypts with one context that keeps its key,
 * telling it only a nonce, and the same additional data as ours. It makes no frame. Both sides reuse their buffers and
 * take turns with several contents. */
#include "bench.h"
#include "document.h"
#include "format/seal.h"
#include "format/sealed.h"

#include <cachekit/buf.h>
#include <lz4.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define CONTENTS 16
#define NONCE 12
#define TAG 16
#define WARM_BYTES (UINT64_C(8) << 20) /* a ring has then decided who does its arithmetic */

static const char master_key[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const char tenant[] = "00000000-0000-0000-0000-000000000001";
static const char key[] =
    "ns:app:func:app.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s";

typedef struct content {
    ckit_buf document;
    ckit_buf stored;
    uint8_t *block; /* what the floor made of it: nonce, ciphertext, tag */
    int      block_len;
    uint64_t checksum;
} content;

typedef struct family {
    content               contents[CONTENTS];
    size_t                count; /* a power of two */
    size_t                len;
    ckiti_sealed_place    place;
    ckit_buf              out; /* where we write to */
    EVP_CIPHER_CTX       *sealer, *opener;
    ckiti_seal_additional additional;
    uint64_t              nonces;
    uint8_t              *clear, *room; /* where the floor writes to */
    int                   room_len;
} family;

static void must(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "seal: %s\n", what);
        exit(2);
    }
}

/* ---- the floor ------------------------------------------------------------------------------------------------ */

static EVP_CIPHER_CTX *context_with_key(int sealing) {
    static const uint8_t any_key[32] = {1, 2, 3};
    EVP_CIPHER_CTX      *context = EVP_CIPHER_CTX_new();
    must(context != NULL && EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, any_key, NULL, sealing) == 1,
         "no context");
    return context;
}

/* The length without nonce and tag. */
static int seal_bare(family *f, const content *c, uint8_t *out) {
    int       unused = 0;
    const int len = LZ4_compress_fast((const char *)c->document.ptr, (char *)f->clear, (int)f->len, f->room_len, 1);
    bench_keep(XXH3_64bits(c->document.ptr, f->len));
    memset(out, 0, NONCE);
    f->nonces++;
    memcpy(out, &f->nonces, sizeof f->nonces);
    must(len > 0 && EVP_CipherInit_ex(f->sealer, NULL, NULL, NULL, out, 1) == 1 &&
             EVP_CipherUpdate(f->sealer, NULL, &unused, f->additional.ptr, (int)f->additional.len) == 1 &&
             EVP_CipherUpdate(f->sealer, out + NONCE, &unused, f->clear, len) == 1 &&
             EVP_CipherFinal_ex(f->sealer, out + NONCE + len, &unused) == 1 &&
             EVP_CIPHER_CTX_ctrl(f->sealer, EVP_CTRL_AEAD_GET_TAG, TAG, out + NONCE + len) == 1,
         "the floor cannot seal");
    return len;
}

static void open_bare(family *f, const content *c) {
    int     unused = 0;
    uint8_t tag[TAG], nothing[TAG];
    memcpy(tag, c->block + NONCE + c->block_len, TAG);
    must(EVP_CipherInit_ex(f->opener, NULL, NULL, NULL, c->block, 0) == 1 &&
             EVP_CipherUpdate(f->opener, NULL, &unused, f->additional.ptr, (int)f->additional.len) == 1 &&
             EVP_CipherUpdate(f->opener, f->clear, &unused, c->block + NONCE, c->block_len) == 1 &&
             EVP_CIPHER_CTX_ctrl(f->opener, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
             EVP_CipherFinal_ex(f->opener, nothing, &unused) == 1,
         "the floor cannot open");
    const int len = LZ4_decompress_safe((const char *)f->clear, (char *)f->room, c->block_len, (int)f->len);
    must(len > 0 && XXH3_64bits(f->room, (size_t)len) == c->checksum, "the floor reads wrong");
}

/* ---- ours ------------------------------------------------------------------------------------------------------ */

static void seal_ours(family *f, const content *c, ckit_buf *out) {
    out->len = 0;
    must(ckiti_sealed_seal(&f->place, ckit_buf_slice(&c->document), true, 0, 0, out, NULL) == CKIT_OK,
         "sealing failed");
}

static void open_ours(family *f, const content *c) {
    ckiti_sealed_class cls;
    f->out.len = 0;
    must(ckiti_sealed_open(&f->place, ckit_buf_slice(&c->stored), true, 0, &f->out, &cls, NULL) == CKIT_OK,
         "opening failed");
}

/* ---- the setting ------------------------------------------------------------------------------------------------ */

/* A process that has been at work for a while. */
static void warm_up(family *f) {
    content c = {.block = NULL};
    bench_document(&c.document, 1 << 16, 1);
    for (uint64_t sealed = 0; sealed < WARM_BYTES; sealed += f->out.len) {
        seal_ours(f, &c, &f->out);
    }
    ckit_buf_fini(&c.document);
}

static void prepare_floor(family *f) {
    const ckit_seal_subject subject = {.tenant = f->place.tenant,
                                       .key = f->place.key,
                                       .format = ckit_slice_str("msgpack"),
                                       .original_type = ckit_slice_str("msgpack"),
                                       .compressed = true};
    f->sealer = context_with_key(1);
    f->opener = context_with_key(0);
    must(ckiti_seal_additional_init(&f->additional, &subject, NULL, NULL) == CKIT_OK, "no additional data");
    f->room_len = LZ4_compressBound((int)f->len);
    f->clear = bench_alloc((size_t)f->room_len);
    f->room = bench_alloc((size_t)f->room_len + CKIT_SEAL_OVERHEAD);
}

static void prepare(family *f, size_t len, size_t count) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    memset(f, 0, sizeof *f);
    f->len = len;
    f->count = count;
    options.master_key_hex = master_key;
    must(ckit_keyring_open(&options, &f->place.ring, NULL) == CKIT_OK, "no key ring");
    f->place.tenant = ckit_slice_str(tenant);
    f->place.key = ckit_slice_str(key);
    prepare_floor(f);
    warm_up(f);
    for (size_t i = 0; i < count; i++) {
        content *c = &f->contents[i];
        bench_document(&c->document, len, i + 1);
        seal_ours(f, c, &c->stored);
        c->block = bench_alloc((size_t)f->room_len + CKIT_SEAL_OVERHEAD);
        c->block_len = seal_bare(f, c, c->block);
        c->checksum = XXH3_64bits(c->document.ptr, len);
        open_ours(f, c);
        must(ckit_slice_equal(ckit_buf_slice(&f->out), ckit_buf_slice(&c->document)), "another document comes back");
    }
}

static void finish(family *f) {
    for (size_t i = 0; i < f->count; i++) {
        ckit_buf_fini(&f->contents[i].document);
        ckit_buf_fini(&f->contents[i].stored);
        free(f->contents[i].block);
    }
    ckit_buf_fini(&f->out);
    ckiti_seal_additional_fini(&f->additional);
    EVP_CIPHER_CTX_free(f->sealer);
    EVP_CIPHER_CTX_free(f->opener);
    free(f->clear);
    free(f->room);
    ckit_keyring_close(f->place.ring);
}

/* ---- what is timed ----------------------------------------------------------------------------------------------- */

#define EACH_CONTENT(name, work)                                                                                       \
    static void name(void *context, unsigned thread, uint64_t operations) {                                            \
        family *f = context;                                                                                           \
        (void)thread;                                                                                                  \
        for (uint64_t i = 0; i < operations; i++) {                                                                    \
            const content *c = &f->contents[i & (f->count - 1)];                                                       \
            work;                                                                                                      \
        }                                                                                                              \
    }

EACH_CONTENT(run_seal_bare, (void)seal_bare(f, c, f->room))
EACH_CONTENT(run_seal_ours, seal_ours(f, c, &f->out))
EACH_CONTENT(run_open_bare, open_bare(f, c))
EACH_CONTENT(run_open_ours, open_ours(f, c))

static void count_1k(uint64_t operations, void (*run)(void *, unsigned, uint64_t)) {
    family f;
    prepare(&f, 1024, 1);
    run(&f, 0, operations);
    finish(&f);
}

static void count_seal(uint64_t operations) { count_1k(operations, run_seal_ours); }
static void count_open(uint64_t operations) { count_1k(operations, run_open_ours); }

/* Megabytes of content a second. */
static double speed(const family *f, const bench_work *work) { return (double)f->len * 1000 / work->median; }

/* A frame is made in the same time for every length, so that short contents have no goal. */
static void add_rows(bench *b, const family *f, const char *what, const char *size_name, const bench_work works[2]) {
    static const char against[] = "liblz4 + XXH3 + EVP";
    char              name[64];
    snprintf(name, sizeof name, "%s.%s", what, size_name);
    if (f->len < 1024) {
        bench_row_plain(b, name, speed(f, &works[1]), "MB/s", against, speed(f, &works[0]));
    } else {
        bench_row_at_least(b, name, speed(f, &works[1]), "MB/s", against, speed(f, &works[0]), 0.9);
    }
    if (f->len == 1024) {
        snprintf(name, sizeof name, "%s.%s.time", what, size_name);
        bench_row_plain(b, name, works[1].median / 1e3, "us", against, works[0].median / 1e3);
    }
}

static void measure(bench *b, const char *size_name, size_t len, size_t count) {
    family f;
    prepare(&f, len, count);
    bench_work seals[] = {{.name = "bare", .run = run_seal_bare, .context = &f, .threads = 1},
                          {.name = "seal", .run = run_seal_ours, .context = &f, .threads = 1}};
    bench_work opens[] = {{.name = "bare", .run = run_open_bare, .context = &f, .threads = 1},
                          {.name = "open", .run = run_open_ours, .context = &f, .threads = 1}};
    bench_run(b, seals, 2);
    bench_run(b, opens, 2);
    add_rows(b, &f, "seal", size_name, seals);
    add_rows(b, &f, "open", size_name, opens);
    finish(&f);
}

BENCH_FAMILY(seal) {
    bench_counted(b, "seal.1k", count_seal);
    bench_counted(b, "open.1k", count_open);
    if (bench_is_counting(b)) {
        return;
    }
    measure(b, "100b", 100, CONTENTS);
    measure(b, "1k", 1024, CONTENTS);
    measure(b, "64k", 65536, 4);
    measure(b, "4m", 4194304, 1);
}
