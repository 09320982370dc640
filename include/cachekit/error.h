/* cachekit/error.h - how calls answer: a status by value, and the story in a record that the caller lends.
 *
 *     ckit_error err = CKIT_ERROR_INIT;
 *     if (ckit_cache_open("file:///var/cache/app", NULL, &cache, &err) != CKIT_OK)
 *         fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
 *
 * Statuses below CKIT_E_FIRST are answers, not failures: a miss is an answer and leaves the record alone. A NULL
 * record is always allowed. The record is filled once, where the failure is understood, and passed up unchanged;
 * filling it allocates nothing. `kind` tells the caller whether a retry makes sense, `text` tells a person, with the
 * numbers. */
#ifndef CACHEKIT_ERROR_H
#define CACHEKIT_ERROR_H

#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to do about it. The guard of a store (guard.h) goes by the kind when it retries and breaks the circuit. */
typedef enum ckit_error_kind {
    CKIT_KIND_NONE = 0,           /* not a failure */
    CKIT_KIND_TRANSIENT = 1,      /* passing trouble: a retry may succeed */
    CKIT_KIND_TIMEOUT = 2,        /* a deadline passed: a retry may succeed */
    CKIT_KIND_UNKNOWN = 3,        /* not classified: treat it as transient */
    CKIT_KIND_PERMANENT = 4,      /* will fail again the same way */
    CKIT_KIND_AUTHENTICATION = 5, /* credentials: tell an operator */
    CKIT_KIND_MISUSE = 6,         /* the calling program is wrong */
    CKIT_KIND_CORRUPT = 7         /* stored bytes are not what they claim to be */
} ckit_error_kind;

/* Every status once: name, number, kind, code of the error catalogue (docs/errors.md), meaning.
 * Numbers and codes never change. */
#define CKIT_STATUS_TABLE(X)                                                                                           \
    X(OK, 0, NONE, "E000", "success")                                                                                  \
    X(MISS, 1, NONE, "E000", "no entry for this key")                                                                  \
    X(STALE, 2, NONE, "E000", "a value past its lifetime, within its stale window")                                    \
    X(COMPUTE, 3, NONE, "E000", "this caller computes the value")                                                      \
    X(PENDING, 4, NONE, "E000", "the answer comes later, through the completion queue")                                \
    X(E_NO_MEMORY, 16, TRANSIENT, "E101", "out of memory")                                                             \
    X(E_MISUSE, 17, MISUSE, "E102", "a call does not fit the contract")                                                \
    X(E_CONFIGURATION, 18, MISUSE, "E103", "a setting is wrong")                                                       \
    X(E_UNSUPPORTED, 19, PERMANENT, "E104", "this build or store cannot do that")                                      \
    X(E_TOO_LARGE, 20, PERMANENT, "E105", "a value or key is larger than the limit")                                   \
    X(E_CANCELLED, 21, NONE, "E106", "the call was cancelled")                                                         \
    X(E_CLOSED, 22, MISUSE, "E107", "the cache is closing")                                                            \
    X(E_FUNCTION, 23, NONE, "E108", "the function failed: its own error, never cached")                                \
    X(E_BUSY, 24, TRANSIENT, "E109", "a bounded queue is full")                                                        \
    X(E_FUNCTION_TIMEOUT, 25, NONE, "E121", "the function took longer than its hard limit")                            \
    X(E_NO_MASTER_KEY, 30, MISUSE, "E001", "encryption was asked for and no master key is configured")                 \
    X(E_BAD_MASTER_KEY, 31, MISUSE, "E002", "the master key is not hexadecimal or under 32 bytes")                     \
    X(E_AUTH_TAG, 32, CORRUPT, "E003", "the stored value fails authentication, or is sealed and there is no key")      \
    X(E_KEY_ARGUMENT, 40, MISUSE, "E110", "an argument cannot be part of a key")                                       \
    X(E_VALUE_TYPE, 41, PERMANENT, "E020", "a type that the serializer cannot hold, or not the type asked for")        \
    X(E_DECODE, 42, CORRUPT, "E021", "stored data cannot be decoded, or another serializer wrote it")                  \
    X(E_TRUNCATED, 43, CORRUPT, "E111", "input ends before the value does")                                            \
    X(E_TRAILING, 44, CORRUPT, "E112", "bytes after the end of the value")                                             \
    X(E_DEPTH, 45, CORRUPT, "E113", "nested deeper than the limit")                                                    \
    X(E_CHECKSUM, 46, CORRUPT, "E114", "the checksum does not match")                                                  \
    X(E_BOMB, 47, CORRUPT, "E115", "expands more than the allowed ratio")                                              \
    X(E_UNREACHABLE, 60, TRANSIENT, "E010", "the store cannot be reached")                                             \
    X(E_TIMEOUT, 61, TIMEOUT, "E011", "the store did not answer in time")                                              \
    X(E_POOL_EXHAUSTED, 62, TRANSIENT, "E012", "no free connection to the store")                                      \
    X(E_CIRCUIT_OPEN, 63, TRANSIENT, "E030", "the circuit breaker is open")                                            \
    X(E_NO_URL, 64, MISUSE, "E040", "no store is configured")                                                          \
    X(E_BAD_PREFIX, 65, MISUSE, "E041", "a variable begins with CACHE_ instead of CACHEKIT_")                          \
    X(E_LOCK_TIMEOUT, 66, TIMEOUT, "E050", "a lock was not obtained in time")                                          \
    X(E_PERMISSION, 67, PERMANENT, "E116", "access to the store is refused by the system")                             \
    X(E_UNSAFE_STORE, 68, PERMANENT, "E117", "the store's directory or files are not safe to use")                     \
    X(E_NO_SPACE, 69, TRANSIENT, "E118", "no space left in the store")                                                 \
    X(E_READ_ONLY, 70, PERMANENT, "E119", "the store is read-only")                                                    \
    X(E_IO, 71, UNKNOWN, "E120", "the store failed")                                                                   \
    X(E_CREDENTIALS, 72, AUTHENTICATION, "E060", "the store refuses the credentials")                                  \
    X(E_RATE_LIMITED, 73, TRANSIENT, "E061", "the store limits the rate")                                              \
    X(E_SERVER, 74, TRANSIENT, "E062", "the store's server failed")                                                    \
    X(E_REJECTED, 75, PERMANENT, "E063", "the store rejects the request")                                              \
    X(E_REQUEST_TIMEOUT, 76, TIMEOUT, "E064", "the store's server did not answer in time")                             \
    X(E_NETWORK, 77, TRANSIENT, "E065", "the network failed")

typedef enum ckit_status {
#define CKIT_STATUS_ENUM(name, value, kind, code, text) CKIT_##name = (value),
    CKIT_STATUS_TABLE(CKIT_STATUS_ENUM)
#undef CKIT_STATUS_ENUM
        CKIT_E_FIRST = 16 /* the first that is a failure */
} ckit_status;

/* The story of one failure, in storage that the caller lends. */
typedef struct ckit_error {
    ckit_status     status;
    ckit_error_kind kind;
    int             sys_errno; /* what the system said; 0 when it had no say */
    char            where[24]; /* the component: "file", "envelope" */
    char            text[232]; /* one line, with the numbers in it; never a secret, never a value */
} ckit_error;

#ifdef __cplusplus
#define CKIT_ERROR_INIT                                                                                                \
    {}
#else
#define CKIT_ERROR_INIT                                                                                                \
    { .status = CKIT_OK }
#endif

/* The status' name ("E_TIMEOUT"), catalogue code ("E011"), meaning ("the store did not answer in time") and kind.
 * An unknown number gives "E_UNKNOWN", "E999", "unknown status", CKIT_KIND_UNKNOWN. Static text, never NULL. */
CKIT_API const char     *ckit_status_name(ckit_status status);
CKIT_API const char     *ckit_status_code(ckit_status status);
CKIT_API const char     *ckit_status_text(ckit_status status);
CKIT_API ckit_error_kind ckit_status_kind(ckit_status status);
/* "TRANSIENT" and so on. Static text, never NULL. */
CKIT_API const char *ckit_error_kind_name(ckit_error_kind kind);

/* For authors of backends and loaders: fills `err` (when not NULL) and returns `status`, so that a failure is one
 * line: `return ckit_fail(err, CKIT_E_TOO_LARGE, "file", "value of %zu bytes, limit %zu", len, limit);`
 * The kind is the status' own. Text that does not fit is cut. */
CKIT_API ckit_status ckit_fail(ckit_error *err, ckit_status status, const char *where, const char *format, ...)
    CKIT_PRINTF(4, 5);
/* The same with the system's error number; its text is appended. */
CKIT_API ckit_status ckit_fail_errno(ckit_error *err, ckit_status status, int sys_errno, const char *where,
                                     const char *format, ...) CKIT_PRINTF(5, 6);

#ifdef __cplusplus
}
#endif
#endif
