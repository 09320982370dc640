/* Entries by key: get, set, delete, exists, ttl, touch, get-many. */
#include "cache/core.h"
#include "cache/memkey.h"
#include "cache/scope.h"
#include "cache/store.h"
#include "format/stored.h"

#include <cachekit/document.h>
#include <cachekit/value.h>

static const char where[] = "cache";

/* One access to one key: what every operation begins with. */
typedef struct access {
    ckit_cache        *cache;
    ckit_entry_options options;
    ckit_slice         key;
    ckiti_namespace   *ns;
    ckiti_l1          *l1;      /* NULL: this key is not kept in memory by its text */
    bool               of_call; /* the key of a function's call: memory knows it by its arguments */
    ckiti_stripe      *stripe;
    ckiti_l1_query     query;
    uint64_t           birth;
    uint64_t           version;
    ckiti_memkey       memkey;
} access;

static uint8_t tag_of(ckit_encoding encoding) { return encoding == CKIT_RAW ? CKITI_TAG_RAW : CKITI_TAG_DOCUMENT; }

static ckit_status check_call(const ckit_cache *cache, ckit_slice key, const ckit_entry_options *o, ckit_error *err) {
    if (key.len == 0 || key.len > cache->options.max_key_bytes) {
        return ckit_fail(err, key.len == 0 ? CKIT_E_MISUSE : CKIT_E_TOO_LARGE, where,
                         "a key of %zu bytes, allowed is 1 to %u", key.len, cache->options.max_key_bytes);
    }
    if (o->encoding > CKIT_RAW) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "encoding %d does not exist", (int)o->encoding);
    }
    if (o->ttl_ms > CKIT_TTL_MAX_MS && o->ttl_ms != CKIT_TTL_NO_EXPIRY && o->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "a lifetime of %llu ms, the longest is %llu",
                         (unsigned long long)o->ttl_ms, (unsigned long long)CKIT_TTL_MAX_MS);
    }
    return CKIT_OK;
}

static void name_in_memory(access *a) {
    ckiti_memkey_make(&a->memkey, 0, a->key);
    ckit_slice name = ckiti_memkey_slice(&a->memkey);
    a->l1 = a->of_call ? NULL : a->ns->l1;
    a->query = (ckiti_l1_query){.key = name,
                                .hash = a->ns->l1 != NULL ? ckiti_l1_hash(a->ns->l1, name)
                                                          : ckiti_xxh3(name, a->cache->seed),
                                .min_birth = atomic_load_explicit(&a->ns->floor, memory_order_acquire),
                                .tag = tag_of(a->options.encoding)};
    a->stripe = ckiti_stripe_of(&a->cache->stripes, a->query.hash);
    a->birth = ckiti_namespace_birth(a->ns);
    a->version = ckiti_stripe_version(a->stripe);
}

static ckit_status begin_access(access *a, ckit_cache *cache, ckit_slice key, const ckit_entry_options *options,
                                ckit_error *err) {
    a->cache = cache;
    a->key = key;
    a->options = (ckit_entry_options)CKIT_ENTRY_OPTIONS_INIT;
    if (options != NULL) {
        size_t size = options->struct_size < sizeof a->options ? options->struct_size : sizeof a->options;
        memcpy(&a->options, options, size);
    }
    ckit_status st = check_call(cache, key, &a->options, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckit_slice name = ckit_slice_str(a->options.namespace_name);
    a->ns = name.len == 0 ? cache->no_namespace : ckiti_namespace_get(cache, name, err);
    if (a->ns == NULL) {
        return CKIT_E_NO_MEMORY;
    }
    a->of_call = ckit_key_describe(key).automatic;
    name_in_memory(a);
    return CKIT_OK;
}

static uint64_t deadline_of(const access *a) { return ckiti_store_deadline(a->cache, a->options.timeout_ms); }

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* The value holds a document: makes it what the caller asked for. */
static ckit_status present(const access *a, ckit_value *out, ckit_error *err) {
    if (a->options.encoding != CKIT_BYTES) {
        return CKIT_OK;
    }
    ckit_slice  inside;
    ckit_status st = ckit_document_bin(out->data, &inside, err);
    if (st != CKIT_OK) {
        st = ckit_document_str(out->data, &inside, NULL);
    }
    if (st != CKIT_OK) {
        ckit_value_fini(out);
        return ckit_fail(err, CKIT_E_VALUE_TYPE, where, "the entry holds a document that is not bytes: read it with the "
                         "encoding CKIT_DOCUMENT");
    }
    out->data = inside;
    return CKIT_OK;
}

static void fill_memory(const access *a, ckit_slice bytes, uint64_t life_ms) {
    if (a->l1 == NULL || life_ms == 0) {
        return;
    }
    pthread_mutex_lock(&a->stripe->mu);
    if (ckiti_stripe_version(a->stripe) == a->version) {
        ckiti_l1_put_args args = {.key = a->query.key,
                                  .hash = a->query.hash,
                                  .value = bytes,
                                  .life_ms = ckiti_life_in_memory(life_ms),
                                  .birth = a->birth,
                                  .tag = a->query.tag};
        (void)ckiti_l1_put(a->l1, &args, ckiti_cache_now(a->cache));
    }
    pthread_mutex_unlock(&a->stripe->mu);
    ckiti_sweep_start(a->cache);
}

/* What the store answered becomes the caller's value. Takes the bytes of `stored`. */
static ckit_status open_answer(const access *a, ckit_buf *stored, uint64_t life_ms, ckit_value *out, ckit_error *err) {
    ckit_buf document;
    ckit_buf_init(&document, a->cache->alloc);
    if (a->options.encoding == CKIT_RAW) {
        document = *stored;
        ckit_buf_init(stored, a->cache->alloc);
    } else if (ckiti_store_open(a->cache, a->key, a->cache->options.integrity != CKIT_OFF, ckit_buf_slice(stored),
                                &document) != CKIT_OK) {
        return CKIT_MISS;
    }
    fill_memory(a, ckit_buf_slice(&document), life_ms);
    ckit_value_take(out, &document);
    out->life_ms = life_ms;
    out->source = CKIT_SOURCE_STORE;
    return present(a, out, err);
}

static ckit_status count_answer(const access *a, ckit_status st, const ckit_error *why, ckit_error *err) {
    if (st == CKIT_OK || st == CKIT_MISS) {
        ckiti_count(&a->cache->counters, st == CKIT_OK ? CKITI_L2_HITS : CKITI_L2_MISSES, 1);
    } else {
        ckiti_store_failed(a->cache, "get", a->key, why);
        if (err != NULL) {
            *err = *why;
        }
    }
    return st;
}

static ckit_status get_from_store(const access *a, ckit_value *out, ckit_error *err) {
    if (a->cache->ops == NULL) {
        return CKIT_MISS;
    }
    ckit_error why = CKIT_ERROR_INIT;
    uint64_t   life_ms = CKIT_LIFE_UNKNOWN;
    ckit_buf   stored;
    ckit_buf_init(&stored, a->cache->alloc);
    ckit_status st = a->cache->ops->get(a->cache->store, a->key, deadline_of(a), &stored, &life_ms, &why);
    if (count_answer(a, st, &why, err) == CKIT_OK) {
        st = open_answer(a, &stored, life_ms, out, err);
    }
    ckit_buf_fini(&stored);
    return st;
}

/* CKIT_OK when memory had it. A stale value (a function's) does not exist for keys. */
static ckit_status get_from_memory(const access *a, ckit_value *out, ckit_error *err) {
    if (a->l1 == NULL || ckiti_l1_get(a->l1, &a->query, ckiti_cache_now(a->cache), out) != CKIT_OK) {
        return CKIT_MISS;
    }
    return present(a, out, err);
}

ckit_status ckit_cache_get(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, ckit_value *out,
                           ckit_error *err) {
    access      a;
    ckit_status st = begin_access(&a, cache, key, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    st = get_from_memory(&a, out, err);
    return st == CKIT_MISS ? get_from_store(&a, out, err) : st;
}

ckit_status ckit_cache_exists(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, ckit_error *err) {
    access      a;
    uint64_t    life_ms;
    ckit_status st = begin_access(&a, cache, key, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (a.l1 != NULL && ckiti_l1_peek(a.l1, &a.query, ckiti_cache_now(cache), &life_ms) == CKIT_OK) {
        return CKIT_OK;
    }
    return cache->ops == NULL ? CKIT_MISS : cache->ops->exists(cache->store, key, deadline_of(&a), err);
}

ckit_status ckit_cache_ttl(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, uint64_t *life_ms,
                           ckit_error *err) {
    access      a;
    ckit_status st = begin_access(&a, cache, key, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    *life_ms = CKIT_LIFE_UNKNOWN;
    if (cache->ops != NULL && cache->ops->ttl != NULL) { /* the store's word is the longer one */
        st = cache->ops->ttl(cache->store, key, deadline_of(&a), life_ms, err);
        if (st != CKIT_MISS) {
            return st;
        }
    }
    if (a.l1 != NULL && ckiti_l1_peek(a.l1, &a.query, ckiti_cache_now(cache), life_ms) == CKIT_OK) {
        return CKIT_OK;
    }
    if (cache->ops == NULL || cache->ops->ttl != NULL) {
        return CKIT_MISS;
    }
    return cache->ops->exists(cache->store, key, deadline_of(&a), err);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* The document of a value, and what the store keeps. Both are slices of buffers that the caller frees. */
static ckit_status encode(const access *a, ckit_slice value, ckit_buf *document, ckit_slice *in_memory, ckit_error *err) {
    *in_memory = value;
    if (a->options.encoding == CKIT_DOCUMENT) {
        ckit_status st = ckit_document_check(value, err);
        return st == CKIT_OK ? st : ckit_fail(err, CKIT_E_MISUSE, where, "the value is not exactly one document (%s)",
                                              ckit_status_text(st));
    }
    if (a->options.encoding == CKIT_BYTES) {
        ckit_writer writer;
        ckit_writer_init(&writer, document);
        ckit_write_bin(&writer, value);
        ckit_status st = ckit_writer_finish(&writer, err);
        *in_memory = ckit_buf_slice(document);
        return st;
    }
    return CKIT_OK;
}

static ckit_status seal(const access *a, ckit_slice in_memory, ckit_buf *sealed, ckit_slice *stored, ckit_error *err) {
    const ckit_cache_options *o = &a->cache->options;
    *stored = in_memory;
    if (a->options.encoding == CKIT_RAW || a->cache->ops == NULL) {
        return in_memory.len <= o->max_value_bytes
                   ? CKIT_OK
                   : ckit_fail(err, CKIT_E_TOO_LARGE, where, "a value of %zu bytes, limit %llu", in_memory.len,
                               (unsigned long long)o->max_value_bytes);
    }
    ckit_status st = ckiti_stored_seal(in_memory, o->integrity != CKIT_OFF, o->compression_level, o->max_value_bytes,
                                       sealed, err);
    *stored = ckit_buf_slice(sealed);
    return st;
}

/* After the store has the new value: memory gets it, unless somebody else changed the key meanwhile (then nobody can
 * tell which of the two the store holds). */
static void put_in_memory(const access *a, ckit_slice bytes, uint64_t ttl_ms) {
    pthread_mutex_lock(&a->stripe->mu);
    bool alone = ckiti_stripe_version(a->stripe) == a->version;
    ckiti_stripe_advance(a->stripe);
    if (a->l1 != NULL && alone) {
        ckiti_l1_put_args args = {.key = a->query.key,
                                  .hash = a->query.hash,
                                  .value = bytes,
                                  .life_ms = ttl_ms,
                                  .birth = a->birth,
                                  .tag = a->query.tag};
        (void)ckiti_l1_put(a->l1, &args, ckiti_cache_now(a->cache));
    } else if (a->l1 != NULL) {
        (void)ckiti_l1_remove(a->l1, a->query.key, a->query.hash);
    }
    pthread_mutex_unlock(&a->stripe->mu);
    ckiti_sweep_start(a->cache);
}

static ckit_status write_everywhere(const access *a, ckit_slice in_memory, ckit_slice stored, uint64_t ttl_ms,
                                    ckit_error *err) {
    ckit_status st = CKIT_OK;
    if (a->cache->ops != NULL) {
        ckit_error      why = CKIT_ERROR_INIT;
        ckit_entry_info info = {.ttl_ms = ttl_ms, .namespace_name = ckit_slice_of(a->ns->name, a->ns->name_len)};
        st = a->cache->ops->set(a->cache->store, a->key, stored, &info, deadline_of(a), &why);
        if (st == CKIT_OK) {
            ckiti_count(&a->cache->counters, CKITI_L2_WRITES, 1);
        } else {
            ckiti_store_failed(a->cache, "set", a->key, &why);
            if (err != NULL) {
                *err = why;
            }
        }
    }
    put_in_memory(a, in_memory, ttl_ms);
    if (a->of_call) {
        ckiti_forget_call_by_key(a->cache, a->key);
    }
    return st;
}

static ckit_status remove_access(const access *a, ckit_error *err) {
    ckit_status st = ckiti_remove_everywhere(a->cache, a->ns, a->query.key, a->query.hash, a->key,
                                             a->options.timeout_ms, err);
    if (a->of_call) {
        ckiti_forget_call_by_key(a->cache, a->key);
    }
    return st;
}

ckit_status ckit_cache_set(ckit_cache *cache, ckit_slice key, ckit_slice value, const ckit_entry_options *options,
                           ckit_error *err) {
    access      a;
    ckit_slice  in_memory;
    ckit_slice  stored;
    ckit_buf    document;
    ckit_buf    sealed;
    ckit_status st = begin_access(&a, cache, key, options, err);
    if (st != CKIT_OK || a.options.ttl_ms == CKIT_TTL_DO_NOT_STORE) {
        return st;
    }
    ckit_buf_init(&document, cache->alloc);
    ckit_buf_init(&sealed, cache->alloc);
    st = encode(&a, value, &document, &in_memory, err);
    if (st == CKIT_OK) {
        st = seal(&a, in_memory, &sealed, &stored, err);
        if (st == CKIT_OK) {
            uint64_t ttl_ms = a.options.ttl_ms != 0 ? a.options.ttl_ms : cache->options.default_ttl_ms;
            st = write_everywhere(&a, in_memory, stored, ttl_ms, err);
        } else if (st == CKIT_E_TOO_LARGE) {
            ckiti_count(&cache->counters, CKITI_TOO_LARGE, 1);
            (void)remove_access(&a, NULL); /* an older value would be an outdated one */
        }
    }
    ckit_buf_fini(&document);
    ckit_buf_fini(&sealed);
    return st;
}

ckit_status ckit_cache_delete(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, ckit_error *err) {
    access      a;
    ckit_status st = begin_access(&a, cache, key, options, err);
    return st == CKIT_OK ? remove_access(&a, err) : st;
}

ckit_status ckit_cache_touch(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, ckit_error *err) {
    access      a;
    ckit_status st = begin_access(&a, cache, key, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (a.options.ttl_ms == CKIT_TTL_DO_NOT_STORE) {
        return remove_access(&a, err);
    }
    if (cache->ops != NULL && cache->ops->touch == NULL) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, where, "the store %s cannot give an entry a new lifetime",
                         cache->ops->name);
    }
    uint64_t ttl_ms = a.options.ttl_ms != 0 ? a.options.ttl_ms : cache->options.default_ttl_ms;
    if (cache->ops != NULL) {
        st = cache->ops->touch(cache->store, key, ttl_ms, deadline_of(&a), err);
    }
    if (st == CKIT_OK || st == CKIT_MISS) {
        ckit_status in_memory =
            a.l1 == NULL ? CKIT_MISS : ckiti_l1_touch(a.l1, &a.query, ttl_ms, ckiti_cache_now(cache));
        st = cache->ops == NULL ? in_memory : st;
        if (a.of_call) {
            ckiti_forget_call_by_key(cache, key); /* memory reads the new life from the store */
        }
    }
    return st;
}

/* ---- many ----------------------------------------------------------------------------------------------------- */

/* Where a key of a batch stands in the caller's arrays, and when it was looked for. */
typedef struct batch_row {
    size_t   index;
    uint64_t birth;
    uint64_t version;
} batch_row;

/* The keys that memory did not have, as the store is asked for them. */
typedef struct batch {
    size_t       count;
    batch_row   *rows;
    ckit_slice  *keys;
    ckit_buf    *stored;
    uint64_t    *life_ms;
    ckit_status *answers;
    size_t       capacity;
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
    }
    return CKIT_OK;
}

static ckit_status ask_store(ckit_cache *cache, batch *b, uint64_t deadline, ckit_error *err) {
    const ckit_backend_ops *ops = cache->ops;
    if (ops->get_many != NULL) {
        return ops->get_many(cache->store, b->keys, b->count, deadline, b->stored, b->life_ms, b->answers, err);
    }
    for (size_t i = 0; i < b->count; i++) {
        b->answers[i] = ops->get(cache->store, b->keys[i], deadline, &b->stored[i], &b->life_ms[i], NULL);
    }
    return CKIT_OK;
}

/* The answer for one key of the batch; `a` is scratch space. */
static ckit_status take_answer(access *a, ckit_cache *cache, batch *b, size_t i, const ckit_entry_options *options,
                               ckit_value *out) {
    const batch_row *row = &b->rows[i];
    ckit_error       why = CKIT_ERROR_INIT;
    ckit_status      st = begin_access(a, cache, b->keys[i], options, NULL);
    if (st != CKIT_OK) {
        return st;
    }
    a->birth = row->birth;
    a->version = row->version;
    if (b->answers[i] != CKIT_OK && b->answers[i] != CKIT_MISS) {
        ckit_fail(&why, b->answers[i], where, "one key of a batch failed");
    }
    st = count_answer(a, b->answers[i], &why, NULL);
    return st == CKIT_OK ? open_answer(a, &b->stored[i], b->life_ms[i], &out[row->index], NULL) : st;
}

static ckit_status fill_from_store(ckit_cache *cache, batch *b, const ckit_entry_options *options, access *scratch,
                                   ckit_value *out, ckit_status *answers, ckit_error *err) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status whole = ask_store(cache, b, deadline_of(scratch), &why);
    if (whole != CKIT_OK) {
        ckiti_store_failed(cache, "get_many", b->keys[0], &why);
        if (err != NULL) {
            *err = why;
        }
    }
    for (size_t i = 0; i < b->count; i++) {
        answers[b->rows[i].index] = whole == CKIT_OK ? take_answer(scratch, cache, b, i, options, out) : whole;
    }
    return whole;
}

/* One pass over memory for a span of keys; those that are missing join the batch. */
#define SPAN 32u
static ckit_status look_in_memory(ckit_cache *cache, const ckit_slice *keys, size_t from, size_t count,
                                  const ckit_entry_options *options, access *span, batch *b, ckit_value *out,
                                  ckit_status *answers, ckit_error *err) {
    ckiti_l1_query queries[SPAN];
    for (size_t i = 0; i < count; i++) {
        ckit_status st = begin_access(&span[i], cache, keys[from + i], options, err);
        if (st != CKIT_OK) {
            return st;
        }
        queries[i] = span[i].query;
        queries[i].key = ckiti_memkey_slice(&span[i].memkey);
        answers[from + i] = CKIT_MISS;
    }
    if (span[0].ns->l1 != NULL) {
        ckiti_l1_get_many(span[0].ns->l1, queries, count, ckiti_cache_now(cache), out + from, answers + from);
    }
    for (size_t i = 0; i < count; i++) {
        ckit_status *answer = &answers[from + i];
        if (*answer == CKIT_OK) {
            *answer = present(&span[i], &out[from + i], NULL);
        } else if (cache->ops != NULL) {
            ckit_value_fini(&out[from + i]);
            b->rows[b->count] = (batch_row){from + i, span[i].birth, span[i].version};
            b->keys[b->count++] = keys[from + i];
            *answer = CKIT_MISS;
        }
    }
    return CKIT_OK;
}

ckit_status ckit_cache_get_many(ckit_cache *cache, const ckit_slice *keys, size_t count,
                                const ckit_entry_options *options, ckit_value *out, ckit_status *answers,
                                ckit_error *err) {
    batch       b;
    ckit_status st = batch_init(&b, count, cache->alloc, err);
    if (st != CKIT_OK) {
        return st;
    }
    access *span = ckiti_alloc(cache->alloc, SPAN * sizeof *span);
    if (span == NULL) {
        st = ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a batch");
    }
    for (size_t from = 0; st == CKIT_OK && from < count; from += SPAN) {
        size_t part = count - from < SPAN ? count - from : SPAN;
        st = look_in_memory(cache, keys, from, part, options, span, &b, out, answers, err);
    }
    if (st == CKIT_OK && b.count > 0) {
        st = fill_from_store(cache, &b, options, span, out, answers, err);
    }
    ckiti_free(cache->alloc, span, SPAN * sizeof *span);
    batch_fini(&b, cache->alloc);
    return st;
}
