#include "run/lease.h"

#include <cachekit/error.h>

#define LEASE_MS 30000

ckit_status run_lease_try(run_lease *lease, const cli_store *store, ckit_slice key, ckit_error *err) {
    *lease = (run_lease){.store = store, .key = key};
    if (store->ops->lock_try == NULL) {
        return CKIT_E_UNSUPPORTED;
    }
    ckit_status st = store->ops->lock_try(store->self, key, LEASE_MS, CKIT_NO_DEADLINE, &lease->lease, err);
    lease->held = st == CKIT_OK;
    return st;
}

void run_lease_renew(void *context) {
    run_lease *lease = context;
    if (lease->held) {
        (void)lease->store->ops->lock_renew(lease->store->self, lease->key, &lease->lease, LEASE_MS, CKIT_NO_DEADLINE,
                                            NULL);
    }
}

void run_lease_release(run_lease *lease) {
    if (lease->held) {
        (void)lease->store->ops->lock_release(lease->store->self, lease->key, &lease->lease, CKIT_NO_DEADLINE, NULL);
        lease->held = false;
    }
}

ckit_status run_lease_set(const run_lease *lease, const cli_store *store, ckit_slice key, ckit_slice value,
                          const ckit_entry_info *info, ckit_error *err) {
    if (lease->held && store->ops->set_if_owner != NULL) {
        return store->ops->set_if_owner(store->self, key, value, info, &lease->lease, CKIT_NO_DEADLINE, err);
    }
    return store->ops->set(store->self, key, value, info, CKIT_NO_DEADLINE, err);
}
