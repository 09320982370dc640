/* The lock of a key, and writing under it. */
#include "entry.h"
#include "owner.h"
#include "publish.h"
#include "spread.h"

#include "base/alloc.h"
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

/* The server may have taken the lock, or take it yet, by an attempt that nobody has heard the end of. */
static bool may_hold(const ckiti_redis_eval *eval, ckit_status st) { return st >= CKIT_E_FIRST && eval->call.unheard; }

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
    mine.fence = 0;
    st = ckiti_redis_eval_run(store, key, &eval, deadline_ms, err);
    if (may_hold(&eval, st)) {
        *lease = mine;
    }
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

/* ---- one value for another --------------------------------------------------------------------------------------- */

/* After a lost answer the second attempt finds the new value, and tells a miss: whoever asks looks again. */
ckit_status ckiti_redis_replace(void *self, ckit_slice key, ckit_slice expected, ckit_slice value, uint64_t deadline_ms,
                                ckit_error *err) {
    ckiti_redis_store *store = self;
    ckit_status        st = ckiti_redis_check_key(key, err);
    if (st == CKIT_OK) {
        st = ckiti_redis_check_value(store, value, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_redis_eval eval = {.script = &ckiti_redis_script_replace,
                             .keys = {ckiti_redis_entry_name(store->prefix, key)},
                             .key_count = 1,
                             .args = {expected, value},
                             .arg_count = 2,
                             .large = expected.len + value.len > CKITI_REDIS_LARGE_BYTES,
                             .changes = true};
    ckiti_redis_remember_size(store, key, value.len);
    st = ckiti_redis_eval_run(store, key, &eval, deadline_ms, err);
    return st == CKIT_OK && eval.answer == 0 ? CKIT_MISS : st;
}

/* ---- a fenced write ---------------------------------------------------------------------------------------------- */

typedef struct fenced {
    ckiti_redis_call         call;
    ckiti_redis_store       *store;
    ckit_slice               key, value, token;
    char                     digits[TOKEN_DIGITS]; /* of the token */
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

/* Everything but whose token it is. */
static void fenced_init(fenced *f, ckiti_redis_store *store, const ckit_slice *key, ckit_slice value,
                        const ckit_entry_info *info, const ckit_lease *lease, ckit_error *err) {
    bool registers = !ckiti_redis_key_tells(*key);
    *f = (fenced){.call = {.write = write_fenced,
                           .take = take_fenced,
                           .begin = begin_fenced,
                           .replies = 1 + (registers ? 2 * CKITI_REDIS_REGISTRATION_REPLIES : 0),
                           .large = value.len > CKITI_REDIS_LARGE_BYTES,
                           .err = err},
                  .store = store,
                  .key = *key,
                  .value = value,
                  .ttl_ms = info->ttl_ms,
                  .registers = registers};
    f->token = token_text(lease, f->digits);
    ckiti_redis_call_tells(&f->call, store->publishing, key, 1);
    ckiti_redis_registration_init(&f->registration, &store->naming, *key, info);
    ckiti_redis_remember_size(store, *key, value.len);
}

static ckit_status check_write(ckiti_redis_store *store, ckit_slice key, ckit_slice value, ckit_error *err) {
    ckit_status st = ckiti_redis_check_key(key, err);
    return st == CKIT_OK ? ckiti_redis_check_value(store, value, err) : st;
}

ckit_status ckiti_redis_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                     const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    ckiti_redis_store *store = self;
    fenced             f;
    ckit_status        st = check_write(store, key, value, err);
    if (st != CKIT_OK) {
        return st;
    }
    fenced_init(&f, store, &key, value, info, lease, err);
    st = ckiti_redis_perform(store, key, &f.call, deadline_ms);
    if (st == CKIT_OK && f.missing) {
        f.by_text = f.registration.by_text = true;
        st = ckiti_redis_perform(store, key, &f.call, deadline_ms);
    }
    return st == CKIT_OK && f.answer == 0 ? CKIT_MISS : st;
}

/* ---- many keys --------------------------------------------------------------------------------------------------- */

/* One of many scripts that travel together. */
typedef struct asked {
    ckiti_redis_eval eval;
    ckit_lease       lease;
    char             token[TOKEN_DIGITS], duration[24];
} asked;

/* What is asked of many keys, each with a call of its own. Those that cannot travel with others are asked alone. */
typedef struct asking {
    ckiti_redis_store *store;
    const ckit_slice  *keys;
    size_t             count;
    uint64_t           deadline_ms;
    void              *context;
    ckiti_redis_call *(*call_of)(void *context, size_t i);
    /* The server does not know the script: it goes by text the next time. */
    bool (*is_missing)(void *context, size_t i);
    void (*send_text)(void *context, size_t i);
    ckit_status (*ask_alone)(void *context, size_t i);
    ckit_status *answers; /* CKIT_OK: the call has the answer */
} asking;

static ckit_status ask_together(const asking *a, ckit_error *err) {
    ckiti_redis_call *calls[CKITI_REDIS_PORTION];
    bool              alone[CKITI_REDIS_PORTION];
    size_t            left = a->count;
    for (size_t i = 0; i < a->count; i++) {
        calls[i] = a->call_of(a->context, i);
    }
    for (int pass = 0; pass < 2 && left > 0; pass++) {
        ckit_status st = ckiti_redis_spread(a->store, a->keys, calls, alone, a->count, a->deadline_ms, err);
        if (st != CKIT_OK && pass == 0) {
            return st;
        }
        left = 0;
        for (size_t i = 0; i < a->count; i++) {
            if (calls[i] == NULL) {
                continue;
            }
            bool again = pass == 0 && !alone[i] && calls[i]->status == CKIT_OK && a->is_missing(a->context, i);
            a->answers[i] = st != CKIT_OK ? st : alone[i] ? a->ask_alone(a->context, i) : calls[i]->status;
            if (again) {
                a->send_text(a->context, i);
                left++;
            } else {
                calls[i] = NULL;
            }
        }
    }
    return CKIT_OK;
}

typedef struct scripts {
    ckiti_redis_store        *store;
    const ckiti_redis_script *script; /* that takes a lock, renews it, or releases it */
    const ckit_slice         *keys;
    asked                    *each;
    uint64_t                  lease_ms; /* 0: they are released */
    uint64_t                  deadline_ms;
} scripts;

static ckiti_redis_call *script_call(void *context, size_t i) { return &((scripts *)context)->each[i].eval.call; }
static bool script_is_missing(void *context, size_t i) { return ((scripts *)context)->each[i].eval.missing; }
static void script_by_text(void *context, size_t i) {
    ckiti_redis_eval_init(&((scripts *)context)->each[i].eval, true, NULL);
}

static ckit_status script_alone(void *context, size_t i) {
    scripts *s = context;
    return ckiti_redis_eval_run(s->store, s->keys[i], &s->each[i].eval, s->deadline_ms, NULL);
}

static void script_init(scripts *s, size_t i) {
    asked     *one = &s->each[i];
    const bool takes = s->script == &ckiti_redis_script_lock;
    one->eval = (ckiti_redis_eval){.script = s->script,
                                   .keys = {ckiti_redis_lock_name(&s->store->naming, s->keys[i])},
                                   .key_count = takes ? 2 : 1,
                                   .args = {token_text(&one->lease, one->token)},
                                   .arg_count = s->lease_ms > 0 ? 2 : 1};
    if (takes) {
        one->eval.keys[1] = ckiti_redis_fence_name(&s->store->naming, s->keys[i]);
    }
    if (s->lease_ms > 0) {
        one->eval.args[1] = number_text(s->lease_ms, one->duration);
    }
    ckiti_redis_eval_init(&one->eval, false, NULL);
}

/* Runs it for a portion of keys. */
static ckit_status run_scripts(ckiti_redis_store *store, const ckiti_redis_script *script, const ckit_slice *keys,
                               size_t count, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *taken,
                               const ckit_lease *held, ckit_status *answers, ckit_error *err) {
    scripts s = {.store = store, .script = script, .keys = keys, .lease_ms = lease_ms, .deadline_ms = deadline_ms};
    asking  a = {store,          keys,         count,  deadline_ms, &s, script_call, script_is_missing,
                 script_by_text, script_alone, answers};
    s.each = ckiti_alloc(store->alloc, count * sizeof *s.each);
    if (s.each == NULL) {
        return ckiti_redis_no_memory(err, "locks of many keys");
    }
    for (size_t i = 0; i < count; i++) {
        if (held != NULL) {
            s.each[i].lease = held[i];
        } else {
            s.each[i].lease.fence = 0;
            ckiti_random_bytes(s.each[i].lease.token, sizeof s.each[i].lease.token);
        }
        script_init(&s, i);
    }
    ckit_status st = ask_together(&a, err);
    for (size_t i = 0; st == CKIT_OK && i < count; i++) {
        int64_t answer = s.each[i].eval.answer;
        answers[i] = answers[i] == CKIT_OK && answer <= 0 ? CKIT_MISS : answers[i];
        if (taken != NULL && answers[i] == CKIT_OK) {
            taken[i] = s.each[i].lease;
            taken[i].fence = (uint64_t)answer;
        }
    }
    for (size_t i = 0; taken != NULL && i < count; i++) {
        if (may_hold(&s.each[i].eval, st != CKIT_OK ? st : answers[i])) {
            taken[i] = s.each[i].lease;
        }
    }
    ckiti_free(store->alloc, s.each, count * sizeof *s.each);
    return st;
}

ckit_status ckiti_redis_lock_try_many(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                                      uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers, ckit_error *err) {
    ckit_status st = CKIT_OK;
    for (size_t i = 0; st == CKIT_OK && i < count; i++) {
        st = check(keys[i], lease_ms, err);
    }
    for (size_t at = 0; st == CKIT_OK && at < count; at += CKITI_REDIS_PORTION) {
        size_t some = count - at < CKITI_REDIS_PORTION ? count - at : CKITI_REDIS_PORTION;
        st = run_scripts(self, &ckiti_redis_script_lock, keys + at, some, lease_ms, deadline_ms, leases + at, NULL,
                         answers + at, err);
        if (st != CKIT_OK && at > 0) { /* else nobody would let the locks go that are taken by now */
            for (size_t i = at; i < count; i++) {
                answers[i] = st;
            }
            return CKIT_OK;
        }
    }
    return st;
}

static ckit_status run_of_holder(ckiti_redis_store *store, const ckiti_redis_script *script, const ckit_slice *keys,
                                 const ckit_lease *leases, size_t count, uint64_t lease_ms, uint64_t deadline_ms,
                                 ckit_status *answers, ckit_error *err) {
    ckit_status st = CKIT_OK;
    for (size_t i = 0; st == CKIT_OK && i < count; i++) {
        st = ckiti_redis_check_key(keys[i], err);
    }
    for (size_t at = 0; st == CKIT_OK && at < count; at += CKITI_REDIS_PORTION) {
        size_t some = count - at < CKITI_REDIS_PORTION ? count - at : CKITI_REDIS_PORTION;
        st = run_scripts(store, script, keys + at, some, lease_ms, deadline_ms, NULL, leases + at, answers + at, err);
    }
    return st;
}

ckit_status ckiti_redis_lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                        uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers,
                                        ckit_error *err) {
    ckit_status st = count > 0 ? check(keys[0], lease_ms, err) : CKIT_OK;
    return st == CKIT_OK ? run_of_holder(self, &ckiti_redis_script_renew, keys, leases, count, lease_ms, deadline_ms,
                                         answers, err)
                         : st;
}

ckit_status ckiti_redis_lock_release_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                          uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    return run_of_holder(self, &ckiti_redis_script_release, keys, leases, count, 0, deadline_ms, answers, err);
}

/* ---- many fenced writes ------------------------------------------------------------------------------------------ */

typedef struct fenced_writes {
    fenced  *each;
    uint64_t deadline_ms;
} fenced_writes;

static ckiti_redis_call *fenced_call(void *context, size_t i) { return &((fenced_writes *)context)->each[i].call; }
static bool fenced_is_missing(void *context, size_t i) { return ((fenced_writes *)context)->each[i].missing; }
static void fenced_by_text(void *context, size_t i) {
    fenced *f = &((fenced_writes *)context)->each[i];
    f->by_text = f->registration.by_text = true;
}

static ckit_status fenced_alone(void *context, size_t i) {
    fenced_writes *w = context;
    fenced        *f = &w->each[i];
    ckit_status    st = ckiti_redis_perform(f->store, f->key, &f->call, w->deadline_ms);
    if (st == CKIT_OK && f->missing) {
        fenced_by_text(w, i);
        st = ckiti_redis_perform(f->store, f->key, &f->call, w->deadline_ms);
    }
    return st;
}

static ckit_status write_portion(ckiti_redis_store *store, const ckit_slice *keys, const ckit_slice *values,
                                 const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                 uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    fenced_writes w = {.deadline_ms = deadline_ms};
    asking        a = {store,          keys,         count,  deadline_ms, &w, fenced_call, fenced_is_missing,
                       fenced_by_text, fenced_alone, answers};
    w.each = ckiti_alloc(store->alloc, count * sizeof *w.each);
    if (w.each == NULL) {
        return ckiti_redis_no_memory(err, "writing many");
    }
    for (size_t i = 0; i < count; i++) {
        fenced_init(&w.each[i], store, &keys[i], values[i], &infos[i], &leases[i], NULL);
    }
    ckit_status st = ask_together(&a, err);
    for (size_t i = 0; st == CKIT_OK && i < count; i++) {
        answers[i] = answers[i] == CKIT_OK && w.each[i].answer == 0 ? CKIT_MISS : answers[i];
    }
    ckiti_free(store->alloc, w.each, count * sizeof *w.each);
    return st;
}

ckit_status ckiti_redis_set_many_if_owner(void *self, const ckit_slice *keys, const ckit_slice *values,
                                          const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                          uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    for (size_t at = 0; at < count;) {
        size_t      some = ckiti_redis_portion_of(values + at, count - at);
        ckit_status st = check_write(self, keys[at], values[at], err);
        if (st == CKIT_E_TOO_LARGE && some == 1) { /* its answer is its own */
            answers[at] = st;
            st = CKIT_OK;
        } else {
            for (size_t i = at; st == CKIT_OK && i < at + some; i++) {
                st = ckiti_redis_check_key(keys[i], err);
            }
            st = st != CKIT_OK ? st
                               : write_portion(self, keys + at, values + at, infos + at, leases + at, some, deadline_ms,
                                               answers + at, err);
        }
        if (st != CKIT_OK) {
            return st;
        }
        at += some;
    }
    return CKIT_OK;
}
