/* Reads that do not wait, through a guard. */
#include "guard/guard_fixture.h"
#include "support/failing_alloc.h"

#include <sched.h>

typedef struct submitted {
    ckit_request     request;
    ckit_buf         out;
    _Atomic unsigned done;
    ckit_status      status;
    void            *seen_context;
    uint64_t         seen_deadline;
} submitted;

static void note_done(ckit_request *request, ckit_status status) {
    submitted *r = request->context;
    r->status = status;
    r->seen_context = request->context;
    r->seen_deadline = request->deadline_ms;
    atomic_fetch_add(&r->done, 1);
}

static ckit_status submit(scene *s, submitted *r) {
    memset(r, 0, sizeof *r);
    r->request = (ckit_request){.kind = CKIT_REQUEST_GET,
                                .key = S("key"),
                                .deadline_ms = 4000000,
                                .out = &r->out,
                                .done = note_done,
                                .context = r};
    return s->ops->submit(s->self, &r->request, NULL);
}

static void wait_done(submitted *r) {
    while (atomic_load(&r->done) == 0) {
        sched_yield();
    }
    ckit_buf_fini(&r->out);
}

CKIT_TEST(guard, a_submitted_read_is_counted_timed_and_given_back_as_it_was) {
    scene     s;
    submitted r;
    scene_open(&s, FAKE_SUBMITTING);
    fake_put(s.store, S("key"), S("value"), CKIT_LIFE_NO_EXPIRY);
    CHECK_STATUS(CKIT_PENDING, submit(&s, &r));
    wait_done(&r);
    CHECK_STATUS(CKIT_OK, r.status);
    CHECK_EQ_P(&r, r.seen_context);
    CHECK_EQ_U(4000000, r.seen_deadline);
    CHECK_EQ_U(fake_clock_now(&s.time) + 1000, fake_last_deadline(s.store, FAKE_SUBMIT));
    CHECK_EQ_U(1, scene_stats(&s).data.operations);
    CHECK_EQ_U(0, scene_stats(&s).in_flight);
    scene_close(&s);
}

CKIT_TEST(guard, submitted_reads_break_the_circuit_and_are_refused_at_once_by_an_open_one) {
    scene     s;
    submitted r;
    scene_open(&s, FAKE_SUBMITTING_AT_ONCE);
    fake_fail(s.store, FAKE_SUBMIT, CKIT_E_UNREACHABLE, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_PENDING, submit(&s, &r));
        wait_done(&r);
        CHECK_STATUS(CKIT_E_UNREACHABLE, r.status);
    }
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, submit(&s, &r));
    CHECK_EQ_U(0, atomic_load(&r.done));
    CHECK(r.request.done == note_done);
    fake_clock_advance(&s.time, 30001);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_PENDING, submit(&s, &r));
        wait_done(&r);
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
    scene_close(&s);
}

CKIT_TEST(guard, a_submitted_read_never_waits_for_its_turn) {
    scene     s;
    submitted first, second;
    scene_prepare(&s);
    s.options.max_concurrent = 1;
    s.options.queue_timeout_ms = 3600000;
    scene_start(&s, FAKE_SUBMITTING);
    fake_shut(s.store, FAKE_SUBMIT, FAKE_BEFORE);
    CHECK_STATUS(CKIT_PENDING, submit(&s, &first));
    CHECK_STATUS(CKIT_E_BUSY, submit(&s, &second));
    CHECK_EQ_U(1, scene_stats(&s).rejected);
    fake_open_gate(s.store, FAKE_SUBMIT);
    wait_done(&first);
    CHECK_STATUS(CKIT_PENDING, submit(&s, &second));
    wait_done(&second);
    scene_close(&s);
}

CKIT_TEST(guard, a_request_that_the_store_does_not_take_leaves_no_trace) {
    scene     s;
    submitted r;
    scene_open(&s, FAKE_SUBMITTING);
    memset(&r, 0, sizeof r);
    r.request =
        (ckit_request){.kind = CKIT_REQUEST_SET, .key = S("key"), .deadline_ms = 7, .done = note_done, .context = &r};
    CHECK_STATUS(CKIT_E_UNSUPPORTED, s.ops->submit(s.self, &r.request, NULL));
    CHECK(r.request.done == note_done);
    CHECK_EQ_P(&r, r.request.context);
    CHECK_EQ_U(7, r.request.deadline_ms);
    CHECK_EQ_U(0, scene_stats(&s).in_flight);
    CHECK_EQ_U(0, scene_stats(&s).data.operations);
    scene_close(&s);
}

CKIT_TEST(guard, a_request_for_which_there_is_no_memory_is_not_taken) {
    failing_alloc    memory;
    scene            s;
    submitted        r;
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    scene_prepare(&s);
    failing_alloc_init(&memory, FAILING_ALLOC_NEVER);
    env.alloc = &memory.alloc;
    CHECK_OK(ckit_backend_guard(fake_connect(s.store, FAKE_SUBMITTING), NULL, &env, &s.backend, NULL));
    s.ops = ckit_backend_operations(s.backend);
    s.self = ckit_backend_self(s.backend);
    atomic_store(&memory.fail_at, atomic_load(&memory.requests));
    CHECK_STATUS(CKIT_E_NO_MEMORY, submit(&s, &r));
    CHECK(r.request.done == note_done);
    CHECK_EQ_U(0, scene_stats(&s).in_flight);
    CHECK_STATUS(CKIT_PENDING, submit(&s, &r));
    wait_done(&r);
    scene_close(&s);
    failing_alloc_check_empty(&memory);
}
