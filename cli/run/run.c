/* run.c - `cachekit run`: a command's output, from the cache or from the command. */
#include "run/call.h"
#include "run/keeper.h"
#include "support/clock.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A time further away than any back-off was written by another clock. */
static bool is_due(const run_answer *answer, int64_t now) {
    return answer->retry_ms <= now || answer->retry_ms > now + (int64_t)run_backoff_ms(UINT64_MAX);
}

/* ---- in the background -------------------------------------------------------------------------------------- */

/* A process of its own, without anything that belongs to the caller but the working directory and the kept input. */
static void detach(run_call *call) {
    int nothing = open("/dev/null", O_RDWR);
    (void)setsid();
    (void)dup2(call->stdin_fd >= 0 ? call->stdin_fd : nothing, 0);
    (void)dup2(nothing, 1);
    (void)dup2(nothing, 2);
    (void)close_range(3, ~0U, 0);
    call->stdin_fd = call->stdin_fd >= 0 ? 0 : -1;
}

/* Has another process run it since this one was started, or may it not be tried yet? */
static bool is_settled(run_keeper *keeper, int64_t started) {
    run_answer answer;
    run_found  found = run_keeper_find(keeper, &answer);
    bool       settled = found == RUN_SHOW || (found == RUN_SHOW_STALE && answer.created_ms > started) ||
                   (found != RUN_NOTHING && answer.failed_ms > started) ||
                   (found == RUN_SHOW_STALE && !is_due(&answer, started));
    run_answer_fini(&answer);
    return settled;
}

static void run_in_background(run_call *call, const cli_common *common) {
    int64_t    started = cli_wall_ms();
    run_keeper keeper;
    detach(call);
    run_keeper_open(&keeper, call, common);
    if (!keeper.usable || !run_keeper_try_lock(&keeper) || !keeper.usable) {
        return; /* nobody would see the answer, or somebody else is making it */
    }
    if (call->options->warm || !is_settled(&keeper, started)) {
        run_capture_options options = {.argv = call->argv,
                                       .stdin_fd = call->stdin_fd,
                                       .tty = call->options->tty,
                                       .keep = true,
                                       .max_output = call->options->max_output,
                                       .tick = run_lease_renew,
                                       .context = &keeper.lease};
        run_result          result;
        run_capture(&options, &result);
        (void)run_keeper_store(&keeper, &result, true);
    }
    run_keeper_close(&keeper);
}

/* False when there is no process to be had. */
static bool start_background(run_call *call, const cli_common *common) {
    pid_t pid = fork();
    if (pid == 0) {
        run_in_background(call, common);
        _exit(0);
    }
    return pid > 0;
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static json_object *json_output(const run_output *output) {
    const run_piece *pieces = (const run_piece *)(const void *)output->pieces.ptr;
    const uint8_t   *at = output->bytes.ptr;
    json_object     *list = json_object_new_array();
    for (size_t i = 0; i < output->pieces.len / sizeof *pieces; at += pieces[i++].length) {
        json_object *piece = json_object_new_array();
        json_object_array_add(piece, json_object_new_string(pieces[i].stream == 1 ? "stdout" : "stderr"));
        json_object_array_add(piece, cli_json_bytes(ckit_slice_of(at, pieces[i].length)));
        json_object_array_add(list, piece);
    }
    return list;
}

/* `answer` NULL: the command has just run. */
static void print_json(const run_answer *answer, bool stale, int status, const run_output *output) {
    json_object *object = json_object_new_object();
    uint64_t     age_ms = answer == NULL ? 0 : run_answer_age_ms(answer, cli_wall_ms());
    json_object_object_add(object, "status", json_object_new_int(status));
    json_object_object_add(object, "source", json_object_new_string(answer == NULL ? "command" : "cache"));
    json_object_object_add(object, "stale", json_object_new_boolean(stale));
    json_object_object_add(object, "age", cli_json_life(age_ms));
    json_object_object_add(object, "output", output == NULL ? NULL : json_output(output));
    cli_print_json(object);
}

static void tell_age(const run_answer *answer, int64_t now) {
    char age[CLI_UNITS_TEXT], wait[CLI_UNITS_TEXT], reason[32] = "too much output";
    if (answer->failed_status != 0) {
        (void)snprintf(reason, sizeof reason, "exit code %d", answer->failed_status);
    }
    cli_warn("this answer is %s old: refreshing it failed (%s), next try in %s",
             cli_duration_text(run_answer_age_ms(answer, now), age), reason,
             cli_duration_text(answer->retry_ms > now ? (uint64_t)(answer->retry_ms - now) : 0, wait));
}

/* Nobody refreshes it now, and the store can be written: otherwise every call would start a process for nothing. */
static bool may_refresh(run_keeper *keeper) {
    bool locked = run_keeper_try_lock(keeper);
    run_keeper_unlock(keeper);
    return locked && keeper->usable;
}

static int show(run_call *call, const cli_common *common, run_keeper *keeper, const run_answer *answer, bool stale) {
    int64_t now = cli_wall_ms();
    if (stale && is_due(answer, now) && may_refresh(keeper)) {
        (void)start_background(call, common);
    }
    if (stale && answer->failures > 0) {
        tell_age(answer, now);
    }
    if (common->json) {
        print_json(answer, stale, answer->status, &answer->output);
        return answer->status;
    }
    return run_show(&answer->output) ? answer->status : CLI_RUN_FAILED;
}

/* ---- waiting for another run -------------------------------------------------------------------------------- */

static void sleep_ms(uint64_t ms) {
    struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

/* Between two looks: an eighth of what was waited so far, and a little that differs from process to process. */
static uint64_t pause_ms(uint64_t waited_ms) {
    uint64_t pause = waited_ms / 8;
    pause = pause < 2 ? 2 : pause > 250 ? 250 : pause;
    return pause + (uint64_t)(getpid() % 7) * pause / 16;
}

static bool is_shown(run_found found) { return found == RUN_SHOW || found == RUN_SHOW_STALE; }

/* Waits while another process runs the command. RUN_SHOW or RUN_SHOW_STALE: it has answered. Otherwise this process
 * runs the command: with the lock when it could be had, without when the other run brought no answer, so that failing
 * commands do not queue up one behind the other. */
static run_found wait_for_leader(run_keeper *keeper, run_answer *answer) {
    int64_t  started = cli_wall_ms();
    uint64_t waited = 0;
    char     text[CLI_UNITS_TEXT];
    while (!run_keeper_try_lock(keeper)) {
        uint64_t pause = pause_ms(waited);
        sleep_ms(pause);
        waited += pause;
        run_found found = run_keeper_find_again(keeper, answer);
        if (is_shown(found) || answer->failed_ms >= started) {
            cli_progress_end();
            return found;
        }
        if (found == RUN_OLD && answer->created_ms >= started) { /* its life is shorter than our pause was */
            cli_progress_end();
            return RUN_SHOW;
        }
        run_answer_fini(answer);
        if (waited > 500) {
            cli_progress("waiting for another run of this command: %s", cli_duration_text(waited, text));
        }
    }
    cli_progress_end();
    /* It may have answered between our last look and the end of its lock. */
    run_found found = keeper->lease.held ? run_keeper_find_again(keeper, answer) : RUN_NOTHING;
    if (found == RUN_OLD && answer->created_ms >= started) {
        found = RUN_SHOW;
    }
    if (is_shown(found)) {
        run_keeper_unlock(keeper);
    }
    return found;
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static int run_command(const run_call *call, const cli_common *common, run_keeper *keeper) {
    const run_options  *options = call->options;
    run_capture_options capture = {.argv = call->argv,
                                   .stdin_fd = call->stdin_fd,
                                   .tty = options->tty,
                                   .show = !common->json,
                                   .keep = keeper->usable || common->json,
                                   .max_output = options->max_output,
                                   .tick = run_lease_renew,
                                   .context = &keeper->lease};
    run_result          result;
    run_capture(&capture, &result);
    (void)run_keeper_store(keeper, &result, false);
    if (common->json && result.started) {
        print_json(NULL, false, result.status, result.too_large ? NULL : &result.output);
    }
    run_output_fini(&result.output);
    return result.status;
}

static int answer_call(run_call *call, const cli_common *common, run_keeper *keeper) {
    run_answer answer = RUN_ANSWER_INIT;
    run_found  found = RUN_NOTHING;
    if (call->options->force) {
        (void)run_keeper_try_lock(keeper);
    } else {
        found = run_keeper_find(keeper, &answer);
    }
    if (!call->options->force && !is_shown(found)) {
        run_answer_fini(&answer);
        found = wait_for_leader(keeper, &answer);
    }
    int code = is_shown(found) ? show(call, common, keeper, &answer, found == RUN_SHOW_STALE)
                               : run_command(call, common, keeper);
    run_answer_fini(&answer);
    return code;
}

/* Also where no store can be opened: the name is known all the same. */
static int print_key(const run_call *call, const run_keeper *keeper) {
    if (call->unsealed.status != CKIT_OK) {
        return cli_failed(&call->unsealed);
    }
    cli_write(ckit_buf_slice(keeper->key.len > 0 ? &keeper->key : &call->key));
    cli_print("\n");
    return CLI_DONE;
}

/* What cannot be stored need not run. */
static int warm(run_call *call, const cli_common *common, const run_keeper *keeper) {
    if (keeper->usable && start_background(call, common)) {
        return CLI_DONE;
    }
    if (keeper->usable) {
        cli_error("no process for the background: %s", strerror(errno));
    }
    return CLI_RUN_FAILED;
}

static int check(const cli_common *common, const run_options *options, int count) {
    if (count == 0) {
        cli_error("there is no command to run: cachekit run [OPTION]... -- COMMAND [ARG]...");
    } else if (options->force && options->warm) {
        cli_error("--force and --warm exclude each other: --warm runs the command anew as well, in the background");
    } else if (!ckit_utf8_valid(ckit_slice_str(options->namespace_name)) || options->namespace_name[0] == '\0') {
        cli_error("--namespace must be a name in UTF-8");
    } else if (strpbrk(options->namespace_name, " \r\n") != NULL) {
        cli_error("--namespace \"%s\" holds a space or a line end, which keys cannot tell from \"_\"",
                  options->namespace_name);
    } else if (options->stale_ms != 0 &&
               (options->ttl_ms == CKIT_TTL_NO_EXPIRY || options->ttl_ms == CKIT_TTL_DO_NOT_STORE)) {
        cli_error("--stale needs a --ttl that ends");
    } else if (options->warm && (options->ttl_ms == CKIT_TTL_DO_NOT_STORE || common->json)) {
        cli_error("--warm prints nothing and only stores: not with --%s", common->json ? "json" : "ttl 0");
    } else if (common->store != NULL && strncasecmp(common->store, "memory:", 7) == 0) {
        cli_error("--store %s ends with this process: choose files, e.g. file:///var/cache/commands", common->store);
    } else {
        return CLI_DONE;
    }
    return CLI_RUN_FAILED;
}

static int run(const cli_common *common, const void *given, char **operands, int count) {
    const run_options *options = given;
    run_call           call;
    run_keeper         keeper;
    ckit_error         err = CKIT_ERROR_INIT;
    int                code = check(common, options, count);
    if (code != CLI_DONE) {
        return code;
    }
    ckit_status st = run_call_open(&call, options, operands, &err);
    if (st != CKIT_OK) {
        (void)cli_failed(&err);
        code = CLI_RUN_FAILED;
    } else {
        run_keeper_open(&keeper, &call, common);
        code = keeper.misused      ? CLI_RUN_FAILED
               : options->show_key ? print_key(&call, &keeper)
               : options->warm     ? warm(&call, common, &keeper)
                                   : answer_call(&call, common, &keeper);
        run_keeper_close(&keeper);
    }
    run_call_close(&call);
    return code;
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static void set_defaults(void *given) {
    run_options *options = given;
    options->ttl_ms = 3600000;
    options->namespace_name = "run";
    options->max_output = UINT64_C(20) << 20;
}

static const cli_option options[] = {
    {"ttl", 't', CLI_LIFETIME, "DURATION", "how long an answer is fresh; none: for ever; 0: do not store [1h]",
     CLI_FIELD(run_options, ttl_ms), NULL},
    {"stale", 's', CLI_DURATION, "DURATION",
     "how long after that it is still shown, while a run in the background replaces it [0]",
     CLI_FIELD(run_options, stale_ms), NULL},
    {"namespace", 'n', CLI_TEXT, "NAME", "the group of entries it belongs to, for ls and invalidate [run]",
     CLI_FIELD(run_options, namespace_name), NULL},
    {"scope", 0, CLI_TEXT, "TEXT", "keep answers apart from those of other scopes", CLI_FIELD(run_options, scope),
     NULL},
    {"env", 'e', CLI_LIST, "NAME", "the value of this environment variable counts; may be repeated",
     CLI_FIELD(run_options, env), NULL},
    {"cwd", 0, CLI_FLAG, NULL, "the working directory counts", CLI_FIELD(run_options, cwd), NULL},
    {"modtime", 'm', CLI_LIST, "FILE", "size and modification time of this file count; may be repeated",
     CLI_FIELD(run_options, modtime), NULL},
    {"depends", 'd', CLI_LIST, "FILE", "the content of this file counts; may be repeated",
     CLI_FIELD(run_options, depends), NULL},
    {"stdin", 'i', CLI_FLAG, NULL, "read standard input to its end, hand it to the command; its content counts",
     CLI_FIELD(run_options, with_stdin), NULL},
    {"force", 'f', CLI_FLAG, NULL, "run the command now and store its answer anew", CLI_FIELD(run_options, force),
     NULL},
    {"warm", 0, CLI_FLAG, NULL, "run the command in the background, store its answer, print nothing",
     CLI_FIELD(run_options, warm), NULL},
    {"cache-failures", 0, CLI_DURATION, "DURATION",
     "store answers with another exit code than 0 too, this long [0: not]", CLI_FIELD(run_options, failures_ms), NULL},
    {"max-output", 0, CLI_SIZE, "SIZE", "more output than this is shown and not stored [20M]",
     CLI_FIELD(run_options, max_output), NULL},
    {"key", 0, CLI_FLAG, NULL, "print the key of the entry and run nothing: for `inspect`, `delete`, `ttl`",
     CLI_FIELD(run_options, show_key), NULL},
    {"plain", 0, CLI_FLAG, NULL, "store the answer in the clear; by default it is encrypted, and so is its name",
     CLI_FIELD(run_options, plain), NULL},
    {"tty", 0, CLI_FLAG, NULL, "let the command write to a terminal (a pseudo-terminal): it keeps its colours",
     CLI_FIELD(run_options, tty), NULL},
};

static const cli_example examples[] = {
    {"cachekit run --ttl 1h -- date +%T", "runs `date` once an hour; the other calls show what it said"},
    {"cachekit run --ttl 5m --stale 1h -- uname -a",
     "answers at once for an hour; what is older than five minutes is replaced in the background"},
    {"cachekit run --depends /etc/hosts -- sort /etc/hosts", "runs again when the file has changed"},
    {"printf 'b\\na\\n' | cachekit run --stdin -- sort", "one answer per input"},
    {"cachekit run --cache-failures 10s -- test -e /nowhere || echo \"code $?\"",
     "remembers for ten seconds that it failed"},
    {NULL, NULL}};

const cli_command cli_run_command = {
    .name = "run",
    .operands = "-- COMMAND [ARG]...",
    .summary = "run a command once, then show its output from the cache",
    .description =
        "Runs COMMAND and stores what it wrote to standard output and standard error, in order, together with its exit "
        "code. Later calls with the same arguments show all of it again without running COMMAND, until --ttl has "
        "passed.\n\n"
        "What counts: the words of COMMAND byte for byte, --scope, --tty, and what --env, --cwd, --modtime, --depends "
        "and "
        "--stdin name. A file or variable that does not exist counts as that. Nothing else does: two directories or "
        "two "
        "environments share an answer unless you say otherwise. --ttl and --stale do not count; of the lifetimes an "
        "answer "
        "was stored with and those of the call, the shorter ones hold.\n\n"
        "Only exit code 0 is stored, unless --cache-failures says otherwise. Between --ttl and --ttl plus --stale an "
        "answer is shown at once and replaced in the background, by one process per key. When that fails, the answer "
        "stays, "
        "one line on standard error tells how old it is, and the next try waits 30 seconds, doubled each time up to 15 "
        "minutes.\n\n"
        "Output is shown while the command runs. Calls that come meanwhile wait and share the answer; if there is "
        "none, "
        "because the command failed, each runs it for itself. The run ends when the command has ended and its output "
        "is "
        "closed, so a process that the command leaves behind with its output open is waited for.\n\n"
        "The command reads /dev/null unless --stdin is given. It gets SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and "
        "SIGUSR2 that are sent to cachekit; an interrupted run stores nothing. Variables CACHEKIT_... that hold keys, "
        "passwords or URLs are not passed on.\n\n"
        "Entries are files that only you can read, under $XDG_CACHE_HOME/cachekit or ~/.cache/cachekit, or in --store. "
        "No "
        "other variable chooses the store, so that output never goes to a server by accident. Trouble with the store "
        "is "
        "one warning: the command runs all the same.\n\n"
        "Answers are encrypted, and the hash in their names is made with the key too, so that who reads the store "
        "learns "
        "neither what a command said nor which one it was. The key is that of CACHEKIT_MASTER_KEY or "
        "CACHEKIT_MASTER_KEY_FILE, else one of your own in $XDG_CONFIG_HOME/cachekit/run.key (~/.config without the "
        "variable), which is made when it is not there and which only you can read. With another key answers are not "
        "found: commands run again. --plain stores in the clear.\n\n"
        "The exit code is the command's: 128 + N when signal N ended it, 127 when it was not found, 126 when it could "
        "not "
        "be executed; 125 for wrong usage and for failures of cachekit itself. With --json the answer is one object: "
        "status, source (\"command\" or \"cache\"), stale, age in seconds, and output as a list of [stream, text] in "
        "order (null when it is larger than --max-output).",
    CLI_OPTIONS(options, run_options),
    .examples = examples,
    .traits = CLI_STOPS_EARLY,
    .store_default = "your own files",
    .usage_exit = CLI_RUN_FAILED,
    .defaults = set_defaults,
    .run = run,
};
