/* MessagePack: a document of 8 KB written and read, against copying its bytes. */
#include "bench.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 109u /* make it 8 KB */

static const char *const names[] = {"alice", "bob", "christopher", "dorothea", "eve"};

/* What a service keeps: a list of records with a few fields of every kind. */
static void write_document(ckit_writer *w) {
    ckit_write_array(w, RECORDS);
    for (uint32_t i = 0; i < RECORDS; i++) {
        ckit_write_map(w, 5);
        ckit_write_cstr(w, "id");
        ckit_write_uint(w, 1000000u + i);
        ckit_write_cstr(w, "name");
        ckit_write_cstr(w, names[i % 5]);
        ckit_write_cstr(w, "score");
        ckit_write_double(w, i * 0.25);
        ckit_write_cstr(w, "active");
        ckit_write_bool(w, i % 3 == 0);
        ckit_write_cstr(w, "groups");
        ckit_write_array(w, 3);
        ckit_write_cstr(w, "staff");
        ckit_write_cstr(w, "administration");
        ckit_write_int(w, -(int64_t)i);
    }
}

static uint64_t read_document(ckit_reader *r) {
    uint64_t       sum = 0;
    const uint32_t records = ckit_read_array(r);
    for (uint32_t i = 0; i < records; i++) {
        const uint32_t fields = ckit_read_map(r);
        for (uint32_t n = 0; n < fields; n++) {
            sum += ckit_read_str(r).len;
            switch (ckit_reader_peek(r)) {
            case CKIT_TYPE_UINT: sum += ckit_read_uint(r); break;
            case CKIT_TYPE_STR: sum += ckit_read_str(r).len; break;
            case CKIT_TYPE_DOUBLE: sum += (uint64_t)ckit_read_double(r); break;
            case CKIT_TYPE_BOOL: sum += ckit_read_bool(r); break;
            default:
                sum += ckit_read_array(r);
                sum += ckit_read_str(r).len + ckit_read_str(r).len;
                sum += (uint64_t)ckit_read_int(r);
                break;
            }
        }
    }
    return sum;
}

static void encode(ckit_buf *buf) {
    ckit_writer w;
    buf->len = 0;
    ckit_writer_init(&w, buf);
    write_document(&w);
    if (ckit_writer_finish(&w, NULL) != CKIT_OK) {
        fprintf(stderr, "msgpack: the document cannot be written\n");
        exit(2);
    }
}

static void decode(ckit_slice document) {
    ckit_reader r;
    ckit_reader_init(&r, document);
    bench_keep(read_document(&r));
    if (ckit_reader_finish(&r, NULL) != CKIT_OK) {
        fprintf(stderr, "msgpack: the document cannot be read\n");
        exit(2);
    }
}

/* ---- what is timed --------------------------------------------------------------------------------------- */

static void encode_many(void *context, unsigned thread, uint64_t operations) {
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        encode(context);
    }
}

static void decode_many(void *context, unsigned thread, uint64_t operations) {
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        decode(ckit_buf_slice(context));
    }
}

static void copy_many(void *context, unsigned thread, uint64_t operations) {
    static uint8_t  copy[16384];
    const ckit_buf *document = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        memcpy(copy, document->ptr, document->len);
        bench_keep((uintptr_t)copy);
    }
}

static void count_encode(uint64_t operations) {
    ckit_buf buf = CKIT_BUF_INIT;
    encode_many(&buf, 0, operations);
    ckit_buf_fini(&buf);
}

static void count_decode(uint64_t operations) {
    ckit_buf buf = CKIT_BUF_INIT;
    encode(&buf);
    decode_many(&buf, 0, operations);
    ckit_buf_fini(&buf);
}

BENCH_FAMILY(msgpack) {
    bench_counted(b, "msgpack.encode", count_encode);
    bench_counted(b, "msgpack.decode", count_decode);
    if (bench_is_counting(b)) {
        return;
    }
    ckit_buf document = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
    encode(&document);
    bench_work works[] = {{.name = "memcpy", .run = copy_many, .context = &document, .threads = 1},
                          {.name = "encode", .run = encode_many, .context = &scratch, .threads = 1},
                          {.name = "decode", .run = decode_many, .context = &document, .threads = 1}};
    bench_run(b, works, 3);
    bench_row_plain(b, "msgpack.encode", works[1].median, "ns", "memcpy", works[0].median);
    bench_row_plain(b, "msgpack.decode", works[2].median, "ns", "memcpy", works[0].median);
    ckit_buf_fini(&document);
    ckit_buf_fini(&scratch);
}
