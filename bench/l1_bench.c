/* The memory tier against the floor of its work, and what an entry costs. */
#include "bench.h"
#include "l1_floor.h"

#include "memory/l1.h"
#include <cachekit/value.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 100000u
#define DRAWS (1u << 20)
#define VALUE_BYTES 64u
#define BUDGET (UINT64_C(100) << 20)
#define NOW_MS 1000000u
#define LIFE_MS 3600000u
#define TAG 1u
#define MANY 32u
#define VOID_FLOOR_NS 65.0

typedef struct l1_work {
    uint8_t (*keys)[24]; /* of which L1_FLOOR_KEY count */
    const uint32_t *draws;
    size_t          draw_mask;
    l1_floor        floor;
    ckiti_l1       *tier;
} l1_work;

static void make_key(uint8_t *out, uint32_t number) {
    char text[32];
    snprintf(text, sizeof text, "user:%013u", number);
    memcpy(out, text, L1_FLOOR_KEY);
}

static ckiti_l1 *open_tier(uint64_t budget) {
    ckit_error       err = CKIT_ERROR_INIT;
    ckiti_l1        *tier = NULL;
    ckiti_l1_options options = {.max_bytes = budget, .seed = 42};
    if (ckiti_l1_open(&options, &tier, &err) != CKIT_OK) {
        fprintf(stderr, "l1: %s\n", err.text);
        exit(2);
    }
    return tier;
}

static void put(ckiti_l1 *tier, const uint8_t *key, const uint8_t *value, size_t value_len) {
    ckiti_l1_put_args args = {
        .key = {key, L1_FLOOR_KEY}, .value = {value, value_len}, .life_ms = LIFE_MS, .birth = 1, .tag = TAG};
    args.hash = ckiti_l1_hash(tier, args.key);
    (void)ckiti_l1_put(tier, &args, NOW_MS);
}

static void make_value(uint8_t *value, uint32_t number) {
    for (uint32_t i = 0; i < VALUE_BYTES; i++) {
        value[i] = (uint8_t)(number + i);
    }
}

static void prepare(l1_work *work, const uint32_t *draws, size_t draw_count) {
    work->keys = bench_alloc(KEYS * sizeof *work->keys);
    work->draws = draws;
    work->draw_mask = draw_count - 1;
    work->tier = open_tier(BUDGET);
    l1_floor_init(&work->floor, KEYS);
    uint8_t value[VALUE_BYTES];
    for (uint32_t i = 0; i < KEYS; i++) {
        make_key(work->keys[i], i);
        make_value(value, i);
        put(work->tier, work->keys[i], value, VALUE_BYTES);
        l1_floor_put(&work->floor, work->keys[i], value);
    }
}

/* ---- what is timed --------------------------------------------------------------------------------------- */

static inline const uint8_t *drawn_key(const l1_work *work, unsigned thread, uint64_t i) {
    return work->keys[work->draws[(i + thread * 311u) & work->draw_mask]];
}

static void floor_get(void *context, unsigned thread, uint64_t operations) {
    const l1_work *work = context;
    uint8_t        value[VALUE_BYTES];
    for (uint64_t i = 0; i < operations; i++) {
        bench_keep(l1_floor_get(&work->floor, drawn_key(work, thread, i), value));
        bench_keep(value[0]);
    }
}

/* A small value is a copy: there is nothing to give back before the next one is read into the same place. */
static inline void give_back(ckit_value *value) {
    if (value->release != NULL) {
        ckit_value_fini(value);
    }
}

static void tier_get(void *context, unsigned thread, uint64_t operations) {
    const l1_work *work = context;
    ckit_value     value = CKIT_VALUE_INIT;
    ckiti_l1_query query = {.key = {NULL, L1_FLOOR_KEY}, .tag = TAG};
    for (uint64_t i = 0; i < operations; i++) {
        query.key.ptr = drawn_key(work, thread, i);
        query.hash = ckiti_l1_hash(work->tier, query.key);
        bench_keep(ckiti_l1_get(work->tier, &query, NOW_MS, &value));
        bench_keep(value.inline_bytes[0]);
        give_back(&value);
    }
}

/* One operation is one key. */
static void tier_get_many(void *context, unsigned thread, uint64_t operations) {
    const l1_work *work = context;
    ckiti_l1_query queries[MANY];
    ckit_value     values[MANY];
    ckit_status    answers[MANY];
    for (size_t i = 0; i < MANY; i++) {
        ckit_value_init(&values[i]);
    }
    for (uint64_t done = 0; done < operations; done += MANY) {
        for (size_t i = 0; i < MANY; i++) {
            ckit_slice key = {drawn_key(work, thread, done + i), L1_FLOOR_KEY};
            queries[i] = (ckiti_l1_query){.key = key, .hash = ckiti_l1_hash(work->tier, key), .tag = TAG};
        }
        ckiti_l1_get_many(work->tier, queries, MANY, NOW_MS, values, answers);
        for (size_t i = 0; i < MANY; i++) {
            bench_keep(values[i].inline_bytes[0]);
            give_back(&values[i]);
        }
    }
}

/* Three reads and a write, more keys than fit. */
typedef struct mix_work {
    ckiti_l1 *tier;
    uint8_t (*keys)[24];
    const uint32_t *draws;
    size_t          draw_mask;
} mix_work;

static void mix(void *context, unsigned thread, uint64_t operations) {
    const mix_work *work = context;
    uint8_t         bytes[VALUE_BYTES] = {7};
    ckit_value      value = CKIT_VALUE_INIT;
    for (uint64_t i = 0; i < operations; i++) {
        const uint8_t *key = work->keys[work->draws[(i + thread * 311u) & work->draw_mask]];
        if (i % 4 == 3) {
            put(work->tier, key, bytes, sizeof bytes);
        } else {
            ckiti_l1_query query = {.key = {key, L1_FLOOR_KEY}, .tag = TAG};
            query.hash = ckiti_l1_hash(work->tier, query.key);
            bench_keep(ckiti_l1_get(work->tier, &query, NOW_MS, &value));
            give_back(&value);
        }
    }
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

static void floor_row(bench *b, const char *name, const bench_work *tier, const bench_work *floor, double goal) {
    if (floor->median > VOID_FLOOR_NS) {
        bench_row_plain(b, name, tier->median, "ns", "floor (too slow here: row void)", floor->median);
    } else {
        bench_row_at_most(b, name, tier->median, "ns", "floor", floor->median, goal);
    }
}

static void get_rows(bench *b, l1_work *zipf, l1_work *hot) {
    bench_work works[] = {
        {"floor zipf 1t", floor_get, zipf, 1, 0, 0, 0}, {"zipf 1t", tier_get, zipf, 1, 0, 0, 0},
        {"floor zipf 2t", floor_get, zipf, 2, 0, 0, 0}, {"zipf 2t", tier_get, zipf, 2, 0, 0, 0},
        {"floor hot 1t", floor_get, hot, 1, 0, 0, 0},   {"hot 1t", tier_get, hot, 1, 0, 0, 0},
        {"floor hot 2t", floor_get, hot, 2, 0, 0, 0},   {"hot 2t", tier_get, hot, 2, 0, 0, 0},
        {"get_many", tier_get_many, zipf, 1, 0, 0, 0},
    };
    bench_run(b, works, sizeof works / sizeof works[0]);
    floor_row(b, "l1.get.zipf.1t", &works[1], &works[0], 1.5);
    floor_row(b, "l1.get.zipf.2t", &works[3], &works[2], 1.5);
    floor_row(b, "l1.get.hot.1t", &works[5], &works[4], 2);
    floor_row(b, "l1.get.hot.2t", &works[7], &works[6], 2);
    bench_row_at_most(b, "l1.getmany32", works[8].median, "ns", "one by one", works[1].median, 0.8);
}

static void mix_row(bench *b, const uint32_t *draws) {
    const uint32_t keys = KEYS;
    mix_work       work = {open_tier(UINT64_C(8) << 20), bench_alloc(keys * sizeof *work.keys), draws, DRAWS - 1};
    for (uint32_t i = 0; i < keys; i++) {
        make_key(work.keys[i], i);
    }
    mix(&work, 0, DRAWS);
    bench_work works[] = {{"mix", mix, &work, 1, 0, 0, 0}};
    bench_run(b, works, 1);
    bench_row_plain(b, "l1.mix75", works[0].median, "ns", NULL, 0);
    ckiti_l1_close(work.tier);
    free(work.keys);
}

static void overhead_row(bench *b) {
    const uint32_t entries = 1000000;
    uint8_t        key[24], value[VALUE_BYTES];
    uint64_t       before = bench_resident();
    ckiti_l1      *tier = open_tier(UINT64_C(512) << 20);
    for (uint32_t i = 0; i < entries; i++) {
        make_key(key, i);
        make_value(value, i);
        put(tier, key, value, sizeof value);
    }
    ckiti_l1_stats stats;
    ckiti_l1_get_stats(tier, &stats);
    double each = (double)(bench_resident() - before) / (double)stats.entries;
    bench_row_bound(b, "l1.overhead.bytes", each - L1_FLOOR_KEY - VALUE_BYTES, "bytes", 48);
    if (stats.entries != entries) {
        fprintf(stderr, "l1.overhead.bytes: only %llu entries\n", (unsigned long long)stats.entries);
    }
    ckiti_l1_close(tier);
}

/* ---- counted --------------------------------------------------------------------------------------------- */

static void count_get(uint64_t operations) {
    l1_work work;
    prepare(&work, bench_zipf(0.99, KEYS, DRAWS, 1), DRAWS);
    tier_get(&work, 0, operations);
}

static void count_floor(uint64_t operations) {
    l1_work work;
    prepare(&work, bench_zipf(0.99, KEYS, DRAWS, 1), DRAWS);
    floor_get(&work, 0, operations);
}

static void count_put(uint64_t operations) {
    l1_work work;
    uint8_t value[VALUE_BYTES] = {1};
    prepare(&work, bench_zipf(0.99, KEYS, DRAWS, 1), DRAWS);
    for (uint64_t i = 0; i < operations; i++) {
        put(work.tier, drawn_key(&work, 0, i), value, sizeof value);
    }
}

BENCH_FAMILY(l1) {
    bench_counted(b, "l1.get.floor", count_floor);
    bench_counted(b, "l1.get.zipf", count_get);
    bench_counted(b, "l1.put.zipf", count_put);
    if (bench_is_counting(b)) {
        return;
    }
    overhead_row(b);
    uint32_t *draws = bench_zipf(0.99, KEYS, DRAWS, 1);
    uint32_t  one = draws[0];
    l1_work   zipf, hot;
    prepare(&zipf, draws, DRAWS);
    hot = zipf;
    hot.draws = &one;
    hot.draw_mask = 0;
    get_rows(b, &zipf, &hot);
    ckiti_l1_close(zipf.tier);
    mix_row(b, draws);
    free(zipf.keys);
    free(zipf.floor.slots);
    free(draws);
}
