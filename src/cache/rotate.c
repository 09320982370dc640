#include <cachekit/rotate.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "format/reseal.h"
#include "format/seal_ring.h"

#include <cachekit/buf.h>
#include <string.h>

static const char where[] = "rotate";

#define TURNS 4            /* at an entry that others write */
#define LONGEST_PAUSE 50u  /* ms, between two questions whether to go on */
#define SHORTEST_PAUSE 10u /* less is not worth a sleep */

typedef struct rotating {
    const ckit_backend_ops *ops;
    void                   *self;
    ckit_keyring           *ring;
    ckit_rotation_options   options;
    ckit_slice              deployment;
    ckit_rotation           did;
    uint64_t                began_ms;
    ckit_error             *err;
} rotating;

void ckit_rotation_init(ckit_rotation *rotation, size_t struct_size) {
    memset(rotation, 0, struct_size);
    rotation->struct_size = struct_size;
}

void ckit_rotation_options_init(ckit_rotation_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

/* ---- one entry --------------------------------------------------------------------------------------------------- */

/* Others would fail as this one did. */
static bool ends_all(ckit_status st) {
    const ckit_error_kind kind = ckit_status_kind(st);
    return kind == CKIT_KIND_TRANSIENT || kind == CKIT_KIND_TIMEOUT || kind == CKIT_KIND_AUTHENTICATION ||
           st == CKIT_E_UNSUPPORTED || st == CKIT_E_NO_MEMORY;
}

static void count_found(rotating *r, ckiti_reseal_found found) {
    switch (found) {
    case CKITI_RESEAL_DONE: r->did.resealed++; break;
    case CKITI_RESEAL_CURRENT: r->did.current++; break;
    case CKITI_RESEAL_CLEAR: r->did.clear++; break;
    case CKITI_RESEAL_UNKNOWN: r->did.unknown_key++; break;
    case CKITI_RESEAL_DAMAGED: r->did.damaged++; break;
    }
}

/* One look and, where a previous key had sealed it, one replacement. CKIT_PENDING: written again in between. CKIT_MISS:
 * gone. */
static ckit_status turn(rotating *r, ckit_slice key, ckit_buf *stored, ckit_buf *sealed, ckit_error *why) {
    ckiti_reseal_found found;
    uint64_t           life_ms;
    stored->len = sealed->len = 0;
    ckit_status st = r->ops->get(r->self, key, CKIT_NO_DEADLINE, stored, &life_ms, why);
    if (st == CKIT_OK) {
        st = ckiti_reseal(r->ring, r->deployment, key, ckit_buf_slice(stored), sealed, &found, why);
    }
    if (st == CKIT_OK && found == CKITI_RESEAL_DONE && !r->options.dry_run) {
        st = r->ops->replace(r->self, key, ckit_buf_slice(stored), ckit_buf_slice(sealed), CKIT_NO_DEADLINE, why);
        st = st == CKIT_MISS ? CKIT_PENDING : st;
    }
    if (st == CKIT_OK) {
        count_found(r, found);
    }
    return st;
}

static ckit_status one(rotating *r, ckit_slice key) {
    ckit_buf    stored = {.alloc = r->options.alloc}, sealed = {.alloc = r->options.alloc};
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = CKIT_PENDING;
    for (int i = 0; i < TURNS && st == CKIT_PENDING; i++) {
        st = turn(r, key, &stored, &sealed, &why);
    }
    ckit_buf_fini(&stored);
    ckit_buf_fini(&sealed);
    r->did.overtaken += st == CKIT_PENDING;
    r->did.gone += st == CKIT_MISS;
    if (st < CKIT_E_FIRST) {
        return CKIT_OK;
    }
    r->did.failed++;
    if (!ends_all(st)) {
        return CKIT_OK;
    }
    if (r->err != NULL) {
        *r->err = why;
    }
    return st;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

/* A ring without previous keys cannot tell whether an unknown key is a former one that was forgotten. */
static void sum_up(rotating *r) {
    r->did.previous_needed = r->did.overtaken + r->did.nameless + r->did.failed +
                             (r->options.dry_run ? r->did.resealed : 0) +
                             (ckiti_keyring_has_previous(r->ring) ? 0 : r->did.unknown_key);
}

static ckit_status tell(rotating *r) {
    sum_up(r);
    return r->options.progress != NULL ? r->options.progress(r->options.context, &r->did) : CKIT_OK;
}

/* So many in a second, reckoned from the beginning. */
static ckit_status pace(rotating *r) {
    ckit_status st = tell(r);
    if (r->options.max_per_second == CKIT_ROTATE_UNPACED) {
        return st;
    }
    const uint64_t due_ms = r->began_ms + (uint64_t)((double)r->did.seen * 1000.0 / (double)r->options.max_per_second);
    for (uint64_t now_ms = ckiti_now_ms(NULL); st == CKIT_OK && due_ms > now_ms + SHORTEST_PAUSE;
         now_ms = ckiti_now_ms(NULL)) {
        const uint64_t  ms = due_ms - now_ms < LONGEST_PAUSE ? due_ms - now_ms : LONGEST_PAUSE;
        struct timespec pause = {0, (long)ms * 1000000};
        (void)nanosleep(&pause, NULL);
        st = tell(r);
    }
    return st;
}

static ckit_status visit(void *context, const ckit_listed *entry) {
    rotating  *r = context;
    ckit_slice prefix = r->options.key_prefix;
    if (entry->key.len > 0 && prefix.len > 0 &&
        (entry->key.len < prefix.len || memcmp(entry->key.ptr, prefix.ptr, prefix.len) != 0)) {
        return CKIT_OK;
    }
    r->did.seen++;
    ckit_status st = CKIT_OK;
    if (entry->key.len == 0) {
        r->did.nameless++;
    } else {
        st = one(r, entry->key);
    }
    return st == CKIT_OK ? pace(r) : st;
}

static ckit_status begin(rotating *r, ckit_backend *backend, ckit_keyring *ring, const ckit_rotation_options *options,
                         ckit_error *err) {
    *r = (rotating){.ring = ring, .err = err, .began_ms = ckiti_now_ms(NULL)};
    r->did = (ckit_rotation)CKIT_ROTATION_INIT;
    if (backend == NULL || (options != NULL && options->struct_size < sizeof options->struct_size)) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "no store, or options without struct_size");
    }
    if (options != NULL) {
        memcpy(&r->options, options, options->struct_size < sizeof *options ? options->struct_size : sizeof *options);
    }
    if (r->options.max_per_second == 0) {
        r->options.max_per_second = CKIT_ROTATE_PER_SECOND;
    }
    r->deployment = ckit_slice_str(r->options.deployment_id != NULL ? r->options.deployment_id : "default");
    r->ops = ckit_backend_operations(backend);
    r->self = ckit_backend_self(backend);
    if (!ckit_keyring_can_seal(ring)) {
        return ckit_fail(err, CKIT_E_NO_MASTER_KEY, where, "there is no current master key to seal with");
    }
    if (r->ops->list == NULL || r->ops->replace == NULL) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, where, "the store %s cannot %s", r->ops->name,
                         r->ops->list == NULL ? "list its entries" : "replace one value by another");
    }
    return CKIT_OK;
}

ckit_status ckit_rotate(ckit_backend *backend, ckit_keyring *ring, const ckit_rotation_options *options,
                        ckit_rotation *out, ckit_error *err) {
    rotating    r;
    ckit_status st = begin(&r, backend, ring, options, err);
    if (st == CKIT_OK) {
        st = r.ops->list(r.self, &r.options.scope, CKIT_NO_DEADLINE, visit, &r, err);
        sum_up(&r);
    }
    if (out != NULL && out->struct_size >= sizeof out->struct_size) {
        const size_t size = out->struct_size < sizeof r.did ? out->struct_size : sizeof r.did;
        r.did.struct_size = out->struct_size;
        memcpy(out, &r.did, size);
    }
    return st;
}
