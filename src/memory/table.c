#include "memory/table.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "memory/readers.h"

_Static_assert(sizeof(ckiti_bucket) == 64, "a bucket is one cache line");
_Static_assert(sizeof(ckiti_table) == 64, "buckets begin on a line");

#define MAPPED_FROM_BYTES 8192u /* larger tables are mapped, so that their memory goes back to the system */
#define FEWEST_BUCKETS 4u

ckiti_table *ckiti_table_new(size_t entries, const ckit_alloc *alloc) {
    size_t buckets = entries / (CKITI_BUCKET_SLOTS * 7u / 8u) + 1;
    buckets = buckets < FEWEST_BUCKETS ? FEWEST_BUCKETS : buckets;
    size_t bytes = sizeof(ckiti_table) + buckets * sizeof(ckiti_bucket);
    if (buckets > UINT32_MAX / CKITI_BUCKET_SLOTS) {
        return NULL;
    }
    ckiti_table *table = NULL;
    void        *block = NULL;
    if (bytes >= MAPPED_FROM_BYTES) {
        bytes = ckiti_map_round(bytes);
        buckets = bytes / sizeof(ckiti_bucket) - 1;
        table = ckiti_map(bytes);
    } else {
        bytes += 64;
        block = ckiti_alloc_zeroed(alloc, 1, bytes);
        if (block != NULL) {
            table = (ckiti_table *)(void *)((char *)block + ((size_t)(-(uintptr_t)block) & 63u));
        }
    }
    if (table != NULL) {
        table->bucket_count = (uint32_t)buckets;
        table->entry_limit = (uint32_t)(buckets * CKITI_BUCKET_SLOTS / 8u * 7u);
        table->bytes = bytes;
        table->block = block;
    }
    return table;
}

void ckiti_table_free(ckiti_table *table, const ckit_alloc *alloc) {
    if (table == NULL) {
        return;
    }
    if (table->block == NULL) {
        ckiti_unmap(table, table->bytes);
    } else {
        ckiti_free(alloc, table->block, table->bytes);
    }
}

/* Only the writer changes words, so its own loads need no order. */
static uint64_t tags_of(const ckiti_bucket *bucket, unsigned word) {
    return atomic_load_explicit(&bucket->tags[word], memory_order_relaxed);
}
static uint32_t reference_at(const ckiti_bucket *bucket, unsigned slot) {
    return atomic_load_explicit(&bucket->refs[slot], memory_order_relaxed);
}

static void set_tag(ckiti_bucket *bucket, unsigned slot, uint8_t tag) {
    unsigned word = slot / 8;
    unsigned shift = slot % 8 * 8;
    uint64_t tags = (tags_of(bucket, word) & ~(UINT64_C(0xff) << shift)) | (uint64_t)tag << shift;
    atomic_store_explicit(&bucket->tags[word], tags, memory_order_release);
}

static void add_overflow(ckiti_bucket *bucket, int64_t by) {
    uint64_t tags = tags_of(bucket, 1) + ((uint64_t)by << 32);
    atomic_store_explicit(&bucket->tags[1], tags, memory_order_release);
}

ckiti_place ckiti_table_find_key(ckiti_table *table, const ckiti_arena *arena, uint64_t hash, ckit_slice key) {
    ckiti_bucket *bucket = &table->buckets[ckiti_table_home(table, hash)];
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        uint64_t upper = tags_of(bucket, 1);
        unsigned mask = ckiti_bucket_match(tags_of(bucket, 0), upper, ckiti_table_tag(hash));
        for (; mask != 0; mask &= mask - 1) {
            unsigned slot = (unsigned)__builtin_ctz(mask);
            uint32_t reference = reference_at(bucket, slot);
            if (reference != 0 && ckiti_entry_has_key(ckiti_arena_entry(arena, reference), key)) {
                return (ckiti_place){bucket, slot};
            }
        }
        if (ckiti_bucket_overflow(upper) == 0) {
            break;
        }
        bucket = ckiti_table_after(table, bucket);
    }
    return (ckiti_place){NULL, 0};
}

ckiti_place ckiti_table_find_hash(ckiti_table *table, const ckiti_arena *arena, uint64_t hash, uint64_t seed) {
    ckiti_bucket *bucket = &table->buckets[ckiti_table_home(table, hash)];
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        uint64_t upper = tags_of(bucket, 1);
        unsigned mask = ckiti_bucket_match(tags_of(bucket, 0), upper, ckiti_table_tag(hash));
        for (; mask != 0; mask &= mask - 1) {
            unsigned slot = (unsigned)__builtin_ctz(mask);
            uint32_t reference = reference_at(bucket, slot);
            if (reference != 0 && ckiti_xxh3(ckiti_entry_key(ckiti_arena_entry(arena, reference)), seed) == hash) {
                return (ckiti_place){bucket, slot};
            }
        }
        if (ckiti_bucket_overflow(upper) == 0) {
            break;
        }
        bucket = ckiti_table_after(table, bucket);
    }
    return (ckiti_place){NULL, 0};
}

ckiti_place ckiti_table_find_reference(ckiti_table *table, uint64_t hash, uint32_t reference) {
    ckiti_bucket *bucket = &table->buckets[ckiti_table_home(table, hash)];
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        for (unsigned slot = 0; slot < CKITI_BUCKET_SLOTS; slot++) {
            if (reference_at(bucket, slot) == reference) {
                return (ckiti_place){bucket, slot};
            }
        }
        if (ckiti_bucket_overflow(tags_of(bucket, 1)) == 0) {
            break;
        }
        bucket = ckiti_table_after(table, bucket);
    }
    return (ckiti_place){NULL, 0};
}

static bool place_in(ckiti_bucket *bucket, uint8_t tag, uint32_t reference) {
    for (unsigned slot = 0; slot < CKITI_BUCKET_SLOTS; slot++) {
        if (reference_at(bucket, slot) == 0) {
            /* A reader that sees the tag sees the reference. */
            atomic_store_explicit(&bucket->refs[slot], reference, memory_order_release);
            set_tag(bucket, slot, tag);
            return true;
        }
    }
    return false;
}

bool ckiti_table_insert(ckiti_table *table, uint64_t hash, uint32_t reference) {
    ckiti_bucket *home = &table->buckets[ckiti_table_home(table, hash)];
    ckiti_bucket *bucket = home;
    uint32_t      steps = 0;
    while (!place_in(bucket, ckiti_table_tag(hash), reference)) {
        if (++steps == table->bucket_count) {
            return false;
        }
        bucket = ckiti_table_after(table, bucket);
    }
    for (ckiti_bucket *passed = home; passed != bucket; passed = ckiti_table_after(table, passed)) {
        add_overflow(passed, 1);
    }
    return true;
}

void ckiti_table_remove(ckiti_table *table, uint64_t hash, ckiti_place place) {
    atomic_store_explicit(&place.bucket->refs[place.slot], 0, CKITI_UNPUBLISH);
    set_tag(place.bucket, place.slot, 0);
    ckiti_bucket *home = &table->buckets[ckiti_table_home(table, hash)];
    for (ckiti_bucket *passed = home; passed != place.bucket; passed = ckiti_table_after(table, passed)) {
        add_overflow(passed, -1);
    }
}

#define AHEAD 8u

/* Keys are hashed again: an entry has no room for its hash. Its line is asked for some entries ahead. */
void ckiti_table_copy(ckiti_table *table, const ckiti_table *from, const ckiti_arena *arena, uint64_t seed) {
    uint32_t waiting[AHEAD] = {0};
    unsigned position = 0;
    uint32_t slots = from->bucket_count * CKITI_BUCKET_SLOTS;
    for (uint32_t i = 0; i < slots + AHEAD; i++, position = (position + 1) % AHEAD) {
        uint32_t reference = waiting[position];
        if (reference != 0) {
            uint64_t hash = ckiti_xxh3(ckiti_entry_key(ckiti_arena_entry(arena, reference)), seed);
            (void)ckiti_table_insert(table, hash, reference); /* it is larger: there is room */
        }
        waiting[position] = 0;
        if (i < slots) {
            waiting[position] = reference_at(&from->buckets[i / CKITI_BUCKET_SLOTS], i % CKITI_BUCKET_SLOTS);
            __builtin_prefetch(ckiti_arena_entry(arena, waiting[position]));
        }
    }
}
