#include "guard/guard_fixture.h"

#include <stdio.h>

static void write_line(void *self, ckit_log_level level, const char *component, const char *line) {
    scene *s = self;
    size_t len = strlen(s->log);
    snprintf(s->log + len, sizeof s->log - len, "%d %s: %s\n", (int)level, component, line);
}

static fake_clock *paused;
_Atomic unsigned   pauses;
_Atomic uint64_t   longest_pause;

static void pause_by_clock(uint64_t ms) {
    pauses++;
    longest_pause = ms > longest_pause ? ms : longest_pause;
    fake_clock_advance(paused, ms);
}

void scene_prepare(scene *s) {
    memset(s, 0, sizeof *s);
    fake_clock_init(&s->time);
    s->store = fake_store_open(&s->time);
    s->options = (ckit_guard_options)CKIT_GUARD_OPTIONS_INIT;
    s->options.retry = CKIT_OFF;
    s->sink = (ckit_log){write_line, s, CKIT_LOG_INFO};
    paused = &s->time;
    pauses = 0;
    longest_pause = 0;
}

void scene_start(scene *s, fake_kind kind) {
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    ckit_error       err = CKIT_ERROR_INIT;
    env.clock = &s->time.clock;
    env.log = &s->sink;
    CHECK_OK_ERR(ckit_backend_guard(fake_connect(s->store, kind), &s->options, &env, &s->backend, &err), &err);
    s->ops = ckit_backend_operations(s->backend);
    s->self = ckit_backend_self(s->backend);
    ckiti_guard_of(s->backend)->sleep_ms = pause_by_clock;
}

void scene_open(scene *s, fake_kind kind) {
    scene_prepare(s);
    scene_start(s, kind);
}

void scene_close(scene *s) {
    ckit_backend_close(s->backend);
    fake_store_close(s->store);
}

ckit_guard_stats scene_stats(const scene *s) {
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    CHECK(ckit_backend_guard_stats(s->backend, &stats));
    return stats;
}

ckit_status scene_get_by(scene *s, uint64_t deadline_ms, ckit_error *err) {
    ckit_buf    out = CKIT_BUF_INIT;
    ckit_status st = s->ops->get(s->self, S("key"), deadline_ms, &out, &s->lives, err);
    ckit_buf_fini(&out);
    return st;
}

ckit_status scene_get(scene *s) { return scene_get_by(s, CKIT_NO_DEADLINE, NULL); }

ckit_status scene_set(scene *s) {
    const ckit_entry_info info = {.ttl_ms = 60000};
    return s->ops->set(s->self, S("key"), S("value"), &info, CKIT_NO_DEADLINE, NULL);
}

void break_circuit(scene *s) {
    fake_fail(s->store, FAKE_GET, CKIT_E_UNREACHABLE, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, scene_get(s));
    }
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(s).state);
}
