/* Collects the tests of one program and runs them through cmocka. */
#include "support/runner.h"
#include "support/test.h"

#include <setjmp.h>
/* cmocka.h wants the headers above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static ckit_test_case *all_tests;
static pthread_t       test_thread;
static pid_t           test_process;

/* Constructors of one file run in its order with today's compilers; the line makes sure of it. */
void ckit_test_register(ckit_test_case *test) {
    ckit_test_case **place = &all_tests;
    while (*place != NULL && (strcmp((*place)->file, test->file) != 0 || (*place)->line < test->line))
        place = &(*place)->next;
    test->next = *place;
    *place = test;
}

static bool in_child(void) { return getpid() != test_process; }

static void run_one(void **state) {
    ckit_test_case *test = *state;
    test->body();
    /* A child that forgot to exit must not go on with the parent's tests. */
    if (in_child()) {
        (void)fprintf(stderr, "%s: a forked child returned from the test\n", test->name);
        _exit(CKIT_TEST_CHILD_FAILED);
    }
}

_Noreturn void ckiti_test_leave(const char *file, int line) {
    if (in_child()) {
        (void)fprintf(stderr, "%s:%d: failed in a forked child\n", file, line);
        _exit(CKIT_TEST_CHILD_FAILED);
    }
    if (!pthread_equal(pthread_self(), test_thread)) {
        (void)fprintf(stderr, "%s:%d: failed in a thread of the test, which ends the program\n", file, line);
        _exit(1);
    }
    _fail(file, line);
    abort(); /* _fail leaves by longjmp, but does not say so */
}

_Noreturn void ckit_test_skip(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprint_message(format, args);
    va_end(args);
    print_message("\n");
    _skip(file, line);
    abort();
}

static int list_tests(void) {
    for (const ckit_test_case *test = all_tests; test != NULL; test = test->next)
        (void)printf("%s\n", test->name);
    return 0;
}

int ckit_test_run_all(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "-l") == 0) return list_tests();
    /* Output of a test that dies by a signal must not die with it. */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    test_thread = pthread_self();
    test_process = getpid();
    if (argc > 1) cmocka_set_test_filter(argv[1]);

    size_t count = 0;
    for (ckit_test_case *test = all_tests; test != NULL; test = test->next)
        count++;
    if (count == 0) {
        (void)fprintf(stderr, "no tests in this program\n");
        return 1;
    }
    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    if (tests == NULL) return 1;
    size_t at = 0;
    for (ckit_test_case *test = all_tests; test != NULL; test = test->next) {
        tests[at].name = test->name;
        tests[at].test_func = run_one;
        tests[at].initial_state = test;
        at++;
    }
    int failed = _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
    free(tests);
    return failed == 0 ? 0 : 1;
}
