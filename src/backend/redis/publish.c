#include "publish.h"

#include "format/invalidation.h"

#define MESSAGE_BYTES 2048u /* more than a key, a namespace, a hash and the names of the fields */

static void put(ckiti_resp_writer *w, const ckiti_invalidation *what) {
    uint8_t  room[MESSAGE_BYTES];
    ckit_buf message = {.ptr = room, .cap = sizeof room, .alloc = w->out->alloc};
    if (ckiti_invalidation_write(what, &message, NULL) != CKIT_OK) { /* there is room, and it can be said */
        w->status = w->status == CKIT_OK ? CKIT_E_MISUSE : w->status;
        return;
    }
    ckiti_resp_command(w, 3);
    ckiti_resp_text(w, "PUBLISH");
    ckiti_resp_text(w, CKITI_INVALIDATION_CHANNEL);
    ckiti_resp_bytes(w, ckit_buf_slice(&message));
}

void ckiti_redis_put_news(ckiti_resp_writer *w, ckit_slice key) {
    char               digits[CKITI_INVALIDATION_HASH];
    ckiti_invalidation what = ckiti_invalidation_of_key(key, digits);
    put(w, &what);
}

void ckiti_redis_put_scope_news(ckiti_resp_writer *w, const ckit_scope *scope) {
    ckiti_invalidation what = ckiti_invalidation_of_scope(scope);
    put(w, &what);
}

void ckiti_redis_call_tells(ckiti_redis_call *call, int publishing, const ckit_slice *keys, uint32_t count) {
    call->told = keys;
    call->told_count = publishing == CKITI_REDIS_SILENT ? 0 : count;
}

void ckiti_redis_call_write(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    call->write(call, w);
    for (uint32_t i = 0; i < call->told_count; i++) {
        ckiti_redis_put_news(w, call->told[i]);
    }
}
