#include "keys.h"

#include "owner.h"
#include "publish.h"

#include <stdio.h>

static void write_count(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const ckiti_redis_count *count = (const ckiti_redis_count *)call;
    bool                     more = count->argument != UINT64_MAX;
    ckiti_resp_command(w, more ? 3 : 2);
    ckiti_resp_text(w, count->command);
    ckiti_redis_put_name(w, &count->name);
    if (more) {
        ckiti_resp_number(w, count->argument);
    }
}

static void take_count(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_count *count = (ckiti_redis_count *)call;
    if (item->type == CKITI_RESP_INTEGER) {
        count->answer = item->integer;
    } else if (!ckiti_redis_call_refused(call, item)) {
        ckiti_redis_call_unexpected(call);
    }
}

void ckiti_redis_count_init(ckiti_redis_count *count, const char *command, ckiti_redis_name name, ckit_error *err) {
    *count = (ckiti_redis_count){.call = {.write = write_count, .take = take_count, .replies = 1, .err = err},
                                 .command = command,
                                 .name = name,
                                 .argument = UINT64_MAX};
}

static ckit_status ask(ckiti_redis_store *store, const char *command, bool changes, ckit_slice key, uint64_t argument,
                       uint64_t deadline_ms, int64_t *answer, ckit_error *err) {
    ckiti_redis_count count;
    ckit_status       st = ckiti_redis_check_key(key, err);
    if (st == CKIT_OK) {
        ckiti_redis_count_init(&count, command, ckiti_redis_entry_name(store->prefix, key), err);
        count.argument = argument;
        ckiti_redis_call_tells(&count.call, store->publishing, &key, changes);
        st = ckiti_redis_perform(store, key, &count.call, deadline_ms);
        *answer = count.answer;
    }
    return st;
}

ckit_status ckiti_redis_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    ckiti_redis_store *store = self;
    int64_t            removed = 0;
    ckit_status        st = ckiti_redis_check_key(key, err);
    if (st == CKIT_OK && ckiti_redis_key_tells(key)) {
        st = ask(store, "UNLINK", true, key, UINT64_MAX, deadline_ms, &removed, err);
    } else if (st == CKIT_OK) {
        char             indexes[CKITI_REDIS_INDEX_ROOM];
        ckiti_redis_eval eval = {
            .changes = true,
            .script = &ckiti_redis_script_remove,
            .keys = {ckiti_redis_entry_name(store->prefix, key), ckiti_redis_owner_name(&store->naming, key)},
            .key_count = 2,
            .args = {ckiti_redis_index_beginning(&store->naming, key, indexes), key},
            .arg_count = 2};
        st = ckiti_redis_eval_run(store, key, &eval, deadline_ms, err);
        removed = eval.answer;
    }
    return st == CKIT_OK && removed == 0 ? CKIT_MISS : st;
}

ckit_status ckiti_redis_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    int64_t     found = 0;
    ckit_status st = ask(self, "EXISTS", false, key, UINT64_MAX, deadline_ms, &found, err);
    return st == CKIT_OK && found == 0 ? CKIT_MISS : st;
}

ckit_status ckiti_redis_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    int64_t     left = 0;
    ckit_status st = ask(self, "PTTL", false, key, UINT64_MAX, deadline_ms, &left, err);
    if (st != CKIT_OK || left == -2) {
        return st == CKIT_OK ? CKIT_MISS : st;
    }
    *life_ms = left == -1 ? CKIT_LIFE_NO_EXPIRY : left <= 0 ? 1 : (uint64_t)left;
    return CKIT_OK;
}

/* One command when the key is not registered and gets a lifetime; otherwise a step of several. */
ckit_status ckiti_redis_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    ckiti_redis_store *store = self;
    int64_t            found = 0;
    ckit_status        st = ckiti_redis_check_key(key, err);
    if (st == CKIT_OK && ttl_ms != CKIT_TTL_NO_EXPIRY && ckiti_redis_key_tells(key)) {
        st = ask(store, "PEXPIRE", true, key, ttl_ms, deadline_ms, &found, err);
    } else if (st == CKIT_OK) {
        char indexes[CKITI_REDIS_INDEX_ROOM];
        char ttl[24] = "";
        int  len = ttl_ms == CKIT_TTL_NO_EXPIRY ? 0 : snprintf(ttl, sizeof ttl, "%llu", (unsigned long long)ttl_ms);
        ckiti_redis_eval eval = {
            .changes = true,
            .script = &ckiti_redis_script_touch,
            .keys = {ckiti_redis_entry_name(store->prefix, key), ckiti_redis_owner_name(&store->naming, key)},
            .key_count = 2,
            .args = {ckiti_redis_index_beginning(&store->naming, key, indexes), key, ckit_slice_of(ttl, (size_t)len)},
            .arg_count = 3};
        st = ckiti_redis_eval_run(store, key, &eval, deadline_ms, err);
        found = eval.answer;
    }
    return st == CKIT_OK && found == 0 ? CKIT_MISS : st;
}
