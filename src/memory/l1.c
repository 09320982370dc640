#include "memory/tier.h"

#include "base/alloc.h"
#include "base/random.h"

#define MIN_BUDGET_BYTES UINT64_C(65536)
#define SHARD_BYTES (UINT64_C(8) << 20) /* budget for which there is one shard */
#define FIRST_ENTRIES 32u
#define FIRST_POLICY_ENTRIES 64u
#define LIMBO_PART 64u /* a shard's limbo is looked through from this part of its share on */
#define MOST_LIMBO_BYTES (UINT64_C(1) << 20)

/* ---- open and close -------------------------------------------------------------------------------------- */

static uint32_t choose_shards(uint64_t max_bytes) {
    uint64_t shards = max_bytes / SHARD_BYTES;
    return shards < 1 ? 1 : shards > CKITI_MAX_SHARDS ? CKITI_MAX_SHARDS : (uint32_t)shards;
}

static void set_table(ckiti_l1 *l1, ckiti_shard *shard, ckiti_table *table) {
    shard->table = table;
    atomic_store_explicit(&l1->tables[shard - l1->shards], table, CKITI_UNPUBLISH);
}

static ckit_status open_shard(ckiti_l1 *l1, ckiti_shard *shard, ckit_error *err) {
    pthread_mutex_init(&shard->lock, NULL);
    shard->seed = l1->seed;
    shard->arena = &l1->arena;
    shard->removals = &l1->removals[shard - l1->shards];
    ckiti_table *table = ckiti_table_new(FIRST_ENTRIES, l1->alloc);
    if (table == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "memory", "no memory for a table of %u entries", FIRST_ENTRIES);
    }
    set_table(l1, shard, table);
    ckiti_books_force(&l1->books, table->bytes);
    ckit_status st =
        ckiti_policy_init(&shard->policy, l1->arena.base, ckiti_describe, FIRST_POLICY_ENTRIES, l1->alloc, err);
    if (st == CKIT_OK) {
        shard->policy_bytes = ckiti_policy_memory_bytes(&shard->policy);
        ckiti_books_force(&l1->books, shard->policy_bytes);
    }
    return st;
}

static ckit_status open_shards(ckiti_l1 *l1, ckit_error *err) {
    size_t count = choose_shards(l1->books.max);
    l1->shards_block = ckiti_alloc_zeroed(l1->alloc, count + 1, sizeof(ckiti_shard));
    if (l1->shards_block == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "memory", "no memory for %zu shards", count);
    }
    l1->shards = (ckiti_shard *)(void *)((char *)l1->shards_block + ((size_t)(-(uintptr_t)l1->shards_block) & 63u));
    ckit_status st = CKIT_OK;
    for (l1->shard_count = 0; l1->shard_count < count && st == CKIT_OK;) {
        st = open_shard(l1, &l1->shards[l1->shard_count++], err);
    }
    return st;
}

static uint64_t fixed_bytes(const ckiti_l1 *l1, uint64_t max_bytes) {
    uint64_t records = max_bytes / 64 < 16384 ? max_bytes / 64 : 16384; /* of reading threads */
    return sizeof *l1 + (choose_shards(max_bytes) + 1) * sizeof(ckiti_shard) + ckiti_arena_bytes(&l1->arena) + records;
}

/* Where the allocator's block begins is not on a line; the place of the tier in it is kept right before it. */
static ckiti_l1 *new_tier(const ckit_alloc *alloc) {
    char *block = ckiti_alloc_zeroed(alloc, 1, sizeof(ckiti_l1) + 64);
    if (block == NULL) {
        return NULL;
    }
    ckiti_l1 *l1 = (ckiti_l1 *)(void *)(block + ((size_t)(-(uintptr_t)block) & 63u));
    l1->block = block;
    l1->alloc = alloc;
    return l1;
}

ckit_status ckiti_l1_open(const ckiti_l1_options *options, ckiti_l1 **out, ckit_error *err) {
    *out = NULL;
    if (options->max_bytes < MIN_BUDGET_BYTES) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, "memory", "a budget of %llu bytes, at least %llu are needed",
                         (unsigned long long)options->max_bytes, (unsigned long long)MIN_BUDGET_BYTES);
    }
    ckiti_l1 *l1 = new_tier(options->alloc);
    if (l1 == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "memory", "no memory for a tier");
    }
    atomic_init(&l1->lives, 1);
    atomic_init(&l1->births, 1);
    l1->seed = options->seed != 0 ? options->seed : ckiti_random_u64();
    l1->limbo_limit = options->max_bytes / choose_shards(options->max_bytes) / LIMBO_PART;
    l1->limbo_limit = l1->limbo_limit < MOST_LIMBO_BYTES ? l1->limbo_limit : MOST_LIMBO_BYTES;
    pthread_mutex_init(&l1->sweep_lock, NULL);
    ckiti_books_init(&l1->books, options->max_bytes, options->shared);
    ckiti_readers_init(&l1->readers, options->alloc);
    ckit_status st = ckiti_arena_init(&l1->arena, options->max_bytes, &l1->books, options->alloc, err);
    if (st == CKIT_OK) {
        ckiti_books_force(&l1->books, fixed_bytes(l1, options->max_bytes));
        l1->fixed_bytes = ckiti_books_used(&l1->books);
        st = open_shards(l1, err);
    }
    if (st != CKIT_OK) {
        ckiti_l1_close(l1);
        return st;
    }
    *out = l1;
    return CKIT_OK;
}

void ckiti_l1_life_ends(ckiti_l1 *l1) {
    if (atomic_fetch_sub_explicit(&l1->lives, 1, memory_order_acq_rel) != 1) {
        return;
    }
    ckiti_arena_fini(&l1->arena);
    ckiti_books_fini(&l1->books);
    ckiti_free(l1->alloc, l1->block, sizeof *l1 + 64);
}

/* Lets go of what the shard's entries own. Plain entries need no look: they go with the arena. */
static void empty_shard(ckiti_l1 *l1, ckiti_shard *shard) {
    ckiti_table *table = shard->table;
    ckiti_limbo  all = shard->limbo;
    for (uint32_t i = 0; table != NULL && shard->heavy != 0 && i < table->bucket_count * CKITI_BUCKET_SLOTS; i++) {
        _Atomic uint32_t *slot = &table->buckets[i / CKITI_BUCKET_SLOTS].refs[i % CKITI_BUCKET_SLOTS];
        uint32_t          reference = atomic_load_explicit(slot, memory_order_relaxed);
        if (reference != 0) {
            ckiti_limbo_add(&all, &l1->arena, ckiti_arena_entry(&l1->arena, reference));
        }
    }
    ckiti_reclaim(l1, shard, &all);
    if (table != NULL) {
        ckiti_books_give(&l1->books, table->bytes);
        ckiti_table_free(table, l1->alloc);
    }
    ckiti_policy_fini(&shard->policy);
    pthread_mutex_destroy(&shard->lock);
}

void ckiti_l1_close(ckiti_l1 *l1) {
    if (l1 == NULL) {
        return;
    }
    for (uint32_t i = 0; i < l1->shard_count; i++) {
        empty_shard(l1, &l1->shards[i]);
    }
    if (l1->shards_block != NULL) {
        ckiti_free(l1->alloc, l1->shards_block, (choose_shards(l1->books.max) + 1) * sizeof(ckiti_shard));
    }
    ckiti_readers_fini(&l1->readers);
    pthread_mutex_destroy(&l1->sweep_lock);
    ckiti_books_leave_shared(&l1->books);
    ckiti_l1_life_ends(l1);
}

/* ---- storing --------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) uint64_t hash_any(ckit_slice key, uint64_t seed) { return ckiti_xxh3(key, seed); }

/* Inlined for the usual lengths only: so it needs no stack and few instructions. */
__attribute__((flatten)) uint64_t ckiti_l1_hash(const ckiti_l1 *l1, ckit_slice key) {
    if (key.len - 17 > 32 - 17) {
        return hash_any(key, l1->seed);
    }
    return ckiti_xxh3(key, l1->seed);
}

/* What an entry for `args` is made of. */
typedef struct entry_plan {
    unsigned   flags;
    size_t     value_len; /* of the value or payload inside the piece */
    ckiti_need need;
} entry_plan;

static entry_plan make_plan(const ckiti_l1 *l1, const ckiti_l1_put_args *args) {
    entry_plan plan = {.flags = CKITI_ENTRY_LIVE, .value_len = args->value.len};
    if (args->stale_ms != 0) {
        plan.flags |= CKITI_ENTRY_STALE | (args->reserve_ms != 0 ? CKITI_ENTRY_RESERVE : 0);
    }
    size_t largest = ckiti_arena_largest(&l1->arena);
    size_t around = CKITI_ENTRY_HEADER + args->key.len + 16;
    if (args->object != NULL) {
        plan.flags |= CKITI_ENTRY_OBJECT | CKITI_ENTRY_COUNTED;
        plan.value_len = sizeof(ckit_object);
        plan.need.outside = args->object->size;
    } else if (args->value.len > CKITI_ENTRY_MAX_VALUE || around + args->value.len > largest) {
        plan.flags |= CKITI_ENTRY_OUTSIDE | CKITI_ENTRY_COUNTED;
        plan.value_len = sizeof(ckiti_outside);
        plan.need.outside = ckiti_map_round(args->value.len);
    } else if (args->value.len > CKIT_VALUE_INLINE) {
        plan.flags |= CKITI_ENTRY_COUNTED;
    }
    plan.need.piece = ckiti_entry_size(args->key.len, plan.value_len, plan.flags);
    return plan;
}

static bool fits(const ckiti_l1 *l1, const ckiti_l1_put_args *args, const entry_plan *plan) {
    uint64_t room = l1->books.max - l1->fixed_bytes;
    return args->key.len <= CKITI_L1_MAX_KEY_BYTES && plan->need.piece <= ckiti_arena_largest(&l1->arena) &&
           plan->need.outside <= room && plan->need.piece <= room - plan->need.outside;
}

static void fill(ckiti_entry *entry, const ckiti_l1_put_args *args, const entry_plan *plan,
                 const ckiti_outside *outside, uint64_t now_ms) {
    uint64_t birth = args->birth < CKITI_ENTRY_MAX_BIRTH ? args->birth : CKITI_ENTRY_MAX_BIRTH;
    entry->node.spare = (uint16_t)(birth >> 32);
    entry->birth_low = (uint32_t)birth;
    entry->lengths = (uint32_t)plan->value_len << CKITI_ENTRY_KEY_BITS | (uint32_t)args->key.len;
    if (args->key.len != 0) {
        memcpy(entry->rest, args->key.ptr, args->key.len);
    }
    const void *value = args->value.ptr;
    if (plan->flags & CKITI_ENTRY_OBJECT) {
        value = args->object;
    } else if (plan->flags & CKITI_ENTRY_OUTSIDE) {
        memcpy(outside->ptr, args->value.ptr, args->value.len);
        value = outside;
    }
    if (plan->value_len != 0) {
        memcpy(ckiti_entry_value(entry), value, plan->value_len);
    }
    bool counted = (plan->flags & CKITI_ENTRY_COUNTED) != 0;
    if (counted) {
        atomic_init(ckiti_entry_references(entry), 1);
    }
    if (plan->flags & CKITI_ENTRY_STALE) {
        ckiti_entry_optional(entry)[counted] = ckiti_stale_pack(args->stale_ms);
    }
    if (plan->flags & CKITI_ENTRY_RESERVE) {
        ckiti_entry_optional(entry)[1u + counted] = ckiti_stale_pack(args->reserve_ms);
    }
    uint64_t end = ckiti_life_after(now_ms, args->life_ms);
    atomic_store_explicit(&entry->life, ckiti_life_make(end, args->tag, plan->flags), memory_order_release);
}

/* A filled entry that nobody can reach yet; 0 without room. */
static uint32_t make_entry(ckiti_l1 *l1, ckiti_shard *shard, const ckiti_l1_put_args *args, const entry_plan *plan,
                           uint64_t now_ms) {
    uint32_t reference = ckiti_make_room(l1, shard, &plan->need);
    if (reference == 0) {
        return 0;
    }
    ckiti_outside outside = {NULL, args->value.len, plan->need.outside};
    if (plan->flags & CKITI_ENTRY_OUTSIDE) {
        outside.ptr = ckiti_map(outside.mapped);
        if (outside.ptr == NULL) {
            ckiti_return_room(l1, reference, &plan->need);
            return 0;
        }
    }
    fill(ckiti_arena_entry(&l1->arena, reference), args, plan, &outside, now_ms);
    return reference;
}

/* Unlocks the shard and frees what is due. */
static void leave(ckiti_l1 *l1, ckiti_shard *shard) {
    ckiti_limbo due = ckiti_limbo_due(l1, shard);
    pthread_mutex_unlock(&shard->lock);
    ckiti_reclaim(l1, shard, &due);
}

/* A larger table for the shard, when there is memory for it. The old one goes to the limbo. */
static void grow_table(ckiti_l1 *l1, ckiti_shard *shard) {
    ckiti_table *old = shard->table;
    uint64_t     entries = ckiti_look(&shard->entries);
    if (entries < old->entry_limit) {
        return;
    }
    ckiti_table *table = ckiti_table_new((size_t)(entries + entries / 4 + 16), l1->alloc);
    if (table == NULL) {
        return; /* the old one still has some room, and then entries are evicted */
    }
    ckiti_table_copy(table, old, &l1->arena, l1->seed);
    ckiti_books_force(&l1->books, table->bytes);
    set_table(l1, shard, table);
    old->older = shard->limbo.tables;
    shard->limbo.tables = old;
}

static void charge_policy(ckiti_l1 *l1, ckiti_shard *shard, uint64_t bytes) {
    if (bytes > shard->policy_bytes) {
        ckiti_books_force(&l1->books, bytes - shard->policy_bytes);
        shard->policy_bytes = bytes;
    }
}

/* Bookkeeping that the next entry makes grow grows or is charged before it comes, so that room is made for that first
 * and not at the newcomer's cost. */
static void grow_ahead(ckiti_l1 *l1, ckiti_shard *shard) {
    pthread_mutex_lock(&shard->lock);
    uint64_t entries = ckiti_look(&shard->entries);
    grow_table(l1, shard);
    size_t room = ckiti_policy_room(&shard->policy);
    if (entries >= room) {
        charge_policy(l1, shard, 2 * ckiti_policy_memory_bytes(&shard->policy));
        room *= 2;
    }
    uint64_t grow_at = shard->table->entry_limit < room ? shard->table->entry_limit : room;
    grow_at = grow_at > entries ? grow_at : entries + 16; /* there was no memory: not at every entry */
    atomic_store_explicit(&shard->grow_at, grow_at, memory_order_relaxed);
    leave(l1, shard);
    if (ckiti_books_excess(&l1->books) != 0) {
        ckiti_settle(l1, shard);
    }
}

/* A full table that cannot grow gives up an entry for the new one. */
static void insert(ckiti_l1 *l1, ckiti_shard *shard, uint64_t hash, uint32_t reference) {
    while (!ckiti_table_insert(shard->table, hash, reference)) {
        ckiti_evict_one(l1, shard);
    }
    ckiti_policy_insert(&shard->policy, &ckiti_arena_entry(&l1->arena, reference)->node);
    ckiti_add(&shard->entries, 1);
}

static void publish(ckiti_l1 *l1, ckiti_shard *shard, const ckiti_l1_put_args *args, uint32_t reference) {
    ckiti_entry *entry = ckiti_arena_entry(&l1->arena, reference);
    grow_table(l1, shard);
    ckiti_place place = ckiti_table_find_key(shard->table, &l1->arena, args->hash, args->key);
    if (place.bucket == NULL) {
        insert(l1, shard, args->hash, reference);
    } else {
        ckiti_entry *old = ckiti_place_entry(place, &l1->arena);
        ckiti_policy_replace(&shard->policy, &old->node, &entry->node);
        atomic_store_explicit(&place.bucket->refs[place.slot], reference, CKITI_UNPUBLISH);
        ckiti_count_removal(shard);
        ckiti_add(&shard->bytes, -ckiti_entry_charge(&l1->arena, old));
        shard->heavy -= (ckiti_life_flags(ckiti_entry_life(old)) & CKITI_ENTRY_COUNTED) != 0;
        ckiti_limbo_add(&shard->limbo, &l1->arena, old);
    }
    ckiti_add(&shard->bytes, ckiti_entry_charge(&l1->arena, entry));
    shard->heavy += (ckiti_life_flags(ckiti_entry_life(entry)) & CKITI_ENTRY_COUNTED) != 0;
    ckiti_add(&shard->puts, 1);
    charge_policy(l1, shard, ckiti_policy_memory_bytes(&shard->policy));
}

static bool is_visible(const ckiti_l1 *l1, ckiti_place place) {
    return ckiti_entry_birth(ckiti_place_entry(place, &l1->arena)) >= ckiti_look(&l1->floor);
}

/* Takes the entry out that stands there. The lock is held. */
static bool take_out_at(ckiti_l1 *l1, ckiti_shard *shard, ckiti_place place, uint64_t hash) {
    ckiti_entry *entry = ckiti_place_entry(place, &l1->arena);
    bool         visible = is_visible(l1, place);
    ckiti_policy_remove(&shard->policy, &entry->node);
    ckiti_unlink(shard, place, hash, entry, &shard->limbo);
    return visible;
}

/* Takes the key's entry out. The lock is held. */
static bool take_out(ckiti_l1 *l1, ckiti_shard *shard, ckit_slice key, uint64_t hash) {
    ckiti_place place = ckiti_table_find_key(shard->table, &l1->arena, hash, key);
    return place.bucket != NULL && take_out_at(l1, shard, place, hash);
}

/* Nothing is stored, and nothing outdated stays. */
static ckit_status refuse(ckiti_l1 *l1, ckiti_shard *shard, const ckiti_l1_put_args *args, ckit_status why) {
    pthread_mutex_lock(&shard->lock);
    (void)take_out(l1, shard, args->key, args->hash);
    ckiti_add(&shard->rejected, why != CKIT_MISS);
    leave(l1, shard);
    return why;
}

ckit_status ckiti_l1_put(ckiti_l1 *l1, const ckiti_l1_put_args *args, uint64_t now_ms) {
    ckiti_shard *shard = ckiti_shard_of(l1, args->hash);
    entry_plan   plan = make_plan(l1, args);
    if (!fits(l1, args, &plan)) {
        return refuse(l1, shard, args, CKIT_E_TOO_LARGE);
    }
    if (args->birth < atomic_load(&l1->floor)) {
        return CKIT_MISS;
    }
    if (ckiti_look(&shard->entries) >= ckiti_look(&shard->grow_at)) {
        grow_ahead(l1, shard);
    }
    uint32_t reference = make_entry(l1, shard, args, &plan, now_ms);
    if (reference == 0) {
        return refuse(l1, shard, args, CKIT_E_NO_MEMORY);
    }
    pthread_mutex_lock(&shard->lock);
    publish(l1, shard, args, reference);
    leave(l1, shard);
    if (ckiti_books_excess(&l1->books) != 0) {
        ckiti_settle(l1, shard);
    }
    return CKIT_OK;
}

ckit_status ckiti_l1_remove(ckiti_l1 *l1, ckit_slice key, uint64_t hash) {
    ckiti_shard *shard = ckiti_shard_of(l1, hash);
    pthread_mutex_lock(&shard->lock);
    bool removed = take_out(l1, shard, key, hash);
    leave(l1, shard);
    return removed ? CKIT_OK : CKIT_MISS;
}

size_t ckiti_l1_remove_hash(ckiti_l1 *l1, uint64_t hash) {
    ckiti_shard *shard = ckiti_shard_of(l1, hash);
    size_t       removed = 0;
    pthread_mutex_lock(&shard->lock);
    ckiti_place place = ckiti_table_find_hash(shard->table, &l1->arena, hash, l1->seed);
    while (place.bucket != NULL) {
        removed += take_out_at(l1, shard, place, hash);
        place = ckiti_table_find_hash(shard->table, &l1->arena, hash, l1->seed);
    }
    leave(l1, shard);
    return removed;
}

bool ckiti_l1_has_hash(ckiti_l1 *l1, uint64_t hash) {
    ckiti_shard *shard = ckiti_shard_of(l1, hash);
    pthread_mutex_lock(&shard->lock);
    ckiti_place place = ckiti_table_find_hash(shard->table, &l1->arena, hash, l1->seed);
    bool        there = place.bucket != NULL && is_visible(l1, place);
    pthread_mutex_unlock(&shard->lock);
    return there;
}

void ckiti_l1_charge(ckiti_l1 *l1, uint64_t bytes) { ckiti_books_force(&l1->books, bytes); }

void ckiti_l1_discharge(ckiti_l1 *l1, uint64_t bytes) { ckiti_books_give(&l1->books, bytes); }

ckit_status ckiti_l1_touch(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t life_ms, uint64_t now_ms) {
    ckiti_shard *shard = ckiti_shard_of(l1, query->hash);
    ckit_status  st = CKIT_MISS;
    pthread_mutex_lock(&shard->lock);
    ckiti_place place = ckiti_table_find_key(shard->table, &l1->arena, query->hash, query->key);
    if (place.bucket != NULL) {
        ckiti_entry *entry = ckiti_place_entry(place, &l1->arena);
        if (ckiti_entry_judge(l1, entry, query, now_ms) == CKIT_OK) {
            uint64_t life = ckiti_entry_life(entry);
            life = ckiti_life_make(ckiti_life_after(now_ms, life_ms), ckiti_life_tag(life), ckiti_life_flags(life));
            atomic_store_explicit(&entry->life, life, memory_order_relaxed);
            ckiti_count_removal(shard);
            st = CKIT_OK;
        }
    }
    pthread_mutex_unlock(&shard->lock);
    return st;
}

/* ---- invalidation ---------------------------------------------------------------------------------------- */

uint64_t ckiti_l1_birth(const ckiti_l1 *l1) { return atomic_load(&l1->births); }

uint64_t ckiti_l1_bump(ckiti_l1 *l1) { return atomic_fetch_add(&l1->births, 1) + 1; }

void ckiti_l1_invalidate_all(ckiti_l1 *l1) {
    uint64_t floor = ckiti_l1_bump(l1);
    uint64_t before = atomic_load(&l1->floor);
    while (before < floor && !atomic_compare_exchange_weak(&l1->floor, &before, floor)) {}
}

/* ---- statistics ------------------------------------------------------------------------------------------ */

void ckiti_l1_get_stats(ckiti_l1 *l1, ckiti_l1_stats *out) {
    memset(out, 0, sizeof *out);
    out->max_bytes = l1->books.max;
    out->used_bytes = ckiti_books_used(&l1->books);
    for (uint32_t i = 0; i < l1->shard_count; i++) {
        const ckiti_shard *shard = &l1->shards[i];
        out->entries += ckiti_look(&shard->entries);
        out->hits += ckiti_look(&shard->hits);
        out->stale_hits += ckiti_look(&shard->stale_hits);
        out->misses += ckiti_look(&shard->misses);
        out->puts += ckiti_look(&shard->puts);
        out->evicted += ckiti_look(&shard->evicted);
        out->expired += ckiti_look(&shard->expired);
        out->rejected += ckiti_look(&shard->rejected);
    }
    for (ckiti_reader *reader = atomic_load(&l1->readers.first); reader != NULL; reader = reader->next) {
        out->hits += ckiti_look(&reader->hits);
        out->stale_hits += ckiti_look(&reader->stale_hits);
        out->misses += ckiti_look(&reader->misses);
    }
}

/* ---- fork ------------------------------------------------------------------------------------------------ */

void ckiti_l1_fork_prepare(ckiti_l1 *l1) {
    pthread_mutex_lock(&l1->sweep_lock);
    for (uint32_t i = 0; i < l1->shard_count; i++) {
        pthread_mutex_lock(&l1->shards[i].lock);
    }
    pthread_mutex_lock(&l1->readers.lock);
    pthread_mutex_lock(&l1->arena.lock);
    pthread_mutex_lock(&l1->books.lock);
}

void ckiti_l1_fork_parent(ckiti_l1 *l1) {
    pthread_mutex_unlock(&l1->books.lock);
    pthread_mutex_unlock(&l1->arena.lock);
    pthread_mutex_unlock(&l1->readers.lock);
    for (uint32_t i = l1->shard_count; i > 0; i--) {
        pthread_mutex_unlock(&l1->shards[i - 1].lock);
    }
    pthread_mutex_unlock(&l1->sweep_lock);
}

/* What other threads were storing or freeing at that moment stays charged in the child: at most one entry or one batch
 * of pieces a thread. */
void ckiti_l1_fork_child(ckiti_l1 *l1) {
    ckiti_l1_fork_parent(l1);
    ckiti_readers_after_fork(&l1->readers);
}
