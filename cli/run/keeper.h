/* keeper.h - the stored answer of one call: looked up, judged, replaced, its failures noted. Trouble with the store is
 * said once and never stops the command. */
#ifndef CKIT_CLI_RUN_KEEPER_H
#define CKIT_CLI_RUN_KEEPER_H

#include "run/answer.h"
#include "run/call.h"
#include "run/capture.h"
#include "run/lease.h"
#include "support/store.h"

typedef struct run_keeper {
    const run_options *options;
    char *const       *argv; /* for the record */
    cli_store          store;
    ckit_buf           key;    /* with the tenant's prefix */
    bool               usable; /* the store; false also when nothing is to be stored */
    bool               warned;
    bool               misused;    /* the store is unusable because --store or --tenant is wrong */
    int64_t            started_ms; /* when this call began, Unix time */
    run_lease          lease;
    ckit_keyring      *ring; /* what seals the answer, or NULL */
    ckit_slice         name; /* the key that is sealed with it: without the prefix */
} run_keeper;

typedef enum run_found {
    RUN_NOTHING,
    RUN_NOTE, /* no answer, but a failure was noted */
    RUN_OLD,  /* an answer past its life: only for those who were waiting when it came */
    RUN_SHOW, /* fresh */
    RUN_SHOW_STALE
} run_found;

/* Opens the store. Without one the keeper finds and stores nothing, after a warning. */
void run_keeper_open(run_keeper *keeper, const run_call *call, const cli_common *common);
void run_keeper_close(run_keeper *keeper);

/* The stored answer, with output when the answer is RUN_OLD, RUN_SHOW or RUN_SHOW_STALE; end it with run_answer_fini
 * always. */
run_found run_keeper_find(run_keeper *keeper, run_answer *answer);
/* The same, for looking again and again: an entry that is not there does not count as a miss of the store. */
run_found run_keeper_find_again(run_keeper *keeper, run_answer *answer);

/* Takes the key's lock without waiting. False when somebody else has it; true also when there are no locks to be had:
 * then the store is not usable any more, or has none. */
bool run_keeper_try_lock(run_keeper *keeper);
void run_keeper_unlock(run_keeper *keeper);

/* Stores the result of a run, or notes that it failed. `background`: nobody sees the failure, so the next refresh is
 * put off whatever the reason was. True when the answer was stored. */
bool run_keeper_store(run_keeper *keeper, run_result *result, bool background);

#endif
