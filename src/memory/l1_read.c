#include "memory/tier.h"

#include <cachekit/value.h>

/* ---- finding --------------------------------------------------------------------------------------------- */

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

typedef _Atomic(ckiti_table *) published_table;

/* Announces the shard's table, so that it will not be freed until `forget`. False: it was replaced meanwhile. */
static ALWAYS_INLINE bool announce_table(ckiti_reader *reader, bool fenced, published_table *published,
                                         ckiti_table **table) {
    *table = atomic_load_explicit(published, memory_order_acquire);
    atomic_store_explicit(&reader->table, *table, CKITI_ANNOUNCE);
    ckiti_reader_fence(fenced);
    return LIKELY(atomic_load_explicit(published, CKITI_CONFIRM) == *table);
}

/* Announces the entry in a slot. False: there is none, or none any more. */
static ALWAYS_INLINE bool announce_entry(const ckiti_l1 *l1, ckiti_reader *reader, bool fenced,
                                         published_table *published, const ckiti_table *table,
                                         const _Atomic uint32_t *slot, ckiti_entry **entry) {
    uint32_t reference = atomic_load_explicit(slot, memory_order_acquire);
    *entry = ckiti_arena_entry(&l1->arena, reference);
    __builtin_prefetch((const char *)*entry + 64);
    atomic_store_explicit(&reader->entry, reference, CKITI_ANNOUNCE);
    ckiti_reader_fence(fenced);
    /* The table is looked at too: one that was replaced keeps its references when their entries are freed. */
    return LIKELY(reference != 0) && LIKELY(atomic_load_explicit(slot, CKITI_CONFIRM) == reference) &&
           LIKELY(atomic_load_explicit(published, CKITI_CONFIRM) == table);
}

static ALWAYS_INLINE void forget(ckiti_reader *reader) {
    atomic_store_explicit(&reader->entry, 0, memory_order_release);
    atomic_store_explicit(&reader->table, NULL, memory_order_release);
}

static ALWAYS_INLINE unsigned match(const ckiti_bucket *bucket, uint64_t hash, uint64_t *upper) {
    uint64_t lower = atomic_load_explicit(&bucket->tags[0], memory_order_acquire);
    *upper = atomic_load_explicit(&bucket->tags[1], memory_order_acquire);
    return ckiti_bucket_match(lower, *upper, ckiti_table_tag(hash));
}

/* Looks through one table. False: a writer was there first, look again. */
static bool look(const ckiti_l1 *l1, ckiti_reader *reader, bool fenced, published_table *published, ckiti_table *table,
                 const ckiti_l1_query *query, ckiti_entry **found) {
    ckiti_bucket *bucket = ckiti_table_bucket(table, query->hash);
    *found = NULL;
    for (uint32_t i = 0; i < table->bucket_count; i++, bucket = ckiti_table_after(table, bucket)) {
        uint64_t upper;
        for (unsigned mask = match(bucket, query->hash, &upper); mask != 0; mask &= mask - 1) {
            _Atomic uint32_t *slot = &bucket->refs[__builtin_ctz(mask)];
            ckiti_entry      *entry;
            if (atomic_load_explicit(slot, memory_order_relaxed) == 0) {
                continue;
            }
            if (!announce_entry(l1, reader, fenced, published, table, slot, &entry)) {
                return false;
            }
            if (ckiti_entry_has_key(entry, query->key)) {
                *found = entry;
                return true;
            }
        }
        if (ckiti_bucket_overflow(upper) == 0) {
            break;
        }
    }
    return true;
}

/* The key's entry, announced until `forget`; NULL when there is none. */
static ckiti_entry *find(ckiti_l1 *l1, ckiti_reader *reader, bool fenced, const ckiti_l1_query *query) {
    published_table *published = &l1->tables[ckiti_shard_index(l1, query->hash)];
    ckiti_entry     *entry = NULL;
    ckiti_table     *table;
    while (!announce_table(reader, fenced, published, &table) ||
           !look(l1, reader, fenced, published, table, query, &entry)) {}
    return entry;
}

/* ---- answering ------------------------------------------------------------------------------------------- */

/* Values of up to CKIT_VALUE_INLINE bytes: two overlapping copies of fixed size are quicker than a call. Up to eight
 * bytes are written in any case, and the eight bytes before the value's end are always the entry's. */
static ALWAYS_INLINE void copy_value(uint8_t *to, const uint8_t *from, size_t len) {
    if (len > 64) {
        memcpy(to, from, 64);
        memcpy(to + len - 64, from + len - 64, 64);
    } else if (len >= 32) {
        memcpy(to, from, 32);
        memcpy(to + len - 32, from + len - 32, 32);
    } else if (len >= 16) {
        memcpy(to, from, 16);
        memcpy(to + len - 16, from + len - 16, 16);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else {
        uint64_t last = ckiti_load8(from + len - 8);
        last = last >> 8 * (7 - len) >> 8;
        memcpy(to, &last, 8);
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
    out->object = NULL;
    out->source = CKIT_SOURCE_MEMORY;
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

bool ckiti_l1_hold_again(const ckit_value *held, ckit_value *out) {
    if (held->release != release_entry) {
        return false;
    }
    atomic_fetch_add_explicit(ckiti_entry_references(held->owner), 1, memory_order_relaxed);
    *out = *held; /* nothing of it points into itself */
    return true;
}

/* Past its lifetime: CKIT_STALE or CKIT_MISS; CKIT_OK when it has none. */
static ckit_status judge_late(ckiti_entry *entry, uint64_t life, uint64_t now_ms) {
    uint64_t end = ckiti_life_end(life);
    unsigned flags = ckiti_life_flags(life);
    if (end == CKITI_ENTRY_NO_EXPIRY) {
        return CKIT_OK;
    }
    uint64_t window = ckiti_entry_stale_ms(entry, flags), reserve = ckiti_entry_reserve_ms(entry, flags);
    return now_ms - end < (window > reserve ? window - reserve : 0) ? CKIT_STALE : CKIT_MISS;
}

static ckit_status judge(const ckiti_l1 *l1, ckiti_entry *entry, uint64_t life, const ckiti_l1_query *query,
                         uint64_t now_ms) {
    uint64_t birth = ckiti_entry_birth(entry);
    if (UNLIKELY(birth < query->min_birth || birth < ckiti_look(&l1->floor) || ckiti_life_tag(life) != query->tag)) {
        return CKIT_MISS;
    }
    return LIKELY(now_ms < ckiti_life_end(life)) ? CKIT_OK : judge_late(entry, life, now_ms);
}

ckit_status ckiti_entry_judge(const ckiti_l1 *l1, ckiti_entry *entry, const ckiti_l1_query *query, uint64_t now_ms) {
    return judge(l1, entry, ckiti_entry_life(entry), query, now_ms);
}

/* A value of up to CKIT_VALUE_INLINE bytes. */
static ALWAYS_INLINE void hand_out_copy(const ckiti_entry *entry, size_t key_len, ckit_value *out) {
    size_t len = ckiti_entry_value_len(entry);
    copy_value(out->inline_bytes, entry->rest + key_len, len);
    out->data.ptr = out->inline_bytes;
    out->data.len = len;
    out->object = NULL;
    out->release = NULL;
    out->source = CKIT_SOURCE_MEMORY;
}

static ckit_status answer(ckiti_l1 *l1, ckiti_entry *entry, const ckiti_l1_query *query, uint64_t now_ms,
                          ckit_value *out) {
    uint64_t    life = ckiti_entry_life(entry);
    ckit_status st = judge(l1, entry, life, query, now_ms);
    if (st == CKIT_MISS) {
        return st;
    }
    if (ckiti_life_flags(life) & CKITI_ENTRY_COUNTED) {
        hold(l1, entry, ckiti_life_flags(life), out);
    } else {
        hand_out_copy(entry, query->key.len, out);
    }
    out->stale = st == CKIT_STALE;
    out->life_ms = st == CKIT_STALE ? 0 : ckiti_life_left(life, now_ms);
    ckiti_policy_hit(&entry->node);
    return st;
}

/* For a thread that could not get a record of its own. */
static NOINLINE ckit_status get_locked(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, ckit_value *out) {
    ckiti_shard *shard = ckiti_shard_of(l1, query->hash);
    pthread_mutex_lock(&shard->lock);
    ckiti_place place = ckiti_table_find_key(shard->table, &l1->arena, query->hash, query->key);
    ckit_status st = CKIT_MISS;
    if (place.bucket != NULL) {
        st = answer(l1, ckiti_place_entry(place, &l1->arena), query, now_ms, out);
    }
    ckiti_add(st == CKIT_OK ? &shard->hits : st == CKIT_STALE ? &shard->stale_hits : &shard->misses, 1);
    pthread_mutex_unlock(&shard->lock);
    return st;
}

/* Every case. */
static ckit_status get(ckiti_l1 *l1, ckiti_reader *reader, bool fenced, const ckiti_l1_query *query, uint64_t now_ms,
                       ckit_value *out) {
    ckiti_entry *entry = find(l1, reader, fenced, query);
    ckit_status  st = entry == NULL ? CKIT_MISS : answer(l1, entry, query, now_ms, out);
    forget(reader);
    ckiti_reader_count(st == CKIT_OK ? &reader->hits : st == CKIT_STALE ? &reader->stale_hits : &reader->misses);
    return st;
}

/* What `get` does for nearly every hit, at half of the instructions, so that more of the next lookup overlaps with this
 * one's cache misses: hands out a fresh, small, plain value. Whatever is different is false here and done by `get`. */
static ALWAYS_INLINE bool serve_plain(ckiti_l1 *l1, ckiti_reader *reader, ckiti_entry *entry,
                                      const ckiti_l1_query *query, uint64_t now_ms, ckit_value *out) {
    uint64_t life = ckiti_entry_life(entry);
    uint64_t birth = ckiti_entry_birth(entry);
    if (UNLIKELY(birth < query->min_birth) || UNLIKELY(birth < ckiti_look(&l1->floor)) ||
        UNLIKELY(ckiti_life_tag(life) != query->tag) || UNLIKELY(now_ms >= ckiti_life_end(life)) ||
        UNLIKELY((life & CKITI_ENTRY_COUNTED) != 0)) {
        return false;
    }
    hand_out_copy(entry, query->key.len, out);
    out->stale = false;
    out->life_ms = ckiti_life_left(life, now_ms);
    ckiti_policy_hit(&entry->node);
    forget(reader);
    ckiti_reader_count(&reader->hits);
    return true;
}

/* The first entry in its home bucket that matches has the key; it stays announced. */
static ALWAYS_INLINE bool find_at_home(ckiti_l1 *l1, ckiti_reader *reader, published_table *published,
                                       const ckiti_l1_query *query, ckiti_entry **entry) {
    ckiti_table *table;
    uint64_t     upper;
    if (!announce_table(reader, false, published, &table)) {
        return false;
    }
    ckiti_bucket *bucket = ckiti_table_bucket(table, query->hash);
    unsigned      mask = match(bucket, query->hash, &upper);
    return LIKELY(mask != 0) &&
           announce_entry(l1, reader, false, published, table, &bucket->refs[__builtin_ctz(mask)], entry) &&
           LIKELY(ckiti_entry_has_key(*entry, query->key));
}

/* True when the answer is a plain value, and the first in its home bucket that matches. */
static ALWAYS_INLINE bool get_plain(ckiti_l1 *l1, ckiti_reader *reader, const ckiti_l1_query *query, uint64_t now_ms,
                                    ckit_value *out) {
    published_table *published = &l1->tables[ckiti_shard_index(l1, query->hash)];
    ckiti_entry     *entry;
    return find_at_home(l1, reader, published, query, &entry) && serve_plain(l1, reader, entry, query, now_ms, out);
}

static NOINLINE ckit_status get_otherwise(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, ckit_value *out) {
    ckiti_reader *reader = ckiti_reader_find(&l1->readers);
    return reader == NULL ? get_locked(l1, query, now_ms, out)
                          : get(l1, reader, ckiti_readers_fenced(&l1->readers), query, now_ms, out);
}

ckit_status ckiti_l1_get(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, ckit_value *out) {
    ckiti_reader *reader;
    if (ckiti_reader_quick(&l1->readers, &reader) && LIKELY(get_plain(l1, reader, query, now_ms, out))) {
        return CKIT_OK;
    }
    return get_otherwise(l1, query, now_ms, out);
}

/* ---- objects --------------------------------------------------------------------------------------------- */

/* As serve_plain, for a fresh object: `retain` is called while the entry is announced. */
static ALWAYS_INLINE bool serve_object(ckiti_l1 *l1, ckiti_reader *reader, ckiti_entry *entry,
                                       const ckiti_l1_query *query, uint64_t now_ms, void (*retain)(void *object),
                                       void **object, ckit_object_hint *hint) {
    uint64_t life = ckiti_entry_life(entry);
    uint64_t birth = ckiti_entry_birth(entry);
    if (UNLIKELY(birth < query->min_birth) || UNLIKELY(birth < ckiti_look(&l1->floor)) ||
        UNLIKELY(ckiti_life_tag(life) != query->tag) || UNLIKELY(now_ms >= ckiti_life_end(life)) ||
        UNLIKELY((life & CKITI_ENTRY_OBJECT) == 0)) {
        return false;
    }
    memcpy(object, ckiti_entry_value(entry) + offsetof(ckit_object, object), sizeof *object);
    retain(*object);
    if (hint != NULL) {
        hint->birth = birth;
        hint->fresh_until_ms = ckiti_life_end(life);
    }
    ckiti_policy_hit(&entry->node);
    forget(reader);
    ckiti_reader_count(&reader->hits);
    return true;
}

/* Stale ones, threads without a record, and misses. */
static ckit_status get_object_held(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms,
                                   void (*retain)(void *object), void **object) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = get_otherwise(l1, query, now_ms, &value);
    if (st == CKIT_MISS || value.object == NULL) {
        ckit_value_fini(&value);
        return CKIT_MISS;
    }
    *object = value.object;
    retain(*object);
    ckit_value_fini(&value);
    return st;
}

static NOINLINE ckit_status get_object_otherwise(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms,
                                                 void (*retain)(void *object), void **object, ckit_object_hint *hint) {
    ckiti_reader *reader = ckiti_reader_find(&l1->readers);
    ckiti_entry  *entry = reader == NULL ? NULL : find(l1, reader, ckiti_readers_fenced(&l1->readers), query);
    if (entry != NULL && serve_object(l1, reader, entry, query, now_ms, retain, object, hint)) {
        return CKIT_OK;
    }
    if (reader != NULL) {
        forget(reader);
    }
    if (hint != NULL) {
        hint->removals = NULL;
    }
    return get_object_held(l1, query, now_ms, retain, object);
}

ckit_status ckiti_l1_get_object(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms,
                                void (*retain)(void *object), void **object, ckit_object_hint *hint) {
    uint32_t      shard = ckiti_shard_index(l1, query->hash);
    ckiti_reader *reader;
    ckiti_entry  *entry;
    if (hint != NULL) { /* before the look: what goes out of reach from now on is counted after it */
        hint->removals = &l1->removals[shard];
        hint->seen = atomic_load_explicit(&l1->removals[shard], memory_order_acquire);
    }
    if (ckiti_reader_quick(&l1->readers, &reader) &&
        LIKELY(find_at_home(l1, reader, &l1->tables[shard], query, &entry)) &&
        LIKELY(serve_object(l1, reader, entry, query, now_ms, retain, object, hint))) {
        return CKIT_OK;
    }
    return get_object_otherwise(l1, query, now_ms, retain, object, hint);
}

bool ckiti_l1_hint_holds(const ckiti_l1 *l1, const ckit_object_hint *hint, uint64_t min_birth, uint64_t now_ms) {
    const _Atomic uint64_t *removals = hint->removals;
    return removals != NULL && LIKELY(atomic_load_explicit(removals, memory_order_acquire) == hint->seen) &&
           LIKELY(hint->birth >= min_birth) && LIKELY(hint->birth >= ckiti_look(&l1->floor)) &&
           LIKELY(now_ms < hint->fresh_until_ms);
}

ckit_status ckiti_l1_peek(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, uint64_t *life_ms) {
    ckiti_shard *shard = ckiti_shard_of(l1, query->hash);
    ckit_status  st = CKIT_MISS;
    pthread_mutex_lock(&shard->lock);
    ckiti_place place = ckiti_table_find_key(shard->table, &l1->arena, query->hash, query->key);
    if (place.bucket != NULL) {
        ckiti_entry *entry = ckiti_place_entry(place, &l1->arena);
        uint64_t     life = ckiti_entry_life(entry);
        st = judge(l1, entry, life, query, now_ms);
        if (st != CKIT_MISS) {
            *life_ms = st == CKIT_OK
                           ? ckiti_life_left(life, now_ms)
                           : ckiti_entry_stale_ms(entry, ckiti_life_flags(life)) - (now_ms - ckiti_life_end(life));
        }
    }
    pthread_mutex_unlock(&shard->lock);
    return st;
}

ckit_status ckiti_l1_get_late(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, ckit_value *out) {
    ckiti_shard *shard = ckiti_shard_of(l1, query->hash);
    ckit_status  st = CKIT_MISS;
    pthread_mutex_lock(&shard->lock);
    ckiti_place  place = ckiti_table_find_key(shard->table, &l1->arena, query->hash, query->key);
    ckiti_entry *entry = place.bucket != NULL ? ckiti_place_entry(place, &l1->arena) : NULL;
    if (entry != NULL && ckiti_entry_birth(entry) >= query->min_birth &&
        ckiti_entry_birth(entry) >= ckiti_look(&l1->floor) && ckiti_life_tag(ckiti_entry_life(entry)) == query->tag &&
        !ckiti_entry_expired(entry, now_ms)) {
        uint64_t life = ckiti_entry_life(entry);
        st = now_ms < ckiti_life_end(life) ? CKIT_OK : CKIT_STALE;
        if (ckiti_life_flags(life) & CKITI_ENTRY_COUNTED) {
            hold(l1, entry, ckiti_life_flags(life), out);
        } else {
            hand_out_copy(entry, query->key.len, out);
        }
        out->stale = st == CKIT_STALE;
        out->life_ms = st == CKIT_STALE ? 0 : ckiti_life_left(life, now_ms);
    }
    pthread_mutex_unlock(&shard->lock);
    return st;
}

/* ---- many ------------------------------------------------------------------------------------------------ */

#define MANY 32u /* keys whose lines are on their way at the same time */

/* Where a key was seen. Believed only while the same table is announced. */
typedef struct hint {
    published_table *published;
    ckiti_table     *table;
    ckiti_bucket    *bucket;
    unsigned         slot;
} hint;

static ALWAYS_INLINE bool announce_hint(ckiti_reader *reader, const hint *h) {
    ckiti_table *table;
    return announce_table(reader, false, h->published, &table) && LIKELY(table == h->table);
}

/* Asks for the bucket of each key. */
static ALWAYS_INLINE void ask_for_buckets(ckiti_l1 *l1, ckiti_reader *reader, const ckiti_l1_query *queries,
                                          hint *hints, size_t count) {
    for (size_t i = 0; i < count; i++) {
        hint *h = &hints[i];
        h->published = &l1->tables[ckiti_shard_index(l1, queries[i].hash)];
        h->bucket = NULL;
        if (announce_table(reader, false, h->published, &h->table)) {
            h->bucket = ckiti_table_bucket(h->table, queries[i].hash);
            __builtin_prefetch(h->bucket);
        }
    }
}

/* Looks into the buckets and asks for the first entry that matches. */
static ALWAYS_INLINE void ask_for_entries(ckiti_l1 *l1, ckiti_reader *reader, const ckiti_l1_query *queries,
                                          hint *hints, size_t count) {
    for (size_t i = 0; i < count; i++) {
        hint    *h = &hints[i];
        uint64_t upper;
        unsigned mask = h->bucket != NULL && announce_hint(reader, h) ? match(h->bucket, queries[i].hash, &upper) : 0;
        if (UNLIKELY(mask == 0)) {
            h->bucket = NULL;
            continue;
        }
        h->slot = (unsigned)__builtin_ctz(mask);
        uint32_t    reference = atomic_load_explicit(&h->bucket->refs[h->slot], memory_order_relaxed);
        const char *entry = (const char *)ckiti_arena_entry(&l1->arena, reference);
        __builtin_prefetch(entry);
        __builtin_prefetch(entry + 64);
    }
}

static ALWAYS_INLINE bool get_hinted(ckiti_l1 *l1, ckiti_reader *reader, const hint *h, const ckiti_l1_query *query,
                                     uint64_t now_ms, ckit_value *out) {
    ckiti_entry *entry;
    return LIKELY(h->bucket != NULL) && announce_hint(reader, h) &&
           announce_entry(l1, reader, false, h->published, h->table, &h->bucket->refs[h->slot], &entry) &&
           LIKELY(ckiti_entry_has_key(entry, query->key)) && serve_plain(l1, reader, entry, query, now_ms, out);
}

static void get_batch(ckiti_l1 *l1, ckiti_reader *reader, const ckiti_l1_query *queries, size_t count, uint64_t now_ms,
                      ckit_value *out, ckit_status *answers) {
    hint hints[MANY];
    ask_for_buckets(l1, reader, queries, hints, count);
    ask_for_entries(l1, reader, queries, hints, count);
    for (size_t i = 0; i < count; i++) {
        answers[i] = LIKELY(get_hinted(l1, reader, &hints[i], &queries[i], now_ms, &out[i]))
                         ? CKIT_OK
                         : get_otherwise(l1, &queries[i], now_ms, &out[i]);
    }
    forget(reader);
}

void ckiti_l1_get_many(ckiti_l1 *l1, const ckiti_l1_query *queries, size_t count, uint64_t now_ms, ckit_value *out,
                       ckit_status *answers) {
    ckiti_reader *reader = ckiti_reader_find(&l1->readers);
    if (reader == NULL || ckiti_readers_fenced(&l1->readers)) { /* what is saved would be spent on fences */
        for (size_t i = 0; i < count; i++) {
            answers[i] = get_otherwise(l1, &queries[i], now_ms, &out[i]);
        }
        return;
    }
    for (size_t done = 0; done < count; done += MANY) {
        size_t batch = count - done < MANY ? count - done : MANY;
        get_batch(l1, reader, queries + done, batch, now_ms, out + done, answers + done);
    }
}
