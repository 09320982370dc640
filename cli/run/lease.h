/* lease.h - one run of a command at a time: the store's lock of a key, held while the command runs. */
#ifndef CKIT_CLI_RUN_LEASE_H
#define CKIT_CLI_RUN_LEASE_H

#include "support/store.h"

#include <stdbool.h>

typedef struct run_lease {
    const cli_store *store;
    ckit_slice       key;
    ckit_lease       lease;
    bool             held;
} run_lease;

/* One attempt. CKIT_OK: held from now on; CKIT_MISS: somebody else has it; CKIT_E_UNSUPPORTED: the store has no
 * locks. */
ckit_status run_lease_try(run_lease *lease, const cli_store *store, ckit_slice key, ckit_error *err);
/* To be called at least every 10 s. `context` is the lease; one that was lost meanwhile stays so. */
void run_lease_renew(void *context);
void run_lease_release(run_lease *lease);
/* Stores under the lease: nothing when it was lost to somebody who is newer. Without a lease stores at once. */
ckit_status run_lease_set(const run_lease *lease, const cli_store *store, ckit_slice key, ckit_slice value,
                          const ckit_entry_info *info, ckit_error *err);

#endif
