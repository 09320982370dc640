/* What the store counts, and how the counts of several processes come together. Of record.c. */
#include "file_fixture.h"
#include "record.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORD ".ck-stats"

typedef struct told {
    ckit_stat   stats[64];
    size_t      count;
    size_t      stop_at;
    ckit_status status;
    int64_t     since_ms;
    ckit_error  err;
} told;

static ckit_status keep(void *context, const ckit_stat *stat) {
    told *t = context;
    CHECK(t->count < 64);
    t->stats[t->count++] = *stat;
    return t->count == t->stop_at ? CKIT_E_CANCELLED : CKIT_OK;
}

static told ask(const fixture *f) {
    told t = {.since_ms = -1};
    t.status = f->ops->stats(f->self, CKIT_NO_DEADLINE, keep, &t, &t.since_ms, &t.err);
    return t;
}

static const ckit_stat *find(const told *t, const char *name) {
    CHECK_STATUS_ERR(CKIT_OK, t->status, &t->err);
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->stats[i].name, name) == 0) {
            return &t->stats[i];
        }
    }
    FAIL("no figure is called %s", name);
}

static uint64_t figure(const told *t, const char *name) { return find(t, name)->value; }
static uint64_t figure_of(const fixture *f, const char *name) {
    told t = ask(f);
    return figure(&t, name);
}

static void look(const fixture *f, const char *key) {
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms;
    (void)f->ops->get(f->self, S(key), CKIT_NO_DEADLINE, &out, &life_ms, NULL);
    ckit_buf_fini(&out);
}

static void look_often(const fixture *f, unsigned times) {
    for (unsigned i = 0; i < times; i++) {
        look(f, "absent");
    }
}

static bool record_exists(fixture *f) { return access(fixture_path(f, RECORD), F_OK) == 0; }

static void write_entry(fixture *f, const char *key, const char *content) {
    ckiti_file_name name;
    ckiti_file_name_of_key(&name, S(key));
    scratch_write_file(fixture_path(f, name.text), S(content));
}

/* ---- what is counted --------------------------------------------------------------------------------------------- */

CKIT_TEST(stats, every_counter_counts_what_its_name_says) {
    fixture      f;
    ckit_lease   lease, other;
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    ckit_deleted deleted;
    fixture_init(&f);
    f.options.max_value_bytes = 100;
    fixture_reopen(&f);
    char large[102] = {0};
    memset(large, 'x', 101);

    CHECK_OK(fixture_set(&f, "a", "12345", 1000));
    CHECK_OK(fixture_set(&f, "b", "123", 60000));
    CHECK_OK(fixture_set(&f, "c", "1", 60000));
    CHECK_STATUS(CKIT_E_TOO_LARGE, fixture_set(&f, "d", large, 60000));
    CHECK_STATUS(CKIT_E_MISUSE, fixture_set(&f, "", "1", 60000));
    look(&f, "a");
    look(&f, "a");
    look(&f, "b");
    look(&f, "absent");
    CHECK_OK(f.ops->exists(f.self, S("b"), CKIT_NO_DEADLINE, NULL)); /* no reading */
    CHECK_OK(f.ops->remove(f.self, S("b"), CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, f.ops->remove(f.self, S("b"), CKIT_NO_DEADLINE, NULL));
    CHECK_OK(f.ops->lock_try(f.self, S("a"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_STATUS(CKIT_MISS, f.ops->lock_try(f.self, S("a"), 1000, CKIT_NO_DEADLINE, &other, NULL));
    CHECK_OK(f.ops->lock_renew(f.self, S("a"), &lease, 1000, CKIT_NO_DEADLINE, NULL));
    fake_clock_advance(&f.time, 3000);
    CHECK_STATUS(CKIT_MISS, f.ops->lock_renew(f.self, S("a"), &lease, 1000, CKIT_NO_DEADLINE, NULL));
    look(&f, "a");
    write_entry(&f, "e", "rubbish");
    look(&f, "e");
    CHECK_OK(f.ops->delete_scope(f.self, &all, CKIT_NO_DEADLINE, &deleted, NULL));

    static const struct {
        const char *name;
        uint64_t    value;
    } expected[] = {{"hits", 3},
                    {"misses", 3},
                    {"bytes_read", 13},
                    {"writes", 3},
                    {"bytes_written", 9},
                    {"removes", 2},
                    {"expired", 1},
                    {"evicted", 0},
                    {"corrupt", 1},
                    {"too_large", 1},
                    {"no_space", 0},
                    {"failures", 1},
                    {"locks_taken", 1},
                    {"locks_busy", 1},
                    {"locks_lost", 1},
                    {"entries", 0},
                    {"bytes", 0},
                    {"limit_entries", 10000},
                    {"limit_bytes", UINT64_C(1) << 30}};
    told t = ask(&f);
    CHECK_EQ_U(sizeof expected / sizeof expected[0], t.count);
    for (size_t i = 0; i < t.count; i++) {
        CHECKF(figure(&t, expected[i].name) == expected[i].value, "%s: %llu", expected[i].name,
               (unsigned long long)figure(&t, expected[i].name));
        CHECK_EQ_I(i < CKITI_FILE_COUNTERS, find(&t, expected[i].name)->counter);
    }
    fixture_close(&f);
}

CKIT_TEST(stats, what_is_evicted_counts_and_what_finds_no_room_does_too) {
    fixture f;
    char    key[32];
    fixture_init(&f);
    f.options.max_entry_count = 100;
    fixture_reopen(&f);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        CHECK_OK(fixture_set(&f, key, "v", 60000));
    }
    told t = ask(&f);
    CHECK(figure(&t, "evicted") >= 20);
    CHECK_EQ_U(100 - figure(&t, "evicted"), figure(&t, "entries"));
    CHECK_EQ_U(fixture_entries(&f), figure(&t, "entries"));
    CHECK_EQ_U(0, figure(&t, "removes"));
    fixture_close(&f);

    faulty_io io;
    fixture_open_faulty(&f, &io);
    faulty_io_fail(&io, FAULTY_WRITE, 0, ENOSPC);
    io.fail_for = UINT64_MAX;
    CHECK_STATUS(CKIT_E_NO_SPACE, fixture_set(&f, "k", "v", 60000));
    faulty_io_fail(&io, FAULTY_WRITE, UINT64_MAX, 0);
    CHECK_EQ_U(1, figure_of(&f, "no_space"));
    fixture_close(&f);
}

CKIT_TEST(stats, telling_ends_when_the_callback_says_so_and_at_a_deadline) {
    fixture f;
    fixture_open(&f);
    told t = {.stop_at = 3};
    CHECK_STATUS(CKIT_E_CANCELLED, f.ops->stats(f.self, CKIT_NO_DEADLINE, keep, &t, &t.since_ms, NULL));
    CHECK_EQ_U(3, t.count);
    CHECK_STATUS(CKIT_E_TIMEOUT, f.ops->stats(f.self, fake_clock_now(&f.time), keep, &t, &t.since_ms, NULL));
    CHECK_EQ_U(3, t.count);
    fixture_close(&f);
}

CKIT_TEST(stats, asking_a_store_that_nobody_used_makes_no_record) {
    fixture f;
    fixture_open(&f);
    told t = ask(&f);
    CHECK_EQ_U(0, figure(&t, "hits"));
    CHECK_EQ_I(0, t.since_ms);
    fixture_reopen(&f);
    CHECK(!record_exists(&f));
    fixture_close(&f);
}

/* ---- together ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(together, counts_are_added_after_a_second_and_at_the_end) {
    fixture     f;
    struct stat st;
    fixture_open(&f);
    look(&f, "absent");
    fake_clock_advance(&f.time, CKITI_FILE_STATS_EVERY_MS - 1);
    look(&f, "absent");
    CHECK(!record_exists(&f));
    fake_clock_advance(&f.time, 1);
    look(&f, "absent");
    CHECK_EQ_I(0, stat(fixture_path(&f, RECORD), &st));
    CHECK_EQ_U(0600, st.st_mode & 0777);
    CHECK_EQ_U(256, (uint64_t)st.st_size);
    look(&f, "absent");
    fixture_reopen(&f);
    told t = ask(&f);
    CHECK_EQ_U(4, figure(&t, "misses"));
    CHECK_EQ_I(FAKE_CLOCK_WALL_MS + CKITI_FILE_STATS_EVERY_MS, t.since_ms);
    fixture_close(&f);
}

CKIT_TEST(together, two_stores_on_one_directory_tell_the_same) {
    fixture f, other;
    fixture_open(&f);
    other = f;
    other.backend = NULL;
    fixture_reopen(&other);
    look_often(&f, 3);
    look_often(&other, 4);
    CHECK_EQ_U(3, figure_of(&f, "misses"));
    CHECK_EQ_U(7, figure_of(&other, "misses"));
    CHECK_EQ_U(7, figure_of(&f, "misses"));
    ckit_backend_close(other.backend);
    fixture_close(&f);
}

CKIT_TEST(together, processes_that_add_at_once_lose_nothing) {
    fixture f;
    pid_t   children[4];
    fixture_open(&f);
    for (size_t i = 0; i < 4; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            fixture own = f;
            own.backend = NULL;
            fixture_reopen(&own);
            for (int turn = 0; turn < 100; turn++) {
                look_often(&own, 5);
                ckiti_file_stats_flush(own.self);
            }
            look_often(&own, 5);
            told t = ask(&own);
            _exit(figure(&t, "misses") >= 505 ? 0 : 1);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        int status;
        CHECK_EQ_I(children[i], waitpid(children[i], &status, 0));
        CHECK_EQ_I(0, status);
    }
    CHECK_EQ_U(UINT64_C(4) * 505, figure_of(&f, "misses"));
    fixture_close(&f);
}

CKIT_TEST(together, a_forked_child_begins_with_nothing_pending) {
    fixture f;
    fixture_open(&f);
    look_often(&f, 10);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        look_often(&f, 2);
        ckiti_file_stats_flush(f.self);
        _exit(0);
    }
    int status;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
    CHECK_EQ_U(12, figure_of(&f, "misses"));
    fixture_close(&f);
}

static void *look_for_long(void *arg) {
    fixture *f = arg;
    for (int i = 0; i < 100; i++) {
        look_often(f, 5);
        fake_clock_advance(&f->time, 200);
    }
    return NULL;
}

CKIT_TEST(together, threads_lose_nothing_either) {
    fixture   f;
    pthread_t threads[4];
    fixture_open(&f);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, look_for_long, &f));
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
    CHECK_EQ_U(2000, figure_of(&f, "misses"));
    fixture_close(&f);
}

/* ---- hardship ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(hardship, a_damaged_or_missing_record_begins_again) {
    static const char *const rubbish[] = {"", "x", "CKSTATS1", NULL};
    fixture                  f;
    fixture_open(&f);
    for (size_t i = 0; i <= 4; i++) {
        look_often(&f, 5);
        CHECK_EQ_U(5, figure_of(&f, "misses"));
        if (i < 3) {
            scratch_write_file(fixture_path(&f, RECORD), S(rubbish[i]));
        } else if (i == 3) {
            size_t   len;
            uint8_t *bytes = scratch_read_file(fixture_path(&f, RECORD), &len);
            bytes[40] ^= 1;
            scratch_write_file(f.path, ckit_slice_of(bytes, len));
            free(bytes);
        } else {
            CHECK_EQ_I(0, unlink(fixture_path(&f, RECORD)));
        }
        fake_clock_advance(&f.time, 10);
        CHECK_EQ_U(0, figure_of(&f, "misses"));
        look(&f, "absent");
        told t = ask(&f);
        CHECK_EQ_U(1, figure(&t, "misses"));
        CHECK_EQ_I(fake_clock_wall(&f.time), t.since_ms);
        CHECK_EQ_I(0, unlink(fixture_path(&f, RECORD)));
    }
    fixture_close(&f);
}

CKIT_TEST(hardship, what_is_no_file_of_ours_is_left_alone_and_fails_no_operation) {
    fixture f;
    fixture_open(&f);
    CHECK_EQ_I(0, symlink("/dev/null", fixture_path(&f, RECORD)));
    CHECK_OK(fixture_set(&f, "k", "v", 60000));
    fake_clock_advance(&f.time, 2000);
    fixture_expect(&f, "k", "v");
    CHECK_EQ_U(1, figure_of(&f, "hits")); /* still pending */
    CHECK_EQ_I(0, unlink(fixture_path(&f, RECORD)));
    CHECK_EQ_I(0, mkdir(fixture_path(&f, RECORD), 0700));
    fake_clock_advance(&f.time, 2000);
    fixture_expect(&f, "k", "v");
    CHECK_EQ_I(0, rmdir(fixture_path(&f, RECORD)));
    CHECK_EQ_U(2, figure_of(&f, "hits"));
    fixture_close(&f);
}

CKIT_TEST(hardship, counters_of_a_later_version_are_kept) {
    fixture f;
    size_t  len;
    fixture_open(&f);
    look(&f, "absent");
    fixture_reopen(&f);
    int fd = open(fixture_path(&f, RECORD), O_RDWR);
    CHECK(fd >= 0);
    uint8_t raw[256];
    CHECK_EQ_I(256, read(fd, raw, sizeof raw));
    raw[16 + 28 * 8 + 7] = 77; /* the last place */
    CHECK(ckiti_file_record_write(f.self, fd, raw, raw, sizeof raw));
    close(fd);
    look(&f, "absent");
    fixture_reopen(&f);
    uint8_t *bytes = scratch_read_file(fixture_path(&f, RECORD), &len);
    CHECK_EQ_U(77, bytes[16 + 28 * 8 + 7]);
    free(bytes);
    CHECK_EQ_U(2, figure_of(&f, "misses"));
    fixture_close(&f);
}

CKIT_TEST(hardship, a_record_that_somebody_keeps_locked_is_not_waited_for) {
    faulty_io io;
    fixture   f;
    fixture_open_faulty(&f, &io);
    look(&f, "absent");
    fixture_reopen(&f);
    int fd = open(fixture_path(&f, RECORD), O_RDWR);
    CHECK_EQ_I(0, flock(fd, LOCK_EX));
    fake_clock_advance(&f.time, 2000);
    faulty_io_fail(&io, FAULTY_LOCK, UINT64_MAX, 0);
    look(&f, "absent");
    CHECK_EQ_U(2, atomic_load(&io.calls[FAULTY_LOCK])); /* one attempt, and giving up */
    look(&f, "absent");
    CHECK_EQ_U(2, atomic_load(&io.calls[FAULTY_LOCK])); /* the next one not before a second has passed */
    CHECK_EQ_U(3, figure_of(&f, "misses"));             /* what is there and what is pending, without the lock */
    close(fd);
    fixture_reopen(&f);
    CHECK_EQ_U(3, figure_of(&f, "misses"));
    fixture_close(&f);
}

CKIT_TEST(hardship, clocks_that_jump_neither_stop_the_counting_nor_tell_of_the_future) {
    fixture f;
    fixture_open(&f);
    look(&f, "absent");
    CHECK_EQ_I(FAKE_CLOCK_WALL_MS, ask(&f).since_ms);
    fake_clock_set_wall(&f.time, 1000000);
    CHECK_EQ_I(1000000, ask(&f).since_ms);
    atomic_store(&f.time.now_ms, 10); /* earlier than ever */
    look(&f, "absent");
    fixture other = f;
    other.backend = NULL;
    fixture_reopen(&other);
    CHECK_EQ_U(2, figure_of(&other, "misses"));
    ckit_backend_close(other.backend);
    fixture_close(&f);
}

/* One call fails while a batch is added: nothing is lost, nothing counts twice, no operation notices. */
static bool rehearse_adding(faulty_kind kind, uint64_t at, int error) {
    faulty_io io;
    fixture   f;
    size_t    descriptors = open_descriptors();
    fixture_open_faulty(&f, &io);
    look(&f, "absent");
    fixture_reopen(&f);
    look_often(&f, 3);
    fake_clock_advance(&f.time, 2000);
    faulty_io_fail(&io, kind, at, error);
    bool live = f.ops->remove(f.self, S("absent"), CKIT_NO_DEADLINE, NULL) == CKIT_MISS;
    bool struck = atomic_load(&io.failed) > 0;
    CHECK(live || struck);
    faulty_io_fail(&io, kind, UINT64_MAX, 0);
    CHECKF(figure_of(&f, "misses") == 4, "kind %d, call %d", (int)kind, (int)at);
    fixture_reopen(&f);
    CHECKF(figure_of(&f, "misses") == 4, "kind %d, call %d", (int)kind, (int)at);
    fixture_close(&f);
    CHECK_EQ_U(descriptors, open_descriptors());
    return struck;
}

CKIT_TEST(hardship, each_call_of_adding_a_batch_may_fail) {
    static const struct {
        faulty_kind kind;
        int         error;
    } rows[] = {{FAULTY_OPEN, EROFS}, {FAULTY_OPEN, EMFILE},  {FAULTY_STAT, EIO},  {FAULTY_READ, EIO},
                {FAULTY_READ, EINTR}, {FAULTY_WRITE, ENOSPC}, {FAULTY_WRITE, EIO}, {FAULTY_WRITE, EINTR},
                {FAULTY_LOCK, EINTR}, {FAULTY_LOCK, ENOLCK},  {FAULTY_CLOSE, EIO}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t at = 0;
        while (rehearse_adding(rows[i].kind, at, rows[i].error)) {
            CHECK(++at < 20);
        }
        CHECKF(at > 0, "row %zu", i);
    }
}

CKIT_TEST(hardship, a_directory_that_cannot_be_written_is_told_of_all_the_same) {
    faulty_io io;
    fixture   f;
    fixture_open_faulty(&f, &io);
    CHECK_OK(fixture_set(&f, "k", "v", 60000));
    fixture_reopen(&f);
    fixture_expect(&f, "k", "v");
    faulty_io_fail(&io, FAULTY_WRITE, 0, EROFS);
    io.fail_for = UINT64_MAX;
    told t = ask(&f);
    CHECK_EQ_U(1, figure(&t, "writes"));
    CHECK_EQ_U(1, figure(&t, "hits"));
    CHECK_EQ_U(1, figure(&t, "entries"));
    CHECK_EQ_U(15, figure(&t, "bytes"));
    fixture_close(&f);
}
