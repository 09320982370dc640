/* Each system call fails in turn: the old value stays, or the new one is there; nothing leaks, nothing stays behind. Of
 * failure.c and io.c. */
#include "file_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char old_value[] = "the old value";
static const char new_value[] = "the new value, which is somewhat longer";

static bool holds(fixture *f, const char *key, const char *value) {
    ckit_buf    out = CKIT_BUF_INIT;
    uint64_t    life_ms = 0;
    ckit_status st = f->ops->get(f->self, S(key), CKIT_NO_DEADLINE, &out, &life_ms, NULL);
    bool        same = st == CKIT_OK && ckit_slice_equal(S(value), ckit_buf_slice(&out));
    ckit_buf_fini(&out);
    return same;
}

/* What is to be rehearsed. */
typedef ckit_status (*deed)(fixture *f, ckit_error *err);

static ckit_status do_set(fixture *f, ckit_error *err) {
    ckit_entry_info info = {.ttl_ms = 60000, .namespace_name = S("n")};
    return f->ops->set(f->self, S("k"), S(new_value), &info, CKIT_NO_DEADLINE, err);
}
static ckit_status do_get(fixture *f, ckit_error *err) {
    ckit_buf    out = CKIT_BUF_INIT;
    uint64_t    life_ms = 0;
    ckit_status st = f->ops->get(f->self, S("k"), CKIT_NO_DEADLINE, &out, &life_ms, err);
    CHECK_EQ_U(st == CKIT_OK ? sizeof old_value - 1 : 0, out.len);
    ckit_buf_fini(&out);
    return st;
}
static ckit_status do_touch(fixture *f, ckit_error *err) {
    return f->ops->touch(f->self, S("k"), 90000, CKIT_NO_DEADLINE, err);
}
static ckit_status do_replace(fixture *f, ckit_error *err) {
    return f->ops->replace(f->self, S("k"), S(old_value), S(new_value), CKIT_NO_DEADLINE, err);
}
static ckit_status do_exists(fixture *f, ckit_error *err) {
    return f->ops->exists(f->self, S("k"), CKIT_NO_DEADLINE, err);
}
static ckit_status do_remove_other(fixture *f, ckit_error *err) {
    return f->ops->remove(f->self, S("other"), CKIT_NO_DEADLINE, err);
}
static ckit_status do_fenced_set(fixture *f, ckit_error *err) {
    ckit_lease  lease;
    ckit_status st = f->ops->lock_try(f->self, S("k"), 1000, CKIT_NO_DEADLINE, &lease, err);
    if (st == CKIT_OK) {
        ckit_entry_info info = {.ttl_ms = 60000};
        st = f->ops->set_if_owner(f->self, S("k"), S(new_value), &info, &lease, CKIT_NO_DEADLINE, err);
        ckit_status released = f->ops->lock_release(f->self, S("k"), &lease, CKIT_NO_DEADLINE, err);
        st = st == CKIT_OK && released != CKIT_OK ? released : st;
    }
    return st;
}
static ckit_status ignore(void *context, const ckit_listed *entry) {
    (void)context, (void)entry;
    return CKIT_OK;
}
static ckit_status do_list(fixture *f, ckit_error *err) {
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    return f->ops->list(f->self, &all, CKIT_NO_DEADLINE, ignore, NULL, err);
}
static ckit_status do_delete_nothing(fixture *f, ckit_error *err) {
    ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("nobody")};
    ckit_deleted deleted;
    return f->ops->delete_scope(f->self, &scope, CKIT_NO_DEADLINE, &deleted, err);
}
static ckit_status do_health(fixture *f, ckit_error *err) {
    ckit_health health;
    f->ops->health(f->self, CKIT_NO_DEADLINE, &health);
    return health.healthy ? CKIT_OK : ckit_fail(err, CKIT_E_IO, "file", "%s", health.detail);
}

static ckit_status ignore_stat(void *context, const ckit_stat *stat) {
    (void)context, (void)stat;
    return CKIT_OK;
}
static ckit_status do_stats(fixture *f, ckit_error *err) {
    int64_t since_ms;
    return f->ops->stats(f->self, CKIT_NO_DEADLINE, ignore_stat, NULL, &since_ms, err);
}
static ckit_status do_sweep(fixture *f, ckit_error *err) {
    ckit_deleted deleted;
    return f->ops->sweep(f->self, CKIT_NO_DEADLINE, &deleted, err);
}

/* One call fails with one error. False when there was no such call: the rehearsal of this kind is over. */
static bool rehearse(deed act, faulty_kind kind, uint64_t at, int error) {
    faulty_io io;
    fixture   f;
    size_t    descriptors = open_descriptors();
    fixture_init_faulty(&f, &io);
    f.options.sync = kind == FAULTY_SYNC ? CKIT_FILE_SYNC_FULL : CKIT_FILE_SYNC_NONE;
    fixture_reopen(&f);
    CHECK_OK(fixture_set(&f, "k", old_value, 60000));
    CHECK_OK(fixture_set(&f, "other", "other", 60000));

    faulty_io_fail(&io, kind, at, error);
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = act(&f, &err);
    bool        struck = atomic_load(&io.failed) > 0;
    if (st >= CKIT_E_FIRST) {
        CHECK_STATUS_ERR(st, st, &err);
    }
    faulty_io_fail(&io, kind, UINT64_MAX, 0);

    CHECKF(holds(&f, "k", old_value) || holds(&f, "k", new_value), "kind %d, call %d, errno %d: %s", (int)kind, (int)at,
           error, ckit_status_name(st));
    if (kind != FAULTY_UNLINK) { /* what may not be removed stays, and is swept later */
        CHECK_EQ_U(0, fixture_temps(&f));
    }
    CHECK_OK(fixture_set(&f, "k", "after", 60000));
    fixture_expect(&f, "k", "after");
    fixture_close(&f);
    CHECK_EQ_U(descriptors, open_descriptors());
    return struck;
}

static void rehearse_all(deed act, faulty_kind kind, int error) {
    for (uint64_t at = 0; rehearse(act, kind, at, error); at++) {
        CHECK(at < 200);
    }
}

#define REHEARSE(name, act)                                                                                            \
    CKIT_TEST(faults, name) {                                                                                          \
        rehearse_all(act, FAULTY_OPEN, EMFILE);                                                                        \
        rehearse_all(act, FAULTY_OPEN, EACCES);                                                                        \
        rehearse_all(act, FAULTY_STAT, EIO);                                                                           \
        rehearse_all(act, FAULTY_READ, EIO);                                                                           \
        rehearse_all(act, FAULTY_WRITE, ENOSPC);                                                                       \
        rehearse_all(act, FAULTY_WRITE, EIO);                                                                          \
        rehearse_all(act, FAULTY_WRITE, EINTR);                                                                        \
        rehearse_all(act, FAULTY_SYNC, EIO);                                                                           \
        rehearse_all(act, FAULTY_SYNC, EINTR);                                                                         \
        rehearse_all(act, FAULTY_RENAME, ENOSPC);                                                                      \
        rehearse_all(act, FAULTY_UNLINK, EACCES);                                                                      \
        rehearse_all(act, FAULTY_LOCK, ENOLCK);                                                                        \
        rehearse_all(act, FAULTY_LIST, EIO);                                                                           \
        rehearse_all(act, FAULTY_CLOSE, EIO);                                                                          \
        rehearse_all(act, FAULTY_EXCHANGE, EIO);                                                                       \
    }

REHEARSE(each_call_of_a_write_may_fail, do_set)
REHEARSE(each_call_of_a_fenced_write_may_fail, do_fenced_set)
REHEARSE(each_call_of_a_replacement_may_fail, do_replace)
REHEARSE(each_call_of_a_read_may_fail, do_get)
REHEARSE(each_call_of_a_look_may_fail, do_exists)
REHEARSE(each_call_of_a_touch_may_fail, do_touch)
REHEARSE(each_call_of_a_removal_may_fail, do_remove_other)
REHEARSE(each_call_of_a_listing_may_fail, do_list)
REHEARSE(each_call_of_a_deletion_may_fail, do_delete_nothing)
REHEARSE(each_call_of_a_health_check_may_fail, do_health)
REHEARSE(each_call_of_telling_may_fail, do_stats)
REHEARSE(each_call_of_a_sweep_may_fail, do_sweep)

CKIT_TEST(faults, short_reads_and_writes_are_carried_on) {
    faulty_io io;
    fixture   f;
    fixture_init_faulty(&f, &io);
    io.chunk = 3;
    fixture_reopen(&f);
    CHECK_OK(fixture_set(&f, "k", new_value, 60000));
    fixture_expect(&f, "k", new_value);
    fixture_close(&f);
}

CKIT_TEST(faults, a_lock_that_cannot_be_read_is_not_taken_from_its_holder) {
    faulty_io  io;
    fixture    f;
    ckit_lease first, second;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open_faulty(&f, &io);
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 1000, CKIT_NO_DEADLINE, &first, NULL));
    faulty_io_fail(&io, FAULTY_READ, 0, EIO);
    ckit_status st = f.ops->lock_try(f.self, S("k"), 1000, CKIT_NO_DEADLINE, &second, &err);
    CHECK_STATUS_ERR(CKIT_E_IO, st, &err);
    faulty_io_fail(&io, FAULTY_READ, 0, EIO);
    fixture_reopen(&f); /* which sweeps */
    faulty_io_fail(&io, FAULTY_READ, UINT64_MAX, 0);
    io.chunk = 7; /* short reads are carried on */
    CHECK_OK(f.ops->lock_renew(f.self, S("k"), &first, 1000, CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, f.ops->lock_try(f.self, S("k"), 1000, CKIT_NO_DEADLINE, &second, NULL));
    fixture_close(&f);
}

CKIT_TEST(faults, an_interrupted_sync_is_carried_on) {
    static const deed deeds[] = {do_set, do_touch};
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
        for (uint64_t at = 0; at < 2; at++) {
            faulty_io  io;
            fixture    f;
            ckit_error err = CKIT_ERROR_INIT;
            fixture_init_faulty(&f, &io);
            f.options.sync = CKIT_FILE_SYNC_FULL;
            fixture_reopen(&f);
            CHECK_OK(fixture_set(&f, "k", old_value, 60000));
            faulty_io_fail(&io, FAULTY_SYNC, at, EINTR);
            CHECK_OK_ERR(deeds[i](&f, &err), &err);
            fixture_close(&f);
        }
    }
}

CKIT_TEST(faults, a_failure_has_the_kind_of_its_cause) {
    static const struct {
        int         error;
        ckit_status status;
    } rows[] = {{EDQUOT, CKIT_E_NO_SPACE}, {EROFS, CKIT_E_READ_ONLY},  {EFBIG, CKIT_E_TOO_LARGE},
                {EIO, CKIT_E_IO},          {EPERM, CKIT_E_PERMISSION}, {ENOMEM, CKIT_E_NO_MEMORY}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        faulty_io io;
        fixture   f;
        fixture_open_faulty(&f, &io);
        CHECK_OK(fixture_set(&f, "k", old_value, 60000));
        faulty_io_fail(&io, FAULTY_WRITE, 0, rows[i].error);
        io.fail_for = UINT64_MAX;
        ckit_error  err = CKIT_ERROR_INIT;
        ckit_status st = do_set(&f, &err);
        CHECK_STATUS_ERR(rows[i].status, st, &err);
        CHECK_EQ_I(rows[i].error, err.sys_errno);
        fixture_close(&f);
    }
}

CKIT_TEST(faults, a_directory_that_takes_no_files_is_named) {
    faulty_io  io;
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open_faulty(&f, &io);
    faulty_io_fail(&io, FAULTY_OPEN, 0, EACCES);
    io.fail_for = UINT64_MAX;
    CHECK_STATUS_ERR(CKIT_E_PERMISSION, do_set(&f, &err), &err);
    CHECK_CONTAINS(f.options.directory, err.text);
    faulty_io_fail(&io, FAULTY_OPEN, UINT64_MAX, 0);
    fixture_close(&f);
}

CKIT_TEST(faults, a_full_disk_is_relieved_once_and_then_reported) {
    faulty_io io;
    fixture   f;
    char      key[32];
    fixture_open_faulty(&f, &io);
    CHECK_OK(fixture_set(&f, "k", old_value, 60000));
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "filler-%d", i);
        CHECK_OK(fixture_set(&f, key, "v", 60000));
    }
    faulty_io_fail(&io, FAULTY_WRITE, 0, ENOSPC);
    CHECK_OK(do_set(&f, NULL));
    fixture_expect(&f, "k", new_value);
    CHECK_BETWEEN_U(14, 15, fixture_entries(&f));

    faulty_io_fail(&io, FAULTY_WRITE, 0, ENOSPC);
    io.fail_for = UINT64_MAX;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = do_set(&f, &err);
    CHECK_STATUS_ERR(CKIT_E_NO_SPACE, st, &err);
    CHECK_EQ_I(CKIT_KIND_TRANSIENT, err.kind);
    CHECK_EQ_U(0, fixture_temps(&f));
    fixture_close(&f);
}

/* ---- races, played out in the worst moment ----------------------------------------------------------------------- */

static void write_behind(void *context) {
    fixture *f = context;
    CHECK_OK(fixture_set(f, "k", "fresh", 60000));
}

static void rehearse_race(void (*stale)(fixture *f), faulty_kind kind) {
    /* Whichever call of the removal the fresh write comes before, it stays. */
    for (uint64_t at = 0; at < 8; at++) {
        faulty_io io;
        fixture   f;
        fixture_open_faulty(&f, &io);
        CHECK_OK(fixture_set(&f, "k", old_value, 1000));
        stale(&f);
        faulty_io_fail(&io, kind, UINT64_MAX, 0);
        io.meanwhile_kind = kind;
        io.meanwhile_at = at;
        io.meanwhile = write_behind;
        io.context = &f;
        ckit_buf out = CKIT_BUF_INIT;
        uint64_t life_ms = 0;
        CHECK(f.ops->get(f.self, S("k"), CKIT_NO_DEADLINE, &out, &life_ms, NULL) <= CKIT_MISS);
        ckit_buf_fini(&out);
        if (io.meanwhile == NULL) {
            fixture_expect(&f, "k", "fresh");
        }
        CHECK_EQ_U(0, fixture_temps(&f));
        fixture_close(&f);
    }
}

static void let_expire(fixture *f) { fake_clock_advance(&f->time, 2000); }
static void corrupt(fixture *f) {
    ckiti_file_name name;
    ckiti_file_name_of_key(&name, S("k"));
    scratch_write_file(fixture_path(f, name.text), S("XXXX"));
}

CKIT_TEST(races, removing_an_expired_entry_never_takes_a_fresh_write_along) {
    rehearse_race(let_expire, FAULTY_STAT);
    rehearse_race(let_expire, FAULTY_READ);
    rehearse_race(let_expire, FAULTY_RENAME);
    rehearse_race(let_expire, FAULTY_LOCK);
    rehearse_race(let_expire, FAULTY_UNLINK);
}

CKIT_TEST(races, removing_a_corrupt_entry_never_takes_a_fresh_write_along) {
    rehearse_race(corrupt, FAULTY_STAT);
    rehearse_race(corrupt, FAULTY_RENAME);
    rehearse_race(corrupt, FAULTY_UNLINK);
}

static void touch_behind(void *context) {
    fixture *f = context;
    fake_clock_set_wall(&f->time, FAKE_CLOCK_WALL_MS); /* a process whose clock is slow still sees it alive */
    CHECK_OK(f->ops->touch(f->self, S("k"), 60000, CKIT_NO_DEADLINE, NULL));
    fake_clock_set_wall(&f->time, FAKE_CLOCK_WALL_MS + 2000);
}

CKIT_TEST(races, an_entry_that_was_just_touched_is_not_removed_as_expired) {
    faulty_io io;
    fixture   f;
    fixture_open_faulty(&f, &io);
    CHECK_OK(fixture_set(&f, "k", old_value, 1000));
    fake_clock_set_wall(&f.time, FAKE_CLOCK_WALL_MS + 2000);
    faulty_io_fail(&io, FAULTY_LOCK, UINT64_MAX, 0);
    io.meanwhile_kind = FAULTY_LOCK;
    io.meanwhile_at = 0;
    io.meanwhile = touch_behind;
    io.context = &f;
    CHECK_STATUS(CKIT_MISS, f.ops->exists(f.self, S("k"), CKIT_NO_DEADLINE, NULL));
    fixture_expect(&f, "k", old_value);
    fixture_close(&f);
}

CKIT_TEST(races, a_touch_never_reaches_the_entry_that_is_written_meanwhile) {
    for (uint64_t at = 0; at < 4; at++) {
        faulty_io io;
        fixture   f;
        fixture_open_faulty(&f, &io);
        CHECK_OK(fixture_set(&f, "k", old_value, 60000));
        faulty_io_fail(&io, FAULTY_STAT, UINT64_MAX, 0);
        io.meanwhile_kind = at < 2 ? FAULTY_STAT : FAULTY_WRITE;
        io.meanwhile_at = at % 2;
        io.meanwhile = write_behind;
        io.context = &f;
        CHECK_OK(f.ops->touch(f.self, S("k"), 500000, CKIT_NO_DEADLINE, NULL));
        fixture_expect(&f, "k", io.meanwhile == NULL ? "fresh" : old_value);
        fixture_close(&f);
    }
}
