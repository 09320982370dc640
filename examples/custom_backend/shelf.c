/* shelf.c - read it from the end: the table of operations, then what is behind each of them. */
#include "shelf.h"

#include <cachekit/buf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BOARDS 256u /* a key belongs to one board ... */
#define PLACES 8u   /* ... which has room for so many entries */

typedef struct item {
    ckit_buf key; /* empty: a free place */
    ckit_buf value;
    uint64_t end_ms; /* on the clock; UINT64_MAX = never */
} item;

typedef struct shelf {
    const ckit_alloc *alloc;
    const ckit_clock *clock;
    item              items[BOARDS][PLACES];
} shelf;

/* ---- the lock -------------------------------------------------------------------------------------------- */

/* One for all shelves of the process. It guards their items and is never held while anything waits. Taken around fork,
 * so that a child never finds it held by a thread that it does not have. */
static pthread_mutex_t shelf_mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t  shelf_once = PTHREAD_ONCE_INIT;

static void lock(void) { pthread_mutex_lock(&shelf_mu); }
static void unlock(void) { pthread_mutex_unlock(&shelf_mu); }
static void guard_forks(void) { pthread_atfork(lock, unlock, unlock); }

/* ---- time ------------------------------------------------------------------------------------------------ */

static uint64_t now_ms(const shelf *s) {
    if (s->clock != NULL) {
        return s->clock->monotonic_ms(s->clock->self);
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static uint64_t end_of(const shelf *s, uint64_t ttl_ms) {
    return ttl_ms == CKIT_TTL_NO_EXPIRY ? UINT64_MAX : now_ms(s) + ttl_ms;
}

static uint64_t life_of(const item *i, uint64_t now) {
    return i->end_ms == UINT64_MAX ? CKIT_LIFE_NO_EXPIRY : i->end_ms - now;
}

/* ---- places ---------------------------------------------------------------------------------------------- */

static item *board_of(shelf *s, ckit_slice key) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ key.ptr[i]) * 1099511628211u;
    }
    return s->items[(hash >> 32) % BOARDS];
}

static void clear(item *i) {
    ckit_buf_fini(&i->key);
    ckit_buf_fini(&i->value);
}

/* The live entry of `key`, or NULL. An expired one is thrown away on the way: nobody must see it again. */
static item *find(shelf *s, ckit_slice key, uint64_t now) {
    item *board = board_of(s, key);
    for (size_t i = 0; i < PLACES; i++) {
        if (board[i].key.len > 0 && ckit_slice_equal(ckit_buf_slice(&board[i].key), key)) {
            if (now < board[i].end_ms) {
                return &board[i];
            }
            clear(&board[i]);
        }
    }
    return NULL;
}

/* Where `key` goes: its old place, a free one, or that of the entry which has the shortest time to live. */
static item *place_for(shelf *s, ckit_slice key, uint64_t now) {
    item *place = find(s, key, now);
    if (place == NULL) {
        item *board = board_of(s, key);
        place = &board[0];
        for (size_t i = 0; i < PLACES && place->key.len > 0; i++) {
            if (board[i].key.len == 0 || board[i].end_ms < place->end_ms) {
                place = &board[i];
            }
        }
    }
    return place;
}

/* ---- the operations -------------------------------------------------------------------------------------- */

static ckit_status shelf_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                             ckit_error *err) {
    shelf      *s = self;
    ckit_status st = CKIT_MISS; /* a miss is an answer: `err` stays as it is */
    (void)deadline_ms;          /* nothing here waits */
    lock();
    uint64_t now = now_ms(s);
    item    *found = find(s, key, now);
    if (found != NULL) {
        st = ckit_buf_append(out, ckit_buf_slice(&found->value));
        *life_ms = life_of(found, now);
    }
    unlock();
    return st == CKIT_E_NO_MEMORY ? ckit_fail(err, st, "shelf", "no memory for a copy") : st;
}

/* Limits come first, before any memory is asked for. The text names sizes, never the key or the value. */
static ckit_status check_sizes(ckit_slice key, ckit_slice value, ckit_error *err) {
    if (key.len > SHELF_MAX_KEY_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, "shelf", "key of %zu bytes, limit %u", key.len, SHELF_MAX_KEY_BYTES);
    }
    if (value.len > SHELF_MAX_VALUE_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, "shelf", "value of %zu bytes, limit %u", value.len,
                         SHELF_MAX_VALUE_BYTES);
    }
    return CKIT_OK;
}

static ckit_status shelf_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                             uint64_t deadline_ms, ckit_error *err) {
    shelf      *s = self;
    item        fresh;
    ckit_status st = check_sizes(key, value, err);
    (void)deadline_ms;
    if (st != CKIT_OK) {
        return st;
    }
    /* Copied before the old entry goes: without memory the old one stays. */
    ckit_buf_init(&fresh.key, s->alloc);
    ckit_buf_init(&fresh.value, s->alloc);
    if (ckit_buf_append(&fresh.key, key) != CKIT_OK || ckit_buf_append(&fresh.value, value) != CKIT_OK) {
        clear(&fresh);
        return ckit_fail(err, CKIT_E_NO_MEMORY, "shelf", "no memory for an entry of %zu bytes", key.len + value.len);
    }
    lock();
    fresh.end_ms = end_of(s, info->ttl_ms);
    item *place = place_for(s, key, now_ms(s));
    clear(place);
    *place = fresh;
    unlock();
    return CKIT_OK;
}

static ckit_status shelf_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    shelf *s = self;
    (void)deadline_ms, (void)err;
    lock();
    item *found = find(s, key, now_ms(s));
    if (found != NULL) {
        clear(found);
    }
    unlock();
    return found != NULL ? CKIT_OK : CKIT_MISS;
}

static ckit_status shelf_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    shelf *s = self;
    (void)deadline_ms, (void)err;
    lock();
    uint64_t now = now_ms(s);
    item    *found = find(s, key, now);
    if (found != NULL) {
        *life_ms = life_of(found, now);
    }
    unlock();
    return found != NULL ? CKIT_OK : CKIT_MISS;
}

static ckit_status shelf_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    uint64_t life_ms;
    return shelf_ttl(self, key, deadline_ms, &life_ms, err);
}

static ckit_status shelf_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    shelf *s = self;
    (void)deadline_ms, (void)err;
    lock();
    item *found = find(s, key, now_ms(s));
    if (found != NULL) {
        found->end_ms = end_of(s, ttl_ms);
    }
    unlock();
    return found != NULL ? CKIT_OK : CKIT_MISS;
}

static void shelf_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    shelf *s = self;
    (void)deadline_ms;
    *out = (ckit_health){.healthy = true, .limit_bytes = UINT64_MAX};
    snprintf(out->backend_type, sizeof out->backend_type, "shelf");
    lock();
    uint64_t now = now_ms(s);
    for (size_t i = 0; i < (size_t)BOARDS * PLACES; i++) {
        const item *it = &s->items[i / PLACES][i % PLACES];
        if (it->key.len > 0 && now < it->end_ms) {
            out->entries++;
            out->bytes += it->key.len + it->value.len;
        }
    }
    unlock();
}

static void shelf_close(void *self) {
    shelf *s = self;
    for (size_t i = 0; i < (size_t)BOARDS * PLACES; i++) {
        clear(&s->items[i / PLACES][i % PLACES]);
    }
    free(s);
}

/* ---- the table --------------------------------------------------------------------------------------------- */

static const ckit_backend_ops shelf_ops = {
    .abi = CKIT_BACKEND_ABI,
    .name = "shelf",
    .get = shelf_get,
    .set = shelf_set,
    .remove = shelf_remove,
    .exists = shelf_exists,
    .health = shelf_health,
    .close = shelf_close,
    .ttl = shelf_ttl,
    .touch = shelf_touch,
};

ckit_status shelf_open(const ckit_backend_env *env, ckit_backend **out, ckit_error *err) {
    *out = NULL;
    shelf *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "shelf", "no memory for a shelf");
    }
    pthread_once(&shelf_once, guard_forks);
    s->alloc = env == NULL ? NULL : env->alloc;
    s->clock = env == NULL ? NULL : env->clock;
    ckit_status st = ckit_backend_new(&shelf_ops, s, env, out, err);
    if (st != CKIT_OK) {
        shelf_close(s); /* a refused table leaves `self` ours */
    }
    return st;
}
