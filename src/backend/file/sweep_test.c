/* Sweeping when asked. Of temp.c. */
#include "file_fixture.h"
#include "index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static ckit_status sweep(fixture *f, uint64_t *deleted) {
    ckit_deleted out = {77, 77};
    ckit_status  st = f->ops->sweep(f->self, CKIT_NO_DEADLINE, &out, NULL);
    CHECK_EQ_U(0, out.unindexed);
    *deleted = out.deleted;
    return st;
}

static void corrupt(fixture *f, const char *key) {
    ckiti_file_name name;
    ckiti_file_name_of_key(&name, S(key));
    scratch_write_file(fixture_path(f, name.text), S("XXXX"));
}

static void make_old(const char *path) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct timespec stamps[2] = {{.tv_sec = now.tv_sec - 61}, {.tv_sec = now.tv_sec - 61}};
    CHECK_EQ_I(0, utimensat(AT_FDCWD, path, stamps, 0));
}

CKIT_TEST(sweep, expired_and_damaged_entries_go_and_live_ones_stay) {
    fixture  f;
    uint64_t deleted;
    fixture_open(&f);
    CHECK_OK(fixture_set(&f, "short", "v", 1000));
    CHECK_OK(fixture_set(&f, "shorter", "v", 1));
    CHECK_OK(fixture_set(&f, "long", "v", 60000));
    CHECK_OK(fixture_set(&f, "ever", "v", CKIT_TTL_NO_EXPIRY));
    corrupt(&f, "damaged");
    scratch_write_file(fixture_path(&f, "README"), S("not ours"));
    fake_clock_advance(&f.time, 3000);
    CHECK_OK(sweep(&f, &deleted));
    CHECK_EQ_U(3, deleted);
    CHECK_EQ_U(2, fixture_entries(&f));
    fixture_expect(&f, "long", "v");
    fixture_expect(&f, "ever", "v");
    CHECK_EQ_I(0, access(fixture_path(&f, "README"), F_OK));
    CHECK_OK(sweep(&f, &deleted));
    CHECK_EQ_U(0, deleted);
    fixture_close(&f);
}

CKIT_TEST(sweep, leftovers_of_dead_writers_and_ended_locks_go) {
    fixture    f;
    ckit_lease ended, held;
    uint64_t   deleted;
    fixture_open(&f);
    CHECK_OK(f.ops->lock_try(f.self, S("a"), 1000, CKIT_NO_DEADLINE, &ended, NULL));
    CHECK_OK(f.ops->lock_try(f.self, S("b"), 60000, CKIT_NO_DEADLINE, &held, NULL));
    scratch_write_file(fixture_path(&f, ".ck-index.tmp.1.2.3"), S("x"));
    make_old(f.path);
    fake_clock_advance(&f.time, 3000);
    CHECK_OK(sweep(&f, &deleted));
    CHECK_EQ_U(0, deleted); /* these are no entries */
    CHECK_EQ_U(0, fixture_temps(&f));
    CHECK_STATUS(CKIT_MISS, f.ops->lock_release(f.self, S("a"), &ended, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(f.ops->lock_release(f.self, S("b"), &held, CKIT_NO_DEADLINE, NULL));
    fixture_close(&f);
}

CKIT_TEST(sweep, the_index_forgets_the_names_of_what_went) {
    fixture  f;
    size_t   len;
    uint64_t deleted;
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "secret-key", "v", "n", "f"));
    fake_clock_advance(&f.time, 62000);
    CHECK_OK(fixture_set_owned(&f, "other", "v", "n", "f"));
    CHECK_OK(sweep(&f, &deleted));
    CHECK_EQ_U(1, deleted);
    uint8_t *index = scratch_read_file(fixture_path(&f, ".ck-index"), &len);
    CHECK(memmem(index, len, "secret-key", 10) == NULL);
    CHECK(memmem(index, len, "other", 5) != NULL);
    free(index);
    fixture_close(&f);
}

CKIT_TEST(sweep, what_cannot_be_removed_is_a_failure_and_the_rest_goes) {
    faulty_io  io;
    fixture    f;
    uint64_t   deleted;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open_faulty(&f, &io);
    CHECK_OK(fixture_set(&f, "a", "v", 1000));
    CHECK_OK(fixture_set(&f, "b", "v", 1000));
    fake_clock_advance(&f.time, 3000);
    faulty_io_fail(&io, FAULTY_RENAME, 0, EROFS);
    ckit_deleted out;
    ckit_status  st = f.ops->sweep(f.self, CKIT_NO_DEADLINE, &out, &err);
    CHECK_STATUS_ERR(CKIT_E_READ_ONLY, st, &err);
    CHECK_EQ_U(1, out.deleted);
    CHECK_OK(sweep(&f, &deleted));
    CHECK_EQ_U(1, deleted);
    fixture_close(&f);
}

CKIT_TEST(sweep, a_deadline_that_has_passed_ends_it) {
    fixture      f;
    ckit_deleted out;
    fixture_open(&f);
    CHECK_OK(fixture_set(&f, "a", "v", 1000));
    fake_clock_advance(&f.time, 3000);
    CHECK_STATUS(CKIT_E_TIMEOUT, f.ops->sweep(f.self, fake_clock_now(&f.time), &out, NULL));
    CHECK_EQ_U(0, out.deleted);
    CHECK_EQ_U(1, fixture_entries(&f));
    fixture_close(&f);
}
