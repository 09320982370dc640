/* Objects of a binding as results, in caches without a store: who holds them, and when they are released. Of peek.c. */
#include "cache/cache_fixture.h"

#include <stdlib.h>
#include <time.h>

typedef struct thing {
    _Atomic uint64_t released;
} thing;

static void release_thing(void *object, void *context) {
    atomic_fetch_add(&((thing *)object)->released, 1);
    atomic_fetch_add((_Atomic uint64_t *)context, 1);
}

static _Atomic uint64_t all_released;

static ckit_object object_of(thing *t, size_t size) {
    return (ckit_object){.object = t, .size = size, .release = release_thing, .context = &all_released};
}

typedef struct scene {
    fixture        f;
    ckit_function *fn;
} scene;

static void scene_open(scene *s) {
    fixture_prepare(&s->f);
    s->f.options.l1_max_bytes = 1 << 20;
    fixture_start_memory(&s->f);
    s->fn = function_of(s->f.cache, "test.object", NULL, NULL);
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

/* Computes the object for the argument. */
static void give(ckit_function *fn, int64_t argument, const ckit_object *object, uint64_t ttl_ms, ckit_value *out) {
    ckit_op   *op;
    ckit_value none = CKIT_VALUE_INIT;
    CHECK_STATUS(CKIT_COMPUTE, begin_op(fn, argument, &op, &none));
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = object, .ttl_ms = ttl_ms};
    CHECK_OK(ckit_finish(op, &result, out, NULL));
    ckit_op_free(op);
}

CKIT_TEST(object, is_kept_as_it_is_and_released_once_with_the_cache) {
    scene       s;
    thing       t = {0};
    ckit_object object = object_of(&t, 100);
    ckit_op    *op;
    ckit_value  value = CKIT_VALUE_INIT, hit = CKIT_VALUE_INIT;
    scene_open(&s);
    give(s.fn, 7, &object, 0, &value);
    CHECK_EQ_P(&t, value.object);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, value.source);
    CHECK_OK(begin_op(s.fn, 7, &op, &hit));
    CHECK_EQ_P(&t, hit.object);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, hit.source);
    ckit_value_fini(&value);
    ckit_value_fini(&hit);
    CHECK_EQ_U(0, t.released);
    scene_close(&s);
    CHECK_EQ_U(1, t.released);
}

CKIT_TEST(object, outlives_its_entry_and_the_cache_while_somebody_holds_it) {
    scene       s;
    thing       t = {0};
    ckit_object object = object_of(&t, 100);
    ckit_value  computed = CKIT_VALUE_INIT, hit = CKIT_VALUE_INIT;
    ckit_op    *op;
    scene_open(&s);
    give(s.fn, 7, &object, 0, &computed);
    CHECK_OK(begin_op(s.fn, 7, &op, &hit));
    CHECK_OK(ckit_function_invalidate(s.fn, NULL, NULL));
    CHECK_OK(invalidate(s.fn, 7) == CKIT_MISS ? CKIT_OK : CKIT_E_MISUSE);
    scene_close(&s);
    CHECK_EQ_U(0, t.released);
    ckit_value_fini(&computed);
    CHECK_EQ_U(0, t.released);
    ckit_value_fini(&hit);
    CHECK_EQ_U(1, t.released);
    ckit_value_fini(&hit);
    CHECK_EQ_U(1, t.released);
}

CKIT_TEST(object, is_released_when_its_entry_is_replaced_or_removed) {
    scene       s;
    thing       one = {0}, two = {0};
    ckit_object first = object_of(&one, 100), second = object_of(&two, 100);
    scene_open(&s);
    give(s.fn, 7, &first, 0, NULL);
    CHECK_OK(invalidate(s.fn, 7));
    give(s.fn, 7, &second, 0, NULL);
    CHECK_OK(invalidate(s.fn, 7));
    scene_close(&s);
    CHECK_EQ_U(1, one.released);
    CHECK_EQ_U(1, two.released);
}

CKIT_TEST(object, that_memory_does_not_take_is_the_caller_s_alone) {
    scene       s;
    thing       not_stored = {0}, too_large = {0}, overtaken = {0};
    ckit_object objects[3] = {object_of(&not_stored, 100), object_of(&too_large, 1 << 30), object_of(&overtaken, 100)};
    ckit_value  values[3] = {CKIT_VALUE_INIT, CKIT_VALUE_INIT, CKIT_VALUE_INIT}, none = CKIT_VALUE_INIT;
    ckit_op    *op;
    scene_open(&s);
    give(s.fn, 1, &objects[0], CKIT_TTL_DO_NOT_STORE, &values[0]);
    give(s.fn, 2, &objects[1], 0, &values[1]);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 3, &op, &none));
    CHECK_OK(ckit_function_invalidate(s.fn, NULL, NULL));
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = &objects[2]};
    CHECK_OK(ckit_finish(op, &result, &values[2], NULL));
    ckit_op_free(op);
    for (int i = 0; i < 3; i++) {
        thing *t = objects[i].object;
        CHECK_EQ_P(t, values[i].object);
        CHECK_EQ_U(0, t->released);
        ckit_value_fini(&values[i]);
        CHECK_EQ_U(1, t->released);
        CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, i + 1, &op, &none));
        ckit_op_free(op);
    }
    scene_close(&s);
}

CKIT_TEST(object, that_nobody_takes_is_released_with_its_operation) {
    scene       s;
    thing       t = {0};
    ckit_object object = object_of(&t, 100);
    scene_open(&s);
    give(s.fn, 1, &object, CKIT_TTL_DO_NOT_STORE, NULL);
    CHECK_EQ_U(1, t.released);
    scene_close(&s);
}

CKIT_TEST(object, is_refused_and_stays_the_caller_s_where_it_cannot_be_kept) {
    fixture     f;
    thing       t = {0};
    ckit_object object = object_of(&t, 100), endless = {.object = &t, .size = 100};
    ckit_op    *op;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    fixture_open(&f, FAKE_FULL);
    ckit_function *fn = function_of(f.cache, "test.object", NULL, NULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(fn, 1, &op, &value));
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = &object};
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_finish(op, &result, &value, &err), &err);
    CHECK_EQ_U(0, t.released);
    ckit_result other = {.struct_size = sizeof other,
                         .status = CKIT_OK,
                         .document = S("\x01")}; /* the operation still waits for a result */
    CHECK_OK(ckit_finish(op, &other, &value, NULL));
    ckit_op_free(op);
    ckit_value_fini(&value);
    ckit_function_close(fn);
    fixture_close(&f);

    scene s;
    scene_open(&s);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 1, &op, &value));
    result.object = &endless;
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_finish(op, &result, &value, &err), &err);
    result.object = &object;
    result.ttl_ms = CKIT_TTL_MAX_MS + 1;
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_finish(op, &result, &value, &err), &err);
    CHECK_EQ_U(0, t.released);
    ckit_op_free(op);
    scene_close(&s);
}

/* ---- followers --------------------------------------------------------------------------------------------------- */

typedef struct follower {
    ckit_function *fn;
    thing         *expected;
    ckit_value     value;
    pthread_t      thread;
} follower;

static void *follow(void *arg) {
    follower *f = arg;
    ckit_op  *op;
    CHECK_OK(begin_op(f->fn, 7, &op, &f->value));
    CHECK_EQ_P(f->expected, f->value.object);
    CHECK_EQ_U(CKIT_SOURCE_FLIGHT, f->value.source);
    return NULL;
}

static void check_followers(uint64_t ttl_ms, bool memory) {
    enum { COUNT = 8 };
    scene       s;
    thing       t = {0};
    ckit_object object = object_of(&t, 100);
    follower    followers[COUNT];
    ckit_op    *op;
    ckit_value  value = CKIT_VALUE_INIT;
    memset(followers, 0, sizeof followers);
    fixture_prepare(&s.f);
    s.f.options.l1 = memory ? CKIT_ON : CKIT_OFF;
    fixture_start_memory(&s.f);
    s.fn = function_of(s.f.cache, "test.object", NULL, NULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    for (int i = 0; i < COUNT; i++) {
        followers[i].fn = s.fn;
        followers[i].expected = &t;
        CHECK_EQ_I(0, pthread_create(&followers[i].thread, NULL, follow, &followers[i]));
    }
    wait_flight_waits(s.f.cache, COUNT);
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = &object, .ttl_ms = ttl_ms};
    CHECK_OK(ckit_finish(op, &result, &value, NULL));
    ckit_op_free(op);
    for (int i = 0; i < COUNT; i++) {
        pthread_join(followers[i].thread, NULL);
    }
    scene_close(&s);
    ckit_value_fini(&value);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ_U(0, t.released);
        ckit_value_fini(&followers[i].value);
    }
    CHECK_EQ_U(1, t.released);
}

CKIT_TEST(object, goes_to_everybody_who_waited) { check_followers(0, true); }
CKIT_TEST(object, goes_to_everybody_who_waited_also_when_it_is_not_stored) {
    check_followers(CKIT_TTL_DO_NOT_STORE, true);
}
CKIT_TEST(object, goes_to_everybody_who_waited_also_without_memory) { check_followers(0, false); }

/* ---- eviction ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(object, every_one_of_many_is_released_exactly_once) {
    enum { COUNT = 2000 };
    static thing things[COUNT];
    scene        s;
    scene_open(&s); /* 1 MiB: most of these are evicted */
    uint64_t before = all_released;
    for (int i = 0; i < COUNT; i++) {
        ckit_object object = object_of(&things[i], 10000);
        give(s.fn, i, &object, 0, NULL);
    }
    CHECK_BETWEEN_U(COUNT / 2, COUNT, all_released - before);
    scene_close(&s);
    CHECK_EQ_U(COUNT, all_released - before);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ_U(1, things[i].released);
    }
}

CKIT_TEST(object, a_peek_finds_what_memory_has_and_begins_nothing) {
    scene       s;
    thing       t = {0};
    ckit_object object = object_of(&t, 100);
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_args   args;
    scene_open(&s);
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    CHECK_STATUS(CKIT_MISS, ckit_peek(s.fn, &args, &value));
    CHECK_STATUS(CKIT_MISS, ckit_peek(s.fn, &args, &value)); /* the first one is nobody's leader */
    uint64_t    misses = stats_of(s.f.cache).l1_misses;
    ckit_start  start = {.struct_size = sizeof start, .function = s.fn, .args = &args, .peeked = true};
    ckit_op    *op;
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = &object};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
    CHECK_EQ_U(misses, stats_of(s.f.cache).l1_misses);
    CHECK_STATUS(CKIT_MISS, ckit_peek(s.fn, &args, &value)); /* does not wait for the leader */
    CHECK_OK(ckit_finish(op, &result, NULL, NULL));
    ckit_op_free(op);
    CHECK_OK(ckit_peek(s.fn, &args, &value));
    CHECK(value.object == &t);
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    ckit_args_init(&args);
    ckit_args_str(&args, S("\xff")); /* no part of a key */
    CHECK_STATUS(CKIT_MISS, ckit_peek(s.fn, &args, &value));
    ckit_args_fini(&args);
    scene_close(&s);
    CHECK_EQ_U(1, t.released);
}

/* ---- ckit_peek_object ---------------------------------------------------------------------------------------- */

static unsigned retained;

static void retain_thing(void *object) {
    (void)object;
    retained++;
}

static ckit_status peek_object(ckit_function *fn, ckit_args *args, void **object) {
    *object = NULL;
    return ckit_peek_object(fn, args, retain_thing, object, NULL);
}

/* One argument of `len` bytes. */
static void long_argument(ckit_args *args, size_t len) {
    static const uint8_t zeroes[6000];
    ckit_args_init(args);
    ckit_args_bytes(args, ckit_slice_of(zeroes, len));
}

CKIT_TEST(object, is_retained_by_a_peek_that_finds_it_whatever_the_arguments_length) {
    static const size_t lengths[] = {0, 1, 100, 3000, 6000};
    scene               s;
    thing               things[5] = {{0}};
    scene_open(&s);
    for (size_t i = 0; i < 5; i++) {
        ckit_object object = object_of(&things[i], 100);
        ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = &object};
        ckit_value  value = CKIT_VALUE_INIT;
        ckit_args   args;
        ckit_op    *op;
        void       *found;
        long_argument(&args, lengths[i]);
        retained = 0;
        CHECK_STATUS(CKIT_MISS, peek_object(s.fn, &args, &found));
        CHECK_EQ_U(0, retained);
        ckit_start start = {.struct_size = sizeof start, .function = s.fn, .args = &args, .peeked = true};
        CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
        CHECK_OK(ckit_finish(op, &result, NULL, NULL));
        ckit_op_free(op);
        CHECK_OK(peek_object(s.fn, &args, &found));
        CHECK_EQ_P(&things[i], found);
        CHECK_OK(peek_object(s.fn, &args, &found));
        CHECK_EQ_U(2, retained);
        CHECK_OK(ckit_invalidate(s.fn, &args, NULL));
        CHECK_STATUS(CKIT_MISS, peek_object(s.fn, &args, &found));
        CHECK_EQ_U(2, retained);
        ckit_args_fini(&args);
    }
    scene_close(&s);
}

CKIT_TEST(object, of_many_arguments_is_found_by_a_peek_too) {
    scene       s;
    thing       t = {0};
    ckit_object object = object_of(&t, 100);
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = &object};
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_args   args;
    ckit_op    *op;
    void       *found;
    scene_open(&s);
    ckit_args_init(&args);
    for (int i = 0; i < 70000; i++) { /* the widest header there is */
        ckit_args_int(&args, i % 3);
        if (i == 20) { /* the second */
            CHECK_STATUS(CKIT_MISS, peek_object(s.fn, &args, &found));
        }
    }
    ckit_start start = {.struct_size = sizeof start, .function = s.fn, .args = &args};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
    CHECK_OK(ckit_finish(op, &result, NULL, NULL));
    ckit_op_free(op);
    CHECK_OK(peek_object(s.fn, &args, &found));
    CHECK_EQ_P(&t, found);
    ckit_args_fini(&args);
    scene_close(&s);
}

CKIT_TEST(object, past_its_lifetime_is_stale_for_a_peek_and_then_gone) {
    scene                 s;
    thing                 t = {0};
    ckit_object           object = object_of(&t, 100);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *fn;
    ckit_args             args;
    void                 *found;
    scene_open(&s);
    options.ttl_ms = 1000;
    options.stale_ms = 500;
    CHECK_OK(ckit_function_new(s.f.cache, "test.stale_object", NULL, NULL, &options, &fn, NULL));
    give(fn, 7, &object, 0, NULL);
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    retained = 0;
    CHECK_OK(peek_object(fn, &args, &found));
    fake_clock_advance(&s.f.time, 1000);
    CHECK_STATUS(CKIT_STALE, peek_object(fn, &args, &found));
    CHECK_EQ_P(&t, found);
    CHECK_EQ_U(2, retained);
    fake_clock_advance(&s.f.time, 500);
    CHECK_STATUS(CKIT_MISS, peek_object(fn, &args, &found));
    CHECK_EQ_U(2, retained);
    ckit_args_fini(&args);
    ckit_function_close(fn);
    scene_close(&s);
}

CKIT_TEST(object, is_not_found_where_a_document_is_kept) {
    scene       s;
    ckit_args   args;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_op    *op;
    void       *found;
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x05")};
    scene_open(&s);
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    ckit_start start = {.struct_size = sizeof start, .function = s.fn, .args = &args};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
    CHECK_OK(ckit_finish(op, &result, NULL, NULL));
    ckit_op_free(op);
    retained = 0;
    CHECK_STATUS(CKIT_MISS, peek_object(s.fn, &args, &found));
    CHECK_EQ_U(0, retained);
    ckit_args_fini(&args);
    scene_close(&s);
}

/* A thing with a count of holders, as the objects of a language have. */
typedef struct counted_thing {
    _Atomic int holders;
} counted_thing;

static _Atomic int risen_from_the_dead;

static void hold_counted(void *object) {
    if (atomic_fetch_add(&((counted_thing *)object)->holders, 1) <= 0) {
        atomic_fetch_add(&risen_from_the_dead, 1);
    }
}

static void drop_counted(void *object, void *context) {
    (void)context;
    if (atomic_fetch_sub(&((counted_thing *)object)->holders, 1) == 1) {
        free(object);
    }
}

typedef struct crowd {
    ckit_function *fn;
    _Atomic bool   over;
    _Atomic int    found;
} crowd;

static void *look_again_and_again(void *context) {
    crowd    *c = context;
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    while (!atomic_load(&c->over)) {
        void *object;
        if (ckit_peek_object(c->fn, &args, hold_counted, &object, NULL) == CKIT_OK) {
            atomic_fetch_add(&c->found, 1);
            drop_counted(object, NULL);
        }
    }
    ckit_args_fini(&args);
    return NULL;
}

CKIT_TEST(object, is_never_retained_after_its_release) {
    scene     s;
    crowd     c = {0};
    pthread_t readers[3];
    scene_open(&s);
    c.fn = s.fn;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_I(0, pthread_create(&readers[i], NULL, look_again_and_again, &c));
    }
    for (int i = 0; i < 2000 || (atomic_load(&c.found) == 0 && i < 2000000); i++) {
        counted_thing *t = malloc(sizeof *t);
        CHECK(t != NULL);
        atomic_store(&t->holders, 1);
        ckit_object object = {.object = t, .size = 100, .release = drop_counted};
        give(s.fn, 7, &object, 0, NULL);
        CHECK_OK(invalidate(s.fn, 7));
    }
    atomic_store(&c.over, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(readers[i], NULL);
    }
    scene_close(&s);
    CHECK_EQ_I(0, atomic_load(&risen_from_the_dead));
}

/* ---- hints --------------------------------------------------------------------------------------------------- */

static ckit_object_hint hint_of(ckit_function *fn, int64_t argument) {
    ckit_object_hint hint = {0};
    ckit_args        args;
    void            *object;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    CHECK_OK(ckit_peek_object(fn, &args, retain_thing, &object, &hint));
    ckit_args_fini(&args);
    return hint;
}

CKIT_TEST(object, hint_holds_until_the_entry_is_gone_replaced_or_no_longer_fresh) {
    scene                 s;
    thing                 things[4] = {{0}};
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *fn;
    ckit_object_hint      hint = {0};
    scene_open(&s);
    options.ttl_ms = 1000;
    CHECK_OK(ckit_function_new(s.f.cache, "test.hint", NULL, NULL, &options, &fn, NULL));
    CHECK(!ckit_object_hint_holds(fn, &hint));

    ckit_object first = object_of(&things[0], 100);
    give(fn, 7, &first, 0, NULL);
    hint = hint_of(fn, 7);
    CHECK(ckit_object_hint_holds(fn, &hint));
    CHECK_OK(invalidate(fn, 7));
    CHECK(!ckit_object_hint_holds(fn, &hint));

    ckit_object second = object_of(&things[1], 100);
    give(fn, 7, &second, 0, NULL);
    CHECK(!ckit_object_hint_holds(fn, &hint));
    hint = hint_of(fn, 7);
    CHECK_OK(ckit_function_invalidate(fn, NULL, NULL));
    CHECK(!ckit_object_hint_holds(fn, &hint));

    ckit_object third = object_of(&things[2], 100);
    give(fn, 7, &third, 0, NULL);
    hint = hint_of(fn, 7);
    ckit_scope everything = {.kind = CKIT_SCOPE_ALL};
    CHECK_OK(ckit_cache_invalidate(s.f.cache, &everything, NULL, NULL));
    CHECK(!ckit_object_hint_holds(fn, &hint));

    ckit_object fourth = object_of(&things[3], 100);
    give(fn, 7, &fourth, 0, NULL);
    hint = hint_of(fn, 7);
    fake_clock_advance(&s.f.time, 999);
    CHECK(ckit_object_hint_holds(fn, &hint));
    fake_clock_advance(&s.f.time, 1);
    CHECK(!ckit_object_hint_holds(fn, &hint));
    ckit_function_close(fn);
    scene_close(&s);
}

CKIT_TEST(object, hint_does_not_hold_after_an_eviction) {
    scene            s;
    thing            things[400] = {{0}};
    ckit_object_hint hints[400];
    unsigned         held = 0, found = 0;
    scene_open(&s);
    for (int i = 0; i < 400; i++) {
        ckit_object object = object_of(&things[i], 10000);
        give(s.fn, i, &object, 0, NULL);
        hints[i] = hint_of(s.fn, i);
    }
    for (int i = 0; i < 400; i++) {
        ckit_args args;
        void     *object;
        ckit_args_init(&args);
        ckit_args_int(&args, i);
        bool is_there = peek_object(s.fn, &args, &object) == CKIT_OK;
        CHECK(is_there || !ckit_object_hint_holds(s.fn, &hints[i]));
        held += ckit_object_hint_holds(s.fn, &hints[i]);
        found += is_there;
        ckit_args_fini(&args);
    }
    CHECK(found > 0 && found < 400 && held <= found);
    scene_close(&s);
}

CKIT_TEST(object, of_an_invalidated_function_is_given_back_within_a_second_without_another_call) {
    scene       s;
    thing       t = {0};
    ckit_object object = object_of(&t, 100);
    scene_open(&s);
    give(s.fn, 7, &object, 0, NULL);
    CHECK_OK(ckit_function_invalidate(s.fn, NULL, NULL));
    CHECK_OK(ckit_function_invalidate(s.fn, NULL, NULL));
    CHECK_EQ_U(0, t.released);
    fake_clock_advance(&s.f.time, 1000);
    for (int i = 0; i < 3000 && atomic_load(&t.released) == 0; i++) { /* the worker looks at the clock now and then */
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    CHECK_EQ_U(1, t.released);
    scene_close(&s);
}

/* ---- waiting no longer ------------------------------------------------------------------------------------------ */

typedef struct impatient {
    ckit_function *fn;
    unsigned       asked;
    ckit_status    answer;
    ckit_op       *op;
} impatient;

static bool stop_at_the_second_time(void *context) { return ++((impatient *)context)->asked == 2; }

static void *wait_impatiently(void *context) {
    impatient       *i = context;
    ckit_value       value = CKIT_VALUE_INIT;
    const ckit_start start = {.function = i->fn, .context = i, .stop = stop_at_the_second_time};
    i->answer = begin_with(start, 7, &i->op, &value);
    return NULL;
}

CKIT_TEST(object, a_waiting_call_that_is_told_to_stop_leaves_and_the_leader_goes_on) {
    scene       s;
    thing       t = {0};
    ckit_object object = object_of(&t, 100);
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = &object};
    impatient   i = {0};
    ckit_op    *op;
    ckit_value  value = CKIT_VALUE_INIT;
    pthread_t   thread;
    scene_open(&s);
    i.fn = s.fn;
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    CHECK_EQ_I(0, pthread_create(&thread, NULL, wait_impatiently, &i));
    pthread_join(thread, NULL);
    CHECK_STATUS(CKIT_E_CANCELLED, i.answer);
    CHECK_EQ_U(2, i.asked);
    CHECK_EQ_P(NULL, i.op);
    CHECK_OK(ckit_finish(op, &result, NULL, NULL));
    ckit_op_free(op);
    CHECK_OK(begin_op(s.fn, 7, &op, &value));
    CHECK_EQ_P(&t, value.object);
    ckit_value_fini(&value);
    scene_close(&s);
}
