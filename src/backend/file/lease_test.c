/* A lock ends with the process that took it, and whatever cannot be told leaves it to its lease. Of flock.c. */
#include "file_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "bytes.h"
#include "holder.h"

/* "user:123" */
#define LOCK_FILE ".ck-lock-2f67918399d2d3551998794c4b3601c7"
#define LEASE_MS 30000u

/* Where things stand in the file. */
#define AT_END_ON_WALL 40u
#define AT_END_ON_BOOT_CLOCK 48u
#define AT_BOOT_OF_END 56u
#define AT_FIRST_SUM 72u
#define FIRST_PART 80u
#define AT_BOOT 80u
#define AT_PID_NAMESPACE 104u
#define AT_PID 112u
#define AT_START 120u
#define AT_SUM 128u
#define WHOLE 136u

static ckit_status try_lock(fixture *f, ckit_lease *lease) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = f->ops->lock_try(f->self, S("user:123"), LEASE_MS, CKIT_NO_DEADLINE, lease, &err);
    CHECK_STATUS_ERR(st == CKIT_MISS ? CKIT_MISS : CKIT_OK, st, &err);
    return st;
}

static void open_where_proc_tells(fixture *f) {
    ckiti_file_holder self;
    ckiti_file_holder_self(&self);
    if (self.pid == 0) {
        SKIP("no /proc, or none that tells namespaces");
    }
    fixture_open(f);
}

/* Taken by nobody else for as long as the lease lives, and then. */
static void expect_held_until_its_end(fixture *f) {
    ckit_lease lease;
    CHECK_STATUS(CKIT_MISS, try_lock(f, &lease));
    fake_clock_advance(&f->time, LEASE_MS - 1);
    CHECK_STATUS(CKIT_MISS, try_lock(f, &lease));
    fake_clock_advance(&f->time, 1);
    CHECK_OK(try_lock(f, &lease));
}

/* ---- holders that are processes ---------------------------------------------------------------------------------- */

typedef struct holder_child {
    pid_t pid;
    int   said[2];
} holder_child;

/* For children that stay until they are killed: also when the test failed before it came to that. */
static void end_with_the_test(void) { CHECK_EQ_I(0, prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)); }

/* A child that takes the lock, does `then`, and stays until it is killed. Returns when it holds the lock. */
static void start_holder(fixture *f, holder_child *c, void (*then)(void)) {
    CHECK_EQ_I(0, pipe(c->said));
    c->pid = fork();
    CHECK(c->pid >= 0);
    if (c->pid == 0) {
        ckit_lease lease;
        end_with_the_test();
        CHECK_OK(try_lock(f, &lease));
        if (then != NULL) {
            then();
        }
        CHECK_EQ_I(1, write(c->said[1], "x", 1));
        for (;;) {
            pause();
        }
    }
    char x;
    close(c->said[1]);
    CHECK_EQ_I(1, read(c->said[0], &x, 1));
}

/* Killed and dead, but not yet waited for. */
static void kill_holder(holder_child *c) {
    siginfo_t info;
    CHECK_EQ_I(0, kill(c->pid, SIGKILL));
    CHECK_EQ_I(0, waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT));
}

static void bury_holder(holder_child *c) {
    CHECK_EQ_I(c->pid, waitpid(c->pid, NULL, 0));
    close(c->said[0]);
}

CKIT_TEST(holder, one_that_was_killed_is_followed_at_once_and_its_lease_is_lost) {
    fixture      f;
    holder_child c;
    ckit_lease   first, second;
    open_where_proc_tells(&f);
    start_holder(&f, &c, NULL);
    CHECK_STATUS(CKIT_MISS, try_lock(&f, &first));
    kill_holder(&c);
    bury_holder(&c);
    CHECK_OK(try_lock(&f, &first));
    CHECK_STATUS(CKIT_MISS, try_lock(&f, &second)); /* and that holder is alive */
    CHECK_OK(f.ops->lock_renew(f.self, S("user:123"), &first, LEASE_MS, CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, try_lock(&f, &second));
    CHECK_OK(f.ops->lock_release(f.self, S("user:123"), &first, CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_I(-1, access(fixture_path(&f, LOCK_FILE), F_OK));
    fixture_close(&f);
}

CKIT_TEST(holder, one_that_is_dead_but_not_waited_for_is_followed_at_once) {
    fixture      f;
    holder_child c;
    ckit_lease   lease;
    open_where_proc_tells(&f);
    start_holder(&f, &c, NULL);
    kill_holder(&c);
    CHECK_OK(try_lock(&f, &lease));
    bury_holder(&c);
    fixture_close(&f);
}

CKIT_TEST(holder, on_the_systems_clocks_a_killed_one_is_followed_at_once_too) {
    fixture      f;
    holder_child c;
    ckit_lease   lease;
    open_where_proc_tells(&f);
    f.env.clock = NULL;
    fixture_reopen(&f);
    start_holder(&f, &c, NULL);
    CHECK_STATUS(CKIT_MISS, try_lock(&f, &lease));
    kill_holder(&c);
    bury_holder(&c);
    CHECK_OK(try_lock(&f, &lease));
    fixture_close(&f);
}

CKIT_TEST(holder, the_successor_has_a_higher_fence_and_the_dead_ones_token_writes_nothing) {
    fixture      f;
    holder_child c;
    ckit_lease   dead, next;
    open_where_proc_tells(&f);
    start_holder(&f, &c, NULL);
    size_t   len;
    uint8_t *raw = scratch_read_file(fixture_path(&f, LOCK_FILE), &len);
    memcpy(dead.token, raw + 8, sizeof dead.token);
    dead.fence = get_u64(raw + 24);
    free(raw);
    kill_holder(&c);
    bury_holder(&c);
    ckit_entry_info info = {.ttl_ms = 60000};
    /* Until somebody takes it over, the lease alone decides for whoever has the token. */
    CHECK_OK(f.ops->lock_renew(f.self, S("user:123"), &dead, LEASE_MS, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(try_lock(&f, &next));
    CHECK(next.fence > dead.fence);
    CHECK_STATUS(CKIT_MISS,
                 f.ops->set_if_owner(f.self, S("user:123"), S("late"), &info, &dead, CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, f.ops->lock_renew(f.self, S("user:123"), &dead, LEASE_MS, CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, f.ops->lock_release(f.self, S("user:123"), &dead, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(f.ops->set_if_owner(f.self, S("user:123"), S("mine"), &info, &next, CKIT_NO_DEADLINE, NULL));
    fixture_expect(&f, "user:123", "mine");
    fixture_close(&f);
}

static void take_a_hostile_name(void) { CHECK_EQ_I(0, prctl(PR_SET_NAME, "x) Z 1 ((9 9", 0, 0, 0)); }

CKIT_TEST(holder, one_whose_name_looks_like_the_fields_behind_it_is_alive) {
    fixture      f;
    holder_child c;
    ckit_lease   lease;
    open_where_proc_tells(&f);
    start_holder(&f, &c, take_a_hostile_name);
    CHECK_STATUS(CKIT_MISS, try_lock(&f, &lease));
    kill_holder(&c);
    CHECK_OK(try_lock(&f, &lease));
    bury_holder(&c);
    fixture_close(&f);
}

CKIT_TEST(holder, of_many_that_follow_a_dead_one_only_one_gets_the_lock) {
    enum { MANY = 4 };
    fixture      f;
    holder_child c;
    pid_t        heirs[MANY];
    int          go[2], answers[2], stay[2];
    open_where_proc_tells(&f);
    CHECK_EQ_I(0, pipe(go));
    CHECK_EQ_I(0, pipe(answers));
    CHECK_EQ_I(0, pipe(stay));
    start_holder(&f, &c, NULL);
    for (int i = 0; i < MANY; i++) {
        heirs[i] = fork();
        if (heirs[i] == 0) {
            ckit_lease lease;
            char       x;
            end_with_the_test();
            close(stay[1]);
            CHECK_EQ_I(1, read(go[0], &x, 1));
            CHECK_EQ_I(1, write(answers[1], try_lock(&f, &lease) == CKIT_OK ? "1" : "0", 1));
            CHECK_EQ_I(0, read(stay[0], &x, 1)); /* else the next one would follow a dead one again */
            _exit(0);
        }
    }
    kill_holder(&c);
    CHECK_EQ_I(MANY, write(go[1], "xxxx", MANY));
    int won = 0;
    for (int i = 0; i < MANY; i++) {
        char answer;
        CHECK_EQ_I(1, read(answers[0], &answer, 1));
        won += answer == '1';
    }
    close(stay[1]);
    for (int i = 0; i < MANY; i++) {
        int status;
        CHECK_EQ_I(heirs[i], waitpid(heirs[i], &status, 0));
        CHECK_EQ_I(0, status);
    }
    CHECK_EQ_I(1, won);
    bury_holder(&c);
    close(stay[0]);
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(answers[i]);
    }
    fixture_close(&f);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void *take_in_thread(void *context) {
    ckit_lease lease;
    CHECK_OK(try_lock(context, &lease));
    return NULL;
}

CKIT_TEST(threads, a_lock_belongs_to_the_process_and_outlives_the_thread_that_took_it) {
    fixture   f;
    pthread_t thread;
    open_where_proc_tells(&f);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, take_in_thread, &f));
    CHECK_EQ_I(0, pthread_join(thread, NULL));
    expect_held_until_its_end(&f);
    fixture_close(&f);
}

static int said_by_second;

static void *work_on_without_the_first(void *context) {
    ckiti_file_process p;
    end_with_the_test();
    do { /* until the first thread has ended */
        char text[1024];
        int  fd = open("/proc/self/stat", O_RDONLY);
        CHECK(fd >= 0);
        ssize_t len = read(fd, text, sizeof text);
        close(fd);
        CHECK(len > 0 && ckiti_file_process_parse((ckit_slice){(const uint8_t *)text, (size_t)len}, &p));
        sched_yield();
    } while (p.state != 'Z');
    CHECK_EQ_I(1, write(said_by_second, "x", 1));
    for (;;) {
        pause();
    }
    return context;
}

CKIT_TEST(threads, a_process_whose_first_thread_has_ended_is_alive) {
    fixture    f;
    int        said[2];
    ckit_lease lease;
    open_where_proc_tells(&f);
    CHECK_EQ_I(0, pipe(said));
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t second;
        CHECK_OK(try_lock(&f, &lease));
        said_by_second = said[1];
        CHECK_EQ_I(0, pthread_create(&second, NULL, work_on_without_the_first, NULL));
        pthread_exit(NULL);
    }
    char x;
    CHECK_EQ_I(1, read(said[0], &x, 1));
    CHECK_STATUS(CKIT_MISS, try_lock(&f, &lease));
    CHECK_EQ_I(0, kill(pid, SIGKILL));
    CHECK_EQ_I(pid, waitpid(pid, NULL, 0));
    CHECK_OK(try_lock(&f, &lease));
    close(said[0]);
    close(said[1]);
    fixture_close(&f);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

CKIT_TEST(forks, a_lease_from_before_stays_the_parents) {
    fixture    f;
    ckit_lease lease, other;
    open_where_proc_tells(&f);
    CHECK_OK(try_lock(&f, &lease));
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_STATUS(CKIT_MISS, try_lock(&f, &other));
        CHECK_OK(f.ops->lock_renew(f.self, S("user:123"), &lease, LEASE_MS, CKIT_NO_DEADLINE, NULL));
        _exit(0);
    }
    int status;
    CHECK_EQ_I(pid, waitpid(pid, &status, 0));
    CHECK_EQ_I(0, status);
    expect_held_until_its_end(&f); /* the child renewed it, and its end ends nothing */
    fixture_close(&f);
}

/* ---- records that were edited ------------------------------------------------------------------------------------ */

static void sum_again(uint8_t *raw) {
    put_u64(raw + AT_FIRST_SUM, ckiti_xxh3((ckit_slice){raw, AT_FIRST_SUM}, 0));
    put_u64(raw + AT_SUM, ckiti_xxh3((ckit_slice){raw, AT_SUM}, 0));
}

/* A lock whose holder is dead, as its record says in `raw`. */
static void leave_by_dead(fixture *f, uint8_t raw[WHOLE]) {
    holder_child c;
    size_t       len;
    open_where_proc_tells(f);
    start_holder(f, &c, NULL);
    kill_holder(&c);
    bury_holder(&c);
    uint8_t *read = scratch_read_file(fixture_path(f, LOCK_FILE), &len);
    CHECK_EQ_U(WHOLE, len);
    memcpy(raw, read, WHOLE);
    free(read);
}

static void put_record(fixture *f, const uint8_t *raw, size_t len) {
    scratch_write_file(fixture_path(f, LOCK_FILE), (ckit_slice){raw, len});
}

CKIT_TEST(records, one_of_another_boot_or_namespace_is_held_until_its_end) {
    static const size_t places[] = {AT_BOOT, AT_PID_NAMESPACE - 1, AT_PID_NAMESPACE};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        fixture f;
        uint8_t raw[WHOLE];
        leave_by_dead(&f, raw);
        raw[places[i]] ^= 0x40;
        sum_again(raw);
        put_record(&f, raw, sizeof raw);
        expect_held_until_its_end(&f);
        fixture_close(&f);
    }
}

CKIT_TEST(records, one_of_another_host_is_held_on_the_systems_clocks_too_until_its_end_by_the_wall_clock) {
    fixture    f;
    ckit_lease lease, other;
    size_t     len;
    fixture_init(&f);
    f.env.clock = NULL;
    fixture_reopen(&f);
    CHECK_OK(try_lock(&f, &lease));
    uint8_t *raw = scratch_read_file(fixture_path(&f, LOCK_FILE), &len);
    CHECK_EQ_U(WHOLE, len);
    raw[AT_BOOT_OF_END] ^= 1;
    raw[AT_BOOT] ^= 1;
    put_u64(raw + AT_END_ON_BOOT_CLOCK, 1); /* long ago, if it were our boot */
    sum_again(raw);
    put_record(&f, raw, len);
    CHECK_STATUS(CKIT_MISS, try_lock(&f, &other));
    put_u64(raw + AT_END_ON_WALL, get_u64(raw + AT_END_ON_WALL) - LEASE_MS);
    sum_again(raw);
    put_record(&f, raw, len);
    CHECK_OK(try_lock(&f, &other));
    free(raw);
    fixture_close(&f);
}

CKIT_TEST(records, a_pid_that_was_given_to_another_process_keeps_nothing) {
    fixture    f;
    uint8_t    raw[WHOLE];
    ckit_lease lease;
    leave_by_dead(&f, raw);
    put_u64(raw + AT_PID, (uint64_t)getpid()); /* alive, and started at another time */
    put_u64(raw + AT_START, 1);
    sum_again(raw);
    put_record(&f, raw, sizeof raw);
    CHECK_OK(try_lock(&f, &lease));
    fixture_close(&f);
}

CKIT_TEST(records, a_pid_that_cannot_be_is_held_until_its_end) {
    static const uint64_t pids[] = {0, UINT64_C(0x80000000), UINT64_C(0x7fffffff00000001), UINT64_MAX};
    for (size_t i = 0; i < sizeof pids / sizeof pids[0]; i++) {
        fixture f;
        uint8_t raw[WHOLE];
        leave_by_dead(&f, raw);
        put_u64(raw + AT_PID, pids[i]);
        sum_again(raw);
        put_record(&f, raw, sizeof raw);
        expect_held_until_its_end(&f);
        fixture_close(&f);
    }
}

CKIT_TEST(records, a_damaged_second_part_leaves_the_lock_to_its_lease) {
    static const size_t places[] = {AT_BOOT, AT_PID, AT_PID + 7, AT_START + 7, AT_SUM, WHOLE - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        fixture f;
        uint8_t raw[WHOLE];
        leave_by_dead(&f, raw);
        raw[places[i]] ^= 1;
        put_record(&f, raw, sizeof raw);
        expect_held_until_its_end(&f);
        fixture_close(&f);
    }
}

CKIT_TEST(records, one_of_an_earlier_version_and_one_cut_short_behind_it_are_held_until_their_end) {
    static const size_t lengths[] = {FIRST_PART, FIRST_PART + 1, WHOLE - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        fixture f;
        uint8_t raw[WHOLE];
        leave_by_dead(&f, raw);
        put_record(&f, raw, lengths[i]);
        expect_held_until_its_end(&f);
        fixture_close(&f);
    }
}

CKIT_TEST(records, what_a_dead_holder_left_behind_an_earlier_versions_record_says_nothing_about_that) {
    fixture f;
    uint8_t raw[WHOLE];
    leave_by_dead(&f, raw);
    raw[8] ^= 1; /* the token of another holder, who wrote the first part only */
    put_u64(raw + AT_FIRST_SUM, ckiti_xxh3((ckit_slice){raw, AT_FIRST_SUM}, 0));
    put_record(&f, raw, sizeof raw);
    expect_held_until_its_end(&f);
    fixture_close(&f);
}

CKIT_TEST(records, a_damaged_or_short_first_part_keeps_nothing) {
    static const size_t lengths[] = {0, 1, FIRST_PART - 1};
    for (size_t i = 0; i < FIRST_PART; i += 8) {
        fixture    f;
        uint8_t    raw[WHOLE];
        ckit_lease lease;
        fixture_open(&f);
        CHECK_OK(try_lock(&f, &lease));
        size_t   len;
        uint8_t *read = scratch_read_file(fixture_path(&f, LOCK_FILE), &len);
        CHECK_EQ_U(WHOLE, len);
        memcpy(raw, read, WHOLE);
        free(read);
        if (i / 8 < sizeof lengths / sizeof lengths[0]) {
            put_record(&f, raw, lengths[i / 8]);
            CHECK_OK(try_lock(&f, &lease));
        }
        raw[i] ^= 1;
        put_record(&f, raw, sizeof raw);
        CHECK_OK(try_lock(&f, &lease));
        fixture_close(&f);
    }
}

CKIT_TEST(records, one_longer_than_ours_is_read_as_far_as_we_know_it) {
    fixture    f;
    uint8_t    raw[WHOLE], longer[WHOLE + 100] = {0};
    ckit_lease lease;
    leave_by_dead(&f, raw);
    memcpy(longer, raw, sizeof raw);
    put_record(&f, longer, sizeof longer);
    CHECK_OK(try_lock(&f, &lease));
    CHECK_STATUS(CKIT_MISS, try_lock(&f, &lease));
    fixture_close(&f);
}

CKIT_TEST(records, the_first_part_is_the_record_of_earlier_versions) {
    fixture    f;
    ckit_lease lease;
    size_t     len;
    fixture_open(&f);
    CHECK_OK(try_lock(&f, &lease));
    uint8_t *raw = scratch_read_file(fixture_path(&f, LOCK_FILE), &len);
    CHECK_EQ_U(WHOLE, len);
    CHECK_BYTES(S("CKLEASE1"), ((ckit_slice){raw, 8}));
    CHECK_BYTES(S_ARRAY(lease.token), ((ckit_slice){raw + 8, 16}));
    CHECK_EQ_U(lease.fence, get_u64(raw + 24));
    CHECK_EQ_U(LEASE_MS, get_u64(raw + 32));
    CHECK_EQ_U((uint64_t)FAKE_CLOCK_WALL_MS + LEASE_MS, get_u64(raw + AT_END_ON_WALL));
    CHECK_EQ_U(get_u64(raw + AT_FIRST_SUM), ckiti_xxh3((ckit_slice){raw, AT_FIRST_SUM}, 0));
    free(raw);
    fixture_close(&f);
}
