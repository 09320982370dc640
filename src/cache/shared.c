#include "cache/shared.h"

#include "base/alloc.h"
#include <cachekit/buf.h>
#include <stdatomic.h>

struct ckiti_shared {
    _Atomic uint32_t holders;
    ckit_buf         document;
};

ckiti_shared *ckiti_shared_take(ckit_buf *document) {
    ckiti_shared *shared = ckiti_alloc(document->alloc, sizeof *shared);
    if (shared != NULL) {
        atomic_init(&shared->holders, 1);
        shared->document = *document;
        ckit_buf_init(document, document->alloc);
    }
    return shared;
}

ckit_slice ckiti_shared_bytes(const ckiti_shared *shared) { return ckit_buf_slice(&shared->document); }

static void release_value(ckit_value *value) { ckiti_shared_release(value->owner); }

void ckiti_shared_lend(ckiti_shared *shared, ckit_value *out) {
    ckit_slice bytes = ckiti_shared_bytes(shared);
    if (bytes.len <= sizeof out->inline_bytes) {
        if (bytes.len > 0) {
            memcpy(out->inline_bytes, bytes.ptr, bytes.len);
        }
        out->data = ckit_slice_of(out->inline_bytes, bytes.len);
        return;
    }
    atomic_fetch_add_explicit(&shared->holders, 1, memory_order_relaxed);
    out->data = bytes;
    out->owner = shared;
    out->release = release_value;
}

void ckiti_shared_release(ckiti_shared *shared) {
    if (shared != NULL && atomic_fetch_sub_explicit(&shared->holders, 1, memory_order_acq_rel) == 1) {
        const ckit_alloc *alloc = shared->document.alloc;
        ckit_buf_fini(&shared->document);
        ckiti_free(alloc, shared, sizeof *shared);
    }
}
