#include "support/listing.h"
#include "support/output.h"

#include <cachekit/buf.h>
#include <inttypes.h>
#include <stdio.h>

typedef struct invalidate_options {
    const char *namespace_name;
    const char *function;
    bool        all;
    bool        yes;
} invalidate_options;

/* ---- all: only who was asked --------------------------------------------------------------------------------- */

static bool count_one(void *context, const cli_listed *listed) {
    (void)listed;
    (*(uint64_t *)context)++;
    cli_progress("%" PRIu64 " entries", *(uint64_t *)context);
    return true;
}

/* CLI_DONE when everything may go. */
static int ask(const cli_store *store, const cli_selection *selection, const cli_common *common) {
    char     question[512];
    char     count_text[CLI_COUNT_TEXT];
    uint64_t count = 0;
    int      code = cli_each(store, selection, count_one, &count, NULL);
    if (code != CLI_DONE) {
        return code;
    }
    cli_progress_end();
    (void)snprintf(question, sizeof question, "Remove %s%s of %s%.60s%s%.300s?", count == 1 ? "the only entry" : "all ",
                   count == 1 ? "" : cli_entries_text(count, count_text), common->tenant == NULL ? "" : "the tenant ",
                   common->tenant == NULL ? "" : common->tenant, common->tenant == NULL ? "" : " in ", store->url);
    if (cli_confirm(question)) {
        return CLI_DONE;
    }
    cli_error("nothing was removed");
    return CLI_FAILED;
}

/* ---- removing ------------------------------------------------------------------------------------------------ */

static ckit_status delete_part(const cli_store *store, const void *context, uint64_t deadline_ms, ckit_deleted *out,
                               ckit_error *err) {
    const cli_selection *selection = context;
    return store->ops->delete_scope(store->self, &selection->scope, deadline_ms, out, err);
}

/* The store has no scope for a tenant: its entries are looked up and removed one by one. */
static int delete_own(const cli_store *store, const cli_selection *selection, ckit_deleted *out) {
    cli_entries entries;
    ckit_error  first = CKIT_ERROR_INIT;
    int         code = cli_collect(store, selection, &entries, &out->unindexed);
    for (size_t i = 0; code == CLI_DONE && i < entries.count; i++) {
        ckit_error  err = CKIT_ERROR_INIT;
        ckit_status st = store->ops->remove(store->self, entries.items[i]->entry.key, CKIT_NO_DEADLINE, &err);
        out->deleted += st == CKIT_OK ? 1 : 0;
        if (st >= CKIT_E_FIRST && first.status == CKIT_OK) {
            first = err; /* the others get their turn */
            first.status = st;
        }
        if (cli_is_store_down(st)) {
            break;
        }
        cli_progress("removing: %" PRIu64 " of %zu", out->deleted, entries.count);
        code = cli_interrupted() == 0 ? CLI_DONE : 128 + cli_interrupted();
    }
    cli_progress_end();
    cli_entries_fini(&entries);
    return code == CLI_DONE && first.status != CKIT_OK ? cli_failed(&first) : code;
}

/* ---- telling ------------------------------------------------------------------------------------------------- */

static void tell(const cli_common *common, const ckit_deleted *deleted, int code) {
    char text[CLI_COUNT_TEXT];
    bool interrupted = code > 128;
    if (common->json) {
        json_object *answer = cli_json_object();
        cli_json_add(answer, "removed", cli_json_uint(deleted->deleted));
        cli_json_add(answer, "unindexed", cli_json_uint(deleted->unindexed));
        cli_json_add(answer, "complete", cli_json_bool(code == CLI_DONE));
        cli_print_json(answer);
    } else {
        cli_print("removed %s%s\n", cli_entries_text(deleted->deleted, text), interrupted ? ", then interrupted" : "");
    }
}

static void tell_unindexed(const cli_common *common, uint64_t count) {
    char        text[CLI_COUNT_TEXT];
    const char *everyone = common->tenant == NULL ? "" : " without --tenant";
    if (count > 0) {
        cli_warn("%s stayed: another program wrote them and the store does not know whose they are. `cachekit ls`%s "
                 "shows them in brackets, `cachekit invalidate --all`%s removes them with everything else",
                 cli_entries_text(count, text), everyone, everyone);
    }
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int invalidate(const cli_store *store, const cli_selection *selection, const cli_common *common,
                      const invalidate_options *options) {
    bool         own = common->tenant != NULL;
    ckit_deleted deleted = {0, 0};
    int          code = CLI_DONE;
    if (!own && store->ops->delete_scope == NULL) {
        return cli_store_cannot(store, "remove by namespace or function, or everything at once");
    }
    if (own && store->ops->list == NULL) {
        return cli_store_cannot(store, "list its entries, which removing those of a tenant needs");
    }
    if (options->all && !options->yes) {
        code = ask(store, selection, common);
        if (code != CLI_DONE) {
            return code;
        }
    }
    cli_catch_interrupts();
    code = own ? delete_own(store, selection, &deleted)
               : cli_in_parts(store, delete_part, selection, "removing", &deleted);
    tell(common, &deleted, code);
    tell_unindexed(common, deleted.unindexed);
    if (code == CLI_DONE && deleted.deleted == 0) {
        cli_hint_at_namespaces(store, selection, " and stayed");
    }
    return code;
}

static int check(const invalidate_options *options) {
    bool scoped = options->namespace_name != NULL || options->function != NULL;
    if (options->all == scoped) {
        cli_error("%s: give --namespace NAME, --function NAME or --all",
                  scoped ? "--all goes with neither --namespace nor --function" : "what shall be removed is not said");
        return CLI_USAGE;
    }
    if (options->all && !options->yes && !cli_can_ask()) {
        cli_error("--all removes everything and there is no terminal to ask on: add --yes if that is meant");
        return CLI_USAGE;
    }
    return CLI_DONE;
}

static int run(const cli_common *common, const void *given, char **operands, int count) {
    const invalidate_options *options = given;
    cli_selection             selection;
    cli_store                 store;
    (void)operands, (void)count;
    int code = check(options);
    if (code != CLI_DONE) {
        return code;
    }
    code = cli_select_in(&store, &selection, common, options->namespace_name, options->function);
    if (code == CLI_DONE) {
        code = invalidate(&store, &selection, common, options);
    }
    cli_leave(&store, &selection);
    return code;
}

static const cli_option options[] = {
    {"namespace", 'n', CLI_TEXT, "NAME", "the entries of this namespace", CLI_FIELD(invalidate_options, namespace_name),
     NULL},
    {"function", 'f', CLI_TEXT, "NAME",
     "the results of this function, as the program names it (app.report); without --namespace those that belong to no "
     "namespace",
     CLI_FIELD(invalidate_options, function), NULL},
    {"all", 0, CLI_FLAG, NULL, "everything in the store; with --tenant everything of the tenant",
     CLI_FIELD(invalidate_options, all), NULL},
    {"yes", 'y', CLI_FLAG, NULL, "do not ask; needed for --all without a terminal", CLI_FIELD(invalidate_options, yes),
     NULL},
};

static const cli_exit_row exits[] = {{"4", "the answer to the question was not yes, or output cannot be written"},
                                     {"130", "ended by Ctrl-C; the count that is told is true"},
                                     {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit invalidate --namespace reports", "forgets what was cached under one namespace"},
    {"cachekit invalidate --function app.report", "forgets every result of one function"},
    {"cachekit invalidate --all --yes", "empties the store"},
    {NULL, NULL}};

const cli_command cli_invalidate_command = {
    .name = "invalidate",
    .summary = "remove the entries of a namespace or a function, or all",
    .description = "Removes the entries of one namespace, the results of one function, or everything, and prints how "
                   "many they were. Nothing to remove is no failure. There is no way back.\n\n"
                   "--all asks first, and tells how many entries there are. Where standard input or standard error is "
                   "no terminal it must be confirmed with --yes.\n\n"
                   "The store must know whose an entry is. Entries that another program wrote without saying so stay, "
                   "are counted, and are told about; --all removes them too. With --tenant only keys of that tenant "
                   "are removed, one by one.\n\n"
                   "This reaches the store. Programs that have an entry in their own memory serve it from there until "
                   "its lifetime ends: invalidate within the program, or start it again, when that is too long. "
                   "Entries that programs write meanwhile may stay or go.\n\n"
                   "--json prints one object: removed, unindexed (entries that stayed because nobody knows whose they "
                   "are) and complete (false after a failure or an interrupt).\n\n"
                   "Exit codes: 0 done, also when nothing was there; 2 wrong usage, nothing was removed; 3 the store "
                   "failed or cannot do it, the rest stayed; 4 the answer to the question was not yes; 130 after "
                   "Ctrl-C, with the count of what was removed until then.",
    CLI_OPTIONS(options, invalidate_options),
    .examples = examples,
    .exits = exits,
    .run = run,
};
