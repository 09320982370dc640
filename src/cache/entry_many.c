/* Many entries at once: one pass over memory, one batched read of the store. */
#include "cache/entry.h"

#include "base/alloc.h"
#include "cache/store.h"

#include <cachekit/value.h>

static const char where[] = "cache";

/* Where a key of the batch stands in the caller's arrays, and when it was looked for. */
typedef struct batch_row {
    size_t     index;
    uint64_t   birth;
    uint64_t   version;
    ckiti_note note; /* from before the store is asked until it has answered */
} batch_row;

/* The keys that memory did not have, as the store is asked for them. */
typedef struct batch {
    size_t       count;
    size_t       capacity;
    batch_row   *rows;
    ckit_slice  *keys;
    ckit_buf    *stored;
    uint64_t    *life_ms;
    ckit_status *answers;
} batch;

static void batch_fini(batch *b, const ckit_alloc *alloc) {
    for (size_t i = 0; b->stored != NULL && i < b->capacity; i++) {
        ckit_buf_fini(&b->stored[i]);
    }
    ckiti_free(alloc, b->rows, b->capacity * sizeof b->rows[0]);
    ckiti_free(alloc, b->keys, b->capacity * sizeof b->keys[0]);
    ckiti_free(alloc, b->stored, b->capacity * sizeof b->stored[0]);
    ckiti_free(alloc, b->life_ms, b->capacity * sizeof b->life_ms[0]);
    ckiti_free(alloc, b->answers, b->capacity * sizeof b->answers[0]);
}

static ckit_status batch_init(batch *b, size_t capacity, const ckit_alloc *alloc, ckit_error *err) {
    *b = (batch){.capacity = capacity};
    b->rows = ckiti_alloc_zeroed(alloc, capacity, sizeof b->rows[0]);
    b->keys = ckiti_alloc_zeroed(alloc, capacity, sizeof b->keys[0]);
    b->stored = ckiti_alloc_zeroed(alloc, capacity, sizeof b->stored[0]);
    b->life_ms = ckiti_alloc_zeroed(alloc, capacity, sizeof b->life_ms[0]);
    b->answers = ckiti_alloc_zeroed(alloc, capacity, sizeof b->answers[0]);
    if (b->rows == NULL || b->keys == NULL || b->stored == NULL || b->life_ms == NULL || b->answers == NULL) {
        batch_fini(b, alloc);
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a batch of %zu keys", capacity);
    }
    for (size_t i = 0; i < capacity; i++) {
        ckit_buf_init(&b->stored[i], alloc);
        b->life_ms[i] = CKIT_LIFE_UNKNOWN;
    }
    return CKIT_OK;
}

/* What the caller lent. */
typedef struct request {
    ckit_cache               *cache;
    const ckit_slice         *keys;
    const ckit_entry_options *options;
    ckit_value               *out;
    ckit_status              *answers;
} request;

/* ---- memory ---------------------------------------------------------------------------------------------------- */

#define SPAN 32u

/* One pass over memory for `count` keys from `from`; those that are missing join the batch. */
static void look_in_memory(const request *r, size_t from, size_t count, ckiti_access *span, batch *b) {
    ckiti_l1_query queries[SPAN];
    size_t         places[SPAN];
    ckit_status    seen[SPAN];
    ckiti_l1      *l1 = NULL;
    size_t         good = 0;
    for (size_t i = 0; i < count; i++) {
        ckit_status *answer = &r->answers[from + i];
        *answer = ckiti_access_begin(&span[good], r->cache, r->keys[from + i], r->options, NULL);
        if (*answer == CKIT_OK) {
            queries[good] = span[good].query;
            seen[good] = CKIT_MISS;
            l1 = span[good].ns->l1;
            places[good++] = from + i;
        }
    }
    for (size_t i = 0; l1 != NULL && i < good;) { /* runs of neighbours at once */
        size_t run = 1;
        while (i + run < good && places[i + run] == places[i] + run) {
            run++;
        }
        ckiti_l1_get_many(l1, &queries[i], run, ckiti_cache_now(r->cache), &r->out[places[i]], &seen[i]);
        i += run;
    }
    for (size_t i = 0; i < good; i++) {
        ckit_value *out = &r->out[places[i]];
        if (seen[i] == CKIT_OK) {
            seen[i] = ckiti_access_open(&span[i], out, NULL);
        }
        if (seen[i] == CKIT_OK || seen[i] >= CKIT_E_FIRST) {
            r->answers[places[i]] = seen[i] == CKIT_OK ? ckiti_access_present(&span[i], out, NULL) : seen[i];
            continue;
        }
        ckit_value_fini(out); /* a stale value */
        if (r->cache->ops == NULL) {
            r->answers[places[i]] = ckiti_access_absent(&span[i], NULL);
        } else {
            batch_row *row = &b->rows[b->count];
            row->index = places[i];
            row->birth = span[i].birth;
            row->version = span[i].version;
            b->keys[b->count++] = r->keys[places[i]];
        }
    }
}

/* ---- the store --------------------------------------------------------------------------------------------------- */

/* The answers are there, or (`whole`) the whole failed. */
static void take_answers(const request *r, batch *b, ckiti_access *a, ckit_status whole) {
    for (size_t i = 0; i < b->count; i++) {
        batch_row   *row = &b->rows[i];
        ckit_status *answer = &r->answers[row->index];
        ckit_error   why = CKIT_ERROR_INIT;
        *answer = whole != CKIT_OK ? whole : ckiti_access_begin(a, r->cache, b->keys[i], r->options, NULL);
        if (*answer != CKIT_OK) {
            continue;
        }
        a->birth = row->birth;
        a->version = row->version;
        a->note = &row->note;
        if (b->answers[i] >= CKIT_E_FIRST) {
            ckit_fail(&why, b->answers[i], r->cache->ops->name, "one key of a batch: %s",
                      ckit_status_text(b->answers[i]));
        }
        *answer = ckiti_access_answer(a, b->answers[i], &b->stored[i], b->life_ms[i], &why, &r->out[row->index], NULL);
    }
}

static ckit_status ask_for_all(const request *r, batch *b, ckiti_access *scratch, ckit_error *err) {
    uint64_t   deadline = ckiti_store_deadline(r->cache, scratch->options.timeout_ms);
    ckit_error why = CKIT_ERROR_INIT;
    for (size_t i = 0; i < b->count; i++) {
        ckiti_note_begin(r->cache, &b->rows[i].note, b->keys[i]);
    }
    ckit_status whole =
        r->cache->ops->get_many(r->cache->store, b->keys, b->count, deadline, b->stored, b->life_ms, b->answers, &why);
    if (whole != CKIT_OK) {
        ckiti_store_failed(r->cache, "get_many", b->keys[0], &why);
        if (err != NULL) {
            *err = why;
        }
    }
    take_answers(r, b, scratch, whole);
    for (size_t i = 0; i < b->count; i++) {
        ckiti_note_end(r->cache, &b->rows[i].note);
    }
    return whole;
}

/* For stores without a batched read. */
static void ask_one_by_one(const request *r, const batch *b, ckiti_access *scratch) {
    for (size_t i = 0; i < b->count; i++) {
        size_t       at = b->rows[i].index;
        ckit_status *answer = &r->answers[at];
        *answer = ckiti_access_begin(scratch, r->cache, b->keys[i], r->options, NULL);
        if (*answer == CKIT_OK) {
            *answer = ckiti_access_ask(scratch, &r->out[at], NULL);
        }
    }
}

ckit_status ckit_cache_get_many(ckit_cache *cache, const ckit_slice *keys, size_t count,
                                const ckit_entry_options *options, ckit_value *out, ckit_status *answers,
                                ckit_error *err) {
    batch         b;
    const request r = {cache, keys, options, out, answers};
    ckiti_access *span = NULL;
    if (cache == NULL || (count > 0 && (keys == NULL || out == NULL || answers == NULL))) {
        return ckiti_there_is_no(err, where, cache == NULL ? "cache" : "array of keys, of values or of answers");
    }
    ckit_status st = batch_init(&b, count, cache->alloc, err);
    if (st == CKIT_OK && (span = ckiti_alloc(cache->alloc, SPAN * sizeof *span)) == NULL) {
        batch_fini(&b, cache->alloc);
        st = ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a batch of %zu keys", count);
    }
    if (st != CKIT_OK) {
        for (size_t i = 0; i < count; i++) {
            answers[i] = st;
        }
        return st;
    }
    for (size_t from = 0; from < count; from += SPAN) {
        look_in_memory(&r, from, count - from < SPAN ? count - from : SPAN, span, &b);
    }
    if (b.count > 0 && cache->ops->get_many != NULL) {
        st = ask_for_all(&r, &b, span, err);
    } else if (b.count > 0) {
        ask_one_by_one(&r, &b, span);
    }
    ckiti_free(cache->alloc, span, SPAN * sizeof *span);
    batch_fini(&b, cache->alloc);
    return st;
}
