#include "support/figures.h"
#include "support/guards.h"
#include "support/listing.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOT_GIVEN UINT64_MAX
#define DEFAULT_INTERVAL_MS 2000
#define SHORTEST_INTERVAL_MS 100
#define STORE_TIMEOUT_MS 5000

typedef struct stats_options {
    bool     watch;
    uint64_t interval_ms;
    uint64_t count;
} stats_options;

/* ---- what is known about figures ----------------------------------------------------------------------------- */

/* The order in which people see them. Figures that are not here follow under their own names. */
typedef struct known_figure {
    const char *name;
    const char *label; /* NULL: shown in front, as occupancy */
    bool        size;  /* in bytes */
} known_figure;

static const known_figure known_figures[] = {
    {"hits", "hits", false},
    {"misses", "misses", false},
    {"bytes_read", "bytes read", true},
    {"writes", "writes", false},
    {"bytes_written", "bytes written", true},
    {"removes", "removes", false},
    {"expired", "expired", false},
    {"evicted", "evicted", false},
    {"keyspace_hits", "keyspace hits", false},
    {"keyspace_misses", "keyspace misses", false},
    {"expired_keys", "expired keys", false},
    {"evicted_keys", "evicted keys", false},
    {"corrupt", "damaged", false},
    {"too_large", "too large", false},
    {"no_space", "no space left", false},
    {"failures", "other failures", false},
    {"locks_taken", "locks taken", false},
    {"locks_busy", "locks busy", false},
    {"locks_lost", "locks lost", false},
    {"entries", NULL, false},
    {"limit_entries", NULL, false},
    {"bytes", NULL, true},
    {"limit_bytes", NULL, true},
    {"keys", NULL, false},
    {"used_memory", NULL, true}, /* as bytes, which every store tells */
    {"limit_memory", NULL, true},
};
#define KNOWN_COUNT (sizeof known_figures / sizeof *known_figures)

/* Lives in the memory of the programs that use a cache, and nowhere else. */
static const struct not_published {
    const char *name;
    const char *label;
} not_published[] = {{"memory_tier", "memory tier"}, {"background_work", "background work"}};
#define NOT_PUBLISHED_COUNT (sizeof not_published / sizeof *not_published)

static bool is_known(const char *name) {
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(known_figures[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- a sample, and what follows from two ---------------------------------------------------------------------- */

typedef struct sample {
    cli_figures figures;
    uint64_t    at_ms; /* cli_now_ms */
    int64_t     wall_s;
} sample;

typedef struct view {
    const cli_store *store;
    const sample    *now;
    const sample    *before;  /* NULL = this is the first */
    unsigned         columns; /* of a line, one bit each */
} view;

static ckit_status take(const cli_store *store, sample *out, ckit_error *err) {
    ckit_status st = cli_figures_take(store, cli_deadline_in(STORE_TIMEOUT_MS), &out->figures, err);
    out->at_ms = cli_now_ms();
    out->wall_s = time(NULL);
    return st;
}

static const uint64_t *value_of(const sample *s, const char *name) {
    const cli_figure *figure = cli_figures_find(&s->figures, name);
    return figure == NULL ? NULL : &figure->value;
}

/* How much a counter grew since the sample before; false when that is not known (counting may have begun again). */
static bool growth(const view *v, const char *name, uint64_t *grown) {
    const uint64_t *now = value_of(v->now, name);
    const uint64_t *before = v->before == NULL ? NULL : value_of(v->before, name);
    if (now == NULL || before == NULL || *now < *before) {
        return false;
    }
    *grown = *now - *before;
    return true;
}

/* Since the sample before; 0 when there is none. */
static double seconds_passed(const view *v) {
    return v->before == NULL ? 0 : (double)(v->now->at_ms - v->before->at_ms) / 1000;
}

static bool rate(const view *v, const char *name, double *per_second) {
    double   seconds = seconds_passed(v);
    uint64_t grown;
    if (seconds <= 0 || !growth(v, name, &grown)) {
        return false;
    }
    *per_second = (double)grown / seconds;
    return true;
}

/* Negative = nothing was asked for, or unknown. */
static double ratio_of(uint64_t hits, uint64_t misses) {
    return hits + misses == 0 ? -1 : (double)hits / ((double)hits + (double)misses);
}

/* Lookups that are counted. A server counts those of all its clients, under names of its own. */
typedef struct lookups {
    const char *hits;
    const char *misses;
} lookups;
static const lookups of_cache = {"hits", "misses"};
static const lookups of_server = {"keyspace_hits", "keyspace_misses"};

static double hit_ratio(const view *v, const lookups *of) {
    const uint64_t *hits = value_of(v->now, of->hits);
    const uint64_t *misses = value_of(v->now, of->misses);
    return hits == NULL || misses == NULL ? -1 : ratio_of(*hits, *misses);
}

static double recent_hit_ratio(const view *v, const lookups *of) {
    uint64_t hits;
    uint64_t misses;
    return growth(v, of->hits, &hits) && growth(v, of->misses, &misses) ? ratio_of(hits, misses) : -1;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static json_object *json_ratio(double ratio) { return ratio < 0 ? NULL : cli_json_decimals(ratio, 4); }

static json_object *json_time(int64_t wall_s) {
    char      text[32] = "";
    struct tm parts;
    time_t    when = wall_s;
    if (gmtime_r(&when, &parts) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    return text[0] == '\0' ? NULL : cli_json_text(text);
}

static json_object *json_figures(const view *v, bool counters) {
    json_object *all = cli_json_object();
    for (size_t i = 0; i < v->now->figures.count; i++) {
        const cli_figure *figure = &v->now->figures.items[i];
        if (figure->counter == counters) {
            cli_json_add(all, figure->name, cli_json_uint(figure->value));
        }
    }
    return all;
}

static json_object *json_rates(const view *v) {
    json_object *all = cli_json_object();
    for (size_t i = 0; i < v->now->figures.count; i++) {
        const cli_figure *figure = &v->now->figures.items[i];
        double            per_second;
        if (figure->counter) {
            bool known = rate(v, figure->name, &per_second);
            cli_json_add(all, figure->name, known ? cli_json_decimals(per_second, 3) : NULL);
        }
    }
    return all;
}

static void add_not_published(json_object *answer, bool counted) {
    json_object *names = cli_json_array();
    if (!counted) {
        cli_json_append(names, cli_json_text("counters"));
    }
    if (!cli_guards_tell()) {
        cli_json_append(names, cli_json_text("guards"));
    }
    for (size_t i = 0; i < NOT_PUBLISHED_COUNT; i++) {
        cli_json_add(answer, not_published[i].name, NULL);
        cli_json_append(names, cli_json_text(not_published[i].name));
    }
    cli_json_add(answer, "not_published", names);
}

static void print_json(const view *v, bool watched) {
    const cli_figures *figures = &v->now->figures;
    json_object       *answer = cli_json_object();
    cli_json_add(answer, "backend", cli_json_text(ckit_backend_name(v->store->backend)));
    cli_json_add(answer, "store", cli_json_bytes(ckit_slice_str(v->store->url)));
    cli_json_add(answer, "time", json_time(v->now->wall_s));
    cli_json_add(answer, "since", figures->since_wall_ms == 0 ? NULL : json_time(figures->since_wall_ms / 1000));
    cli_json_add(answer, "levels", json_figures(v, false));
    cli_json_add(answer, "counters", figures->counted ? json_figures(v, true) : NULL);
    cli_json_add(answer, "hit_ratio", json_ratio(hit_ratio(v, &of_cache)));
    if (watched) {
        bool first = v->before == NULL;
        cli_json_add(answer, "seconds", first ? NULL : cli_json_decimals(seconds_passed(v), 3));
        cli_json_add(answer, "rates", first || !figures->counted ? NULL : json_rates(v));
        cli_json_add(answer, "recent_hit_ratio", json_ratio(recent_hit_ratio(v, &of_cache)));
    }
    cli_json_add(answer, "guards", cli_guards_tell() ? cli_guards_json() : NULL);
    add_not_published(answer, figures->counted);
    cli_print_json(answer);
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static void print_since(const view *v) {
    char      text[64] = "unknown";
    char      ago[CLI_UNITS_TEXT];
    struct tm parts;
    int64_t   since_s = v->now->figures.since_wall_ms / 1000;
    time_t    when = since_s;
    if (since_s != 0 && localtime_r(&when, &parts) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z", &parts);
    }
    cli_print("%-16s%s", "counting since", text);
    if (since_s != 0 && since_s <= v->now->wall_s) {
        uint64_t passed_s = (uint64_t)(v->now->wall_s - since_s);
        cli_print(" (%s ago)", passed_s == 0 ? "0s" : cli_duration_text(passed_s * 1000, ago));
    }
    cli_print("\n");
}

static void print_head(const view *v) {
    char text[CLI_OCCUPANCY_TEXT];
    cli_print("%-16s%s (", "store", ckit_backend_name(v->store->backend));
    cli_print_escaped(ckit_slice_str(v->store->url));
    cli_print(", %s)\n", v->store->reason);
    const uint64_t *keys = value_of(v->now, "keys");
    if (keys != NULL && value_of(v->now, "entries") == NULL) { /* entries of the cache, and whatever else is there */
        cli_print("%-16s%" PRIu64 "\n", "keys", *keys);
    } else {
        cli_print("%-16s%s\n", "entries",
                  cli_occupancy_text(value_of(v->now, "entries"), value_of(v->now, "limit_entries"), false, text));
    }
    cli_print("%-16s%s\n", "bytes",
              cli_occupancy_text(value_of(v->now, "bytes"), value_of(v->now, "limit_bytes"), true, text));
}

static void print_ratio(const char *label, double ratio) {
    if (ratio < 0) {
        cli_print("%-16sunknown\n", label);
    } else {
        cli_print("%-16s%.1f %%\n", label, 100 * ratio);
    }
}

static void print_figure(const view *v, const char *name, const char *label, bool size) {
    const uint64_t *value = value_of(v->now, name);
    char            text[CLI_UNITS_TEXT];
    double          per_second;
    if (value == NULL) {
        return;
    }
    (void)snprintf(text, sizeof text, "%" PRIu64, *value);
    cli_print("%-16s%s", label, size ? cli_size_text(*value, text) : text);
    if (rate(v, name, &per_second)) {
        (void)snprintf(text, sizeof text, "%.1f", per_second);
        cli_print(" (%s/s)", size && per_second < 1e18 ? cli_size_text((uint64_t)per_second, text) : text);
    }
    cli_print("\n");
}

static void print_counters(const view *v) {
    const cli_figures *figures = &v->now->figures;
    if (!figures->counted) {
        cli_print("%-16snot published\n", "counters");
        return;
    }
    print_since(v);
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (known_figures[i].label != NULL) {
            print_figure(v, known_figures[i].name, known_figures[i].label, known_figures[i].size);
        }
        if (strcmp(known_figures[i].name, of_cache.misses) == 0 && value_of(v->now, of_server.misses) == NULL) {
            print_ratio("hit ratio", hit_ratio(v, &of_cache));
        } else if (strcmp(known_figures[i].name, of_server.misses) == 0 && value_of(v->now, of_server.misses) != NULL) {
            print_ratio("hit ratio", hit_ratio(v, &of_server));
        }
    }
    for (size_t i = 0; i < figures->count; i++) {
        const char *name = figures->items[i].name;
        if (!is_known(name)) {
            print_figure(v, name, name, false);
        }
    }
}

static void print_block(const view *v) {
    print_head(v);
    print_counters(v);
    if (cli_guards_tell()) {
        cli_guards_print(16);
    } else {
        cli_print("%-16snot published\n", "guards");
    }
    for (size_t i = 0; i < NOT_PUBLISHED_COUNT; i++) {
        cli_print("%-16snot published\n", not_published[i].label);
    }
}

/* ---- watching without a terminal: a line per interval --------------------------------------------------------- */

/* Those of which the store tells; the first six where it tells of none. */
static const struct column {
    const char *name;
    const char *title;
} columns[] = {{"hits", "hits/s"},
               {"misses", "misses/s"},
               {"writes", "writes/s"},
               {"removes", "removes/s"},
               {"expired", "expired/s"},
               {"evicted", "evicted/s"},
               {"keyspace_hits", "hits/s"},
               {"keyspace_misses", "misses/s"},
               {"expired_keys", "expired/s"},
               {"evicted_keys", "evicted/s"},
               {"commands", "commands/s"}};
#define COLUMN_COUNT (sizeof columns / sizeof *columns)
#define USUAL_COLUMNS 0x3fu

static unsigned columns_of(const sample *s) {
    unsigned all = 0;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        all |= value_of(s, columns[i].name) != NULL ? 1u << i : 0;
    }
    return all == 0 ? USUAL_COLUMNS : all;
}

static bool counts_for_server(const view *v) { return value_of(v->now, of_server.hits) != NULL; }

/* What stands beside the bytes. */
static const char *level_of(const view *v) { return counts_for_server(v) ? "keys" : "entries"; }

static void print_titles(const view *v) {
    cli_print("%-20s", "time");
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if ((v->columns & 1u << i) != 0) {
            cli_print(" %10s", columns[i].title);
        }
    }
    cli_print(" %6s %10s %14s\n", "hit %", level_of(v), "bytes");
}

static void print_level(const view *v, const char *name, int width) {
    const uint64_t *value = value_of(v->now, name);
    if (value == NULL) {
        cli_print(" %*s", width, "-");
    } else {
        cli_print(" %*" PRIu64, width, *value);
    }
}

static void print_line(const view *v) {
    char      text[32] = "-";
    struct tm parts;
    time_t    when = v->now->wall_s;
    double    per_second;
    if (localtime_r(&when, &parts) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    }
    cli_print("%-20s", text);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if ((v->columns & 1u << i) == 0) {
            continue;
        }
        (void)snprintf(text, sizeof text, "-");
        if (rate(v, columns[i].name, &per_second)) {
            (void)snprintf(text, sizeof text, "%.1f", per_second);
        }
        cli_print(" %10s", text);
    }
    double ratio = recent_hit_ratio(v, counts_for_server(v) ? &of_server : &of_cache);
    (void)snprintf(text, sizeof text, ratio < 0 ? "-" : "%.1f", 100 * ratio);
    cli_print(" %6s", text);
    print_level(v, level_of(v), 10);
    print_level(v, "bytes", 14);
    cli_print("\n");
}

/* ---- watching --------------------------------------------------------------------------------------------------- */

static bool can_redraw(void) {
    const char *term = getenv("TERM");
    return isatty(1) == 1 && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

static void print_watched(const view *v, bool json, bool redraws) {
    if (json) {
        print_json(v, true);
    } else if (redraws) {
        cli_print("\033[H\033[J");
        print_block(v);
    } else {
        if (v->before == NULL) {
            print_titles(v);
        }
        print_line(v);
    }
}

/* Until the point of cli_now_ms; a signal that comes between looking and sleeping is not slept over. */
static void sleep_until(uint64_t end_ms) {
    sigset_t blocked;
    sigset_t before;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    for (uint64_t now_ms = cli_now_ms(); cli_interrupted() == 0 && now_ms < end_ms; now_ms = cli_now_ms()) {
        uint64_t        left_ms = end_ms - now_ms;
        struct timespec wait = {(time_t)(left_ms / 1000), (long)(left_ms % 1000) * 1000000};
        (void)ppoll(NULL, 0, &wait, &before);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static int watch(const cli_store *store, bool json, const stats_options *o) {
    static sample samples[2];
    bool          redraws = !json && can_redraw();
    unsigned      shown = 0;
    ckit_error    err = CKIT_ERROR_INIT;
    cli_catch_interrupts();
    (void)setvbuf(stdout, NULL, _IOFBF,
                  1 << 14); /* a sample is written at once, so that drawing over does not flicker */
    for (uint64_t i = 0; cli_interrupted() == 0; i++) {
        sample     *now = &samples[i % 2];
        view        v = {store, now, i == 0 ? NULL : &samples[(i + 1) % 2], shown};
        ckit_status st = take(store, now, &err);
        if (st != CKIT_OK) {
            return cli_call_failed(st, &err);
        }
        if (i == 0) {
            v.columns = shown = columns_of(now);
        }
        print_watched(&v, json, redraws);
        if (fflush(stdout) != 0 || i + 1 == o->count) {
            return CLI_DONE; /* what could not be written, cli_output_end tells */
        }
        sleep_until(now->at_ms + o->interval_ms);
    }
    return 128 + cli_interrupted();
}

static int once(const cli_store *store, bool json) {
    static sample now;
    view          v = {store, &now, NULL, 0};
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_status   st = take(store, &now, &err);
    if (st != CKIT_OK) {
        return cli_call_failed(st, &err);
    }
    if (json) {
        print_json(&v, false);
    } else {
        print_block(&v);
    }
    return CLI_DONE;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static bool check(stats_options *o) {
    if (!o->watch && (o->interval_ms != NOT_GIVEN || o->count != NOT_GIVEN)) {
        cli_error("--%s needs --watch", o->count != NOT_GIVEN ? "count" : "interval");
        return false;
    }
    if (o->count == 0) {
        cli_error("--count must be at least 1; without it, watching goes on until Ctrl-C");
        return false;
    }
    o->interval_ms = o->interval_ms == NOT_GIVEN ? DEFAULT_INTERVAL_MS : o->interval_ms;
    if (o->interval_ms < SHORTEST_INTERVAL_MS) {
        cli_error("--interval must be at least %dms", SHORTEST_INTERVAL_MS);
        return false;
    }
    return true;
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    stats_options o = *(const stats_options *)options;
    cli_store     store;
    (void)operands, (void)count;
    if (!check(&o)) {
        return CLI_USAGE;
    }
    int code = cli_store_open(&store, common);
    if (code == CLI_DONE) {
        code = o.watch ? watch(&store, common->json, &o) : once(&store, common->json);
    }
    cli_store_close(&store);
    return code;
}

static void defaults(void *options) {
    stats_options *o = options;
    o->interval_ms = NOT_GIVEN;
    o->count = NOT_GIVEN;
}

static const cli_option options[] = {
    {"watch", 'w', CLI_FLAG, NULL, "show them again and again, with rates per second", CLI_FIELD(stats_options, watch),
     NULL},
    {"interval", 0, CLI_DURATION, "DURATION", "with --watch: time between two samples, at least 100ms [2s]",
     CLI_FIELD(stats_options, interval_ms), NULL},
    {"count", 0, CLI_COUNT, "N", "with --watch: end after N samples [until Ctrl-C]", CLI_FIELD(stats_options, count),
     NULL},
};

static const cli_exit_row exits[] = {{"130", "watching was ended by Ctrl-C"}, {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit stats", "what the store has counted so far"},
    {"cachekit set greeting hello && cachekit get greeting && cachekit stats --json", "the same for programs"},
    {"cachekit stats --watch --interval 500ms --count 3", "three samples, half a second apart"},
    {NULL, NULL}};

const cli_command cli_stats_command = {
    .name = "stats",
    .summary = "show what the store counts",
    .description =
        "Shows how full the store is and what it has counted, over all programs that use it: hits and misses, writes, "
        "what expired, what was evicted to make room, locks. \"counting since\" is when it began; counting begins "
        "again when its record is lost. A program adds what it counts about once a second and when it ends, so the "
        "last second may be missing. Entries are not touched.\n\n"
        "hit ratio is hits / (hits + misses). These are requests that reached the store: what an application answered "
        "from its own memory is not among them. A Redis server counts what all its clients ask of all its keys: "
        "keyspace hits and misses, expired and evicted keys, commands.\n\n"
        "guards are what running programs tell of the guard between their cache and its store: the circuit breaker, "
        "how "
        "long an operation may take now, how many are with the store and how many wait, what was turned away. They "
        "tell it "
        "in the directory CACHEKIT_STATUS_DIR, where that is set for them and for this command; best one in memory of "
        "this machine, such as /run/user/1000/cachekit. A program tells when its circuit changes and otherwise about "
        "once "
        "a second while it asks its store for something: \"as of\" says how old that is. Guards of all stores are "
        "shown.\n\n"
        "\"not published\" (null in JSON, and named in \"not_published\") is what lives inside running programs only: "
        "their memory tier, their background work, and their guards without CACHEKIT_STATUS_DIR. The "
        "application itself can show it (ckit_cache_get_stats and ckit_cache_get_guard_stats in <cachekit/cache.h>, "
        "get_health_status() in Python). Counters are not published "
        "either by stores that keep none.\n\n"
        "--watch draws over the last sample on a terminal, with the rate of the last interval in brackets. Elsewhere "
        "it writes a title and then one line per sample: rates per second, the hit ratio of the interval in percent, "
        "entries, bytes; - is unknown. Ctrl-C ends it with exit code 130, --count with 0.\n\n"
        "With --json one object; with --watch one per line and sample. Sizes are in bytes. \"rates\" are per second "
        "over \"seconds\", and null in the first sample.\n\n"
        "Exit code 3: the store cannot be reached, or fails while it is watched.",
    CLI_OPTIONS(options, stats_options),
    .defaults = defaults,
    .examples = examples,
    .traits = CLI_NO_TENANT,
    .exits = exits,
    .run = run,
};
