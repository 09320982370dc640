/* guard/retry.h - whether a failure is worth another attempt, and after which pause. Pure.
 *
 * What waiting inside a call does not mend is not tried again: a server that nobody reaches (CKIT_E_UNREACHABLE) is for
 * the circuit breaker. Nor is a write that may have been carried out all the same: its first copy may still be on its
 * way and arrive behind the second, over what somebody else has written since. */
#ifndef CKITI_GUARD_RETRY_H
#define CKITI_GUARD_RETRY_H

#include <cachekit/error.h>

typedef struct ckiti_retry_options {
    uint32_t most; /* attempts after the first; 0 = none */
    uint32_t delay_ms;
    bool     on_timeout;
} ckiti_retry_options;

/* After `attempts` that ended with a failure of this kind, the last with `status`: again? `writes`: the operation
 * brings a value or a lifetime. */
bool ckiti_retry_wants(const ckiti_retry_options *options, uint32_t attempts, bool writes, ckit_status status,
                       ckit_error_kind kind);

/* The pause after `attempts`: random between 0 and delay * 2^(attempts - 1), so that clients that failed together do
 * not come back together ("full jitter"). `random` is any 64 random bits. */
uint64_t ckiti_retry_pause_ms(const ckiti_retry_options *options, uint32_t attempts, uint64_t random);

#endif
