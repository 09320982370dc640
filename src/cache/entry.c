/* Entries by key: get, set, delete, exists, ttl, touch. */
#include "cache/entry.h"

#include "cache/scope.h"
#include "cache/stale.h"
#include "cache/store.h"
#include "format/stored.h"

#include <cachekit/document.h>
#include <cachekit/interop.h>
#include <cachekit/value.h>

static const char where[] = "cache";

static bool is_sealed(const ckiti_access *a) { return a->cache->sealing.entries; }

static uint8_t tag_of(const ckit_cache *cache, ckit_encoding encoding) {
    const int tag = encoding == CKIT_RAW       ? CKITI_TAG_RAW
                    : encoding == CKIT_INTEROP ? CKITI_TAG_INTEROP
                                               : CKITI_TAG_DOCUMENT;
    return (uint8_t)(cache->sealing.entries ? tag + CKITI_TAG_SEALED - CKITI_TAG_DOCUMENT : tag);
}

/* Of what is in the clear. */
static const ckit_alloc *plain_alloc(const ckit_cache *cache) {
    return cache->sealing.entries ? &cache->sealing.wiping : cache->alloc;
}

static ckiti_sealed_value sealed_value(const ckiti_access *a) {
    return (ckiti_sealed_value){.cache = a->cache,
                                .key = a->key,
                                .stored_key = a->key,
                                .form = a->options.encoding == CKIT_RAW       ? CKITI_FORM_RAW
                                        : a->options.encoding == CKIT_INTEROP ? CKITI_FORM_INTEROP
                                                                              : CKITI_FORM_DOCUMENT,
                                .integrity = a->cache->options.integrity != CKIT_OFF,
                                .compression_level = a->cache->options.compression_level};
}

static ckit_status check_interop(const ckit_cache *cache, ckit_slice key, ckit_error *err) {
    ckit_interop_key_parts parts;
    return ckit_interop_key_describe(key, &parts)
               ? ckiti_interop_check(cache, cache->sealing.entries, err)
               : ckit_fail(err, CKIT_E_MISUSE, where,
                           "a key of interop mode is NAMESPACE:OPERATION:HASH, and this one is not");
}

static ckit_status check_call(const ckit_cache *cache, ckit_slice key, const ckit_entry_options *o, ckit_error *err) {
    if (key.len == 0 || key.len > cache->options.max_key_bytes) {
        return ckit_fail(err, key.len == 0 ? CKIT_E_MISUSE : CKIT_E_TOO_LARGE, where,
                         "a key of %zu bytes, allowed is 1 to %u", key.len, cache->options.max_key_bytes);
    }
    if (o->encoding > CKIT_INTEROP) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "encoding %d does not exist", (int)o->encoding);
    }
    if (o->ttl_ms > CKIT_TTL_MAX_MS && o->ttl_ms != CKIT_TTL_NO_EXPIRY && o->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "a lifetime of %llu ms, the longest is %llu",
                         (unsigned long long)o->ttl_ms, (unsigned long long)CKIT_TTL_MAX_MS);
    }
    return o->encoding == CKIT_INTEROP ? check_interop(cache, key, err) : CKIT_OK;
}

static void name_in_memory(ckiti_access *a) {
    ckiti_memkey_make(&a->memkey, 0, a->key);
    ckit_slice name = ckiti_memkey_slice(&a->memkey);
    ckiti_l1  *l1 = a->ns->l1;
    a->l1 = a->of_call && a->cache->ops != NULL ? NULL : l1;
    a->query = (ckiti_l1_query){.key = name,
                                .hash = l1 != NULL ? ckiti_l1_hash(l1, name) : ckiti_xxh3(name, a->cache->seed),
                                .min_birth = atomic_load_explicit(&a->ns->floor, memory_order_acquire),
                                .tag = tag_of(a->cache, a->options.encoding)};
    a->stripe = ckiti_stripe_of(&a->cache->stripes, a->query.hash);
    a->birth = ckiti_namespace_birth(a->ns);
    a->version = ckiti_stripe_version(a->stripe, a->query.hash);
}

ckit_status ckiti_access_begin(ckiti_access *a, ckit_cache *cache, ckit_slice key, const ckit_entry_options *options,
                               ckit_error *err) {
    if (cache == NULL || (options != NULL && options->struct_size == 0)) {
        return ckit_fail(err, CKIT_E_MISUSE, where,
                         cache == NULL ? "there is no cache"
                                       : "struct_size of the options is "
                                         "not set: begin with CKIT_ENTRY_OPTIONS_INIT");
    }
    a->cache = cache;
    a->key = key;
    a->note = NULL;
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
    a->ns = cache->no_namespace;
    if (name.len > 0 && (st = ckiti_namespace_get(cache, name, &a->ns, err)) != CKIT_OK) {
        return st;
    }
    a->of_call = ckiti_key_is_of_call(cache, key);
    name_in_memory(a);
    return CKIT_OK;
}

static uint64_t deadline_of(const ckiti_access *a) { return ckiti_store_deadline(a->cache, a->options.timeout_ms); }

/* Passes the store's answer on; a failure is counted, logged and told. */
static ckit_status pass_on(const ckiti_access *a, const char *operation, ckit_status st, const ckit_error *why,
                           ckit_error *err) {
    if (st != CKIT_OK && st != CKIT_MISS) {
        ckiti_store_failed(a->cache, operation, a->key, why);
        if (err != NULL) {
            *err = *why;
        }
    }
    return st;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

ckit_status ckiti_access_present(const ckiti_access *a, ckit_value *out, ckit_error *err) {
    if (a->options.encoding != CKIT_BYTES) {
        return CKIT_OK;
    }
    ckit_slice inside;
    if (ckit_document_bin(out->data, &inside, NULL) != CKIT_OK &&
        ckit_document_str(out->data, &inside, NULL) != CKIT_OK) {
        ckit_value_fini(out);
        return ckit_fail(err, CKIT_E_VALUE_TYPE, where,
                         "the entry holds a document that is not bytes: read it with the "
                         "encoding CKIT_DOCUMENT");
    }
    out->data = inside;
    return CKIT_OK;
}

static void fill_memory(const ckiti_access *a, ckit_slice bytes, uint64_t life_ms) {
    if (a->l1 == NULL || life_ms == 0) {
        return;
    }
    pthread_mutex_lock(&a->stripe->mu);
    if (ckiti_stripe_is_unchanged(a->stripe, a->query.hash, a->version)) {
        ckiti_l1_put_args args = {.key = a->query.key,
                                  .hash = a->query.hash,
                                  .value = bytes,
                                  .life_ms = ckiti_life_in_memory(life_ms),
                                  .birth = a->birth,
                                  .tag = a->query.tag};
        (void)ckiti_copy_put(a->cache, a->ns, a->note, CKITI_COPY_READ, &args, ckiti_cache_now(a->cache));
    }
    pthread_mutex_unlock(&a->stripe->mu);
    ckiti_sweep_start(a->cache);
}

static ckit_status open_stored(const ckiti_access *a, ckit_buf *stored, ckit_buf *document, ckit_error *err) {
    bool        locked = false;
    ckit_status st;
    switch (a->options.encoding) {
    case CKIT_RAW:
        *document = *stored;
        ckit_buf_init(stored, a->cache->alloc);
        return CKIT_OK;
    case CKIT_INTEROP: return ckiti_store_open_interop(a->cache, a->key, stored, document);
    default:
        st = ckiti_store_open(a->cache, a->key, a->cache->options.integrity != CKIT_OFF, ckit_buf_slice(stored),
                              document, &locked);
        return locked ? ckiti_locked_met(a->cache, a->key, err) : st;
    }
}

ckit_status ckiti_access_open(const ckiti_access *a, ckit_value *out, ckit_error *err) {
    if (!is_sealed(a)) {
        return CKIT_OK;
    }
    const ckiti_sealed_value v = sealed_value(a);
    const uint64_t           life_ms = out->life_ms;
    ckit_buf                 plain;
    ckit_buf_init(&plain, plain_alloc(a->cache));
    ckit_status st = ckiti_value_open(&v, CKITI_TIER_L1, out->data, &plain, err);
    if (st == CKIT_OK) {
        ckiti_value_take_secret(a->cache, out, &plain);
        out->life_ms = life_ms;
        out->source = CKIT_SOURCE_MEMORY;
    } else {
        ckit_value_fini(out);
        (void)ckiti_l1_remove(a->ns->l1, a->query.key, a->query.hash);
    }
    ckit_buf_fini(&plain);
    return st;
}

/* The same for what the store answered. */
static ckit_status open_sealed(const ckiti_access *a, ckit_slice stored, uint64_t life_ms, ckit_value *out,
                               ckit_error *err) {
    const ckiti_sealed_value v = sealed_value(a);
    ckit_buf                 plain;
    ckit_buf_init(&plain, plain_alloc(a->cache));
    ckit_status st = ckiti_value_open(&v, CKITI_TIER_L2, stored, &plain, err);
    if (st == CKIT_OK) {
        fill_memory(a, stored, life_ms);
        ckiti_value_take_secret(a->cache, out, &plain);
        out->life_ms = life_ms;
        out->source = CKIT_SOURCE_STORE;
    }
    ckit_buf_fini(&plain);
    return st;
}

/* What the store answered becomes the caller's value. Takes the bytes of `stored`. CKIT_MISS: it cannot be read. */
static ckit_status open_answer(const ckiti_access *a, ckit_buf *stored, uint64_t life_ms, ckit_value *out,
                               ckit_error *err) {
    if (is_sealed(a)) {
        return open_sealed(a, ckit_buf_slice(stored), life_ms, out, err);
    }
    ckit_buf document;
    ckit_buf_init(&document, a->cache->alloc);
    ckit_status st = open_stored(a, stored, &document, err);
    if (st != CKIT_OK) {
        ckit_buf_fini(&document);
        return st;
    }
    fill_memory(a, ckit_buf_slice(&document), life_ms);
    ckit_value_take(out, &document);
    out->life_ms = life_ms;
    out->source = CKIT_SOURCE_STORE;
    return CKIT_OK;
}

ckit_status ckiti_access_answer(const ckiti_access *a, ckit_status got, ckit_buf *stored, uint64_t life_ms,
                                const ckit_error *why, ckit_value *out, ckit_error *err) {
    ckit_status st = pass_on(a, "get", got, why, err);
    if (st == CKIT_OK) {
        st = open_answer(a, stored, life_ms, out, err);
    }
    if (st == CKIT_OK || st == CKIT_MISS) {
        ckiti_count(&a->cache->counters, st == CKIT_OK ? CKITI_L2_HITS : CKITI_L2_MISSES, 1);
    }
    return st == CKIT_OK ? ckiti_access_present(a, out, err) : st;
}

ckit_status ckiti_access_ask(ckiti_access *a, ckit_value *out, ckit_error *err) {
    ckit_error why = CKIT_ERROR_INIT;
    uint64_t   life_ms = CKIT_LIFE_UNKNOWN;
    ckiti_note note;
    ckit_buf   stored;
    ckit_buf_init(&stored, a->cache->alloc);
    ckiti_note_begin(a->cache, &note, a->key);
    a->note = &note;
    ckit_status st = a->cache->ops->get(a->cache->store, a->key, deadline_of(a), &stored, &life_ms, &why);
    st = ckiti_access_answer(a, st, &stored, life_ms, &why, out, err);
    ckiti_note_end(a->cache, &note);
    a->note = NULL;
    ckit_buf_fini(&stored);
    return st;
}

/* The entry is in memory, but as something else: its tag, or 0. */
static uint8_t otherwise_in_memory(const ckiti_access *a) {
    ckiti_l1_query other = a->query;
    uint64_t       life_ms;
    for (other.tag = CKITI_TAG_DOCUMENT; a->l1 != NULL && other.tag < CKITI_TAGS_END; other.tag++) {
        if (other.tag != a->query.tag && ckiti_l1_peek(a->l1, &other, ckiti_cache_now(a->cache), &life_ms) == CKIT_OK) {
            return other.tag;
        }
    }
    return 0;
}

ckit_status ckiti_access_absent(const ckiti_access *a, ckit_error *err) {
    static const char *const stored[] = {[CKITI_TAG_DOCUMENT] =
                                             "as bytes or a document: read it with CKIT_BYTES or CKIT_DOCUMENT",
                                         [CKITI_TAG_RAW] = "raw: read it with CKIT_RAW",
                                         [CKITI_TAG_INTEROP] = "in interop mode: read it with CKIT_INTEROP"};
    uint8_t                  tag = otherwise_in_memory(a);
    tag = tag >= CKITI_TAG_SEALED ? (uint8_t)(tag - CKITI_TAG_SEALED + CKITI_TAG_DOCUMENT) : tag;
    return tag == 0 ? CKIT_MISS : ckit_fail(err, CKIT_E_VALUE_TYPE, where, "the entry was stored %s", stored[tag]);
}

ckit_status ckit_cache_get(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, ckit_value *out,
                           ckit_error *err) {
    ckiti_access a;
    ckit_status  st = ckiti_access_begin(&a, cache, key, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (out == NULL) {
        return ckiti_there_is_no(err, where, "place for the value");
    }
    if (out->release != NULL) {
        ckit_value_fini(out);
    }
    /* A stale value (a function's) does not exist for keys. */
    if (a.l1 != NULL && ckiti_l1_get(a.l1, &a.query, ckiti_cache_now(cache), out) == CKIT_OK &&
        (st = is_sealed(&a) ? ckiti_access_open(&a, out, err) : CKIT_OK) != CKIT_MISS) {
        return st == CKIT_OK ? ckiti_access_present(&a, out, err) : st;
    }
    return cache->ops == NULL ? ckiti_access_absent(&a, err) : ckiti_access_ask(&a, out, err);
}

static bool is_in_memory(const ckiti_access *a, uint64_t *life_ms) {
    return (a->l1 != NULL && ckiti_l1_peek(a->l1, &a->query, ckiti_cache_now(a->cache), life_ms) == CKIT_OK);
}

static ckit_status exists_in_store(const ckiti_access *a, ckit_error *err) {
    ckit_error why = CKIT_ERROR_INIT;
    return pass_on(a, "exists", a->cache->ops->exists(a->cache->store, a->key, deadline_of(a), &why), &why, err);
}

ckit_status ckit_cache_exists(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, ckit_error *err) {
    ckiti_access a;
    uint64_t     life_ms;
    ckit_status  st = ckiti_access_begin(&a, cache, key, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (is_in_memory(&a, &life_ms)) {
        return CKIT_OK;
    }
    if (cache->ops == NULL) {
        return otherwise_in_memory(&a) != 0 ? CKIT_OK : CKIT_MISS;
    }
    return exists_in_store(&a, err);
}

ckit_status ckit_cache_ttl(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, uint64_t *life_ms,
                           ckit_error *err) {
    ckiti_access a;
    ckit_error   why = CKIT_ERROR_INIT;
    ckit_status  st = ckiti_access_begin(&a, cache, key, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (life_ms == NULL) {
        return ckiti_there_is_no(err, where, "place for the lifetime");
    }
    *life_ms = CKIT_LIFE_UNKNOWN;
    if (cache->ops != NULL && cache->ops->ttl != NULL) { /* the store's word is the longer one */
        st = cache->ops->ttl(cache->store, key, deadline_of(&a), life_ms, &why);
        if (pass_on(&a, "ttl", st, &why, err) != CKIT_MISS) {
            return st;
        }
    }
    if (is_in_memory(&a, life_ms)) {
        return CKIT_OK;
    }
    return cache->ops == NULL || cache->ops->ttl != NULL ? CKIT_MISS : exists_in_store(&a, err);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* The document of a value, and what the store keeps. Both are slices of buffers that the caller frees. */
static ckit_status encode(const ckiti_access *a, ckit_slice value, ckit_buf *document, ckit_slice *in_memory,
                          ckit_error *err) {
    *in_memory = value;
    if (a->options.encoding == CKIT_DOCUMENT) {
        ckit_status st = ckit_document_check(value, err);
        return st == CKIT_OK ? st
                             : ckit_fail(err, CKIT_E_MISUSE, where, "the value is not exactly one document (%s)",
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
    if (a->options.encoding == CKIT_INTEROP) {
        ckit_status st = ckit_interop_value_normalise(value, document, err);
        *in_memory = ckit_buf_slice(document);
        return st;
    }
    return CKIT_OK;
}

static ckit_status seal(const ckiti_access *a, ckit_slice in_memory, ckit_buf *sealed, ckit_slice *stored,
                        ckit_error *err) {
    const ckit_cache_options *o = &a->cache->options;
    *stored = in_memory;
    if (is_sealed(a)) {
        const ckiti_sealed_value v = sealed_value(a);
        ckit_status              st = ckiti_value_seal(&v, in_memory, sealed, err);
        *stored = ckit_buf_slice(sealed);
        if (st != CKIT_OK && st != CKIT_E_TOO_LARGE) {
            atomic_fetch_add_explicit(&a->cache->sealing.not_sealed, 1, memory_order_relaxed);
        }
        return st;
    }
    if (a->options.encoding == CKIT_RAW || a->options.encoding == CKIT_INTEROP || a->cache->ops == NULL) {
        return in_memory.len <= o->max_value_bytes
                   ? CKIT_OK
                   : ckit_fail(err, CKIT_E_TOO_LARGE, where, "a value of %zu bytes, limit %llu", in_memory.len,
                               (unsigned long long)o->max_value_bytes);
    }
    ckit_status st =
        ckiti_stored_seal(in_memory, o->integrity != CKIT_OFF, o->compression_level, o->max_value_bytes, sealed, err);
    *stored = ckit_buf_slice(sealed);
    return st;
}

/* With the stripe's lock held: nobody else has changed the key since the access began; else nobody can tell whose change
 * the store has. Where there is none, what comes last counts. */
static bool is_alone(const ckiti_access *a) {
    return a->cache->ops == NULL || ckiti_stripe_is_unchanged(a->stripe, a->query.hash, a->version);
}

/* After the store has the new value: memory gets it, unless somebody else changed the key meanwhile. */
static ckit_status put_in_memory(const ckiti_access *a, ckiti_copy_of how, ckit_slice bytes, uint64_t ttl_ms) {
    ckit_status st = CKIT_OK;
    pthread_mutex_lock(&a->stripe->mu);
    bool alone = is_alone(a);
    ckiti_stripe_advance(a->stripe, a->query.hash);
    ckiti_note_written(a->cache, a->note);
    if (a->l1 != NULL && alone) {
        ckiti_l1_put_args args = {.key = a->query.key,
                                  .hash = a->query.hash,
                                  .value = bytes,
                                  .life_ms = ttl_ms,
                                  .birth = a->birth,
                                  .tag = a->query.tag};
        st = ckiti_copy_put(a->cache, a->ns, a->note, how, &args, ckiti_cache_now(a->cache));
        if (st == CKIT_MISS) { /* an invalidation came in between; what was read from the store since then is older */
            (void)ckiti_l1_remove(a->l1, a->query.key, a->query.hash);
        }
    } else if (a->l1 != NULL) {
        (void)ckiti_l1_remove(a->l1, a->query.key, a->query.hash);
    }
    ckiti_forget_elsewhere(a->cache, a->ns, a->query.key, a->query.hash);
    pthread_mutex_unlock(&a->stripe->mu);
    ckiti_sweep_start(a->cache);
    return st;
}

static ckit_status write_both(const ckiti_access *a, ckit_slice in_memory, ckit_slice stored, uint64_t ttl_ms,
                              ckit_error *err) {
    ckit_status st = CKIT_OK;
    bool        of_call = a->of_call && a->cache->ops != NULL; /* without a store the text is a key like any other */
    if (of_call) {                                             /* before and after, as in ckiti_remove_everywhere */
        ckiti_forget_call_by_key(a->cache, a->key);
    }
    if (a->cache->ops != NULL) {
        ckit_error      why = CKIT_ERROR_INIT;
        ckit_entry_info info = {.ttl_ms = ttl_ms, .namespace_name = ckit_slice_of(a->ns->name, a->ns->name_len)};
        st = a->cache->ops->set(a->cache->store, a->key, stored, &info, deadline_of(a), &why);
        if (st == CKIT_OK) {
            ckiti_count(&a->cache->counters, CKITI_L2_WRITES, 1);
            if (of_call) { /* it is older than this value now */
                (void)ckiti_stale_remove(a->cache, a->key, a->options.timeout_ms, NULL);
            }
        } else if (st == CKIT_E_TOO_LARGE) { /* the caller forgets what was there */
            if (err != NULL) {
                *err = why;
            }
            return st;
        } else {
            st = pass_on(a, "set", st, &why, err);
            if (of_call) {
                ckiti_stale_missed(a->cache, a->key);
            }
        }
        (void)put_in_memory(a, st == CKIT_OK ? CKITI_COPY_WRITTEN : CKITI_COPY_ALONE, in_memory, ttl_ms);
    } else if (put_in_memory(a, CKITI_COPY_ALONE, in_memory, ttl_ms) == CKIT_E_TOO_LARGE) {
        st = ckit_fail(err, CKIT_E_TOO_LARGE, where, "a value of %zu bytes does not fit into memory", in_memory.len);
    }
    if (of_call) {
        ckiti_forget_call_by_key(a->cache, a->key);
    }
    return st;
}

static ckit_status write_everywhere(ckiti_access *a, ckit_slice in_memory, ckit_slice stored, uint64_t ttl_ms,
                                    ckit_error *err) {
    ckiti_note note;
    ckiti_note_begin(a->cache, &note, a->key);
    a->note = &note;
    ckit_status st = write_both(a, in_memory, stored, ttl_ms, err);
    ckiti_note_end(a->cache, &note);
    a->note = NULL;
    return st;
}

static ckit_status remove_access(const ckiti_access *a, ckit_error *err) {
    if (a->of_call) {
        ckiti_forget_call_by_key(a->cache, a->key);
    }
    ckit_status st =
        ckiti_remove_everywhere(a->cache, a->ns, a->query.key, a->query.hash, a->key, a->options.timeout_ms, err);
    if (a->of_call) {
        ckiti_forget_call_by_key(a->cache, a->key);
    }
    return st;
}

ckit_status ckit_cache_set(ckit_cache *cache, ckit_slice key, ckit_slice value, const ckit_entry_options *options,
                           ckit_error *err) {
    ckiti_access a;
    ckit_slice   in_memory;
    ckit_slice   stored;
    ckit_buf     document;
    ckit_buf     sealed;
    ckit_status  st = ckiti_access_begin(&a, cache, key, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (a.options.ttl_ms == CKIT_TTL_DO_NOT_STORE) {
        st = remove_access(&a, err);
        return st == CKIT_MISS ? CKIT_OK : st;
    }
    ckit_buf_init(&document, plain_alloc(cache));
    ckit_buf_init(&sealed, cache->alloc);
    st = encode(&a, value, &document, &in_memory, err);
    if (st == CKIT_OK) {
        st = seal(&a, in_memory, &sealed, &stored, err);
        if (st == CKIT_OK) {
            uint64_t ttl_ms = a.options.ttl_ms != 0 ? a.options.ttl_ms : cache->options.default_ttl_ms;
            st = write_everywhere(&a, is_sealed(&a) ? stored : in_memory, stored, ttl_ms, err);
        }
        if (st == CKIT_E_TOO_LARGE) {
            ckiti_count(&cache->counters, CKITI_TOO_LARGE, 1);
            (void)remove_access(&a, NULL); /* an older value would be an outdated one */
        }
    }
    ckit_buf_fini(&document);
    ckit_buf_fini(&sealed);
    return st;
}

ckit_status ckit_cache_delete(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, ckit_error *err) {
    ckiti_access a;
    ckit_status  st = ckiti_access_begin(&a, cache, key, options, err);
    return st == CKIT_OK ? remove_access(&a, err) : st;
}

/* Who read the entry meanwhile knows its old life, and does not keep it. Nor does memory give its copy this one when
 * somebody else changed the key meanwhile. */
static ckit_status touch_memory(const ckiti_access *a, uint64_t ttl_ms) {
    ckit_status st = CKIT_MISS;
    pthread_mutex_lock(&a->stripe->mu);
    bool alone = is_alone(a);
    ckiti_stripe_advance(a->stripe, a->query.hash);
    if (a->l1 != NULL && alone) {
        st = ckiti_l1_touch(a->l1, &a->query, ckiti_copy_life(a->cache, ttl_ms), ckiti_cache_now(a->cache));
    } else if (a->l1 != NULL) {
        (void)ckiti_l1_remove(a->l1, a->query.key, a->query.hash);
    }
    ckiti_forget_elsewhere(a->cache, a->ns, a->query.key, a->query.hash);
    pthread_mutex_unlock(&a->stripe->mu);
    if (a->of_call) {
        ckiti_forget_call_by_key(a->cache, a->key); /* memory reads the new life from the store */
    }
    return st;
}

static ckit_status touch_everywhere(const ckiti_access *a, uint64_t ttl_ms, ckit_error *err) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = CKIT_MISS;
    if (a->cache->ops != NULL) {
        st = a->cache->ops->touch(a->cache->store, a->key, ttl_ms, deadline_of(a), &why);
        if (pass_on(a, "touch", st, &why, err) >= CKIT_E_FIRST) {
            return st;
        }
        ckiti_key_written(a->cache, a->key);
    }
    ckit_status in_memory = touch_memory(a, ttl_ms);
    return st == CKIT_MISS ? in_memory : st;
}

ckit_status ckit_cache_touch(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options, ckit_error *err) {
    ckiti_access a;
    ckit_status  st = ckiti_access_begin(&a, cache, key, options, err);
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
    return touch_everywhere(&a, a.options.ttl_ms != 0 ? a.options.ttl_ms : cache->options.default_ttl_ms, err);
}
