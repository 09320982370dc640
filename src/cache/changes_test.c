/* What is remembered of changes that failed: what it covers, in which order, and what finding it costs. */
#include "cache/changes.h"

#include "support/test.h"

#include <cachekit/key.h>
#include <stdio.h>

#define SEED 42u

static void begin(ckiti_changes *c) {
    memset(c, 0, sizeof *c);
    CHECK_OK(ckiti_changes_init(c, NULL, SEED));
}

static ckit_slice key_at(unsigned number, char text[32]) {
    (void)snprintf(text, 32, "key-%u", number);
    return S(text);
}

static bool doubts(ckiti_changes *c, ckit_slice key) { return ckiti_changes_doubt(c, key, ckiti_changes_hash(c, key)); }

static bool doubts_call(ckiti_changes *c, const char *namespace_name, const char *function) {
    const ckit_key_spec spec = {.namespace_name = S(namespace_name), .function = S(function), .integrity = true};
    ckit_buf            key;
    ckit_buf_init(&key, NULL);
    CHECK_OK(ckit_key_automatic(&spec, S("\x92\x90\x80"), &key, NULL));
    bool doubtful = doubts(c, ckit_buf_slice(&key));
    ckit_buf_fini(&key);
    return doubtful;
}

static void remember(ckiti_changes *c, ckit_slice key) {
    CHECK(ckiti_changes_add_key(c, key, ckiti_changes_hash(c, key), false) != NULL);
}

static void remember_scope(ckiti_changes *c, const char *namespace_name, const char *function) {
    const ckit_scope scope = {.kind = function != NULL ? CKIT_SCOPE_FUNCTION : CKIT_SCOPE_NAMESPACE,
                              .namespace_name = S(namespace_name),
                              .function = function != NULL ? S(function) : ckit_slice_of(NULL, 0)};
    CHECK(ckiti_changes_add_scope(c, &scope, false) != NULL);
}

static void remember_keys(ckiti_changes *c, unsigned count) {
    char text[32];
    for (unsigned i = 0; i < count; i++) {
        remember(c, key_at(i, text));
    }
}

/* ---- what is covered --------------------------------------------------------------------------------------------- */

CKIT_TEST(changes, a_namespace_is_doubted_as_keys_write_it_and_no_other) {
    ckiti_changes c;
    begin(&c);
    remember_scope(&c, "a b", NULL);
    CHECK(doubts_call(&c, "a b", "m.f"));
    CHECK(!doubts_call(&c, "a c", "m.f"));
    CHECK(!doubts_call(&c, "", "m.f"));
    CHECK(doubts(&c, S("of nobody knows whom")));
    ckiti_changes_fini(&c);
}

CKIT_TEST(changes, a_function_is_doubted_and_none_beside_it) {
    ckiti_changes c;
    begin(&c);
    for (unsigned i = 0; i < CKITI_CHANGES_SCOPES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "m.f%u", i);
        remember_scope(&c, "ns", name);
    }
    CHECK(doubts_call(&c, "ns", "m.f0"));
    CHECK(doubts_call(&c, "ns", "m.f63"));
    CHECK(!doubts_call(&c, "ns", "m.f64"));
    CHECK(!doubts_call(&c, "other", "m.f0"));
    const ckit_scope one_more = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("ns")};
    CHECK(ckiti_changes_add_scope(&c, &one_more, false) == NULL);
    ckiti_changes_fini(&c);
}

CKIT_TEST(changes, what_is_forgotten_is_believed) {
    ckiti_changes    c;
    char             text[32];
    const ckit_scope scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("ns")};
    begin(&c);
    remember_keys(&c, 3);
    remember_scope(&c, "ns", NULL);
    ckit_slice key = key_at(1, text);
    ckiti_changes_forget(&c, ckiti_changes_find_key(&c, key, ckiti_changes_hash(&c, key)));
    ckiti_changes_forget(&c, ckiti_changes_find_scope(&c, &scope));
    CHECK(!doubts(&c, key));
    CHECK(doubts(&c, key_at(0, text)));
    CHECK(!doubts_call(&c, "ns", "m.f"));
    CHECK_EQ_U(2, atomic_load(&c.count));
    ckiti_changes_fini(&c);
}

CKIT_TEST(changes, one_for_all_doubts_all_and_its_rest_only_what_tells_no_owner) {
    ckiti_changes c;
    begin(&c);
    remember_keys(&c, 5);
    CHECK_EQ_U(5, ckiti_changes_merge(&c));
    CHECK_EQ_U(1, atomic_load(&c.count));
    CHECK(doubts_call(&c, "ns", "m.f"));
    CHECK(doubts(&c, S("by itself")));
    c.everything->rest = true;
    CHECK(!doubts_call(&c, "ns", "m.f"));
    CHECK(doubts(&c, S("by itself")));
    ckiti_changes_forget(&c, c.everything);
    CHECK(!doubts(&c, S("by itself")));
    ckiti_changes_fini(&c);
}

/* ---- in which order ---------------------------------------------------------------------------------------------- */

CKIT_TEST(changes, the_latest_failure_comes_last_and_what_is_put_off_comes_by_its_time) {
    ckiti_changes c;
    begin(&c);
    remember_keys(&c, 3);
    ckiti_change *first = c.soon.first;
    ckiti_change *second = first->next;
    ckiti_changes_renew(&c, first, true);
    CHECK(c.soon.first == second && c.soon.last == first && first->late);
    ckiti_changes_put_off(&c, first, 300);
    ckiti_changes_put_off(&c, second, 200);
    CHECK(c.later.first == second && c.later.last == first);
    CHECK(c.soon.first == c.soon.last);
    ckiti_changes_renew(&c, second, false);
    CHECK(c.soon.last == second && c.later.first == first && first->prev == NULL);
    ckiti_changes_fini(&c);
}

/* ---- what finding costs ------------------------------------------------------------------------------------------ */

/* Records that are looked at when so many keys are asked for of which nothing failed. */
static uint64_t looked_at_by(ckiti_changes *c, unsigned reads) {
    char     text[32];
    uint64_t before = c->looked_at;
    for (unsigned i = 0; i < reads; i++) {
        (void)snprintf(text, sizeof text, "m.f%u", i);
        CHECK(!doubts_call(c, "elsewhere", text));
    }
    return c->looked_at - before;
}

CKIT_TEST(changes, a_read_costs_a_few_looks_however_much_is_remembered) {
    ckiti_changes c;
    char          name[32];
    begin(&c);
    for (unsigned i = 0; i < CKITI_CHANGES_SCOPES; i++) {
        (void)snprintf(name, sizeof name, "space-%u", i);
        remember_scope(&c, name, NULL);
    }
    CHECK(looked_at_by(&c, 1000) <= 4000);
    remember_keys(&c, CKITI_CHANGES_MOST - CKITI_CHANGES_SCOPES);
    CHECK_EQ_U(CKITI_CHANGES_MOST, atomic_load(&c.count));
    CHECK(looked_at_by(&c, 1000) <= 8000); /* walking them would be 16,384,000 */
    ckiti_changes_fini(&c);
}
