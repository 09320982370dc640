/* support/test.h - tests whose names are sentences, and checks that print both values.
 *
 *     #include "support/test.h"
 *
 *     CKIT_TEST(tiering, l2_is_asked_once_for_a_missing_key) {
 *         CHECK_STATUS(CKIT_MISS, ckit_cache_get(...));
 *         CHECK_EQ_U(1, fake.get_calls);
 *     }
 *
 *     CKIT_TEST_MAIN()
 *
 * Tests register themselves and run in the order of the file. The first failing check ends its test. CKIT_TEST_MAIN
 * may be left out: the support library brings a main. `program 'tiering.*'` runs the matching tests, `program -l` lists
 * them.
 *
 * In every CHECK the expected value comes first. In a thread started by the test a failing check ends the program
 * (cmocka cannot leave a foreign thread); in a forked child it ends the child with CKIT_TEST_CHILD_FAILED. */
#ifndef CKIT_SUPPORT_TEST_H
#define CKIT_SUPPORT_TEST_H

#include <cachekit/error.h>
#include <cachekit/types.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 1 in a build for that sanitizer, else 0: for what it cannot follow. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(UNDER_ASAN)
#define UNDER_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(UNDER_TSAN)
#define UNDER_TSAN 1
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* Exit code of a forked child in which a check failed. */
#define CKIT_TEST_CHILD_FAILED 99

typedef struct ckit_test_case {
    const char *name;
    const char *file;
    int         line;
    void (*body)(void);
    struct ckit_test_case *next;
} ckit_test_case;

void ckit_test_register(ckit_test_case *test);
int  ckit_test_run_all(int argc, char **argv);

#define CKIT_TEST(area, name)                                                                                          \
    static void                              area##__##name(void);                                                     \
    __attribute__((constructor)) static void area##__##name##__register(void) {                                        \
        static ckit_test_case test = {#area "." #name, __FILE__, __LINE__, area##__##name, NULL};                      \
        ckit_test_register(&test);                                                                                     \
    }                                                                                                                  \
    static void area##__##name(void)

#define CKIT_TEST_MAIN()                                                                                               \
    int main(int argc, char **argv) { return ckit_test_run_all(argc, argv); }

/* Leaves the running test as skipped, with the reason printed. For what this machine cannot do. */
#define SKIP(...) ckit_test_skip(__FILE__, __LINE__, __VA_ARGS__)
/* Fails with a message of one's own. */
#define FAIL(...) ckit_check_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition) ((condition) ? (void)0 : ckit_check_fail(__FILE__, __LINE__, "not true: %s", #condition))
/* CHECK with a printf message, for loops: CHECKF(ok, "at byte %zu", i). */
#define CHECKF(condition, ...) ((condition) ? (void)0 : ckit_check_failf(__FILE__, __LINE__, #condition, __VA_ARGS__))

/* Unsigned, signed, floating, pointer. CHECK_EQ_D compares exactly. */
#define CHECK_EQ_U(expected, actual) ckit_check_u(__FILE__, __LINE__, #actual, (expected), (actual))
#define CHECK_EQ_I(expected, actual) ckit_check_i(__FILE__, __LINE__, #actual, (expected), (actual))
#define CHECK_EQ_D(expected, actual) ckit_check_d(__FILE__, __LINE__, #actual, (expected), (actual))
#define CHECK_EQ_P(expected, actual) ckit_check_p(__FILE__, __LINE__, #actual, (expected), (actual))
/* low <= actual <= high, unsigned. */
#define CHECK_BETWEEN_U(low, high, actual) ckit_check_between(__FILE__, __LINE__, #actual, (low), (high), (actual))

/* A status by name. With an error record (pointer or NULL), its text is printed too; CHECK_STATUS_ERR also demands that
 * a failure filled the record with the same status. The call is made before the record is read. */
#define CHECK_STATUS(expected, actual) ckit_check_status(__FILE__, __LINE__, #actual, (expected), (actual))
#define CHECK_OK(actual) CHECK_STATUS(CKIT_OK, actual)
#define CHECK_STATUS_ERR(expected, actual, err)                                                                        \
    do {                                                                                                               \
        ckit_status check_status_got = (actual);                                                                       \
        ckit_check_status_err(__FILE__, __LINE__, #actual, (expected), check_status_got, (err));                       \
    } while (0)
#define CHECK_OK_ERR(actual, err) CHECK_STATUS_ERR(CKIT_OK, actual, err)

/* Slices: prints both as hex from the first difference. */
#define CHECK_BYTES(expected, actual) ckit_check_bytes(__FILE__, __LINE__, #actual, (expected), (actual))
/* C strings; NULL equals only NULL. */
#define CHECK_STR(expected, actual) ckit_check_str(__FILE__, __LINE__, #actual, (expected), (actual))
/* A slice that must equal a C string. */
#define CHECK_TEXT(expected, actual) ckit_check_bytes(__FILE__, __LINE__, #actual, ckit_test_slice(expected), (actual))
/* `needle` occurs in the C string `haystack`. */
#define CHECK_CONTAINS(needle, haystack) ckit_check_contains(__FILE__, __LINE__, #haystack, (needle), (haystack))

/* The bytes of a C string, of a literal with zero bytes inside, or of an array, as a slice. */
static inline ckit_slice ckit_test_slice(const char *text) {
    ckit_slice slice = {(const uint8_t *)text, strlen(text)};
    return slice;
}
#define S(text) ckit_test_slice(text)
#define S_LITERAL(literal) ((ckit_slice){(const uint8_t *)(literal), sizeof(literal) - 1})
#define S_ARRAY(array) ((ckit_slice){(const uint8_t *)(array), sizeof(array)})

/* ---- behind the macros ------------------------------------------------------------------------------------- */

#define CKIT_TEST_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))

_Noreturn void ckit_test_skip(const char *file, int line, const char *format, ...) CKIT_TEST_PRINTF(3, 4);
_Noreturn void ckit_check_fail(const char *file, int line, const char *format, ...) CKIT_TEST_PRINTF(3, 4);
_Noreturn void ckit_check_failf(const char *file, int line, const char *what, const char *format, ...)
    CKIT_TEST_PRINTF(4, 5);
void ckit_check_u(const char *file, int line, const char *what, uint64_t expected, uint64_t actual);
void ckit_check_i(const char *file, int line, const char *what, int64_t expected, int64_t actual);
void ckit_check_d(const char *file, int line, const char *what, double expected, double actual);
void ckit_check_p(const char *file, int line, const char *what, const void *expected, const void *actual);
void ckit_check_between(const char *file, int line, const char *what, uint64_t low, uint64_t high, uint64_t actual);
void ckit_check_status(const char *file, int line, const char *what, ckit_status expected, ckit_status actual);
void ckit_check_status_err(const char *file, int line, const char *what, ckit_status expected, ckit_status actual,
                           const ckit_error *err);
void ckit_check_bytes(const char *file, int line, const char *what, ckit_slice expected, ckit_slice actual);
void ckit_check_str(const char *file, int line, const char *what, const char *expected, const char *actual);
void ckit_check_contains(const char *file, int line, const char *what, const char *needle, const char *haystack);

#endif
