#include "cache/fleet_fixture.h"

#include <stdio.h>

void fleet_prepare(fleet *fl) {
    memset(fl, 0, sizeof *fl);
    fixture_prepare(&fl->f);
    fl->f.store = fake_store_open(&fl->f.time);
    fl->hub = fake_hub_open(fl->f.store);
}

void member_open(fleet *fl, member *m, fake_kind kind, unsigned what) {
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = "ns";
    CHECK_OK_ERR(ckit_cache_new(&fl->f.options, fake_watch_connect(fl->hub, kind, &m->watch), &m->cache, &err), &err);
    loader_init(&m->l);
    m->fn = function_of(m->cache, "test.load", &m->l, &options);
    if (what != 0) {
        fake_guard(m->watch, what);
    }
}

void fleet_start(fleet *fl, fake_kind kind, unsigned what) {
    member_open(fl, &fl->a, kind, what);
    member_open(fl, &fl->b, kind, what);
}

void fleet_open(fleet *fl, fake_kind kind) {
    fleet_prepare(fl);
    fleet_start(fl, kind, GUARDS_ALL);
}

void member_close(member *m) {
    ckit_function_close(m->fn);
    ckit_cache_close(m->cache);
}

void fleet_close(fleet *fl) {
    member_close(&fl->a);
    member_close(&fl->b);
    fake_hub_close(fl->hub);
    fake_store_close(fl->f.store);
    pthread_mutex_destroy(&fl->f.log.mu);
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

void set_text(member *m, const char *key, const char *text) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_cache_set(m->cache, S(key), S(text), NULL, &err), &err);
}

void check_text(const char *file, int line, member *m, const char *key, ckit_source source, const char *text) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = ckit_cache_get(m->cache, S(key), NULL, &value, NULL);
    ckit_check_status(file, line, "the look", text == NULL ? CKIT_MISS : CKIT_OK, st);
    if (text != NULL) {
        ckit_check_bytes(file, line, "its value", S(text), value.data);
        ckit_check_u(file, line, "its source", source, value.source);
    }
    ckit_value_fini(&value);
}

static void *run_get(void *context) {
    threaded_get *g = context;
    ckit_value    value = CKIT_VALUE_INIT;
    g->status = ckit_cache_get(g->m->cache, S(g->key), NULL, &value, NULL);
    snprintf(g->text, sizeof g->text, "%.*s", (int)value.data.len, value.data.len > 0 ? (char *)value.data.ptr : "");
    ckit_value_fini(&value);
    return NULL;
}

void get_start(threaded_get *g, member *m, const char *key) {
    g->m = m;
    g->key = key;
    CHECK_EQ_I(0, pthread_create(&g->thread, NULL, run_get, g));
}

const char *get_join(threaded_get *g) {
    pthread_join(g->thread, NULL);
    CHECK_OK(g->status);
    return g->text;
}

static void *run_set(void *context) {
    threaded_set *s = context;
    set_text(s->m, s->key, s->text);
    return NULL;
}

void set_start(threaded_set *s, member *m, const char *key, const char *text) {
    s->m = m;
    s->key = key;
    s->text = text;
    CHECK_EQ_I(0, pthread_create(&s->thread, NULL, run_set, s));
}

void set_join(threaded_set *s) { pthread_join(s->thread, NULL); }
