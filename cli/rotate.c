#include "run/secret.h"
#include "support/listing.h"
#include "support/output.h"

#include <cachekit/buf.h>
#include <cachekit/rotate.h>
#include <inttypes.h>

typedef struct rotate_options {
    const char *namespace_name;
    const char *function;
    uint64_t    rate;
    bool        dry_run;
} rotate_options;

/* ---- the work ------------------------------------------------------------------------------------------------ */

static ckit_status go_on(void *context, const ckit_rotation *so_far) {
    (void)context;
    cli_progress("%" PRIu64 " looked at, %" PRIu64 " sealed anew", so_far->seen, so_far->resealed);
    return cli_interrupted() != 0 ? CKIT_PENDING : CKIT_OK;
}

static int open_ring(ckit_keyring **ring, char deployment[CKIT_DEPLOYMENT_TEXT]) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = run_secret_ring(ring, deployment, &err);
    if (st == CKIT_MISS) {
        cli_error("there is no master key: set CACHEKIT_MASTER_KEY to the new one and CACHEKIT_PREVIOUS_MASTER_KEYS to "
                  "those before it, or CACHEKIT_MASTER_KEY_FILE (%s)",
                  ckit_status_code(CKIT_E_NO_MASTER_KEY));
        return CLI_USAGE;
    }
    return st == CKIT_OK ? CLI_DONE : cli_call_failed(st, &err);
}

static int rotate(const cli_store *store, const cli_selection *selection, const rotate_options *o, ckit_rotation *did) {
    ckit_rotation_options options = CKIT_ROTATION_OPTIONS_INIT;
    ckit_keyring         *ring = NULL;
    char                  deployment[CKIT_DEPLOYMENT_TEXT];
    ckit_error            err = CKIT_ERROR_INIT;
    int                   code = open_ring(&ring, deployment);
    if (code != CLI_DONE) {
        return code;
    }
    options.scope = selection->scope;
    options.key_prefix = ckit_buf_slice(&store->prefix);
    options.deployment_id = deployment;
    options.max_per_second = o->rate == 0 ? CKIT_ROTATE_UNPACED : o->rate;
    options.dry_run = o->dry_run;
    options.progress = go_on;
    cli_catch_interrupts();
    ckit_status st = ckit_rotate(store->backend, ring, &options, did, &err);
    cli_progress_end();
    ckit_keyring_close(ring);
    return cli_interrupted() != 0                    ? 128 + cli_interrupted()
           : st != CKIT_OK                           ? cli_call_failed(st, &err)
           : did->previous_needed > 0 && !o->dry_run ? CLI_FAILED
                                                     : CLI_DONE;
}

/* ---- telling -------------------------------------------------------------------------------------------------- */

/* What was looked at is all that this view of the store shows. */
static bool is_whole(const cli_store *store, const cli_selection *selection) {
    return selection->scope.kind == CKIT_SCOPE_ALL && store->prefix.len == 0;
}

static bool is_complete(int code) { return code == CLI_DONE || code == CLI_FAILED; }

static void tell_json(const rotate_options *o, const ckit_rotation *did, int code, bool whole) {
    const struct {
        const char *name;
        uint64_t    value;
    } counts[] = {{"entries", did->seen},
                  {"resealed", did->resealed},
                  {"current", did->current},
                  {"clear", did->clear},
                  {"damaged", did->damaged},
                  {"unknown_key", did->unknown_key},
                  {"overtaken", did->overtaken},
                  {"failed", did->failed},
                  {"gone", did->gone},
                  {"unindexed", did->nameless},
                  {"previous_needed", did->previous_needed}};
    json_object *answer = cli_json_object();
    cli_json_add(answer, "dry_run", cli_json_bool(o->dry_run));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        cli_json_add(answer, counts[i].name, cli_json_uint(counts[i].value));
    }
    cli_json_add(answer, "retire_previous", cli_json_bool(whole && is_complete(code) && did->previous_needed == 0));
    cli_json_add(answer, "complete", cli_json_bool(is_complete(code)));
    cli_print_json(answer);
}

static void tell_text(const rotate_options *o, const ckit_rotation *did, int code, bool whole) {
    char count[CLI_COUNT_TEXT];
    cli_print("%s %s anew; %" PRIu64 " had the current key, %" PRIu64 " %s in the clear%s\n",
              o->dry_run ? "would seal" : "sealed", cli_entries_text(did->resealed, count), did->current, did->clear,
              did->clear == 1 ? "is" : "are", code > 128 ? "; then interrupted" : "");
    if (!is_complete(code)) {
        cli_print("previous keys are still needed: run it again\n");
    } else if (did->previous_needed > 0) {
        cli_print("previous keys may still be needed, for %s\n", cli_entries_text(did->previous_needed, count));
    } else {
        cli_print("no entry %s needs a previous key%s\n", whole ? "of this store" : "of those looked at",
                  did->unknown_key > 0 ? " that is given here" : "");
    }
}

static void warn(uint64_t count, const char *what) {
    char text[CLI_COUNT_TEXT];
    if (count > 0) {
        cli_warn("%s %s", cli_entries_text(count, text), what);
    }
}

static void warn_about_stayers(const ckit_rotation *did) {
    warn(did->unknown_key,
         "stayed: sealed with a key that is not given here; if it is a former one of yours, give it too "
         "(CACHEKIT_PREVIOUS_MASTER_KEYS) and run it again");
    warn(did->damaged, "stayed: damaged, the keys given here do not open what they should");
    warn(did->overtaken, "stayed: written again each time meanwhile; run it again");
    warn(did->nameless,
         "stayed: the store does not know their keys (another program wrote them), so nothing here opens them");
    warn(did->failed, "stayed: the store failed");
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static int run(const cli_common *common, const void *given, char **operands, int count) {
    const rotate_options *o = given;
    cli_selection         selection;
    cli_store             store;
    ckit_rotation         did = CKIT_ROTATION_INIT;
    (void)operands, (void)count;
    int code = cli_select_in(&store, &selection, common, o->namespace_name, o->function);
    if (code == CLI_DONE) {
        bool whole = is_whole(&store, &selection);
        code = rotate(&store, &selection, o, &did);
        if (code != CLI_USAGE && common->json) {
            tell_json(o, &did, code, whole);
        } else if (code != CLI_USAGE) {
            tell_text(o, &did, code, whole);
        }
        warn_about_stayers(&did);
    }
    cli_leave(&store, &selection);
    return code;
}

static void defaults(void *given) { ((rotate_options *)given)->rate = CKIT_ROTATE_PER_SECOND; }

static const cli_option options[] = {
    {"namespace", 'n', CLI_TEXT, "NAME", "only the entries of one namespace", CLI_FIELD(rotate_options, namespace_name),
     NULL},
    {"function", 'f', CLI_TEXT, "NAME",
     "only the results of one function; without --namespace those that belong to no namespace",
     CLI_FIELD(rotate_options, function), NULL},
    {"rate", 0, CLI_COUNT, "COUNT", "look at no more entries in a second than this; 0 for no limit [1000]",
     CLI_FIELD(rotate_options, rate), NULL},
    {"dry-run", 0, CLI_FLAG, NULL, "count what would be sealed anew, and change nothing",
     CLI_FIELD(rotate_options, dry_run), NULL},
};

static const cli_exit_row exits[] = {
    {"0", "done, and no entry that was looked at needs a previous key any more; with --dry-run: done"},
    {"2", "wrong usage, or no master key or a wrong one; nothing was done"},
    {"4", "done, and some entries may still need a previous key; or anything else"},
    {"130", "ended by Ctrl-C, between two entries; what was done stays done, and another run does the rest"},
    {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit keygen --output keys && CACHEKIT_MASTER_KEY_FILE=keys cachekit rotate --dry-run",
     "counts what former keys, which stand below the new one in the file, have sealed"},
    {"CACHEKIT_MASTER_KEY_FILE=keys cachekit rotate && echo \"the former keys may go\"", "seals it with the new key"},
    {NULL, NULL}};

const cli_command cli_rotate_command = {
    .name = "rotate",
    .summary = "seal encrypted entries anew with the current key",
    .description =
        "Opens each encrypted entry of the store with whichever of the keys has sealed it, and seals it with the "
        "current "
        "one. Then the previous keys are no longer needed before the entries have ended by themselves. First give "
        "every program the new key as CACHEKIT_MASTER_KEY and the old one in CACHEKIT_PREVIOUS_MASTER_KEYS (or both in "
        "the file of CACHEKIT_MASTER_KEY_FILE): who goes on sealing with the old key alone makes more such entries. "
        "Without "
        "these variables the keys of `run` are taken.\n\n"
        "Programs may work meanwhile. An entry keeps its key, its remaining lifetime, its tenant and its owner, and a "
        "value that somebody writes in between is never overwritten. Entries that were stored in the clear, that no "
        "key "
        "here opens, or that are damaged stay as they are, and are counted. What is sealed bare (interop mode, `set "
        "--as raw`) and opened by no key here cannot be told "
        "from values in the clear, and counts as such. A copy that outlives its entry (KEY:stale) "
        "is "
        "sealed anew like any other. Answers of `run` are found under names that the current key makes, so after a new "
        "key "
        "commands run once more, whether rotated or not.\n\n"
        "It may end at any point: another run does the rest, and two at once do no harm. --rate keeps the store free "
        "for "
        "others. --namespace, --function and --tenant narrow down what is looked at; on a Redis server that the "
        "environment selects, that is one tenant's entries in any case.\n\n"
        "It prints what it did, and whether previous keys are still needed. --json prints one object: dry_run, entries "
        "(looked at), resealed, current (had the current key), clear, damaged, unknown_key, overtaken (written again "
        "each "
        "time), failed, gone, unindexed (keys that the store does not know), previous_needed (entries that may still "
        "need a previous key), retire_previous (true: none of this store does), complete (false after a failure or an "
        "interrupt).",
    CLI_OPTIONS(options, rotate_options),
    .examples = examples,
    .defaults = defaults,
    .exits = exits,
    .run = run,
};
