#include "support/listing.h"
#include "support/output.h"
#include "support/units.h"

#include <inttypes.h>

#define NOT_GIVEN UINT64_MAX

typedef struct prune_options {
    uint64_t    older_than_ms;
    uint64_t    to_size;
    const char *namespace_name;
    const char *function;
    bool        dry_run;
} prune_options;

/* What was done, or would be. */
typedef struct pruned {
    bool     swept;
    uint64_t expired;
    uint64_t removed;
    uint64_t bytes;
    uint64_t unknown_age; /* entries that stayed, and why */
    uint64_t unindexed;
    uint64_t renewed;
    uint64_t left; /* bytes of the chosen entries that are there still */
} pruned;

typedef struct pruning {
    const cli_store     *store;
    const prune_options *options;
    cli_table           *rows; /* dry run: what would go is shown, */
    json_object         *list; /* or put in here; else both are NULL */
    int64_t              now_ms;
    pruned               did;
    ckit_error           first; /* the first failure; the others get their turn, */
    bool                 down;  /* but for one that every other would meet too */
} pruning;

/* ---- one entry ----------------------------------------------------------------------------------------------- */

#define CLOCK_GRAIN_MS 2u /* lives and points in time are cut to milliseconds */

static bool has_end(uint64_t life_ms) { return life_ms != CKIT_LIFE_NO_EXPIRY && life_ms != CKIT_LIFE_UNKNOWN; }

/* Whether it was written again, or given a new lifetime, after it was listed: then its life ends at another time. */
static ckit_status is_renewed(const cli_store *store, const cli_listed *listed, bool *renewed, ckit_error *err) {
    *renewed = false;
    if (store->ops->ttl == NULL) {
        return CKIT_OK;
    }
    uint64_t    life_ms = CKIT_LIFE_UNKNOWN;
    uint64_t    before_ms = cli_now_ms();
    ckit_status st = store->ops->ttl(store->self, listed->entry.key, CKIT_NO_DEADLINE, &life_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (!has_end(life_ms) || !has_end(listed->entry.life_ms)) {
        *renewed = life_ms != listed->entry.life_ms;
    } else {
        *renewed = before_ms + life_ms > listed->ends_to_ms + CLOCK_GRAIN_MS ||
                   cli_now_ms() + life_ms + CLOCK_GRAIN_MS < listed->ends_from_ms;
    }
    return CKIT_OK;
}

static ckit_status remove_listed(pruning *p, const cli_listed *listed, bool *renewed, ckit_error *err) {
    ckit_status st = is_renewed(p->store, listed, renewed, err);
    if (st != CKIT_OK || *renewed) {
        return st;
    }
    return p->store->ops->remove(p->store->self, listed->entry.key, CKIT_NO_DEADLINE, err);
}

static void count_removed(pruning *p, const cli_listed *listed) {
    p->did.removed++;
    p->did.bytes += listed->entry.size;
    p->did.left -= listed->entry.size;
}

static void remove_one(pruning *p, const cli_listed *listed) {
    ckit_error  err = CKIT_ERROR_INIT;
    bool        renewed;
    ckit_status st = remove_listed(p, listed, &renewed, &err);
    if (renewed) {
        p->did.renewed++;
    } else if (st == CKIT_OK) {
        count_removed(p, listed);
    } else if (st == CKIT_MISS) {
        p->did.left -= listed->entry.size; /* gone meanwhile, by itself or through somebody else */
    } else if (p->first.status == CKIT_OK) {
        p->first = err;
        p->first.status = st;
    }
    p->down = p->down || cli_is_store_down(st);
}

static void take_out(pruning *p, const cli_listed *listed) {
    if (listed->entry.key.len == 0) {
        p->did.unindexed++;
        return;
    }
    if (!p->options->dry_run) {
        remove_one(p, listed);
        cli_progress("removed %" PRIu64 " so far", p->did.removed);
        return;
    }
    count_removed(p, listed);
    if (p->rows != NULL) {
        cli_table_row(p->rows, listed);
    } else {
        cli_json_append(p->list, cli_listed_json(listed, p->now_ms));
    }
}

/* ---- which ones ---------------------------------------------------------------------------------------------- */

static bool is_old(const pruning *p, const cli_listed *listed) {
    int64_t born_ms = listed->entry.created_wall_ms;
    return p->options->older_than_ms != NOT_GIVEN && born_ms <= p->now_ms &&
           (uint64_t)(p->now_ms - born_ms) >= p->options->older_than_ms;
}

/* Oldest first, so that one turn serves both options. */
static void prune_entries(pruning *p, cli_entries *entries) {
    cli_sort(entries, CLI_BY_AGE, false);
    p->did.left = entries->bytes;
    for (size_t i = 0; i < entries->count && !p->down && cli_interrupted() == 0; i++) {
        bool too_much = p->options->to_size != NOT_GIVEN && p->did.left > p->options->to_size;
        if (entries->items[i]->entry.created_wall_ms <= 0) {
            p->did.unknown_age++;
        } else if (too_much || is_old(p, entries->items[i])) {
            take_out(p, entries->items[i]);
        }
    }
    cli_progress_end();
}

/* ---- telling ------------------------------------------------------------------------------------------------- */

static void tell_json(const pruning *p, int code) {
    json_object *answer = cli_json_object();
    cli_json_add(answer, "dry_run", cli_json_bool(p->options->dry_run));
    cli_json_add(answer, "removed", cli_json_uint(p->did.removed));
    cli_json_add(answer, "bytes", cli_json_uint(p->did.bytes));
    cli_json_add(answer, "expired", p->did.swept ? cli_json_uint(p->did.expired) : NULL);
    cli_json_add(answer, "unknown_age", cli_json_uint(p->did.unknown_age));
    cli_json_add(answer, "unindexed", cli_json_uint(p->did.unindexed));
    cli_json_add(answer, "renewed", cli_json_uint(p->did.renewed));
    cli_json_add(answer, "complete", cli_json_bool(code == CLI_DONE));
    if (p->list != NULL) {
        cli_json_add(answer, "entries", json_object_get(p->list));
    }
    cli_print_json(answer);
}

static void tell_text(const pruning *p, int code) {
    char count[CLI_COUNT_TEXT];
    char bytes[CLI_UNITS_TEXT];
    cli_print("%s %s, %s", p->options->dry_run ? "would remove" : "removed", cli_entries_text(p->did.removed, count),
              cli_bytes_text(p->did.bytes, bytes));
    if (p->did.swept) {
        cli_print("; %" PRIu64 " expired", p->did.expired);
    }
    cli_print("%s\n", code > 128 ? "; then interrupted" : "");
}

static void warn_about_stayers(const pruning *p, int code) {
    char text[CLI_COUNT_TEXT];
    char bytes[CLI_UNITS_TEXT];
    if (p->did.unindexed > 0) {
        cli_warn("%s stayed: the store does not know the keys (another program wrote them), and only `cachekit "
                 "invalidate --all` removes such",
                 cli_entries_text(p->did.unindexed, text));
    }
    if (p->did.unknown_age > 0) {
        cli_warn("%s stayed: the store does not know how old they are", cli_entries_text(p->did.unknown_age, text));
    }
    if (p->did.renewed > 0) {
        cli_warn("%s stayed: written again meanwhile", cli_entries_text(p->did.renewed, text));
    }
    if (p->options->to_size != NOT_GIVEN && p->did.left > p->options->to_size && code == CLI_DONE) {
        cli_warn("what stayed takes %s", cli_bytes_text(p->did.left, bytes));
    }
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static ckit_status sweep_part(const cli_store *store, const void *context, uint64_t deadline_ms, ckit_deleted *out,
                              ckit_error *err) {
    (void)context;
    return store->ops->sweep(store->self, deadline_ms, out, err);
}

static int sweep(pruning *p) {
    ckit_deleted swept = {0, 0};
    int          code = cli_in_parts(p->store, sweep_part, NULL, "removing what has expired", &swept);
    p->did.swept = true;
    p->did.expired = swept.deleted;
    return code;
}

static bool chooses(const prune_options *options) {
    return options->older_than_ms != NOT_GIVEN || options->to_size != NOT_GIVEN;
}

static int prune_chosen(pruning *p, const cli_selection *selection) {
    cli_entries entries = {.items = NULL};
    int         code = cli_collect(p->store, selection, &entries, NULL);
    if (code == CLI_DONE) {
        p->now_ms = cli_wall_ms();
        prune_entries(p, &entries);
        if (entries.count == 0) {
            cli_hint_at_namespaces(p->store, selection, " and stayed");
        }
        code = cli_interrupted() != 0       ? 128 + cli_interrupted()
               : p->first.status != CKIT_OK ? cli_failed(&p->first)
                                            : CLI_DONE;
    }
    cli_entries_fini(&entries);
    return code;
}

static int prune(pruning *p, const cli_selection *selection, const cli_common *common) {
    const ckit_backend_ops *ops = p->store->ops;
    cli_table               rows;
    int                     code = CLI_DONE;
    if (chooses(p->options) && ops->list == NULL) {
        return cli_store_cannot(p->store, "list its entries");
    }
    if (!chooses(p->options) && ops->sweep == NULL) {
        return cli_store_cannot(p->store, "sweep: give --older-than or --to-size");
    }
    if (p->options->dry_run && common->json) {
        p->list = cli_json_array();
    } else if (p->options->dry_run) {
        cli_table_begin(&rows, false);
        p->rows = &rows;
    }
    if (!p->options->dry_run) {
        cli_catch_interrupts(); /* who only looks may end at any point */
    }
    if (!p->options->dry_run && ops->sweep != NULL) {
        code = sweep(p);
    }
    if (code == CLI_DONE && chooses(p->options)) {
        code = prune_chosen(p, selection);
    }
    if (common->json) {
        tell_json(p, code);
    } else {
        tell_text(p, code);
    }
    warn_about_stayers(p, code);
    json_object_put(p->list);
    return code;
}

static int check(const prune_options *options) {
    bool narrowed = options->namespace_name != NULL || options->function != NULL;
    if (narrowed && !chooses(options)) {
        cli_error(
            "without --older-than or --to-size only what has expired goes, everywhere: --namespace and --function "
            "need one of them");
        return CLI_USAGE;
    }
    if (options->dry_run && !chooses(options)) {
        cli_error("--dry-run cannot tell how much has expired: stores show live entries only. It needs --older-than or "
                  "--to-size");
        return CLI_USAGE;
    }
    return CLI_DONE;
}

static int run(const cli_common *common, const void *given, char **operands, int count) {
    const prune_options *options = given;
    cli_selection        selection;
    cli_store            store;
    pruning              p = {.store = &store, .options = options, .now_ms = cli_wall_ms()};
    (void)operands, (void)count;
    int code = check(options);
    if (code != CLI_DONE) {
        return code;
    }
    code = cli_select_in(&store, &selection, common, options->namespace_name, options->function);
    if (code == CLI_DONE) {
        code = prune(&p, &selection, common);
    }
    cli_leave(&store, &selection);
    return code;
}

static void defaults(void *given) {
    prune_options *options = given;
    options->older_than_ms = NOT_GIVEN;
    options->to_size = NOT_GIVEN;
}

static const cli_option options[] = {
    {"older-than", 0, CLI_DURATION, "DURATION", "remove entries written longer ago than this, e.g. " CLI_DURATION_FORMS,
     CLI_FIELD(prune_options, older_than_ms), NULL},
    {"to-size", 0, CLI_SIZE, "SIZE", "then remove the oldest until the rest takes at most this, e.g. " CLI_SIZE_FORMS,
     CLI_FIELD(prune_options, to_size), NULL},
    {"namespace", 'n', CLI_TEXT, "NAME", "choose among the entries of one namespace only",
     CLI_FIELD(prune_options, namespace_name), NULL},
    {"function", 'f', CLI_TEXT, "NAME",
     "choose among the results of one function only; without --namespace those that belong to no namespace",
     CLI_FIELD(prune_options, function), NULL},
    {"dry-run", 0, CLI_FLAG, NULL, "show what --older-than and --to-size would remove, and remove nothing",
     CLI_FIELD(prune_options, dry_run), NULL},
};

static const cli_exit_row exits[] = {{"130", "ended by Ctrl-C, between two entries; the count that is told is true"},
                                     {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit prune", "removes what has expired, and what dead programs left behind"},
    {"cachekit prune --older-than 7d --dry-run", "shows what was written more than a week ago"},
    {"cachekit prune --older-than 7d --to-size 200M", "removes that, and then the oldest until 200 MiB stay"},
    {NULL, NULL}};

const cli_command cli_prune_command = {
    .name = "prune",
    .summary = "remove what has expired, what is old, or the oldest",
    .description =
        "Removes what has expired and what programs that died left behind: that alone is always safe. Stores do it by "
        "themselves as well, some time.\n\n"
        "With --older-than and --to-size live entries go too: first those that were written at least that long ago, "
        "then the oldest until the rest takes at most SIZE bytes (K, M and G are 1024, 1024^2 and 1024^3). "
        "--namespace, --function and --tenant narrow down which entries are looked at and counted for the size; what "
        "has expired goes everywhere. An entry that got a new lifetime counts as written then.\n\n"
        "It prints how many entries it removed, how much they took, and how many expired ones went. These stay, and a "
        "warning counts them: entries whose age or key the store does not know (another program wrote them), and "
        "entries that were written again, or got a new lifetime, since they were listed. The latter is told by the "
        "time their life ends, right before each removal: a write within the instant between, or one that ends at the "
        "same moment, as with no expiry at all, cannot be told, and its value is removed with the old one.\n\n"
        "--json prints one object: dry_run, removed, bytes, expired (null: not swept), unknown_age, unindexed, "
        "renewed (entries that stayed), complete (false after a failure or an interrupt), and with --dry-run the "
        "entries as `cachekit ls --json` shows them.\n\n"
        "Exit codes: 0 done, also when nothing was there; 3 the store failed or cannot do it; 130 after Ctrl-C, which "
        "ends it between two entries.",
    CLI_OPTIONS(options, prune_options),
    .examples = examples,
    .defaults = defaults,
    .exits = exits,
    .run = run,
};
