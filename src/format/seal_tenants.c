/* format/seal_tenants.c - the tenants' keys that are kept at hand. */
#include "base/alloc.h"
#include "base/hash.h"
#include "base/random.h"
#include "format/frame_header.h"
#include "format/seal_ring.h"
#include "format/sealed_head.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>
#include <sodium.h>

#define WHERE "seal"

static size_t chunks_of(const ckit_keyring *ring) {
    return (ring->max_tenants + CKITI_TENANTS_CHUNK - 1) / CKITI_TENANTS_CHUNK;
}

ckit_status ckiti_tenants_init(ckit_keyring *ring, ckit_error *err) {
    const size_t chunks = chunks_of(ring);
    ring->buckets = 16;
    while (ring->buckets < ring->max_tenants) {
        ring->buckets *= 2;
    }
    ring->seed = ckiti_random_u64(); /* tenants' names may come from outside */
    ring->heads = ckiti_alloc_zeroed(ring->alloc, ring->buckets, sizeof *ring->heads);
    ring->chunks = ckiti_alloc_zeroed(ring->alloc, chunks, sizeof *ring->chunks);
    if (ring->heads == NULL || ring->chunks == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %u tenants", ring->max_tenants);
    }
    return CKIT_OK;
}

static ckiti_tenant *numbered(const ckit_keyring *ring, uint32_t number) {
    return &ring->chunks[number / CKITI_TENANTS_CHUNK]->tenants[number % CKITI_TENANTS_CHUNK];
}

/* ---- making and forgetting one ------------------------------------------------------------------------------ */

/* Wipes what was made of the key, and the key. */
static void empty(ckit_keyring *ring, ckiti_tenant *tenant) {
    void *openssl = atomic_load_explicit(&ring->openssl, memory_order_acquire);
    if (openssl != NULL) {
        ckiti_cipher_openssl.forget(openssl, &tenant->cipher);
    }
    sodium_memzero(tenant->cipher.secret, sizeof *tenant->cipher.secret);
    ckiti_free(ring->alloc, tenant->name, tenant->name_len + tenant->head.len);
    tenant->name = NULL;
}

static void unlink_tenant(ckit_keyring *ring, uint32_t number) {
    ckiti_tenant *tenant = numbered(ring, number);
    uint32_t     *link = &ring->heads[tenant->hash & (ring->buckets - 1)];
    while (*link != number + 1) {
        link = &numbered(ring, *link - 1)->next;
    }
    *link = tenant->next;
}

static bool add_chunk(ckit_keyring *ring) {
    ckiti_tenants_chunk *chunk = ckiti_alloc_zeroed(ring->alloc, 1, sizeof *chunk);
    if (chunk == NULL) {
        return false;
    }
    chunk->secrets = ckiti_secret_alloc(CKITI_TENANTS_CHUNK * sizeof *chunk->secrets);
    if (chunk->secrets == NULL) {
        ckiti_free(ring->alloc, chunk, sizeof *chunk);
        return false;
    }
    for (size_t i = 0; i < CKITI_TENANTS_CHUNK; i++) {
        chunk->tenants[i].cipher.secret = &chunk->secrets[i];
        atomic_store_explicit(&chunk->tenants[i].lent, CKITI_TENANT_GONE, memory_order_relaxed);
    }
    ring->chunks[ring->tenants / CKITI_TENANTS_CHUNK] = chunk;
    return true;
}

static uint64_t used_at(const ckiti_tenant *tenant) {
    return atomic_load_explicit(&tenant->used_at, memory_order_relaxed);
}

/* Whether `a` goes rather than `b`: what was used least recently, but keys that have sealed much stay, so that others
 * do not inherit their count. */
static bool goes_first(const ckit_keyring *ring, const ckiti_tenant *a, const ckiti_tenant *b) {
    const bool a_much = atomic_load_explicit(&a->sealed, memory_order_relaxed) > ring->max_sealed / 2;
    const bool b_much = atomic_load_explicit(&b->sealed, memory_order_relaxed) > ring->max_sealed / 2;
    return a_much == b_much ? used_at(a) < used_at(b) : b_much;
}

/* UINT32_MAX when all are lent. */
static uint32_t find_oldest(const ckit_keyring *ring) {
    uint32_t oldest = UINT32_MAX;
    for (uint32_t i = 0; i < ring->tenants; i++) {
        const ckiti_tenant *tenant = numbered(ring, i);
        if (atomic_load_explicit(&tenant->lent, memory_order_relaxed) == 0 &&
            (oldest == UINT32_MAX || goes_first(ring, tenant, numbered(ring, oldest)))) {
            oldest = i;
        }
    }
    return oldest;
}

/* From here on it is nobody's, however it is found. False when it is lent meanwhile. */
static bool take_away(ckiti_tenant *tenant) {
    uint32_t lent = 0;
    return atomic_compare_exchange_strong_explicit(&tenant->lent, &lent, CKITI_TENANT_GONE, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Frees one that is not lent. UINT32_MAX when all are. */
static uint32_t evict(ckit_keyring *ring) {
    uint32_t oldest;
    do {
        oldest = find_oldest(ring);
    } while (oldest != UINT32_MAX && !take_away(numbered(ring, oldest)));
    if (oldest != UINT32_MAX) {
        ckiti_tenant  *tenant = numbered(ring, oldest);
        const uint64_t sealed = atomic_load_explicit(&tenant->sealed, memory_order_relaxed);
        /* Should it come back, it starts from there: what a key has sealed may be counted too high, never too low. */
        ring->evicted_sealed = sealed > ring->evicted_sealed ? sealed : ring->evicted_sealed;
        unlink_tenant(ring, oldest);
        empty(ring, tenant);
    }
    return oldest;
}

/* A number that is free, its memory wiped. */
static ckit_status find_room(ckit_keyring *ring, uint32_t *number, ckit_error *err) {
    if (ring->tenants == ring->max_tenants) {
        *number = evict(ring);
        return *number != UINT32_MAX
                   ? CKIT_OK
                   : ckit_fail(err, CKIT_E_BUSY, WHERE, "the keys of all %u tenants are in use", ring->max_tenants);
    }
    if (ring->chunks[ring->tenants / CKITI_TENANTS_CHUNK] == NULL && !add_chunk(ring)) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for keys");
    }
    *number = ring->tenants;
    return CKIT_OK;
}

#define UNKNOWN_FINGERPRINT "00000000000000000000000000000000"
_Static_assert(sizeof UNKNOWN_FINGERPRINT - 1 == CKIT_FINGERPRINT_DIGITS, "as long as one that is known");

/* A block with the name and, behind it, the head of what the key will seal. NULL when that cannot be. */
static uint8_t *write_names(const ckit_keyring *ring, ckit_slice name, size_t *head_len, ckit_error *err) {
    const ckit_frame frame = ckiti_sealed_default_frame(name, ckit_slice_str(UNKNOWN_FINGERPRINT));
    ckit_buf         head = {.alloc = ring->alloc};
    uint8_t         *names = NULL;
    if (ckit_frame_write(&frame, &head, err) == CKIT_OK) {
        names = ckiti_alloc(ring->alloc, name.len + head.len);
        if (names == NULL) {
            (void)ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", name.len + head.len);
        } else {
            memcpy(names, name.ptr, name.len);
            memcpy(names + name.len, head.ptr, head.len);
            *head_len = head.len;
        }
    }
    ckit_buf_fini(&head);
    return names;
}

static void set_fingerprint(ckiti_tenant *tenant, uint8_t *head) {
    uint8_t fingerprint[CKITI_FINGERPRINT];
    ckiti_key_fingerprint(tenant->cipher.secret->key, fingerprint);
    ckiti_hex(tenant->fingerprint, fingerprint, sizeof fingerprint);
    memcpy(head + tenant->head.len - CKITI_FRAME_BEHIND_FINGERPRINT - sizeof tenant->fingerprint, tenant->fingerprint,
           sizeof tenant->fingerprint);
}

static ckit_status make(ckit_keyring *ring, unsigned master, ckit_slice name, uint64_t hash, ckiti_tenant **out,
                        ckit_error *err) {
    uint32_t number;
    size_t   head_len = 0;
    uint8_t *names = write_names(ring, name, &head_len, err);
    if (names == NULL) {
        return CKIT_E_NO_MEMORY;
    }
    ckit_status st = find_room(ring, &number, err);
    if (st != CKIT_OK) {
        ckiti_free(ring->alloc, names, name.len + head_len);
        return st;
    }
    ring->tenants += number == ring->tenants;
    ckiti_tenant *tenant = numbered(ring, number);
    tenant->name = names;
    tenant->name_len = name.len;
    tenant->head = ckit_slice_of(names + name.len, head_len);
    tenant->master = master;
    tenant->hash = hash;
    atomic_store_explicit(&tenant->sealed, ring->evicted_sealed, memory_order_relaxed);
    ckiti_tenant_key(ring->masters[master], "encryption", name, tenant->cipher.secret->key);
    set_fingerprint(tenant, names + name.len);
    if (ring->with_sodium) {
        ckiti_cipher_sodium_expand(&tenant->cipher);
    }
    tenant->next = ring->heads[hash & (ring->buckets - 1)];
    ring->heads[hash & (ring->buckets - 1)] = number + 1;
    /* No store: who has looked at the one before may be about to count himself out. */
    (void)atomic_fetch_and_explicit(&tenant->lent, ~CKITI_TENANT_GONE, memory_order_release);
    *out = tenant;
    return CKIT_OK;
}

/* ---- lending ------------------------------------------------------------------------------------------------ */

static bool is_of(const ckiti_tenant *tenant, unsigned master, ckit_slice name, uint64_t hash) {
    return tenant->hash == hash && tenant->master == master &&
           ckit_slice_equal(name, ckit_slice_of(tenant->name, tenant->name_len));
}

static ckiti_tenant *find(const ckit_keyring *ring, unsigned master, ckit_slice name, uint64_t hash) {
    for (uint32_t at = ring->heads[hash & (ring->buckets - 1)]; at != 0; at = numbered(ring, at - 1)->next) {
        if (is_of(numbered(ring, at - 1), master, name, hash)) {
            return numbered(ring, at - 1);
        }
    }
    return NULL;
}

void ckiti_ring_give_back(ckit_keyring *ring, ckiti_tenant *tenant) {
    (void)ring;
    (void)atomic_fetch_sub_explicit(&tenant->lent, 1, memory_order_release);
}

static void lend(ckiti_tenant *tenant, uint64_t tick) {
    (void)atomic_fetch_add_explicit(&tenant->lent, 1, memory_order_acquire);
    atomic_store_explicit(&tenant->used_at, tick, memory_order_relaxed);
}

/* Looked at only when it is lent: then it stays what it is. */
static bool lend_at_hand(ckit_keyring *ring, unsigned master, ckit_slice name, uint64_t hash, ckiti_tenant **out) {
    ckiti_tenant *tenant =
        atomic_load_explicit(&ring->at_hand[hash & (CKITI_TENANTS_AT_HAND - 1)], memory_order_acquire);
    if (tenant == NULL) {
        return false;
    }
    const uint32_t lent = atomic_fetch_add_explicit(&tenant->lent, 1, memory_order_acquire);
    if ((lent & CKITI_TENANT_GONE) != 0 || !is_of(tenant, master, name, hash)) {
        ckiti_ring_give_back(ring, tenant);
        return false;
    }
    atomic_store_explicit(&tenant->used_at, atomic_load_explicit(&ring->tick, memory_order_relaxed),
                          memory_order_relaxed);
    *out = tenant;
    return true;
}

ckit_status ckiti_ring_borrow(ckit_keyring *ring, unsigned master, ckit_slice name, ckiti_tenant **out,
                              ckit_error *err) {
    if (name.len == 0 || name.len > CKIT_TENANT_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "a tenant of %zu bytes, allowed are 1 to %u", name.len,
                         CKIT_TENANT_MAX_BYTES);
    }
    const uint64_t hash = ckiti_xxh3(name, ring->seed + master);
    ckit_status    st = CKIT_OK;
    if (lend_at_hand(ring, master, name, hash, out)) {
        return CKIT_OK;
    }
    pthread_mutex_lock(&ring->lock);
    ckiti_tenant *tenant = find(ring, master, name, hash);
    if (tenant == NULL) {
        st = ckit_utf8_valid(name) ? make(ring, master, name, hash, &tenant, err)
                                   : ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "the tenant is not UTF-8");
    }
    if (st == CKIT_OK) {
        lend(tenant, atomic_fetch_add_explicit(&ring->tick, 1, memory_order_relaxed) + 1);
        atomic_store_explicit(&ring->at_hand[hash & (CKITI_TENANTS_AT_HAND - 1)], tenant, memory_order_release);
        *out = tenant;
    }
    pthread_mutex_unlock(&ring->lock);
    return st;
}

ckit_status ckiti_ring_borrow_current(ckit_keyring *ring, ckit_slice name, ckiti_tenant **out, ckit_error *err) {
    return ckit_keyring_can_seal(ring)
               ? ckiti_ring_borrow(ring, 0, name, out, err)
               : ckit_fail(err, CKIT_E_NO_MASTER_KEY, WHERE, "there are previous master keys only, which do not seal");
}

void ckiti_tenants_in_child(ckit_keyring *ring) {
    for (size_t i = 0; i < chunks_of(ring) && ring->chunks[i] != NULL; i++) {
        ckiti_secret_lock_again(ring->chunks[i]->secrets, CKITI_TENANTS_CHUNK * sizeof(ckiti_secret));
        for (size_t k = 0; k < CKITI_TENANTS_CHUNK; k++) {
            ckiti_tenant *tenant = &ring->chunks[i]->tenants[k];
            (void)atomic_fetch_and(&tenant->lent, CKITI_TENANT_GONE); /* who had them is not here */
            ckiti_cipher_openssl_in_child(&tenant->cipher);
        }
    }
}

void ckiti_tenants_fini(ckit_keyring *ring) {
    const size_t chunks = chunks_of(ring);
    for (uint32_t i = 0; i < ring->tenants; i++) {
        if (numbered(ring, i)->name != NULL) {
            empty(ring, numbered(ring, i));
        }
    }
    for (size_t i = 0; ring->chunks != NULL && i < chunks; i++) {
        if (ring->chunks[i] != NULL) {
            ckiti_secret_free(ring->chunks[i]->secrets);
            ckiti_free(ring->alloc, ring->chunks[i], sizeof *ring->chunks[i]);
        }
    }
    ckiti_free(ring->alloc, ring->chunks, chunks * sizeof *ring->chunks);
    ckiti_free(ring->alloc, ring->heads, ring->buckets * sizeof *ring->heads);
}
