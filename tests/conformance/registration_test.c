/* What ckit_backend_new refuses: in release builds too, because the table comes from somebody else. */
#include <cachekit/ext/backend.h>

#include "support/failing_alloc.h"
#include "support/test.h"

static ckit_status a_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                         ckit_error *err) {
    (void)self, (void)key, (void)deadline_ms, (void)out, (void)life_ms, (void)err;
    return CKIT_MISS;
}
static ckit_status a_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                         uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)value, (void)info, (void)deadline_ms, (void)err;
    return CKIT_OK;
}
static ckit_status a_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)deadline_ms, (void)err;
    return CKIT_MISS;
}
static void a_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    (void)self, (void)deadline_ms;
    memset(out, 0, sizeof *out);
}
static void        count_close(void *self) { ++*(int *)self; }
static ckit_status a_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                              ckit_error *err) {
    (void)self, (void)key, (void)lease_ms, (void)deadline_ms, (void)lease, (void)err;
    return CKIT_MISS;
}
static ckit_status a_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                  const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)value, (void)info, (void)lease, (void)deadline_ms, (void)err;
    return CKIT_MISS;
}

static const ckit_backend_ops whole = {
    .abi = CKIT_BACKEND_ABI,
    .name = "whole",
    .get = a_get,
    .set = a_set,
    .remove = a_remove,
    .exists = a_remove,
    .health = a_health,
    .close = count_close,
};

static void expect_refused(const ckit_backend_ops *ops, const char *named) {
    ckit_error    err = CKIT_ERROR_INIT;
    int           closed = 0;
    ckit_backend *backend = (ckit_backend *)&err; /* must be cleared */
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_backend_new(ops, &closed, NULL, &backend, &err), &err);
    CHECK_EQ_P(NULL, backend);
    CHECK_CONTAINS(named, err.text);
    CHECK_EQ_I(0, closed); /* on failure self stays the caller's */
}

CKIT_TEST(registration, a_whole_table_is_accepted_and_closed_once) {
    int           closed = 0;
    ckit_backend *backend = NULL;
    CHECK_OK(ckit_backend_new(&whole, &closed, NULL, &backend, NULL));
    CHECK_STR("whole", ckit_backend_name(backend));
    CHECK_EQ_P(&whole, ckit_backend_operations(backend));
    CHECK_EQ_P(&closed, ckit_backend_self(backend));
    ckit_backend_close(backend);
    CHECK_EQ_I(1, closed);
    ckit_backend_close(NULL);
}

CKIT_TEST(registration, each_missing_part_is_named) {
    ckit_backend_ops ops;
    expect_refused(NULL, "table");
#define WITHOUT(field)                                                                                                 \
    ops = whole;                                                                                                       \
    ops.field = NULL;                                                                                                  \
    expect_refused(&ops, #field)
    WITHOUT(name);
    WITHOUT(get);
    WITHOUT(set);
    WITHOUT(remove);
    WITHOUT(exists);
    WITHOUT(health);
    WITHOUT(close);
#undef WITHOUT
}

CKIT_TEST(registration, a_table_of_another_abi_is_refused) {
    ckit_backend_ops ops = whole;
    ops.abi = CKIT_BACKEND_ABI + 1;
    expect_refused(&ops, "abi");
    ops.abi = 0;
    expect_refused(&ops, "abi");
}

CKIT_TEST(registration, locks_come_all_or_none) {
    ckit_backend_ops ops = whole;
    ops.lock_try = a_lock_try;
    expect_refused(&ops, "lock_renew");
}

CKIT_TEST(registration, a_fenced_write_needs_the_locks) {
    ckit_backend_ops ops = whole;
    ops.set_if_owner = a_set_if_owner;
    expect_refused(&ops, "set_if_owner");
}

CKIT_TEST(registration, without_memory_the_caller_keeps_his_store) {
    failing_alloc    fa;
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    int              closed = 0;
    ckit_backend    *backend = NULL;
    failing_alloc_init(&fa, 0);
    env.alloc = &fa.alloc;
    CHECK_STATUS(CKIT_E_NO_MEMORY, ckit_backend_new(&whole, &closed, &env, &backend, NULL));
    CHECK_EQ_I(0, closed);
    failing_alloc_check_empty(&fa);
}
