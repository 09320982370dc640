#include "cache/sealing.h"

#include "base/hash.h"
#include "cache/core.h"
#include "cache/store.h"
#include "format/seal.h"
#include "format/sealed.h"

#include <cachekit/document.h>
#include <cachekit/envelope.h>
#include <cachekit/interop.h>
#include <cachekit/value.h>

static const char where[] = "sealing";

#define DRIFTED_MAX 1024u /* keys that are warned of */

/* ---- memory that is wiped ------------------------------------------------------------------------------------- */

static void *wiping_alloc(void *self, size_t size) { return ckiti_alloc(self, size); }

static void wiping_release(void *self, void *ptr, size_t size) {
    explicit_bzero(ptr, size);
    ckiti_free(self, ptr, size);
}

/* Never moved by an allocator that would leave the old bytes behind. */
static void *wiping_resize(void *self, void *ptr, size_t old_size, size_t new_size) {
    void *moved = ckiti_alloc(self, new_size);
    if (moved != NULL) {
        memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
        wiping_release(self, ptr, old_size);
    }
    return moved;
}

/* The allocator's address is kept in inline_bytes, which is free. */
static void release_secret(ckit_value *value) {
    const ckit_alloc *alloc;
    memcpy(&alloc, value->inline_bytes, sizeof alloc);
    explicit_bzero(value->owner, value->owner_size);
    ckiti_free(alloc, value->owner, value->owner_size);
}

void ckiti_value_take_secret(ckit_cache *cache, ckit_value *value, ckit_buf *buf) {
    ckit_value_take(value, buf);
    memcpy(value->inline_bytes, &cache->alloc, sizeof cache->alloc);
    if (value->owner != NULL) {
        value->release = release_secret;
    }
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static ckit_status keep_deployment(ckit_cache *cache, const ckit_cache_options *o, ckit_error *err) {
    ckiti_sealing   *s = &cache->sealing;
    const ckit_slice name = ckit_slice_str(o->deployment_id != NULL ? o->deployment_id : "default");
    if (name.len == 0 || name.len > CKIT_TENANT_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "deployment_id has %zu bytes, allowed are 1 to %u", name.len,
                         CKIT_TENANT_MAX_BYTES);
    }
    if (!ckit_utf8_valid(name)) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "deployment_id is not UTF-8");
    }
    s->deployment = ckiti_strdup_slice(cache->alloc, name);
    s->deployment_len = name.len;
    s->deployment_only = o->deployment_only == CKIT_ON || (o->deployment_only == CKIT_DEFAULT && o->deployment_id);
    s->drifted = ckiti_alloc_zeroed(cache->alloc, DRIFTED_MAX, sizeof *s->drifted);
    return s->deployment != NULL && s->drifted != NULL
               ? CKIT_OK
               : ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for what encryption needs");
}

ckit_status ckiti_sealing_open(ckit_cache *cache, ckit_error *err) {
    const ckit_cache_options *o = &cache->options;
    ckiti_sealing            *s = &cache->sealing;
    s->wiping = (ckit_alloc){wiping_alloc, wiping_resize, wiping_release, NULL};
    memcpy(&s->wiping.self, &cache->alloc, sizeof s->wiping.self); /* which it only hands on */
    s->ring = o->keyring;
    ckiti_keyring_hold(s->ring);
    s->fail_closed = o->fail_closed == CKIT_ON;
    if (o->encryption == CKIT_ON && !ckit_keyring_can_seal(s->ring)) {
        return ckit_fail(err, CKIT_E_NO_MASTER_KEY, where,
                         "encryption is on and there is no master key: set CACHEKIT_MASTER_KEY to 64 hexadecimal "
                         "digits or more (`cachekit keygen` makes one), or give a key ring");
    }
    s->wanted = o->encryption == CKIT_ON ||
                (o->encryption == CKIT_DEFAULT && cache->ops != NULL && ckit_keyring_can_seal(s->ring));
    s->entries = s->wanted;
    ckit_status st = CKIT_OK;
    if (s->ring != NULL) {
        st = keep_deployment(cache, o, err);
    } else if (o->deployment_id != NULL || o->deployment_only == CKIT_ON) {
        ckiti_log(
            cache->log, CKIT_LOG_WARNING, where,
            "%s is without effect: there is no master key, so nothing is sealed. Set CACHEKIT_MASTER_KEY, or give "
            "a key ring",
            o->deployment_id != NULL ? "deployment_id" : "deployment_only");
    }
    cache->options.deployment_id = NULL; /* not the cache's to keep */
    return st;
}

void ckiti_sealing_close(ckit_cache *cache) {
    ckiti_sealing *s = &cache->sealing;
    ckiti_free(cache->alloc, s->drifted, DRIFTED_MAX * sizeof *s->drifted);
    ckiti_locked_close(cache);
    ckiti_free(cache->alloc, s->deployment, s->deployment_len + 1);
    ckit_keyring_close(s->ring);
}

/* ---- sealing -------------------------------------------------------------------------------------------------- */

static ckiti_sealed_place place_for_writing(const ckiti_sealed_value *v) {
    const ckiti_sealing *s = &v->cache->sealing;
    return (ckiti_sealed_place){.ring = s->ring,
                                .tenant =
                                    v->tenant.len > 0 ? v->tenant : ckit_slice_of(s->deployment, s->deployment_len),
                                .key = v->key};
}

static ckit_seal_subject bare_subject(const ckiti_sealed_place *place) {
    return (ckit_seal_subject){.tenant = place->tenant, .key = place->key, .format = ckit_slice_str("msgpack")};
}

/* Readers tell it from a frame by its beginning: no nonce begins like one (seal_nonce.h). */
static ckit_status seal_bare(const ckiti_sealed_place *place, ckit_slice plain, uint64_t most, ckit_buf *out,
                             ckit_error *err) {
    const ckit_seal_subject subject = bare_subject(place);
    if (plain.len > most || most - plain.len < CKIT_SEAL_OVERHEAD) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, where, "%zu bytes to store, limit %llu", plain.len + CKIT_SEAL_OVERHEAD,
                         (unsigned long long)most);
    }
    return ckit_seal(place->ring, &subject, plain, out, err);
}

static ckit_status seal_raw(const ckiti_sealed_place *place, ckit_slice plain, uint64_t most, ckit_buf *out,
                            ckit_error *err) {
    ckit_buf   scratch = {.alloc = out->alloc};
    ckit_frame frame;
    bool       framed = ckiti_looks_framed(plain) && ckit_frame_parse(plain, &frame, &scratch, NULL) == CKIT_OK &&
                  ckiti_sealed_can_write(&frame);
    ckit_status st =
        framed ? ckiti_sealed_write(place, &frame, most, out, err) : seal_bare(place, plain, most, out, err);
    ckit_buf_fini(&scratch);
    return st;
}

ckit_status ckiti_value_seal(const ckiti_sealed_value *v, ckit_slice plain, ckit_buf *out, ckit_error *err) {
    const ckiti_sealed_place place = place_for_writing(v);
    const uint64_t           most = v->cache->options.max_value_bytes;
    switch (v->form) {
    case CKITI_FORM_RAW: return seal_raw(&place, plain, most, out, err);
    case CKITI_FORM_INTEROP: return seal_bare(&place, plain, most, out, err);
    default: return ckiti_sealed_seal(&place, plain, v->integrity, v->compression_level, most, out, err);
    }
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

/* Of one deployment everything is read that the ring opens, unless its name was configured. */
static ckiti_sealed_place place_for_reading(const ckiti_sealed_value *v) {
    ckiti_sealed_place place = place_for_writing(v);
    if (v->tenant.len == 0 && !v->cache->sealing.deployment_only) {
        place.likely = place.tenant;
        place.tenant = ckit_slice_of(NULL, 0);
    }
    return place;
}

static ckiti_sealed_class class_of(ckit_status st) {
    return st == CKIT_OK           ? CKITI_SEALED_READABLE
           : st == CKIT_E_AUTH_TAG ? CKITI_SEALED_AUTHENTICATION
                                   : CKITI_SEALED_LOCAL;
}

static ckit_status open_bare(const ckiti_sealed_value *v, ckit_slice stored, ckit_buf *plain, ckiti_sealed_class *cls,
                             ckit_error *err) {
    const ckiti_sealed_place place = place_for_writing(v);
    const ckit_seal_subject  subject = bare_subject(&place);
    ckit_status st = ckit_unseal(place.ring, &subject, ckit_slice_of(NULL, 0), stored, CKIT_SEAL_MAX_BYTES, plain, err);
    *cls = class_of(st);
    return st;
}

/* The frame comes back as it was given, in the clear. */
static ckit_status open_framed(const ckiti_sealed_value *v, ckit_slice stored, ckit_buf *plain, ckiti_sealed_class *cls,
                               ckit_error *err) {
    const ckiti_sealed_place place = place_for_reading(v);
    return ckiti_sealed_read_frame(&place, stored, CKIT_SEAL_MAX_BYTES, plain, cls, err);
}

static ckit_status open_raw(const ckiti_sealed_value *v, ckit_slice stored, ckit_buf *plain, ckiti_sealed_class *cls,
                            ckit_error *err) {
    if (!ckiti_looks_framed(stored)) {
        return open_bare(v, stored, plain, cls, err);
    }
    ckit_status st = open_framed(v, stored, plain, cls, err);
    if (*cls == CKITI_SEALED_MALFORMED) { /* another SDK's nonce may begin like a frame */
        ckiti_sealed_class bare;
        if (open_bare(v, stored, plain, &bare, NULL) == CKIT_OK) {
            *cls = bare;
            return CKIT_OK;
        }
    }
    return st;
}

static ckit_status open_document(const ckiti_sealed_value *v, ckit_slice stored, ckit_buf *plain,
                                 ckiti_sealed_class *cls, ckit_error *err) {
    const ckiti_sealed_place place = place_for_reading(v);
    const size_t             before = plain->len;
    ckit_status st = ckiti_sealed_open(&place, stored, v->integrity, CKIT_ENVELOPE_MAX_BYTES, plain, cls, err);
    if (st == CKIT_OK && (st = ckit_document_check(ckit_slice_of(plain->ptr + before, plain->len - before), err)) !=
                             CKIT_OK) { /* authentic, but nothing that a function gave */
        *cls = CKITI_SEALED_CORRUPT;
        plain->len = before;
    }
    return st;
}

static ckit_status open_interop(const ckiti_sealed_value *v, ckit_slice stored, ckit_buf *plain,
                                ckiti_sealed_class *cls, ckit_error *err) {
    const size_t before = plain->len;
    ckit_status  st = open_bare(v, stored, plain, cls, err);
    if (st == CKIT_OK &&
        (st = ckit_interop_value_accept(ckit_slice_of(plain->ptr + before, plain->len - before), err)) != CKIT_OK) {
        *cls = CKITI_SEALED_CORRUPT;
        plain->len = before;
    }
    return st;
}

static ckit_status open_form(const ckiti_sealed_value *v, ckit_slice stored, ckit_buf *plain, ckiti_sealed_class *cls,
                             ckit_error *err) {
    switch (v->form) {
    case CKITI_FORM_RAW: return open_raw(v, stored, plain, cls, err);
    case CKITI_FORM_INTEROP: return open_interop(v, stored, plain, cls, err);
    default: return open_document(v, stored, plain, cls, err);
    }
}

/* ---- what does not open ----------------------------------------------------------------------------------------- */

static const char *const tier_names[] = {"l1", "l2"};

static void count_failure(ckit_cache *cache, ckiti_sealed_class cls, ckiti_tier tier) {
    const int reason = cls == CKITI_SEALED_AUTHENTICATION ? CKITI_DECRYPT_AUTH
                       : cls == CKITI_SEALED_SUSPICIOUS   ? CKITI_DECRYPT_SUSPICIOUS
                                                          : CKITI_DECRYPT_CORRUPT;
    atomic_fetch_add_explicit(&cache->sealing.failures[reason][tier], 1, memory_order_relaxed);
}

/* Counted before anything else is done about it. */
static ckit_status judge(const ckiti_sealed_value *v, ckiti_tier tier, ckiti_sealed_class cls, const ckit_error *why,
                         ckit_error *err) {
    ckit_cache *cache = v->cache;
    const bool  closed = cls == CKITI_SEALED_AUTHENTICATION && cache->sealing.fail_closed;
    const bool  ours = cls == CKITI_SEALED_LOCAL; /* the entry may be good */
    if (!ours && cls != CKITI_SEALED_MALFORMED) {
        count_failure(cache, cls, tier);
    }
    if (tier == CKITI_TIER_L2) {
        ckiti_store_unreadable(cache, v->stored_key, why, !closed && !ours && cls != CKITI_SEALED_MALFORMED);
    } else {
        ckiti_log(cache->log, CKIT_LOG_WARNING, "cache", "%s: a sealed value does not open: %s %s", tier_names[tier],
                  ckit_status_code(why->status), why->text);
    }
    if (!closed && !(ours && ckit_status_kind(why->status) == CKIT_KIND_MISUSE)) {
        return CKIT_MISS;
    }
    if (err != NULL) {
        *err = *why;
    }
    return why->status;
}

ckit_status ckiti_value_open(const ckiti_sealed_value *v, ckiti_tier tier, ckit_slice stored, ckit_buf *plain,
                             ckit_error *err) {
    ckit_error         why = CKIT_ERROR_INIT;
    ckiti_sealed_class cls;
    ckit_status        st = open_form(v, stored, plain, &cls, &why);
    return st == CKIT_OK ? st : judge(v, tier, cls, &why, err);
}

/* ---- encryption that is not expected ----------------------------------------------------------------------------- */

/* True for each of the first keys, once. */
static bool is_first(ckit_cache *cache, ckit_slice key) {
    uint64_t hash = ckiti_xxh3(key, cache->seed) | 1;
    for (unsigned i = 0; i < DRIFTED_MAX; i++) {
        _Atomic uint64_t *place = &cache->sealing.drifted[((hash >> 1) + i) % DRIFTED_MAX];
        uint64_t          there = 0;
        if (atomic_compare_exchange_strong(place, &there, hash)) {
            return true;
        }
        if (there == hash) {
            return false;
        }
    }
    return false;
}

ckit_status ckiti_value_open_unexpected(ckit_cache *cache, ckit_slice key, bool integrity, ckit_slice stored,
                                        ckit_buf *document) {
    const ckiti_sealed_value v = {.cache = cache, .key = key, .stored_key = key, .integrity = integrity};
    ckit_status              st = ckiti_value_open(&v, CKITI_TIER_L2, stored, document, NULL);
    if (st != CKIT_OK) {
        return CKIT_MISS;
    }
    atomic_fetch_add_explicit(&cache->sealing.drift, 1, memory_order_relaxed);
    if (is_first(cache, key)) {
        ckiti_log(
            cache->log, CKIT_LOG_WARNING, "cache",
            "an entry is encrypted, and encryption is off here: it was opened with the configured key. Programs that "
            "share entries should agree on encryption (told once for a key)");
    }
    return CKIT_OK;
}

static bool is_canonical_uuid(const char *text) {
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    size_t            i = 0;
    while (form[i] != '\0' &&
           (form[i] == '-' ? text[i] == '-' : text[i] != '\0' && strchr("0123456789abcdef", text[i]) != NULL)) {
        i++;
    }
    return form[i] == '\0' && text[i] == '\0';
}

ckit_status ckiti_sealing_check_interop(const ckit_cache *cache, ckit_error *err) {
    if (cache->sealing.deployment_only && is_canonical_uuid(cache->sealing.deployment)) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                     "sealed values of interop mode need deployment_id (deployment_uuid= in Python, or "
                     "CACHEKIT_DEPLOYMENT_UUID), a UUID in lower case "
                     "that all who share them have configured");
}

void ckiti_not_sealed(ckit_cache *cache, ckit_slice key, const ckit_error *why) {
    uint8_t digest[16];
    char    mark[13] = "";
    ckiti_blake2b(digest, sizeof digest, key);
    ckiti_hex(mark, digest, 6);
    atomic_fetch_add_explicit(&cache->sealing.not_sealed, 1, memory_order_relaxed);
    ckiti_log(cache->log, CKIT_LOG_WARNING, "cache",
              "the value of key #%s is not kept, because it could not be sealed: %s %s", mark,
              ckit_status_code(why->status), why->text);
}
