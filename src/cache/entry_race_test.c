/* Entries by key: two who change or read one key at the same time. Of entry.c. */
#include "cache/cache_fixture.h"

#include <stdlib.h>

static ckit_status get(ckit_cache *cache) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = ckit_cache_get(cache, S("key"), NULL, &value, NULL);
    ckit_value_fini(&value);
    return st;
}

static ckit_status set_for(ckit_cache *cache, const char *text, uint64_t ttl_ms) {
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.ttl_ms = ttl_ms;
    return ckit_cache_set(cache, S("key"), S(text), &options, NULL);
}

static ckit_status set(ckit_cache *cache, const char *text) { return set_for(cache, text, 0); }

static ckit_status touch(ckit_cache *cache, uint64_t ttl_ms) {
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.ttl_ms = ttl_ms;
    return ckit_cache_touch(cache, S("key"), &options, NULL);
}

typedef struct change {
    ckit_cache *cache;
    const char *value; /* NULL: deletes; "?": gets; "+": gives it the life `ttl_ms` */
    uint64_t    ttl_ms;
    pthread_t   thread;
    ckit_status status;
} change;

static void *make_change(void *arg) {
    change *c = arg;
    if (c->value == NULL) {
        c->status = ckit_cache_delete(c->cache, S("key"), NULL, NULL);
    } else if (strcmp(c->value, "?") == 0) {
        c->status = get(c->cache);
    } else if (strcmp(c->value, "+") == 0) {
        c->status = touch(c->cache, c->ttl_ms);
    } else {
        c->status = set(c->cache, c->value);
    }
    return NULL;
}

static void start(change *c, ckit_cache *cache, const char *value) {
    c->cache = cache;
    c->value = value;
    CHECK_EQ_I(0, pthread_create(&c->thread, NULL, make_change, c));
}

static ckit_status join(change *c) {
    pthread_join(c->thread, NULL);
    return c->status;
}

/* Memory and store hold the same, or memory nothing. */
static void check_agreement(fixture *f) {
    ckit_value  here = CKIT_VALUE_INIT, there = CKIT_VALUE_INIT;
    ckit_cache *other = fixture_cache(f, FAKE_FULL);
    ckit_status seen = ckit_cache_get(f->cache, S("key"), NULL, &here, NULL);
    ckit_status stored = ckit_cache_get(other, S("key"), NULL, &there, NULL);
    CHECK_STATUS(stored, seen);
    CHECK_BYTES(there.data, here.data);
    ckit_value_fini(&here);
    ckit_value_fini(&there);
    ckit_cache_close(other);
}

CKIT_TEST(race, two_who_set_leave_the_tiers_agreeing) {
    for (int order = 0; order < 2; order++) {
        fixture f;
        change  one, two;
        fixture_open(&f, FAKE_FULL);
        fake_shut(f.store, FAKE_SET, order == 0 ? FAKE_BEFORE : FAKE_AFTER);
        start(&one, f.cache, "one");
        fake_wait_stopped(f.store, FAKE_SET, 1);
        start(&two, f.cache, "two");
        if (order == 0) { /* the gate lets one through while the other waits */
            fake_wait_stopped(f.store, FAKE_SET, 2);
        }
        fake_open_gate(f.store, FAKE_SET);
        CHECK_OK(join(&one));
        CHECK_OK(join(&two));
        check_agreement(&f);
        fixture_close(&f);
    }
}

CKIT_TEST(race, a_delete_during_a_set_leaves_the_tiers_agreeing) {
    for (int when = FAKE_BEFORE; when <= FAKE_AFTER; when++) {
        fixture f;
        change  setter, deleter;
        fixture_open(&f, FAKE_FULL);
        CHECK_OK(set(f.cache, "old"));
        fake_shut(f.store, FAKE_SET, when == FAKE_BEFORE ? FAKE_BEFORE : FAKE_AFTER);
        start(&setter, f.cache, "new");
        fake_wait_stopped(f.store, FAKE_SET, 1);
        if (when == FAKE_BEFORE) {
            CHECK_OK(ckit_cache_delete(f.cache, S("key"), NULL, NULL));
            fake_open_gate(f.store, FAKE_SET);
        } else { /* the store is busy with the set until the gate opens */
            start(&deleter, f.cache, NULL);
            fake_open_gate(f.store, FAKE_SET);
            CHECK_OK(join(&deleter));
        }
        CHECK_OK(join(&setter));
        check_agreement(&f);
        fixture_close(&f);
    }
}

CKIT_TEST(race, a_set_during_a_delete_leaves_the_tiers_agreeing) {
    fixture f;
    change  deleter;
    fixture_open(&f, FAKE_FULL);
    CHECK_OK(set(f.cache, "old"));
    fake_shut(f.store, FAKE_REMOVE, FAKE_BEFORE);
    start(&deleter, f.cache, NULL);
    fake_wait_stopped(f.store, FAKE_REMOVE, 1);
    CHECK_OK(set(f.cache, "new"));
    fake_open_gate(f.store, FAKE_REMOVE);
    CHECK_OK(join(&deleter));
    check_agreement(&f);
    fixture_close(&f);
}

CKIT_TEST(race, a_get_does_not_keep_what_was_set_or_deleted_while_it_read) {
    for (int deletes = 0; deletes < 2; deletes++) {
        fixture f;
        change  reader;
        fixture_open(&f, FAKE_FULL);
        ckit_cache *other = fixture_cache(&f, FAKE_FULL);
        CHECK_OK(set(other, "old"));
        fake_shut(f.store, FAKE_GET, FAKE_AFTER);
        start(&reader, f.cache, "?");
        fake_wait_stopped(f.store, FAKE_GET, 1);
        if (deletes) {
            CHECK_OK(ckit_cache_delete(f.cache, S("key"), NULL, NULL));
        } else {
            CHECK_OK(set(f.cache, "new"));
        }
        fake_open_gate(f.store, FAKE_GET);
        CHECK_OK(join(&reader)); /* it began before */
        check_agreement(&f);
        ckit_cache_close(other);
        fixture_close(&f);
    }
}

CKIT_TEST(race, a_get_does_not_keep_a_life_that_was_touched_while_it_read) {
    fixture f;
    change  reader;
    fixture_open(&f, FAKE_FULL);
    ckit_cache *other = fixture_cache(&f, FAKE_FULL);
    CHECK_OK(set(other, "old"));
    fake_shut(f.store, FAKE_GET, FAKE_AFTER);
    start(&reader, f.cache, "?");
    fake_wait_stopped(f.store, FAKE_GET, 1);
    CHECK_OK(touch(f.cache, 10));
    fake_open_gate(f.store, FAKE_GET);
    CHECK_OK(join(&reader));
    fake_clock_advance(&f.time, 10);
    CHECK_STATUS(CKIT_MISS, get(f.cache));
    ckit_cache_close(other);
    fixture_close(&f);
}

/* The store has the longer life first: memory must not give it to what the store has got since then. */
CKIT_TEST(race, a_life_that_the_store_has_shortened_meanwhile_is_not_kept) {
    for (int sets = 0; sets < 2; sets++) {
        fixture f;
        change  one = {.ttl_ms = 60000};
        fixture_open(&f, FAKE_FULL);
        CHECK_OK(set(f.cache, "old"));
        fake_shut(f.store, FAKE_TOUCH, FAKE_AFTER);
        start(&one, f.cache, "+");
        fake_wait_stopped(f.store, FAKE_TOUCH, 1);
        if (sets) {
            CHECK_OK(set_for(f.cache, "new", 1000));
        } else {
            change two = {.ttl_ms = 1000};
            start(&two, f.cache, "+");
            fake_wait_stopped(f.store, FAKE_TOUCH, 2);
            fake_open_gate(f.store, FAKE_TOUCH);
            CHECK_OK(join(&two));
        }
        fake_open_gate(f.store, FAKE_TOUCH);
        CHECK_OK(join(&one));
        fake_clock_advance(&f.time, 1000);
        CHECK_STATUS(CKIT_MISS, get(f.cache));
        fixture_close(&f);
    }
}

/* ---- without a store --------------------------------------------------------------------------------------------- */

/* An allocator in which, once, somebody else sets the key: what asks it for memory has begun by then. */
typedef struct meddler {
    ckit_cache *cache;
    bool        meddles;
} meddler;

static void *meddle(void *self, size_t size) {
    meddler *m = self;
    if (m->meddles) {
        m->meddles = false;
        CHECK_OK(set(m->cache, "other"));
    }
    return malloc(size);
}

static void *resize(void *self, void *ptr, size_t old_size, size_t new_size) {
    (void)self, (void)old_size;
    return ptr == NULL ? meddle(self, new_size) : realloc(ptr, new_size);
}

static void release(void *self, void *ptr, size_t size) {
    (void)self, (void)size;
    free(ptr);
}

CKIT_TEST(race, of_two_who_set_without_a_store_the_last_one_stays) {
    fixture    f;
    ckit_value value = CKIT_VALUE_INIT;
    meddler    m = {.meddles = false};
    ckit_alloc alloc = {.alloc = meddle, .resize = resize, .release = release, .self = &m};
    fixture_prepare(&f);
    f.options.alloc = &alloc;
    fixture_start_memory(&f);
    m.cache = f.cache;
    m.meddles = true;
    CHECK_OK(set(f.cache, "own"));
    CHECK(!m.meddles);
    CHECK_OK(ckit_cache_get(f.cache, S("key"), NULL, &value, NULL));
    CHECK_BYTES(S("own"), value.data);
    ckit_value_fini(&value);
    fixture_close(&f);
}
