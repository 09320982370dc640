/* Requests that are handed over without waiting. Their calls are kept for the next ones, so that steady use asks for no
 * memory. */
#include "submit.h"

#include "entry.h"
#include "keys.h"
#include "publish.h"

#include "base/alloc.h"

#define KEPT 1024u

struct ckiti_redis_handed {
    union { /* the call is at the beginning of each */
        ckiti_redis_call  call;
        ckiti_redis_read  read;
        ckiti_redis_write write;
        ckiti_redis_count count;
        ckiti_redis_eval  eval;
    } as;
    ckiti_redis_store    *store;
    ckit_request         *request;
    ckiti_redis_handed   *next;
    ckiti_redis_turn_call turn;
    char                  indexes[CKITI_REDIS_INDEX_ROOM];
};

void ckiti_redis_handed_init(ckiti_redis_spare *spare) {
    *spare = (ckiti_redis_spare){.first = NULL};
    pthread_mutex_init(&spare->lock, NULL);
}

void ckiti_redis_handed_fini(ckiti_redis_spare *spare, const ckit_alloc *alloc) {
    while (spare->first != NULL) {
        ckiti_redis_handed *one = spare->first;
        spare->first = one->next;
        ckiti_free(alloc, one, sizeof *one);
    }
    pthread_mutex_destroy(&spare->lock);
}

static ckiti_redis_handed *take_spare(ckiti_redis_store *store) {
    ckiti_redis_spare *spare = &store->spare;
    pthread_mutex_lock(&spare->lock);
    ckiti_redis_handed *one = spare->first;
    if (one != NULL) {
        spare->first = one->next;
        spare->count--;
    }
    pthread_mutex_unlock(&spare->lock);
    return one != NULL ? one : ckiti_alloc(store->alloc, sizeof *one);
}

static void give_spare(ckiti_redis_handed *one) {
    ckiti_redis_store *store = one->store;
    ckiti_redis_spare *spare = &store->spare;
    pthread_mutex_lock(&spare->lock);
    bool keep = spare->count < KEPT;
    if (keep) {
        one->next = spare->first;
        spare->first = one;
        spare->count++;
    }
    pthread_mutex_unlock(&spare->lock);
    if (!keep) {
        ckiti_free(store->alloc, one, sizeof *one);
    }
}

static void finish(ckiti_redis_call *call) {
    ckiti_redis_handed *one = (ckiti_redis_handed *)call;
    ckit_request       *request = one->request;
    ckit_status         st = call->status;
    if (request->kind == CKIT_REQUEST_GET && st != CKIT_OK) {
        request->out->len = one->as.read.before;
    } else if (request->kind == CKIT_REQUEST_REMOVE && st == CKIT_OK) {
        int64_t removed = ckiti_redis_key_tells(request->key) ? one->as.count.answer : one->as.eval.answer;
        st = removed == 0 ? CKIT_MISS : CKIT_OK;
    }
    give_spare(one);
    request->done(request, st);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void make_remove(ckiti_redis_handed *one, ckiti_redis_store *store, ckit_request *request) {
    ckiti_redis_name entry = ckiti_redis_entry_name(store->prefix, request->key);
    if (ckiti_redis_key_tells(request->key)) {
        ckiti_redis_count_init(&one->as.count, "UNLINK", entry, &request->error);
        return;
    }
    one->as.eval = (ckiti_redis_eval){
        .script = &ckiti_redis_script_remove,
        .keys = {entry, ckiti_redis_owner_name(&store->naming, request->key)},
        .key_count = 2,
        .args = {ckiti_redis_index_beginning(&store->naming, request->key, one->indexes), request->key},
        .arg_count = 2};
    ckiti_redis_eval_init(&one->as.eval, true, &request->error);
}

static void make(ckiti_redis_handed *one, ckiti_redis_store *store, ckit_request *request) {
    switch (request->kind) {
    case CKIT_REQUEST_GET:
        ckiti_redis_read_init(&one->as.read, store, request->key, request->out, &request->life_ms, &request->error);
        break;
    case CKIT_REQUEST_SET:
        ckiti_redis_write_init(&one->as.write, store, request->key, request->value, &request->info, true,
                               &request->error);
        break;
    default: make_remove(one, store, request);
    }
}

static ckit_status check(const ckiti_redis_store *store, const ckit_request *request, ckit_error *err) {
    if (request->kind < CKIT_REQUEST_GET || request->kind > CKIT_REQUEST_REMOVE) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, CKITI_REDIS_WHERE, "a request of kind %d", (int)request->kind);
    }
    ckit_status st = ckiti_redis_check_key(request->key, err);
    if (st == CKIT_OK && request->kind == CKIT_REQUEST_SET) {
        st = ckiti_redis_check_value(store, request->value, err);
    }
    return st;
}

ckit_status ckiti_redis_submit(void *self, ckit_request *request, ckit_error *err) {
    ckiti_redis_store *store = self;
    ckit_status        st = check(store, request, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_redis_handed *one = take_spare(store);
    if (one == NULL) {
        return ckiti_redis_no_memory(err, "a request");
    }
    one->store = store;
    one->request = request;
    make(one, store, request);
    ckiti_redis_call *call = &one->as.call;
    call->finish = finish;
    ckiti_redis_call_tells(call, store->publishing, &request->key, request->kind != CKIT_REQUEST_GET);
    call->err = err;
    st = ckiti_redis_limit(store, call, request->deadline_ms, err);
    if (st == CKIT_OK && call->large) {
        st = ckit_fail(err, CKIT_E_UNSUPPORTED, CKITI_REDIS_WHERE,
                       "a value of more than %u bytes keeps others waiting: use an operation that waits itself",
                       CKITI_REDIS_LARGE_BYTES);
    }
    if (st == CKIT_OK) {
        call->err = &request->error;
        st = ckiti_redis_hand_over(store, request->key, call, &one->turn);
        if (st != CKIT_PENDING && err != NULL) {
            *err = request->error;
        }
    }
    if (st != CKIT_PENDING) {
        give_spare(one);
    }
    return st;
}
