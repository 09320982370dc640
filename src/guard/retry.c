#include "guard/retry.h"

#define MOST_DOUBLINGS 10u

/* Nobody knows whether the store has done it, or will. */
static bool may_have_been_done(ckit_status status, ckit_error_kind kind) {
    return kind == CKIT_KIND_TIMEOUT || status == CKIT_E_NETWORK;
}

bool ckiti_retry_wants(const ckiti_retry_options *options, uint32_t attempts, bool writes, ckit_status status,
                       ckit_error_kind kind) {
    if (attempts > options->most || status == CKIT_E_NO_MEMORY || status == CKIT_E_LOCK_TIMEOUT) {
        return false; /* memory is our own trouble, and who waited for a lock has waited */
    }
    if (status == CKIT_E_UNREACHABLE || (writes && may_have_been_done(status, kind))) {
        return false;
    }
    return kind == CKIT_KIND_TRANSIENT || (kind == CKIT_KIND_TIMEOUT && options->on_timeout);
}

uint64_t ckiti_retry_pause_ms(const ckiti_retry_options *options, uint32_t attempts, uint64_t random) {
    uint32_t doublings = attempts - 1 < MOST_DOUBLINGS ? attempts - 1 : MOST_DOUBLINGS;
    return random % (((uint64_t)options->delay_ms << doublings) + 1);
}
