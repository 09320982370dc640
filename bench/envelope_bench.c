/* Envelopes: bytes of content stored and opened a second, against liblz4 and XXH3 alone on prepared memory.
 *
 * The floor compresses with the same call and hashes; the other way it decompresses, hashes and compares. It keeps no
 * form, so it knows lengths and checksums from an array. Both sides reuse their buffers, and take turns with several
 * contents, since the next value that a cache opens is another one. */
#include "bench.h"
#include "document.h"

#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define CONTENTS 16

typedef struct content {
    ckit_buf document;
    ckit_buf envelope;
    char    *block; /* what the floor made of it */
    int      block_len;
    uint64_t checksum;
} content;

typedef struct family {
    content  contents[CONTENTS];
    size_t   count; /* a power of two */
    size_t   len;
    ckit_buf out;  /* where we write to */
    char    *room; /* where the floor writes to */
    int      room_len;
} family;

static void must(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "envelope: %s\n", what);
        exit(2);
    }
}

static ckit_status store(ckit_slice document, ckit_buf *out) {
    return ckit_envelope_store(document, ckit_slice_str("msgpack"), NULL, out, NULL);
}

static void prepare(family *f, size_t len, size_t count) {
    memset(f, 0, sizeof *f);
    f->len = len;
    f->count = count;
    f->room_len = LZ4_compressBound((int)len);
    f->room = bench_alloc((size_t)f->room_len);
    for (size_t i = 0; i < count; i++) {
        content *c = &f->contents[i];
        bench_document(&c->document, len, i + 1);
        must(store(ckit_buf_slice(&c->document), &c->envelope) == CKIT_OK, "a document cannot be stored");
        c->block = bench_alloc((size_t)f->room_len);
        c->block_len = LZ4_compress_fast((const char *)c->document.ptr, c->block, (int)len, f->room_len, 1);
        c->checksum = XXH3_64bits(c->document.ptr, len);
    }
}

static void finish(family *f) {
    for (size_t i = 0; i < f->count; i++) {
        ckit_buf_fini(&f->contents[i].document);
        ckit_buf_fini(&f->contents[i].envelope);
        free(f->contents[i].block);
    }
    ckit_buf_fini(&f->out);
    free(f->room);
}

/* ---- what is timed --------------------------------------------------------------------------------------- */

static void store_bare(void *context, unsigned thread, uint64_t operations) {
    family *f = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        const content *c = &f->contents[i & (f->count - 1)];
        bench_keep((uint64_t)LZ4_compress_fast((const char *)c->document.ptr, f->room, (int)f->len, f->room_len, 1));
        bench_keep(XXH3_64bits(c->document.ptr, f->len));
    }
}

static void store_ours(void *context, unsigned thread, uint64_t operations) {
    family *f = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        f->out.len = 0;
        must(store(ckit_buf_slice(&f->contents[i & (f->count - 1)].document), &f->out) == CKIT_OK, "storing failed");
    }
}

static void open_bare(void *context, unsigned thread, uint64_t operations) {
    family *f = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        const content *c = &f->contents[i & (f->count - 1)];
        const int      len = LZ4_decompress_safe(c->block, f->room, c->block_len, (int)f->len);
        must(len > 0 && XXH3_64bits(f->room, (size_t)len) == c->checksum, "the floor reads wrong");
    }
}

static void open_ours(void *context, unsigned thread, uint64_t operations) {
    family *f = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        const ckit_slice envelope = ckit_buf_slice(&f->contents[i & (f->count - 1)].envelope);
        f->out.len = 0;
        must(ckit_envelope_open(envelope, NULL, &f->out, NULL, NULL) == CKIT_OK, "opening failed");
    }
}

static void count_1k(uint64_t operations, void (*run)(void *, unsigned, uint64_t)) {
    family f;
    prepare(&f, 1024, 1);
    run(&f, 0, operations);
    finish(&f);
}

static void count_store(uint64_t operations) { count_1k(operations, store_ours); }
static void count_open(uint64_t operations) { count_1k(operations, open_ours); }

/* Megabytes of content a second. */
static double speed(const family *f, const bench_work *work) { return (double)f->len * 1000 / work->median; }

static void measure(bench *b, const char *size_name, size_t len, size_t count) {
    family f;
    char   name[64];
    prepare(&f, len, count);
    bench_work stores[] = {{.name = "bare", .run = store_bare, .context = &f, .threads = 1},
                           {.name = "store", .run = store_ours, .context = &f, .threads = 1}};
    bench_work opens[] = {{.name = "bare", .run = open_bare, .context = &f, .threads = 1},
                          {.name = "open", .run = open_ours, .context = &f, .threads = 1}};
    bench_run(b, stores, 2);
    bench_run(b, opens, 2);
    snprintf(name, sizeof name, "envelope.store.%s", size_name);
    bench_row_at_least(b, name, speed(&f, &stores[1]), "MB/s", "liblz4 + XXH3", speed(&f, &stores[0]), 0.9);
    snprintf(name, sizeof name, "envelope.open.%s", size_name);
    bench_row_at_least(b, name, speed(&f, &opens[1]), "MB/s", "liblz4 + XXH3", speed(&f, &opens[0]), 0.9);
    finish(&f);
}

BENCH_FAMILY(envelope) {
    bench_counted(b, "envelope.store.1k", count_store);
    bench_counted(b, "envelope.open.1k", count_open);
    if (bench_is_counting(b)) {
        return;
    }
    measure(b, "64b", 64, CONTENTS);
    measure(b, "1k", 1024, CONTENTS);
    measure(b, "64k", 65536, 4);
    measure(b, "4m", 4194304, 1);
}
