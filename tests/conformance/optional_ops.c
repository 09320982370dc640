/* What a store may have beyond the required operations: where it has them, they must keep their word. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- ttl, touch -------------------------------------------------------------------------------------------------- */

CKIT_TEST(ttl, it_agrees_with_the_lifetime) {
    suite    s;
    uint64_t life_ms = 0;
    suite_begin(&s);
    SUITE_NEEDS(&s, ttl);
    CHECK_STATUS(CKIT_MISS, s.ops->ttl(s.self, S("k"), CKIT_NO_DEADLINE, &life_ms, NULL));
    CHECK_OK(suite_set(&s, S("k"), S("v"), 10000));
    fake_clock_advance(&s.time, 3000);
    CHECK_OK(s.ops->ttl(s.self, S("k"), CKIT_NO_DEADLINE, &life_ms, NULL));
    CHECK_BETWEEN_U(7000, 7000 + suite_the_subject.granularity_ms, life_ms);
    suite_outlive(&s, 7000);
    CHECK_STATUS(CKIT_MISS, s.ops->ttl(s.self, S("k"), CKIT_NO_DEADLINE, &life_ms, NULL));
    CHECK_OK(suite_set(&s, S("k"), S("v"), CKIT_TTL_NO_EXPIRY));
    CHECK_OK(s.ops->ttl(s.self, S("k"), CKIT_NO_DEADLINE, &life_ms, NULL));
    CHECK_EQ_U(CKIT_LIFE_NO_EXPIRY, life_ms);
    suite_end(&s);
}

CKIT_TEST(touch, it_gives_a_new_lifetime_and_keeps_the_value) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, touch);
    CHECK_STATUS(CKIT_MISS, s.ops->touch(s.self, S("k"), 1000, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(suite_set(&s, S("k"), S("v"), 5000));
    fake_clock_advance(&s.time, 4000);
    CHECK_OK(s.ops->touch(s.self, S("k"), 5000, CKIT_NO_DEADLINE, NULL));
    fake_clock_advance(&s.time, 4000);
    suite_expect(&s, S("k"), S("v"));
    CHECK_OK(s.ops->touch(s.self, S("k"), CKIT_TTL_NO_EXPIRY, CKIT_NO_DEADLINE, NULL));
    suite_outlive(&s, 3600000);
    suite_expect(&s, S("k"), S("v"));
    CHECK_OK(s.ops->touch(s.self, S("k"), 1000, CKIT_NO_DEADLINE, NULL));
    suite_outlive(&s, 1000);
    suite_expect_miss(&s, S("k"));
    suite_end(&s);
}

CKIT_TEST(touch, it_does_not_wake_the_dead) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, touch);
    CHECK_OK(suite_set(&s, S("k"), S("v"), 1000));
    suite_outlive(&s, 1000);
    CHECK_STATUS(CKIT_MISS, s.ops->touch(s.self, S("k"), 60000, CKIT_NO_DEADLINE, NULL));
    suite_expect_miss(&s, S("k"));
    suite_end(&s);
}

/* ---- many at once ------------------------------------------------------------------------------------------------ */

CKIT_TEST(many, get_many_answers_each_key_as_get_would) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, get_many);
    const ckit_slice keys[] = {S("a"), S("absent"), S("b"), S("empty"), S("a")};
    ckit_buf         out[5] = {CKIT_BUF_INIT, CKIT_BUF_INIT, CKIT_BUF_INIT, CKIT_BUF_INIT, CKIT_BUF_INIT};
    uint64_t         life_ms[5] = {0};
    ckit_status      answers[5];
    CHECK_OK(suite_set(&s, S("a"), S("1"), 60000));
    CHECK_OK(suite_set(&s, S("b"), S("2"), 60000));
    CHECK_OK(suite_set(&s, S("empty"), S(""), 60000));
    CHECK_OK(s.ops->get_many(s.self, keys, 5, CKIT_NO_DEADLINE, out, life_ms, answers, NULL));
    const ckit_status expected[] = {CKIT_OK, CKIT_MISS, CKIT_OK, CKIT_OK, CKIT_OK};
    const char       *values[] = {"1", "", "2", "", "1"};
    for (size_t i = 0; i < 5; i++) {
        CHECK_STATUS(expected[i], answers[i]);
        CHECK_TEXT(values[i], ckit_buf_slice(&out[i]));
        ckit_buf_fini(&out[i]);
    }
    CHECK_OK(s.ops->get_many(s.self, keys, 0, CKIT_NO_DEADLINE, out, life_ms, answers, NULL));
    suite_end(&s);
}

CKIT_TEST(many, set_many_stores_each_key_as_set_would) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, set_many);
    const ckit_slice      keys[] = {S("a"), S("b")};
    const ckit_slice      values[] = {S("1"), S("2")};
    const ckit_entry_info infos[] = {{.ttl_ms = 1000}, {.ttl_ms = 60000}};
    ckit_status           answers[2];
    CHECK_OK(s.ops->set_many(s.self, keys, values, infos, 2, CKIT_NO_DEADLINE, answers, NULL));
    CHECK_OK(answers[0]);
    CHECK_OK(answers[1]);
    suite_expect(&s, S("a"), S("1"));
    suite_outlive(&s, 1000);
    suite_expect_miss(&s, S("a"));
    suite_expect(&s, S("b"), S("2"));
    suite_end(&s);
}

/* ---- scopes ------------------------------------------------------------------------------------------------------ */

typedef struct seen_keys {
    char   keys[16][32];
    size_t count;
    size_t stop_at;
} seen_keys;

static ckit_status see(void *context, const ckit_listed *entry) {
    seen_keys *seen = context;
    CHECK(entry->name.len > 0);
    CHECK(entry->life_ms > 0);
    CHECK(entry->key.len < 32 && seen->count < 16);
    memcpy(seen->keys[seen->count], entry->key.ptr, entry->key.len);
    seen->keys[seen->count++][entry->key.len] = '\0';
    return seen->count == seen->stop_at ? CKIT_E_CANCELLED : CKIT_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

/* The keys of a scope, sorted and joined by spaces. */
static void expect_listed(suite *s, ckit_scope scope, const char *expected) {
    seen_keys seen = {.count = 0};
    char      joined[600] = "";
    CHECK_OK(s->ops->list(s->self, &scope, CKIT_NO_DEADLINE, see, &seen, NULL));
    qsort(seen.keys, seen.count, sizeof seen.keys[0], by_text);
    for (size_t i = 0; i < seen.count; i++) {
        strcat(joined, i == 0 ? "" : " ");
        strcat(joined, seen.keys[i]);
    }
    CHECK_STR(expected, joined);
}

static ckit_scope scope_of(ckit_scope_kind kind, const char *namespace_name, const char *function) {
    return (ckit_scope){kind, S(namespace_name), S(function)};
}

static void store_a_family(suite *s) {
    CHECK_OK(suite_set_owned(s, "a1", "a", "f"));
    CHECK_OK(suite_set_owned(s, "a2", "a", "f"));
    CHECK_OK(suite_set_owned(s, "a3", "a", "g"));
    CHECK_OK(suite_set_owned(s, "b1", "b", "f"));
    CHECK_OK(suite_set_owned(s, "n1", "", "f"));
    CHECK_OK(suite_set_owned(s, "n2", "", ""));
}

CKIT_TEST(scopes, list_shows_the_live_entries_of_a_scope) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, list);
    expect_listed(&s, scope_of(CKIT_SCOPE_ALL, "", ""), "");
    store_a_family(&s);
    expect_listed(&s, scope_of(CKIT_SCOPE_ALL, "", ""), "a1 a2 a3 b1 n1 n2");
    expect_listed(&s, scope_of(CKIT_SCOPE_NAMESPACE, "a", ""), "a1 a2 a3");
    expect_listed(&s, scope_of(CKIT_SCOPE_FUNCTION, "a", "f"), "a1 a2");
    expect_listed(&s, scope_of(CKIT_SCOPE_FUNCTION, "", "f"), "n1");
    expect_listed(&s, scope_of(CKIT_SCOPE_NAMESPACE, "c", ""), "");
    CHECK_OK(suite_remove(&s, S("a1")));
    expect_listed(&s, scope_of(CKIT_SCOPE_NAMESPACE, "a", ""), "a2 a3");
    suite_outlive(&s, 60000);
    expect_listed(&s, scope_of(CKIT_SCOPE_ALL, "", ""), "");
    suite_end(&s);
}

CKIT_TEST(scopes, the_latest_owner_of_an_overwritten_entry_counts) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, list);
    CHECK_OK(suite_set_owned(&s, "k", "a", "f"));
    CHECK_OK(suite_set_owned(&s, "k", "b", "g"));
    expect_listed(&s, scope_of(CKIT_SCOPE_NAMESPACE, "a", ""), "");
    expect_listed(&s, scope_of(CKIT_SCOPE_FUNCTION, "b", "g"), "k");
    suite_end(&s);
}

CKIT_TEST(scopes, a_listing_ends_when_its_callback_says_so) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, list);
    store_a_family(&s);
    seen_keys  seen = {.stop_at = 2};
    ckit_scope all = scope_of(CKIT_SCOPE_ALL, "", "");
    CHECK_STATUS(CKIT_E_CANCELLED, s.ops->list(s.self, &all, CKIT_NO_DEADLINE, see, &seen, NULL));
    CHECK_EQ_U(2, seen.count);
    suite_end(&s);
}

static void expect_deleted(suite *s, ckit_scope scope, uint64_t deleted) {
    ckit_deleted out = {77, 77};
    ckit_error   err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(s->ops->delete_scope(s->self, &scope, CKIT_NO_DEADLINE, &out, &err), &err);
    CHECK_EQ_U(deleted, out.deleted);
    CHECK_EQ_U(0, out.unindexed);
}

CKIT_TEST(scopes, delete_scope_removes_its_entries_and_no_others) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, delete_scope);
    store_a_family(&s);
    expect_deleted(&s, scope_of(CKIT_SCOPE_FUNCTION, "a", "f"), 2);
    suite_expect_miss(&s, S("a1"));
    suite_expect_miss(&s, S("a2"));
    suite_expect(&s, S("a3"), S("value"));
    expect_deleted(&s, scope_of(CKIT_SCOPE_NAMESPACE, "a", ""), 1);
    suite_expect_miss(&s, S("a3"));
    suite_expect(&s, S("b1"), S("value"));
    suite_expect(&s, S("n1"), S("value"));
    expect_deleted(&s, scope_of(CKIT_SCOPE_NAMESPACE, "nobody", ""), 0);
    expect_deleted(&s, scope_of(CKIT_SCOPE_ALL, "", ""), 3);
    suite_expect_miss(&s, S("b1"));
    suite_expect_miss(&s, S("n2"));
    expect_deleted(&s, scope_of(CKIT_SCOPE_ALL, "", ""), 0);
    suite_end(&s);
}

CKIT_TEST(scopes, an_entry_stored_again_after_a_deletion_is_listed_again) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, list);
    SUITE_NEEDS(&s, delete_scope);
    store_a_family(&s);
    expect_deleted(&s, scope_of(CKIT_SCOPE_ALL, "", ""), 6);
    CHECK_OK(suite_set_owned(&s, "a1", "a", "f"));
    expect_listed(&s, scope_of(CKIT_SCOPE_FUNCTION, "a", "f"), "a1");
    suite_end(&s);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static ckit_status lock_try(suite *s, const char *key, uint64_t lease_ms, ckit_lease *lease) {
    return s->ops->lock_try(s->self, S(key), lease_ms, CKIT_NO_DEADLINE, lease, NULL);
}
static ckit_status lock_renew(suite *s, const char *key, const ckit_lease *lease, uint64_t lease_ms) {
    return s->ops->lock_renew(s->self, S(key), lease, lease_ms, CKIT_NO_DEADLINE, NULL);
}
static ckit_status lock_release(suite *s, const char *key, const ckit_lease *lease) {
    return s->ops->lock_release(s->self, S(key), lease, CKIT_NO_DEADLINE, NULL);
}

CKIT_TEST(locks, one_holder_at_a_time_and_only_he_releases) {
    suite      s;
    ckit_lease first, second, other;
    suite_begin(&s);
    SUITE_NEEDS(&s, lock_try);
    CHECK_OK(lock_try(&s, "k", 30000, &first));
    CHECK_STATUS(CKIT_MISS, lock_try(&s, "k", 30000, &second));
    CHECK_OK(lock_try(&s, "another", 30000, &other));
    CHECK_STATUS(CKIT_MISS, lock_release(&s, "k", &other));
    CHECK_STATUS(CKIT_MISS, lock_try(&s, "k", 30000, &second));
    CHECK_OK(lock_release(&s, "k", &first));
    CHECK_STATUS(CKIT_MISS, lock_release(&s, "k", &first));
    CHECK_OK(lock_try(&s, "k", 30000, &second));
    CHECK(first.fence == 0 || second.fence > first.fence);
    CHECK(memcmp(first.token, second.token, sizeof first.token) != 0);
    suite_end(&s);
}

CKIT_TEST(locks, a_lock_ends_by_itself_and_cannot_be_renewed_then) {
    suite      s;
    ckit_lease first, second;
    suite_begin(&s);
    SUITE_NEEDS(&s, lock_try);
    CHECK_OK(lock_try(&s, "k", 5000, &first));
    fake_clock_advance(&s.time, 4999);
    CHECK_STATUS(CKIT_MISS, lock_try(&s, "k", 5000, &second));
    suite_outlive(&s, 1);
    CHECK_STATUS(CKIT_MISS, lock_renew(&s, "k", &first, 5000));
    CHECK_OK(lock_try(&s, "k", 5000, &second));
    CHECK_STATUS(CKIT_MISS, lock_renew(&s, "k", &first, 5000));
    CHECK_STATUS(CKIT_MISS, lock_release(&s, "k", &first));
    CHECK(first.fence == 0 || second.fence > first.fence);
    CHECK_OK(lock_release(&s, "k", &second));
    suite_end(&s);
}

CKIT_TEST(locks, renewal_prolongs) {
    suite      s;
    ckit_lease first, second;
    suite_begin(&s);
    SUITE_NEEDS(&s, lock_try);
    CHECK_OK(lock_try(&s, "k", 5000, &first));
    fake_clock_advance(&s.time, 4000);
    CHECK_OK(lock_renew(&s, "k", &first, 5000));
    fake_clock_advance(&s.time, 4000);
    CHECK_STATUS(CKIT_MISS, lock_try(&s, "k", 5000, &second));
    CHECK_OK(lock_release(&s, "k", &first));
    suite_end(&s);
}

CKIT_TEST(locks, a_lease_of_nothing_is_refused) {
    suite      s;
    ckit_lease lease;
    suite_begin(&s);
    SUITE_NEEDS(&s, lock_try);
    CHECK(lock_try(&s, "k", 0, &lease) >= CKIT_E_FIRST);
    CHECK_OK(lock_try(&s, "k", 1, &lease));
    suite_end(&s);
}

CKIT_TEST(locks, a_lock_is_no_entry) {
    suite      s;
    ckit_lease lease;
    suite_begin(&s);
    SUITE_NEEDS(&s, lock_try);
    CHECK_OK(lock_try(&s, "k", 5000, &lease));
    suite_expect_miss(&s, S("k"));
    suite_expect_miss(&s, S("k:lock"));
    CHECK_OK(suite_set(&s, S("k"), S("v"), 60000));
    CHECK_OK(lock_release(&s, "k", &lease));
    suite_expect(&s, S("k"), S("v"));
    suite_end(&s);
}

/* More than travel together. */
#define LOCKED_KEYS 600u

typedef struct locked_keys {
    char            names[LOCKED_KEYS][16];
    ckit_slice      keys[LOCKED_KEYS];
    ckit_slice      values[LOCKED_KEYS];
    ckit_entry_info infos[LOCKED_KEYS];
    ckit_lease      leases[LOCKED_KEYS];
    ckit_status     answers[LOCKED_KEYS];
} locked_keys;

static locked_keys *locked_keys_new(void) {
    locked_keys *k = calloc(1, sizeof *k);
    CHECK(k != NULL);
    for (unsigned i = 0; i < LOCKED_KEYS; i++) {
        snprintf(k->names[i], sizeof k->names[i], "locked:%u", i);
        k->keys[i] = k->values[i] = ckit_slice_str(k->names[i]);
        k->infos[i] = (ckit_entry_info){.ttl_ms = 60000};
    }
    return k;
}

CKIT_TEST(locks, of_many_keys_are_taken_and_released_each_by_itself) {
    suite        s;
    ckit_lease   other;
    locked_keys *k;
    suite_begin(&s);
    SUITE_NEEDS(&s, lock_try_many);
    k = locked_keys_new();
    CHECK_OK(lock_try(&s, k->names[7], 30000, &other));
    CHECK_OK(s.ops->lock_try_many(s.self, k->keys, LOCKED_KEYS, 30000, CKIT_NO_DEADLINE, k->leases, k->answers, NULL));
    for (unsigned i = 0; i < LOCKED_KEYS; i++) {
        CHECK_STATUS(i == 7 ? CKIT_MISS : CKIT_OK, k->answers[i]);
    }
    CHECK_STATUS(CKIT_MISS, lock_try(&s, k->names[599], 30000, &other));
    CHECK_OK(lock_renew(&s, k->names[599], &k->leases[599], 30000));
    k->leases[7] = k->leases[8]; /* not its holder's */
    CHECK_OK(s.ops->lock_release_many(s.self, k->keys, k->leases, LOCKED_KEYS, CKIT_NO_DEADLINE, k->answers, NULL));
    for (unsigned i = 0; i < LOCKED_KEYS; i++) {
        CHECK_STATUS(i == 7 ? CKIT_MISS : CKIT_OK, k->answers[i]);
    }
    CHECK_STATUS(CKIT_MISS, lock_try(&s, k->names[7], 30000, &other));
    CHECK_OK(lock_try(&s, k->names[599], 30000, &other));
    CHECK_OK(s.ops->lock_try_many(s.self, k->keys, 0, 30000, CKIT_NO_DEADLINE, k->leases, k->answers, NULL));
    CHECK(s.ops->lock_try_many(s.self, k->keys, 1, 0, CKIT_NO_DEADLINE, k->leases, k->answers, NULL) >= CKIT_E_FIRST);
    suite_end(&s);
    free(k);
}

CKIT_TEST(locks, of_many_keys_are_renewed_each_by_itself) {
    suite        s;
    ckit_lease   other;
    locked_keys *k;
    suite_begin(&s);
    SUITE_NEEDS(&s, lock_renew_many);
    k = locked_keys_new();
    for (unsigned i = 0; i < LOCKED_KEYS; i++) {
        CHECK_OK(lock_try(&s, k->names[i], 10000, &k->leases[i]));
    }
    CHECK_OK(lock_release(&s, k->names[3], &k->leases[3]));
    CHECK_OK(lock_release(&s, k->names[4], &k->leases[4]));
    CHECK_OK(lock_try(&s, k->names[4], 60000, &other));
    CHECK_OK(
        s.ops->lock_renew_many(s.self, k->keys, k->leases, LOCKED_KEYS, 60000, CKIT_NO_DEADLINE, k->answers, NULL));
    for (unsigned i = 0; i < LOCKED_KEYS; i++) {
        CHECK_STATUS(i == 3 || i == 4 ? CKIT_MISS : CKIT_OK, k->answers[i]);
    }
    suite_outlive(&s, 10000);
    for (unsigned i = 0; i < LOCKED_KEYS; i += 97) { /* the first lease is over, the second is not */
        CHECK_STATUS(CKIT_MISS, lock_try(&s, k->names[i], 1000, &other));
    }
    CHECK_OK(s.ops->lock_renew_many(s.self, k->keys, k->leases, 0, 60000, CKIT_NO_DEADLINE, k->answers, NULL));
    CHECK(s.ops->lock_renew_many(s.self, k->keys, k->leases, 1, 0, CKIT_NO_DEADLINE, k->answers, NULL) >= CKIT_E_FIRST);
    suite_end(&s);
    free(k);
}

CKIT_TEST(locks, a_holder_of_many_overwrites_only_what_is_his) {
    suite        s;
    ckit_lease   other;
    locked_keys *k;
    suite_begin(&s);
    SUITE_NEEDS(&s, set_many_if_owner);
    k = locked_keys_new();
    CHECK_OK(s.ops->lock_try_many(s.self, k->keys, LOCKED_KEYS, 30000, CKIT_NO_DEADLINE, k->leases, k->answers, NULL));
    CHECK_OK(lock_release(&s, k->names[3], &k->leases[3]));
    CHECK_OK(lock_release(&s, k->names[4], &k->leases[4]));
    CHECK_OK(lock_try(&s, k->names[4], 30000, &other));
    CHECK_OK(s.ops->set_many_if_owner(s.self, k->keys, k->values, k->infos, k->leases, LOCKED_KEYS, CKIT_NO_DEADLINE,
                                      k->answers, NULL));
    for (unsigned i = 0; i < LOCKED_KEYS; i++) {
        bool lost = i == 3 || i == 4;
        CHECK_STATUS(lost ? CKIT_MISS : CKIT_OK, k->answers[i]);
        if (lost) {
            suite_expect_miss(&s, k->keys[i]);
        } else {
            suite_expect(&s, k->keys[i], k->values[i]);
        }
    }
    suite_end(&s);
    free(k);
}

CKIT_TEST(locks, a_holder_who_was_too_slow_overwrites_nothing) {
    suite           s;
    ckit_lease      slow, quick;
    ckit_entry_info info = {.ttl_ms = 60000};
    suite_begin(&s);
    SUITE_NEEDS(&s, set_if_owner);
    CHECK_OK(lock_try(&s, "k", 5000, &slow));
    CHECK_OK(s.ops->set_if_owner(s.self, S("k"), S("early"), &info, &slow, CKIT_NO_DEADLINE, NULL));
    suite_expect(&s, S("k"), S("early"));
    suite_outlive(&s, 5000);
    CHECK_STATUS(CKIT_MISS, s.ops->set_if_owner(s.self, S("k"), S("late"), &info, &slow, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(lock_try(&s, "k", 5000, &quick));
    CHECK_STATUS(CKIT_MISS, s.ops->set_if_owner(s.self, S("k"), S("late"), &info, &slow, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(s.ops->set_if_owner(s.self, S("k"), S("fresh"), &info, &quick, CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, s.ops->set_if_owner(s.self, S("k"), S("late"), &info, &slow, CKIT_NO_DEADLINE, NULL));
    suite_expect(&s, S("k"), S("fresh"));
    CHECK_OK(lock_release(&s, "k", &quick));
    CHECK_STATUS(CKIT_MISS, s.ops->set_if_owner(s.self, S("k"), S("x"), &info, &quick, CKIT_NO_DEADLINE, NULL));
    suite_expect(&s, S("k"), S("fresh"));
    suite_end(&s);
}

/* ---- prefix ------------------------------------------------------------------------------------------------------ */

/* ---- one value for another --------------------------------------------------------------------------------------- */

CKIT_TEST(replace, a_value_takes_the_place_of_the_one_that_was_expected) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, replace);
    CHECK_OK(suite_set(&s, S("k"), S("one"), 50000));
    CHECK_OK(s.ops->replace(s.self, S("k"), S("one"), S("another"), CKIT_NO_DEADLINE, NULL));
    suite_expect(&s, S("k"), S("another"));
    CHECK_STATUS(CKIT_MISS, s.ops->replace(s.self, S("k"), S("one"), S("third"), CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, s.ops->replace(s.self, S("k"), S("anothe"), S("third"), CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, s.ops->replace(s.self, S("k"), S("another!"), S("third"), CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, s.ops->replace(s.self, S("absent"), S("one"), S("third"), CKIT_NO_DEADLINE, NULL));
    suite_expect(&s, S("k"), S("another"));
    suite_end(&s);
}

CKIT_TEST(replace, the_lifetime_goes_on_and_the_owner_stays) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, replace);
    ckit_entry_info info = {.ttl_ms = 50000, .namespace_name = S("shop"), .function = S("m.f")};
    CHECK_OK(s.ops->set(s.self, S("owned"), S("one"), &info, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(s.ops->replace(s.self, S("owned"), S("one"), S("another"), CKIT_NO_DEADLINE, NULL));
    if (s.ops->ttl != NULL) {
        uint64_t life_ms = 0;
        CHECK_OK(s.ops->ttl(s.self, S("owned"), CKIT_NO_DEADLINE, &life_ms, NULL));
        CHECK(life_ms > 40000 && life_ms <= 50000 + suite_the_subject.granularity_ms);
    }
    if (s.ops->list != NULL) {
        expect_listed(&s, (ckit_scope){.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("shop")}, "owned");
    }
    suite_end(&s);
}

CKIT_TEST(replace, a_value_without_end_stays_without_end_and_large_values_are_compared_whole) {
    enum { SIZE = 300000 };
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, replace);
    uint8_t *value = calloc(3, SIZE);
    CHECK(value != NULL);
    ckit_slice      old = {value, SIZE}, fresh = {value + SIZE, SIZE}, other = {value + 2 * (size_t)SIZE, SIZE};
    ckit_entry_info info = {.ttl_ms = CKIT_TTL_NO_EXPIRY};
    uint64_t        life_ms = 0;
    ckit_buf        out = CKIT_BUF_INIT;
    memset(value + SIZE, 1, SIZE);
    value[3 * (size_t)SIZE - 1] = 7; /* the last byte is another */
    CHECK_OK(s.ops->set(s.self, S("k"), old, &info, CKIT_NO_DEADLINE, NULL));
    CHECK_STATUS(CKIT_MISS, s.ops->replace(s.self, S("k"), other, fresh, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(s.ops->replace(s.self, S("k"), old, fresh, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(s.ops->get(s.self, S("k"), CKIT_NO_DEADLINE, &out, &life_ms, NULL));
    CHECK(ckit_slice_equal(fresh, ckit_buf_slice(&out)));
    CHECK(life_ms == CKIT_LIFE_NO_EXPIRY || life_ms == CKIT_LIFE_UNKNOWN);
    ckit_buf_fini(&out);
    free(value);
    suite_end(&s);
}

CKIT_TEST(prefix, it_stays_the_same) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, key_prefix);
    ckit_slice first = s.ops->key_prefix(s.self);
    ckit_slice second = s.ops->key_prefix(s.self);
    CHECK_BYTES(first, second);
    suite_end(&s);
}

/* ---- stats, sweep ------------------------------------------------------------------------------------------------ */

#define UNTOLD UINT64_MAX

/* What the store tells under the names that mean the same in every store. */
typedef struct figures {
    uint64_t hits, misses, writes, removes, entries;
    size_t   count;
    size_t   stop_at;
} figures;

static ckit_status take_figure(void *context, const ckit_stat *stat) {
    figures *f = context;
    const struct {
        const char *name;
        bool        counter;
        uint64_t   *place;
    } known[] = {{"hits", true, &f->hits},
                 {"misses", true, &f->misses},
                 {"writes", true, &f->writes},
                 {"removes", true, &f->removes},
                 {"entries", false, &f->entries}};
    CHECK(stat->name != NULL && stat->name[0] != '\0');
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(stat->name, known[i].name) == 0) {
            CHECK_EQ_U(UNTOLD, *known[i].place); /* no figure twice */
            CHECK_EQ_I(known[i].counter, stat->counter);
            *known[i].place = stat->value;
        }
    }
    return ++f->count == f->stop_at ? CKIT_E_CANCELLED : CKIT_OK;
}

static figures ask_figures(suite *s) {
    figures    f = {UNTOLD, UNTOLD, UNTOLD, UNTOLD, UNTOLD, 0, 0};
    int64_t    since_ms = -1;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(s->ops->stats(s->self, CKIT_NO_DEADLINE, take_figure, &f, &since_ms, &err), &err);
    CHECK(since_ms >= 0 && since_ms <= fake_clock_wall(&s->time));
    return f;
}

/* A figure that is not told is no fault; one that is told must be true. */
static void expect_more(uint64_t more, uint64_t before, uint64_t after) {
    if (before != UNTOLD || after != UNTOLD) {
        CHECK_EQ_U(before + more, after);
    }
}

CKIT_TEST(stats, they_count_what_their_names_say) {
    suite    s;
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms;
    suite_begin(&s);
    SUITE_NEEDS(&s, stats);
    figures before = ask_figures(&s);
    CHECK(before.count > 0);
    CHECK_OK(suite_set(&s, S("a"), S("1"), 60000));
    CHECK_OK(suite_set(&s, S("b"), S("2"), 60000));
    CHECK_OK(suite_set(&s, S("b"), S("3"), 60000));
    CHECK_OK(suite_get(&s, S("a"), &out, &life_ms));
    CHECK_OK(suite_get(&s, S("b"), &out, &life_ms));
    CHECK_STATUS(CKIT_MISS, suite_get(&s, S("absent"), &out, &life_ms));
    CHECK_OK(suite_remove(&s, S("a")));
    CHECK_STATUS(CKIT_MISS, suite_remove(&s, S("a")));
    ckit_buf_fini(&out);
    figures after = ask_figures(&s);
    expect_more(3, before.writes, after.writes);
    expect_more(2, before.hits, after.hits);
    expect_more(1, before.misses, after.misses);
    expect_more(1, before.removes, after.removes);
    expect_more(1, before.entries, after.entries);
    CHECK_EQ_U(before.count, after.count);
    suite_end(&s);
}

CKIT_TEST(stats, telling_ends_when_the_callback_says_so) {
    suite   s;
    figures f = {UNTOLD, UNTOLD, UNTOLD, UNTOLD, UNTOLD, 0, 1};
    int64_t since_ms;
    suite_begin(&s);
    SUITE_NEEDS(&s, stats);
    CHECK_STATUS(CKIT_E_CANCELLED, s.ops->stats(s.self, CKIT_NO_DEADLINE, take_figure, &f, &since_ms, NULL));
    CHECK_EQ_U(1, f.count);
    suite_end(&s);
}

static void expect_swept(suite *s, uint64_t deleted) {
    ckit_deleted out = {77, 77};
    ckit_error   err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(s->ops->sweep(s->self, CKIT_NO_DEADLINE, &out, &err), &err);
    CHECK_EQ_U(deleted, out.deleted);
    CHECK_EQ_U(0, out.unindexed);
}

CKIT_TEST(sweep, it_removes_what_has_expired_and_nothing_else) {
    suite s;
    suite_begin(&s);
    SUITE_NEEDS(&s, sweep);
    CHECK_OK(suite_set(&s, S("a"), S("1"), 1000));
    CHECK_OK(suite_set(&s, S("b"), S("2"), 2000));
    CHECK_OK(suite_set(&s, S("c"), S("3"), 60000));
    CHECK_OK(suite_set(&s, S("d"), S("4"), CKIT_TTL_NO_EXPIRY));
    expect_swept(&s, 0);
    suite_outlive(&s, 2000);
    expect_swept(&s, 2);
    suite_expect(&s, S("c"), S("3"));
    suite_expect(&s, S("d"), S("4"));
    suite_expect_miss(&s, S("a"));
    expect_swept(&s, 0);
    suite_outlive(&s, 60000);
    expect_swept(&s, 1);
    suite_expect(&s, S("d"), S("4"));
    suite_end(&s);
}
