/* MessagePack damaged: cut short, changed byte by byte, and written without memory. */
#include <cachekit/buf.h>
#include <cachekit/msgpack.h>

#include "format/msgpack_tokens.h"
#include "support/failing_alloc.h"
#include "support/hex.h"
#include "support/test.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const corpus[] = {
    "c0",
    "cdffff",
    "cb3ff8000000000000",
    "d920 6162636465666768696a6b6c6d6e6f707172737475767778797a303132333435",
    "82 a7757365725f6964 7b a46e616d65 a5416c696365",
    "82 ac5f5f6461746574696d655f5f c3 a576616c7565 b3 323032352d31312d31345431303a33303a3030",
    "83 a75f5f7365745f5f c3 a576616c7565 9107 a666726f7a656e c3",
    ("81 a178 84 ab5f5f6e6461727261795f5f c3 a464617461 c410000000000000f03f0000000000000040 a573686170659102"
     "a56474797065a7666c6f61743634"),
    ("9f 00 7f cc80 cd0100 ce00010000 cf0000000100000000 e0 ff d080 d18000 d280000000 d38000000000000000"
     "ca3f800000 c2 c3"),
    "dc0010 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 91 92 c4 03 000102 c5 0001 ff",
    "de0010 00c0 01c0 02c0 03c0 04c0 05c0 06c0 07c0 08c0 09c0 0ac0 0bc0 0cc0 0dc0 0ec0 0f 81a0 90",
};

/* Reading token by token and skipping in one go agree on the status, and on where the value ends. */
static ckit_status read_both_ways(ckit_slice input) {
    /* Exactly as long as the input, so that reading beyond it is caught. */
    uint8_t *copy = malloc(input.len + 1);
    CHECK(copy != NULL);
    memcpy(copy, input.ptr, input.len);
    uint8_t *tight = realloc(copy, input.len == 0 ? 1 : input.len);
    CHECK(tight != NULL);
    ckit_reader a, b;
    ckit_reader_init(&a, ckit_slice_of(tight, input.len));
    ckit_reader_init(&b, ckit_slice_of(tight, input.len));
    ckit_read_skip(&a);
    msgpack_copy_value(&b, NULL);
    CHECK_STATUS(a.status, b.status);
    CHECK_EQ_P(a.pos, b.pos);
    const ckit_status st = ckit_reader_finish(&a, NULL);
    CHECK_STATUS(st, ckit_reader_finish(&b, NULL));
    free(tight);
    return st;
}

CKIT_TEST(msgpack, no_prefix_of_a_document_is_a_document) {
    for (size_t i = 0; i < COUNT(corpus); i++) {
        const ckit_slice whole = hex_slice(corpus[i]);
        CHECK_OK(read_both_ways(whole));
        for (size_t len = 0; len < whole.len; len++) {
            CHECK_STATUS(CKIT_E_TRUNCATED, read_both_ways(ckit_slice_of(whole.ptr, len)));
        }
    }
}

CKIT_TEST(msgpack, any_changed_byte_is_read_or_refused_without_harm) {
    for (size_t i = 0; i < COUNT(corpus); i++) {
        const ckit_slice whole = hex_slice(corpus[i]);
        uint8_t         *bytes = malloc(whole.len);
        CHECK(bytes != NULL);
        for (size_t at = 0; at < whole.len; at++) {
            memcpy(bytes, whole.ptr, whole.len);
            for (unsigned change = 1; change < 256; change++) {
                bytes[at] = (uint8_t)(whole.ptr[at] ^ change);
                (void)read_both_ways(ckit_slice_of(bytes, whole.len));
            }
        }
        free(bytes);
    }
}

CKIT_TEST(msgpack, a_writer_survives_the_failure_of_any_allocation) {
    const ckit_slice document = hex_slice(corpus[7]);
    for (uint64_t n = 0;; n++) {
        failing_alloc fa;
        ckit_buf      buf;
        ckit_writer   w;
        ckit_reader   r;
        failing_alloc_init(&fa, n);
        ckit_buf_init(&buf, &fa.alloc);
        ckit_writer_init(&w, &buf);
        ckit_reader_init(&r, document);
        ckit_write_array(&w, 3);
        msgpack_copy_value(&r, &w);
        ckit_write_raw(&w, document);
        ckit_write_bin(&w, document);
        const ckit_status st = ckit_writer_finish(&w, NULL);
        ckit_buf_fini(&buf);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
}

static void open_arrays(ckit_writer *w, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        ckit_write_array(w, 1);
    }
}

CKIT_TEST(msgpack, a_writer_that_goes_deep_survives_the_failure_of_any_allocation) {
    for (uint64_t n = 0;; n++) {
        failing_alloc fa;
        ckit_buf      buf;
        ckit_writer   w;
        failing_alloc_init(&fa, n);
        ckit_buf_init(&buf, &fa.alloc);
        ckit_writer_init(&w, &buf);
        ckit_write_array(&w, 2);
        open_arrays(&w, CKIT_WRITER_SHALLOW + 2);
        ckit_write_int(&w, 1);
        open_arrays(&w, CKIT_MSGPACK_MAX_DEPTH - 1);
        ckit_write_int(&w, 2);
        const ckit_status st = ckit_writer_finish(&w, NULL);
        CHECK_EQ_U(st == CKIT_OK ? 1 + CKIT_WRITER_SHALLOW + 2 + 1 + CKIT_MSGPACK_MAX_DEPTH : 0, buf.len);
        ckit_buf_fini(&buf);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
}

CKIT_TEST(msgpack, a_writer_that_is_given_up_at_any_depth_keeps_no_memory) {
    for (uint32_t depth = 0; depth <= CKIT_MSGPACK_MAX_DEPTH + 1; depth++) {
        failing_alloc fa;
        ckit_buf      buf;
        ckit_writer   w;
        failing_alloc_init(&fa, UINT64_MAX);
        ckit_buf_init(&buf, &fa.alloc);
        ckit_writer_init(&w, &buf);
        open_arrays(&w, depth);
        CHECK_STATUS(depth <= CKIT_MSGPACK_MAX_DEPTH ? CKIT_E_MISUSE : CKIT_E_DEPTH, ckit_writer_finish(&w, NULL));
        ckit_buf_fini(&buf);
        failing_alloc_check_empty(&fa);
    }
}
