#include "suite.h"

ckit_status suite_begin_failing(suite *s, uint64_t fail_at) {
    memset(s, 0, sizeof *s);
    scratch_make(s->dir);
    fake_clock_init(&s->time);
    failing_alloc_init(&s->memory, fail_at);
    s->env = (ckit_backend_env)CKIT_BACKEND_ENV_INIT;
    s->env.alloc = &s->memory.alloc;
    s->env.clock = &s->time.clock;
    suite_place place = {s->dir, &s->env};
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = suite_the_subject.open(&place, &s->backend, &err);
    if (st != CKIT_OK) {
        CHECK_EQ_P(NULL, s->backend);
        CHECK_STATUS_ERR(st, st, &err);
        return st;
    }
    s->ops = ckit_backend_operations(s->backend);
    s->self = ckit_backend_self(s->backend);
    return st;
}

void suite_begin(suite *s) { CHECK_OK(suite_begin_failing(s, FAILING_ALLOC_NEVER)); }

void suite_end(suite *s) {
    ckit_backend_close(s->backend);
    s->backend = NULL;
    failing_alloc_check_empty(&s->memory);
    scratch_remove(s->dir);
}

/* A failure must say which one it is, and of its true kind. */
static ckit_status told(ckit_status st, const ckit_error *err) {
    if (st >= CKIT_E_FIRST) {
        CHECK_EQ_I(st, err->status);
        CHECK_EQ_I(ckit_status_kind(st), err->kind);
        CHECK(err->text[0] != '\0');
    }
    return st;
}

ckit_status suite_set(suite *s, ckit_slice key, ckit_slice value, uint64_t ttl_ms) {
    ckit_entry_info info = {.ttl_ms = ttl_ms};
    ckit_error      err = CKIT_ERROR_INIT;
    return told(s->ops->set(s->self, key, value, &info, CKIT_NO_DEADLINE, &err), &err);
}

ckit_status suite_set_owned(suite *s, const char *key, const char *namespace_name, const char *function) {
    ckit_entry_info info = {.ttl_ms = 60000, .namespace_name = S(namespace_name), .function = S(function)};
    ckit_error      err = CKIT_ERROR_INIT;
    return told(s->ops->set(s->self, S(key), S("value"), &info, CKIT_NO_DEADLINE, &err), &err);
}

ckit_status suite_get(suite *s, ckit_slice key, ckit_buf *out, uint64_t *life_ms) {
    ckit_error err = CKIT_ERROR_INIT;
    return told(s->ops->get(s->self, key, CKIT_NO_DEADLINE, out, life_ms, &err), &err);
}

ckit_status suite_remove(suite *s, ckit_slice key) {
    ckit_error err = CKIT_ERROR_INIT;
    return told(s->ops->remove(s->self, key, CKIT_NO_DEADLINE, &err), &err);
}

ckit_status suite_exists(suite *s, ckit_slice key) {
    ckit_error err = CKIT_ERROR_INIT;
    return told(s->ops->exists(s->self, key, CKIT_NO_DEADLINE, &err), &err);
}

void suite_expect(suite *s, ckit_slice key, ckit_slice value) {
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms = 0;
    CHECK_OK(suite_get(s, key, &out, &life_ms));
    CHECK_BYTES(value, ckit_buf_slice(&out));
    CHECK(life_ms > 0);
    ckit_buf_fini(&out);
    CHECK_OK(suite_exists(s, key));
}

void suite_expect_miss(suite *s, ckit_slice key) {
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms = 0;
    CHECK_STATUS(CKIT_MISS, suite_get(s, key, &out, &life_ms));
    CHECK_EQ_U(0, out.len);
    ckit_buf_fini(&out);
    CHECK_STATUS(CKIT_MISS, suite_exists(s, key));
}

void suite_outlive(suite *s, uint64_t ttl_ms) {
    fake_clock_advance(&s->time, ttl_ms + suite_the_subject.granularity_ms);
}
