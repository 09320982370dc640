#include "memory/tier.h"

#include "base/alloc.h"
#include <sched.h>

#define BATCH_BYTES 16384u /* evicted at once: one barrier and one lock for all of them */
#define BATCH_PART 64u     /* but not more than this part of the shard */
#define LIMBO_COUNT 256u
#define FREE_BATCH 128u
#define ANNOUNCED_KEPT 64u
#define PATIENT_ROUNDS 4u /* rounds of eviction before pages are drained although they are well filled */
#define LOOSE_PART 16u    /* pages are drained from this part of the used bytes on */
#define IDLE_ROUNDS 16u   /* rounds without anything to evict before a put is refused */

/* ---- entries --------------------------------------------------------------------------------------------- */

static uint64_t outside_charge(ckiti_entry *entry, unsigned flags) {
    if (flags & CKITI_ENTRY_OUTSIDE) {
        ckiti_outside outside;
        memcpy(&outside, ckiti_entry_value(entry), sizeof outside);
        return outside.mapped;
    }
    if (flags & CKITI_ENTRY_OBJECT) {
        ckit_object object;
        memcpy(&object, ckiti_entry_value(entry), sizeof object);
        return object.size;
    }
    return 0;
}

uint64_t ckiti_entry_charge(const ckiti_arena *arena, ckiti_entry *entry) {
    unsigned flags = ckiti_life_flags(ckiti_entry_life(entry));
    size_t   size = ckiti_entry_size(ckiti_entry_key_len(entry), ckiti_entry_value_len(entry), flags);
    return ckiti_arena_piece_bytes(arena, size) + outside_charge(entry, flags);
}

ckiti_policy_facts ckiti_describe(const ckiti_policy *policy, const ckiti_policy_node *node) {
    const ckiti_shard *shard =
        (const ckiti_shard *)(const void *)((const char *)policy - offsetof(ckiti_shard, policy));
    ckiti_entry *entry = (ckiti_entry *)(uintptr_t)node;
    return (ckiti_policy_facts){.hash = ckiti_xxh3(ckiti_entry_key(entry), shard->seed),
                                .bytes = ckiti_entry_charge(shard->arena, entry)};
}

/* Frees all that an entry owns but its piece. */
static void free_owned(ckiti_l1 *l1, ckiti_entry *entry) {
    unsigned flags = ckiti_life_flags(ckiti_entry_life(entry));
    uint64_t charge = outside_charge(entry, flags);
    if (flags & CKITI_ENTRY_OUTSIDE) {
        ckiti_outside outside;
        memcpy(&outside, ckiti_entry_value(entry), sizeof outside);
        ckiti_unmap(outside.ptr, outside.mapped);
    } else if (flags & CKITI_ENTRY_OBJECT) {
        ckit_object object;
        memcpy(&object, ckiti_entry_value(entry), sizeof object);
        if (object.release != NULL) {
            object.release(object.object, object.context);
        }
    }
    if (charge != 0) {
        ckiti_books_give(&l1->books, charge);
    }
}

void ckiti_entry_drop(ckiti_l1 *l1, ckiti_entry *entry) {
    if (atomic_fetch_sub_explicit(ckiti_entry_references(entry), 1, memory_order_acq_rel) != 1) {
        return;
    }
    uint32_t reference = ckiti_arena_reference(&l1->arena, entry);
    free_owned(l1, entry);
    ckiti_arena_give(&l1->arena, &reference, 1);
    ckiti_l1_life_ends(l1);
}

/* ---- limbo ----------------------------------------------------------------------------------------------- */

void ckiti_limbo_add(ckiti_limbo *limbo, const ckiti_arena *arena, ckiti_entry *entry) {
    entry->node.next = limbo->first;
    limbo->first = ckiti_arena_reference(arena, entry);
    limbo->count++;
    limbo->bytes += ckiti_entry_charge(arena, entry);
}

void ckiti_unlink(ckiti_shard *shard, ckiti_place place, uint64_t hash, ckiti_entry *entry, ckiti_limbo *limbo) {
    ckiti_table_remove(shard->table, hash, place);
    ckiti_count_removal(shard);
    ckiti_add(&shard->bytes, -ckiti_entry_charge(shard->arena, entry));
    ckiti_add(&shard->entries, UINT64_MAX);
    shard->heavy -= (ckiti_life_flags(ckiti_entry_life(entry)) & CKITI_ENTRY_COUNTED) != 0;
    ckiti_limbo_add(limbo, shard->arena, entry);
}

ckiti_limbo ckiti_limbo_due(const ckiti_l1 *l1, ckiti_shard *shard) {
    ckiti_limbo due = {0, 0, 0, NULL};
    if (shard->limbo.count >= LIMBO_COUNT || shard->limbo.bytes >= l1->limbo_limit || shard->limbo.tables != NULL) {
        due = shard->limbo;
        memset(&shard->limbo, 0, sizeof shard->limbo);
    }
    return due;
}

/* What the readers are looking at. More than fit in here are looked up record by record. */
typedef struct announced {
    const ckiti_readers *readers;
    uint32_t             entries[ANNOUNCED_KEPT];
    size_t               count;
} announced;

static void collect(announced *all, const ckiti_readers *readers) {
    all->readers = readers;
    all->count = 0;
    for (ckiti_reader *reader = atomic_load(&readers->first); reader != NULL; reader = reader->next) {
        uint32_t entry = atomic_load_explicit(&reader->entry, CKITI_INSPECT);
        if (entry != 0) {
            if (all->count < ANNOUNCED_KEPT) {
                all->entries[all->count] = entry;
            }
            all->count++;
        }
    }
}

static bool entry_is_announced(const announced *all, uint32_t entry) {
    if (all->count <= ANNOUNCED_KEPT) {
        for (size_t i = 0; i < all->count; i++) {
            if (all->entries[i] == entry) {
                return true;
            }
        }
        return false;
    }
    for (ckiti_reader *reader = atomic_load(&all->readers->first); reader != NULL; reader = reader->next) {
        if (atomic_load_explicit(&reader->entry, CKITI_INSPECT) == entry) {
            return true;
        }
    }
    return false;
}

static bool table_is_announced(const ckiti_readers *readers, const ckiti_table *table) {
    for (ckiti_reader *reader = atomic_load(&readers->first); reader != NULL; reader = reader->next) {
        if (atomic_load_explicit(&reader->table, CKITI_INSPECT) == table) {
            return true;
        }
    }
    return false;
}

/* The table's own reference goes. True when the piece can go too. */
static bool drop_table_reference(ckiti_l1 *l1, ckiti_entry *entry) {
    if (ckiti_life_flags(ckiti_entry_life(entry)) & CKITI_ENTRY_COUNTED) {
        /* From here on the entry may be all that keeps the tier's memory; the last holder ends that life. */
        atomic_fetch_add_explicit(&l1->lives, 1, memory_order_relaxed);
        if (atomic_fetch_sub_explicit(ckiti_entry_references(entry), 1, memory_order_acq_rel) != 1) {
            return false;
        }
        free_owned(l1, entry);
        ckiti_l1_life_ends(l1);
    }
    return true;
}

static void reclaim_tables(ckiti_l1 *l1, ckiti_table *tables, ckiti_limbo *kept) {
    while (tables != NULL) {
        ckiti_table *table = tables;
        tables = table->older;
        if (table_is_announced(&l1->readers, table)) {
            table->older = kept->tables;
            kept->tables = table;
        } else {
            ckiti_books_give(&l1->books, table->bytes);
            ckiti_table_free(table, l1->alloc);
        }
    }
}

static void give_back_to(ckiti_l1 *l1, ckiti_shard *shard, ckiti_limbo *kept) {
    pthread_mutex_lock(&shard->lock);
    while (kept->first != 0) {
        ckiti_entry *entry = ckiti_arena_entry(&l1->arena, kept->first);
        kept->first = entry->node.next;
        ckiti_limbo_add(&shard->limbo, &l1->arena, entry);
    }
    while (kept->tables != NULL) {
        ckiti_table *table = kept->tables;
        kept->tables = table->older;
        table->older = shard->limbo.tables;
        shard->limbo.tables = table;
    }
    pthread_mutex_unlock(&shard->lock);
}

void ckiti_reclaim(ckiti_l1 *l1, ckiti_shard *shard, ckiti_limbo *limbo) {
    if (limbo->first == 0 && limbo->tables == NULL) {
        return;
    }
    ckiti_readers_barrier(&l1->readers);
    announced all;
    collect(&all, &l1->readers);
    ckiti_limbo kept = {0, 0, 0, NULL};
    uint32_t    pieces[FREE_BATCH];
    size_t      count = 0;
    uint32_t    reference = limbo->first;
    while (reference != 0) {
        ckiti_entry *entry = ckiti_arena_entry(&l1->arena, reference);
        uint32_t     next = entry->node.next;
        if (entry_is_announced(&all, reference)) {
            ckiti_limbo_add(&kept, &l1->arena, entry);
        } else if (drop_table_reference(l1, entry)) {
            pieces[count++] = reference;
        }
        reference = next;
        if (count == FREE_BATCH || (reference == 0 && count != 0)) {
            ckiti_arena_give(&l1->arena, pieces, count);
            count = 0;
        }
    }
    reclaim_tables(l1, limbo->tables, &kept);
    memset(limbo, 0, sizeof *limbo);
    if (kept.first != 0 || kept.tables != NULL) {
        give_back_to(l1, shard, &kept);
    }
}

/* ---- eviction -------------------------------------------------------------------------------------------- */

/* The caller's own shard, unless another one has clearly more than its share: with large values a shard holds few
 * entries, and only all shards together fill the budget. */
static ckiti_shard *choose_shard(ckiti_l1 *l1, ckiti_shard *own) {
    uint64_t     total = 0;
    uint64_t     most = 0;
    ckiti_shard *largest = own;
    for (uint32_t i = 0; i < l1->shard_count; i++) {
        uint64_t bytes = ckiti_look(&l1->shards[i].bytes);
        total += bytes;
        if (bytes > most) {
            most = bytes;
            largest = &l1->shards[i];
        }
    }
    uint64_t share = total / l1->shard_count; /* NOLINT(clang-analyzer-core.DivideZero): there is at least one */
    return ckiti_look(&own->bytes) >= share - share / 16 && ckiti_look(&own->bytes) != 0 ? own : largest;
}

/* The policy's choice, taken out of the table; NULL when the shard is empty. The lock is held. */
static ckiti_entry *take_victim(ckiti_l1 *l1, ckiti_shard *shard, ckiti_limbo *limbo) {
    ckiti_entry *entry = (ckiti_entry *)(void *)ckiti_policy_evict(&shard->policy);
    if (entry != NULL) {
        uint64_t    hash = ckiti_xxh3(ckiti_entry_key(entry), shard->seed);
        uint32_t    reference = ckiti_arena_reference(&l1->arena, entry);
        ckiti_place place = ckiti_table_find_reference(shard->table, hash, reference);
        ckiti_add(&shard->evicted, 1); /* first: who sees that it is gone sees why */
        ckiti_unlink(shard, place, hash, entry, limbo);
    }
    return entry;
}

bool ckiti_evict_one(ckiti_l1 *l1, ckiti_shard *shard) { return take_victim(l1, shard, &shard->limbo) != NULL; }

/* Evicts about `bytes` from the shard and frees what can be freed, what was in limbo before too. False when there was
 * nothing. */
static bool evict(ckiti_l1 *l1, ckiti_shard *shard, uint64_t bytes) {
    pthread_mutex_lock(&shard->lock);
    ckiti_limbo limbo = shard->limbo;
    memset(&shard->limbo, 0, sizeof shard->limbo);
    uint64_t before = limbo.bytes;
    while (limbo.bytes - before < bytes && take_victim(l1, shard, &limbo) != NULL) {}
    bool some = limbo.bytes != before;
    pthread_mutex_unlock(&shard->lock);
    ckiti_reclaim(l1, shard, &limbo);
    return some;
}

/* ---- pages ----------------------------------------------------------------------------------------------- */

static uint64_t hash_of(void *context, const ckiti_entry *entry) {
    return ckiti_xxh3(ckiti_entry_key(entry), ((const ckiti_l1 *)context)->seed);
}

static void copy_entry(ckiti_entry *to, const ckiti_entry *from, size_t size) {
    to->node.spare = from->node.spare;
    to->birth_low = from->birth_low;
    to->lengths = from->lengths;
    memcpy(to->rest, from->rest, size - CKITI_ENTRY_HEADER);
    atomic_store_explicit(&to->life, ckiti_entry_life(from), memory_order_release);
}

/* Moves a plain entry into a piece of another page. False when there is none; the shard's lock is held. */
static bool move_entry(ckiti_l1 *l1, ckiti_shard *shard, ckiti_place place, ckiti_entry *entry) {
    unsigned flags = ckiti_life_flags(ckiti_entry_life(entry));
    size_t   size = ckiti_entry_size(ckiti_entry_key_len(entry), ckiti_entry_value_len(entry), flags);
    if (flags & CKITI_ENTRY_COUNTED) {
        return false; /* readers may hold it, and an object has one owner */
    }
    uint32_t reference = ckiti_arena_take_loose(&l1->arena, size);
    if (reference == 0) {
        return false;
    }
    ckiti_entry *moved = ckiti_arena_entry(&l1->arena, reference);
    copy_entry(moved, entry, size);
    ckiti_policy_replace(&shard->policy, &entry->node, &moved->node);
    atomic_store_explicit(&place.bucket->refs[place.slot], reference, CKITI_UNPUBLISH);
    ckiti_limbo_add(&shard->limbo, &l1->arena, entry);
    return true;
}

static void drain_one(ckiti_l1 *l1, uint32_t reference, uint64_t hash) {
    ckiti_shard *shard = ckiti_shard_of(l1, hash);
    pthread_mutex_lock(&shard->lock);
    ckiti_place place = ckiti_table_find_reference(shard->table, hash, reference);
    if (place.bucket != NULL) { /* else it was taken out meanwhile; its piece serves nobody else while it drains */
        ckiti_entry *entry = ckiti_arena_entry(&l1->arena, reference);
        if (!move_entry(l1, shard, place, entry)) {
            ckiti_policy_remove(&shard->policy, &entry->node);
            ckiti_add(&shard->evicted, 1);
            ckiti_unlink(shard, place, hash, entry, &shard->limbo);
        }
    }
    pthread_mutex_unlock(&shard->lock);
}

static void reclaim_all(ckiti_l1 *l1) {
    for (uint32_t i = 0; i < l1->shard_count; i++) {
        ckiti_shard *shard = &l1->shards[i];
        pthread_mutex_lock(&shard->lock);
        ckiti_limbo limbo = shard->limbo;
        memset(&shard->limbo, 0, sizeof shard->limbo);
        pthread_mutex_unlock(&shard->lock);
        ckiti_reclaim(l1, shard, &limbo);
    }
}

/* Empties the page that has most free pieces. True when it came free. */
static bool drain_page(ckiti_l1 *l1) {
    uint32_t references[64];
    uint64_t hashes[64];
    uint32_t index = 0;
    uint32_t page = ckiti_arena_drain_begin(&l1->arena);
    if (page == UINT32_MAX) {
        return false;
    }
    for (;;) {
        size_t count = ckiti_arena_drain_list(&l1->arena, page, &index, references, hashes, 64, hash_of, l1);
        if (count == 0) {
            break;
        }
        for (size_t i = 0; i < count; i++) {
            drain_one(l1, references[i], hashes[i]);
        }
    }
    reclaim_all(l1);
    return ckiti_arena_drain_end(&l1->arena, page);
}

/* ---- room ------------------------------------------------------------------------------------------------ */

/* One step towards `bytes` of room. False when nothing could be done. */
static bool step(ckiti_l1 *l1, ckiti_shard *own, uint64_t bytes, unsigned round, bool uncharge) {
    if (uncharge && ckiti_arena_shrink(&l1->arena, bytes) != 0) {
        return true;
    }
    uint64_t loose = ckiti_look(&l1->arena.loose_bytes);
    if (round > PATIENT_ROUNDS || (round > 0 && loose > ckiti_books_used(&l1->books) / LOOSE_PART)) {
        if (drain_page(l1)) {
            return true;
        }
    }
    ckiti_shard *shard = choose_shard(l1, own);
    uint64_t     batch = ckiti_look(&shard->bytes) / BATCH_PART;
    batch = batch < BATCH_BYTES ? batch : BATCH_BYTES;
    return evict(l1, shard, bytes > batch ? bytes : batch);
}

uint32_t ckiti_make_room(ckiti_l1 *l1, ckiti_shard *own, const ckiti_need *need) {
    bool     charged = need->outside == 0;
    uint32_t reference = 0;
    unsigned idle = 0;
    for (unsigned round = 0; idle < IDLE_ROUNDS; round++) {
        charged = charged || ckiti_books_take(&l1->books, need->outside);
        if (charged) {
            reference = ckiti_arena_take(&l1->arena, need->piece);
            if (reference != 0) {
                return reference;
            }
        }
        if (!step(l1, own, charged ? need->piece : need->outside, round, !charged)) {
            idle++; /* other threads may be about to store or to free */
            sched_yield();
        }
    }
    if (charged && need->outside != 0) {
        ckiti_books_give(&l1->books, need->outside);
    }
    return 0;
}

void ckiti_return_room(ckiti_l1 *l1, uint32_t reference, const ckiti_need *need) {
    ckiti_arena_give(&l1->arena, &reference, 1);
    if (need->outside != 0) {
        ckiti_books_give(&l1->books, need->outside);
    }
}

void ckiti_settle(ckiti_l1 *l1, ckiti_shard *own) {
    uint64_t excess = ckiti_books_excess(&l1->books);
    for (unsigned round = 0, idle = 0; excess != 0 && idle < IDLE_ROUNDS; round++) {
        idle += !step(l1, own, excess, round, true);
        excess = ckiti_books_excess(&l1->books);
    }
}
