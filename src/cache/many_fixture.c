#include "cache/many_fixture.h"

static int64_t argument_of(const ckit_args *args) {
    ckit_reader r;
    ckit_args_positional(args, &r);
    return ckit_read_int(&r);
}

ckit_status load_many(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    many_loader *m = context;
    uint64_t     run = atomic_fetch_add(&m->runs, 1);
    ckit_load    gate = {.result = NULL};
    m->gate.silent = true;
    (void)loader_run(&m->gate, &gate, err);
    if (m->during != NULL) {
        m->during(m->context);
    }
    if (run < 8) {
        m->sizes[run] = count;
    }
    if (m->fails != CKIT_OK) {
        return ckit_fail(err, m->fails, "loader", "all of it");
    }
    for (size_t i = 0; i < count; i++) {
        int64_t argument = argument_of(calls[i].args);
        atomic_fetch_add(&m->loaded[argument], 1);
        if (argument == m->refuses) {
            calls[i].status = CKIT_E_FUNCTION;
        } else {
            write_number(calls[i].result, (uint64_t)argument * 10, 0);
        }
    }
    return CKIT_OK;
}

void run_many(many *m) {
    ckit_args *args[MOST];
    for (size_t i = 0; i < m->count; i++) {
        ckit_args_init(&m->args[i]);
        ckit_args_int(&m->args[i], m->arguments[i]);
        args[i] = &m->args[i];
        ckit_value_init(&m->out[i]);
    }
    m->err = (ckit_error)CKIT_ERROR_INIT;
    m->status = ckit_call_many(m->fn, args, m->count, m->loader != NULL ? load_many : NULL, m->loader, m->out,
                               m->answers, &m->err);
    for (size_t i = 0; i < m->count; i++) {
        ckit_args_fini(&m->args[i]);
    }
}

static void *run_in_thread(void *arg) {
    run_many(arg);
    return NULL;
}

void start_many(many *m) { CHECK_EQ_I(0, pthread_create(&m->thread, NULL, run_in_thread, m)); }

void join_many(many *m) { CHECK_EQ_I(0, pthread_join(m->thread, NULL)); }

/* ---- answers ----------------------------------------------------------------------------------------------------- */

void check_answer(const char *file, int line, many *m, size_t i, ckit_source source) {
    ckit_check_status_err(file, line, "the answer", CKIT_OK, m->answers[i], &m->err);
    ckit_check_u(file, line, "its number", (uint64_t)m->arguments[i] * 10, read_number(&m->out[i]));
    ckit_check_u(file, line, "its source", source, m->out[i].source);
    ckit_value_fini(&m->out[i]);
}

void check_answers(const char *file, int line, many *m, ckit_source source) {
    ckit_check_status_err(file, line, "the batch", CKIT_OK, m->status, &m->err);
    for (size_t i = 0; i < m->count; i++) {
        check_answer(file, line, m, i, source);
    }
}

void check_all_stale(const char *file, int line, const many *m) {
    for (size_t i = 0; i < m->count; i++) {
        ckit_check_u(file, line, "stale", true, m->out[i].stale);
    }
}

/* ---- a crowd ----------------------------------------------------------------------------------------------------- */

static void *call_rounds(void *arg) {
    crowd *c = arg;
    for (unsigned round = 0; round < c->rounds; round++) {
        many m = {.fn = c->fn, .loader = c->loader, .count = MOST};
        for (unsigned i = 0; i < MOST; i++) {
            m.arguments[i] = 1 + (round * c->advance + (c->backwards ? MOST - 1 - i : i) * c->step) % CROWD_CALLS;
        }
        run_many(&m);
        CHECK_OK_ERR(m.status, &m.err);
        for (unsigned i = 0; i < MOST; i++) {
            CHECK_EQ_U((uint64_t)m.arguments[i] * 10, read_number(&m.out[i]));
            ckit_value_fini(&m.out[i]);
        }
    }
    return NULL;
}

void crowd_start(crowd *c) { CHECK_EQ_I(0, pthread_create(&c->thread, NULL, call_rounds, c)); }

void crowd_join(crowd *c) { CHECK_EQ_I(0, pthread_join(c->thread, NULL)); }

/* ---- the scene --------------------------------------------------------------------------------------------------- */

void scene_start(scene *s, bool store, fake_kind kind) {
    if (store) {
        fixture_start(&s->f, kind);
    } else {
        fixture_start_memory(&s->f);
    }
    loader_init(&s->l);
    memset(&s->m, 0, sizeof s->m);
    loader_init(&s->m.gate);
    s->fn = function_of(s->f.cache, "test.load", &s->l, NULL);
}

void scene_open(scene *s, fake_kind kind) {
    fixture_prepare(&s->f);
    scene_start(s, true, kind);
}

void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}
