/* What the file store does beyond the contract that tests/conformance checks. Of directory.c, read.c, store.c and
 * write.c. */
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

/* ---- the bytes on disk ------------------------------------------------------------------------------------------- */

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

/* ---- what is not ours -------------------------------------------------------------------------------------------- */

static const char secret[] = "CK\1\0\0\0\0\0\0\0\0\0\0\0secret";

CKIT_TEST(safety, a_symbolic_link_in_place_of_an_entry_is_missing_and_stays) {
    fixture f;
    char    target[SCRATCH_PATH + 64];
    fixture_open(&f);
    snprintf(target, sizeof target, "%s/elsewhere", f.dir);
    scratch_write_file(target, S_LITERAL(secret));
    CHECK_EQ_I(0, symlink(target, fixture_path(&f, NAME_USER)));
    fixture_expect(&f, "user:123", NULL);
    CHECK_STATUS(CKIT_MISS, f.ops->remove(f.self, S("user:123"), CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, f.ops->touch(f.self, S("user:123"), 1000, CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, f.ops->exists(f.self, S("user:123"), CKIT_NO_DEADLINE, NULL));
    struct stat st;
    CHECK_EQ_I(0, lstat(fixture_path(&f, NAME_USER), &st));
    CHECK(S_ISLNK(st.st_mode));
    /* A write replaces the link and never follows it. */
    CHECK_OK(fixture_set(&f, "user:123", "mine", 60000));
    fixture_expect(&f, "user:123", "mine");
    size_t   len;
    uint8_t *bytes = scratch_read_file(target, &len);
    CHECK_EQ_U(sizeof secret - 1, len);
    free(bytes);
    fixture_close(&f);
}

CKIT_TEST(safety, a_second_link_a_directory_and_a_pipe_are_missing_and_stay) {
    fixture f;
    fixture_open(&f);
    scratch_write_file(fixture_path(&f, "other"), S_LITERAL(secret));
    char other[sizeof f.path];
    memcpy(other, f.path, sizeof other);
    CHECK_EQ_I(0, link(other, fixture_path(&f, NAME_USER)));
    fixture_expect(&f, "user:123", NULL);
    CHECK_STATUS(CKIT_MISS, f.ops->remove(f.self, S("user:123"), CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_I(0, unlink(fixture_path(&f, NAME_USER)));
    CHECK_EQ_I(0, mkfifo(fixture_path(&f, NAME_USER), 0600));
    fixture_expect(&f, "user:123", NULL); /* and does not wait for a writer */
    CHECK_EQ_I(0, unlink(fixture_path(&f, NAME_USER)));
    CHECK_EQ_I(0, mkdir(fixture_path(&f, NAME_USER), 0700));
    fixture_expect(&f, "user:123", NULL);
    CHECK(fixture_set(&f, "user:123", "v", 1000) >= CKIT_E_FIRST);
    CHECK_EQ_U(0, fixture_temps(&f));
    fixture_close(&f);
}

CKIT_TEST(safety, a_file_of_somebody_else_is_missing_and_stays) {
    if (geteuid() != 0) {
        SKIP("only root can give files away");
    }
    fixture f;
    fixture_open(&f);
    scratch_write_file(fixture_path(&f, NAME_USER), S_LITERAL(secret));
    CHECK_EQ_I(0, chown(f.path, 12345, 12345));
    fixture_expect(&f, "user:123", NULL);
    CHECK_STATUS(CKIT_MISS, f.ops->remove(f.self, S("user:123"), CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_I(0, access(fixture_path(&f, NAME_USER), F_OK));
    fixture_close(&f);
}

static void expect_open_refused(fixture *f, ckit_status expected, const char *named) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(expected, ckit_file_open(&f->options, &f->env, &f->backend, &err), &err);
    CHECK_EQ_P(NULL, f->backend);
    CHECK_CONTAINS(named, err.text);
}

CKIT_TEST(safety, a_directory_that_others_can_write_is_refused) {
    fixture f;
    fixture_init(&f);
    CHECK_EQ_I(0, chmod(f.dir, 0720));
    expect_open_refused(&f, CKIT_E_UNSAFE_STORE, "720");
    CHECK_EQ_I(0, chmod(f.dir, 0702));
    expect_open_refused(&f, CKIT_E_UNSAFE_STORE, "702");
    CHECK_EQ_I(0, chmod(f.dir, 0755));
    fixture_reopen(&f);
    fixture_close(&f);
}

CKIT_TEST(safety, a_directory_of_somebody_else_is_refused) {
    if (geteuid() != 0) {
        SKIP("only root can give directories away");
    }
    fixture f;
    fixture_init(&f);
    CHECK_EQ_I(0, chown(f.dir, 12345, 12345));
    expect_open_refused(&f, CKIT_E_UNSAFE_STORE, "12345");
    fixture_close(&f);
}

CKIT_TEST(safety, a_link_to_a_directory_is_refused_also_behind_a_slash) {
    fixture f;
    char    link_path[SCRATCH_PATH + 16], with_slash[SCRATCH_PATH + 32];
    fixture_init(&f);
    snprintf(link_path, sizeof link_path, "%s/link", f.dir);
    snprintf(with_slash, sizeof with_slash, "%s///", link_path);
    CHECK_EQ_I(0, mkdir(fixture_path(&f, "real"), 0700));
    CHECK_EQ_I(0, symlink(f.path, link_path));
    f.options.directory = link_path;
    expect_open_refused(&f, CKIT_E_UNSAFE_STORE, "symbolic link");
    f.options.directory = with_slash;
    expect_open_refused(&f, CKIT_E_UNSAFE_STORE, "symbolic link");
    scratch_write_file(fixture_path(&f, "plain"), S("x"));
    f.options.directory = f.path;
    expect_open_refused(&f, CKIT_E_UNSAFE_STORE, "not a directory");
    fixture_close(&f);
}

CKIT_TEST(safety, a_directory_is_made_with_its_parents_and_for_us_only) {
    fixture     f;
    char        deep[SCRATCH_PATH + 32];
    struct stat st;
    fixture_init(&f);
    snprintf(deep, sizeof deep, "%s/a/b/c", f.dir);
    f.options.directory = deep;
    fixture_reopen(&f);
    CHECK_EQ_I(0, stat(deep, &st));
    CHECK_EQ_U(0700, st.st_mode & 0777);
    CHECK_EQ_I(0, stat(fixture_path(&f, "a"), &st));
    CHECK_EQ_U(0, st.st_mode & 022);
    fixture_close(&f);
}

CKIT_TEST(safety, a_directory_that_cannot_be_made_is_named) {
    fixture f;
    fixture_init(&f);
    scratch_write_file(fixture_path(&f, "file"), S("x"));
    char below[sizeof f.path + 16];
    snprintf(below, sizeof below, "%s/cache", f.path);
    f.options.directory = below;
    expect_open_refused(&f, CKIT_E_IO, below);
    f.options.directory = "/proc/x";
    expect_open_refused(&f, CKIT_E_IO, "cannot make the directory /proc/x: ");
    fixture_close(&f);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(options, one_out_of_range_is_refused_by_name) {
    fixture f;
    fixture_init(&f);
#define REFUSED(field, wrong)                                                                                          \
    do {                                                                                                               \
        ckit_file_options saved = f.options;                                                                           \
        f.options.field = (wrong);                                                                                     \
        expect_open_refused(&f, CKIT_E_CONFIGURATION, #field);                                                         \
        f.options = saved;                                                                                             \
    } while (0)
    REFUSED(directory, NULL);
    REFUSED(directory, "");
    REFUSED(max_size_bytes, 1000);
    REFUSED(max_size_bytes, UINT64_C(1000001) * 1024 * 1024);
    REFUSED(max_value_bytes, UINT64_C(513) * 1024 * 1024);
    REFUSED(max_entry_count, 99);
    REFUSED(max_entry_count, 1000001);
    REFUSED(lock_timeout_ms, 499);
    REFUSED(lock_timeout_ms, 30001);
    REFUSED(permissions, 0620);
    REFUSED(permissions, 0400);
    REFUSED(permissions, 01600);
    REFUSED(dir_permissions, 0600);
    REFUSED(dir_permissions, 0777);
    REFUSED(sync, (ckit_file_sync)4);
#undef REFUSED
    CHECK_STATUS(CKIT_E_MISUSE, ckit_file_open(NULL, NULL, &f.backend, NULL));
    f.options.struct_size = 0;
    CHECK_STATUS(CKIT_E_MISUSE, ckit_file_open(&f.options, NULL, &f.backend, NULL));
    fixture_close(&f);
}

CKIT_TEST(options, a_small_store_lowers_the_largest_value_to_half_of_it) {
    fixture f;
    fixture_init(&f);
    f.options.max_size_bytes = 2 * 1024 * 1024;
    fixture_reopen(&f);
    CHECK_EQ_U(1024 * 1024, f.self->options.max_value_bytes);
    fixture_close(&f);
}

CKIT_TEST(options, the_initializer_and_the_function_agree) {
    ckit_file_options a = CKIT_FILE_OPTIONS_INIT, b;
    ckit_file_options_init(&b, sizeof b);
    CHECK_BYTES(((ckit_slice){(const uint8_t *)&a, sizeof a}), ((ckit_slice){(const uint8_t *)&b, sizeof b}));
}

/* ---- damaged and newer entries ----------------------------------------------------------------------------------- */

CKIT_TEST(damage, a_corrupt_entry_is_missing_and_removed) {
    static const char *const rows[] = {"", "C", "CK\1", "XX\1\0\0\0\0\0\0\0\0\0\0\0v", "CK\2\0\0\0\0\0\0\0\0\0\0\0v"};
    static const size_t      lengths[] = {0, 1, 3, 15, 15};
    fixture                  f;
    fixture_open(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        scratch_write_file(fixture_path(&f, NAME_USER), (ckit_slice){(const uint8_t *)rows[i], lengths[i]});
        fixture_expect(&f, "user:123", NULL);
        CHECK_EQ_U(0, fixture_entries(&f));
    }
    fixture_close(&f);
}

CKIT_TEST(damage, an_entry_of_a_newer_writer_is_missing_and_stays_as_it_is) {
    static const char newer[] = "CK\1\0\0\1\0\0\0\0\0\0\0\0v";
    fixture           f;
    fixture_open(&f);
    scratch_write_file(fixture_path(&f, NAME_USER), S_LITERAL(newer));
    fixture_expect(&f, "user:123", NULL);
    CHECK_STATUS(CKIT_MISS, f.ops->touch(f.self, S("user:123"), 1000, CKIT_NO_DEADLINE, NULL));
    size_t   len;
    uint8_t *bytes = scratch_read_file(fixture_path(&f, NAME_USER), &len);
    CHECK_BYTES(S_LITERAL(newer), ((ckit_slice){bytes, len}));
    free(bytes);
    fixture_close(&f);
}

CKIT_TEST(damage, a_value_larger_than_our_limit_is_missing_and_stays) {
    fixture f;
    fixture_init(&f);
    f.options.max_value_bytes = 100;
    fixture_reopen(&f);
    uint8_t large[CKITI_FILE_HEADER_BYTES + 101] = {'C', 'K', 1};
    scratch_write_file(fixture_path(&f, NAME_USER), S_ARRAY(large));
    fixture_expect(&f, "user:123", NULL);
    CHECK_EQ_U(1, fixture_entries(&f));
    fixture_close(&f);
}

/* ---- leftovers --------------------------------------------------------------------------------------------------- */

static void make_old(const char *path, time_t age_s) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct timespec stamps[2] = {{.tv_sec = now.tv_sec - age_s}, {.tv_sec = now.tv_sec - age_s}};
    CHECK_EQ_I(0, utimensat(AT_FDCWD, path, stamps, AT_SYMLINK_NOFOLLOW));
}

CKIT_TEST(leftovers, temporary_files_older_than_a_minute_are_swept_and_nothing_else) {
    static const char *const ours[] = {NAME_USER ".tmp.1.2", NAME_USER ".tmp.1.2.3", ".ck-index.tmp.1.2.3"};
    static const char *const foreign[] = {"notes.tmp.1", NAME_USER "0.tmp.1.2", "README", ".hidden.tmp.1"};
    fixture                  f;
    fixture_init(&f);
    for (size_t i = 0; i < 3; i++) {
        scratch_write_file(fixture_path(&f, ours[i]), S("x"));
        make_old(f.path, 61);
    }
    for (size_t i = 0; i < 4; i++) {
        scratch_write_file(fixture_path(&f, foreign[i]), S("x"));
        make_old(f.path, 10000);
    }
    scratch_write_file(fixture_path(&f, NAME_USER ".tmp.9.9.9"), S("x"));
    CHECK_EQ_I(0, symlink("/etc/passwd", fixture_path(&f, NAME_USER ".tmp.8.8.8")));
    make_old(f.path, 10000);
    fixture_reopen(&f);
    for (size_t i = 0; i < 3; i++) {
        CHECKF(access(fixture_path(&f, ours[i]), F_OK) != 0, "%s", ours[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        CHECKF(access(fixture_path(&f, foreign[i]), F_OK) == 0, "%s", foreign[i]);
    }
    struct stat st;
    CHECK_EQ_I(0, lstat(fixture_path(&f, NAME_USER ".tmp.9.9.9"), &st));
    CHECK_EQ_I(0, lstat(fixture_path(&f, NAME_USER ".tmp.8.8.8"), &st));
    fixture_close(&f);
}

static bool leftover_is_swept(fixture *f) {
    scratch_write_file(fixture_path(f, NAME_USER ".tmp.1.2.3"), S("x"));
    make_old(f->path, 61);
    fixture_reopen(f);
    return access(fixture_path(f, NAME_USER ".tmp.1.2.3"), F_OK) != 0;
}

CKIT_TEST(leftovers, a_large_directory_is_swept_once_a_minute_only) {
    fixture     f;
    struct stat st;
    fixture_open(&f);
    CHECK(leftover_is_swept(&f));
    CHECK(leftover_is_swept(&f));
    for (int i = 0; i < 4000; i++) { /* nothing of ours: they only make the directory large */
        char name[128];
        snprintf(name, sizeof name, "a-rather-long-name-that-takes-some-room-in-the-directory-itself-%d", i);
        int fd = open(fixture_path(&f, name), O_CREAT | O_WRONLY, 0600);
        CHECK(fd >= 0);
        close(fd);
    }
    CHECK_EQ_I(0, stat(f.dir, &st));
    if (st.st_size <= 65536) {
        fixture_close(&f);
        SKIP("directories have no size on this file system");
    }
    CHECK(leftover_is_swept(&f)); /* the first time nobody has left a stamp */
    CHECK(!leftover_is_swept(&f));
    make_old(fixture_path(&f, ".ck-swept"), 61);
    CHECK(leftover_is_swept(&f));
    fixture_close(&f);
}

CKIT_TEST(leftovers, a_lock_file_whose_lease_has_ended_is_swept) {
    fixture    f;
    ckit_lease lease;
    fixture_open(&f);
    CHECK_OK(f.ops->lock_try(f.self, S("short"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_OK(f.ops->lock_try(f.self, S("user:123"), 100000, CKIT_NO_DEADLINE, &lease, NULL));
    scratch_write_file(fixture_path(&f, ".ck-lock-00000000000000000000000000000000"), S("rubbish"));
    fake_clock_advance(&f.time, 1000);
    fixture_reopen(&f);
    CHECK(access(fixture_path(&f, ".ck-lock-00000000000000000000000000000000"), F_OK) != 0);
    CHECK_EQ_I(0, access(fixture_path(&f, ".ck-lock-" NAME_USER), F_OK));
    CHECK_STATUS(CKIT_MISS, f.ops->lock_try(f.self, S("user:123"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    fixture_close(&f);
}

/* ---- locks and clocks -------------------------------------------------------------------------------------------- */

CKIT_TEST(clocks, a_wall_clock_that_was_set_back_does_not_keep_a_lock_for_ever) {
    fixture    f;
    ckit_lease first, second;
    fixture_open(&f);
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 30000, CKIT_NO_DEADLINE, &first, NULL));
    fake_clock_set_wall(&f.time, FAKE_CLOCK_WALL_MS - 86400000);
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 30000, CKIT_NO_DEADLINE, &second, NULL));
    CHECK(second.fence > first.fence);
    fixture_close(&f);
}

CKIT_TEST(clocks, on_the_systems_clocks_a_lock_is_held_too) {
    fixture    f;
    ckit_lease first, second;
    fixture_init(&f);
    f.env.clock = NULL;
    fixture_reopen(&f);
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 30000, CKIT_NO_DEADLINE, &first, NULL));
    CHECK_STATUS(CKIT_MISS, f.ops->lock_try(f.self, S("k"), 30000, CKIT_NO_DEADLINE, &second, NULL));
    CHECK_OK(f.ops->lock_release(f.self, S("k"), &first, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 30000, CKIT_NO_DEADLINE, &second, NULL));
    CHECK(second.fence > first.fence);
    fixture_close(&f);
}

CKIT_TEST(clocks, fences_grow_also_when_the_clock_goes_back) {
    fixture    f;
    ckit_lease first, second;
    fixture_open(&f);
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 1000, CKIT_NO_DEADLINE, &first, NULL));
    CHECK_OK(f.ops->lock_release(f.self, S("k"), &first, CKIT_NO_DEADLINE, NULL));
    fake_clock_set_wall(&f.time, 1000);
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 1000, CKIT_NO_DEADLINE, &second, NULL));
    CHECK(second.fence > first.fence);
    fixture_close(&f);
}

CKIT_TEST(locking, a_file_locked_by_others_is_waited_for_up_to_the_limit) {
    fixture f;
    fixture_init(&f);
    f.options.lock_timeout_ms = 500;
    fixture_reopen(&f);
    CHECK_OK(fixture_set(&f, "user:123", "v", 60000));
    int fd = open(fixture_path(&f, NAME_USER), O_RDONLY);
    CHECK_EQ_I(0, flock(fd, LOCK_SH));
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = f.ops->touch(f.self, S("user:123"), 1000, CKIT_NO_DEADLINE, &err);
    CHECK_STATUS_ERR(CKIT_E_LOCK_TIMEOUT, st, &err);
    CHECK_EQ_I(CKIT_KIND_TIMEOUT, err.kind);
    st = f.ops->touch(f.self, S("user:123"), 1000, fake_clock_now(&f.time) + 1, &err); /* the deadline is nearer */
    CHECK_STATUS_ERR(CKIT_E_LOCK_TIMEOUT, st, &err);
    fixture_expect(&f, "user:123", "v"); /* readers do not care */
    CHECK_OK(fixture_set(&f, "user:123", "w", 60000));
    close(fd);
    CHECK_OK(f.ops->touch(f.self, S("user:123"), 1000, CKIT_NO_DEADLINE, NULL));
    fixture_close(&f);
}

/* ---- health ------------------------------------------------------------------------------------------------------ */

CKIT_TEST(health, it_counts_entries_and_bytes_and_tells_what_is_wrong) {
    fixture     f;
    ckit_health health;
    fixture_open(&f);
    CHECK_OK(fixture_set(&f, "a", "12345", 60000));
    CHECK_OK(fixture_set(&f, "b", "1", 60000));
    f.ops->health(f.self, CKIT_NO_DEADLINE, &health);
    CHECK(health.healthy);
    CHECK_EQ_U(2, health.entries);
    CHECK_EQ_U(2 * CKITI_FILE_HEADER_BYTES + 6, health.bytes);
    CHECK_EQ_U(UINT64_C(1024) * 1024 * 1024, health.limit_bytes);
    CHECK_EQ_U(0, fixture_temps(&f));
    scratch_remove(f.dir);
    f.ops->health(f.self, CKIT_NO_DEADLINE, &health);
    CHECK(!health.healthy);
    CHECK(health.detail[0] != '\0');
    fixture_close(&f);
}

CKIT_TEST(directory, one_that_was_deleted_is_made_again_by_the_next_write) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set(&f, "k", "v", 60000));
    scratch_remove(f.dir);
    fixture_expect(&f, "k", NULL);
    CHECK_OK(fixture_set(&f, "k", "again", 60000));
    fixture_expect(&f, "k", "again");
    CHECK_EQ_U(1, fixture_entries(&f));
    fixture_close(&f);
}

CKIT_TEST(directory, one_that_was_replaced_by_a_link_is_not_followed) {
    fixture f;
    char    elsewhere[SCRATCH_PATH];
    fixture_open(&f);
    scratch_make(elsewhere);
    scratch_remove(f.dir);
    CHECK_EQ_I(0, symlink(elsewhere, f.dir));
    ckit_error      err = CKIT_ERROR_INIT;
    ckit_entry_info info = {.ttl_ms = 1000};
    CHECK_STATUS_ERR(CKIT_E_UNSAFE_STORE, f.ops->set(f.self, S("k"), S("v"), &info, CKIT_NO_DEADLINE, &err), &err);
    CHECK_EQ_U(0, scratch_count_files(elsewhere));
    CHECK_EQ_I(0, unlink(f.dir));
    scratch_remove(elsewhere);
    fixture_close(&f);
}
