/* What a guard tells other processes, and who is left out. Of notice_file.c. */
#include "guard/guard_fixture.h"

#include "guard/notice_file.h"
#include "support/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct seen {
    unsigned           count;
    uint64_t           pid;
    char               store[24];
    uint32_t           max_concurrent;
    uint32_t           queue_size;
    ckit_breaker_state state;
    ckit_guard_stats   stats;
} seen;

static void see(void *context, const ckit_guard_notice *notice) {
    seen *s = context;
    s->count++;
    s->pid = notice->pid;
    (void)snprintf(s->store, sizeof s->store, "%s", notice->store);
    s->max_concurrent = notice->max_concurrent;
    s->queue_size = notice->queue_size;
    s->stats = *notice->stats;
    CHECK(notice->program[0] != '\0');
    CHECK(notice->told_wall_ms > 0);
}

static seen look(const char *dir) {
    seen s = {.count = 0};
    CHECK_STATUS(CKIT_OK, ckit_guard_notices(dir, see, &s, NULL));
    return s;
}

static void open_telling(scene *s, const char *dir) {
    scene_prepare(s);
    s->options.status_dir = dir;
    s->options.max_concurrent = 7;
    s->options.queue_size = 11;
    scene_start(s, FAKE_FULL);
}

static void write_file(const char *dir, const char *name, const char *text) {
    char path[SCRATCH_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    scratch_write_file(path, ckit_slice_str(text));
}

static void age_file(const char *dir, const char *name) {
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char                  path[SCRATCH_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_EQ_I(0, utimensat(AT_FDCWD, path, old, 0));
}

CKIT_TEST(notice, a_guard_tells_at_once_when_its_circuit_opens) {
    scene s;
    char  dir[SCRATCH_PATH];
    scratch_make(dir);
    open_telling(&s, dir);
    seen before = look(dir);
    CHECK_EQ_U(1, before.count);
    CHECK_EQ_U((uint64_t)getpid(), before.pid);
    CHECK_STR("fake", before.store);
    CHECK_EQ_U(7, before.max_concurrent);
    CHECK_EQ_U(11, before.queue_size);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, before.stats.state);
    CHECK_EQ_U(UINT64_MAX, before.stats.last_failure_ms_ago);
    break_circuit(&s);
    seen after = look(dir);
    CHECK_EQ_U(CKIT_BREAKER_OPEN, after.stats.state);
    CHECK_EQ_U(5, after.stats.failures);
    CHECK_EQ_U(1, after.stats.opened);
    CHECK_BETWEEN_U(1, 30001, after.stats.recovery_in_ms);
    scene_close(&s);
    CHECK_EQ_U(0, look(dir).count); /* gone with the guard */
    scratch_remove(dir);
}

CKIT_TEST(notice, figures_follow_a_second_behind_while_the_store_is_used) {
    scene s;
    char  dir[SCRATCH_PATH];
    scratch_make(dir);
    open_telling(&s, dir);
    for (int i = 0; i < 20; i++) {
        CHECK_STATUS(CKIT_MISS, scene_get(&s));
    }
    CHECK_EQ_U(0, look(dir).stats.data.operations);
    fake_clock_advance(&s.time, 1001);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    CHECK_EQ_U(21, look(dir).stats.data.operations);
    CHECK_EQ_U(scene_stats(&s).data.timeout_ms, look(dir).stats.data.timeout_ms);
    break_circuit(&s);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    CHECK_EQ_U(0, look(dir).stats.refused);
    fake_clock_advance(&s.time, 1001);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    CHECK_BETWEEN_U(1, 2, look(dir).stats.refused);
    scene_close(&s);
    scratch_remove(dir);
}

/* A decimal point would be what the program's locale has for one. */
CKIT_TEST(notice, figures_are_told_in_digits_alone) {
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    char             value[CKITI_NOTICE_FIGURE];
    char             dir[SCRATCH_PATH];
    char             text[CKITI_NOTICE_BYTES];
    size_t           len = (size_t)snprintf(text, sizeof text, CKITI_NOTICE_HEAD "\npid %ld\n", (long)getpid());
    stats.data.percentile_ms = 12.3456;
    stats.locks.average_ms = 0.0009;
    for (size_t i = 0; ckiti_notice_figure(i, &stats, value) != NULL; i++) {
        CHECK_EQ_U(strlen(value), strspn(value, "0123456789"));
        len += (size_t)snprintf(text + len, sizeof text - len, "%s %s\n", ckiti_notice_figure(i, &stats, value), value);
    }
    scratch_make(dir);
    (void)snprintf(text + len, sizeof text - len, "program x\ntold 1\n");
    write_file(dir, "guard-1-00000000", text);
    CHECK_EQ_D(12.346, look(dir).stats.data.percentile_ms);
    CHECK_EQ_D(0.001, look(dir).stats.locks.average_ms);
    scratch_remove(dir);
}

/* Another thread is writing, and may have looked before. */
CKIT_TEST(notice, a_change_that_comes_while_somebody_writes_is_told_with_the_next_operation) {
    scene s;
    char  dir[SCRATCH_PATH];
    scratch_make(dir);
    open_telling(&s, dir);
    ckiti_notice *notice = &ckiti_guarded_of(s.backend)->guard->notice;
    CHECK(!atomic_flag_test_and_set(&notice->writing));
    break_circuit(&s);
    atomic_flag_clear(&notice->writing);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, look(dir).stats.state);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    CHECK_EQ_U(CKIT_BREAKER_OPEN, look(dir).stats.state);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    CHECK_BETWEEN_U(0, 1, look(dir).stats.refused); /* and no further until a second is over */
    scene_close(&s);
    scratch_remove(dir);
}

CKIT_TEST(notice, what_is_no_notice_or_of_nobody_is_left_out) {
    char dir[SCRATCH_PATH];
    char path[SCRATCH_PATH + 32];
    scratch_make(dir);
    write_file(dir, "guard-1-00000000", "something else\npid 1\n");
    write_file(dir, "guard-2-00000000", "");
    write_file(dir, "guard-3-00000000", "cachekit-guard 1\nstate\nstate 9\npid -4\n");
    write_file(dir, "readme", "cachekit-guard 1\npid 1\nborn 1\n");
    (void)snprintf(path, sizeof path, "%s/guard-4-00000000", dir);
    CHECK_EQ_I(0, mkfifo(path, 0600));
    CHECK_EQ_U(0, look(dir).count);
    /* Process 1 lives, but was not born then. */
    write_file(dir, "guard-1-00000001", "cachekit-guard 1\npid 1\nborn 18446744073709551615\nprogram x\ntold 1\n");
    (void)snprintf(path, sizeof path, "%s/guard-1-00000001", dir);
    CHECK_EQ_U(1, look(dir).count); /* it may be of another machine's process, so young as it is */
    age_file(dir, "guard-1-00000001");
    CHECK_EQ_U(0, look(dir).count);
    scene s;
    open_telling(&s, dir); /* and who begins to tell takes it away */
    CHECK_EQ_I(-1, access(path, F_OK));
    scene_close(&s);
    scratch_remove(dir);
}

static bool is_there(const char *dir, const char *name) {
    char path[SCRATCH_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

CKIT_TEST(notice, what_a_killed_process_never_finished_is_taken_away_when_it_is_old) {
    scene s;
    char  dir[SCRATCH_PATH];
    scratch_make(dir);
    write_file(dir, ".guard-1-00000000", "cachekit-gu");
    write_file(dir, ".guard-2-00000000", "cachekit-gu");
    write_file(dir, ".guardian", "x");
    age_file(dir, ".guard-1-00000000");
    age_file(dir, ".guardian");
    open_telling(&s, dir);
    CHECK(!is_there(dir, ".guard-1-00000000"));
    CHECK(is_there(dir, ".guard-2-00000000"));
    CHECK(is_there(dir, ".guardian"));
    scene_close(&s);
    scratch_remove(dir);
}

static void find_notice(const char *dir, char *path, size_t size, const char *before) {
    DIR *listing = opendir(dir);
    CHECK(listing != NULL);
    for (const struct dirent *one = readdir(listing); one != NULL; one = readdir(listing)) {
        if (strncmp(one->d_name, "guard-", 6) == 0) {
            (void)snprintf(path, size, "%s/%s%s", dir, before, one->d_name);
        }
    }
    (void)closedir(listing);
}

/* Where others may write too: a pipe that nobody reads would hold the operation up, a link would be written through. */
CKIT_TEST(notice, waits_for_nobody_s_pipe_and_writes_through_no_link) {
    scene s;
    char  dir[SCRATCH_PATH];
    char  fresh[SCRATCH_PATH + 272] = "";
    char  theirs[SCRATCH_PATH + 32];
    scratch_make(dir);
    open_telling(&s, dir);
    find_notice(dir, fresh, sizeof fresh, ".");
    CHECK_EQ_I(0, mkfifo(fresh, 0600));
    break_circuit(&s);
    CHECK_EQ_U(CKIT_BREAKER_OPEN, look(dir).stats.state);
    write_file(dir, "theirs", "x");
    (void)snprintf(theirs, sizeof theirs, "%s/theirs", dir);
    CHECK_EQ_I(0, link(theirs, fresh));
    fake_clock_advance(&s.time, 1001);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    CHECK_EQ_U(1, look(dir).stats.refused);
    struct stat about;
    CHECK_EQ_I(0, stat(theirs, &about));
    CHECK_EQ_I(1, about.st_size);
    scene_close(&s);
    scratch_remove(dir);
}

CKIT_TEST(notice, a_directory_that_cannot_be_used_is_told_once_and_harms_nobody) {
    scene s;
    char  dir[SCRATCH_PATH];
    char  path[SCRATCH_PATH + 32];
    scratch_make(dir);
    (void)snprintf(path, sizeof path, "%s/file", dir);
    write_file(dir, "file", "x");
    open_telling(&s, path);
    CHECK_CONTAINS("other processes are not told how it is", s.log);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    break_circuit(&s);
    scene_close(&s);
    (void)snprintf(path, sizeof path, "%s/absent", dir);
    CHECK_STATUS(CKIT_MISS, ckit_guard_notices(path, see, NULL, NULL));
    scratch_remove(dir);
}

CKIT_TEST(notice, a_forked_child_tells_for_itself) {
    scene s;
    char  dir[SCRATCH_PATH];
    if (UNDER_TSAN) {
        SKIP("ThreadSanitizer follows 64 locks at most, and a fork holds more");
    }
    scratch_make(dir);
    open_telling(&s, dir);
    pid_t child = fork();
    if (child == 0) {
        break_circuit(&s);
        seen both = look(dir);
        ckit_backend_close(s.backend);
        _exit(both.count == 2 && look(dir).count == 1 ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ_I(0, status);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, look(dir).stats.state);
    scene_close(&s);
    scratch_remove(dir);
}
