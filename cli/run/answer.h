/* answer.h - what a command said: its exit code and its output in the order in which it came, and the record of it in
 * the store. */
#ifndef CKIT_CLI_RUN_ANSWER_H
#define CKIT_CLI_RUN_ANSWER_H

#include <cachekit/error.h>
#include <cachekit/types.h>

/* A piece of output: the next `length` bytes belong to this stream. */
typedef struct run_piece {
    uint8_t  stream; /* 1 or 2 */
    uint32_t length;
} run_piece;

typedef struct run_output {
    ckit_buf bytes;
    ckit_buf pieces; /* run_piece */
} run_output;

ckit_status run_output_add(run_output *output, int stream, ckit_slice bytes);
void        run_output_fini(run_output *output);

/* The record. Times are Unix time in milliseconds: other processes read them. */
typedef struct run_answer {
    int        status;     /* exit code */
    int64_t    created_ms; /* when the command ended */
    uint64_t   ttl_ms;     /* of this answer as it was stored: CKIT_TTL_NO_EXPIRY or a duration */
    uint64_t   stale_ms;
    uint64_t   failures; /* refreshes that failed since */
    int        failed_status;
    int64_t    failed_ms;  /* when the last of them ended; 0 = never */
    int64_t    retry_ms;   /* no refresh before */
    bool       has_output; /* false: only the note that the command failed, nothing to show */
    run_output output;
} run_answer;

#define RUN_ANSWER_INIT                                                                                                \
    { .status = 0 }
void run_answer_fini(run_answer *answer);

/* To and from the stored form: a document like any other (docs/command-line.md), so that every tool can look at it.
 * Reading: CKIT_E_... of kind CORRUPT when it is damaged, CKIT_E_DECODE also when it is no such record. */
ckit_status run_answer_store(const run_answer *answer, char *const *argv, ckit_buf *out, ckit_error *err);
ckit_status run_answer_read(ckit_slice stored, run_answer *answer, ckit_error *err);

/* ---- freshness ---------------------------------------------------------------------------------------------- */

typedef enum run_freshness {
    RUN_FRESH,
    RUN_STALE,   /* may be shown, should be refreshed */
    RUN_EXPIRED, /* may not be shown */
    RUN_FUTURE   /* made by a clock that was ahead of ours: nobody can tell how old it is */
} run_freshness;

/* How old it is: 0 when it was made by a clock that was ahead of ours. */
uint64_t run_answer_age_ms(const run_answer *answer, int64_t now_ms);
/* How long a caller accepts an answer; zero = not at all. */
typedef struct run_limits {
    uint64_t ttl_ms;
    uint64_t stale_ms;
    uint64_t failures_ms; /* of an answer whose exit code is not 0, instead of both */
} run_limits;

/* By the lifetimes it was stored with and by those the caller asks for, whichever are shorter. */
run_freshness run_answer_freshness(const run_answer *answer, const run_limits *limits, int64_t now_ms);
/* How long the store should keep it from now on: CKIT_TTL_NO_EXPIRY, a duration, or 0: not at all. */
uint64_t run_answer_life(const run_answer *answer, int64_t now_ms);
/* How long to wait after the n-th failed refresh in a row: 30 s, doubled each time, at most 15 min. */
uint64_t run_backoff_ms(uint64_t failures);

#endif
