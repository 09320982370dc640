/* cache/poll_fixture.h - calls in an event loop (epoll). */
#ifndef CKITI_CACHE_POLL_FIXTURE_H
#define CKITI_CACHE_POLL_FIXTURE_H

#include "cache/cache_fixture.h"

/* One call in a loop: computes with `number` (or fails with `failure`) when it is told to. */
typedef struct pending {
    ckit_op    *op;
    uint64_t    number;
    size_t      size; /* of what it computes, as write_number */
    uint64_t    ttl_ms;
    ckit_status failure;
    bool        holds; /* waits for the test when it is to compute */
    unsigned    readies;
    bool        done;
    bool        computed;
    ckit_status answer;
    ckit_value  value;
} pending;

typedef struct loop {
    fixture        f;
    loader         l; /* of the blocking calls beside it */
    ckit_function *fn;
    ckit_poll     *poll;
    int            epoll;
} loop;

void loop_start(loop *lp, bool store, fake_kind kind);
void loop_open(loop *lp, fake_kind kind);
void loop_close(loop *lp);
/* Waits for the descriptor (30 s at most), then dispatches. */
size_t loop_turn(loop *lp);
bool   is_readable(loop *lp);

/* Begins a call; computes at once when that is the answer. */
ckit_status begin_call(loop *lp, pending *p, int64_t argument);
/* Hands the computed number over. */
ckit_status finish(pending *p, ckit_op *op);
/* The `ready` of such calls. */
void on_ready(void *context, ckit_op *op, ckit_status came);
/* Turns the loop until the call has ended. */
void run(loop *lp, const pending *p);
void run_call(loop *lp, pending *p, int64_t argument);

/* The call has succeeded with this number; gives its value back. */
void check_pending(const char *file, int line, pending *p, ckit_source source, uint64_t number);
#define CHECK_PENDING(source, number, p) check_pending(__FILE__, __LINE__, (p), (source), (number))

#endif
