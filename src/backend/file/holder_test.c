/* Which process holds a lease, and when it counts as dead. */
#include "holder.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/test.h"

#define REST " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 " /* fields 4 to 19 */

static void expect_parsed(const char *line, char state, uint64_t threads, uint64_t start) {
    ckiti_file_process p;
    CHECKF(ckiti_file_process_parse(S(line), &p), "%s", line);
    CHECK_EQ_I(state, p.state);
    CHECK_EQ_U(threads, p.threads);
    CHECK_EQ_U(start, p.start_ticks);
}

CKIT_TEST(process, a_line_is_read_whatever_the_name_in_it) {
    expect_parsed("12 (cat) S" REST "3 0 777 8 9\n", 'S', 3, 777);
    expect_parsed("12 (a b) R" REST "1 0 18446744073709551615 8", 'R', 1, UINT64_MAX);
    expect_parsed("12 (x) Z 1 (2) 3) S" REST "1 0 5 8", 'S', 1, 5);
    expect_parsed("12 () Z) Z" REST "0 0 0 8", 'Z', 0, 0);
    expect_parsed("12 (n\new) D" REST "1 -5 6 8", 'D', 1, 6);
}

CKIT_TEST(process, a_line_that_is_not_whole_is_refused) {
    static const char  whole[] = "12 (c) S" REST "3 0 777 ";
    ckiti_file_process p;
    CHECK(ckiti_file_process_parse(S_LITERAL(whole), &p));
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char *exact = malloc(len + 1); /* so that a look behind the end is seen */
        memcpy(exact, whole, len);
        CHECKF(!ckiti_file_process_parse((ckit_slice){(const uint8_t *)exact, len}, &p), "%zu bytes", len);
        free(exact);
    }
    CHECK(!ckiti_file_process_parse(S("12 (c) S" REST "3 0 -1 8"), &p));
    CHECK(!ckiti_file_process_parse(S("12 (c) S" REST "x 0 1 8"), &p));
    CHECK(!ckiti_file_process_parse(S("12 (c) S" REST "3 0 18446744073709551616 8"), &p));
    CHECK(!ckiti_file_process_parse(S("12 c S" REST "3 0 1 8"), &p));
    CHECK(!ckiti_file_process_parse(S("12 (c)S  " REST "3 0 1 8"), &p));
    CHECK(!ckiti_file_process_parse((ckit_slice){NULL, 0}, &p));
}

static void need_proc(ckiti_file_holder *self) {
    ckiti_file_holder_self(self);
    if (self->pid == 0) {
        SKIP("no /proc, or none that tells namespaces");
    }
}

CKIT_TEST(holder, the_caller_is_alive) {
    ckiti_file_holder self;
    need_proc(&self);
    CHECK_EQ_U((uint64_t)getpid(), self.pid);
    CHECK(!ckiti_file_holder_is_dead(&self));
}

CKIT_TEST(holder, another_start_time_under_the_same_pid_is_another_process) {
    ckiti_file_holder self;
    need_proc(&self);
    self.start_ticks++;
    CHECK(ckiti_file_holder_is_dead(&self));
    self.start_ticks -= 2;
    CHECK(ckiti_file_holder_is_dead(&self));
}

CKIT_TEST(holder, elsewhere_nobody_is_taken_for_dead) {
    ckiti_file_holder self;
    need_proc(&self);
    self.start_ticks++;
    for (size_t i = 0; i < sizeof self.place; i++) {
        self.place[i] ^= 1;
        CHECKF(!ckiti_file_holder_is_dead(&self), "byte %zu", i);
        self.place[i] ^= 1;
    }
    CHECK(ckiti_file_holder_is_dead(&self));
}

CKIT_TEST(holder, a_number_that_no_process_can_have_says_nothing) {
    static const uint64_t rows[] = {0, UINT64_C(0x80000000), UINT64_C(0x100000001), UINT64_MAX};
    ckiti_file_holder     self;
    need_proc(&self);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        self.pid = rows[i];
        CHECKF(!ckiti_file_holder_is_dead(&self), "row %zu", i);
    }
}

CKIT_TEST(holder, a_forked_child_is_somebody_else) {
    ckiti_file_holder self, child;
    int               line[2];
    need_proc(&self);
    CHECK_EQ_I(0, pipe(line));
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(!ckiti_file_holder_is_dead(&self));
        ckiti_file_holder_self(&child);
        _exit(write(line[1], &child, sizeof child) == (ssize_t)sizeof child ? 0 : 1);
    }
    CHECK_EQ_I((int)sizeof child, read(line[0], &child, sizeof child));
    CHECK_EQ_U((uint64_t)pid, child.pid);
    CHECK_EQ_I(pid, waitpid(pid, NULL, 0));
    CHECK(ckiti_file_holder_is_dead(&child));
    CHECK(!ckiti_file_holder_is_dead(&self));
    close(line[0]);
    close(line[1]);
}
