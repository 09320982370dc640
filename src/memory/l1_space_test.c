/* What the tier may take, and what becomes of what it held. Of arena.c, books.c, space.c and sweep.c. */
#include "memory/l1_test.h"
#include <unistd.h>

static uint64_t resident_bytes(void) {
    unsigned long total = 0, resident = 0;
    FILE         *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        fclose(file);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Puts `count` values and checks after each that the budget holds and that the newest is there. */
static void fill(ckiti_l1 *l1, uint64_t first, uint64_t count, size_t (*length)(uint64_t number)) {
    static uint8_t bytes[2 << 20];
    char           buffer[32];
    for (uint64_t i = first; i < first + count; i++) {
        size_t     len = length(i);
        ckit_slice key = number_key(buffer, sizeof buffer, i);
        ckit_value value = CKIT_VALUE_INIT;
        describe_value(bytes, len, i);
        CHECK_OK(put_at(l1, key, (ckit_slice){bytes, len}, HOUR_MS, T0));
        CHECK_OK(get_at(l1, key, T0, &value));
        CHECKF(value_is(value.data, len, i), "number %llu of %zu bytes", (unsigned long long)i, len);
        ckit_value_fini(&value);
        ckiti_l1_stats stats = stats_of(l1);
        CHECKF(stats.used_bytes <= stats.max_bytes, "used %llu of %llu after number %llu of %zu bytes",
               (unsigned long long)stats.used_bytes, (unsigned long long)stats.max_bytes, (unsigned long long)i, len);
    }
}

static size_t tiny(uint64_t number) { return number % 20; }
static size_t small(uint64_t number) { return 30 + number % 70; }
static size_t middle(uint64_t number) { return 1000 + number * 7919 % 9000; }
static size_t large(uint64_t number) { return 100000 + number * 7919 % 200000; }
static size_t mixed(uint64_t number) {
    size_t (*const kinds[])(uint64_t) = {tiny, small, small, small, middle, small, tiny, large};
    return kinds[number * 31 % 8](number);
}

CKIT_TEST(space, the_budget_holds_with_entries_of_one_size) {
    ckiti_l1 *l1 = open_tier(1 << 20);
    fill(l1, 0, 20000, small);
    ckiti_l1_stats stats = stats_of(l1);
    CHECK(stats.evicted > 10000);
    CHECK_EQ_U(20000, stats.entries + stats.evicted);
    CHECK(stats.used_bytes > stats.max_bytes / 10 * 8);
    ckiti_l1_close(l1);
}

CKIT_TEST(space, the_budget_holds_with_mixed_sizes) {
    ckiti_l1 *l1 = open_tier(4 << 20);
    fill(l1, 0, 20000, mixed);
    CHECK_EQ_U(0, stats_of(l1).rejected);
    ckiti_l1_close(l1);
}

CKIT_TEST(space, the_smallest_budget_works_with_every_size) {
    ckiti_l1 *l1 = open_tier(65536);
    fill(l1, 0, 3000, small);
    fill(l1, 3000, 300, middle);
    fill(l1, 4000, 3000, tiny);
    CHECK(stats_of(l1).entries > 200);
    ckiti_l1_close(l1);
}

CKIT_TEST(space, memory_goes_to_other_sizes_when_the_sizes_shift) {
    size_t (*const phases[])(uint64_t) = {small, middle, tiny, large, small, large, middle, small};
    const uint64_t max_bytes = UINT64_C(32) << 20;
    ckiti_l1      *l1 = open_tier(max_bytes);
    uint64_t       before = resident_bytes(), number = 0;
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        uint64_t bytes = phases[i](1) + 100;
        uint64_t count = max_bytes * 3 / 2 / bytes;
        count = count < 60000 ? count : 60000;
        fill(l1, number, count, phases[i]);
        number += count;
        uint64_t after = resident_bytes();
        uint64_t growth = after > before ? after - before : 0;
#ifndef INSTRUMENTED /* shadow memory counts */
        CHECKF(growth <= max_bytes + max_bytes / 10 + (1 << 20), "grown by %llu in phase %zu",
               (unsigned long long)growth, i);
#else
        (void)growth;
#endif
        if (phases[i] == middle || phases[i] == large) { /* the new size has most of the memory, not the scraps */
            CHECK(stats_of(l1).entries * bytes > max_bytes / 2);
        }
    }
    CHECK_EQ_U(0, stats_of(l1).rejected);
    ckiti_l1_close(l1);
}

static size_t megabyte(uint64_t number) { return 1000000 + number % 100; }

CKIT_TEST(space, a_hundred_values_of_a_megabyte_fill_a_hundred_megabytes) {
    ckiti_l1 *l1 = open_tier(UINT64_C(104857600));
    fill(l1, 0, 300, megabyte);
    CHECK_BETWEEN_U(98, 104, stats_of(l1).entries);
    ckiti_l1_close(l1);
}

CKIT_TEST(space, a_value_that_can_never_fit_is_refused_and_the_old_one_goes) {
    static uint8_t bytes[2 << 20];
    ckiti_l1      *l1 = open_tier(1 << 20);
    CHECK_OK(put(l1, "k", "old"));
    CHECK_OK(put(l1, "other", "stays"));
    CHECK_STATUS(CKIT_E_TOO_LARGE, put_at(l1, S("k"), (ckit_slice){bytes, sizeof bytes}, HOUR_MS, T0));
    CHECK_STATUS(CKIT_MISS, probe(l1, "k"));
    CHECK_OK(probe(l1, "other"));
    CHECK_EQ_U(1, stats_of(l1).rejected);
    ckiti_l1_close(l1);
}

CKIT_TEST(space, tiers_share_a_budget) {
    ckiti_l1_budget  shared = {.max_bytes = 2 << 20};
    ckiti_l1_options options = {.max_bytes = UINT64_C(16) << 20, .shared = &shared};
    ckiti_l1        *a = NULL, *b = NULL;
    char             buffer[32];
    CHECK_OK(ckiti_l1_open(&options, &a, NULL));
    options.max_bytes = 1 << 20;
    CHECK_OK(ckiti_l1_open(&options, &b, NULL));
    for (uint64_t i = 0; i < 40000; i++) {
        ckit_slice key = number_key(buffer, sizeof buffer, i);
        CHECK_OK(put_at(i % 2 == 0 ? a : b, key, S("some bytes of a value"), HOUR_MS, T0));
        CHECK(atomic_load(&shared.used_bytes) <= shared.max_bytes);
    }
    CHECK_EQ_U(atomic_load(&shared.used_bytes), stats_of(a).used_bytes + stats_of(b).used_bytes);
    ckiti_l1_close(a);
    CHECK_EQ_U(atomic_load(&shared.used_bytes), stats_of(b).used_bytes);
    ckiti_l1_close(b);
    CHECK_EQ_U(0, atomic_load(&shared.used_bytes));
}

/* ---- values that are held -------------------------------------------------------------------------------- */

static void hold_and_drop(size_t len) {
    static uint8_t bytes[1 << 20];
    ckiti_l1      *l1 = open_tier(4 << 20);
    ckit_value     first = CKIT_VALUE_INIT, second = CKIT_VALUE_INIT;
    describe_value(bytes, len, 5);
    CHECK_OK(put_at(l1, S("k"), (ckit_slice){bytes, len}, HOUR_MS, T0));
    CHECK_OK(get_at(l1, S("k"), T0, &first));
    CHECK_OK(get_at(l1, S("k"), T0, &second));
    uint64_t       life;
    ckiti_l1_query query = query_of(l1, S("k"));
    for (uint64_t i = 0; i < 20 && ckiti_l1_peek(l1, &query, T0, &life) == CKIT_OK; i++) {
        fill(l1, i * 20000, 20000, small); /* two uses long ago do not keep it */
    }
    CHECK_STATUS(CKIT_MISS, ckiti_l1_peek(l1, &query, T0, &life));
    CHECK(value_is(first.data, len, 5));
    ckit_value_fini(&first);
    CHECK(value_is(second.data, len, 5));
    fill(l1, 0, 2000, middle);
    ckiti_l1_close(l1);
    CHECK(value_is(second.data, len, 5));
    ckit_value_fini(&second);
}

CKIT_TEST(space, a_held_value_outlives_eviction_and_close) {
    hold_and_drop(10);
    hold_and_drop(CKIT_VALUE_INLINE);
    hold_and_drop(CKIT_VALUE_INLINE + 1);
    hold_and_drop(5000);
    hold_and_drop(500000);
}

CKIT_TEST(space, a_held_value_stays_as_it_was_when_its_key_is_replaced) {
    static uint8_t bytes[1000];
    ckiti_l1      *l1 = open_tier(4 << 20);
    ckit_value     value = CKIT_VALUE_INIT;
    for (uint64_t i = 0; i < 3000; i++) {
        describe_value(bytes, sizeof bytes, i);
        CHECK_OK(put_at(l1, S("k"), S_ARRAY(bytes), HOUR_MS, T0));
        if (i == 100) {
            CHECK_OK(get_at(l1, S("k"), T0, &value));
        }
    }
    CHECK(value_is(value.data, sizeof bytes, 100));
    ckit_value_fini(&value);
    ckiti_l1_close(l1);
}

/* ---- objects --------------------------------------------------------------------------------------------- */

static void count_release(void *object, void *context) {
    (void)context;
    ++*(int *)object;
}

static ckit_status put_object(ckiti_l1 *l1, const char *key, int *released, size_t size) {
    ckit_object       object = {.object = released, .size = size, .release = count_release};
    ckiti_l1_put_args args = args_of(l1, S(key), S(""));
    args.object = &object;
    return ckiti_l1_put(l1, &args, T0);
}

CKIT_TEST(space, an_object_is_released_once_when_it_is_evicted_replaced_or_removed) {
    ckiti_l1 *l1 = open_tier(1 << 20);
    int       released[4] = {0};
    CHECK_OK(put_object(l1, "evicted", &released[0], 100));
    fill(l1, 0, 20000, small);
    CHECK_EQ_I(1, released[0]);
    CHECK_OK(put_object(l1, "replaced", &released[1], 100));
    CHECK_OK(put_object(l1, "replaced", &released[2], 100));
    CHECK_OK(put_object(l1, "removed", &released[3], 100));
    CHECK_OK(ckiti_l1_remove(l1, S("removed"), ckiti_l1_hash(l1, S("removed"))));
    ckiti_l1_sweep(l1, T0, 0, NULL, NULL);
    ckiti_l1_close(l1);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ_I(1, released[i]);
    }
}

CKIT_TEST(space, an_object_is_released_after_its_last_reader) {
    ckiti_l1  *l1 = open_tier(1 << 20);
    ckit_value one = CKIT_VALUE_INIT, two = CKIT_VALUE_INIT;
    int        released = 0;
    CHECK_OK(put_object(l1, "k", &released, 100));
    CHECK_OK(get_at(l1, S("k"), T0, &one));
    CHECK_OK(get_at(l1, S("k"), T0, &two));
    CHECK_EQ_P(&released, one.object);
    CHECK_EQ_U(0, one.data.len);
    CHECK_OK(ckiti_l1_remove(l1, S("k"), ckiti_l1_hash(l1, S("k"))));
    ckit_value_fini(&one);
    ckiti_l1_close(l1);
    CHECK_EQ_I(0, released);
    ckit_value_fini(&two);
    CHECK_EQ_I(1, released);
}

CKIT_TEST(space, objects_are_charged_with_their_size) {
    static int released[100];
    ckiti_l1  *l1 = open_tier(1 << 20);
    char       buffer[32];
    memset(released, 0, sizeof released);
    for (uint64_t i = 0; i < 100; i++) {
        ckit_slice key = number_key(buffer, sizeof buffer, i);
        CHECK_OK(put_object(l1, (const char *)key.ptr, &released[i], 100000));
        CHECK(stats_of(l1).used_bytes <= 1 << 20);
    }
    CHECK_BETWEEN_U(8, 10, stats_of(l1).entries);
    ckiti_l1_close(l1);
    for (uint64_t i = 0; i < 100; i++) {
        CHECK_EQ_I(1, released[i]);
    }
}

CKIT_TEST(space, a_refused_object_stays_its_givers) {
    ckiti_l1 *l1 = open_tier(1 << 20);
    int       released = 0;
    CHECK_STATUS(CKIT_E_TOO_LARGE, put_object(l1, "k", &released, 2 << 20));
    ckiti_l1_invalidate_all(l1);
    ckit_object       object = {.object = &released, .size = 1, .release = count_release};
    ckiti_l1_put_args args = args_of(l1, S("k"), S(""));
    args.object = &object;
    args.birth = 1;
    CHECK_STATUS(CKIT_MISS, ckiti_l1_put(l1, &args, T0));
    ckiti_l1_close(l1);
    CHECK_EQ_I(0, released);
}

/* ---- no memory ------------------------------------------------------------------------------------------- */

CKIT_TEST(space, every_failing_allocation_leaves_a_working_tier_or_none) {
    for (uint64_t n = 0;; n++) {
        failing_alloc    fa;
        ckiti_l1        *l1 = NULL;
        ckit_error       err = CKIT_ERROR_INIT;
        ckiti_l1_options options = {.max_bytes = 1 << 20, .alloc = &fa.alloc};
        failing_alloc_init(&fa, n);
        ckit_status st = ckiti_l1_open(&options, &l1, &err);
        if (st == CKIT_OK) {
            fill(l1, 0, 1500, small);
            ckiti_l1_close(l1);
        } else {
            CHECK_STATUS_ERR(CKIT_E_NO_MEMORY, st, &err);
            CHECK(l1 == NULL);
        }
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            break;
        }
    }
}

CKIT_TEST(space, a_tier_without_any_more_memory_evicts) {
    failing_alloc fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    ckiti_l1 *l1 = open_tier_on(1 << 20, &fa.alloc);
    fill(l1, 0, 10, small);
    atomic_store(&fa.fail_at, atomic_load(&fa.requests));
    atomic_store(&fa.fail_on, true);
    fill(l1, 10, 5000, tiny);
    CHECK(stats_of(l1).entries >= 40);
    ckiti_l1_close(l1);
    failing_alloc_check_empty(&fa);
}
