/* The protocol: what commands look like, and every reply, fed in every portion. Of reply.c, resp_read.c and
 * resp_write.c. */
#include "resp.h"

#include "support/failing_alloc.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- writing --------------------------------------------------------------------------------------------------- */

CKIT_TEST(writing, a_command_is_an_array_of_bulk_strings) {
    ckit_buf          out = CKIT_BUF_INIT;
    ckiti_resp_writer w;
    const ckit_slice  parts[] = {S("t:"), S("k")};
    ckiti_resp_writer_init(&w, &out, SIZE_MAX);
    ckiti_resp_command(&w, 4);
    ckiti_resp_text(&w, "SET");
    ckiti_resp_joined(&w, parts, 2);
    ckiti_resp_bytes(&w, S_LITERAL("a\0b"));
    ckiti_resp_number(&w, 18446744073709551615u);
    CHECK_OK(w.status);
    CHECK_BYTES(S_LITERAL("*4\r\n$3\r\nSET\r\n$3\r\nt:k\r\n$3\r\na\0b\r\n$20\r\n18446744073709551615\r\n"),
                ckit_buf_slice(&out));
    ckit_buf_fini(&out);
}

CKIT_TEST(writing, one_large_argument_is_left_to_be_sent_by_reference) {
    ckit_buf          out = CKIT_BUF_INIT;
    ckiti_resp_writer w;
    ckiti_resp_writer_init(&w, &out, 4);
    ckiti_resp_command(&w, 3);
    ckiti_resp_text(&w, "ECHO");
    ckiti_resp_text(&w, "large");
    ckiti_resp_text(&w, "larger");
    CHECK_OK(w.status);
    CHECK_TEXT("large", w.late);
    CHECK_TEXT("*3\r\n$4\r\nECHO\r\n$5\r\n\r\n$6\r\nlarger\r\n", ckit_buf_slice(&out));
    CHECK_EQ_U(strlen("*3\r\n$4\r\nECHO\r\n$5\r\n"), w.late_at);
    ckit_buf_fini(&out);
}

CKIT_TEST(writing, missing_memory_is_remembered) {
    failing_alloc     fa;
    ckit_buf          out;
    ckiti_resp_writer w;
    failing_alloc_init(&fa, 0);
    ckit_buf_init(&out, &fa.alloc);
    ckiti_resp_writer_init(&w, &out, SIZE_MAX);
    ckiti_resp_command(&w, 1);
    ckiti_resp_text(&w, "PING");
    CHECK_STATUS(CKIT_E_NO_MEMORY, w.status);
    CHECK_EQ_U(0, out.len);
    ckit_buf_fini(&out);
}

/* ---- reading: replies told as text ------------------------------------------------------------------------------- */

static void tell(char *told, size_t size, const ckiti_resp_item *item, const uint8_t *body) {
    static const char marks[] = "?+-:$_#,(=*%~";
    size_t            used = strlen(told);
    snprintf(told + used, size - used, "%s%.*s%c", item->push ? ">" : "", (int)item->depth, "                ",
             marks[item->type]);
    used = strlen(told);
    if (item->streamed) {
        snprintf(told + used, size - used, "<%lld:%02x>", (long long)item->integer, body[item->integer - 1]);
    } else if (item->text.ptr != NULL && item->type != CKITI_RESP_INTEGER && item->type != CKITI_RESP_BOOLEAN) {
        snprintf(told + used, size - used, "%.*s", (int)item->text.len, (const char *)item->text.ptr);
    } else if (item->type != CKITI_RESP_NIL) {
        snprintf(told + used, size - used, "%lld", (long long)item->integer);
    }
    strcat(told, item->ends ? ".\n" : "\n");
}

/* Feeds `input` in portions of `portion` bytes and tells every item; "!why" at the end when it is bad. */
static void read_all(ckiti_resp_reader *r, ckit_slice input, size_t portion, char *told, size_t size) {
    static uint8_t body[1 << 20];
    size_t         at = 0;
    told[0] = '\0';
    for (;;) {
        ckiti_resp_item   item;
        ckiti_resp_result result = ckiti_resp_next(r, &item);
        if (result == CKITI_RESP_ITEM) {
            tell(told, size, &item, body);
            continue;
        }
        if (result == CKITI_RESP_BODY) {
            CHECK((size_t)item.integer <= sizeof body);
            ckiti_resp_into(r, body);
            continue;
        }
        if (result == CKITI_RESP_BAD) {
            CHECK_EQ_I(CKITI_RESP_BAD, ckiti_resp_next(r, &item));
            snprintf(told + strlen(told), size - strlen(told), "!%s", r->why);
            return;
        }
        if (at == input.len) {
            return;
        }
        struct iovec parts[2];
        int          count = ckiti_resp_room(r, parts);
        size_t       fed = 0;
        for (int i = 0; i < count && at < input.len && fed < portion; i++) {
            size_t n = input.len - at < parts[i].iov_len ? input.len - at : parts[i].iov_len;
            n = n < portion - fed ? n : portion - fed;
            memcpy(parts[i].iov_base, input.ptr + at, n);
            at += n;
            fed += n;
        }
        CHECK(fed > 0);
        ckiti_resp_fed(r, fed);
    }
}

static void expect_read(ckit_slice input, const char *expected) {
    static const size_t portions[] = {1, 2, 3, 7, 100, 65536};
    char                told[8192];
    for (size_t i = 0; i < sizeof portions / sizeof portions[0]; i++) {
        ckiti_resp_reader r;
        CHECK_OK(ckiti_resp_reader_init(&r, NULL));
        read_all(&r, input, portions[i], told, sizeof told);
        CHECK_STR(expected, told);
        ckiti_resp_reader_fini(&r);
    }
}

CKIT_TEST(reading, scalars_of_both_protocols) {
    expect_read(S("+OK\r\n-ERR no\r\n:42\r\n:-7\r\n$2\r\nhi\r\n$0\r\n\r\n$-1\r\n*-1\r\n"),
                "+OK.\n-ERR no.\n:42.\n:-7.\n$hi.\n$.\n_.\n_.\n");
    expect_read(S("_\r\n#t\r\n#f\r\n,1.5e3\r\n,inf\r\n(3492890328409238509324850943850943825024385\r\n"),
                "_.\n#1.\n#0.\n,1.5e3.\n,inf.\n(3492890328409238509324850943850943825024385.\n");
    expect_read(S("=8\r\ntxt:info\r\n!10\r\nERR broken\r\n:9223372036854775807\r\n:-9223372036854775808\r\n"),
                "=info.\n-ERR broken.\n:9223372036854775807.\n:-9223372036854775808.\n");
}

CKIT_TEST(reading, a_reply_ends_with_its_last_element) {
    expect_read(S("*2\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n:5\r\n"), "*2\n :1\n *2\n  +a\n  $b.\n:5.\n");
    expect_read(S("*0\r\n*1\r\n*0\r\n%1\r\n+k\r\n~2\r\n:1\r\n:2\r\n"), "*0.\n*1\n *0.\n%2\n +k\n ~2\n  :1\n  :2.\n");
}

CKIT_TEST(reading, push_messages_are_marked_and_answer_nothing) {
    expect_read(S(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n+OK\r\n"), ">*2\n> $invalidate\n> *1\n>  $k.\n+OK.\n");
}

CKIT_TEST(reading, attributes_are_dropped_wherever_they_stand) {
    expect_read(S("|1\r\n+ttl\r\n*2\r\n:1\r\n:2\r\n+OK\r\n"), "+OK.\n");
    expect_read(S("*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n|0\r\n:2\r\n:3\r\n"), "*2\n :1\n :2.\n:3.\n");
}

CKIT_TEST(reading, a_long_bulk_goes_straight_to_its_place) {
    size_t   len = 300000;
    uint8_t *input = malloc(len + 64);
    CHECK(input != NULL);
    size_t used = (size_t)sprintf((char *)input, "$%zu\r\n", len);
    memset(input + used, 'x', len);
    memcpy(input + used + len, "\r\n:7\r\n", 6);
    expect_read((ckit_slice){input, used + len + 6}, "$<300000:78>.\n:7.\n");
    input[used + len] = 'x';
    expect_read((ckit_slice){input, used + len + 6}, "!a bulk string of another length than announced");
    free(input);
}

CKIT_TEST(reading, a_long_bulk_that_nobody_wants_is_dropped) {
    size_t            len = 100000;
    uint8_t           chunk[1000];
    ckiti_resp_reader r;
    ckiti_resp_item   item;
    struct iovec      parts[2];
    memset(chunk, 'x', sizeof chunk);
    CHECK_OK(ckiti_resp_reader_init(&r, NULL));
    (void)ckiti_resp_room(&r, parts);
    memcpy(parts[0].iov_base, "$100000\r\n", 9);
    ckiti_resp_fed(&r, 9);
    CHECK_EQ_I(CKITI_RESP_BODY, ckiti_resp_next(&r, &item));
    ckiti_resp_into(&r, NULL);
    for (size_t at = 0; at < len; at += sizeof chunk) {
        CHECK_EQ_I(CKITI_RESP_MORE, ckiti_resp_next(&r, &item));
        CHECK_EQ_I(1, ckiti_resp_room(&r, parts));
        memcpy(parts[0].iov_base, chunk, sizeof chunk);
        ckiti_resp_fed(&r, sizeof chunk);
    }
    CHECK_EQ_I(CKITI_RESP_MORE, ckiti_resp_next(&r, &item));
    (void)ckiti_resp_room(&r, parts);
    memcpy(parts[0].iov_base, "\r\n", 2);
    ckiti_resp_fed(&r, 2);
    CHECK_EQ_I(CKITI_RESP_ITEM, ckiti_resp_next(&r, &item));
    CHECK(item.ends && item.streamed);
    CHECK(ckiti_resp_idle(&r));
    ckiti_resp_reader_fini(&r);
}

CKIT_TEST(reading, what_is_not_the_protocol_is_refused_and_stays_refused) {
    expect_read(S("HTTP/1.1 400 Bad Request\r\n"), "!a reply of no known type");
    expect_read(S("\r\n"), "!an empty line in place of a reply");
    expect_read(S(":12a\r\n"), "!a scalar that cannot be read");
    expect_read(S(":9223372036854775808\r\n"), "!a scalar that cannot be read");
    expect_read(S("+a\rb\r\n"), "!a line with a carriage return inside");
    expect_read(S("$5\r\nabcdefgh"), "!a bulk string of another length than announced");
    expect_read(S("$-2\r\n"), "!a bulk string longer than any value");
    expect_read(S("$x\r\n"), "!a length that is no number");
    expect_read(S("*-2\r\n"), "!an aggregate with too many elements");
    expect_read(S("#x\r\n"), "!a scalar that cannot be read");
    expect_read(S("*1\r\n>1\r\n"), "*1\n!a push message in a wrong place");
    expect_read(S("$?\r\n"), "!a length that is no number");
}

CKIT_TEST(reading, limits_are_checked_before_anything_is_kept) {
    expect_read(S("$536870913\r\n"), "!a bulk string longer than any value");
    expect_read(S("*16777217\r\n"), "!an aggregate with too many elements");
    expect_read(S("%8388609\r\n"), "!an aggregate with too many elements");
    expect_read(S("*2\r\n*16777215\r\n"), "*2\n!an aggregate with too many elements");
    char deep[17 * 4 + 1] = "";
    for (int i = 0; i < 17; i++) {
        strcat(deep, "*1\r\n");
    }
    ckiti_resp_reader r;
    char              told[1024];
    CHECK_OK(ckiti_resp_reader_init(&r, NULL));
    read_all(&r, S(deep), 100, told, sizeof told);
    CHECK_CONTAINS("!nested too deep", told);
    ckiti_resp_reader_reset(&r);
    read_all(&r, S("+OK\r\n"), 100, told, sizeof told);
    CHECK_STR("+OK.\n", told);
    ckiti_resp_reader_fini(&r);
    char *line = malloc(70001);
    CHECK(line != NULL);
    memset(line, '+', 70000);
    line[70000] = '\0';
    expect_read(S(line), "!a line without end");
    free(line);
}
