#include <cachekit/ext/backend.h>

#include "support/failing_alloc.h"
#include "support/test.h"

static ckit_status get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                       ckit_error *err) {
    (void)self, (void)key, (void)deadline_ms, (void)out, (void)life_ms, (void)err;
    return CKIT_MISS;
}
static ckit_status set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info, uint64_t deadline_ms,
                       ckit_error *err) {
    (void)self, (void)key, (void)value, (void)info, (void)deadline_ms, (void)err;
    return CKIT_OK;
}
static ckit_status of_key(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)deadline_ms, (void)err;
    return CKIT_MISS;
}
static void health(void *self, uint64_t deadline_ms, ckit_health *out) { (void)self, (void)deadline_ms, (void)out; }
static void count_close(void *self) { ++*(int *)self; }
static ckit_status lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                            ckit_error *err) {
    (void)self, (void)key, (void)lease_ms, (void)deadline_ms, (void)lease, (void)err;
    return CKIT_MISS;
}
static ckit_status lock_try_many(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                                 uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers, ckit_error *err) {
    (void)self, (void)keys, (void)count, (void)lease_ms, (void)deadline_ms, (void)leases, (void)answers, (void)err;
    return CKIT_OK;
}
static ckit_status set_many_if_owner(void *self, const ckit_slice *keys, const ckit_slice *values,
                                     const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                     uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    (void)self, (void)keys, (void)values, (void)infos, (void)leases, (void)count, (void)deadline_ms, (void)answers;
    (void)err;
    return CKIT_OK;
}
static ckit_status set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)value, (void)info, (void)lease, (void)deadline_ms, (void)err;
    return CKIT_MISS;
}

static const ckit_backend_ops complete = {.abi = CKIT_BACKEND_ABI,
                                          .name = "probe",
                                          .get = get,
                                          .set = set,
                                          .remove = of_key,
                                          .exists = of_key,
                                          .health = health,
                                          .close = count_close};

static void refused(const ckit_backend_ops *ops, const char *because) {
    int           closed = 0;
    ckit_backend *backend = NULL;
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_backend_new(ops, &closed, NULL, &backend, &err), &err);
    CHECK_CONTAINS(because, err.text);
    CHECK_EQ_P(NULL, backend);
    CHECK_EQ_I(0, closed); /* self stays the caller's */
}

/* A complete table, but for one field. */
#define REFUSED(because, change)                                                                                       \
    do {                                                                                                               \
        ckit_backend_ops ops = complete;                                                                               \
        ops.change;                                                                                                    \
        refused(&ops, because);                                                                                        \
    } while (0)

CKIT_TEST(backend, a_complete_table_is_taken_and_closed_once) {
    int           closed = 0;
    ckit_backend *backend = NULL;
    CHECK_OK(ckit_backend_new(&complete, &closed, NULL, &backend, NULL));
    CHECK_STR("probe", ckit_backend_name(backend));
    CHECK_EQ_P(&closed, ckit_backend_self(backend));
    CHECK_EQ_P(&complete, ckit_backend_operations(backend));
    ckit_backend_close(backend);
    CHECK_EQ_I(1, closed);
    ckit_backend_close(NULL);
}

CKIT_TEST(backend, a_table_that_lacks_a_required_operation_is_refused_by_its_name) {
    refused(NULL, "no table");
    REFUSED("abi 7", abi = 7);
    REFUSED("'name'", name = "");
    REFUSED("'get'", get = NULL);
    REFUSED("'set'", set = NULL);
    REFUSED("'remove'", remove = NULL);
    REFUSED("'exists'", exists = NULL);
    REFUSED("'health'", health = NULL);
    REFUSED("'close'", close = NULL);
}

CKIT_TEST(backend, locks_belong_together_and_a_fenced_write_needs_them) {
    REFUSED("1 of 3", lock_try = lock_try);
    REFUSED("set_if_owner", set_if_owner = set_if_owner);
    REFUSED("locks of many keys", lock_try_many = lock_try_many);
    REFUSED("set_many_if_owner", set_many_if_owner = set_many_if_owner);
}

CKIT_TEST(backend, without_memory_for_the_handle_self_stays_the_caller_s) {
    failing_alloc fa;
    failing_alloc_init(&fa, 0);
    int              closed = 0;
    ckit_backend    *backend = NULL;
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    env.alloc = &fa.alloc;
    CHECK_STATUS(CKIT_E_NO_MEMORY, ckit_backend_new(&complete, &closed, &env, &backend, NULL));
    CHECK_EQ_I(0, closed);
}
