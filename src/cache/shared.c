#include "cache/shared.h"

#include "base/alloc.h"
#include <cachekit/buf.h>
#include <stdatomic.h>
#include <string.h>

struct ckiti_shared {
    _Atomic uint32_t  holders;
    const ckit_alloc *alloc;
    bool              secret;
    ckit_buf          document;
    ckit_object       object; /* instead of a document; its `release` is never NULL then */
};

static ckiti_shared *new_shared(const ckit_alloc *alloc) {
    ckiti_shared *shared = ckiti_alloc_zeroed(alloc, 1, sizeof *shared);
    if (shared != NULL) {
        atomic_init(&shared->holders, 1);
        shared->alloc = alloc;
    }
    return shared;
}

ckiti_shared *ckiti_shared_take(ckit_buf *document, const ckit_alloc *alloc, bool secret) {
    ckiti_shared *shared = new_shared(alloc);
    if (shared != NULL) {
        shared->secret = secret;
        shared->document = *document;
        shared->document.alloc = alloc;
        ckit_buf_init(document, document->alloc);
    }
    return shared;
}

ckiti_shared *ckiti_shared_object(const ckit_object *object, const ckit_alloc *alloc) {
    ckiti_shared *shared = new_shared(alloc);
    if (shared != NULL) {
        shared->object = *object;
    }
    return shared;
}

static void hold(ckiti_shared *shared) { atomic_fetch_add_explicit(&shared->holders, 1, memory_order_relaxed); }

static void release_held(void *object, void *context) {
    (void)object;
    ckiti_shared_release(context);
}

ckit_object ckiti_shared_hold(ckiti_shared *shared) {
    ckit_object held = shared->object;
    hold(shared);
    held.release = release_held;
    held.context = shared;
    return held;
}

static void release_value(ckit_value *value) { ckiti_shared_release(value->owner); }

void ckiti_shared_lend(ckiti_shared *shared, ckit_value *out) {
    ckit_slice bytes = ckit_buf_slice(&shared->document);
    /* What is secret is not scattered over values that nobody wipes. */
    if (shared->object.release == NULL && !shared->secret && bytes.len <= sizeof out->inline_bytes) {
        if (bytes.len > 0) {
            memcpy(out->inline_bytes, bytes.ptr, bytes.len);
        }
        out->data = ckit_slice_of(out->inline_bytes, bytes.len);
        return;
    }
    hold(shared);
    out->data = bytes;
    out->object = shared->object.object;
    out->owner = shared;
    out->release = release_value;
}

bool ckiti_shared_lend_again(const ckit_value *lent, ckit_value *out) {
    if (lent->release != release_value) {
        return false;
    }
    ckiti_shared_lend(lent->owner, out);
    return true;
}

void ckiti_shared_release(ckiti_shared *shared) {
    if (shared != NULL && atomic_fetch_sub_explicit(&shared->holders, 1, memory_order_acq_rel) == 1) {
        if (shared->object.release != NULL) {
            shared->object.release(shared->object.object, shared->object.context);
        }
        if (shared->secret && shared->document.ptr != NULL) {
            explicit_bzero(shared->document.ptr, shared->document.cap);
        }
        ckit_buf_fini(&shared->document);
        ckiti_free(shared->alloc, shared, sizeof *shared);
    }
}

/* The object's record is kept in inline_bytes, which is free when there are no bytes. */
static void release_lent(ckit_value *value) {
    ckit_object object;
    memcpy(&object, value->inline_bytes, sizeof object);
    object.release(object.object, object.context);
}

void ckiti_lend_object(const ckit_object *object, ckit_value *out) {
    _Static_assert(sizeof *object <= sizeof out->inline_bytes, "the record fits");
    memcpy(out->inline_bytes, object, sizeof *object);
    out->object = object->object;
    out->release = release_lent;
}
