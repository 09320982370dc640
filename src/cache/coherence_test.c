/* Copies in one process's memory die when another changes the store: where the message finds what is under way. */
#include "cache/fleet_fixture.h"

#include <cachekit/key.h>
#include <stdio.h>

/* The message about what the other has just done comes now. */
#define TELL_A CHECK_EQ_U(1, fake_deliver(fl.a.watch))

/* ---- at rest ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(coherence, a_copy_lives_until_the_message_comes_and_no_longer) {
    fleet fl;
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.b, "k", "old");
    (void)fake_deliver(fl.a.watch);
    CHECK_ENTRY(CKIT_SOURCE_STORE, "old", &fl.a, "k");
    set_text(&fl.b, "k", "new");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "old", &fl.a, "k");
    TELL_A;
    CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "new", &fl.a, "k");
    CHECK_OK(ckit_cache_delete(fl.b.cache, S("k"), NULL, NULL));
    TELL_A;
    CHECK_ENTRY(CKIT_SOURCE_NONE, NULL, &fl.a, "k");
    CHECK_EQ_U(3, stats_of(fl.a.cache).changes_told);
    CHECK_EQ_U(2, stats_of(fl.a.cache).copies_dropped);
    fleet_close(&fl);
}

CKIT_TEST(coherence, a_new_lifetime_given_elsewhere_is_read_again) {
    fleet              fl;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.ttl_ms = 500;
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.a, "k", "value");
    CHECK_OK(ckit_cache_touch(fl.b.cache, S("k"), &options, NULL));
    TELL_A;
    CHECK_ENTRY(CKIT_SOURCE_STORE, "value", &fl.a, "k");
    fake_clock_advance(&fl.f.time, 500);
    CHECK_ENTRY(CKIT_SOURCE_NONE, NULL, &fl.a, "k");
    fleet_close(&fl);
}

CKIT_TEST(coherence, a_call_is_found_by_its_key_and_only_that_call) {
    fleet fl;
    fleet_open(&fl, FAKE_LOCKING);
    for (int i = 0; i < 100; i++) {
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fl.a.fn, i);
    }
    CHECK_OK(invalidate(fl.b.fn, 7));
    TELL_A;
    fl.a.l.result = 2;
    for (int i = 0; i < 100; i++) {
        CHECK_CALL(i == 7 ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_MEMORY, i == 7 ? 2 : 1, fl.a.fn, i);
    }
    fl.b.l.result = 3;
    CHECK_EQ_U(3, refresh(fl.b.fn, 8).number);
    TELL_A;
    CHECK_CALL(CKIT_SOURCE_STORE, 3, fl.a.fn, 8);
    CHECK_EQ_U(2, stats_of(fl.a.cache).copies_dropped);
    fleet_close(&fl);
}

/* The names make keys of every kind. */
static ckit_function *function_named(member *m, const char *name, const char *namespace_name, ckit_switch integrity) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = namespace_name;
    options.integrity = integrity;
    return function_of(m->cache, name, &m->l, &options);
}

static const char long_namespace[] =
    "a namespace so long that with it every key of more than two hundred and fifty "
    "characters is shortened to its beginning and a hash of all of it, as the automatic "
    "keys of this function are, since nothing else would be left of the limit for it";

CKIT_TEST(coherence, keys_of_every_kind_are_found) {
    static const struct {
        const char *name, *namespace_name;
        ckit_switch integrity;
    } kinds[] = {{"test.load", NULL, CKIT_ON},
                 {"test.load", "my ns", CKIT_OFF},
                 {"test.<locals>.f", "ns", CKIT_ON},
                 {"test.load", long_namespace, CKIT_ON}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        fleet fl;
        fleet_open(&fl, FAKE_FULL);
        ckit_function *one = function_named(&fl.a, kinds[i].name, kinds[i].namespace_name, kinds[i].integrity);
        ckit_function *other = function_named(&fl.b, kinds[i].name, kinds[i].namespace_name, kinds[i].integrity);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, one, 7);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 1, one, 7);
        CHECK_OK(invalidate(other, 7));
        TELL_A;
        fl.a.l.result = 2;
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, one, 7);
        ckit_function_close(one);
        ckit_function_close(other);
        fleet_close(&fl);
    }
}

CKIT_TEST(coherence, one_message_finds_the_key_in_every_namespace_s_memory) {
    fleet              fl;
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    static const char *names[] = {NULL, "one", "two"};
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.b, "k", "old");
    (void)fake_deliver(fl.a.watch);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 3; i++) {
            options.namespace_name = names[i];
            CHECK_OK(ckit_cache_get(fl.a.cache, S("k"), &options, &value, NULL));
            CHECK_TEXT(round == 0 ? "old" : "new", value.data);
            CHECK_EQ_U(CKIT_SOURCE_STORE, value.source);
        }
        set_text(&fl.b, "k", "new");
        TELL_A;
    }
    ckit_value_fini(&value);
    CHECK_EQ_U(6, stats_of(fl.a.cache).copies_dropped);
    fleet_close(&fl);
}

CKIT_TEST(coherence, keys_read_many_at_once_are_copies_too) {
    fleet       fl;
    ckit_slice  keys[] = {S_LITERAL("k"), S_LITERAL("absent"), S_LITERAL("m")};
    ckit_value  out[3] = {CKIT_VALUE_INIT, CKIT_VALUE_INIT, CKIT_VALUE_INIT};
    ckit_status answers[3];
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.b, "k", "one");
    set_text(&fl.b, "m", "two");
    CHECK_EQ_U(2, fake_deliver(fl.a.watch));
    CHECK_OK(ckit_cache_get_many(fl.a.cache, keys, 3, NULL, out, answers, NULL));
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "two", &fl.a, "m");
    set_text(&fl.b, "m", "three");
    TELL_A;
    CHECK_ENTRY(CKIT_SOURCE_STORE, "three", &fl.a, "m");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "one", &fl.a, "k");
    for (size_t i = 0; i < 3; i++) {
        ckit_value_fini(&out[i]);
    }
    fleet_close(&fl);
}

/* ---- beside a read ----------------------------------------------------------------------------------------------- */

CKIT_TEST(coherence, a_message_that_overtakes_the_reply_of_a_read_wins) {
    fleet        fl;
    threaded_get g;
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.b, "k", "old");
    (void)fake_deliver(fl.a.watch);
    fake_shut(fl.f.store, FAKE_GET, FAKE_AFTER);
    get_start(&g, &fl.a, "k");
    fake_wait_stopped(fl.f.store, FAKE_GET, 1); /* it has read the old value */
    set_text(&fl.b, "k", "new");
    TELL_A;
    fake_open_gate(fl.f.store, FAKE_GET);
    CHECK_STR("old", get_join(&g)); /* it began before */
    CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "new", &fl.a, "k");
    fleet_close(&fl);
}

CKIT_TEST(coherence, a_message_before_the_store_has_read_costs_a_copy_at_most) {
    fleet        fl;
    threaded_get g;
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.b, "k", "old");
    (void)fake_deliver(fl.a.watch);
    fake_shut(fl.f.store, FAKE_GET, FAKE_BEFORE);
    get_start(&g, &fl.a, "k");
    fake_wait_stopped(fl.f.store, FAKE_GET, 1);
    set_text(&fl.b, "k", "new");
    TELL_A;
    fake_open_gate(fl.f.store, FAKE_GET);
    CHECK_STR("new", get_join(&g));
    CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "new", &fl.a, "k");
    fleet_close(&fl);
}

CKIT_TEST(coherence, messages_about_other_keys_are_none_about_this_one) {
    fleet        fl;
    threaded_get g;
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.b, "k", "old");
    set_text(&fl.b, "m", "other");
    (void)fake_deliver(fl.a.watch);
    fake_shut(fl.f.store, FAKE_GET, FAKE_AFTER);
    get_start(&g, &fl.a, "k");
    fake_wait_stopped(fl.f.store, FAKE_GET, 1);
    for (int i = 0; i < 20000; i++) { /* messages about others, however many, are none about this key */
        char name[16];
        int  len = snprintf(name, sizeof name, "noise %d", i);
        fake_tell(fl.a.watch, ckit_slice_of(name, (size_t)len));
    }
    fake_open_gate(fl.f.store, FAKE_GET);
    CHECK_STR("old", get_join(&g));
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "old", &fl.a, "k");
    fleet_close(&fl);
}

CKIT_TEST(coherence, a_call_whose_read_was_overtaken_looks_again) {
    static const fake_kind kinds[] = {FAKE_FULL, FAKE_LOCKING};
    for (size_t i = 0; i < 2; i++) {
        fleet         fl;
        threaded_call c = {0};
        fleet_open(&fl, kinds[i]);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fl.b.fn, 7);
        (void)fake_deliver(fl.a.watch);
        call_stop_in_store(&c, fl.a.fn, 7, fl.f.store, FAKE_GET, FAKE_AFTER);
        fl.b.l.result = 2;
        CHECK_EQ_U(2, refresh(fl.b.fn, 7).number);
        TELL_A;
        fake_open_gate(fl.f.store, FAKE_GET);
        answer a = call_join(&c);
        CHECK_EQ_U(CKIT_SOURCE_STORE, a.source);
        CHECK_EQ_U(2, a.number);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 2, fl.a.fn, 7);
        fleet_close(&fl);
    }
}

CKIT_TEST(coherence, a_call_that_begins_after_the_message_does_not_join_one_from_before) {
    fleet         fl;
    threaded_call first = {0}, second = {0};
    fleet_open(&fl, FAKE_FULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fl.b.fn, 7);
    (void)fake_deliver(fl.a.watch);
    call_stop_in_store(&first, fl.a.fn, 7, fl.f.store, FAKE_GET, FAKE_AFTER);
    fl.b.l.result = 2;
    CHECK_EQ_U(2, refresh(fl.b.fn, 7).number);
    TELL_A;
    call_start(&second, fl.a.fn, 7);
    fake_wait_stopped(fl.f.store, FAKE_GET, 2); /* it asks the store itself */
    fake_open_gate(fl.f.store, FAKE_GET);
    CHECK_EQ_U(2, call_join(&second).number);
    CHECK_EQ_U(2, call_join(&first).number);
    CHECK_EQ_U(0, stats_of(fl.a.cache).flight_waits);
    fleet_close(&fl);
}

/* ---- beside a write ---------------------------------------------------------------------------------------------- */

CKIT_TEST(coherence, a_change_before_beside_and_after_a_set_leaves_no_older_copy) {
    static const fake_when when[] = {FAKE_BEFORE, FAKE_AFTER};
    for (size_t i = 0; i < 2; i++) {
        fleet        fl;
        threaded_set s;
        fleet_open(&fl, FAKE_FULL);
        fake_shut(fl.f.store, FAKE_SET, when[i]);
        set_start(&s, &fl.a, "k", "ours");
        fake_wait_stopped(fl.f.store, FAKE_SET, 1);
        (void)ckit_cache_delete(fl.b.cache, S("k"), NULL, NULL);
        fake_tell(fl.a.watch, S("k"));
        (void)fake_deliver(fl.a.watch);
        fake_open_gate(fl.f.store, FAKE_SET);
        set_join(&s);
        CHECK_ENTRY(CKIT_SOURCE_STORE, when[i] == FAKE_BEFORE ? "ours" : NULL, &fl.a, "k");
        set_text(&fl.a, "k", "again");
        CHECK_ENTRY(CKIT_SOURCE_MEMORY, "again", &fl.a, "k");
        set_text(&fl.b, "k", "theirs");
        TELL_A;
        CHECK_ENTRY(CKIT_SOURCE_STORE, "theirs", &fl.a, "k");
        fleet_close(&fl);
    }
}

CKIT_TEST(coherence, an_own_write_that_comes_back_costs_the_copy_and_nothing_in_the_store) {
    fleet         fl;
    threaded_call c = {0};
    fleet_open(&fl, FAKE_FULL);
    fake_hub_echo(fl.hub, true);
    set_text(&fl.a, "k", "value");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "value", &fl.a, "k");
    TELL_A; /* after the copy was made */
    CHECK_ENTRY(CKIT_SOURCE_STORE, "value", &fl.a, "k");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "value", &fl.a, "k");
    call_stop_in_store(&c, fl.a.fn, 7, fl.f.store, FAKE_SET, FAKE_AFTER);
    ckit_buf key = key_of(fl.a.fn, 7);
    fake_tell(fl.a.watch, ckit_buf_slice(&key)); /* before the reply */
    fake_open_gate(fl.f.store, FAKE_SET);
    CHECK_EQ_U(1, call_join(&c).number);
    CHECK(fake_has(fl.f.store, ckit_buf_slice(&key)));
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fl.a.fn, 7);
    ckit_buf_fini(&key);
    fleet_close(&fl);
}

CKIT_TEST(coherence, a_store_that_does_not_guard_what_is_written_gets_no_copy_of_it) {
    fleet fl;
    fleet_prepare(&fl);
    fleet_start(&fl, FAKE_FULL, CKIT_GUARDS_READS);
    set_text(&fl.a, "k", "value");
    CHECK_ENTRY(CKIT_SOURCE_STORE, "value", &fl.a, "k");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "value", &fl.a, "k");
    set_text(&fl.a, "k", "next"); /* and none of what it replaces */
    CHECK_ENTRY(CKIT_SOURCE_STORE, "next", &fl.a, "k");
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fl.a.fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fl.a.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fl.a.fn, 7);
    fleet_close(&fl);
}

/* ---- beside a computation ---------------------------------------------------------------------------------------- */

CKIT_TEST(coherence, what_was_changed_while_it_was_computed_is_not_stored) {
    fleet         fl;
    threaded_call c = {0};
    fleet_open(&fl, FAKE_FULL);
    call_stop_in_loader(&c, fl.a.fn, 7, &fl.a.l);
    fl.b.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fl.b.fn, 7);
    TELL_A;
    loader_open(&fl.a.l);
    CHECK_EQ_U(1, call_join(&c).number); /* it began before */
    CHECK_EQ_U(1, fake_calls(fl.f.store, FAKE_SET));
    CHECK_CALL(CKIT_SOURCE_STORE, 2, fl.a.fn, 7);
    fleet_close(&fl);
}

CKIT_TEST(coherence, what_was_changed_while_it_was_written_stays_in_the_store_alone) {
    fleet         fl;
    threaded_call c = {0};
    fleet_open(&fl, FAKE_FULL);
    call_stop_in_store(&c, fl.a.fn, 7, fl.f.store, FAKE_SET, FAKE_AFTER);
    CHECK_OK(invalidate(fl.b.fn, 7));
    TELL_A;
    fake_open_gate(fl.f.store, FAKE_SET);
    CHECK_EQ_U(1, call_join(&c).number);
    CHECK_EQ_U(0, fake_count(fl.f.store)); /* the other came later */
    fl.a.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fl.a.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, fl.a.fn, 7);
    fleet_close(&fl);
}

/* ---- the link ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(coherence, a_lost_watch_takes_every_copy_and_leaves_the_store) {
    fleet fl;
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.a, "k", "old");
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fl.a.fn, 7);
    fake_break_link(fl.a.watch);
    set_text(&fl.b, "k", "new");
    CHECK_EQ_U(0, fake_waiting(fl.a.watch));
    fake_lose(fl.a.watch);
    CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fl.a.fn, 7);
    CHECK_EQ_U(1, stats_of(fl.a.cache).watches_lost);
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "new", &fl.a, "k"); /* for a second */
    fake_lose(fl.a.watch);
    CHECK_EQ_U(1, stats_of(fl.a.cache).watches_lost);
    CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
    fleet_close(&fl);
}

CKIT_TEST(coherence, what_nobody_guards_is_kept_for_a_second) {
    fleet                 fl;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.stale_ms = 60000;
    fleet_prepare(&fl);
    fleet_start(&fl, FAKE_FULL, 0);
    ckit_function *stale = function_of(fl.a.cache, "test.stale", &fl.a.l, &options);
    set_text(&fl.a, "k", "old");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "old", &fl.a, "k");
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, stale, 7);
    set_text(&fl.b, "k", "new");
    fake_clock_advance(&fl.f.time, 999);
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "old", &fl.a, "k");
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, stale, 7);
    fake_clock_advance(&fl.f.time, 1);
    CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
    CHECK_CALL(CKIT_SOURCE_STORE, 1, stale, 7);
    fake_clock_advance(&fl.f.time, 999);
    CHECK_OK(ckit_cache_touch(fl.a.cache, S("k"), NULL, NULL)); /* a second again, and no hour */
    fake_clock_advance(&fl.f.time, 1000);
    CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
    ckit_function_close(stale);
    fleet_close(&fl);
}

CKIT_TEST(coherence, copies_from_before_the_watch_go_when_it_begins) {
    fleet fl;
    fleet_prepare(&fl);
    fleet_start(&fl, FAKE_FULL, 0);
    set_text(&fl.a, "k", "old");
    set_text(&fl.b, "k", "new");
    fake_guard(fl.a.watch, GUARDS_ALL);
    CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
    fake_clock_advance(&fl.f.time, 60000);
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "new", &fl.a, "k");
    fleet_close(&fl);
}

CKIT_TEST(coherence, a_read_from_before_a_gap_of_the_watch_makes_no_copy) {
    for (int gaps = 0; gaps < 2; gaps++) { /* lost and guarded again; guarded for the first time */
        fleet        fl;
        threaded_get g;
        fleet_prepare(&fl);
        fleet_start(&fl, FAKE_FULL, gaps == 0 ? GUARDS_ALL : 0);
        set_text(&fl.b, "k", "old");
        (void)fake_deliver(fl.a.watch);
        fake_shut(fl.f.store, FAKE_GET, FAKE_AFTER);
        get_start(&g, &fl.a, "k");
        fake_wait_stopped(fl.f.store, FAKE_GET, 1);
        fake_break_link(fl.a.watch);
        set_text(&fl.b, "k", "new"); /* nobody hears of it */
        fake_repair_link(fl.a.watch);
        fake_lose(fl.a.watch);
        fake_guard(fl.a.watch, GUARDS_ALL);
        fake_open_gate(fl.f.store, FAKE_GET);
        CHECK_STR("old", get_join(&g));
        CHECK_ENTRY(CKIT_SOURCE_STORE, "new", &fl.a, "k");
        fleet_close(&fl);
    }
}

CKIT_TEST(coherence, a_set_beside_a_gap_of_the_watch_makes_no_copy) {
    fleet        fl;
    threaded_set s;
    fleet_open(&fl, FAKE_FULL);
    fake_shut(fl.f.store, FAKE_SET, FAKE_AFTER);
    set_start(&s, &fl.a, "k", "ours");
    fake_wait_stopped(fl.f.store, FAKE_SET, 1);
    fake_break_link(fl.a.watch);
    CHECK_OK(ckit_cache_delete(fl.b.cache, S("k"), NULL, NULL));
    fake_repair_link(fl.a.watch);
    fake_lose(fl.a.watch);
    fake_guard(fl.a.watch, GUARDS_ALL);
    fake_open_gate(fl.f.store, FAKE_SET);
    set_join(&s);
    CHECK_ENTRY(CKIT_SOURCE_NONE, NULL, &fl.a, "k");
    fleet_close(&fl);
}

CKIT_TEST(coherence, a_computation_beside_a_gap_of_the_watch_is_stored_and_not_copied) {
    fleet         fl;
    threaded_call c = {0};
    fleet_open(&fl, FAKE_FULL);
    call_stop_in_loader(&c, fl.a.fn, 7, &fl.a.l);
    fake_lose(fl.a.watch);
    fake_guard(fl.a.watch, GUARDS_ALL);
    loader_open(&fl.a.l);
    CHECK_EQ_U(1, call_join(&c).number);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fl.a.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fl.a.fn, 7);
    fleet_close(&fl);
}

CKIT_TEST(coherence, without_its_store_memory_works_as_long_as_ever) {
    fleet fl;
    fleet_prepare(&fl);
    fleet_start(&fl, FAKE_FULL, 0);
    fake_fail(fl.f.store, FAKE_SET, CKIT_E_IO, UINT64_MAX);
    fake_fail(fl.f.store, FAKE_GET, CKIT_E_IO, UINT64_MAX);
    CHECK_STATUS(CKIT_E_IO, ckit_cache_set(fl.a.cache, S("k"), S("value"), NULL, NULL));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fl.a.fn, 7);
    fake_clock_advance(&fl.f.time, 3000000);
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "value", &fl.a, "k");
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fl.a.fn, 7);
    fake_fail(fl.f.store, FAKE_SET, CKIT_OK, 0);
    fake_fail(fl.f.store, FAKE_GET, CKIT_OK, 0);
    fake_guard(fl.a.watch, GUARDS_ALL); /* the store is back: what it holds counts */
    CHECK_ENTRY(CKIT_SOURCE_NONE, NULL, &fl.a, "k");
    fleet_close(&fl);
}

/* ---- wider messages ---------------------------------------------------------------------------------------------- */

CKIT_TEST(coherence, a_scope_that_another_invalidates_is_forgotten_here) {
    static const ckit_scope_kind kinds[] = {CKIT_SCOPE_ALL, CKIT_SCOPE_NAMESPACE, CKIT_SCOPE_FUNCTION};
    for (size_t i = 0; i < 3; i++) {
        fleet      fl;
        ckit_scope scope = {.kind = kinds[i], .namespace_name = S("ns"), .function = S("test.load")};
        fleet_open(&fl, FAKE_FULL);
        set_text(&fl.a, "k", "value");
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fl.a.fn, 7);
        CHECK_OK(ckit_cache_invalidate(fl.b.cache, &scope, NULL, NULL));
        TELL_A;
        fl.a.l.result = 2;
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fl.a.fn, 7);
        CHECK_ENTRY(CKIT_SOURCE_MEMORY, kinds[i] == CKIT_SCOPE_ALL ? NULL : "value", &fl.a, "k");
        fleet_close(&fl);
    }
}

CKIT_TEST(coherence, a_scope_told_while_a_call_reads_or_computes_wins) {
    fleet         fl;
    threaded_call c = {0};
    ckit_scope    scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("ns")};
    fleet_open(&fl, FAKE_FULL);
    call_stop_in_loader(&c, fl.a.fn, 7, &fl.a.l);
    fake_tell_scope(fl.a.watch, &scope);
    loader_open(&fl.a.l);
    CHECK_EQ_U(1, call_join(&c).number);
    CHECK_EQ_U(0, fake_count(fl.f.store));
    fl.a.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fl.a.fn, 7);
    fleet_close(&fl);
}

CKIT_TEST(coherence, a_namespace_is_known_by_its_name_and_as_keys_hold_it) {
    static const char *names[] = {"my ns", "my_ns"};
    for (size_t i = 0; i < 2; i++) {
        fleet      fl;
        ckit_scope scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S(names[i])};
        fleet_open(&fl, FAKE_FULL);
        ckit_function *fn = function_named(&fl.a, "test.load", "my ns", CKIT_ON);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fn, 7);
        fake_tell_scope(fl.a.watch, &scope);
        CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
        ckit_function_close(fn);
        fleet_close(&fl);
    }
}

CKIT_TEST(coherence, a_call_told_by_its_hash_is_found_in_every_function) {
    fleet fl;
    fleet_open(&fl, FAKE_FULL);
    ckit_function *sister = function_named(&fl.a, "test.sister", "ns", CKIT_OFF);
    ckit_function *stranger = function_named(&fl.a, "test.load", long_namespace, CKIT_ON);
    ckit_function *all[] = {fl.a.fn, sister, stranger};
    ckit_buf       key = key_of(fl.a.fn, 7);
    ckit_slice     hash = ckit_key_describe(ckit_buf_slice(&key)).hash;
    for (size_t i = 0; i < 3; i++) {
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, all[i], 7);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, all[i], 8);
    }
    fake_tell_call(fl.a.watch, S("ns"), hash);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fl.a.fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, sister, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, stranger, 7);
    fake_tell_call(fl.a.watch, S(""), hash);
    for (size_t i = 0; i < 3; i++) {
        CHECK_CALL(CKIT_SOURCE_STORE, 1, all[i], 7);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 1, all[i], 8);
    }
    fake_tell_call(fl.a.watch, S("ns"), S("no hash"));
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fl.a.fn,
               8); /* what cannot be understood is taken for the widest that it can mean */
    ckit_buf_fini(&key);
    ckit_function_close(sister);
    ckit_function_close(stranger);
    fleet_close(&fl);
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

CKIT_TEST(coherence, no_copy_is_overlooked_when_there_is_no_room_to_remember_all) {
    fleet fl;
    char  key[32];
    fleet_prepare(&fl);
    fl.f.options.l1_max_bytes = 128 << 10;
    fleet_start(&fl, FAKE_FULL, GUARDS_ALL);
    uint64_t kept = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        set_text(&fl.a, key, "old");
    }
    CHECK(stats_of(fl.a.cache).l1_used_bytes <= stats_of(fl.a.cache).l1_max_bytes);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        set_text(&fl.b, key, "new");
    }
    kept = stats_of(fl.a.cache).l1_entries;
    CHECK_EQ_U(3000, fake_deliver(fl.a.watch));
    CHECK(kept > 300);
    CHECK_EQ_U(kept, stats_of(fl.a.cache).copies_dropped);
    CHECK_EQ_U(0, stats_of(fl.a.cache).l1_entries);
    fleet_close(&fl);
}

/* ---- the switch -------------------------------------------------------------------------------------------------- */

CKIT_TEST(coherence, can_be_switched_off_and_is_without_memory) {
    for (int how = 0; how < 2; how++) {
        fleet fl;
        fleet_prepare(&fl);
        *(how == 0 ? &fl.f.options.coherence : &fl.f.options.l1) = CKIT_OFF;
        fleet_start(&fl, FAKE_FULL, 0);
        CHECK(!fake_is_watched(fl.a.watch));
        set_text(&fl.a, "k", "old");
        set_text(&fl.b, "k", "new");
        fake_clock_advance(&fl.f.time, 60000);
        CHECK_ENTRY(how == 0 ? CKIT_SOURCE_MEMORY : CKIT_SOURCE_STORE, how == 0 ? "old" : "new", &fl.a, "k");
        fleet_close(&fl);
    }
}

CKIT_TEST(coherence, a_store_that_cannot_watch_after_all_is_told_to_the_log) {
    fleet fl;
    fleet_prepare(&fl);
    fake_hub_refuse(fl.hub, CKIT_E_UNSUPPORTED);
    fleet_start(&fl, FAKE_FULL, 0);
    CHECK_CONTAINS("do not hear of changes elsewhere", fl.f.log.text);
    set_text(&fl.a, "k", "old");
    fake_clock_advance(&fl.f.time, 60000);
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "old", &fl.a, "k");
    fleet_close(&fl);
}

CKIT_TEST(coherence, the_switch_knows_three_positions) {
    ckit_cache        *cache = NULL;
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.coherence = (ckit_switch)3;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_cache_new(&options, NULL, &cache, &err), &err);
    CHECK_CONTAINS("coherence", err.text);
}
