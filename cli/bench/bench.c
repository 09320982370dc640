#include "bench/load.h"
#include "bench/place.h"
#include "bench/report.h"
#include "command.h"
#include "support/output.h"
#include "support/shown_url.h"
#include "support/units.h"

#include <stdlib.h>
#include <string.h>

#define NOT_GIVEN UINT64_MAX
#define DEFAULT_SECONDS 5
#define DEFAULT_GET 95.0
#define DEFAULT_KEYS 100000
#define DEFAULT_SKEW 0.99
#define KEYS_MAX 100000000
#define SKEW_MAX 10.0
#define THREADS_MAX 1024
#define VALUES_MAX (UINT64_C(1) << 30) /* of all threads together */
#define L1_MIN 65536

typedef struct bench_options {
    const char *seconds;
    uint64_t    operations;
    uint64_t    threads;
    double      get; /* negative = not given, like `zipf` */
    uint64_t    keys;
    const char *value_size;
    double      zipf;
    const char *l1;
    uint64_t    l1_size;
    const char *trace;
    const char *format;
    uint64_t    seed;
    bool        keep;
} bench_options;

static void defaults(void *given) {
    bench_options *o = given;
    *o = (bench_options){.operations = NOT_GIVEN,
                         .threads = 1,
                         .get = -1,
                         .keys = NOT_GIVEN,
                         .value_size = "64",
                         .zipf = -1,
                         .l1_size = NOT_GIVEN,
                         .seed = 1};
}

/* ---- checking ----------------------------------------------------------------------------------------------- */

static bool parse_value_size(const char *text, uint64_t *least, uint64_t *most) {
    char        first[32];
    const char *dash = strchr(text, '-');
    size_t      length = dash == NULL ? strlen(text) : (size_t)(dash - text);
    if (length >= sizeof first) {
        return false;
    }
    memcpy(first, text, length);
    first[length] = '\0';
    if (!cli_size_parse(first, least)) {
        return false;
    }
    *most = *least;
    return dash == NULL || (cli_size_parse(dash + 1, most) && *least <= *most);
}

static bool check_values(const bench_options *o, cli_load_plan *plan) {
    if (!parse_value_size(o->value_size, &plan->value_min, &plan->value_max)) {
        cli_error("--value-size \"%s\" is neither a size nor a range: write e.g. 64, 4K or 64-4K", o->value_size);
        return false;
    }
    if (plan->value_max > VALUES_MAX / plan->threads) {
        cli_error("--value-size times --threads is more than 1G of memory: lower one of them");
        return false;
    }
    return true;
}

static bool check_length(const bench_options *o, cli_load_plan *plan) {
    uint64_t number;
    plan->operations = o->operations == NOT_GIVEN ? CLI_LOAD_UNBOUNDED : o->operations;
    plan->duration_ms = CLI_LOAD_UNBOUNDED;
    if (o->seconds != NULL && o->operations != NOT_GIVEN) {
        cli_error("--seconds and --operations exclude each other: give one");
        return false;
    }
    if (o->operations == 0) {
        cli_error("--operations is 0: it must be at least 1");
        return false;
    }
    if (o->seconds != NULL) {
        if (cli_count_parse(o->seconds, &number) && number <= CKIT_TTL_MAX_MS / 1000) {
            plan->duration_ms = number * 1000;
        } else if (!cli_duration_parse(o->seconds, &plan->duration_ms)) {
            cli_error(cli_duration_is_too_long(o->seconds) || cli_count_parse(o->seconds, &number)
                          ? "--seconds \"%s\" is too long: at most " CLI_DURATION_MOST
                          : "--seconds \"%s\" is no duration: write e.g. 10, " CLI_DURATION_FORMS,
                      o->seconds);
            return false;
        }
        if (plan->duration_ms == 0) {
            cli_error("--seconds is 0: it must be longer");
            return false;
        }
    } else if (o->operations == NOT_GIVEN && o->trace == NULL) {
        plan->duration_ms = UINT64_C(1000) * DEFAULT_SECONDS;
    }
    return true;
}

/* A trace brings what these choose. */
static bool check_trace(const bench_options *o) {
    const char *wrong = o->keys != NOT_GIVEN ? "keys" : o->get >= 0 ? "get" : o->zipf >= 0 ? "zipf" : NULL;
    if (o->trace == NULL && o->format != NULL) {
        cli_error("--format says how a trace is read: give --trace FILE");
        return false;
    }
    if (o->trace != NULL && wrong != NULL) {
        cli_error("--trace brings its own keys and reads them all: leave out --%s", wrong);
        return false;
    }
    return true;
}

static bool check_numbers(const bench_options *o) {
    if (o->threads < 1 || o->threads > THREADS_MAX) {
        cli_error("--threads is %llu: it must be 1 to %d", (unsigned long long)o->threads, THREADS_MAX);
    } else if (o->get > 100) {
        cli_error("--get is %g: it is a percentage, 0 to 100", o->get);
    } else if (o->keys != NOT_GIVEN && (o->keys < 1 || o->keys > KEYS_MAX)) {
        cli_error("--keys is %llu: it must be 1 to %d", (unsigned long long)o->keys, KEYS_MAX);
    } else if (o->zipf > SKEW_MAX) {
        cli_error("--zipf is %g: it must be 0 to %g", o->zipf, SKEW_MAX);
    } else if (o->l1_size != NOT_GIVEN && o->l1_size < L1_MIN) {
        cli_error("--l1-size is %llu: it must be at least 64K", (unsigned long long)o->l1_size);
    } else if (o->l1_size != NOT_GIVEN && o->l1 != NULL && strcmp(o->l1, "off") == 0) {
        cli_error("--l1-size with --l1 off: leave one of them out");
    } else {
        return true;
    }
    return false;
}

static bool make_plan(const cli_common *common, const bench_options *o, cli_load_plan *plan, cli_bench_facts *facts) {
    if (!check_numbers(o) || !check_trace(o)) {
        return false;
    }
    if (o->keep && common->store == NULL) {
        cli_error("--keep is for entries in a store of yours: give --store URL");
        return false;
    }
    facts->trace = o->trace;
    plan->threads = (unsigned)o->threads;
    plan->get_share = (o->get < 0 ? DEFAULT_GET : o->get) / 100;
    plan->seed = o->seed;
    cli_zipf_init(&plan->keys, o->keys == NOT_GIVEN ? DEFAULT_KEYS : o->keys, o->zipf < 0 ? DEFAULT_SKEW : o->zipf);
    return check_values(o, plan) && check_length(o, plan);
}

/* ---- running ------------------------------------------------------------------------------------------------ */

static int open_place(cli_bench_place *place, const cli_common *common, const bench_options *o) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    bool               is_off = o->l1 != NULL && strcmp(o->l1, "off") == 0;
    options.l1 = o->l1 == NULL ? CKIT_DEFAULT : is_off ? CKIT_OFF : CKIT_ON;
    options.l1_max_bytes = o->l1_size == NOT_GIVEN ? 0 : o->l1_size;
    options.max_key_bytes = sizeof CLI_LOAD_PREFIX + CLI_TRACE_KEY_MAX;
    int code = cli_bench_place_open(place, common->store, &options);
    if (code == CLI_DONE && is_off && ckit_cache_backend(place->cache) == NULL) {
        cli_error("this is memory alone, and --l1 off leaves nothing of it: leave out --l1 off");
        code = CLI_USAGE;
    }
    return code;
}

static bool open_trace(const bench_options *o, cli_load_plan *plan) {
    cli_trace_format format = o->format == NULL || strcmp(o->format, "keys") == 0 ? CLI_TRACE_KEYS
                              : strcmp(o->format, "u32") == 0                     ? CLI_TRACE_U32
                                                                                  : CLI_TRACE_U64;
    if (o->trace != NULL) {
        plan->trace = cli_trace_open(o->trace, format, plan->operations);
    }
    return o->trace == NULL || plan->trace != NULL;
}

/* The exit code of a run that was made. */
static int judge(const cli_load_plan *plan, const cli_load_result *result) {
    uint64_t    errors = result->get_errors + result->set_errors;
    const char *wrong = plan->trace == NULL ? NULL : cli_trace_failure(plan->trace);
    if (cli_interrupted() != 0) {
        return 128 + cli_interrupted();
    }
    if (wrong != NULL || (plan->trace != NULL && result->operations == 0)) {
        cli_error("%s", wrong != NULL ? wrong : "the trace is empty");
        return CLI_FAILED;
    }
    if (result->wrong_values > 0) {
        cli_error("%llu values were not those of their keys", (unsigned long long)result->wrong_values);
        return CLI_FAILED;
    }
    if (errors > 0) {
        cli_error("%llu operations failed; the first one:", (unsigned long long)errors);
        return cli_failed(&result->first_error);
    }
    return CLI_DONE;
}

static bool is_empty(const ckit_backend *backend) {
    ckit_health health = {.entries = 0};
    if (backend != NULL) {
        ckit_backend_operations(backend)->health(ckit_backend_self(backend), CKIT_NO_DEADLINE, &health);
    }
    return health.entries == 0;
}

static int run_load(const cli_common *common, const bench_options *o, cli_load_plan *plan, cli_bench_facts *facts,
                    cli_load_result *result) {
    cli_bench_place place;
    int             code = open_place(&place, common, o);
    if (code == CLI_DONE) {
        const ckit_backend *backend = ckit_cache_backend(place.cache);
        /* Names of backends are constants. */
        facts->backend = backend == NULL ? "memory" : ckit_backend_operations(backend)->name;
        static char shown[CLI_SHOWN_URL];
        facts->store = cli_url_shown(common->store, shown);
        facts->was_empty = is_empty(backend);
        facts->is_private = place.directory != NULL;
        plan->cache = place.cache;
        code = cli_load_run(plan, result);
        facts->interrupted = cli_interrupted() != 0;
    }
    /* First of all: a closed pipe behind standard output ends the tool. */
    cli_bench_place_close(&place, o->keep);
    return code;
}

static int run(const cli_common *common, const void *given, char **operands, int count) {
    (void)operands, (void)count;
    const bench_options *o = given;
    cli_load_plan        plan = {.cache = NULL};
    cli_bench_facts      facts = {.backend = NULL};
    if (!make_plan(common, o, &plan, &facts)) {
        return CLI_USAGE;
    }
    cli_load_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        return cli_no_memory();
    }
    cli_catch_interrupts();
    int code = open_trace(o, &plan) ? CLI_DONE : CLI_FAILED;
    if (code == CLI_DONE) {
        code = run_load(common, o, &plan, &facts, result);
    }
    if (code == CLI_DONE) {
        (common->json ? cli_bench_report_json : cli_bench_report)(&plan, result, &facts);
        code = judge(&plan, result);
    }
    cli_trace_close(plan.trace);
    free(result);
    return code;
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static const char *const switches[] = {"on", "off", NULL};
static const char *const formats[] = {"keys", "u32", "u64", NULL};

static const cli_option options[] = {
    {"seconds", 0, CLI_TEXT, "DURATION", "how long, e.g. 10, 90s, 15m [5; with --trace to its end]",
     CLI_FIELD(bench_options, seconds), NULL},
    {"operations", 0, CLI_COUNT, "N", "end after so many operations, of all threads together",
     CLI_FIELD(bench_options, operations), NULL},
    {"threads", 0, CLI_COUNT, "N", "threads that work at once, 1 to 1024 [1]", CLI_FIELD(bench_options, threads), NULL},
    {"get", 0, CLI_NUMBER, "PERCENT", "share of gets; the rest are sets [95]", CLI_FIELD(bench_options, get), NULL},
    {"keys", 0, CLI_COUNT, "N", "how many keys there are, 1 to 100000000 [100000]", CLI_FIELD(bench_options, keys),
     NULL},
    {"value-size", 0, CLI_TEXT, "SIZE", "bytes of a value, e.g. 64, 4K, or a range like 64-4K [64]",
     CLI_FIELD(bench_options, value_size), NULL},
    {"zipf", 0, CLI_NUMBER, "SKEW", "how much more often popular keys come, 0 (all alike) to 10 [0.99]",
     CLI_FIELD(bench_options, zipf), NULL},
    {"l1", 0, CLI_CHOICE, "on|off", "whether there is memory in front of the store [on]", CLI_FIELD(bench_options, l1),
     switches},
    {"l1-size", 0, CLI_SIZE, "SIZE", "bytes of that memory, at least 64K [100M]", CLI_FIELD(bench_options, l1_size),
     NULL},
    {"trace", 0, CLI_TEXT, "FILE", "ask for the keys of this file, in its order; - is standard input",
     CLI_FIELD(bench_options, trace), NULL},
    {"format", 0, CLI_CHOICE, "FORMAT", "of the trace: keys (one a line), u32 or u64 (little-endian numbers) [keys]",
     CLI_FIELD(bench_options, format), formats},
    {"seed", 0, CLI_COUNT, "N", "the same number makes the same load [1]", CLI_FIELD(bench_options, seed), NULL},
    {"keep", 0, CLI_FLAG, NULL, "leave the entries in the store of --store", CLI_FIELD(bench_options, keep), NULL},
};

static const cli_exit_row exits[] = {
    {"3", "the store cannot be reached or fails, also in the middle of the run"},
    {"4", "values are too large, or were not those of their keys; the trace is damaged; or output cannot be written"},
    {"130", "ended by Ctrl-C; what was measured until then is reported"},
    {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit bench --seconds 1", "memory and files as they are by default, in a private directory"},
    {"cachekit bench --store memory: --threads 2 --operations 200000 --json", "memory alone, two threads"},
    {"seq 1 1000 | cachekit bench --trace - --l1 off", "replays keys, with the store alone"},
    {NULL, NULL},
};

const cli_command cli_bench_command = {
    .name = "bench",
    .summary = "measure a cache under load",
    .description =
        "Reads and writes a cache, memory (L1) in front of a store, as fast as it answers, and tells throughput, "
        "latencies, hit ratios and processor time.\n\n"
        "Memory begins empty. An operation is a get or a set of a key that is drawn by Zipf's law. A get that misses "
        "sets its key (read-through); these sets come on top of --operations and are counted among the latencies of "
        "sets. The value of a key always has the same size, compresses to about two thirds when it is large, and is "
        "checked when it is read.\n\n"
        "Without --store it works on files in a new private directory beside your cache, "
        "$XDG_CACHE_HOME/cachekit-bench-*, that is removed at the end: nobody's entries are touched, and the "
        "environment's store is not used. It can grow to the bounds of a file store, 10,000 entries and 1024 MiB "
        "unless the environment's CACHEKIT_FILE_* say otherwise. What a killed run leaves is removed by the next "
        "run.\n\n"
        "A store given by --store is used as it is. Keys begin with \"cachekit-bench:\" and belong to the namespace "
        "cachekit-bench, which is invalidated at the end, also after Ctrl-C, unless --keep; they live an hour at most. "
        "When the store reaches its bounds, it evicts, and that may hit entries of others: do not use one that "
        "matters. --store memory: measures memory alone.\n\n"
        "--trace replays a file once instead: every key is got, and set where that misses. Keys are lines of up to "
        "8000 bytes, or numbers of 4 or 8 bytes. Threads take the next keys in order.\n\n"
        "Latencies are exact to 1 %, the longest is exact. Each holds one reading of the clock, whose cost is told, "
        "and so is the cost of making an operation, which limits throughput beside the cache. A progress line is shown "
        "each second on a terminal. --json answers one object; times are nanoseconds unless their name says "
        "seconds.\n\n"
        "Ctrl-C ends the run early; it still reports, and the exit code is 130. When operations fail, the report comes "
        "first, then the first failure, which chooses the exit code: 3 when the store fails, 4 for values that are too "
        "large. It is 4 too for a damaged trace and for values that are not those of their keys. While "
        "CACHEKIT_MASTER_KEY is set, a cache with a store encrypts, and that is measured.",
    CLI_OPTIONS(options, bench_options),
    .examples = examples,
    .traits = CLI_NO_TENANT,
    .store_default = "a private one, removed afterwards",
    .defaults = defaults,
    .exits = exits,
    .run = run,
};
