/* Limits: what is counted, what goes first, and what a write costs. Of usage.c. */
#include "file_fixture.h"
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *numbered(char out[32], unsigned i) {
    snprintf(out, 32, "key-%u", i);
    return out;
}

static void fill(fixture *f, unsigned from, unsigned to, uint64_t ttl_ms) {
    char key[32];
    for (unsigned i = from; i < to; i++) {
        ckit_entry_info info = {.ttl_ms = ttl_ms};
        ckit_error      err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(f->ops->set(f->self, S(numbered(key, i)), S("v"), &info, CKIT_NO_DEADLINE, &err), &err);
    }
}

static size_t present(fixture *f, unsigned from, unsigned to) {
    char   key[32];
    size_t count = 0;
    for (unsigned i = from; i < to; i++) {
        ckiti_file_name name;
        ckiti_file_name_of_key(&name, S(numbered(key, i)));
        count += access(fixture_path(f, name.text), F_OK) == 0;
    }
    return count;
}

/* Read and written so many seconds ago. */
static void age(fixture *f, const char *key, time_t read_s, time_t written_s) {
    ckiti_file_name name;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct timespec stamps[2] = {{.tv_sec = now.tv_sec - read_s}, {.tv_sec = now.tv_sec - written_s}};
    ckiti_file_name_of_key(&name, S(key));
    CHECK_EQ_I(0, utimensat(AT_FDCWD, fixture_path(f, name.text), stamps, 0));
}

CKIT_TEST(eviction, above_90_percent_of_the_count_it_goes_down_to_70) {
    fixture f;
    fixture_init(&f);
    f.options.max_entry_count = 100;
    fixture_reopen(&f);
    fill(&f, 0, 90, 60000);
    CHECK_EQ_U(90, fixture_entries(&f));
    fill(&f, 90, 91, 60000);
    CHECK_EQ_U(71, fixture_entries(&f)); /* 70, and the new one */
    fill(&f, 91, 1000, 60000);
    CHECK_BETWEEN_U(70, 90, fixture_entries(&f));
    fixture_close(&f);
}

CKIT_TEST(eviction, above_90_percent_of_the_size_it_goes_down_to_70) {
    fixture f;
    fixture_init(&f);
    f.options.max_size_bytes = 1024 * 1024;
    fixture_reopen(&f);
    uint8_t         value[10240 - CKITI_FILE_HEADER_BYTES] = {0};
    ckit_entry_info info = {.ttl_ms = 60000};
    char            key[32];
    for (unsigned i = 0; i < 400; i++) {
        CHECK_OK(f.ops->set(f.self, S(numbered(key, i)), S_ARRAY(value), &info, CKIT_NO_DEADLINE, NULL));
        CHECK_BETWEEN_U(1, 92, fixture_entries(&f));
    }
    CHECK_BETWEEN_U(71, 92, fixture_entries(&f));
    fixture_close(&f);
}

CKIT_TEST(eviction, a_value_of_half_the_store_fits) {
    fixture f;
    fixture_init(&f);
    f.options.max_size_bytes = 1024 * 1024;
    fixture_reopen(&f);
    size_t   len = 512 * 1024 - 100;
    uint8_t *value = calloc(1, len);
    CHECK(value != NULL);
    ckit_entry_info info = {.ttl_ms = 60000};
    char            key[32];
    for (unsigned i = 0; i < 6; i++) {
        CHECK_OK(f.ops->set(f.self, S(numbered(key, i)), (ckit_slice){value, len}, &info, CKIT_NO_DEADLINE, NULL));
        CHECK_OK(f.ops->exists(f.self, S(key), CKIT_NO_DEADLINE, NULL));
    }
    free(value);
    fixture_close(&f);
}

CKIT_TEST(eviction, expired_entries_go_first_also_when_they_were_just_read) {
    fixture f;
    fixture_init(&f);
    f.options.max_entry_count = 100;
    fixture_reopen(&f);
    fill(&f, 0, 60, 3600000);
    fill(&f, 60, 90, 1000);
    char key[32];
    for (unsigned i = 0; i < 60; i++) {
        age(&f, numbered(key, i), 5000, 5000);
    }
    fake_clock_advance(&f.time, 2000);
    fill(&f, 90, 91, 60000);
    CHECK_EQ_U(60, present(&f, 0, 60));
    CHECK_EQ_U(0, present(&f, 60, 90));
    fixture_close(&f);
}

CKIT_TEST(eviction, the_least_recently_read_go_first_not_the_oldest_written) {
    fixture f;
    fixture_init(&f);
    f.options.max_entry_count = 100;
    fixture_reopen(&f);
    fill(&f, 0, 90, 3600000);
    char key[32];
    for (unsigned i = 0; i < 90; i++) {
        /* The first 40 were written long ago; reading gives them a new stamp. */
        age(&f, numbered(key, i), i < 40 ? 9000 : 3000, i < 40 ? 9000 : 3000);
    }
    for (unsigned i = 0; i < 40; i++) {
        fixture_expect(&f, numbered(key, i), "v");
    }
    fill(&f, 90, 91, 60000);
    CHECK_EQ_U(40, present(&f, 0, 40));
    CHECK_EQ_U(30, present(&f, 40, 90));
    fixture_close(&f);
}

CKIT_TEST(eviction, a_read_stamps_at_most_once_a_minute_and_keeps_the_writing_time) {
    fixture         f;
    struct stat     before, after;
    ckiti_file_name name;
    fixture_open(&f);
    CHECK_OK(fixture_set(&f, "k", "v", 60000));
    ckiti_file_name_of_key(&name, S("k"));
    age(&f, "k", 30, 500);
    CHECK_EQ_I(0, stat(fixture_path(&f, name.text), &before));
    fixture_expect(&f, "k", "v");
    CHECK_EQ_I(0, stat(fixture_path(&f, name.text), &after));
    CHECK_EQ_I(before.st_atim.tv_sec, after.st_atim.tv_sec);
    age(&f, "k", 90, 500);
    fixture_expect(&f, "k", "v");
    CHECK_EQ_I(0, stat(fixture_path(&f, name.text), &after));
    CHECK(after.st_atim.tv_sec >= before.st_atim.tv_sec + 25);
    CHECK_BETWEEN_U(0, 2, (uint64_t)llabs((long long)(after.st_mtim.tv_sec - before.st_mtim.tv_sec)));
    fixture_close(&f);
}

CKIT_TEST(eviction, a_stamp_beyond_the_year_2262_is_late_and_not_early) {
    fixture f;
    char    key[32];
    fixture_init(&f);
    f.options.max_entry_count = 100;
    fixture_reopen(&f);
    fill(&f, 0, 90, 3600000);
    for (unsigned i = 0; i < 90; i++) {
        age(&f, numbered(key, i), i < 10 ? -INT64_C(13000000000) : 3000, 3000);
    }
    fill(&f, 90, 91, 60000);
    CHECK_EQ_U(10, present(&f, 0, 10));
    CHECK_EQ_U(60, present(&f, 10, 90));
    fixture_close(&f);
}

CKIT_TEST(eviction, what_is_not_an_entry_is_neither_counted_nor_removed) {
    static const char *const foreign[] = {"README", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef.json",
                                          "0123456789abcdef0123456789abcdef0", ".hidden"};
    fixture                  f;
    fixture_init(&f);
    f.options.max_entry_count = 100;
    f.options.max_size_bytes = 1024 * 1024;
    fixture_reopen(&f);
    uint8_t *large = calloc(1, 1024 * 1024);
    CHECK(large != NULL);
    for (size_t i = 0; i < 5; i++) {
        scratch_write_file(fixture_path(&f, foreign[i]), (ckit_slice){large, 1024 * 1024});
        struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
        CHECK_EQ_I(0, utimensat(AT_FDCWD, f.path, old, 0));
    }
    free(large);
    CHECK_EQ_I(0, mkdir(fixture_path(&f, "11111111111111111111111111111111"), 0700));
    CHECK_EQ_I(0, symlink("README", fixture_path(&f, "22222222222222222222222222222222")));
    fill(&f, 0, 300, 60000);
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQ_I(0, access(fixture_path(&f, foreign[i]), F_OK));
    }
    struct stat st;
    CHECK_EQ_I(0, lstat(fixture_path(&f, "11111111111111111111111111111111"), &st));
    CHECK_EQ_I(0, lstat(fixture_path(&f, "22222222222222222222222222222222"), &st));
    uint64_t bytes, count;
    CHECK(ckiti_file_usage_read(f.self, CKIT_NO_DEADLINE, &bytes, &count));
    CHECK_EQ_U(fixture_entries(&f) - 2, count);
    ckit_deleted deleted;
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    CHECK_OK(f.ops->delete_scope(f.self, &all, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(count, deleted.deleted);
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQ_I(0, access(fixture_path(&f, foreign[i]), F_OK));
    }
    CHECK_EQ_I(0, lstat(fixture_path(&f, "22222222222222222222222222222222"), &st));
    fixture_close(&f);
}

CKIT_TEST(eviction, new_entries_are_refused_only_when_nothing_can_be_removed) {
    faulty_io io;
    fixture   f;
    fixture_init_faulty(&f, &io);
    f.options.max_entry_count = 100;
    fixture_reopen(&f);
    fill(&f, 0, 90, 60000);
    faulty_io_fail(&io, FAULTY_UNLINK, 0, EPERM);
    io.fail_for = UINT64_MAX;
    fill(&f, 90, 100, 60000); /* between the mark and the limit a failed eviction is no reason to refuse */
    ckit_error      err = CKIT_ERROR_INIT;
    ckit_entry_info info = {.ttl_ms = 60000};
    CHECK_STATUS_ERR(CKIT_E_NO_SPACE, f.ops->set(f.self, S("one more"), S("v"), &info, CKIT_NO_DEADLINE, &err), &err);
    CHECK_OK(fixture_set(&f, "key-5", "overwriting is always allowed", 60000));
    faulty_io_fail(&io, FAULTY_UNLINK, UINT64_MAX, 0);
    fake_clock_advance(&f.time, 2000);
    CHECK_OK(fixture_set(&f, "one more", "v", 60000));
    CHECK_EQ_U(71, fixture_entries(&f));
    fixture_close(&f);
}

/* ---- what a write costs ------------------------------------------------------------------------------------------ */

CKIT_TEST(cost, a_thousand_overwrites_walk_the_directory_no_more_and_append_nothing) {
    faulty_io io;
    fixture   f;
    char      key[32];
    fixture_open_faulty(&f, &io);
    fill(&f, 0, 200, 60000);
    faulty_io_fail(&io, FAULTY_LIST, UINT64_MAX, 0); /* counts from zero */
    for (unsigned i = 0; i < 1000; i++) {
        CHECK_OK(fixture_set(&f, numbered(key, i % 200), "w", 60000));
    }
    CHECK_EQ_U(0, atomic_load(&io.calls[FAULTY_LIST]));
    CHECK_EQ_U(0, atomic_load(&io.calls[FAULTY_LOCK]));
    CHECK_EQ_U(1000, atomic_load(&io.calls[FAULTY_OPEN]));
    CHECK_EQ_U(2000, atomic_load(&io.calls[FAULTY_STAT]));
    CHECK_EQ_U(1000, atomic_load(&io.calls[FAULTY_WRITE]));
    CHECK_EQ_U(1000, atomic_load(&io.calls[FAULTY_RENAME]));
    fixture_close(&f);
}

CKIT_TEST(cost, a_read_is_one_open_one_look_and_one_read) {
    faulty_io io;
    fixture   f;
    fixture_open_faulty(&f, &io);
    CHECK_OK(fixture_set(&f, "k", "v", 60000));
    faulty_io_fail(&io, FAULTY_LIST, UINT64_MAX, 0);
    fixture_expect(&f, "k", "v");
    CHECK_EQ_U(1, atomic_load(&io.calls[FAULTY_OPEN]));
    CHECK_EQ_U(1, atomic_load(&io.calls[FAULTY_STAT]));
    CHECK_EQ_U(1, atomic_load(&io.calls[FAULTY_READ]));
    CHECK_EQ_U(0, atomic_load(&io.calls[FAULTY_LOCK]));
    fixture_close(&f);
}

/* ---- the shared record ------------------------------------------------------------------------------------------- */

static void expect_usage(fixture *f, uint64_t expected_count) {
    uint64_t bytes, count;
    CHECK(ckiti_file_usage_read(f->self, CKIT_NO_DEADLINE, &bytes, &count));
    CHECK_EQ_U(expected_count, count);
    CHECK_EQ_U(expected_count * (CKITI_FILE_HEADER_BYTES + 1), bytes);
}

CKIT_TEST(usage, a_missing_or_damaged_record_is_made_again_by_counting) {
    static const char *const rubbish[] = {"", "x", "CKUSAGE1 but nothing more that makes sense here, really nothing"};
    fixture                  f;
    fixture_open(&f);
    fill(&f, 0, 10, 60000);
    expect_usage(&f, 10);
    CHECK_EQ_I(0, unlink(fixture_path(&f, ".ck-usage")));
    expect_usage(&f, 10);
    for (size_t i = 0; i < 3; i++) {
        scratch_write_file(fixture_path(&f, ".ck-usage"), S(rubbish[i]));
        expect_usage(&f, 10);
    }
    fixture_close(&f);
}

CKIT_TEST(usage, an_entry_written_over_a_file_that_never_counted_is_a_new_one) {
    fixture         f;
    ckiti_file_name name;
    uint64_t        bytes, count;
    fixture_open(&f);
    CHECK_OK(fixture_set(&f, "a", "1", 60000));
    CHECK(ckiti_file_usage_read(f.self, CKIT_NO_DEADLINE, &bytes, &count));
    char second[SCRATCH_PATH + 16];
    snprintf(second, sizeof second, "%s/second", f.dir);
    ckiti_file_name_of_key(&name, S("b"));
    scratch_write_file(fixture_path(&f, name.text), S("somebody's file with two links"));
    CHECK_EQ_I(0, link(f.path, second));
    CHECK_OK(fixture_set(&f, "b", "2", 60000));
    CHECK(ckiti_file_usage_read(f.self, CKIT_NO_DEADLINE, &bytes, &count));
    CHECK_EQ_U(2, count);
    CHECK_EQ_U(2 * (CKITI_FILE_HEADER_BYTES + 1), bytes);
    fixture_close(&f);
}

CKIT_TEST(usage, two_stores_on_one_directory_add_up) {
    fixture f;
    fixture_open(&f);
    ckit_backend *other = NULL;
    CHECK_OK(ckit_file_open(&f.options, &f.env, &other, NULL));
    const ckit_backend_ops *ops = ckit_backend_operations(other);
    fill(&f, 0, 10, 60000);
    ckit_entry_info info = {.ttl_ms = 60000};
    CHECK_OK(ops->set(ckit_backend_self(other), S("theirs"), S("v"), &info, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(ops->remove(ckit_backend_self(other), S("key-3"), CKIT_NO_DEADLINE, NULL));
    ckit_backend_close(other); /* what it had not reported yet, it reports now */
    expect_usage(&f, 10);
    fill(&f, 0, 10, 60000); /* nine overwrites and one new */
    expect_usage(&f, 11);
    fixture_close(&f);
}

CKIT_TEST(usage, a_forked_child_does_not_report_for_its_parent) {
    fixture f;
    fixture_open(&f);
    fill(&f, 0, 10, 60000);
    pid_t child = fork();
    if (child == 0) {
        ckiti_file_usage_flush(f.self);
        CHECK_OK(fixture_set(&f, "child", "v", 60000));
        ckiti_file_usage_flush(f.self);
        _exit(0);
    }
    int status;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
    expect_usage(&f, 11);
    fixture_close(&f);
}

static void *fill_from(void *arg) {
    fixture                *f = arg;
    static _Atomic unsigned next;
    unsigned                base = atomic_fetch_add(&next, 1) * 100000 + 100000;
    fill(f, base, base + 300, 60000);
    return NULL;
}

CKIT_TEST(usage, threads_that_fill_at_once_stay_below_the_limit) {
    fixture   f;
    pthread_t threads[4];
    fixture_init(&f);
    f.options.max_entry_count = 100;
    fixture_reopen(&f);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, fill_from, &f));
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
    CHECK_BETWEEN_U(60, 104, fixture_entries(&f));
    fixture_close(&f);
}
