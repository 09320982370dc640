/* Functions whose results are stored as they are given, and values that their caller cannot read. */
#include "cache/poll_fixture.h"

typedef struct scene {
    fixture        f;
    ckit_function *fn;
} scene;

static ckit_function *raw_function(ckit_cache *cache, ckit_switch l1) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.raw = true;
    options.l1 = l1;
    return function_of(cache, "test.raw", NULL, &options);
}

static void scene_open(scene *s, ckit_switch l1) {
    fixture_open(&s->f, FAKE_LOCKING);
    s->fn = raw_function(s->f.cache, l1);
}

static void scene_open_memory(scene *s) {
    fixture_open_memory(&s->f);
    s->fn = raw_function(s->f.cache, CKIT_ON);
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

/* Somebody else stores bytes under the key of the argument 7. */
static void plant(fake_store *store, ckit_function *fn, ckit_slice bytes) {
    ckit_buf key = key_of(fn, 7);
    fake_put(store, ckit_buf_slice(&key), bytes, 5000);
    ckit_buf_fini(&key);
}

static ckit_status give(ckit_op *op, ckit_slice bytes, ckit_value *out) {
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = bytes};
    ckit_status st = ckit_finish(op, &result, out, NULL);
    ckit_op_free(op);
    return st;
}

/* A call that gives `bytes` when it is to compute. */
static void check_bytes(ckit_start start, ckit_source source, ckit_slice expected, ckit_slice bytes) {
    ckit_op    *op = NULL;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = begin_with(start, 7, &op, &value);
    if (st == CKIT_COMPUTE) {
        st = give(op, bytes, &value);
    }
    CHECK_OK(st);
    CHECK_EQ_U(source, value.source);
    CHECK_BYTES(expected, value.data);
    ckit_value_fini(&value);
}

static ckit_start first(ckit_function *fn) { return (ckit_start){.struct_size = sizeof(ckit_start), .function = fn}; }

static ckit_start again(ckit_function *fn, const char *rejected) {
    return (ckit_start){.struct_size = sizeof(ckit_start), .function = fn, .rejected = S(rejected)};
}

/* ---- as they are ------------------------------------------------------------------------------------------------- */

CKIT_TEST(raw, results_lie_in_the_store_and_in_memory_exactly_as_given) {
    static const char *const values[] = {"5", "\xc1", "CK\x03 no frame", "{\"json\": true}", "\x93\x01"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        scene s;
        scene_open(&s, CKIT_ON);
        check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S(values[i]), S(values[i]));
        CHECK_BYTES(S(values[i]), fake_only_value(s.f.store));
        check_bytes(first(s.fn), CKIT_SOURCE_MEMORY, S(values[i]), S("never"));
        scene_close(&s);
    }
}

CKIT_TEST(raw, results_of_one_zero_byte_and_of_many_come_back_from_either_tier) {
    static uint8_t many[100000];
    size_t         sizes[] = {1, 127, 128, 129, sizeof many};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        scene      s;
        ckit_slice bytes = ckit_slice_of(many, sizes[i]);
        scene_open(&s, CKIT_ON);
        check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, bytes, bytes);
        ckit_cache    *other = fixture_cache(&s.f, FAKE_FULL);
        ckit_function *there = raw_function(other, CKIT_ON);
        check_bytes(first(there), CKIT_SOURCE_STORE, bytes, S("never"));
        check_bytes(first(there), CKIT_SOURCE_MEMORY, bytes, S("never"));
        ckit_function_close(there);
        ckit_cache_close(other);
        scene_close(&s);
    }
}

CKIT_TEST(raw, entries_of_others_are_given_as_they_are_for_what_is_left_of_their_life) {
    scene s;
    scene_open(&s, CKIT_ON);
    plant(s.f.store, s.fn, S("from elsewhere"));
    check_bytes(first(s.fn), CKIT_SOURCE_STORE, S("from elsewhere"), S("never"));
    fake_clock_advance(&s.f.time, 4999);
    check_bytes(first(s.fn), CKIT_SOURCE_MEMORY, S("from elsewhere"), S("never"));
    fake_clock_advance(&s.f.time, 1);
    check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("new"), S("new"));
    scene_close(&s);
}

CKIT_TEST(raw, results_are_kept_in_memory_without_a_store_and_forgotten_when_invalidated) {
    scene s;
    scene_open_memory(&s);
    check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("a"), S("a"));
    check_bytes(first(s.fn), CKIT_SOURCE_MEMORY, S("a"), S("never"));
    CHECK_OK(invalidate(s.fn, 7));
    check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("b"), S("b"));
    scene_close(&s);
}

CKIT_TEST(raw, results_without_bytes_and_loaders_are_refused) {
    scene                 s;
    loader                l;
    ckit_op              *op;
    ckit_value            value = CKIT_VALUE_INIT;
    ckit_function        *function;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    scene_open(&s, CKIT_ON);
    loader_init(&l);
    options.raw = true;
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_function_new(s.f.cache, "f", loader_run, &l, &options, &function, &err), &err);
    CHECK(function == NULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_with(first(s.fn), 7, &op, &value));
    CHECK_STATUS(CKIT_E_MISUSE, give(op, S(""), &value));
    CHECK_EQ_U(0, fake_count(s.f.store));
    scene_close(&s);
}

CKIT_TEST(raw, results_above_the_limit_are_given_and_not_kept) {
    for (unsigned store = 0; store < 2; store++) {
        scene s;
        fixture_prepare(&s.f);
        s.f.options.max_value_bytes = 3;
        if (store) {
            fixture_start(&s.f, FAKE_FULL);
        } else {
            fixture_start_memory(&s.f);
        }
        s.fn = raw_function(s.f.cache, CKIT_ON);
        check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("four"), S("four"));
        check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("six"), S("six"));
        check_bytes(first(s.fn), CKIT_SOURCE_MEMORY, S("six"), S("never"));
        CHECK_EQ_U(1, stats_of(s.f.cache).too_large);
        scene_close(&s);
    }
}

CKIT_TEST(raw, functions_share_nothing_in_memory_with_one_of_the_same_name_that_gives_documents) {
    scene  s;
    loader l;
    scene_open_memory(&s);
    loader_init(&l);
    ckit_function *documents = function_of(s.f.cache, "test.raw", &l, NULL);
    check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("\xc1"), S("\xc1"));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, documents, 7);
    check_bytes(first(s.fn), CKIT_SOURCE_MEMORY, S("\xc1"), S("never"));
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, documents, 7);
    ckit_function_close(documents);
    scene_close(&s);
}

/* ---- what the caller cannot read --------------------------------------------------------------------------------- */

CKIT_TEST(raw, a_value_that_its_caller_rejects_is_removed_counted_and_computed_again) {
    for (unsigned memory = 0; memory < 2; memory++) {
        scene s;
        scene_open(&s, memory ? CKIT_ON : CKIT_OFF);
        plant(s.f.store, s.fn, S("damaged"));
        check_bytes(first(s.fn), CKIT_SOURCE_STORE, S("damaged"), S("never"));
        fake_forget_calls(s.f.store);
        check_bytes(again(s.fn, "damaged"), CKIT_SOURCE_FUNCTION, S("sound"), S("sound"));
        CHECK_EQ_U(1, stats_of(s.f.cache).l2_corrupt);
        CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_REMOVE));
        CHECK_CONTAINS("the caller rejected it", s.f.log.text);
        CHECK_BYTES(S("sound"), fake_only_value(s.f.store));
        check_bytes(first(s.fn), memory ? CKIT_SOURCE_MEMORY : CKIT_SOURCE_STORE, S("sound"), S("never"));
        scene_close(&s);
    }
}

CKIT_TEST(raw, a_rejected_value_may_stay_in_the_store_until_it_is_replaced) {
    scene      s;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s, CKIT_ON);
    plant(s.f.store, s.fn, S("foreign"));
    ckit_start start = again(s.fn, "foreign");
    start.keep_rejected = true;
    CHECK_STATUS(CKIT_COMPUTE, begin_with(start, 7, &op, &value));
    CHECK_BYTES(S("foreign"), fake_only_value(s.f.store));
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_corrupt);
    CHECK_OK(give(op, S("sound"), &value));
    CHECK_BYTES(S("sound"), fake_only_value(s.f.store));
    ckit_value_fini(&value);
    scene_close(&s);
}

CKIT_TEST(raw, who_rejects_a_value_that_was_replaced_meanwhile_gets_the_new_one) {
    scene s;
    scene_open(&s, CKIT_ON);
    check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("sound"), S("sound"));
    check_bytes(again(s.fn, "damaged"), CKIT_SOURCE_MEMORY, S("sound"), S("never"));
    ckit_cache    *other = fixture_cache(&s.f, FAKE_FULL);
    ckit_function *there = raw_function(other, CKIT_ON);
    check_bytes(again(there, "damaged"), CKIT_SOURCE_STORE, S("sound"), S("never"));
    plant(s.f.store, there, S("newer")); /* memory still has what is rejected now */
    check_bytes(again(there, "sound"), CKIT_SOURCE_STORE, S("newer"), S("never"));
    check_bytes(first(there), CKIT_SOURCE_MEMORY, S("newer"), S("never"));
    CHECK_EQ_U(0, stats_of(other).l2_corrupt);
    ckit_function_close(there);
    ckit_cache_close(other);
    scene_close(&s);
}

CKIT_TEST(raw, a_rejected_value_of_a_cache_without_a_store_is_computed_again) {
    scene s;
    scene_open_memory(&s);
    check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("damaged"), S("damaged"));
    check_bytes(again(s.fn, "damaged"), CKIT_SOURCE_FUNCTION, S("sound"), S("sound"));
    check_bytes(again(s.fn, "damaged"), CKIT_SOURCE_MEMORY, S("sound"), S("never"));
    CHECK_EQ_U(0, stats_of(s.f.cache).l2_corrupt);
    scene_close(&s);
}

CKIT_TEST(raw, an_entry_without_bytes_is_unreadable_for_everybody) {
    scene s;
    scene_open(&s, CKIT_ON);
    plant(s.f.store, s.fn, S(""));
    check_bytes(first(s.fn), CKIT_SOURCE_FUNCTION, S("sound"), S("sound"));
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_corrupt);
    scene_close(&s);
}

CKIT_TEST(raw, or_not_a_document_may_be_rejected_too) {
    fixture    f;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    fixture_open(&f, FAKE_LOCKING);
    ckit_function *fn = function_of(f.cache, "test.load", NULL, NULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_with(first(fn), 7, &op, &value));
    CHECK_OK(give(op, S("\x05"), NULL));
    CHECK_STATUS(CKIT_COMPUTE, begin_with(again(fn, "\x05"), 7, &op, &value));
    CHECK_EQ_U(1, stats_of(f.cache).l2_corrupt);
    CHECK_OK(give(op, S("\x06"), &value));
    CHECK_BYTES(S("\x06"), value.data);
    ckit_value_fini(&value);
    ckit_function_close(fn);
    fixture_close(&f);
}

/* ---- several at once --------------------------------------------------------------------------------------------- */

enum { READERS = 16 };

typedef struct crowd {
    ckit_function   *function;
    _Atomic uint64_t computed;
    _Atomic uint64_t arrived; /* how many have seen the damaged value */
} crowd;

static void *read_and_reject(void *arg) {
    crowd     *c = arg;
    ckit_op   *op = NULL;
    ckit_value damaged = CKIT_VALUE_INIT, value = CKIT_VALUE_INIT;
    CHECK_OK(begin_with(first(c->function), 7, &op, &damaged));
    CHECK_BYTES(S("damaged"), damaged.data);
    atomic_fetch_add(&c->arrived, 1);
    wait_until(&c->arrived, READERS);
    ckit_start  start = {.function = c->function, .rejected = damaged.data};
    ckit_status st = begin_with(start, 7, &op, &value);
    if (st == CKIT_COMPUTE) {
        breathe();
        atomic_fetch_add(&c->computed, 1);
        st = give(op, S("sound"), &value);
    }
    CHECK_OK(st);
    CHECK_BYTES(S("sound"), value.data);
    ckit_value_fini(&value);
    ckit_value_fini(&damaged);
    return NULL;
}

static void reject_together(ckit_switch l1) {
    scene     s;
    pthread_t threads[READERS];
    scene_open(&s, l1);
    plant(s.f.store, s.fn, S("damaged"));
    crowd c = {.function = s.fn};
    for (size_t i = 0; i < READERS; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, read_and_reject, &c));
    }
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQ_U(1, c.computed);
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_corrupt);
    scene_close(&s);
}

CKIT_TEST(raw, of_many_who_reject_a_value_at_once_one_computes) { reject_together(CKIT_ON); }

CKIT_TEST(raw, of_many_who_reject_a_value_at_once_one_computes_without_memory_too) { reject_together(CKIT_OFF); }

static void *read_first(void *arg) {
    check_bytes(first(arg), CKIT_SOURCE_STORE, S("damaged"), S("never"));
    return NULL;
}

static void *read_again(void *arg) {
    check_bytes(again(arg, "damaged"), CKIT_SOURCE_FUNCTION, S("sound"), S("sound"));
    return NULL;
}

CKIT_TEST(raw, who_has_rejected_a_value_is_not_given_it_by_another_call_that_finds_it) {
    scene     s;
    pthread_t one, other;
    scene_open(&s, CKIT_OFF);
    plant(s.f.store, s.fn, S("damaged"));
    fake_shut(s.f.store, FAKE_GET, FAKE_AFTER);
    CHECK_EQ_I(0, pthread_create(&one, NULL, read_first, s.fn));
    fake_wait_stopped(s.f.store, FAKE_GET, 1);
    CHECK_EQ_I(0, pthread_create(&other, NULL, read_again, s.fn));
    wait_flight_waits(s.f.cache, 1);
    fake_open_gate(s.f.store, FAKE_GET);
    pthread_join(one, NULL);
    pthread_join(other, NULL);
    CHECK_EQ_U(1, stats_of(s.f.cache).flight_waits);
    scene_close(&s);
}

/* ---- in an event loop -------------------------------------------------------------------------------------------- */

static void turn_until(loop *lp, const pending *p, unsigned readies) {
    while (p->readies < readies) {
        (void)loop_turn(lp);
    }
}

static void reject_in_a_loop(fake_kind kind) {
    loop       lp;
    pending    p = {.holds = true};
    ckit_value value = CKIT_VALUE_INIT;
    memset(&lp, 0, sizeof lp);
    loop_open(&lp, kind);
    ckit_function *fn = raw_function(lp.f.cache, CKIT_ON);
    plant(lp.f.store, fn, S("damaged"));
    ckit_start start = again(fn, "damaged");
    start.poll = lp.poll;
    start.ready = on_ready;
    start.context = &p;
    start.peeked = true;
    CHECK_STATUS(CKIT_PENDING, begin_with(start, 7, &p.op, &value));
    turn_until(&lp, &p, 1);
    CHECK_STATUS(CKIT_COMPUTE, p.answer);
    CHECK_EQ_U(0, fake_count(lp.f.store));
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("sound")};
    CHECK_STATUS(CKIT_PENDING, ckit_finish(p.op, &result, NULL, NULL));
    turn_until(&lp, &p, 2);
    CHECK_BYTES(S("sound"), p.value.data);
    check_bytes(first(fn), CKIT_SOURCE_MEMORY, S("sound"), S("never"));
    ckit_value_fini(&p.value);
    ckit_function_close(fn);
    loop_close(&lp);
}

CKIT_TEST(raw, a_value_is_rejected_in_an_event_loop_by_a_worker) { reject_in_a_loop(FAKE_LOCKING); }

CKIT_TEST(raw, a_value_is_rejected_in_an_event_loop_after_a_submitted_read) { reject_in_a_loop(FAKE_SUBMITTING); }
