#include "support/failing_alloc.h"
#include "support/fake_clock.h"
#include "support/hex.h"
#include "support/redis_server.h"
#include "support/scratch.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

CKIT_TEST(hex, ignores_whitespace_and_comments) {
    CHECK_BYTES(S_LITERAL("\x00\xa5Z"), hex_slice("00 A5 # not this ff\n 5a"));
    CHECK_EQ_U(0, hex_slice("# nothing").len);
}

CKIT_TEST(hex, refuses_odd_digits_and_other_letters) {
    hex_bytes out;
    CHECK(!hex_decode("abc", 3, &out));
    CHECK(!hex_decode("zz", 2, &out));
    CHECK_EQ_P(NULL, out.ptr);
}

CKIT_TEST(hex, encodes_what_it_decodes) {
    char *text = hex_encode(S_LITERAL("\x01\xff"));
    CHECK_STR("01ff", text);
    free(text);
}

CKIT_TEST(failing_alloc, fails_the_chosen_request_once) {
    failing_alloc fa;
    failing_alloc_init(&fa, 1);
    void *first = fa.alloc.alloc(fa.alloc.self, 10);
    CHECK(first != NULL);
    CHECK(fa.alloc.alloc(fa.alloc.self, 20) == NULL);
    CHECK(failing_alloc_has_failed(&fa));
    void *grown = fa.alloc.resize(fa.alloc.self, first, 10, 30);
    CHECK(grown != NULL);
    CHECK_EQ_I(1, atomic_load(&fa.live_blocks));
    CHECK_EQ_I(30, atomic_load(&fa.live_bytes));
    fa.alloc.release(fa.alloc.self, grown, 30);
    failing_alloc_check_empty(&fa);
}

CKIT_TEST(fake_clock, moves_only_when_told) {
    fake_clock time;
    fake_clock_init(&time);
    CHECK_EQ_U(FAKE_CLOCK_START_MS, time.clock.monotonic_ms(time.clock.self));
    fake_clock_advance(&time, 7);
    fake_clock_set_wall(&time, 5);
    CHECK_EQ_U(FAKE_CLOCK_START_MS + 7, time.clock.monotonic_ms(time.clock.self));
    CHECK_EQ_I(5, time.clock.wall_ms(time.clock.self));
    CHECK_EQ_U(2, atomic_load(&time.readings));
}

CKIT_TEST(scratch, a_directory_is_private_and_disappears_with_its_files) {
    char dir[SCRATCH_PATH], file[SCRATCH_PATH + 16];
    scratch_make(dir);
    struct stat st;
    CHECK_EQ_I(0, stat(dir, &st));
    CHECK_EQ_U(0700, st.st_mode & 0777);
    (void)snprintf(file, sizeof file, "%s/a", dir);
    scratch_write_file(file, S("bytes"));
    CHECK_EQ_U(1, scratch_count_files(dir));
    size_t   len;
    uint8_t *read = scratch_read_file(file, &len);
    CHECK_BYTES(S("bytes"), ((ckit_slice){read, len}));
    free(read);
    scratch_remove(dir);
    CHECK(stat(dir, &st) != 0);
}

/* A failing check must be seen wherever it happens, or every other test proves nothing. */
CKIT_TEST(check, a_failure_in_a_forked_child_is_its_exit_code) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
        CHECK_EQ_U(1, 2);
        _exit(0);
    }
    int status;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status));
    CHECK_EQ_I(CKIT_TEST_CHILD_FAILED, WEXITSTATUS(status));
}

/* ---- ports of servers -------------------------------------------------------------------------------------------- */

/* A socket on the port as a server has it (-1: it is taken), or as others come by theirs. */
static int socket_on(uint16_t port, bool server) {
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = server;
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) == 0 && (!server || listen(fd, 1) == 0)) {
        return fd;
    }
    close(fd);
    return -1;
}

CKIT_TEST(ports, one_that_is_held_is_for_a_server_alone_also_after_it_has_ended) {
    uint16_t port;
    int      held = redis_server_hold_port(&port);
    CHECK(held >= 0 && port != 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_I(-1, socket_on(port, false));
        int server = socket_on(port, true);
        CHECK(server >= 0);
        close(server);
    }
    close(held);
}

/* ---- forks beside threads that allocate -------------------------------------------------------------------------- */

#define EACH 512u

/* More than a thread has of its own, so that it has to go to what all threads share. */
static void allocate_all_sizes(void) {
    void *kept[EACH];
    for (size_t size = 16; size <= 2048; size *= 2) {
        for (size_t i = 0; i < EACH; i++) {
            CHECK((kept[i] = malloc(size)) != NULL);
        }
        for (size_t i = 0; i < EACH; i++) {
            free(kept[i]);
        }
    }
}

static void *allocate_until(void *stop) {
    while (!atomic_load((atomic_bool *)stop)) {
        allocate_all_sizes();
    }
    return NULL;
}

/* Every test that forks beside threads relies on it. The C library promises it, sanitizers need help (asan_forks.c,
 * tsan_forks.c). */
CKIT_TEST(fork, a_child_can_allocate_and_fork_whatever_the_threads_of_its_parent_were_at) {
    pthread_t   threads[2];
    atomic_bool stop = false;
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, allocate_until, &stop));
    }
    for (unsigned i = 0; i < 50; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            (void)alarm(300); /* a child that hangs dies of it */
            allocate_all_sizes();
            pid_t own = fork();
            if (own == 0) {
                _exit(0);
            }
            int end = -1;
            _exit(own > 0 && waitpid(own, &end, 0) == own && end == 0 ? 0 : 1);
        }
        int status = -1;
        CHECK_EQ_I(child, waitpid(child, &status, 0));
        CHECKF(status == 0, "child %u ended with %d", i, status);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
}

CKIT_TEST_MAIN()
