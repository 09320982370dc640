/* More runs with a limit than there are threads for them: who waits for a thread, and who does not. Of limits.c and
 * batch_limits.c. */
#include "cache/core.h"
#include "cache/many_fixture.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* All threads of a cache are taken by runs that are held up. */
typedef struct busy {
    stage          s;
    ckit_function *taken;
    loader         l; /* of the function that is asked while they are */
} busy;

static ckit_function *limited(ckit_cache *cache, const char *name, loader *l, uint32_t soft_ms, uint32_t hard_ms) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 10000;
    options.soft_limit_ms = soft_ms;
    options.hard_limit_ms = hard_ms;
    options.fail_safe_ms = soft_ms != 0 ? 50000 : 0;
    return function_of(cache, name, l, &options);
}

/* All but `left` of them. */
static void busy_start(busy *b, unsigned left) {
    stage_start(&b->s, FAKE_LOCKING_MANY, NULL);
    loader_init(&b->l);
    loader_shut(&b->s.l);
    b->taken = limited(b->s.f.cache, "test.taken", &b->s.l, 0, 1);
    for (int64_t i = 0; i < CKITI_MOST_RUNNERS - (int64_t)left; i++) {
        CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, call(b->taken, i).status);
    }
    loader_wait_stopped(&b->s.l, CKITI_MOST_RUNNERS - left);
}

static void busy_open(busy *b, unsigned left) {
    stage_prepare(&b->s);
    busy_start(b, left);
}

static void busy_close(busy *b) {
    loader_open(&b->s.l);
    ckit_function_close(b->taken);
    CHECK(!fake_is_locked(b->s.f.store)); /* who has left holds nothing */
    stage_close(&b->s);
}

CKIT_TEST(runners, who_finds_all_threads_taken_waits_no_longer_than_his_hard_limit) {
    busy b;
    busy_open(&b, 0);
    ckit_function *fn = limited(b.s.f.cache, "test.late", &b.l, 0, 5);
    answer         a = call(fn, 7);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, a.status);
    CHECK_CONTAINS("test.late took longer than its limit of 5 ms", a.error.text);
    CHECK_EQ_U(0, b.l.runs); /* it was not even begun */
    ckit_function_close(fn);
    busy_close(&b);
}

/* Neither limit is near. */
CKIT_TEST(runners, who_finds_all_threads_taken_gets_the_first_that_is_free) {
    busy          b;
    threaded_call c = {.refreshes = false};
    busy_open(&b, 0);
    ckit_function *fn = limited(b.s.f.cache, "test.patient", &b.l, 0, 3600000);
    call_start(&c, fn, 7);
    for (int i = 0; i < 10; i++) {
        breathe();
    }
    CHECK_EQ_U(0, b.l.runs);
    loader_let_one(&b.s.l);
    answer a = call_join(&c);
    CHECK_OK(a.status);
    CHECK_EQ_I(CKIT_SOURCE_FUNCTION, a.source);
    CHECK_EQ_U(1, b.l.runs);
    ckit_function_close(fn);
    busy_close(&b);
}

/* That of a run which has just ended may not be free at once. */
static bool has_taken_the_last_thread(void *context) {
    busy *b = context;
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, call(b->taken, 1000).status);
    pthread_mutex_lock(&b->s.l.mu);
    bool all = b->s.l.waiting == CKITI_MOST_RUNNERS;
    pthread_mutex_unlock(&b->s.l.mu);
    return all;
}

CKIT_TEST(runners, past_the_soft_limit_an_older_value_is_as_good_without_a_thread) {
    busy b;
    busy_open(&b, 1);
    ckit_function *fn = limited(b.s.f.cache, "test.stale", &b.l, 5, 3600000);
    b.l.result = 3;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 3, fn, 7);
    fake_clock_advance(&b.s.f.time, 12000);
    wait_for(has_taken_the_last_thread, &b);
    answer a = call(fn, 7);
    CHECK_OK(a.status);
    CHECK(a.stale);
    CHECK_EQ_U(3, a.number);
    CHECK_EQ_U(1, b.l.runs);
    ckit_function_close(fn);
    busy_close(&b);
}

/* There is nothing that would end its wait. */
CKIT_TEST(runners, who_has_only_a_soft_limit_and_no_older_value_computes_when_it_is_over) {
    busy b;
    busy_open(&b, 0);
    ckit_function *fn = limited(b.s.f.cache, "test.soft", &b.l, 5, 0);
    b.l.result = 4;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4, fn, 7);
    ckit_function_close(fn);
    busy_close(&b);
}

/* Who leaves without a thread while the store lets no lock go. */
typedef struct leaver {
    ckit_function *fn;
    int64_t        argument;
    many_loader   *loader; /* of many calls; NULL: one */
    ckit_status    status;
    _Atomic bool   has_left;
    pthread_t      thread;
} leaver;

static void *leave(void *context) {
    leaver *l = context;
    if (l->loader == NULL) {
        l->status = call(l->fn, l->argument).status;
    } else {
        many m = {.fn = l->fn, .loader = l->loader, .count = 2, .arguments = {l->argument, l->argument + 1}};
        run_many(&m);
        l->status = m.status;
    }
    atomic_store(&l->has_left, true);
    return NULL;
}

static bool has_left(void *context) {
    const leaver *l = context;
    return atomic_load(&l->has_left);
}

static void leaver_start(leaver *l) { CHECK(pthread_create(&l->thread, NULL, leave, l) == 0); }

static void leaver_join(leaver *l) {
    wait_for(has_left, l);
    pthread_join(l->thread, NULL);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, l->status);
}

static void leaves_the_lock_behind(fake_op release, many_loader *ml) {
    busy   b;
    leaver l = {.argument = 7, .loader = ml};
    busy_open(&b, 0);
    l.fn = limited(b.s.f.cache, "test.leaves", &b.l, 0, 5);
    fake_shut(b.s.f.store, release, FAKE_BEFORE);
    leaver_start(&l);
    fake_wait_stopped(b.s.f.store, release, 1);
    leaver_join(&l);
    fake_open_gate(b.s.f.store, release);
    ckit_function_close(l.fn); /* not before it has been let go */
    CHECK_EQ_U(CKITI_MOST_RUNNERS, fake_locks(b.s.f.store));
    busy_close(&b);
}

CKIT_TEST(runners, who_leaves_without_a_thread_does_not_wait_until_the_store_has_let_his_lock_go) {
    leaves_the_lock_behind(FAKE_LOCK_RELEASE, NULL);
}

CKIT_TEST(runners, nor_does_he_with_the_locks_of_many_calls) {
    many_loader ml = {.runs = 0};
    loader_init(&ml.gate);
    leaves_the_lock_behind(FAKE_LOCK_RELEASE_MANY, &ml);
    CHECK_EQ_U(0, ml.runs);
}

/* The only worker is held up, so that the second lock waits to be let go. */
CKIT_TEST(runners, what_was_left_behind_is_not_in_the_way_of_a_forked_child) {
    busy b;
    if (UNDER_TSAN) {
        SKIP("ThreadSanitizer follows 64 locks at most, and a fork holds more");
    }
    stage_prepare(&b.s);
    b.s.f.options.workers = 1;
    busy_start(&b, 0);
    ckit_function *fn = limited(b.s.f.cache, "test.leaves", &b.l, 0, 5);
    leaver         l[] = {{.fn = fn, .argument = 7}, {.fn = fn, .argument = 8}};
    fake_shut(b.s.f.store, FAKE_LOCK_RELEASE, FAKE_BEFORE);
    leaver_start(&l[0]);
    fake_wait_stopped(b.s.f.store, FAKE_LOCK_RELEASE, 1);
    leaver_start(&l[1]);
    leaver_join(&l[0]);
    leaver_join(&l[1]);
    (void)fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)alarm(300);
        ckit_function *patient = limited(b.s.f.cache, "test.leaves", &b.l, 0, 3600000);
        fake_clock_advance(&b.s.f.time, 60000); /* the parent's locks are the parent's; here they end */
        CHECK_OK(call(patient, 8).status);
        CHECK_EQ_U(1, b.l.runs);
        ckit_function_close(patient);
        ckit_function_close(fn);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
    fake_open_gate(b.s.f.store, FAKE_LOCK_RELEASE);
    ckit_function_close(fn);
    CHECK_EQ_U(CKITI_MOST_RUNNERS, fake_locks(b.s.f.store));
    busy_close(&b);
}

/* The function of a run that calls another one. */
typedef struct outer {
    ckit_function *inner;
    answer         answer;
} outer;

static ckit_status call_inner(void *context, ckit_load *load, ckit_error *err) {
    outer *o = context;
    (void)err;
    o->answer = call(o->inner, 1);
    write_number(load->result, 9, 0);
    return CKIT_OK;
}

CKIT_TEST(runners, a_run_that_calls_another_function_does_not_wait_for_a_second_thread) {
    busy                  b;
    outer                 o;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_function        *fn;
    busy_open(&b, 1);
    b.l.result = 5;
    o.inner = limited(b.s.f.cache, "test.inner", &b.l, 0, 3600000);
    options.hard_limit_ms = 3600000;
    CHECK_OK_ERR(ckit_function_new(b.s.f.cache, "test.outer", call_inner, &o, &options, &fn, &err), &err);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 9, fn, 7);
    CHECK_OK(o.answer.status);
    CHECK_EQ_U(5, o.answer.number);
    ckit_function_close(fn);
    ckit_function_close(o.inner);
    busy_close(&b);
}

/* Runs of two caches, each of which calls a function of the other one. */
typedef struct crossing {
    loader           gate; /* holds them up before */
    ckit_function   *runs;
    ckit_function   *there;
    _Atomic uint64_t calls;
} crossing;

static ckit_status stop_and_cross(void *context, ckit_load *load, ckit_error *err) {
    crossing *c = context;
    (void)loader_run(&c->gate, load, err);
    CHECK_OK(call(c->there, (int64_t)atomic_fetch_add(&c->calls, 1)).status);
    return CKIT_OK;
}

static void crossing_fill(crossing *c, ckit_cache *cache, const char *name) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    options.hard_limit_ms = 1;
    loader_init(&c->gate);
    loader_shut(&c->gate);
    CHECK_OK_ERR(ckit_function_new(cache, name, stop_and_cross, c, &options, &c->runs, &err), &err);
    for (int64_t i = 0; i < CKITI_MOST_RUNNERS; i++) {
        CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, call(c->runs, i).status);
    }
    loader_wait_stopped(&c->gate, CKITI_MOST_RUNNERS);
}

CKIT_TEST(runners, runs_of_two_caches_that_call_each_other_do_not_wait_for_each_other_s_threads) {
    stage    s;
    loader   l;
    crossing here = {.calls = 0}, there = {.calls = 0};
    loader_init(&l);
    stage_open(&s, FAKE_LOCKING_MANY, NULL);
    stage_join(&s, FAKE_LOCKING_MANY, NULL);
    here.there = limited(s.other, "test.there", &l, 0, 3600000);
    there.there = limited(s.f.cache, "test.here", &l, 0, 3600000);
    crossing_fill(&here, s.f.cache, "test.from_here");
    crossing_fill(&there, s.other, "test.from_there");
    loader_open(&here.gate);
    loader_open(&there.gate);
    wait_until(&l.runs, 2 * CKITI_MOST_RUNNERS);
    ckit_function_close(here.runs);
    ckit_function_close(there.runs);
    ckit_function_close(here.there);
    ckit_function_close(there.there);
    stage_close(&s);
}

/* Runs that call a function, one call or many at once, which somebody without a thread leads. */
typedef struct waiting {
    stage          s; /* its loader holds the runs up, before they call */
    ckit_function *inner;
    ckit_function *limited; /* what waits for a thread: the same, or what it calls, as one of another cache */
    loader         l;
    bool           many;
    int64_t        second; /* of these */
} waiting;

static ckit_status stop_and_call(void *context, ckit_load *load, ckit_error *err) {
    waiting *w = context;
    (void)loader_run(&w->s.l, load, err);
    if (!w->many) {
        CHECK_OK(call(w->inner, 1).status);
        return CKIT_OK;
    }
    many m = {.fn = w->inner, .count = 2, .arguments = {1, w->second}};
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    for (size_t i = 0; i < m.count; i++) {
        ckit_value_fini(&m.out[i]);
    }
    return CKIT_OK;
}

static ckit_status call_limited(void *context, ckit_load *load, ckit_error *err) {
    const waiting *w = context;
    (void)err;
    CHECK_OK(call(w->limited, 1).status);
    write_number(load->result, 1, 0);
    return CKIT_OK;
}

static void make_inner(waiting *w, bool elsewhere) {
    ckit_error err = CKIT_ERROR_INIT;
    w->limited = limited(w->s.f.cache, "test.limited", &w->l, 0, 3600000);
    w->inner = w->limited;
    if (elsewhere) {
        stage_join(&w->s, FAKE_LOCKING_MANY, NULL);
        CHECK_OK_ERR(ckit_function_new(w->s.other, "test.inner", call_limited, w, NULL, &w->inner, &err), &err);
    }
}

static bool leads(void *function) {
    ckit_function_stats stats = CKIT_FUNCTION_STATS_INIT;
    ckit_function_get_stats(function, &stats);
    return stats.misses > 0;
}

static void runs_wait_for_who_has_no_thread(bool together, bool elsewhere) {
    waiting               w = {.many = together, .second = elsewhere ? 1 : 2};
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_function        *fn;
    threaded_call         c = {.refreshes = false};
    stage_prepare(&w.s);
    w.s.f.options.flight_wait_ms = 3600000;
    stage_start(&w.s, FAKE_LOCKING_MANY, NULL);
    loader_init(&w.l);
    loader_shut(&w.s.l);
    make_inner(&w, elsewhere);
    options.hard_limit_ms = 1;
    CHECK_OK_ERR(ckit_function_new(w.s.f.cache, "test.outer", stop_and_call, &w, &options, &fn, &err), &err);
    for (int64_t i = 0; i < CKITI_MOST_RUNNERS; i++) {
        CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, call(fn, i).status);
    }
    loader_wait_stopped(&w.s.l, CKITI_MOST_RUNNERS);
    call_start(&c, w.inner, 1);
    wait_for(leads, w.limited);
    for (int i = 0; i < 10; i++) {
        breathe();
    }
    CHECK_EQ_U(0, w.l.runs);
    loader_open(&w.s.l);
    wait_until(&w.l.runs, 1);
    CHECK_OK(call_join(&c).status);
    ckit_function_close(fn);
    CHECK_EQ_U(together && !elsewhere ? 2 : 1, w.l.runs);
    ckit_function_close(w.limited);
    if (elsewhere) {
        ckit_function_close(w.inner);
    }
    stage_close(&w.s);
}

CKIT_TEST(runners, runs_that_all_wait_for_a_call_without_a_thread_make_room_for_it) {
    runs_wait_for_who_has_no_thread(false, false);
}

CKIT_TEST(runners, so_do_runs_that_wait_for_it_with_many_calls) { runs_wait_for_who_has_no_thread(true, false); }
CKIT_TEST(runners, and_runs_that_wait_for_another_cache_s_call) { runs_wait_for_who_has_no_thread(false, true); }
CKIT_TEST(runners, or_for_many_of_them) { runs_wait_for_who_has_no_thread(true, true); }

CKIT_TEST(runners, many_calls_wait_for_a_thread_no_longer_either) {
    busy        b;
    many_loader ml = {.runs = 0};
    busy_open(&b, 0);
    loader_init(&ml.gate);
    ckit_function *fn = limited(b.s.f.cache, "test.many", &b.l, 0, 5);
    many           m = {.fn = fn, .loader = &ml, .count = 3, .arguments = {1, 2, 1}};
    run_many(&m);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, m.status);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, m.answers[i]);
    }
    CHECK_EQ_U(0, ml.runs);
    ckit_function_close(fn);
    busy_close(&b);
}
