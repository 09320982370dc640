/* The lock of a key, and writing under it. */
#include "entry.h"
#include "owner.h"
#include "publish.h"

#include "base/hash.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdio.h>

#define TOKEN_DIGITS 32u

static ckit_slice token_text(const ckit_lease *lease, char out[TOKEN_DIGITS]) {
    ckiti_hex(out, lease->token, sizeof lease->token);
    return ckit_slice_of(out, TOKEN_DIGITS);
}

static ckit_slice number_text(uint64_t number, char out[24]) {
    return ckit_slice_of(out, (size_t)snprintf(out, 24, "%" PRIu64, number));
}

static ckit_status check(ckit_slice key, uint64_t lease_ms, ckit_error *err) {
    if (lease_ms == 0 || lease_ms > CKIT_TTL_MAX_MS) {
        return ckit_fail(err, CKIT_E_MISUSE, CKITI_REDIS_WHERE, "a lease of %" PRIu64 " ms, range 1..%" PRIu64,
                         lease_ms, CKIT_TTL_MAX_MS);
    }
    return ckiti_redis_check_key(key, err);
}

/* A repeated attempt whose first answer was lost finds its own token and knows that it has the lock. */
ckit_status ckiti_redis_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                                 ckit_error *err) {
    ckiti_redis_store *store = self;
    ckit_lease         mine;
    char               token[TOKEN_DIGITS], duration[24];
    ckit_status        st = check(key, lease_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_random_bytes(mine.token, sizeof mine.token);
    ckiti_redis_eval eval = {
        .script = &ckiti_redis_script_lock,
        .keys = {ckiti_redis_lock_name(&store->naming, key), ckiti_redis_fence_name(&store->naming, key)},
        .key_count = 2,
        .args = {token_text(&mine, token), number_text(lease_ms, duration)},
        .arg_count = 2};
    st = ckiti_redis_eval_run(store, key, &eval, deadline_ms, err);
    if (st != CKIT_OK || eval.answer <= 0) {
        return st == CKIT_OK ? CKIT_MISS : st;
    }
    mine.fence = (uint64_t)eval.answer;
    *lease = mine;
    return CKIT_OK;
}

static ckit_status with_lease(ckiti_redis_store *store, const ckiti_redis_script *script, ckit_slice key,
                              const ckit_lease *lease, uint64_t lease_ms, uint64_t deadline_ms, ckit_error *err) {
    char             token[TOKEN_DIGITS], duration[24];
    ckiti_redis_eval eval = {.script = script,
                             .keys = {ckiti_redis_lock_name(&store->naming, key)},
                             .key_count = 1,
                             .args = {token_text(lease, token), number_text(lease_ms, duration)},
                             .arg_count = lease_ms > 0 ? 2 : 1};
    ckit_status      st = ckiti_redis_eval_run(store, key, &eval, deadline_ms, err);
    return st == CKIT_OK && eval.answer == 0 ? CKIT_MISS : st;
}

ckit_status ckiti_redis_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                   uint64_t deadline_ms, ckit_error *err) {
    ckit_status st = check(key, lease_ms, err);
    return st == CKIT_OK ? with_lease(self, &ckiti_redis_script_renew, key, lease, lease_ms, deadline_ms, err) : st;
}

ckit_status ckiti_redis_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                     ckit_error *err) {
    ckit_status st = ckiti_redis_check_key(key, err);
    return st == CKIT_OK ? with_lease(self, &ckiti_redis_script_release, key, lease, 0, deadline_ms, err) : st;
}

/* ---- a fenced write ------------------------------------------------------------------------------------------------------------ */

typedef struct fenced {
    ckiti_redis_call         call;
    ckiti_redis_store       *store;
    ckit_slice               key, value, token;
    uint64_t                 ttl_ms;
    bool                     registers, by_text, missing;
    ckiti_redis_registration registration;
    int64_t                  answer;
} fenced;

static void write_fenced(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const fenced    *f = (const fenced *)call;
    ckiti_redis_name lock = ckiti_redis_lock_name(&f->store->naming, f->key);
    ckiti_redis_name entry = ckiti_redis_entry_name(f->store->prefix, f->key);
    if (f->registers) {
        ckiti_redis_registration_write(&f->registration, w);
    }
    ckiti_redis_put_script(w, &ckiti_redis_script_set, f->by_text, 2, 5);
    ckiti_redis_put_name(w, &lock);
    ckiti_redis_put_name(w, &entry);
    ckiti_resp_bytes(w, f->token);
    ckiti_resp_bytes(w, f->value);
    if (f->ttl_ms == CKIT_TTL_NO_EXPIRY) {
        ckiti_resp_text(w, "");
    } else {
        ckiti_resp_number(w, f->ttl_ms);
    }
    if (f->registers) { /* the value may have come later, and a deletion in between */
        ckiti_redis_registration_write(&f->registration, w);
    }
}

static void take_fenced(ckiti_redis_call *call, const ckiti_resp_item *item) {
    fenced *f = (fenced *)call;
    if (ckiti_redis_script_missing(item) && !f->by_text) {
        f->missing = true;
    } else if (ckiti_redis_call_refused(call, item)) {
        return;
    } else if (call->got == (f->registers ? CKITI_REDIS_REGISTRATION_REPLIES : 0)) {
        f->answer = item->integer;
    }
}

static void begin_fenced(ckiti_redis_call *call) { ((fenced *)call)->missing = false; }

ckit_status ckiti_redis_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                     const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    ckiti_redis_store *store = self;
    char               token[TOKEN_DIGITS];
    ckit_status        st = ckiti_redis_check_key(key, err);
    if (st == CKIT_OK) {
        st = ckiti_redis_check_value(store, value, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    bool   registers = !ckiti_redis_key_tells(key);
    fenced f = {.call = {.write = write_fenced,
                         .take = take_fenced,
                         .begin = begin_fenced,
                         .replies = 1 + (registers ? 2 * CKITI_REDIS_REGISTRATION_REPLIES : 0),
                         .large = value.len > CKITI_REDIS_LARGE_BYTES,
                         .err = err},
                .store = store,
                .key = key,
                .value = value,
                .token = token_text(lease, token),
                .ttl_ms = info->ttl_ms,
                .registers = registers};
    ckiti_redis_call_tells(&f.call, store->publishing, &key, 1);
    ckiti_redis_registration_init(&f.registration, &store->naming, key, info);
    ckiti_redis_remember_size(store, key, value.len);
    st = ckiti_redis_perform(store, key, &f.call, deadline_ms);
    if (st == CKIT_OK && f.missing) {
        f.by_text = f.registration.by_text = true;
        st = ckiti_redis_perform(store, key, &f.call, deadline_ms);
    }
    return st == CKIT_OK && f.answer == 0 ? CKIT_MISS : st;
}
