/* memory/table.h - from a hash to references of entries, one cache line a look.
 *
 * A bucket is one line: twelve tags of 8 bits, twelve references, and how many entries that belong here or further left
 * stand further right. An entry stands in its home bucket or in the first one after it that had room; it never moves,
 * so a reader that runs beside a writer cannot miss it. When the table is seven eighths full the shard makes a larger
 * one and publishes it.
 *
 * Writers hold the shard's lock. Readers (l1_read.c) look at buckets without one. */
#ifndef CKITI_MEMORY_TABLE_H
#define CKITI_MEMORY_TABLE_H

#include "memory/arena.h"

#define CKITI_BUCKET_SLOTS 12u

typedef struct ckiti_bucket {
    _Atomic uint64_t tags[2];                  /* slots 0-7; slots 8-11 and, in the upper half, the overflow count */
    _Atomic uint32_t refs[CKITI_BUCKET_SLOTS]; /* 0 = free */
} ckiti_bucket;

typedef struct ckiti_table {
    uint32_t            bucket_count;
    uint32_t            entry_limit; /* grow when more than this many stand in it */
    size_t              bytes;       /* as charged */
    void               *block;       /* what was allocated; NULL when mapped */
    struct ckiti_table *older;       /* in a list of replaced tables */
    char                unused[64 - 32];
    ckiti_bucket        buckets[];
} ckiti_table;

/* Where an entry stands. `bucket` NULL: nowhere. */
typedef struct ckiti_place {
    ckiti_bucket *bucket;
    unsigned      slot;
} ckiti_place;

/* Empty, for at least `entries`; NULL without memory. Not charged. */
ckiti_table *ckiti_table_new(size_t entries, const ckit_alloc *alloc);
void         ckiti_table_free(ckiti_table *table, const ckit_alloc *alloc);

static inline uint8_t  ckiti_table_tag(uint64_t hash) { return (uint8_t)hash; }
static inline uint32_t ckiti_table_home(const ckiti_table *table, uint64_t hash) {
    return (uint32_t)((hash >> 32) * table->bucket_count >> 32);
}
/* The home bucket, reckoned in bytes: fewer instructions than by its number. */
static inline ckiti_bucket *ckiti_table_bucket(ckiti_table *table, uint64_t hash) {
    size_t offset = (size_t)((hash >> 32) * table->bucket_count >> 26) & ~(sizeof(ckiti_bucket) - 1);
    return (ckiti_bucket *)(void *)((char *)table->buckets + offset);
}
static inline ckiti_bucket *ckiti_table_after(ckiti_table *table, ckiti_bucket *bucket) {
    return ++bucket == table->buckets + table->bucket_count ? table->buckets : bucket;
}
static inline unsigned ckiti_bucket_overflow(uint64_t upper_tags) { return (unsigned)(upper_tags >> 32); }

/* One bit for each slot whose tag matches; free slots may match too. */
static inline unsigned ckiti_bucket_match(uint64_t lower_tags, uint64_t upper_tags, uint8_t tag);

ckiti_place ckiti_table_find_key(ckiti_table *table, const ckiti_arena *arena, uint64_t hash, ckit_slice key);
/* The first entry whose key has this hash. */
ckiti_place ckiti_table_find_hash(ckiti_table *table, const ckiti_arena *arena, uint64_t hash, uint64_t seed);
ckiti_place ckiti_table_find_reference(ckiti_table *table, uint64_t hash, uint32_t reference);
/* False when every slot is taken. */
bool ckiti_table_insert(ckiti_table *table, uint64_t hash, uint32_t reference);
void ckiti_table_remove(ckiti_table *table, uint64_t hash, ckiti_place place);
/* Fills an empty table that no reader knows yet with what stands in another one. */
void ckiti_table_copy(ckiti_table *table, const ckiti_table *from, const ckiti_arena *arena, uint64_t seed);

static inline ckiti_entry *ckiti_place_entry(ckiti_place place, const ckiti_arena *arena) {
    return ckiti_arena_entry(arena, atomic_load_explicit(&place.bucket->refs[place.slot], memory_order_relaxed));
}

#ifdef __SSE2__
#include <emmintrin.h>
static inline unsigned ckiti_bucket_match(uint64_t lower_tags, uint64_t upper_tags, uint8_t tag) {
    __m128i tags = _mm_set_epi64x((long long)upper_tags, (long long)lower_tags);
    __m128i same = _mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag));
    return (unsigned)_mm_movemask_epi8(same) & 0xfffu;
}
#else
static inline unsigned ckiti_bucket_match(uint64_t lower_tags, uint64_t upper_tags, uint8_t tag) {
    unsigned mask = 0;
    for (unsigned i = 0; i < CKITI_BUCKET_SLOTS; i++) {
        uint64_t word = i < 8 ? lower_tags : upper_tags;
        mask |= (unsigned)((uint8_t)(word >> 8 * (i % 8)) == tag) << i;
    }
    return mask;
}
#endif

#endif
