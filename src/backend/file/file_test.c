/* What the file store does beyond the contract that tests/conformance checks. */
#include "file_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* "user:123" */
#define NAME_USER "2f67918399d2d3551998794c4b3601c7"

/* ---- the bytes on disk --------------------------------------------------------------------------------------------- */

CKIT_TEST(layout, an_entry_is_one_file_with_the_released_header) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set(&f, "user:123", "hello", CKIT_TTL_NO_EXPIRY));
    size_t   len;
    uint8_t *bytes = scratch_read_file(fixture_path(&f, NAME_USER), &len);
    CHECK_BYTES(S_LITERAL("CK\1\0\0\0\0\0\0\0\0\0\0\0hello"), ((ckit_slice){bytes, len}));
    free(bytes);
    struct stat st;
    CHECK_EQ_I(0, stat(fixture_path(&f, NAME_USER), &st));
    CHECK_EQ_U(0600, st.st_mode & 0777);
    fixture_close(&f);
}

CKIT_TEST(layout, an_entry_of_another_sdk_is_read) {
    fixture f;
    fixture_open(&f);
    /* 1,700,000,010 s: ten seconds after the start of the tests' clock */
    scratch_write_file(fixture_path(&f, NAME_USER), S_LITERAL("CK\1\0\0\0\0\0\0\0\x65\x53\xf1\x0a\x00\x01"));
    uint64_t life_ms = 0;
    ckit_buf out = CKIT_BUF_INIT;
    CHECK_OK(f.ops->get(f.self, S("user:123"), CKIT_NO_DEADLINE, &out, &life_ms, NULL));
    CHECK_BYTES(S_LITERAL("\0\1"), ckit_buf_slice(&out));
    CHECK_EQ_U(10000, life_ms);
    ckit_buf_fini(&out);
    fixture_close(&f);
}

CKIT_TEST(layout, a_value_is_appended_behind_what_the_buffer_holds) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set(&f, "k", "tail", 60000));
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms = 0;
    CHECK_OK(ckit_buf_append(&out, S("head-")));
    CHECK_OK(f.ops->get(f.self, S("k"), CKIT_NO_DEADLINE, &out, &life_ms, NULL));
    CHECK_TEXT("head-tail", ckit_buf_slice(&out));
    ckit_buf_fini(&out);
    fixture_close(&f);
}

CKIT_TEST(layout, the_expiry_on_disk_is_rounded_up_so_that_nothing_lives_shorter_than_asked) {
    fixture f;
    fixture_open(&f);
    fake_clock_advance(&f.time, 1);
    CHECK_OK(fixture_set(&f, "k", "v", 1500));
    uint64_t life_ms = 0;
    CHECK_OK(f.ops->ttl(f.self, S("k"), CKIT_NO_DEADLINE, &life_ms, NULL));
    CHECK_BETWEEN_U(1500, 2499, life_ms);
    fake_clock_advance(&f.time, 1499);
    CHECK_OK(f.ops->exists(f.self, S("k"), CKIT_NO_DEADLINE, NULL));
    fake_clock_advance(&f.time, 1000);
    CHECK_STATUS(CKIT_MISS, f.ops->exists(f.self, S("k"), CKIT_NO_DEADLINE, NULL));
    fixture_close(&f);
}
