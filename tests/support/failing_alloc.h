/* support/failing_alloc.h - an allocator that fails on demand and knows what is still alive.
 *
 *     for (uint64_t n = 0;; n++) {
 *         failing_alloc fa;
 *         failing_alloc_init(&fa, n);
 *         ckit_status st = open_and_close(&fa.alloc);
 *         failing_alloc_check_empty(&fa);
 *         if (!failing_alloc_has_failed(&fa)) break;
 *         CHECK_STATUS(CKIT_E_NO_MEMORY, st);
 *     }
 *
 * Thread-safe. It also checks that blocks are given back with the size they were asked for, and never twice. */
#ifndef CKIT_SUPPORT_FAILING_ALLOC_H
#define CKIT_SUPPORT_FAILING_ALLOC_H

#include <cachekit/types.h>
#include <stdatomic.h>

#define FAILING_ALLOC_NEVER UINT64_MAX

typedef struct failing_alloc {
    ckit_alloc       alloc;    /* hand out &fa.alloc; `fa` must stay where it is */
    _Atomic uint64_t requests; /* alloc and resize calls so far, failed ones too */
    _Atomic uint64_t fail_at;  /* the request with this number (from 0) fails ... */
    _Atomic bool     fail_on;  /* ... and, when set, all later ones as well */
    _Atomic uint64_t failed;   /* requests refused so far */
    _Atomic int64_t  live_blocks;
    _Atomic int64_t  live_bytes; /* as asked for */
    _Atomic int64_t  peak_bytes;
} failing_alloc;

/* Fails request number `fail_at` (0 = the first), once; FAILING_ALLOC_NEVER only counts. */
void failing_alloc_init(failing_alloc *fa, uint64_t fail_at);
/* Whether any request has been refused. */
bool failing_alloc_has_failed(const failing_alloc *fa);
/* CHECKs that nothing is alive. */
void failing_alloc_check_empty(const failing_alloc *fa);

#endif
