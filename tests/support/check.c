/* The checks: say what was expected and what came, then leave the test. */
#include "support/runner.h"
#include "support/test.h"

#include <inttypes.h>
#include <stdio.h>

CKIT_TEST_PRINTF(3, 0) static void say(const char *file, int line, const char *format, va_list args) {
    char text[2048];
    (void)vsnprintf(text, sizeof text, format, args);
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, text);
}

_Noreturn void ckit_check_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(file, line, format, args);
    va_end(args);
    ckiti_test_leave(file, line);
}

_Noreturn void ckit_check_failf(const char *file, int line, const char *what, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(file, line, format, args);
    va_end(args);
    ckit_check_fail(file, line, "not true: %s", what);
}

void ckit_check_u(const char *file, int line, const char *what, uint64_t expected, uint64_t actual) {
    if (expected != actual)
        ckit_check_fail(file, line,
                        "%s\n  expected %" PRIu64 " (0x%" PRIx64 ")\n  actual   %" PRIu64 " (0x%" PRIx64 ")", what,
                        expected, expected, actual, actual);
}

void ckit_check_i(const char *file, int line, const char *what, int64_t expected, int64_t actual) {
    if (expected != actual)
        ckit_check_fail(file, line, "%s\n  expected %" PRId64 "\n  actual   %" PRId64, what, expected, actual);
}

void ckit_check_d(const char *file, int line, const char *what, double expected, double actual) {
    if (memcmp(&expected, &actual, sizeof expected) != 0)
        ckit_check_fail(file, line, "%s\n  expected %.17g\n  actual   %.17g", what, expected, actual);
}

void ckit_check_p(const char *file, int line, const char *what, const void *expected, const void *actual) {
    if (expected != actual) ckit_check_fail(file, line, "%s\n  expected %p\n  actual   %p", what, expected, actual);
}

void ckit_check_between(const char *file, int line, const char *what, uint64_t low, uint64_t high, uint64_t actual) {
    if (actual < low || actual > high)
        ckit_check_fail(file, line, "%s\n  expected %" PRIu64 " to %" PRIu64 "\n  actual   %" PRIu64, what, low, high,
                        actual);
}

void ckit_check_status(const char *file, int line, const char *what, ckit_status expected, ckit_status actual) {
    if (expected != actual)
        ckit_check_fail(file, line, "%s\n  expected %s\n  actual   %s", what, ckit_status_name(expected),
                        ckit_status_name(actual));
}

void ckit_check_status_err(const char *file, int line, const char *what, ckit_status expected, ckit_status actual,
                           const ckit_error *err) {
    if (expected != actual) {
        if (err == NULL)
            ckit_check_status(file, line, what, expected, actual);
        else
            ckit_check_fail(file, line, "%s\n  expected %s\n  actual   %s\n  error    %s: %s (errno %d)", what,
                            ckit_status_name(expected), ckit_status_name(actual), err->where, err->text,
                            err->sys_errno);
    }
    if (err != NULL && actual >= CKIT_E_FIRST && err->status != actual)
        ckit_check_fail(file, line, "%s\n  answered %s but the record says %s: %s", what, ckit_status_name(actual),
                        ckit_status_name(err->status), err->text);
}

/* At most this many bytes of each side are shown, from a little before the first difference. */
enum { SHOWN = 48, SHOWN_BEFORE = 8 };

static void hex_window(char *out, size_t room, ckit_slice bytes, size_t from) {
    size_t at = 0;
    out[0] = 0;
    for (size_t i = from; i < bytes.len && i < from + SHOWN && at + 4 < room; i++)
        at += (size_t)snprintf(out + at, room - at, "%02x ", bytes.ptr[i]);
    if (bytes.len > from + SHOWN && at + 4 < room) (void)snprintf(out + at, room - at, "...");
}

void ckit_check_bytes(const char *file, int line, const char *what, ckit_slice expected, ckit_slice actual) {
    if (expected.len == actual.len && (expected.len == 0 || memcmp(expected.ptr, actual.ptr, expected.len) == 0))
        return;
    size_t differ = 0;
    while (differ < expected.len && differ < actual.len && expected.ptr[differ] == actual.ptr[differ])
        differ++;
    size_t from = differ > SHOWN_BEFORE ? differ - SHOWN_BEFORE : 0;
    char   left[SHOWN * 3 + 8], right[SHOWN * 3 + 8];
    hex_window(left, sizeof left, expected, from);
    hex_window(right, sizeof right, actual, from);
    ckit_check_fail(file, line,
                    "%s\n  first difference at byte %zu (shown from byte %zu)\n"
                    "  expected %zu bytes: %s\n  actual   %zu bytes: %s",
                    what, differ, from, expected.len, left, actual.len, right);
}

void ckit_check_str(const char *file, int line, const char *what, const char *expected, const char *actual) {
    if (expected == NULL || actual == NULL) {
        if (expected != actual)
            ckit_check_fail(file, line, "%s\n  expected %s\n  actual   %s", what, expected == NULL ? "NULL" : expected,
                            actual == NULL ? "NULL" : actual);
        return;
    }
    if (strcmp(expected, actual) != 0)
        ckit_check_fail(file, line, "%s\n  expected \"%s\"\n  actual   \"%s\"", what, expected, actual);
}

void ckit_check_contains(const char *file, int line, const char *what, const char *needle, const char *haystack) {
    if (haystack == NULL || strstr(haystack, needle) == NULL)
        ckit_check_fail(file, line, "%s\n  expected to contain \"%s\"\n  actual   \"%s\"", what, needle,
                        haystack == NULL ? "NULL" : haystack);
}
