/* The table of copies: whatever is in memory can be found by its key. */
#include "cache/copies.h"

#include "support/failing_alloc.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <stdlib.h>

#define HOUR_MS UINT64_C(3600000)

typedef struct scene {
    ckiti_l1     *l1;
    ckiti_copies *copies;
} scene;

static void scene_open(scene *s, uint64_t bytes, const ckit_alloc *alloc) {
    ckiti_l1_options options = {.max_bytes = bytes, .seed = 42};
    CHECK_OK(ckiti_l1_open(&options, &s->l1, NULL));
    s->copies = ckiti_copies_new(s->l1, bytes, alloc);
    CHECK(s->copies != NULL);
}

static void scene_close(scene *s) {
    ckiti_copies_free(s->copies);
    ckiti_l1_close(s->l1);
}

/* Keys of the store whose hashes are the numbers themselves, spread. */
static uint64_t key_of(uint64_t number) { return number * UINT64_C(0x9e3779b97f4a7c15) | 1; }

static uint64_t hash_of(const scene *s, const uint64_t *number) {
    return ckiti_l1_hash(s->l1, ckit_slice_of(number, sizeof *number));
}

/* In the order that the cache does it. */
static bool put_copy(scene *s, uint64_t number, uint64_t key) {
    ckiti_l1_put_args args = {.key = ckit_slice_of(&number, sizeof number),
                              .hash = hash_of(s, &number),
                              .value = S("a value"),
                              .life_ms = HOUR_MS,
                              .birth = ckiti_l1_birth(s->l1),
                              .tag = 1};
    return ckiti_copies_add(s->copies, key, args.hash) && ckiti_l1_put(s->l1, &args, 1000) == CKIT_OK;
}

static bool is_in_memory(const scene *s, uint64_t number) { return ckiti_l1_has_hash(s->l1, hash_of(s, &number)); }

CKIT_TEST(copies, a_key_drops_all_its_copies_and_no_other) {
    scene s;
    scene_open(&s, 1 << 20, NULL);
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(put_copy(&s, i, key_of(i / 2)));
    }
    CHECK(put_copy(&s, 6, key_of(3))); /* again */
    CHECK_EQ_U(2, ckiti_copies_drop(s.copies, key_of(3)));
    CHECK_EQ_U(0, ckiti_copies_drop(s.copies, key_of(3)));
    CHECK_EQ_U(0, ckiti_copies_drop(s.copies, key_of(1000)));
    for (uint64_t i = 0; i < 100; i++) {
        CHECKF(is_in_memory(&s, i) == (i / 2 != 3), "entry %llu", (unsigned long long)i);
    }
    scene_close(&s);
}

CKIT_TEST(copies, more_than_one_set_holds_of_one_key_are_still_all_found) {
    scene  s;
    size_t there = 0;
    scene_open(&s, 1 << 20, NULL);
    for (uint64_t i = 0; i < 50; i++) {
        CHECK(put_copy(&s, i, key_of(1)));
    }
    for (uint64_t i = 0; i < 50; i++) {
        there += is_in_memory(&s, i);
    }
    CHECK_BETWEEN_U(1, CKITI_COPY_WAYS, there);
    CHECK_EQ_U(there, ckiti_copies_drop(s.copies, key_of(1)));
    scene_close(&s);
}

/* Entries that cannot be found by their key, of the first `count`. */
static size_t overlooked(scene *s, uint64_t count) {
    size_t missed = 0;
    for (uint64_t i = 0; i < count; i++) {
        bool   there = is_in_memory(s, i);
        size_t dropped = ckiti_copies_drop(s->copies, key_of(i));
        missed += there && dropped == 0;
    }
    return missed;
}

CKIT_TEST(copies, none_is_overlooked_however_many_come) {
    static const uint64_t sizes[] = {64 << 10, 256 << 10, 4 << 20};
    for (size_t i = 0; i < 3; i++) {
        scene          s;
        ckiti_l1_stats stats;
        scene_open(&s, sizes[i], NULL);
        for (uint64_t n = 0; n < 30000; n++) {
            CHECK(put_copy(&s, n, key_of(n)));
        }
        ckiti_l1_get_stats(s.l1, &stats);
        CHECK(stats.used_bytes <= stats.max_bytes);
        CHECK_EQ_U(0, overlooked(&s, 30000));
        ckiti_l1_get_stats(s.l1, &stats);
        CHECK_EQ_U(0, stats.entries);
        scene_close(&s);
    }
}

CKIT_TEST(copies, few_are_given_up_while_there_is_room) {
    scene          s;
    ckiti_l1_stats stats;
    scene_open(&s, 16 << 20, NULL);
    for (uint64_t n = 0; n < 40000; n++) {
        CHECK(put_copy(&s, n, key_of(n)));
    }
    ckiti_l1_get_stats(s.l1, &stats);
    CHECK(stats.entries >= 39990);
    scene_close(&s);
}

CKIT_TEST(copies, rows_of_entries_that_memory_has_evicted_are_used_again) {
    scene          s;
    ckiti_l1_stats before, after;
    scene_open(&s, 1 << 20, NULL);
    for (uint64_t n = 0; n < 2000; n++) {
        CHECK(put_copy(&s, n, key_of(n)));
    }
    ckiti_l1_get_stats(s.l1, &before);
    for (uint64_t round = 1; round < 20; round++) { /* the tier is emptied, and filled with others */
        ckiti_l1_invalidate_all(s.l1);
        while (ckiti_l1_sweep(s.l1, 1000, 1024, NULL, NULL) > 0) {}
        for (uint64_t n = 0; n < 2000; n++) {
            CHECK(put_copy(&s, n + round * 10000, key_of(n + round * 10000)));
        }
    }
    ckiti_l1_get_stats(s.l1, &after);
    CHECK(after.used_bytes <= after.max_bytes);
    size_t there = 0;
    for (uint64_t n = 190000; n < 192000; n++) {
        bool is_there = is_in_memory(&s, n);
        CHECK_EQ_U(is_there, ckiti_copies_drop(s.copies, key_of(n)));
        there += is_there;
    }
    CHECK(there > 1900);
    CHECK_BETWEEN_U(before.used_bytes / 2, before.used_bytes * 2, after.used_bytes);
    scene_close(&s);
}

CKIT_TEST(copies, without_memory_nothing_becomes_a_copy_that_cannot_be_found) {
    failing_alloc fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    scene s;
    scene_open(&s, 1 << 20, &fa.alloc);
    CHECK(put_copy(&s, 1, key_of(1)));
    fa.fail_at = fa.requests;
    fa.fail_on = true;
    size_t kept = 0;
    for (uint64_t n = 2; n < 5000; n++) {
        kept += put_copy(&s, n, key_of(n));
    }
    CHECK(kept < 4998); /* groups that have no rows yet */
    CHECK_EQ_U(0, overlooked(&s, 5000));
    scene_close(&s);
    failing_alloc_check_empty(&fa);
}
