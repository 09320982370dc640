/* Who comes too late: between a caller's look into memory and its next step another call has done all the work. The
 * allocator is where the other call is slipped in. */
#include "cache/cache_fixture.h"

#include <stdlib.h>

/* Calls `meanwhile` in another thread at the next request for memory of the thread that armed it, and waits for it. */
typedef struct slip {
    ckit_alloc alloc;
    pthread_t  armed;
    bool       is_armed;
    void *(*meanwhile)(void *);
    void *context;
} slip;

static void slip_in(slip *s) {
    pthread_t other;
    if (s->is_armed && pthread_equal(s->armed, pthread_self())) {
        s->is_armed = false;
        CHECK_EQ_I(0, pthread_create(&other, NULL, s->meanwhile, s->context));
        pthread_join(other, NULL);
    }
}

static void *slip_alloc(void *self, size_t size) {
    slip_in(self);
    return malloc(size);
}

static void *slip_resize(void *self, void *ptr, size_t old_size, size_t new_size) {
    (void)old_size;
    slip_in(self);
    return realloc(ptr, new_size);
}

static void slip_release(void *self, void *ptr, size_t size) {
    (void)self;
    (void)size;
    free(ptr);
}

typedef struct scene {
    fixture        f;
    loader         l;
    slip           slip;
    ckit_function *fn;
} scene;

static void scene_open(scene *s, bool store) {
    fixture_prepare(&s->f);
    s->slip = (slip){.alloc = {slip_alloc, slip_resize, slip_release, &s->slip}};
    s->f.options.alloc = &s->slip.alloc;
    if (store) {
        fixture_start(&s->f, FAKE_FULL);
    } else {
        fixture_start_memory(&s->f);
    }
    loader_init(&s->l);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 1000;
    options.stale_ms = 1000;
    s->fn = function_of(s->f.cache, "test.load", &s->l, &options);
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

static void forget_so_far(scene *s) {
    if (s->f.store != NULL) {
        fake_forget_calls(s->f.store);
    }
    s->l.runs = 0;
}

static void arm(scene *s, void *(*meanwhile)(void *)) {
    (void)call(s->fn, 1); /* memory has met this thread: it does not ask for memory for it again */
    forget_so_far(s);
    s->slip.meanwhile = meanwhile;
    s->slip.context = s;
    s->slip.armed = pthread_self();
    s->slip.is_armed = true;
}

static void *call_too(void *context) {
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, ((scene *)context)->fn, 7);
    return NULL;
}

CKIT_TEST(late, a_call_that_lands_before_another_joins_its_flight_is_found_in_memory) {
    scene s;
    scene_open(&s, true);
    arm(&s, call_too);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    CHECK(!s.slip.is_armed);
    CHECK_EQ_U(1, s.l.runs);
    CHECK_STR("get MISS, get MISS, set OK, set OK", fake_log(s.f.store)); /* and what is served past its life */
    scene_close(&s);
}

CKIT_TEST(late, the_same_without_a_store_and_through_a_poll) {
    for (int polls = 0; polls < 2; polls++) {
        scene      s;
        ckit_poll *poll = NULL;
        ckit_op   *op;
        ckit_value value = CKIT_VALUE_INIT;
        scene_open(&s, false);
        if (polls) {
            CHECK_OK(ckit_poll_new(s.f.cache, &poll, NULL));
        }
        const ckit_start start = {.function = s.fn, .poll = poll, .ready = (ckit_op_ready)abort};
        arm(&s, call_too);
        CHECK_OK(begin_with(start, 7, &op, &value));
        CHECK(op == NULL && !s.slip.is_armed);
        CHECK_EQ_U(CKIT_SOURCE_MEMORY, value.source);
        CHECK_EQ_U(1, s.l.runs);
        ckit_value_fini(&value);
        ckit_poll_close(poll);
        scene_close(&s);
    }
}

static bool is_fresh(void *context) { return !call(context, 7).stale; }

static void *refresh_too(void *context) {
    scene *s = context;
    CHECK(call(s->fn, 7).stale);
    wait_for(is_fresh, s->fn);
    return NULL;
}

CKIT_TEST(late, who_saw_a_stale_value_that_is_refreshed_by_now_does_not_refresh_it_again) {
    scene s;
    scene_open(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_clock_advance(&s.f.time, 1500);
    arm(&s, refresh_too);
    CHECK(call(s.fn, 7).stale);
    CHECK(!s.slip.is_armed);
    ckit_function_close(s.fn); /* waits for refreshes */
    CHECK_EQ_U(1, s.l.runs);
    fixture_close(&s.f);
}

CKIT_TEST(late, nor_gets_a_ticket) {
    scene      s;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s, false);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_clock_advance(&s.f.time, 1500);
    arm(&s, refresh_too);
    CHECK_STATUS(CKIT_STALE, begin_op(s.fn, 7, &op, &value));
    CHECK(op == NULL);
    ckit_value_fini(&value);
    scene_close(&s);
}
