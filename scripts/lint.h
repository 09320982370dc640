/* lint.h - what clang-tidy is told about functions whose bodies it does not see; included before every file. */
#ifndef CKIT_LINT_H
#define CKIT_LINT_H

#include <cachekit/error.h>

/* They return the status that they are given. Without knowing that, the analyzer takes failures for CKIT_OK. */
static inline ckit_status ckit_lint_status(ckit_status returned, ckit_status given) {
    (void)returned;
    return given;
}
#define ckit_fail(err, status, ...) ckit_lint_status(ckit_fail(err, status, __VA_ARGS__), status)
#define ckit_fail_errno(err, status, ...) ckit_lint_status(ckit_fail_errno(err, status, __VA_ARGS__), status)

#endif
