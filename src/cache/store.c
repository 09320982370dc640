#include "cache/store.h"

#include "base/hash.h"
#include "format/stored.h"

#include <cachekit/document.h>
#include <cachekit/envelope.h>
#include <cachekit/interop.h>
#include <stdio.h>

/* A store that is down fails every call; one line a second says so. */
#define WARNING_PAUSE_MS 1000u

/* Enough of a hash to recognise a key in a log without showing it. */
typedef struct key_mark {
    char text[13];
} key_mark;

static key_mark mark_of(ckit_slice key) {
    key_mark mark = {{0}};
    uint8_t  digest[16];
    ckiti_blake2b(digest, sizeof digest, key);
    ckiti_hex(mark.text, digest, 6);
    return mark;
}

void ckiti_store_failed(ckit_cache *cache, const char *operation, ckit_slice key, const ckit_error *error) {
    if (error->status == CKIT_E_CIRCUIT_OPEN) {
        return; /* it was not asked; the guard counts that, and has said why */
    }
    bool     optional = cache->options.store_optional == CKIT_ON;
    uint64_t now = ckiti_cache_now(cache);
    uint64_t next = atomic_load_explicit(&cache->next_warning_ms, memory_order_relaxed);
    ckiti_count(&cache->counters, CKITI_L2_ERRORS, 1);
    if (now < next || !atomic_compare_exchange_strong(&cache->next_warning_ms, &next, now + WARNING_PAUSE_MS)) {
        atomic_fetch_add_explicit(&cache->unsaid, 1, memory_order_relaxed);
        return;
    }
    if (optional && next == 0) {
        ckiti_log(cache->log, CKIT_LOG_WARNING, "cache",
                  "no store is configured, and %s on this machine does not serve (%s %s): values stay in the memory of "
                  "this process. It is tried again now and then, which is not said again",
                  cache->ops->name, ckit_status_code(error->status), error->text);
        return;
    }
    unsigned long long unsaid = atomic_exchange(&cache->unsaid, 0);
    char               before[64] = "";
    if (unsaid > 0) {
        (void)snprintf(before, sizeof before, " (%llu failure%s before it unsaid)", unsaid, unsaid == 1 ? "" : "s");
    }
    ckiti_log(cache->log, optional ? CKIT_LOG_DEBUG : CKIT_LOG_WARNING, "cache", "%s: %s of key #%s: %s %s: %s%s",
              cache->ops->name, operation, mark_of(key).text, ckit_status_code(error->status), error->where,
              error->text, before);
}

static void drop_unreadable(ckit_cache *cache, ckit_slice key, const ckit_error *why, bool remove,
                            ckit_log_level level) {
    ckiti_count(&cache->counters, CKITI_L2_CORRUPT, 1);
    ckiti_log(cache->log, level, "cache", "%s: the value of key #%s is unreadable: %s %s: %s", cache->ops->name,
              mark_of(key).text, ckit_status_code(why->status), why->where, why->text);
    if (remove) {
        (void)cache->ops->remove(cache->store, key, ckiti_store_deadline(cache, 0), NULL);
    }
}

void ckiti_store_unreadable(ckit_cache *cache, ckit_slice key, const ckit_error *why, bool remove) {
    drop_unreadable(cache, key, why, remove, CKIT_LOG_WARNING);
}

void ckiti_store_rejected(ckit_cache *cache, ckit_slice key, const ckit_error *why, bool remove) {
    drop_unreadable(cache, key, why, remove, CKIT_LOG_DEBUG);
}

ckit_status ckiti_store_open(ckit_cache *cache, ckit_slice key, bool integrity, ckit_slice stored, ckit_buf *document,
                             bool *locked) {
    ckit_error           why = CKIT_ERROR_INIT;
    ckiti_stored_verdict verdict;
    size_t               before = document->len;
    ckit_status          st = ckiti_stored_open(stored, integrity, CKIT_ENVELOPE_MAX_BYTES, document, &verdict, &why);
    if (st == CKIT_E_UNSUPPORTED && cache->sealing.ring != NULL) {
        return ckiti_value_open_unexpected(cache, key, integrity, stored, document);
    }
    if (st == CKIT_E_UNSUPPORTED) {
        *locked = true;
        return CKIT_MISS;
    }
    if (st == CKIT_OK) {
        ckit_slice bytes = ckit_slice_of(document->ptr + before, document->len - before);
        if (ckit_document_check(bytes, &why) == CKIT_OK) {
            return CKIT_OK;
        }
        verdict = CKITI_STORED_DELETE;
        document->len = before;
    }
    ckiti_store_unreadable(cache, key, &why, verdict == CKITI_STORED_DELETE);
    return CKIT_MISS;
}

/* ---- interop mode ---------------------------------------------------------------------------------------------- */

static ckit_status check_prefix(const ckit_cache *cache, ckit_error *err) {
    if (cache->ops == NULL || cache->ops->key_prefix == NULL || cache->ops->key_prefix(cache->store).len == 0) {
        return CKIT_OK;
    }
    return ckit_fail(
        err, CKIT_E_CONFIGURATION, "cache",
        "interop mode: the store %s puts a prefix in front of keys, where other SDKs do not find them; open it "
        "without a tenant and without key_prefix",
        cache->ops->name);
}

ckit_status ckiti_interop_check(const ckit_cache *cache, bool sealed, ckit_error *err) {
    ckit_status st = check_prefix(cache, err);
    return st == CKIT_OK && sealed ? ckiti_sealing_check_interop(cache, err) : st;
}

ckit_status ckiti_store_open_interop(ckit_cache *cache, ckit_slice key, ckit_buf *stored, ckit_buf *document) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_buf    none = *document;
    ckit_status st = ckit_interop_value_accept(ckit_buf_slice(stored), &why);
    if (st != CKIT_OK) {
        ckiti_store_unreadable(cache, key, &why, true);
        return CKIT_MISS;
    }
    *document = *stored;
    *stored = none;
    return CKIT_OK;
}
