#include "run/keeper.h"

#include "run/secret.h"

#include "support/clock.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>

/* How long the store keeps an entry at least, whatever is left of the answer's own life: those who wait for this run
 * look for it now and then, and must find it. Nobody else is shown it for longer, as it carries its own times. */
#define WAITERS_LIFE_MS 5000

/* ---- trouble ------------------------------------------------------------------------------------------------ */

static void complain(run_keeper *keeper, const char *what, const ckit_error *err) {
    if (!keeper->warned) {
        cli_warn("%s: %s (%s)", what, err->text[0] != '\0' ? err->text : ckit_status_text(err->status),
                 ckit_status_code(err->status));
    }
    keeper->warned = true;
}

static void give_up(run_keeper *keeper, const char *what, const ckit_error *err) {
    complain(keeper, what, err);
    keeper->usable = false;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

void run_keeper_open(run_keeper *keeper, const run_call *call, const cli_common *common) {
    ckit_error err = CKIT_ERROR_INIT;
    *keeper = (run_keeper){.options = call->options, .argv = call->argv, .started_ms = cli_wall_ms()};
    if (call->options->ttl_ms == CKIT_TTL_DO_NOT_STORE) {
        return;
    }
    if (call->unsealed.status != CKIT_OK) {
        complain(keeper, "running without the cache, the answer cannot be encrypted", &call->unsealed);
        return;
    }
    keeper->ring = call->ring;
    keeper->name = ckit_buf_slice(&call->key);
    ckit_status st = cli_store_open_own(&keeper->store, common, &err);
    if (st == CKIT_OK) {
        st = ckit_buf_append(&keeper->key, ckit_buf_slice(&keeper->store.prefix));
    }
    if (st == CKIT_OK) {
        st = ckit_buf_append(&keeper->key, ckit_buf_slice(&call->key));
    }
    keeper->usable = st == CKIT_OK;
    keeper->misused = ckit_status_kind(st) == CKIT_KIND_MISUSE && (common->store != NULL || common->tenant != NULL);
    if (keeper->misused) {
        (void)cli_failed(&err);
    } else if (st != CKIT_OK) {
        err.status = st;
        complain(keeper, "running without the cache", &err);
    }
}

void run_keeper_close(run_keeper *keeper) {
    run_keeper_unlock(keeper);
    ckit_buf_fini(&keeper->key);
    cli_store_close(&keeper->store);
}

/* ---- finding ------------------------------------------------------------------------------------------------ */

static ckit_status read_entry(run_keeper *keeper, run_answer *answer, ckit_error *err) {
    ckit_buf    stored = CKIT_BUF_INIT;
    uint64_t    life;
    ckit_status st =
        keeper->store.ops->get(keeper->store.self, ckit_buf_slice(&keeper->key), CKIT_NO_DEADLINE, &stored, &life, err);
    if (st == CKIT_OK && keeper->ring != NULL) {
        ckit_buf clear = CKIT_BUF_INIT;
        st = run_secret_unseal(keeper->ring, keeper->name, ckit_buf_slice(&stored), &clear, err);
        ckit_buf_fini(&stored);
        stored = clear;
    }
    if (st == CKIT_OK) {
        st = run_answer_read(ckit_buf_slice(&stored), answer, err);
    }
    ckit_buf_fini(&stored);
    return st;
}

/* Does not count as a miss of the store, as reading would. */
static bool is_there(const run_keeper *keeper) {
    return keeper->store.ops->exists(keeper->store.self, ckit_buf_slice(&keeper->key), CKIT_NO_DEADLINE, NULL) !=
           CKIT_MISS;
}

static run_limits limits_of(const run_keeper *keeper) {
    const run_options *options = keeper->options;
    return (run_limits){options->ttl_ms, options->stale_ms, options->failures_ms};
}

run_found run_keeper_find(run_keeper *keeper, run_answer *answer) {
    ckit_error err = CKIT_ERROR_INIT;
    *answer = (run_answer)RUN_ANSWER_INIT;
    if (!keeper->usable) {
        return RUN_NOTHING;
    }
    ckit_status st = read_entry(keeper, answer, &err);
    if (st == CKIT_MISS) {
        return RUN_NOTHING;
    }
    if (st != CKIT_OK) {
        if (ckit_status_kind(st) == CKIT_KIND_CORRUPT || st == CKIT_E_VALUE_TYPE) {
            complain(keeper, "the stored answer is damaged, running the command", &err);
        } else {
            give_up(keeper, "running without the cache", &err);
        }
        return RUN_NOTHING;
    }
    if (!answer->has_output) {
        return RUN_NOTE;
    }
    run_limits limits = limits_of(keeper);
    switch (run_answer_freshness(answer, &limits, cli_wall_ms())) {
    case RUN_FRESH: return RUN_SHOW;
    case RUN_STALE: return RUN_SHOW_STALE;
    case RUN_FUTURE:
        (void)ckit_fail(&err, CKIT_E_DECODE, "run", "it is younger than now: was the clock set back?");
        complain(keeper, "the stored answer comes from the future, running the command", &err);
        return RUN_NOTHING;
    default: return RUN_OLD;
    }
}

run_found run_keeper_find_again(run_keeper *keeper, run_answer *answer) {
    *answer = (run_answer)RUN_ANSWER_INIT;
    if (!keeper->usable || !is_there(keeper)) {
        return RUN_NOTHING;
    }
    return run_keeper_find(keeper, answer);
}

/* ---- the lock ----------------------------------------------------------------------------------------------- */

bool run_keeper_try_lock(run_keeper *keeper) {
    ckit_error err = CKIT_ERROR_INIT;
    if (!keeper->usable) {
        return true;
    }
    ckit_status st = run_lease_try(&keeper->lease, &keeper->store, ckit_buf_slice(&keeper->key), &err);
    if (st != CKIT_OK && st != CKIT_MISS && st != CKIT_E_UNSUPPORTED) {
        give_up(keeper, "running without the cache", &err);
    }
    return st != CKIT_MISS;
}

void run_keeper_unlock(run_keeper *keeper) { run_lease_release(&keeper->lease); }

/* ---- storing ------------------------------------------------------------------------------------------------ */

static bool put(run_keeper *keeper, const run_answer *answer, uint64_t life_ms) {
    ckit_error      err = CKIT_ERROR_INIT;
    ckit_buf        stored = CKIT_BUF_INIT;
    ckit_entry_info info = {.ttl_ms = life_ms > WAITERS_LIFE_MS ? life_ms : WAITERS_LIFE_MS,
                            .namespace_name = ckit_slice_str(keeper->options->namespace_name),
                            .function = ckit_slice_str(RUN_FUNCTION)};
    ckit_status     st = run_answer_store(answer, keeper->argv, &stored, &err);
    if (st == CKIT_OK && keeper->ring != NULL) {
        ckit_buf sealed = CKIT_BUF_INIT;
        st = run_secret_seal(keeper->ring, keeper->name, ckit_buf_slice(&stored), &sealed, &err);
        ckit_buf_fini(&stored);
        stored = sealed;
    }
    if (st == CKIT_OK) {
        st = run_lease_set(&keeper->lease, &keeper->store, ckit_buf_slice(&keeper->key), ckit_buf_slice(&stored), &info,
                           &err);
    }
    ckit_buf_fini(&stored);
    if (st != CKIT_OK && st != CKIT_MISS) {
        complain(keeper, "the output could not be stored", &err);
    }
    return st == CKIT_OK;
}

/* What stands in the store now, if it is an answer. */
static bool read_answer(run_keeper *keeper, run_answer *answer) {
    *answer = (run_answer)RUN_ANSWER_INIT;
    return is_there(keeper) && read_entry(keeper, answer, NULL) == CKIT_OK && answer->has_output;
}

/* Puts the next refresh of an answer off; without one, tells those who are waiting that there will be none
 * (`waiters`). */
static void note_failure(run_keeper *keeper, int status, bool waiters) {
    run_answer answer;
    int64_t    now = cli_wall_ms();
    uint64_t   life = WAITERS_LIFE_MS;
    if (read_answer(keeper, &answer) && answer.status == 0 && run_answer_life(&answer, now) > 0) {
        life = run_answer_life(&answer, now);
        answer.failures++;
        waiters = true;
    } else {
        run_answer_fini(&answer);
        answer = (run_answer){.created_ms = now, .ttl_ms = WAITERS_LIFE_MS, .failures = 1};
    }
    answer.failed_status = status;
    answer.failed_ms = now;
    answer.retry_ms = now + (int64_t)run_backoff_ms(answer.failures);
    if (waiters) {
        (void)put(keeper, &answer, life);
    }
    run_answer_fini(&answer);
}

/* Is there an older answer that is better than a failure? */
static bool has_success(run_keeper *keeper) {
    run_limits limits = limits_of(keeper);
    run_answer answer;
    bool       there = read_answer(keeper, &answer) && answer.status == 0 &&
                 run_answer_freshness(&answer, &limits, cli_wall_ms()) <= RUN_STALE;
    run_answer_fini(&answer);
    return there;
}

/* Has somebody else stored an answer since this call began? It may know something newer. */
static bool was_overtaken(run_keeper *keeper) {
    run_limits limits = limits_of(keeper);
    run_answer answer;
    bool overtaken = read_answer(keeper, &answer) && answer.created_ms >= keeper->started_ms && answer.status == 0 &&
                     run_answer_freshness(&answer, &limits, cli_wall_ms()) != RUN_FUTURE;
    run_answer_fini(&answer);
    return overtaken;
}

static bool store_output(run_keeper *keeper, run_result *result, uint64_t ttl_ms, uint64_t stale_ms) {
    run_answer answer = {.status = result->status,
                         .created_ms = cli_wall_ms(),
                         .ttl_ms = ttl_ms,
                         .stale_ms = ttl_ms == CKIT_TTL_NO_EXPIRY ? 0 : stale_ms,
                         .has_output = true,
                         .output = result->output};
    return (keeper->options->force || !was_overtaken(keeper)) &&
           put(keeper, &answer, run_answer_life(&answer, answer.created_ms));
}

bool run_keeper_store(run_keeper *keeper, run_result *result, bool background) {
    const run_options *options = keeper->options;
    char               size[CLI_UNITS_TEXT];
    if (result->too_large && !keeper->warned && options->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        if (result->no_memory) {
            cli_warn("no memory for the output: not stored");
        } else {
            cli_warn("the output is larger than --max-output (%s): not stored",
                     cli_size_text(options->max_output, size));
        }
        keeper->warned = true;
    }
    if (!keeper->usable || result->interrupted) {
        return false;
    }
    if (result->started && !result->crashed && !result->too_large) {
        if (result->status == 0) {
            return store_output(keeper, result, options->ttl_ms, options->stale_ms);
        }
        if (options->failures_ms > 0 && !has_success(keeper)) {
            return store_output(keeper, result, options->failures_ms, 0);
        }
    }
    note_failure(keeper, result->status, !background && result->started && !result->crashed);
    return false;
}
