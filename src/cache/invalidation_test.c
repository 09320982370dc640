/* Invalidation, above all of what is under way: nothing of it comes back, in neither tier. Of scope.c. */
#include "cache/cache_fixture.h"

#include <cachekit/key.h>

/* What forgets the call of `fn` with the argument 7. */
typedef enum forgetting { ONE_CALL, BY_KEY, FUNCTION, NAMESPACE, EVERYTHING, HOW_COUNT } forgetting;

static void forget(ckit_cache *cache, ckit_function *fn, forgetting how) {
    ckit_scope scope = {.kind = how == EVERYTHING ? CKIT_SCOPE_ALL : CKIT_SCOPE_NAMESPACE, .namespace_name = S("ns")};
    ckit_buf   key = key_of(fn, 7);
    switch (how) {
    case ONE_CALL: (void)invalidate(fn, 7); break;
    case BY_KEY: (void)ckit_cache_delete(cache, ckit_buf_slice(&key), NULL, NULL); break;
    case FUNCTION: CHECK_OK(ckit_function_invalidate(fn, NULL, NULL)); break;
    default: CHECK_OK(ckit_cache_invalidate(cache, &scope, NULL, NULL)); break;
    }
    ckit_buf_fini(&key);
}

static ckit_function *in_namespace(ckit_cache *cache, const char *name, loader *l, const char *namespace_name) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = namespace_name;
    return function_of(cache, name, l, &options);
}

/* ---- at rest ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(invalidation, forgets_in_both_tiers_whatever_the_scope) {
    for (int how = 0; how < HOW_COUNT; how++) {
        fixture f;
        loader  l;
        fixture_open(&f, FAKE_FULL);
        loader_init(&l);
        ckit_function *fn = in_namespace(f.cache, "test.load", &l, "ns");
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
        l.result = 2;
        forget(f.cache, fn, (forgetting)how);
        CHECK_EQ_U(0, fake_count(f.store));
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fn, 7);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 2, fn, 7); /* and what comes afterwards is kept */
        CHECK_EQ_U(1, fake_count(f.store));
        ckit_function_close(fn);
        fixture_close(&f);
    }
}

CKIT_TEST(invalidation, spares_what_is_outside_the_scope) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function *fn = in_namespace(f.cache, "test.load", &l, "ns");
    ckit_function *sister = in_namespace(f.cache, "test.sister", &l, "ns");
    ckit_function *stranger = in_namespace(f.cache, "test.load", &l, "else");
    ckit_deleted   deleted;
    for (int i = 0; i < 10; i++) {
        (void)call(fn, i);
        (void)call(sister, i);
        (void)call(stranger, i);
    }
    CHECK_OK(invalidate(fn, 7));
    CHECK_STATUS(CKIT_MISS, invalidate(fn, 7));
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, call(fn, 6).source);
    CHECK_OK(ckit_function_invalidate(fn, &deleted, NULL));
    CHECK_EQ_U(9, deleted.deleted);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, call(sister, 6).source);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, call(stranger, 6).source);
    ckit_scope scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("ns")};
    CHECK_OK(ckit_cache_invalidate(f.cache, &scope, &deleted, NULL));
    CHECK_EQ_U(10, deleted.deleted);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call(sister, 6).source);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, call(stranger, 6).source);
    ckit_function_close(fn);
    ckit_function_close(sister);
    ckit_function_close(stranger);
    fixture_close(&f);
}

CKIT_TEST(invalidation, a_function_is_known_by_the_name_it_was_given) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function *fn = in_namespace(f.cache, "test.<locals>.load", &l, "ns");
    ckit_deleted   deleted;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    ckit_scope scope = {.kind = CKIT_SCOPE_FUNCTION, .namespace_name = S("ns"), .function = S("test.<locals>.load")};
    CHECK_OK(ckit_cache_invalidate(f.cache, &scope, &deleted, NULL));
    CHECK_EQ_U(1, deleted.deleted);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    ckit_function_close(fn);
    fixture_close(&f);
}

static ckit_status count_listed(void *context, const ckit_listed *listed) {
    CHECK_TEXT("test.load", listed->function);
    return ++*(int *)context == 2 ? CKIT_E_CANCELLED : CKIT_OK;
}

CKIT_TEST(invalidation, a_scope_without_a_function_or_of_no_kind_is_misuse) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_scope none = {.kind = CKIT_SCOPE_FUNCTION}, wrong = {.kind = (ckit_scope_kind)7};
    fixture_open(&f, FAKE_FULL);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_cache_invalidate(f.cache, &none, NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_cache_invalidate(f.cache, &wrong, NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_cache_list(f.cache, &wrong, count_listed, NULL, &err), &err);
    CHECK_STR("", fake_log(f.store));
    fixture_close(&f);
}

CKIT_TEST(invalidation, memory_is_cleared_also_when_the_store_cannot_or_fails) {
    fixture    f;
    loader     l;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    fixture_open(&f, FAKE_REQUIRED);
    loader_init(&l);
    ckit_function *fn = in_namespace(f.cache, "test.load", &l, "ns");
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_STATUS_ERR(CKIT_E_UNSUPPORTED, ckit_cache_invalidate(f.cache, &all, NULL, &err), &err);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
    CHECK_STATUS_ERR(CKIT_E_UNSUPPORTED, ckit_cache_list(f.cache, &all, count_listed, NULL, &err), &err);
    ckit_function_close(fn);
    ckit_cache_close(f.cache);

    fixture_start(&f, FAKE_FULL);
    fn = in_namespace(f.cache, "test.load", &l, "ns");
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
    fake_fail(f.store, FAKE_DELETE_SCOPE, CKIT_E_IO, 1);
    CHECK_STATUS_ERR(CKIT_E_IO, ckit_cache_invalidate(f.cache, &all, NULL, &err), &err);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7); /* what the store has not forgotten is not believed */
    CHECK_EQ_U(1, stats_of(f.cache).l2_errors);
    fake_fail(f.store, FAKE_REMOVE, CKIT_E_IO, 2); /* the entry, and what might be served after it */
    CHECK_STATUS(CKIT_E_IO, invalidate(fn, 7));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(invalidation, listing_shows_a_scope_and_can_be_ended) {
    fixture f;
    loader  l;
    int     seen = 0;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function *fn = in_namespace(f.cache, "test.load", &l, "ns");
    for (int i = 0; i < 5; i++) {
        (void)call(fn, i);
    }
    ckit_scope scope = {.kind = CKIT_SCOPE_FUNCTION, .namespace_name = S("ns"), .function = S("test.load")};
    CHECK_STATUS(CKIT_E_CANCELLED, ckit_cache_list(f.cache, &scope, count_listed, &seen, NULL));
    CHECK_EQ_I(2, seen);
    ckit_function_close(fn);
    fixture_close(&f);
}

typedef struct emptying {
    fixture *f;
    uint64_t passed_ms;
} emptying;

/* A sweep that still ran during the invalidation counts the second from its end: time passes meanwhile, but not so much
 * that a sweep comes in any case. */
static bool memory_is_empty_soon(void *context) {
    emptying *e = context;
    if (e->passed_ms < 5000) {
        e->passed_ms += 100;
        pass(e->f, 100);
    }
    return stats_of(e->f->cache).l1_entries == 0;
}

CKIT_TEST(invalidation, gives_memory_back_within_a_second_whatever_was_invalidated_before) {
    fixture f;
    loader  l;
    fixture_open_memory(&f);
    loader_init(&l);
    ckit_function *fn = in_namespace(f.cache, "test.load", &l, "ns");
    forget(f.cache, fn, EVERYTHING); /* which is nothing yet */
    for (int round = 0; round < 3; round++) {
        CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call(fn, 7).source);
        CHECK_EQ_U(1, stats_of(f.cache).l1_entries);
        forget(f.cache, fn, EVERYTHING);
        wait_for(memory_is_empty_soon, &(emptying){.f = &f});
    }
    ckit_function_close(fn);
    fixture_close(&f);
}

/* ---- by the text of a call's key --------------------------------------------------------------------------------- */

static void check_by_key(const char *function, const char *namespace_name, bool shortened) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function *fn = in_namespace(f.cache, function, &l, namespace_name);
    ckit_buf       key = key_of(fn, 7);
    CHECK(ckit_key_describe(ckit_buf_slice(&key)).shortened == shortened);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 8);

    ckit_value         value = CKIT_VALUE_INIT;
    ckit_entry_options document = CKIT_ENTRY_OPTIONS_INIT;
    document.encoding = CKIT_DOCUMENT;
    CHECK_OK(ckit_cache_get(f.cache, ckit_buf_slice(&key), &document, &value, NULL));
    CHECK_BYTES(S("\x01"), value.data);
    ckit_value_fini(&value);

    CHECK_OK(ckit_cache_set(f.cache, ckit_buf_slice(&key), S("\x2a"), &document, NULL));
    CHECK_CALL(CKIT_SOURCE_STORE, 42, fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 8); /* memory cannot tell the calls apart by text; the store can */

    document.ttl_ms = 1000;
    CHECK_OK(ckit_cache_touch(f.cache, ckit_buf_slice(&key), &document, NULL));
    CHECK_EQ_U(1000, call(fn, 7).life_ms);

    CHECK_OK(ckit_cache_delete(f.cache, ckit_buf_slice(&key), NULL, NULL));
    l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 8);
    ckit_buf_fini(&key);
    ckit_function_close(fn);
    fixture_close(&f);
}

#define HUNDRED "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

CKIT_TEST(by_key, defect_26_memory_forgets_a_call_that_is_set_or_deleted_by_its_key) {
    check_by_key("test.load", NULL, false);
}
CKIT_TEST(by_key, also_in_a_namespace) { check_by_key("test.load", "ns", false); }
CKIT_TEST(by_key, also_in_a_namespace_that_the_key_writes_otherwise) { check_by_key("test.load", "my own ns", false); }
CKIT_TEST(by_key, also_when_the_key_is_shortened) { check_by_key("test." HUNDRED HUNDRED, "ns", true); }
CKIT_TEST(by_key, also_when_the_shortened_key_has_lost_its_namespace) {
    check_by_key("test.load", HUNDRED HUNDRED, true);
}
CKIT_TEST(by_key, also_when_the_shortened_key_never_had_a_namespace) {
    check_by_key("test." HUNDRED HUNDRED, NULL, true);
}

CKIT_TEST(by_key, without_a_store_the_text_is_a_key_like_any_other) {
    stage      s;
    ckit_value value = CKIT_VALUE_INIT;
    stage_open_memory(&s, NULL);
    ckit_buf key = key_of(s.fn, 7);
    CHECK_OK(ckit_cache_set(s.f.cache, ckit_buf_slice(&key), S("text"), NULL, NULL));
    CHECK_OK(ckit_cache_get(s.f.cache, ckit_buf_slice(&key), NULL, &value, NULL));
    CHECK_TEXT("text", value.data);
    ckit_value_fini(&value);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_OK(ckit_cache_delete(s.f.cache, ckit_buf_slice(&key), NULL, NULL)); /* and what may be meant by it */
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    ckit_buf_fini(&key);
    stage_close(&s);
}

/* ---- while something is under way -------------------------------------------------------------------------------- */

/* Neither tier of any process has the value 1 of the call; the next one computes. */
static void check_gone(fixture *f, ckit_function *fn, loader *l) {
    loader      other_loader;
    ckit_cache *other = fixture_cache(f, FAKE_FULL);
    loader_init(&other_loader);
    other_loader.result = 3;
    ckit_function *same = in_namespace(other, "test.load", &other_loader, "ns");
    CHECK_EQ_U(0, fake_count(f->store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 3, same, 7);
    CHECK_OK(invalidate(same, 7));
    l->result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fn, 7);
    ckit_function_close(same);
    ckit_cache_close(other);
}

typedef struct scene {
    fixture        f;
    loader         l;
    ckit_function *fn;
    threaded_call  running;
} scene;

static void scene_open(scene *s, fake_kind kind) {
    memset(&s->running, 0, sizeof s->running);
    fixture_open(&s->f, kind);
    loader_init(&s->l);
    s->fn = in_namespace(s->f.cache, "test.load", &s->l, "ns");
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

CKIT_TEST(invalidation, what_is_being_computed_is_returned_but_not_kept) {
    for (int how = 0; how < HOW_COUNT; how++) {
        scene s;
        scene_open(&s, FAKE_LOCKING);
        call_stop_in_loader(&s.running, s.fn, 7, &s.l);
        forget(s.f.cache, s.fn, (forgetting)how);
        loader_open(&s.l);
        CHECK_EQ_U(1, call_join(&s.running).number);
        CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_SET));
        check_gone(&s.f, s.fn, &s.l);
        scene_close(&s);
    }
}

CKIT_TEST(invalidation, what_is_being_written_to_the_store_is_taken_back) {
    for (int how = 0; how < HOW_COUNT; how++) {
        for (int when = FAKE_BEFORE; when <= FAKE_AFTER; when++) {
            scene s;
            scene_open(&s, FAKE_LOCKING);
            fake_shut(s.f.store, FAKE_SET, when == FAKE_BEFORE ? FAKE_BEFORE : FAKE_AFTER);
            call_start(&s.running, s.fn, 7);
            fake_wait_stopped(s.f.store, FAKE_SET, 1);
            forget(s.f.cache, s.fn, (forgetting)how);
            fake_open_gate(s.f.store, FAKE_SET);
            CHECK_EQ_U(1, call_join(&s.running).number);
            check_gone(&s.f, s.fn, &s.l);
            scene_close(&s);
        }
    }
}

CKIT_TEST(invalidation, what_is_being_taken_back_is_not_believed) {
    for (int how = 0; how < HOW_COUNT; how++) {
        scene s;
        scene_open(&s, FAKE_FULL);
        call_stop_in_store(&s.running, s.fn, 7, s.f.store, FAKE_SET, FAKE_BEFORE);
        forget(s.f.cache, s.fn, (forgetting)how);
        fake_shut(s.f.store, FAKE_REMOVE, FAKE_BEFORE);
        fake_open_gate(s.f.store, FAKE_SET); /* the overtaken value lands ... */
        fake_wait_stopped(s.f.store, FAKE_REMOVE, 1);
        CHECK_EQ_U(1, fake_count(s.f.store)); /* ... and is still there */
        s.l.result = 2;
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
        fake_open_gate(s.f.store, FAKE_REMOVE);
        CHECK_EQ_U(1, call_join(&s.running).number);
        s.l.result = 3;
        uint64_t number = call(s.fn, 7).number;
        CHECK(number != 1);
        scene_close(&s);
    }
}

CKIT_TEST(invalidation, what_is_being_read_from_the_store_is_not_kept) {
    for (int how = 0; how < HOW_COUNT; how++) {
        scene s;
        scene_open(&s, FAKE_FULL);
        ckit_cache    *other = fixture_cache(&s.f, FAKE_FULL);
        ckit_function *same = in_namespace(other, "test.load", &s.l, "ns");
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, same, 7);
        call_stop_in_store(&s.running, s.fn, 7, s.f.store, FAKE_GET, FAKE_AFTER); /* it has the value in its hands */
        s.l.result = 2;
        forget(s.f.cache, s.fn, (forgetting)how);
        fake_open_gate(s.f.store, FAKE_GET);
        CHECK_EQ_U(2, call_join(&s.running).number); /* it looked again, in vain */
        CHECK_EQ_U(2, call(s.fn, 7).number);
        ckit_function_close(same);
        ckit_cache_close(other);
        scene_close(&s);
    }
}

CKIT_TEST(invalidation, who_comes_afterwards_does_not_follow_an_older_computation) {
    for (int how = 0; how < HOW_COUNT; how++) {
        scene         s;
        threaded_call before = {0}, after = {0};
        scene_open(&s, FAKE_FULL);
        call_stop_in_loader(&s.running, s.fn, 7, &s.l);
        call_start(&before, s.fn, 7);
        wait_flight_waits(s.f.cache, 1);
        s.l.result = 2;
        forget(s.f.cache, s.fn, (forgetting)how);
        call_start(&after, s.fn, 7);
        loader_wait_stopped(&s.l, 2);
        loader_open(&s.l);
        CHECK_EQ_U(1, call_join(&s.running).number);
        CHECK_EQ_U(1, call_join(&before).number);
        CHECK_EQ_U(2, call_join(&after).number);
        s.l.result = 3;
        CHECK_EQ_U(2, call(s.fn, 7).number);
        scene_close(&s);
    }
}

CKIT_TEST(invalidation, who_follows_an_overtaken_computation_that_fails_takes_over) {
    scene         s;
    threaded_call before = {0}, after = {0};
    scene_open(&s, FAKE_FULL);
    loader_shut(&s.l);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    call_start(&s.running, s.fn, 7);
    loader_wait_stopped(&s.l, 1);
    call_start(&before, s.fn, 7);
    wait_flight_waits(s.f.cache, 1);
    s.l.result = 2;
    forget(s.f.cache, s.fn, ONE_CALL);
    call_start(&after, s.fn, 7);
    loader_wait_stopped(&s.l, 2);
    loader_open(&s.l);
    CHECK_STATUS(CKIT_E_FUNCTION, call_join(&s.running).status);
    CHECK_EQ_U(2, call_join(&before).number);
    CHECK_EQ_U(2, call_join(&after).number);
    scene_close(&s);
}

CKIT_TEST(invalidation, what_is_being_refreshed_does_not_come_back) {
    for (int how = 0; how < HOW_COUNT; how++) {
        fixture f;
        loader  l;
        fixture_open(&f, FAKE_FULL);
        loader_init(&l);
        ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
        options.namespace_name = "ns";
        options.ttl_ms = 1000;
        options.stale_ms = 1000;
        ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
        fake_clock_advance(&f.time, 1500);
        loader_shut(&l);
        CHECK(call(fn, 7).stale);
        loader_wait_stopped(&l, 1);
        forget(f.cache, fn, (forgetting)how);
        loader_open(&l);
        wait_until(&l.ended, 2);
        ckit_function_close(fn); /* waits for the refresh to end */
        fn = function_of(f.cache, "test.load", &l, &options);
        check_gone(&f, fn, &l);
        ckit_function_close(fn);
        fixture_close(&f);
    }
}

CKIT_TEST(invalidation, a_refresh_that_has_not_begun_is_dropped) {
    fixture f;
    loader  l, busy;
    fixture_prepare(&f);
    f.options.workers = 1;
    fixture_start(&f, FAKE_FULL);
    loader_init(&l);
    loader_init(&busy);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 1000;
    options.stale_ms = 1000;
    ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
    ckit_function *other = function_of(f.cache, "test.busy", &busy, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, other, 7);
    fake_clock_advance(&f.time, 1500);
    loader_shut(&busy);
    CHECK(call(other, 7).stale);
    loader_wait_stopped(&busy, 1); /* the only worker */
    CHECK(call(fn, 7).stale);
    CHECK_OK(invalidate(fn, 7));
    loader_open(&busy);
    ckit_function_close(fn);
    CHECK_EQ_U(1, l.runs);
    ckit_function_close(other);
    fixture_close(&f);
}

CKIT_TEST(invalidation, what_an_explicit_refresh_computes_meanwhile_is_not_kept) {
    scene s;
    scene_open(&s, FAKE_FULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    s.running.refreshes = true;
    call_stop_in_loader(&s.running, s.fn, 7, &s.l);
    forget(s.f.cache, s.fn, FUNCTION);
    loader_open(&s.l);
    CHECK_OK(call_join(&s.running).status);
    check_gone(&s.f, s.fn, &s.l);
    scene_close(&s);
}

CKIT_TEST(invalidation, without_a_store_what_is_being_computed_is_not_kept_either) {
    for (int how = 0; how < HOW_COUNT; how++) {
        fixture       f;
        loader        l;
        threaded_call running = {0};
        fixture_open_memory(&f);
        loader_init(&l);
        ckit_function *fn = in_namespace(f.cache, "test.load", &l, "ns");
        call_stop_in_loader(&running, fn, 7, &l);
        forget(f.cache, fn, (forgetting)how);
        loader_open(&l);
        CHECK_EQ_U(1, call_join(&running).number);
        l.result = 2;
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fn, 7);
        ckit_function_close(fn);
        fixture_close(&f);
    }
}

/* A computation that begins after an invalidation is kept, however the two entwine. */
CKIT_TEST(invalidation, does_not_hurt_what_begins_afterwards) {
    scene s;
    scene_open(&s, FAKE_FULL);
    for (uint64_t i = 1; i < 20; i++) {
        s.l.result = i;
        forget(s.f.cache, s.fn, (forgetting)(i % HOW_COUNT));
        CHECK_CALL(CKIT_SOURCE_FUNCTION, i, s.fn, 7);
        CHECK_CALL(CKIT_SOURCE_MEMORY, i, s.fn, 7);
    }
    scene_close(&s);
}

/* ---- a set, an invalidation of everything and a read at once ----------------------------------------------------- */

typedef struct errand {
    ckit_cache *cache;
    pthread_t   thread;
} errand;

static void *set_new(void *arg) {
    CHECK_OK(ckit_cache_set(((errand *)arg)->cache, S("key"), S("new"), NULL, NULL));
    return NULL;
}

static void *invalidate_all(void *arg) {
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    CHECK_OK(ckit_cache_invalidate(((errand *)arg)->cache, &all, NULL, NULL));
    return NULL;
}

/* Memory refuses the value of a set that an invalidation overtook; what was read from the store since then is older,
 * and must not stay instead. */
CKIT_TEST(invalidation, between_a_set_and_its_end_leaves_nothing_older_in_memory) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    errand     set = {.cache = f.cache}, all = {.cache = f.cache};
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(ckit_cache_set(f.cache, S("key"), S("old"), NULL, NULL));
    fake_shut(f.store, FAKE_SET, FAKE_BEFORE);
    fake_shut(f.store, FAKE_DELETE_SCOPE, FAKE_BEFORE);
    CHECK_EQ_I(0, pthread_create(&set.thread, NULL, set_new, &set));
    fake_wait_stopped(f.store, FAKE_SET, 1);
    CHECK_EQ_I(0, pthread_create(&all.thread, NULL, invalidate_all, &all));
    fake_wait_stopped(f.store, FAKE_DELETE_SCOPE, 1);
    CHECK_OK(ckit_cache_get(f.cache, S("key"), NULL, &value, NULL)); /* from the store, into memory */
    CHECK_BYTES(S("old"), value.data);
    fake_open_gate(f.store, FAKE_SET);
    pthread_join(set.thread, NULL);
    CHECK_OK(ckit_cache_get(f.cache, S("key"), NULL, &value, NULL));
    CHECK_BYTES(S("new"), value.data);
    ckit_value_fini(&value);
    fake_open_gate(f.store, FAKE_DELETE_SCOPE);
    pthread_join(all.thread, NULL);
    fixture_close(&f);
}
