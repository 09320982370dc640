/* capture.h - a command run to its end: shown while it runs, and kept. */
#ifndef CKIT_CLI_RUN_CAPTURE_H
#define CKIT_CLI_RUN_CAPTURE_H

#include "run/answer.h"

#include <stdbool.h>

typedef struct run_capture_options {
    char   **argv;
    int      stdin_fd; /* -1 = /dev/null */
    bool     tty;
    bool     show;       /* pass the output on to our own streams as it comes */
    bool     keep;       /* keep it in the result */
    uint64_t max_output; /* beyond it nothing is kept */
    /* Called every now and then (at least every 5 s) while the command runs; NULL = not. */
    void (*tick)(void *context);
    void *context;
} run_capture_options;

typedef struct run_result {
    int        status;      /* what the tool should answer: the command's exit code, 128 + signal, 126, 127 or 125 */
    bool       started;     /* the command was executed; else the reason was printed */
    bool       crashed;     /* a signal ended it */
    bool       interrupted; /* we were asked to end it, or nobody wanted its output any more */
    bool       too_large;   /* more output than `max_output`: not kept */
    bool       no_memory;   /* or than there is memory for: `too_large` as well */
    run_output output;      /* when `keep`, and not too large */
} run_result;

/* Runs it. The result's output is ended with run_output_fini. */
void run_capture(const run_capture_options *options, run_result *result);

/* Shows kept output on our own streams. False when somebody has closed one or it cannot be written (which is said). */
bool run_show(const run_output *output);

#endif
