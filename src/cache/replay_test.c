/* Changes that the store did not take: nothing older comes back, here or elsewhere. Of replay_job.c and
 * replay_store.c. */
#include "cache/cache_fixture.h"

#include "cache/core.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void put(ckit_cache *cache, const char *key, const char *text, ckit_status status) {
    CHECK_STATUS(status, ckit_cache_set(cache, S(key), S(text), NULL, NULL));
}

static bool reads(ckit_cache *cache, const char *key, const char *text) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = ckit_cache_get(cache, S(key), NULL, &value, NULL);
    bool        same = text == NULL ? st == CKIT_MISS : st == CKIT_OK && ckit_slice_equal(value.data, S(text));
    ckit_value_fini(&value);
    return same;
}

static uint64_t pending_of(ckit_cache *cache) { return stats_of(cache).replay_pending; }

static bool is_quiet(void *context) { return pending_of(context) == 0; }

/* Time passes until nothing is pending any more. */
static bool passes_until_quiet(void *context) {
    fixture *f = context;
    pass(f, 10);
    return is_quiet(f->cache);
}

static void settle(fixture *f) { wait_for(passes_until_quiet, f); }

/* Two caches over one store; the other plays another process. */
typedef struct pair {
    fixture     f;
    ckit_cache *other;
} pair;

static void pair_open(pair *p) {
    fixture_prepare(&p->f);
    p->f.options.l1 = CKIT_OFF;
    fixture_start(&p->f, FAKE_FULL);
    p->other = fixture_cache(&p->f, FAKE_FULL);
}

static void pair_close(pair *p) {
    ckit_cache_close(p->other);
    fixture_close(&p->f);
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(replay, a_removal_that_failed_is_carried_out_when_the_store_is_back) {
    pair p;
    pair_open(&p);
    put(p.f.cache, "k", "old", CKIT_OK);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_UNREACHABLE, UINT64_MAX);
    CHECK_STATUS(CKIT_E_UNREACHABLE, ckit_cache_delete(p.f.cache, S("k"), NULL, NULL));
    CHECK_EQ_U(1, pending_of(p.f.cache));
    CHECK(reads(p.f.cache, "k", NULL));
    CHECK(reads(p.other, "k", "old")); /* nobody can tell others yet */
    for (int i = 0; i < 20; i++) {
        pass(&p.f, 500);
        breathe();
    }
    CHECK_EQ_U(1, pending_of(p.f.cache));
    CHECK(reads(p.f.cache, "k", NULL));
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_OK, 0);
    settle(&p.f);
    CHECK(reads(p.other, "k", NULL));
    CHECK_EQ_U(1, stats_of(p.f.cache).replayed);
    put(p.other, "k", "new", CKIT_OK);
    CHECK(reads(p.f.cache, "k", "new"));
    pair_close(&p);
}

CKIT_TEST(replay, a_value_that_was_not_stored_leaves_nothing_older_behind) {
    pair p;
    pair_open(&p);
    put(p.f.cache, "k", "old", CKIT_OK);
    fake_fail(p.f.store, FAKE_SET, CKIT_E_TIMEOUT, 1);
    put(p.f.cache, "k", "new", CKIT_E_TIMEOUT);
    CHECK(reads(p.f.cache, "k", NULL));
    settle(&p.f);
    CHECK(reads(p.other, "k", NULL));
    CHECK(reads(p.f.cache, "k", NULL));
    CHECK_EQ_U(0, fake_count(p.f.store));
    pair_close(&p);
}

CKIT_TEST(replay, memory_goes_on_serving_the_value_that_the_store_did_not_take) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    put(f.cache, "k", "old", CKIT_OK);
    fake_fail(f.store, FAKE_SET, CKIT_E_UNREACHABLE, 1);
    put(f.cache, "k", "new", CKIT_E_UNREACHABLE);
    CHECK(reads(f.cache, "k", "new"));
    settle(&f);
    CHECK_EQ_U(0, fake_count(f.store));
    CHECK(reads(f.cache, "k", "new"));
    fixture_close(&f);
}

CKIT_TEST(replay, never_writes_a_value_somebody_may_have_a_newer_one) {
    pair p;
    pair_open(&p);
    fake_fail(p.f.store, FAKE_SET, CKIT_E_UNREACHABLE, 1);
    put(p.f.cache, "k", "mine", CKIT_E_UNREACHABLE);
    put(p.other, "k", "newer", CKIT_OK);
    uint64_t sets = fake_calls(p.f.store, FAKE_SET);
    settle(&p.f);
    CHECK_EQ_U(sets, fake_calls(p.f.store, FAKE_SET));
    CHECK(reads(p.other, "k", NULL)); /* a miss too much */
    pair_close(&p);
}

static void fail_once_and_settle(fixture *f) {
    fake_fail(f->store, FAKE_SET, CKIT_E_BUSY, 1);
    put(f->cache, "k", "value", CKIT_E_BUSY);
    pass(f, CKITI_REPLAY_FIRST_PAUSE_MS + 1); /* no more, so that what the log is told does not depend on who is slow */
    wait_for(is_quiet, f->cache);
}

static size_t words(fixture *f) {
    size_t count = 0;
    pthread_mutex_lock(&f->log.mu);
    for (const char *at = f->log.text; (at = strstr(at, "made up for")) != NULL; at++) {
        count++;
    }
    pthread_mutex_unlock(&f->log.mu);
    return count;
}

static bool has_words(void *context) { return words(context) == 2; }

CKIT_TEST(replay, the_log_hears_once_a_second_at_most_of_what_was_made_up_for) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    for (unsigned i = 0; i < 4; i++) {
        fail_once_and_settle(&f);
    }
    CHECK_EQ_U(4, stats_of(f.cache).replayed);
    pass(&f, CKITI_REPLAY_WORD_MS);
    fail_once_and_settle(&f);
    wait_for(has_words, &f);
    CHECK_CONTAINS("made up for, 4 times by now", f.log.text);
    fixture_close(&f);
}

CKIT_TEST(replay, only_the_newest_change_of_a_key_is_remembered) {
    pair p;
    pair_open(&p);
    fake_fail(p.f.store, FAKE_SET, CKIT_E_UNREACHABLE, UINT64_MAX);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_UNREACHABLE, UINT64_MAX);
    for (int i = 0; i < 10; i++) {
        put(p.f.cache, "a", "x", CKIT_E_UNREACHABLE);
        (void)ckit_cache_delete(p.f.cache, S("b"), NULL, NULL);
    }
    CHECK_EQ_U(2, pending_of(p.f.cache));
    pair_close(&p);
}

/* What was turned away cannot come late: a later change that succeeds is the end of it. */
CKIT_TEST(replay, a_later_change_makes_up_for_one_that_was_never_sent) {
    static const ckit_status unsent[] = {CKIT_E_BUSY, CKIT_E_POOL_EXHAUSTED, CKIT_E_CIRCUIT_OPEN, CKIT_E_UNREACHABLE};
    for (size_t i = 0; i < sizeof unsent / sizeof unsent[0]; i++) {
        pair p;
        pair_open(&p);
        fake_fail(p.f.store, FAKE_SET, unsent[i], 1);
        put(p.f.cache, "k", "one", unsent[i]);
        CHECK_EQ_U(1, pending_of(p.f.cache));
        put(p.f.cache, "k", "two", CKIT_OK);
        CHECK_EQ_U(0, pending_of(p.f.cache));
        CHECK(reads(p.f.cache, "k", "two"));
        CHECK(reads(p.other, "k", "two"));
        CHECK_EQ_U(0, fake_calls(p.f.store, FAKE_REMOVE));
        pair_close(&p);
    }
}

/* The other kind may take effect after it. */
CKIT_TEST(replay, a_write_that_takes_effect_late_does_not_stay) {
    pair p;
    pair_open(&p);
    fake_fail(p.f.store, FAKE_SET, CKIT_E_TIMEOUT, 1);
    put(p.f.cache, "k", "one", CKIT_E_TIMEOUT);
    put(p.f.cache, "k", "two", CKIT_OK);
    CHECK_EQ_U(1, pending_of(p.f.cache));
    CHECK(reads(p.f.cache, "k", NULL));
    while (fake_calls(p.f.store, FAKE_REMOVE) == 0) {
        pass(&p.f, 10);
        breathe();
    }
    fake_put(p.f.store, S("k"), S("one"), 1000000); /* now it comes */
    CHECK(reads(p.f.cache, "k", NULL));
    settle(&p.f);
    CHECK_EQ_U(2, fake_calls(p.f.store, FAKE_REMOVE));
    CHECK_EQ_U(0, fake_count(p.f.store));
    pair_close(&p);
}

CKIT_TEST(replay, what_a_store_refuses_for_good_is_not_believed_and_holds_nobody_up) {
    pair p;
    pair_open(&p);
    put(p.f.cache, "bad", "old", CKIT_OK);
    put(p.f.cache, "good", "old", CKIT_OK);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_REJECTED, 2);
    CHECK_STATUS(CKIT_E_REJECTED, ckit_cache_delete(p.f.cache, S("bad"), NULL, NULL));
    fake_wait_calls(p.f.store, FAKE_REMOVE, 1);
    fake_fail(p.f.store, FAKE_SET, CKIT_E_BUSY, 1);
    put(p.f.cache, "good", "new", CKIT_E_BUSY);
    while (pending_of(p.f.cache) > 1) {
        pass(&p.f, 1);
        breathe();
    }
    CHECK(reads(p.f.cache, "bad", NULL));
    settle(&p.f);
    CHECK_EQ_U(0, fake_count(p.f.store));
    pair_close(&p);
}

CKIT_TEST(replay, nothing_is_asked_of_the_store_for_an_entry_that_it_has_not_forgotten) {
    static const char *const names[] = {"k", "other"};
    const ckit_slice         keys[] = {S(names[0]), S(names[1])};
    ckit_value               values[2] = {CKIT_VALUE_INIT, CKIT_VALUE_INIT};
    ckit_status              answers[2];
    uint64_t                 life_ms;
    pair                     p;
    pair_open(&p);
    put(p.f.cache, "k", "old", CKIT_OK);
    put(p.f.cache, "other", "good", CKIT_OK);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_IO, UINT64_MAX);
    CHECK_STATUS(CKIT_E_IO, ckit_cache_delete(p.f.cache, S("k"), NULL, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_exists(p.f.cache, S("k"), NULL, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_ttl(p.f.cache, S("k"), NULL, &life_ms, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_touch(p.f.cache, S("k"), NULL, NULL));
    CHECK_OK(ckit_cache_get_many(p.f.cache, keys, 2, NULL, values, answers, NULL));
    CHECK_STATUS(CKIT_MISS, answers[0]);
    CHECK_STATUS(CKIT_OK, answers[1]);
    CHECK_EQ_U(0, fake_calls(p.f.store, FAKE_EXISTS) + fake_calls(p.f.store, FAKE_TTL) +
                      fake_calls(p.f.store, FAKE_TOUCH) + fake_calls(p.f.store, FAKE_GET_MANY));
    ckit_value_fini(&values[0]);
    ckit_value_fini(&values[1]);
    pair_close(&p);
}

/* ---- scopes ------------------------------------------------------------------------------------------------------ */

static ckit_function *in_namespace(ckit_cache *cache, const char *name, loader *l, const char *namespace_name) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = namespace_name;
    return function_of(cache, name, l, &options);
}

CKIT_TEST(replay, a_scope_that_was_not_invalidated_is_not_read_and_invalidated_later) {
    fixture    f;
    loader     l;
    ckit_scope scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("a space")};
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_cache    *other = fixture_cache(&f, FAKE_FULL);
    ckit_function *fn = in_namespace(f.cache, "test.load", &l, "a space");
    ckit_function *stranger = in_namespace(f.cache, "test.load", &l, "else");
    ckit_function *elsewhere = in_namespace(other, "test.load", &l, "a space");
    (void)call(fn, 7);
    (void)call(stranger, 7);
    ckit_scope everything_else = {
        .kind = CKIT_SCOPE_FUNCTION, .namespace_name = S("else"), .function = S("test.other")};
    fake_fail(f.store, FAKE_DELETE_SCOPE, CKIT_E_UNREACHABLE, UINT64_MAX);
    CHECK_STATUS(CKIT_E_UNREACHABLE, ckit_cache_invalidate(f.cache, &scope, NULL, NULL));
    CHECK_STATUS(CKIT_E_UNREACHABLE, ckit_cache_invalidate(f.cache, &everything_else, NULL, NULL));
    CHECK_EQ_U(2, pending_of(f.cache));
    l.result = 2;
    uint64_t gets = fake_calls(f.store, FAKE_GET);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, fn, 7);
    CHECK_EQ_U(gets, fake_calls(f.store, FAKE_GET));
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, stranger, 7);
    fake_fail(f.store, FAKE_DELETE_SCOPE, CKIT_OK, 0);
    settle(&f);
    CHECK_EQ_U(1, fake_count(f.store)); /* the stranger's */
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, elsewhere, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, fn, 7);
    ckit_function_close(elsewhere);
    ckit_function_close(stranger);
    ckit_function_close(fn);
    ckit_cache_close(other);
    fixture_close(&f);
}

CKIT_TEST(replay, a_scope_that_the_store_refuses_for_good_is_its_callers) {
    pair       p;
    ckit_scope scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("ns")};
    pair_open(&p);
    fake_fail(p.f.store, FAKE_DELETE_SCOPE, CKIT_E_PERMISSION, 1);
    CHECK_STATUS(CKIT_E_PERMISSION, ckit_cache_invalidate(p.f.cache, &scope, NULL, NULL));
    CHECK_EQ_U(0, pending_of(p.f.cache));
    pair_close(&p);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

static void fail_many(ckit_cache *cache, unsigned count, ckit_status status) {
    char key[32];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "many-%u", i);
        put(cache, key, "x", status);
    }
}

CKIT_TEST(replay, where_too_much_failed_everything_goes) {
    pair p;
    pair_open(&p);
    put(p.f.cache, "old", "old", CKIT_OK);
    fake_fail(p.f.store, FAKE_SET, CKIT_E_BUSY, UINT64_MAX);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_BUSY, UINT64_MAX);
    fake_fail(p.f.store, FAKE_DELETE_SCOPE, CKIT_E_BUSY, UINT64_MAX);
    fail_many(p.f.cache, CKITI_CHANGES_MOST, CKIT_E_BUSY);
    CHECK_EQ_U(CKITI_CHANGES_MOST, pending_of(p.f.cache));
    CHECK(reads(p.f.cache, "old", "old"));
    put(p.f.cache, "one more", "x", CKIT_E_BUSY);
    put(p.f.cache, "and more", "x", CKIT_E_BUSY);
    CHECK_EQ_U(1, pending_of(p.f.cache));
    CHECK_EQ_U(CKITI_CHANGES_MOST, stats_of(p.f.cache).replay_dropped);
    CHECK(reads(p.f.cache, "old", NULL));
    fake_fail(p.f.store, FAKE_SET, CKIT_OK, 0);
    fake_fail(p.f.store, FAKE_DELETE_SCOPE, CKIT_OK, 0);
    settle(&p.f);
    CHECK_EQ_U(0, fake_count(p.f.store));
    put(p.f.cache, "old", "new", CKIT_OK);
    CHECK(reads(p.f.cache, "old", "new"));
    pair_close(&p);
}

CKIT_TEST(replay, long_keys_count_by_their_bytes) {
    pair p;
    char key[1024];
    memset(key, 'k', sizeof key);
    pair_open(&p);
    fake_fail(p.f.store, FAKE_SET, CKIT_E_BUSY, UINT64_MAX);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_BUSY, UINT64_MAX);
    for (unsigned i = 0; i <= CKITI_CHANGES_BYTES / sizeof key; i++) {
        memcpy(key, &i, sizeof i);
        (void)ckit_cache_set(p.f.cache, ckit_slice_of(key, sizeof key), S("x"), NULL, NULL);
    }
    CHECK_EQ_U(1, pending_of(p.f.cache));
    CHECK_EQ_U(CKITI_CHANGES_BYTES / sizeof key, stats_of(p.f.cache).replay_dropped);
    pair_close(&p);
}

CKIT_TEST(replay, a_store_that_cannot_forget_everything_is_not_believed_again) {
    fixture f;
    fixture_prepare(&f);
    f.options.l1 = CKIT_OFF;
    fixture_start(&f, FAKE_REQUIRED);
    put(f.cache, "old", "old", CKIT_OK);
    fake_fail(f.store, FAKE_SET, CKIT_E_BUSY, UINT64_MAX);
    fake_fail(f.store, FAKE_REMOVE, CKIT_E_BUSY, UINT64_MAX);
    fail_many(f.cache, CKITI_CHANGES_MOST + 1, CKIT_E_BUSY);
    fake_fail(f.store, FAKE_SET, CKIT_OK, 0);
    fake_fail(f.store, FAKE_REMOVE, CKIT_OK, 0);
    for (int i = 0; i < 30; i++) {
        pass(&f, 1000);
        breathe();
    }
    CHECK(reads(f.cache, "old", NULL));
    CHECK_EQ_U(1, pending_of(f.cache));
    put(f.cache, "new", "new", CKIT_OK); /* others read it */
    CHECK_EQ_U(2, fake_count(f.store));
    fixture_close(&f);
}

/* ---- functions, the guard, event loops --------------------------------------------------------------------------- */

CKIT_TEST(replay, a_result_computed_while_the_circuit_was_open_replaces_what_the_store_had) {
    static const ckit_guard_options guard = {
        .struct_size = sizeof guard, .retry = CKIT_OFF, .recovery_timeout_ms = 600000};
    fixture f;
    loader  l;
    fixture_prepare(&f);
    f.options.guard = &guard;
    fixture_start(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    ckit_cache    *other = fixture_cache(&f, FAKE_FULL);
    ckit_function *elsewhere = function_of(other, "test.load", &l, NULL);
    CHECK_OK(ckit_function_invalidate(fn, NULL, NULL));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    for (fake_op op = 0; op < FAKE_OP_COUNT; op++) {
        fake_fail(f.store, op, CKIT_E_UNREACHABLE, UINT64_MAX);
    }
    for (int i = 0; i < 10; i++) {
        (void)call(fn, 100 + i);
    }
    l.result = 2;
    CHECK_EQ_U(2, refresh(fn, 7).number);
    uint64_t refused = 0;
    for (fake_op op = 0; op < FAKE_OP_COUNT; op++) {
        fake_fail(f.store, op, CKIT_OK, 0);
    }
    settle(&f); /* the circuit is open for ten minutes: others need not wait for it */
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    CHECK(ckit_cache_get_guard_stats(f.cache, &stats));
    refused = stats.refused;
    CHECK_EQ_U(CKIT_BREAKER_OPEN, stats.state);
    CHECK(refused > 0);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, elsewhere, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, fn, 7);
    ckit_function_close(elsewhere);
    ckit_function_close(fn);
    ckit_cache_close(other);
    fixture_close(&f);
}

CKIT_TEST(replay, what_may_be_served_late_goes_with_the_value_that_was_replaced) {
    fixture               f;
    loader                l;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    options.ttl_ms = 10000;
    options.stale_ms = 1000000;
    ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_EQ_U(2, fake_count(f.store)); /* the value, and what may be served late */
    fake_fail(f.store, FAKE_SET, CKIT_E_UNREACHABLE, UINT64_MAX);
    l.result = 2;
    CHECK_EQ_U(2, refresh(fn, 7).number);
    settle(&f);
    CHECK_EQ_U(0, fake_count(f.store));
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(replay, so_it_does_when_the_value_of_a_call_was_given_by_its_key) {
    fixture               f;
    loader                l;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_entry_options    document = CKIT_ENTRY_OPTIONS_INIT;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    options.ttl_ms = 10000;
    options.stale_ms = 1000000;
    document.encoding = CKIT_DOCUMENT;
    ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    ckit_buf key = key_of(fn, 7);
    fake_fail(f.store, FAKE_SET, CKIT_E_UNREACHABLE, 1);
    CHECK_STATUS(CKIT_E_UNREACHABLE, ckit_cache_set(f.cache, ckit_buf_slice(&key), S("\x02"), &document, NULL));
    settle(&f);
    CHECK_EQ_U(0, fake_count(f.store));
    ckit_buf_fini(&key);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(replay, who_waited_for_a_silent_store_once_does_not_wait_again) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    fake_fail(f.store, FAKE_GET, CKIT_E_TIMEOUT, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_STR("get E_TIMEOUT", fake_log(f.store)); /* neither locked nor written */
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fn, 7);
    CHECK_EQ_U(1, pending_of(f.cache));
    fake_fail(f.store, FAKE_LOCK_TRY, CKIT_E_TIMEOUT, 1);
    fake_forget_calls(f.store);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 8);
    CHECK_STR("get MISS, lock_try E_TIMEOUT", fake_log(f.store));
    settle(&f);
    CHECK_EQ_U(0, fake_count(f.store));
    ckit_function_close(fn);
    fixture_close(&f);
}

/* ---- closing and forking ----------------------------------------------------------------------------------------- */

CKIT_TEST(replay, a_cache_that_closes_tries_once_more) {
    pair p;
    pair_open(&p);
    put(p.f.cache, "k", "old", CKIT_OK);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_UNREACHABLE, 1);
    (void)ckit_cache_delete(p.f.cache, S("k"), NULL, NULL);
    CHECK_EQ_U(1, fake_count(p.f.store));
    ckit_cache_close(p.f.cache);
    p.f.cache = NULL;
    CHECK_EQ_U(0, fake_count(p.f.store));
    ckit_cache_close(p.other);
    fake_store_close(p.f.store);
    p.f.store = NULL;
    fixture_close(&p.f);
}

/* What a cache says when it closes over a store that is away, after so many failed changes. */
static void check_last_words(unsigned changes, const char *words) {
    pair p;
    pair_open(&p);
    fake_fail(p.f.store, FAKE_SET, CKIT_E_UNREACHABLE, UINT64_MAX);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_UNREACHABLE, UINT64_MAX);
    fail_many(p.f.cache, changes, CKIT_E_UNREACHABLE);
    uint64_t removals = fake_calls(p.f.store, FAKE_REMOVE);
    ckit_cache_close(p.f.cache);
    p.f.cache = NULL;
    CHECK_EQ_U(removals + 1, fake_calls(p.f.store, FAKE_REMOVE));
    CHECK_CONTAINS(words, p.f.log.text);
    ckit_cache_close(p.other);
    fake_store_close(p.f.store);
    p.f.store = NULL;
    fixture_close(&p.f);
}

CKIT_TEST(replay, a_cache_that_closes_says_what_it_could_not_make_up_for) {
    check_last_words(5, "5 changes that the store did not take are not made up for");
    check_last_words(1, "1 change that the store did not take is not made up for");
}

CKIT_TEST(replay, a_forked_child_remembers_too) {
    pair p;
    if (UNDER_TSAN) {
        SKIP("ThreadSanitizer follows 64 locks at most, and a fork holds more");
    }
    pair_open(&p);
    put(p.f.cache, "k", "old", CKIT_OK);
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_E_UNREACHABLE, UINT64_MAX);
    (void)ckit_cache_delete(p.f.cache, S("k"), NULL, NULL);
    pid_t child = fork();
    if (child == 0) {
        bool good = pending_of(p.f.cache) == 1 && reads(p.f.cache, "k", NULL);
        fake_fail(p.f.store, FAKE_REMOVE, CKIT_OK, 0);
        (void)reads(p.f.cache, "k", NULL); /* meets it, which starts the work */
        settle(&p.f);
        _exit(good && fake_count(p.f.store) == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ_U(0, (unsigned)status);
    CHECK(reads(p.f.cache, "k", NULL));
    CHECK_EQ_U(1, pending_of(p.f.cache));
    fake_fail(p.f.store, FAKE_REMOVE, CKIT_OK, 0);
    settle(&p.f);
    CHECK_EQ_U(0, fake_count(p.f.store));
    pair_close(&p);
}

CKIT_TEST(replay, a_store_that_fails_now_and_then_is_believed_again_in_the_end) {
    pair p;
    pair_open(&p);
    for (int round = 0; round < 20; round++) {
        char key[32];
        for (int i = 0; i < 10; i++) {
            fake_fail(p.f.store, FAKE_SET, CKIT_E_TIMEOUT, (uint64_t)(i % 3));
            (void)snprintf(key, sizeof key, "k%d", i % 4);
            (void)ckit_cache_set(p.f.cache, S(key), S("x"), NULL, NULL);
            pass(&p.f, 37);
        }
    }
    fake_fail(p.f.store, FAKE_SET, CKIT_OK, 0);
    settle(&p.f);
    CHECK_EQ_U(0, pending_of(p.f.cache));
    put(p.f.cache, "k0", "end", CKIT_OK);
    CHECK(reads(p.other, "k0", "end"));
    CHECK(reads(p.f.cache, "k0", "end"));
    pair_close(&p);
}
