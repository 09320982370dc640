#include "memory/tier.h"

/* ---- finding --------------------------------------------------------------------------------------------- */

static inline uint32_t slot_load(ckiti_bucket *bucket, unsigned slot, memory_order order) {
    return atomic_load_explicit(&bucket->refs[slot], order);
}

/* The table, announced. Until `forget`, it will not be freed. */
static inline ckiti_table *announce_table(ckiti_l1 *l1, ckiti_reader *reader, ckiti_shard *shard) {
    ckiti_table *table = atomic_load_explicit(&shard->table, memory_order_acquire);
    for (;;) {
        atomic_store_explicit(&reader->table, table, CKITI_ANNOUNCE);
        ckiti_reader_fence(&l1->readers);
        ckiti_table *again = atomic_load_explicit(&shard->table, CKITI_CONFIRM);
        if (__builtin_expect(again == table, 1)) {
            return table;
        }
        table = again;
    }
}

static inline void forget(ckiti_reader *reader) {
    atomic_store_explicit(&reader->entry, 0, memory_order_release);
    atomic_store_explicit(&reader->table, NULL, memory_order_release);
}

typedef enum found { FOUND, ABSENT, DISTURBED } found;

/* Looks through one table. FOUND: *entry is announced. DISTURBED: a writer was there first, look again. */
static inline found look(ckiti_l1 *l1, ckiti_reader *reader, ckiti_shard *shard, ckiti_table *table,
                         const ckiti_l1_query *query, ckiti_entry **entry) {
    uint8_t       tag = ckiti_table_tag(query->hash);
    ckiti_bucket *bucket = &table->buckets[ckiti_table_home(table, query->hash)];
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        uint64_t lower = atomic_load_explicit(&bucket->tags[0], memory_order_acquire);
        uint64_t upper = atomic_load_explicit(&bucket->tags[1], memory_order_acquire);
        for (unsigned mask = ckiti_bucket_match(lower, upper, tag); mask != 0; mask &= mask - 1) {
            unsigned slot = (unsigned)__builtin_ctz(mask);
            uint32_t reference = slot_load(bucket, slot, memory_order_acquire);
            if (reference == 0) {
                continue;
            }
            *entry = ckiti_arena_entry(&l1->arena, reference);
            __builtin_prefetch((const char *)*entry + 64);
            atomic_store_explicit(&reader->entry, reference, CKITI_ANNOUNCE);
            ckiti_reader_fence(&l1->readers);
            /* The table too: one that was replaced keeps its references when their entries are freed. */
            if (__builtin_expect(slot_load(bucket, slot, CKITI_CONFIRM) != reference, 0) ||
                __builtin_expect(atomic_load_explicit(&shard->table, CKITI_CONFIRM) != table, 0)) {
                return DISTURBED;
            }
            if (__builtin_expect(ckiti_entry_has_key(*entry, query->key), 1)) {
                return FOUND;
            }
        }
        if (__builtin_expect(ckiti_bucket_overflow(upper) == 0, 1)) {
            break;
        }
        bucket = ckiti_table_after(table, bucket);
    }
    return ABSENT;
}

/* The key's entry, announced until `forget`; NULL when there is none. */
static inline ckiti_entry *find(ckiti_l1 *l1, ckiti_reader *reader, ckiti_shard *shard, const ckiti_l1_query *query) {
    for (;;) {
        ckiti_entry *entry = NULL;
        ckiti_table *table = announce_table(l1, reader, shard);
        found        answer = look(l1, reader, shard, table, query, &entry);
        if (__builtin_expect(answer != DISTURBED, 1)) {
            return answer == FOUND ? entry : NULL;
        }
    }
}

/* ---- answering ------------------------------------------------------------------------------------------- */

/* Values of up to CKIT_VALUE_INLINE bytes. Two overlapping copies of fixed size are quicker than a call. */
static inline void copy_value(uint8_t *to, const uint8_t *from, size_t len) {
    if (len > 64) {
        memcpy(to, from, 64);
        memcpy(to + len - 64, from + len - 64, 64);
    } else if (len >= 32) {
        memcpy(to, from, 32);
        memcpy(to + len - 32, from + len - 32, 32);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        if (len > 16) {
            memcpy(to + 8, from + 8, 8);
        }
        memcpy(to + len - 8, from + len - 8, 8);
        if (len > 24) {
            memcpy(to + 16, from + 16, 8);
        }
    } else {
        for (size_t i = 0; i < len; i++) {
            to[i] = from[i];
        }
    }
}

static void release_entry(ckit_value *value) {
    ckiti_l1 *l1;
    memcpy(&l1, value->inline_bytes, sizeof l1);
    ckiti_entry_drop(l1, value->owner);
}

/* Holds the entry beyond the announcement. The tier's address is kept in inline_bytes, which is free then. */
static void hold(ckiti_l1 *l1, ckiti_entry *entry, unsigned flags, ckit_value *out) {
    atomic_fetch_add_explicit(ckiti_entry_references(entry), 1, memory_order_relaxed);
    out->owner = entry;
    out->release = release_entry;
    memcpy(out->inline_bytes, &l1, sizeof l1);
    if (flags & CKITI_ENTRY_OBJECT) {
        ckit_object object;
        memcpy(&object, ckiti_entry_value(entry), sizeof object);
        out->object = object.object;
        out->data = (ckit_slice){NULL, 0};
    } else if (flags & CKITI_ENTRY_OUTSIDE) {
        ckiti_outside outside;
        memcpy(&outside, ckiti_entry_value(entry), sizeof outside);
        out->data = (ckit_slice){outside.ptr, outside.len};
    } else {
        out->data = (ckit_slice){ckiti_entry_value(entry), ckiti_entry_value_len(entry)};
    }
}

static inline ckit_status judge(const ckiti_l1 *l1, ckiti_entry *entry, uint64_t life, const ckiti_l1_query *query,
                                uint64_t now_ms) {
    uint64_t birth = ckiti_entry_birth(entry);
    if (birth < query->min_birth || birth < ckiti_look(&l1->floor) || ckiti_life_tag(life) != query->tag) {
        return CKIT_MISS;
    }
    uint64_t end = ckiti_life_end(life);
    if (__builtin_expect(now_ms < end, 1) || end == CKITI_ENTRY_NO_EXPIRY) {
        return CKIT_OK;
    }
    return now_ms - end < ckiti_entry_stale_ms(entry, ckiti_life_flags(life)) ? CKIT_STALE : CKIT_MISS;
}

ckit_status ckiti_entry_judge(const ckiti_l1 *l1, ckiti_entry *entry, const ckiti_l1_query *query, uint64_t now_ms) {
    return judge(l1, entry, ckiti_entry_life(entry), query, now_ms);
}

static inline ckit_status answer(ckiti_l1 *l1, ckiti_entry *entry, const ckiti_l1_query *query, uint64_t now_ms,
                                 ckit_value *out) {
    if (entry == NULL) {
        return CKIT_MISS;
    }
    uint64_t    life = ckiti_entry_life(entry);
    ckit_status st = judge(l1, entry, life, query, now_ms);
    if (__builtin_expect(st == CKIT_MISS, 0)) {
        return st;
    }
    unsigned flags = ckiti_life_flags(life);
    if (__builtin_expect((flags & CKITI_ENTRY_COUNTED) != 0, 0)) {
        hold(l1, entry, flags, out);
    } else {
        size_t len = ckiti_entry_value_len(entry);
        copy_value(out->inline_bytes, ckiti_entry_value(entry), len);
        out->data = (ckit_slice){out->inline_bytes, len};
        out->object = NULL;
        out->release = NULL;
    }
    out->source = CKIT_SOURCE_MEMORY;
    out->stale = st == CKIT_STALE;
    out->life_ms = st == CKIT_STALE ? 0 : ckiti_life_left(ckiti_life_end(life), now_ms);
    ckiti_policy_hit(&entry->node);
    return st;
}

/* For a thread that could not get a record of its own. */
static __attribute__((noinline)) ckit_status get_locked(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms,
                                                        ckit_value *out) {
    ckiti_shard *shard = ckiti_shard_of(l1, query->hash);
    pthread_mutex_lock(&shard->lock);
    ckiti_place  place = ckiti_table_find_key(ckiti_shard_table(shard), &l1->arena, query->hash, query->key);
    ckiti_entry *entry = place.bucket == NULL ? NULL : ckiti_place_entry(place, &l1->arena);
    ckit_status  st = answer(l1, entry, query, now_ms, out);
    ckiti_add(st == CKIT_OK ? &shard->hits : st == CKIT_STALE ? &shard->stale_hits : &shard->misses, 1);
    pthread_mutex_unlock(&shard->lock);
    return st;
}

static inline ckit_status get(ckiti_l1 *l1, ckiti_reader *reader, const ckiti_l1_query *query, uint64_t now_ms,
                              ckit_value *out) {
    ckiti_entry *entry = find(l1, reader, ckiti_shard_of(l1, query->hash), query);
    ckit_status  st = answer(l1, entry, query, now_ms, out);
    forget(reader);
    if (__builtin_expect(st == CKIT_OK, 1)) {
        ckiti_reader_count(&reader->hits);
    } else {
        ckiti_reader_count(st == CKIT_STALE ? &reader->stale_hits : &reader->misses);
    }
    return st;
}

ckit_status ckiti_l1_get(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, ckit_value *out) {
    ckiti_reader *reader = ckiti_reader_here(&l1->readers);
    if (__builtin_expect(reader == NULL, 0)) {
        return get_locked(l1, query, now_ms, out);
    }
    return get(l1, reader, query, now_ms, out);
}

ckit_status ckiti_l1_peek(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, uint64_t *life_ms) {
    ckiti_shard *shard = ckiti_shard_of(l1, query->hash);
    ckit_status  st = CKIT_MISS;
    pthread_mutex_lock(&shard->lock);
    ckiti_place place = ckiti_table_find_key(ckiti_shard_table(shard), &l1->arena, query->hash, query->key);
    if (place.bucket != NULL) {
        ckiti_entry *entry = ckiti_place_entry(place, &l1->arena);
        uint64_t     life = ckiti_entry_life(entry);
        if (judge(l1, entry, life, query, now_ms) == CKIT_OK) {
            *life_ms = ckiti_life_left(ckiti_life_end(life), now_ms);
            st = CKIT_OK;
        }
    }
    pthread_mutex_unlock(&shard->lock);
    return st;
}

/* ---- many ------------------------------------------------------------------------------------------------ */

#define MANY 32u /* keys whose lines are on their way at the same time */

/* Asks for the bucket of each key, then for the entries. Nothing is believed here; `get` looks again. */
static void prefetch(ckiti_l1 *l1, ckiti_reader *reader, const ckiti_l1_query *queries, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ckiti_shard *shard = ckiti_shard_of(l1, queries[i].hash);
        ckiti_table *table = announce_table(l1, reader, shard);
        __builtin_prefetch(&table->buckets[ckiti_table_home(table, queries[i].hash)]);
    }
    for (size_t i = 0; i < count; i++) {
        ckiti_shard  *shard = ckiti_shard_of(l1, queries[i].hash);
        ckiti_table  *table = announce_table(l1, reader, shard);
        ckiti_bucket *bucket = &table->buckets[ckiti_table_home(table, queries[i].hash)];
        uint64_t      lower = atomic_load_explicit(&bucket->tags[0], memory_order_relaxed);
        uint64_t      upper = atomic_load_explicit(&bucket->tags[1], memory_order_relaxed);
        unsigned      mask = ckiti_bucket_match(lower, upper, ckiti_table_tag(queries[i].hash));
        if (mask != 0) {
            uint32_t    reference = slot_load(bucket, (unsigned)__builtin_ctz(mask), memory_order_relaxed);
            const char *entry = (const char *)ckiti_arena_entry(&l1->arena, reference);
            __builtin_prefetch(entry);
            __builtin_prefetch(entry + 64);
        }
    }
}

void ckiti_l1_get_many(ckiti_l1 *l1, const ckiti_l1_query *queries, size_t count, uint64_t now_ms, ckit_value *out,
                       ckit_status *answers) {
    ckiti_reader *reader = ckiti_reader_here(&l1->readers);
    for (size_t done = 0; done < count;) {
        size_t batch = count - done < MANY ? count - done : MANY;
        if (reader != NULL) {
            prefetch(l1, reader, queries + done, batch);
        }
        for (size_t end = done + batch; done < end; done++) {
            answers[done] = reader == NULL ? get_locked(l1, &queries[done], now_ms, &out[done])
                                           : get(l1, reader, &queries[done], now_ms, &out[done]);
        }
    }
}
