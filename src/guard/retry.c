#include "guard/retry.h"

#define MOST_DOUBLINGS 10u

bool ckiti_retry_wants(const ckiti_retry_options *options, uint32_t attempts, ckit_status status,
                       ckit_error_kind kind) {
    if (attempts > options->most || status == CKIT_E_NO_MEMORY || status == CKIT_E_LOCK_TIMEOUT) {
        return false; /* memory is our own trouble, and who waited for a lock has waited */
    }
    return kind == CKIT_KIND_TRANSIENT || (kind == CKIT_KIND_TIMEOUT && options->on_timeout);
}

uint64_t ckiti_retry_pause_ms(const ckiti_retry_options *options, uint32_t attempts, uint64_t random) {
    uint32_t doublings = attempts - 1 < MOST_DOUBLINGS ? attempts - 1 : MOST_DOUBLINGS;
    return random % (((uint64_t)options->delay_ms << doublings) + 1);
}
